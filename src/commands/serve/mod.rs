//! `kluis serve`: starts what is due, one run at a time, and what the trigger
//! asks for. Runs are children of our own program, so that one that fails, or
//! dies, takes nothing else along, and each is what the same command line from a
//! timer would be.
//!
//! `--next` belongs to this command and is none of its own: it tells what this
//! one would do, from the same settings and records.

use std::fs;

use anyhow::Context;
use crossbeam_channel::{Sender, unbounded};
use jiff::Timestamp;

use super::doctor::no_zone;
use super::session::Session;
use crate::catalog::Trust;
use crate::cli::Serve;
use crate::config::Settings;
use crate::exit::Exit;
use crate::format::manifest::Trigger;
use crate::lock::{Lock, LockError, LockKind};
use crate::operations::{OperationError, Reporter, last_starts};
use crate::process;
use crate::render::{ScheduleReport, ScheduleRow};
use crate::schedule::{Agenda, Planned};
use crate::secrets::SecretSource;
use crate::signals;
use crate::storage::Storage;
use crate::trigger::{API_KEY_BYTES_MIN, ApiKey};
use crate::wiring;

mod desk;
mod job;
mod scheduler;
mod unbegun;

use desk::Door;
use scheduler::{Scheduler, Told};
use unbegun::Unbegun;

/// Times that `--next --json` tells of each schedule.
const NEXT_TIMES: usize = 5;
/// In the storage's root; hidden names are none of a storage's.
const LOCK_NAME: &str = ".kluis-serve.lock";

pub fn run(session: &Session<'_>, wanted: &Serve) -> anyhow::Result<Exit> {
    if wanted.next {
        refuse_unknown_zone(&session.settings)?;
        session.print(&next(session))?;
        return Ok(Exit::Done);
    }
    let settings = &session.settings;
    process::reap_as_first_process().context("cannot watch over children that others left")?;
    let _held = hold_storage(session)?;
    let agenda = agenda(session, settings, session.now)?;
    let no_zone = no_zone(settings).filter(|_| agenda.next().is_some());
    if let Some((what, remedy)) = no_zone {
        session.console.warn(&format!("{what}; {remedy}"));
    }
    let key = api_key(session, settings, &agenda)?;
    let (tell, inbox) = unbounded();
    let of_signals = tell.clone();
    signals::tell(session.cancel.clone(), move |heard| {
        // Whoever would read it has ended, and so will we.
        let _ = of_signals.send(Told::Heard(heard));
    })?;
    let door = match key {
        Some(key) => Some(door(session, key, &agenda, &tell)?),
        None => None,
    };
    Scheduler::new(session, agenda, door, tell, inbox).run()
}

/// What keeps us from listening ends nothing where there is more to do.
fn door(
    session: &Session<'_>,
    key: ApiKey,
    agenda: &Agenda,
    tell: &Sender<Told>,
) -> anyhow::Result<Door> {
    let (door, error) = Door::open(session, key, tell);
    let Some(error) = error else {
        return Ok(door);
    };
    if agenda.next().is_none() {
        return Err(error);
    }
    let text = format!("{error:#}; until then the schedules run, and listening is tried again");
    session.console.warn(&text);
    let run = Unbegun::listening();
    unbegun::tell(session, &session.settings, &run, session.now, &text);
    Ok(door)
}

/// Held while serve runs: two of them on one storage would do everything twice.
/// `None` where there is no storage yet, or nobody can write to it.
fn hold_storage(session: &Session<'_>) -> anyhow::Result<Option<Lock>> {
    // A storage that cannot be opened is told by the runs.
    let storage = wiring::existing_storage(&session.settings).ok();
    let path = storage.map(|it| it.lock_file(LOCK_NAME)).transpose()?;
    let Some(path) = path.flatten() else {
        return Ok(None);
    };
    let actor = session.actor("serve", Trigger::Manual);
    let holder = actor.holder(session.now);
    // What the configuration says of waiting is meant for runs.
    let wait = session.given.lock_wait;
    match Lock::acquire(&path, LockKind::Exclusive, wait, &holder, session.cancel) {
        Ok(lock) => Ok(Some(lock)),
        Err(error @ LockError::Place { .. }) => {
            let text = format!("another kluis serve on this storage would go unseen: {error}");
            session.console.warn(&text);
            Ok(None)
        }
        Err(error) => Err(error).context("another kluis serve serves this storage"),
    }
}

/// The schedules that wait for their times; none where only the trigger counts.
fn agenda(
    session: &Session<'_>,
    settings: &Settings,
    now: Timestamp,
) -> Result<Agenda, OperationError> {
    refuse_unknown_zone(settings)?;
    let mode = settings.serve.mode.value;
    let planned = match mode.runs_schedules() {
        true => planned(session, settings, now),
        false => Vec::new(),
    };
    if planned.is_empty() && !mode.listens() {
        return Err(OperationError::Usage {
            what: "there is nothing to serve: kluis.toml has no [[schedule]] that is enabled, \
                   and the mode is internal; write one, or say BACKUP_SCHEDULER_MODE=external"
                .to_owned(),
        });
    }
    Ok(Agenda::new(planned))
}

