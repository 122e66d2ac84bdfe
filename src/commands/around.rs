//! What surrounds a run: hooks before and behind it, and the messages about what
//! came of it. A command tells what happens by [`Happened`]; whatever goes wrong
//! around a backup that was made never makes it a failed one.

use std::cell::RefCell;
use std::fmt::Display;

use jiff::Timestamp;

use super::messages;
use super::session::Session;
use crate::cli::RecordFlags;
use crate::event::{Event, EventKind};
use crate::exit::{Exit, hint_of};
use crate::format::manifest::{Kind, Trigger};
use crate::process;

/// The run that hooks and messages stand around.
pub struct Around {
    /// The subcommand: "backup db".
    pub command: &'static str,
    pub trigger: Trigger,
    pub subject: Option<Kind>,
    /// What is told of a run that fails before it came to anything by name.
    pub failed: EventKind,
}

impl Around {
    pub fn backup(command: &'static str, subject: Kind, record: &RecordFlags) -> Self {
        Self {
            command,
            trigger: record.trigger.into(),
            subject: Some(subject),
            failed: EventKind::BackupFailed,
        }
    }
}

/// What happened so far, in order.
#[derive(Default)]
pub struct Happened(RefCell<Vec<Event>>);

impl Happened {
    pub fn add(&self, event: Event) {
        self.0.borrow_mut().push(event);
    }

    fn take(&self) -> Vec<Event> {
        self.0.take()
    }

    fn has_failure(&self) -> bool {
        self.0.borrow().iter().any(|event| !event.kind.is_success())
    }
}

impl Session<'_> {
    /// An event about nothing in particular yet.
    pub fn event(&self, kind: EventKind, command: &str, trigger: Trigger) -> Event {
        let place = self.settings.storage_path().ok();
        Event {
            kind,
            at: Timestamp::now(),
            command: command.to_owned(),
            trigger,
            schedule: self.schedule.clone(),
            host: process::host(),
            storage: place.map_or_else(String::new, |path| path.display().to_string()),
            subject: None,
            name: None,
            backup: None,
            duration_ms: None,
            problem: None,
        }
    }
}

/// Carries out `run` with what surrounds it.
pub fn around(
    session: &Session<'_>,
    around: &Around,
    run: impl FnOnce() -> anyhow::Result<Exit>,
) -> anyhow::Result<Exit> {
    let messages = messages::starting(session, around.command, around.trigger);
    let result = run();
    if let Err(error) = &result
        && !session.happened.has_failure()
    {
        session.happened.add(Event {
            subject: around.subject,
            problem: Some(problem_of(format_args!("{error:#}"), hint_of(error))),
            ..session.event(around.failed, around.command, around.trigger)
        });
    }
    messages::ended(session, messages, &session.happened.take());
    result
}

/// The error for people who are not at the terminal: the reason, and the hint.
pub fn problem_of(error: impl Display, hint: Option<String>) -> String {
    match hint {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    }
}
