//! The messages around a run: pings before it, and behind it to everybody who
//! wants to hear what came of it. A message that fails is a warning and a record
//! in the storage, and changes nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::around::problem;
use super::session::Session;
use crate::event::Event;
use crate::format::manifest::Trigger;
use crate::format::run_record::NOTIFY;
use crate::notify::{
    Delivery, Job, Notice, NotifyError, Occasion, Patience, Receiver, Wording, deliver,
};
use crate::operations::{Marker, Reporter, record_failure};
use crate::process;
use crate::render::{begin_wording, run_wording};
use crate::wiring;

/// A run waits for its first pings no longer.
const BEGIN_LIMIT: Duration = Duration::from_secs(5);
/// Who stopped the run waits no longer.
const STOPPED_LIMIT: Duration = Duration::from_secs(3);

/// Those who are told of a run, from its beginning to its end.
pub struct Messages {
    command: &'static str,
    trigger: Trigger,
    receivers: Vec<Receiver>,
    failed: Vec<Failure>,
}

struct Failure {
    receiver: String,
    error: NotifyError,
    at: Timestamp,
}

/// Tells those who want to know that a run begins.
pub fn starting(session: &Session<'_>, command: &'static str, trigger: Trigger) -> Messages {
    let mut messages = Messages {
        command,
        trigger,
        receivers: wiring::receivers(&session.settings),
        failed: Vec::new(),
    };
    let schedule = session.schedule.as_deref();
    let text = begin_wording(command, &process::host());
    let patience = Patience::short(BEGIN_LIMIT, session.cancel.clone());
    messages.tell(session, Occasion::Begin, &patience, |receiver| {
        let heard = receiver.interest.in_beginning(command, schedule);
        heard.then(|| (Vec::new(), text.clone()))
    });
    // Of a receiver that is not set up the end tells, once.
    let tried = |failure: &Failure| !matches!(failure.error, NotifyError::Setup(_));
    messages.failed.retain(tried);
    messages
}

/// Tells what the run came to, and records what could not be told. A run that
/// ended with an error may have told no event: then only pings hear of it.
pub fn ended(
    session: &Session<'_>,
    mut messages: Messages,
    events: &[Event],
    error: Option<&anyhow::Error>,
) {
    let (host, command) = (process::host(), messages.command);
    let schedule = session.schedule.as_deref();
    let patience = match session.cancel.requested() {
        Some(_) => Patience::short(STOPPED_LIMIT, session.cancel.clone()),
        None => Patience::usual(session.cancel.clone()),
    };
    let problem = error.map(problem);
    let occasion = match &problem {
        Some(_) => Occasion::BrokenEnd,
        None => Occasion::End,
    };
    messages.tell(session, occasion, &patience, |receiver| {
        let events = receiver.interest.in_end(events, command, schedule)?;
        let text = run_wording(&events, command, &host, problem.as_deref());
        Some((events, text))
    });
    messages.forget_repeated();
    for Failure {
        receiver, error, ..
    } in &messages.failed
    {
        session.console.warn(&format!(
            "a message to {receiver} was not sent: {error}; try it with \
             kluis notify test --to {receiver}"
        ));
    }
    if let Err(error) = messages.record(session, events) {
        let text = format!("the messages that were not sent leave no record: {error:#}");
        session.console.detail(&text);
    }
}

impl Messages {
    /// Sends to each receiver what `choose` chooses for it.
    fn tell(
        &mut self,
        session: &Session<'_>,
        occasion: Occasion,
        patience: &Patience,
        choose: impl Fn(&Receiver) -> Option<(Vec<Event>, Wording)>,
    ) {
        let mut jobs = Vec::new();
        for receiver in &self.receivers {
            let Some((events, text)) = choose(receiver) else {
                continue;
            };
            let name = receiver.name.clone();
            match &receiver.notifier {
                Ok(notifier) => jobs.push(Job {
                    name,
                    notifier: Arc::clone(notifier),
                    notice: Notice {
                        occasion,
                        events,
                        text,
                    },
                }),
                Err(error) => self.failed.push(Failure::now(name, error.clone())),
            }
        }
        let began = Instant::now();
        for delivery in deliver(jobs, patience) {
            let Delivery { name, result, .. } = delivery;
            match result {
                Ok(sent) => session.console.detail(&format!(
                    "told {name}: {} (answer: {})",
                    sent.what, sent.answer
                )),
                Err(error) => self.failed.push(Failure::now(name, error)),
            }
        }
        let took = began.elapsed().as_millis();
        session.console.detail(&format!("messages took {took} ms"));
    }

    /// A receiver that failed at both ends for the same reason is told of once.
    fn forget_repeated(&mut self) {
        let mut kept: Vec<Failure> = Vec::new();
        for failure in self.failed.drain(..) {
            let same = |it: &Failure| it.receiver == failure.receiver && it.error == failure.error;
            kept.retain(|it| !same(it));
            kept.push(failure);
        }
        self.failed = kept;
    }

    /// A record for each failure, in a storage that is kluis' own.
    fn record(&self, session: &Session<'_>, events: &[Event]) -> anyhow::Result<()> {
        if self.failed.is_empty() {
            return Ok(());
        }
        let storage = wiring::existing_storage(&session.settings)?;
        if Marker::load(&storage)?.is_none() {
            return Ok(());
        }
        let actor = session.actor(NOTIFY, self.trigger);
        let about = events.iter().find_map(|event| event.backup.as_ref());
        let about = about.map(|backup| backup.file.as_str());
        for failure in &self.failed {
            let error = format!("{}: {}", failure.receiver, failure.error);
            record_failure(&storage, &actor, about, failure.at, &error)?;
        }
        Ok(())
    }
}

impl Failure {
    fn now(receiver: String, error: NotifyError) -> Self {
        Self {
            receiver,
            error,
            at: Timestamp::now(),
        }
    }
}