/// In UTC a schedule would run at another hour than was meant.
fn refuse_unknown_zone(settings: &Settings) -> Result<(), OperationError> {
    let Some(tz) = &settings.unknown_tz else {
        return Ok(());
    };
    let mut enabled = settings.schedules.iter().filter(|it| it.enabled);
    match enabled.find(|it| it.zone_of_all) {
        Some(schedule) => Err(OperationError::Usage {
            what: format!(
                "the schedule {:?} has no time zone: TZ says {tz:?}, which is none that is known \
                 here; set time_zone in kluis.toml (BACKUP_CRON_TIMEZONE), or TZ to a zone that is \
                 installed (package tzdata)",
                schedule.name.value
            ),
        }),
        None => Ok(()),
    }
}

/// Every enabled schedule, from its last start on. One that never ran counts
/// from when the configuration was written: what it should have done since then
/// was missed.
fn planned(session: &Session<'_>, settings: &Settings, now: Timestamp) -> Vec<Planned> {
    let starts = starts(session, settings);
    let written = written(settings).unwrap_or(now);
    let enabled = settings.schedules.iter().filter(|it| it.enabled);
    let plan = enabled.map(|it| Planned {
        name: it.name.value.clone(),
        recurrence: it.recurrence.clone(),
        catch_up: it.catch_up,
        since: starts.get(&it.name.value).copied().unwrap_or(written),
    });
    plan.collect()
}

/// A storage that is not there yet has seen no run; one that cannot be read is
/// told, and the runs will say more.
fn starts(
    session: &Session<'_>,
    settings: &Settings,
) -> std::collections::BTreeMap<String, Timestamp> {
    let names: Vec<&str> = settings
        .schedules
        .iter()
        .map(|it| it.name.value.as_str())
        .collect();
    let there = settings.storage_path().is_ok_and(|path| path.exists());
    let read = || {
        let ring = wiring::keyring(settings)?;
        let storage = wiring::existing_storage(settings)?;
        let label = &settings.host.value;
        Ok(last_starts(&storage, Trust::of(&ring), &names, label)?)
    };
    match there.then(read).transpose() {
        Ok(starts) => starts.unwrap_or_default(),
        Err::<_, anyhow::Error>(error) => {
            let text = format!("what ran before is not known: {error:#}");
            session.console.warn(&text);
            Default::default()
        }
    }
}

fn written(settings: &Settings) -> Option<Timestamp> {
    let file = settings.config_file.as_ref()?;
    let modified = fs::metadata(file).and_then(|it| it.modified()).ok()?;
    Timestamp::try_from(modified).ok()
}

/// `None` where the mode has no trigger, or its key is too short and there are
/// schedules, which then run alone. A trigger without a key would be anybody's.
fn api_key(
    session: &Session<'_>,
    settings: &Settings,
    agenda: &Agenda,
) -> Result<Option<ApiKey>, OperationError> {
    let serve = &settings.serve;
    if !serve.mode.value.listens() {
        return Ok(None);
    }
    let usage = |what: String| OperationError::Usage { what };
    let Some(source) = &serve.api_key else {
        let mode = serve.mode.value.name();
        return Err(usage(format!(
            "the mode {mode} has an HTTP trigger, and that needs a key: set \
             BACKUP_TRIGGER_API_KEY_FILE to a file with {API_KEY_BYTES_MIN} characters or more \
             (openssl rand -hex 32 makes some)"
        )));
    };
    let place = match &source.value {
        SecretSource::Text(_) => source.origin.to_string(),
        SecretSource::File(file) | SecretSource::Credential(file) => file.display().to_string(),
    };
    let text = source.value.read();
    let text = text.map_err(|error| usage(format!("the trigger's key: {error}")))?;
    match ApiKey::new(text.expose()) {
        Ok(key) => Ok(Some(key)),
        Err(short) if agenda.next().is_some() => {
            session.console.warn(&format!(
                "{place}: {short}; the trigger stays off, and the schedules run (openssl rand -hex \
                 32 makes a key)"
            ));
            Ok(None)
        }
        Err(short) => Err(usage(format!("{place}: {short}"))),
    }
}

fn next(session: &Session<'_>) -> ScheduleReport {
    let settings = &session.settings;
    let starts = starts(session, settings);
    let mut missed = Agenda::new(planned(session, settings, session.now));
    let missed = missed.take_due(session.now);
    let rows = settings.schedules.iter().map(|it| {
        let name = &it.name.value;
        let following = std::iter::successors(it.recurrence.next_after(session.now), |then| {
            it.recurrence.next_after(*then)
        });
        ScheduleRow {
            name: name.clone(),
            what: it.work.to_string(),
            cron: it.recurrence.text().to_owned(),
            time_zone: it
                .recurrence
                .zone()
                .iana_name()
                .unwrap_or("local")
                .to_owned(),
            zone: it.recurrence.zone().clone(),
            enabled: it.enabled,
            catch_up: it.catch_up,
            next: following.take(NEXT_TIMES).collect(),
            last_started: starts.get(name).copied(),
            missed: missed.iter().any(|due| due.name == *name),
            command: it.command(),
        }
    });
    let mut schedules: Vec<ScheduleRow> = rows.collect();
    schedules.sort_by_key(|row| (!row.enabled, !row.missed, row.next.first().copied()));
    ScheduleReport {
        mode: settings.serve.mode.value.name(),
        schedules,
    }
}
