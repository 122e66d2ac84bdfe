//! What a storage tells about its own health: manifests, records, room.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};

use super::OperationError;
use super::history::{History, HistoryFilter, PastRun, RunState, history};
use crate::catalog::{Catalog, Foreign, Ours, Repeated, Trust};
use crate::format::manifest::Manifest;
use crate::format::names::archive_of_manifest;
use crate::format::run_record::NOTIFY;
use crate::health::{BackupFact, FAILURE_DAYS, Facts, Inodes, Room, RunningFact};
use crate::series::{Series, Titles, Variant};
use crate::storage::Storage;

/// Gathers them. The records of the last days only are read.
pub fn facts(
    storage: &dyn Storage,
    trust: Trust<'_>,
    catalog: &Catalog,
    now: Timestamp,
) -> Result<Facts, OperationError> {
    let filter = HistoryFilter {
        since: Some(failures_since(now)),
        ..HistoryFilter::default()
    };
    let past = history(storage, trust, &filter)?;
    Ok(facts_with(storage, catalog, &past, now))
}

/// The same where the runs, those of the last days among them, were read already.
pub fn facts_with(
    storage: &dyn Storage,
    catalog: &Catalog,
    past: &History,
    now: Timestamp,
) -> Facts {
    let runs = &past.runs;
    let since = failures_since(now);
    let ended_badly = |run: &&PastRun| {
        run.record.started >= since && matches!(run.state, RunState::Failed | RunState::Interrupted)
    };
    // Bad news are taken from anybody: the run that could not have its key could
    // not seal its record either. A message that was not sent is no backup that
    // failed.
    let is_message = |run: &&PastRun| run.record.command == NOTIFY;
    let (unsent, failures): (Vec<_>, Vec<_>) =
        runs.iter().filter(ended_badly).partition(is_message);
    let when = |runs: Vec<&PastRun>| runs.iter().map(|run| run.record.started).collect();
    let (titles, series) = (catalog.titles(), catalog.series());
    let of_backup = |backup: &Ours| fact(backup, &titles, &series);
    Facts {
        backups: catalog.backups.iter().filter_map(of_backup).collect(),
        failures: when(failures),
        unsent: when(unsent),
        running: runs
            .iter()
            .filter(|run| run.state == RunState::Running)
            .map(running)
            .collect(),
        records_passed_over: past.passed_over(),
        room: room(storage),
        inodes: inodes(storage),
        unreadable: catalog.unreadable.iter().map(|it| it.what()).collect(),
        alarming: alarming(catalog),
        repeated: catalog.repeated.iter().map(repeated).collect(),
        totals: catalog.totals(),
        uncounted: catalog.uncounted(),
        keyless: None,
        unasked: None,
        uncovered: None,
    }
}

fn running(run: &PastRun) -> RunningFact {
    RunningFact {
        command: run.record.command.clone(),
        started: run.record.started,
        host: run.record.host.clone(),
    }
}

/// What claims to be ours and is not as it was written.
fn alarming(catalog: &Catalog) -> Vec<(String, String)> {
    let alarming = catalog.foreign.iter().filter(|it| it.why.is_alarming());
    let told = |it: &Foreign| (it.described().archive.clone(), it.why.to_string());
    alarming.map(told).collect()
}

fn repeated(repeated: &Repeated) -> (String, String) {
    (repeated.ours.archive.clone(), repeated.why())
}

/// Whether a backup there is encrypted, as its manifest has it.
pub fn holds_encrypted(storage: &dyn Storage) -> Result<bool, OperationError> {
    let catalog = Catalog::load(storage, Trust::NoKey)?;
    let manifests = catalog.all().filter_map(|backup| backup.file.as_ref());
    let mut encryption = manifests.map(|file| file.manifest.encryption.as_ref());
    Ok(encryption.any(|encryption| encryption.is_some()))
}

fn failures_since(now: Timestamp) -> Timestamp {
    now - SignedDuration::from_hours(24 * FAILURE_DAYS)
}

/// How many backups are there, and how large they are together: by the list of files
/// alone.
pub fn count_stored(storage: &dyn Storage) -> Result<Stored, OperationError> {
    let objects = storage.list("")?;
    let sizes: HashMap<&str, u64> = objects.iter().map(|it| (&*it.key, it.bytes)).collect();
    let archives = objects.iter().filter_map(|it| archive_of_manifest(&it.key));
    let of_backups = archives.filter_map(|archive| sizes.get(archive));
    Ok(of_backups.fold(Stored::default(), |all, bytes| Stored {
        backups: all.backups + 1,
        bytes: all.bytes.saturating_add(*bytes),
    }))
}

/// Of a storage, whosever its backups are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stored {
    pub backups: u64,
    pub bytes: u64,
}

fn room(storage: &dyn Storage) -> Option<Room> {
    Some(Room {
        free_bytes: storage.free_bytes()?,
        total_bytes: storage.total_bytes()?,
    })
}

fn inodes(storage: &dyn Storage) -> Option<Inodes> {
    Some(Inodes {
        free: storage.free_inodes()?,
        total: storage.total_inodes()?,
    })
}

/// What was adopted is looked at where no whole one goes on with it: until then it is all
/// there is.
fn stands(series: &Series, all: &BTreeSet<&Series>) -> bool {
    match series.variant {
        Variant::Whole => true,
        Variant::Adopted => !all.contains(&series.whole()),
        Variant::Part(_) | Variant::Replaced => false,
    }
}

fn fact(backup: &Ours, titles: &Titles, all: &BTreeSet<&Series>) -> Option<BackupFact> {
    let file = backup.file.as_ref()?;
    let manifest = &file.manifest;
    let series = backup.series.clone().filter(|it| stands(it, all))?;
    let verification = file.state.verification.as_ref();
    Some(BackupFact {
        title: titles.get(&series.whole()).unwrap_or(&series.name).clone(),
        series,
        created_at: manifest.created_at,
        stored_bytes: backup.stored_bytes(),
        raw_bytes: manifest.content.raw_bytes,
        id: manifest.id.to_string(),
        standing: backup.standing()?,
        proven_at: verification.filter(|it| it.ok).map(|it| it.at),
        lacks: manifest.lacks(),
        encrypted: manifest.encryption.is_some(),
        tables: tables(manifest),
    })
}

fn tables(manifest: &Manifest) -> BTreeMap<String, u64> {
    let database = manifest.database.iter();
    let tables = database.flat_map(|database| &database.ledger.tables);
    tables
        .map(|table| (format!("{}.{}", table.schema, table.name), table.rows))
        .collect()
}
