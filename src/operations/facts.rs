//! What a storage tells about its own health: manifests, records, room.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::OperationError;
use super::history::{HistoryFilter, PastRun, RunState, history};
use crate::catalog::{Backup, Catalog};
use crate::format::manifest::Manifest;
use crate::format::run_record::NOTIFY;
use crate::health::{BackupFact, FAILURE_DAYS, Facts, Room};
use crate::storage::Storage;

/// Gathers them. The records of the last days only are read.
pub fn facts(
    storage: &dyn Storage,
    catalog: &Catalog,
    now: Timestamp,
) -> Result<Facts, OperationError> {
    let filter = HistoryFilter {
        since: Some(failures_since(now)),
        ..HistoryFilter::default()
    };
    let runs = history(storage, &filter)?.runs;
    Ok(facts_with(storage, catalog, &runs, now))
}

/// The same where the runs, those of the last days among them, were read already.
pub fn facts_with(
    storage: &dyn Storage,
    catalog: &Catalog,
    runs: &[PastRun],
    now: Timestamp,
) -> Facts {
    let since = failures_since(now);
    let ended_badly = |run: &&PastRun| {
        run.record.started >= since && matches!(run.state, RunState::Failed | RunState::Interrupted)
    };
    // A message that was not sent is no backup that failed.
    let backups = runs.iter().filter(|run| run.record.command != NOTIFY);
    let failures = backups.filter(ended_badly);
    Facts {
        backups: catalog.backups.iter().filter_map(fact).collect(),
        failures: failures.map(|run| run.record.started).collect(),
        room: room(storage),
        unreadable: catalog.unreadable.iter().map(|it| it.key.clone()).collect(),
        uncovered: None,
    }
}

fn failures_since(now: Timestamp) -> Timestamp {
    now - SignedDuration::from_hours(24 * FAILURE_DAYS)
}

fn room(storage: &dyn Storage) -> Option<Room> {
    Some(Room {
        free_bytes: storage.free_bytes()?,
        total_bytes: storage.total_bytes()?,
    })
}

fn fact(backup: &Backup) -> Option<BackupFact> {
    let file = backup.file.as_ref()?;
    let manifest = &file.manifest;
    let database = manifest.database.as_ref();
    let is_part = database.is_some_and(|database| !database.selection.is_everything());
    if is_part || manifest.before_restore_of.is_some() {
        return None;
    }
    let verification = file.state.verification.as_ref();
    Some(BackupFact {
        kind: manifest.kind,
        name: manifest.name.clone(),
        created_at: manifest.created_at,
        stored_bytes: backup.stored_bytes(),
        raw_bytes: manifest.content.raw_bytes,
        // An archive that is gone is as bad as one that is damaged.
        proof: backup.stored.as_ref().and(backup.proof()),
        proven_at: verification.filter(|it| it.ok).map(|it| it.at),
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
