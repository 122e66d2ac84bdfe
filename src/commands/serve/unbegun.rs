//! A scheduled run that could not begin, because the configuration that its
//! process reads is broken: it can leave no record and tell nobody. We can, by the
//! settings that were right when we read them.

use jiff::Timestamp;

use crate::commands::messages;
use crate::commands::session::Session;
use crate::config::{ScheduleSettings, Settings, Work};
use crate::event::{Event, EventKind};
use crate::format::manifest::{Kind, Trigger};
use crate::operations::{Actor, HistoryFilter, Reporter, history, record_failure};
use crate::wiring;

/// Leaves the record of it, and sends its event; nothing where the run has left a
/// record itself. `error` is what its process said.
pub fn tell(
    session: &Session<'_>,
    settings: &Settings,
    schedule: &ScheduleSettings,
    started: Timestamp,
    error: &str,
) {
    let (command, event) = failure_of(schedule.work);
    let name = &schedule.name.value;
    if has_record(settings, name, started) {
        return;
    }
    let actor = Actor {
        schedule: Some(name.clone()),
        ..session.actor(command, Trigger::Scheduled)
    };
    let written = wiring::existing_storage(settings)
        .and_then(|storage| Ok(record_failure(&storage, &actor, None, started, error)?));
    if let Err(error) = written {
        let text = format!("{name}: the run that could not begin leaves no record: {error}");
        session.console.warn(&text);
    }
    // Nobody is told of a prune, whatever comes of it.
    let Some((kind, subject)) = event else {
        return;
    };
    let place = settings.storage_path().ok();
    let event = Event {
        schedule: Some(name.clone()),
        storage: place.map_or_else(String::new, |path| path.display().to_string()),
        subject,
        problem: Some(error.to_owned()),
        ..session.event(kind, command, Trigger::Scheduled)
    };
    messages::not_begun(session, settings, &actor, command, event);
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

/// Whether a run of this schedule left a record since then. What cannot be read
/// has none.
fn has_record(settings: &Settings, schedule: &str, since: Timestamp) -> bool {
    let filter = HistoryFilter {
        since: Some(since),
        ..HistoryFilter::default()
    };
    let read =
        wiring::existing_storage(settings).and_then(|storage| Ok(history(&storage, &filter)?.runs));
    let runs = read.unwrap_or_default();
    runs.iter()
        .any(|run| run.record.schedule.as_deref() == Some(schedule))
}
