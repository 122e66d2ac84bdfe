//! What surrounds a run: hooks before and behind it, and the messages about what
//! came of it. A command tells what happens by [`Happened`]; whatever goes wrong
//! around a backup that was made never makes it a failed one.

use std::cell::RefCell;
use std::fmt::Display;
use std::io;

use anyhow::Error;
use jiff::Timestamp;

use super::messages;
use super::session::Session;
use crate::cli::{RecordFlags, RunFlags};
use crate::event::{Event, EventKind};
use crate::exit::{Exit, exit_of, hint_of};
use crate::format::manifest::{Kind, Trigger};
use crate::hooks::{Context, Moment};
use crate::operations::{Reporter, has_record, record_failure};
use crate::process;
use crate::render::whole;
use crate::wiring;

mod hooks;

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
    /// A command that people run; nothing starts it for them.
    pub fn by_hand(command: &'static str, failed: EventKind) -> Self {
        Self {
            command,
            trigger: Trigger::Manual,
            subject: None,
            failed,
        }
    }

    /// A command that says who started it.
    pub fn run(command: &'static str, failed: EventKind, flags: &RunFlags) -> Self {
        Self {
            trigger: flags.trigger.into(),
            ..Self::by_hand(command, failed)
        }
    }

    /// Whoever stands at the terminal needs no message about a mistyped flag.
    fn is_news(&self, error: &Error) -> bool {
        self.trigger != Trigger::Manual || exit_of(error) != Exit::Usage
    }

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
    /// An event about nothing in particular yet, that took as long as the run so far.
    pub fn event(&self, kind: EventKind, command: &str, trigger: Trigger) -> Event {
        let place = self.settings.storage_path().ok();
        let at = Timestamp::now();
        let took = at.duration_since(self.now).as_millis();
        Event {
            kind,
            at,
            command: command.to_owned(),
            trigger,
            schedule: self.schedule.clone(),
            host: process::host(),
            storage: place.map_or_else(String::new, |path| path.display().to_string()),
            subject: None,
            name: None,
            backup: None,
            // A clock that was set back makes none.
            duration_ms: u64::try_from(took).ok(),
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
    // Whoever thaws must be the one who froze: without its turn no hook is run.
    let turn = may_begin(session).and_then(|()| hooks::turn(session, around));
    let (turn, result) = match turn {
        Ok(turn) => (Some(turn), begin(session, around, run)),
        Err(error) => (None, Err(error)),
    };
    if let Err(error) = &result
        && around.is_news(error)
    {
        came_to_nothing(session, around, error);
    }
    let events = session.happened.take();
    let behind_well = match turn {
        Some(_turn) => hooks::behind(session, around, &result, &events),
        None => true,
    };
    messages::ended(session, messages, &events, result.as_ref().err());
    match (result, behind_well) {
        // What was to be done is done; what stands around it is not.
        (Ok(Exit::Done), false) => Ok(Exit::Incomplete),
        (result, _) => result,
    }
}

fn may_begin(session: &Session<'_>) -> anyhow::Result<()> {
    match &session.unheard {
        Some(error) => Err(io::Error::new(error.kind(), error.to_string()).into()),
        None => Ok(()),
    }
}

fn begin(
    session: &Session<'_>,
    around: &Around,
    run: impl FnOnce() -> anyhow::Result<Exit>,
) -> anyhow::Result<Exit> {
    hooks::at(session, around, Moment::Before, Context::new())
        .map_err(|error| Error::new(error).context("the run was not begun"))?;
    run()
}

/// A run that failed on its way to the first backup leaves its trace all the
/// same: an event, and in the storage a record.
fn came_to_nothing(session: &Session<'_>, around: &Around, error: &Error) {
    let told = session.happened.has_failure();
    if !told {
        session.happened.add(Event {
            subject: around.subject,
            problem: Some(problem(error)),
            ..session.event(around.failed, around.command, around.trigger)
        });
    }
    if around.failed == EventKind::BackupFailed {
        record(session, around.command, around.trigger, None, error);
    }
}

/// Leaves a record of what went wrong, unless the run has left one itself.
fn record(
    session: &Session<'_>,
    command: &str,
    trigger: Trigger,
    about: Option<&str>,
    error: &Error,
) {
    let actor = session.actor(command, trigger);
    let written = || -> anyhow::Result<()> {
        let storage = wiring::existing_storage(&session.settings)?;
        if !has_record(&storage, session.trust(), &actor, session.now)? {
            record_failure(
                &storage,
                session.ring().ok(),
                &actor,
                about,
                session.now,
                &whole(error),
            )?;
        }
        Ok(())
    };
    if let Err(error) = written() {
        let text = format!("this run leaves no record: {}", whole(&error));
        session.console.detail(&text);
    }
}

/// [`problem_of`] of what ended a command.
pub fn problem(error: &anyhow::Error) -> String {
    problem_of(whole(error), hint_of(error))
}

/// The error for people who are not at the terminal: the reason, and the hint.
pub fn problem_of(error: impl Display, hint: Option<String>) -> String {
    match hint {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    }
}
