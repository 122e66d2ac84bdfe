//! The messages around a run: pings before it, and behind it to everybody who
//! wants to hear what came of it. A message that fails is a warning and a record
//! in the storage, and changes nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::around::problem;
use super::session::Session;
use crate::config::Settings;
use crate::event::Event;
use crate::format::manifest::Trigger;
use crate::format::run_record::NOTIFY;
use crate::notify::{
    Delivery, Job, Notice, NotifyError, Occasion, Patience, Receiver, Wording, deliver,
};
use crate::operations::{Actor, Marker, Reporter, record_failure};
use crate::process;
use crate::render::{begin_wording, run_wording};
use crate::wiring;

/// A run waits for its first pings no longer.
const BEGIN_LIMIT: Duration = Duration::from_secs(5);
/// The loop that starts all runs waits no longer.
const UNBEGUN_LIMIT: Duration = Duration::from_secs(10);
/// Who stopped the run waits no longer.
const STOPPED_LIMIT: Duration = Duration::from_secs(3);

/// What to do about [`in_clear`].
pub const USE_HTTPS: &str = "give it an https:// URL";

/// What to tell of a receiver whose URL everybody on the way can read.
pub fn in_clear(receiver: &Receiver) -> Option<String> {
    let notifier = receiver.notifier.as_ref().ok()?;
    notifier.is_in_clear().then(|| {
        let (name, host) = (&receiver.name, notifier.host());
        format!("messages to {name} at {host} go by http: its URL and what they tell can be read on the way")
    })
}

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
    for receiver in &messages.receivers {
        if let Some(what) = in_clear(receiver) {
            session.console.warn(&format!("{what}; {USE_HTTPS}"));
        }
    }
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

/// Tells of a run that could not begin, by `settings` and not by the session's.
/// One try: whoever tells has other things to do than to wait.
pub fn not_begun(
    session: &Session<'_>,
    settings: &Settings,
    actor: &Actor,
    command: &'static str,
    event: Event,
) {
    let mut messages = Messages {
        command,
        trigger: event.trigger,
        receivers: wiring::receivers(settings),
        failed: Vec::new(),
    };
    let (host, schedule) = (process::host(), event.schedule.as_deref());
    let events = [event.clone()];
    let patience = Patience::short(UNBEGUN_LIMIT, session.cancel.clone());
    messages.tell(session, Occasion::BrokenEnd, &patience, |receiver| {
        let events = receiver.interest.in_end(&events, command, schedule)?;
        let text = run_wording(&events, command, &host, event.problem.as_deref());
        Some((events, text))
    });
    let actor = Actor {
        command: NOTIFY.to_owned(),
        ..actor.clone()
    };
    messages.tell_failures(session, settings, &actor, &events);
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
    let actor = session.actor(NOTIFY, messages.trigger);
    messages.tell_failures(session, &session.settings, &actor, events);
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

    /// What was not sent: on stderr, and in the storage.
    fn tell_failures(
        &self,
        session: &Session<'_>,
        settings: &Settings,
        actor: &Actor,
        events: &[Event],
    ) {
        for Failure {
            receiver, error, ..
        } in &self.failed
        {
            session.console.warn(&format!(
                "a message to {receiver} was not sent: {error}; try it with \
                 kluis notify test --to {receiver}"
            ));
        }
        if let Err(error) = self.record(session, settings, actor, events) {
            let text = format!("the messages that were not sent leave no record: {error:#}");
            session.console.detail(&text);
        }
    }

    /// A record for each failure, in a storage that is kluis' own.
    fn record(
        &self,
        session: &Session<'_>,
        settings: &Settings,
        actor: &Actor,
        events: &[Event],
    ) -> anyhow::Result<()> {
        if self.failed.is_empty() {
            return Ok(());
        }
        let storage = wiring::existing_storage(settings)?;
        if Marker::load(&storage)?.is_none() {
            return Ok(());
        }
        let ring = session.ring().ok();
        let about = events.iter().find_map(|event| event.backup.as_ref());
        let about = about.map(|backup| backup.file.as_str());
        for failure in &self.failed {
            let error = format!("{}: {}", failure.receiver, failure.error);
            record_failure(&storage, ring, actor, about, failure.at, &error)?;
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
