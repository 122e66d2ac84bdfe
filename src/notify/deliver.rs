//! Sends several messages at once, so that a receiver that is dead delays no
//! other, and waits no longer than the patience allows, whatever a driver does.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::{Notice, Notifier, NotifyError, Patience, Sent};

/// For a driver that gives up at the last moment to say so.
const GRACE: Duration = Duration::from_millis(500);

/// One message to one receiver.
pub struct Job {
    /// The receiver's name.
    pub name: String,
    pub notifier: Arc<dyn Notifier>,
    pub notice: Notice,
}

/// What became of a [`Job`].
#[derive(Clone, Debug)]
pub struct Delivery {
    pub name: String,
    pub result: Result<Sent, NotifyError>,
    pub took: Duration,
}

/// Sends them all at once and waits; the deliveries come in the jobs' order.
pub fn deliver(jobs: Vec<Job>, patience: &Patience) -> Vec<Delivery> {
    let began = Instant::now();
    let mut deliveries: Vec<Delivery> = jobs.iter().map(pending).collect();
    let (tell, told) = mpsc::channel();
    for (index, job) in jobs.into_iter().enumerate() {
        let (tell, patience) = (tell.clone(), patience.clone());
        let send = move || {
            let result = job.notifier.send(&job.notice, &patience);
            // Nobody listens any more where it took too long.
            let _ = tell.send((index, result, began.elapsed()));
        };
        let thread = thread::Builder::new().name("message".to_owned());
        if let Err(error) = thread.spawn(send) {
            let why = format!("there is no thread for it: {error}");
            deliveries[index].result = Err(NotifyError::Unreachable(why));
        }
    }
    drop(tell);
    let end = patience.until + GRACE;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        // Either all have told, or the time is over.
        let Ok((index, result, took)) = told.recv_timeout(left) else {
            return finished(deliveries, began.elapsed());
        };
        if let Some(delivery) = deliveries.get_mut(index) {
            delivery.result = result;
            delivery.took = took;
        }
    }
}

/// As a job stands until its thread has told.
fn pending(job: &Job) -> Delivery {
    Delivery {
        name: job.name.clone(),
        result: Err(NotifyError::OutOfTime),
        took: Duration::ZERO,
    }
}

/// Those that have not told have taken all the time there was.
fn finished(mut deliveries: Vec<Delivery>, all: Duration) -> Vec<Delivery> {
    for delivery in &mut deliveries {
        if delivery.took.is_zero() {
            delivery.took = all;
        }
    }
    deliveries
}
