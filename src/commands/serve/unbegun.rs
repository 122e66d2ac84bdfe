//! A run that could not begin, because the configuration that its process reads is
//! broken: it can leave no record and tell nobody. We can, by the settings that were
//! right when we read them.

use jiff::Timestamp;

use crate::catalog::Trust;
use crate::commands::messages;
use crate::commands::session::Session;
use crate::config::{ScheduleSettings, Settings, Work};
use crate::event::{Event, EventKind};
use crate::format::manifest::{Kind, Trigger};
use crate::operations::{Actor, HistoryFilter, Reporter, history, record_failure};
use crate::wiring;

/// What was to run, and for whom.
pub struct Unbegun<'a> {
    command: &'static str,
    event: Option<(EventKind, Option<Kind>)>,
    schedule: Option<&'a str>,
    trigger: Trigger,
}

impl<'a> Unbegun<'a> {
    pub fn scheduled(schedule: &'a ScheduleSettings) -> Self {
        let (command, event) = failure_of(schedule.work);
        Self {
            command,
            event,
            schedule: Some(&schedule.name.value),
            trigger: Trigger::Scheduled,
        }
    }

    /// As was asked over HTTP.
    pub fn ordered(kind: Kind) -> Self {
        let work = match kind {
            Kind::Db => Work::Db,
            Kind::Source => Work::Source,
        };
        let (command, event) = failure_of(work);
        Self {
            command,
            event,
            schedule: None,
            trigger: Trigger::External,
        }
    }

    /// No order can come.
    pub fn listening() -> Self {
        Self {
            command: "serve",
            event: Some((EventKind::BackupFailed, None)),
            schedule: None,
            trigger: Trigger::External,
        }
    }

    fn actor(&self, session: &Session<'_>) -> Actor {
        Actor {
            schedule: self.schedule.map(str::to_owned),
            ..session.actor(self.command, self.trigger)
        }
    }
}

/// Leaves the record of it, and sends its event; nothing where the run has left a
/// record itself. `error` is what its process said.
pub fn tell(
    session: &Session<'_>,
    settings: &Settings,
    run: &Unbegun<'_>,
    started: Timestamp,
    error: &str,
) {
    if has_record(settings, run, started) {
        return;
    }
    let actor = run.actor(session);
    let ring = wiring::keyring(settings).ok();
    let written = wiring::existing_storage(settings).and_then(|storage| {
        let ring = ring.as_ref();
        Ok(record_failure(
            &storage, ring, &actor, None, started, error,
        )?)
    });
    if let Err(error) = written {
        let name = run.schedule.unwrap_or(run.command);
        let text = format!("{name}: the run that could not begin leaves no record: {error}");
        session.console.warn(&text);
    }
    // Nobody is told of a prune, whatever comes of it.
    let Some((kind, subject)) = run.event else {
        return;
    };
    let place = settings.storage_path().ok();
    let event = Event {
        schedule: actor.schedule.clone(),
        storage: place.map_or_else(String::new, |path| path.display().to_string()),
        subject,
        problem: Some(error.to_owned()),
        ..session.event(kind, run.command, run.trigger)
    };
    messages::not_begun(session, settings, &actor, run.command, event);
}

/// The subcommand, and the event of its failure.
fn failure_of(work: Work) -> (&'static str, Option<(EventKind, Option<Kind>)>) {
    match work {
        Work::Db => ("backup db", Some((EventKind::BackupFailed, Some(Kind::Db)))),
        Work::Source => (
            "backup source",
            Some((EventKind::BackupFailed, Some(Kind::Source))),
        ),
        Work::Verify => ("verify", Some((EventKind::VerifyFailed, None))),
        Work::Check => ("check", Some((EventKind::CheckUnhealthy, None))),
        Work::Prune => ("prune", None),
    }
}

/// Whether such a run left a record since then. What cannot be read has none, and what
/// no key of ours sealed is none: better told twice.
fn has_record(settings: &Settings, run: &Unbegun<'_>, since: Timestamp) -> bool {
    let filter = HistoryFilter {
        since: Some(since),
        label: Some(settings.host.value.clone()),
        ..HistoryFilter::default()
    };
    let ring = wiring::keyring(settings);
    let trust = ring.as_ref().map_or(Trust::Unchecked, Trust::of);
    let read = wiring::existing_storage(settings)
        .and_then(|storage| Ok(history(&storage, trust, &filter)?.runs));
    let runs = read.unwrap_or_default();
    let mut ours = runs.iter().filter(|it| it.is_believed);
    ours.any(|it| match run.schedule {
        Some(schedule) => it.record.schedule.as_deref() == Some(schedule),
        None => it.record.trigger == run.trigger && it.record.command == run.command,
    })
}
