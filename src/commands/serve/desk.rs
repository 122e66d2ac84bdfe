//! What stands behind the HTTP trigger: orders go to the scheduler's loop, the
//! report is made by a child of its own.

use std::time::{Duration, Instant};

use anyhow::Context;
use crossbeam_channel::Sender;

use super::job::ourselves;
use super::scheduler::Told;
use crate::commands::session::{GivenFlags, Session};
use crate::exit::Exit;
use crate::operations::Reporter;
use crate::process::ChildRun;
use crate::trigger::{ApiKey, Desk, Order, Outcome, Server};

struct Counter {
    tell: Sender<Told>,
    given: GivenFlags,
}

impl Desk for Counter {
    fn take(&self, order: Order) {
        if let Err(unsent) = self.tell.send(Told::Ordered(order))
            && let Told::Ordered(order) = unsent.into_inner()
        {
            order.answer(Outcome::Stopping);
        }
    }

    fn page(&self) -> Result<Vec<u8>, String> {
        let tool = ourselves(&GivenFlags {
            // A report waits for nobody; what it warns of, its reader sees.
            lock_wait: Some(Duration::ZERO),
            ..self.given.clone()
        });
        let tool = tool.args(["report", "--html", "-"]).keep_stderr();
        let ended = ChildRun::spawn(&tool).and_then(ChildRun::wait);
        let ended = ended.map_err(|error| error.to_string())?;
        match ended.exit_code == i32::from(Exit::Done.code()) && !ended.stdout.is_empty() {
            true => Ok(ended.stdout),
            false => {
                let said = ended.stderr.lines().next().unwrap_or("it said nothing");
                Err(format!(
                    "kluis report ended with exit code {}: {said}",
                    ended.exit_code
                ))
            }
        }
    }
}

/// The longest pause before listening is tried again.
const PAUSE_MAX: Duration = Duration::from_mins(10);
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// The trigger, which listens or will: whoever took its address before must not keep
/// the schedules from running.
pub struct Door {
    key: ApiKey,
    server: Option<Server>,
    /// When listening is tried again, and how long the pause after that is.
    next_try: Instant,
    pause: Duration,
}

impl Door {
    /// Tries to listen; and why that was not possible, which is tried again then.
    pub fn open(
        session: &Session<'_>,
        key: ApiKey,
        tell: &Sender<Told>,
    ) -> (Self, Option<anyhow::Error>) {
        let (server, error) = match listen(session, key.clone(), tell.clone()) {
            Ok(server) => (Some(server), None),
            Err(error) => (None, Some(error)),
        };
        let door = Self {
            key,
            server,
            next_try: Instant::now() + FIRST_PAUSE,
            pause: FIRST_PAUSE,
        };
        (door, error)
    }

    pub fn is_open(&self) -> bool {
        self.server.is_some()
    }

    pub fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    pub fn change_key(&mut self, key: ApiKey) {
        if let Some(server) = &self.server {
            server.change_key(key.clone());
        }
        self.key = key;
    }

    /// Where it is time for it.
    pub fn try_again(&mut self, session: &Session<'_>, tell: &Sender<Told>) {
        if self.is_open() || Instant::now() < self.next_try {
            return;
        }
        match listen(session, self.key.clone(), tell.clone()) {
            Ok(server) => self.server = Some(server),
            Err(error) => {
                self.pause = PAUSE_MAX.min(2 * self.pause);
                self.next_try = Instant::now() + self.pause;
                let seconds = self.pause.as_secs();
                let text = format!("{error:#}; it is tried again in {seconds} s");
                session.console.detail(&text);
            }
        }
    }

    /// How long until somebody has to look.
    pub fn pause(&self) -> Option<Duration> {
        let closed = self.server.is_none();
        closed.then(|| self.next_try.saturating_duration_since(Instant::now()))
    }
}

/// Opens the trigger.
fn listen(session: &Session<'_>, key: ApiKey, tell: Sender<Told>) -> anyhow::Result<Server> {
    let wanted = session.settings.serve.listen.value;
    let counter = Counter {
        tell,
        given: session.given.clone(),
    };
    let server = Server::start(wanted, key, counter).with_context(|| {
        format!("cannot listen on {wanted}; choose another address: [serve] listen")
    })?;
    let address = server.address();
    if !address.ip().is_loopback() {
        session.console.warn(&format!(
            "the trigger listens on {address} without TLS: who listens on the way reads its \
             key; put a proxy with TLS before it, and listen on 127.0.0.1"
        ));
    }
    session
        .console
        .info(&format!("listening on http://{address}"));
    Ok(server)
}
