//! Clears up behind a run that died: its temporaries, its archive that never got
//! a manifest or has lost it already, its record that still says RUNNING.
//!
//! The caller holds the storage's exclusive lock, so no other run is alive, and
//! every RUNNING record belongs to a dead one, or to one that could not undo
//! what it had begun. An archive without a manifest is removed only if such a
//! record names it: other programs' files stay.

use jiff::Timestamp;

use super::rekey::finish_superseded;
use super::{OperationError, Vault};
use crate::catalog::{Catalog, read_whole};
use crate::format::names::manifest_key;
use crate::format::run_record::{RunEnd, RunKey, RunRecord, RunStatus};
use crate::storage::{ErrorKind, Storage, StorageError};

/// Newest records that are looked at in any case.
const RECORDS_LOOKED_AT: usize = 64;
/// And those back to this many runs that swept themselves: what died before them
/// was swept before. More than one, because a record lies under the time at which
/// its run began to wait for the lock.
const SWEEPS_LOOKED_BACK: usize = 4;

#[derive(Debug, Default)]
pub struct Swept {
    /// What was removed.
    pub names: Vec<String>,
    /// Records that were marked as interrupted.
    pub interrupted: usize,
}

pub fn sweep(vault: &Vault<'_>, now: Timestamp) -> Result<Swept, OperationError> {
    let storage = vault.storage;
    let mut swept = Swept {
        names: storage.sweep()?,
        interrupted: 0,
    };
    let mut sweeps = 0;
    for (passed, object) in storage.list("runs/")?.iter().rev().enumerate() {
        if passed >= RECORDS_LOOKED_AT && sweeps >= SWEEPS_LOOKED_BACK {
            break;
        }
        sweeps += usize::from(is_of_a_sweeping_run(&object.key));
        if let Some(record) = running_record(vault, &object.key) {
            finish(vault, record, &object.key, &mut swept, now)?;
        }
    }
    for name in &swept.names {
        vault
            .reporter
            .detail(&format!("swept {name}, which a run that died had left"));
    }
    Ok(swept)
}

fn is_of_a_sweeping_run(key: &str) -> bool {
    let command = RunKey::parse(key).map(|key| key.command);
    command.is_some_and(|command| command.starts_with("backup") || command == "prune")
}

/// A record that cannot be read is no reason to stop a backup.
fn running_record(vault: &Vault<'_>, key: &str) -> Option<RunRecord> {
    match read_whole(vault.storage, key) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .ok()
            .filter(|record: &RunRecord| record.status == RunStatus::Running),
        Err(error) => {
            vault.reporter.warn(&error.to_string());
            None
        }
    }
}

/// Finishes what a run left, and its record. What cannot be removed is told, and
/// left to the next sweep: it must not stop a backup.
fn finish(
    vault: &Vault<'_>,
    mut record: RunRecord,
    key: &str,
    swept: &mut Swept,
    now: Timestamp,
) -> Result<(), OperationError> {
    if let Some(archive) = &record.backup
        && record.changes_its_backup()
    {
        match remove_orphan(vault.storage, archive) {
            Ok(true) => swept.names.push(archive.clone()),
            Ok(false) => {}
            Err(error) => {
                vault.reporter.warn(&format!(
                    "{archive}, which a run that died had left, stays: {error}"
                ));
                return Ok(());
            }
        }
    }
    if record.reencrypts() {
        let named = |archive: &str| {
            record.backup = Some(archive.to_owned());
            Ok(vault.storage.replace(key, &record.to_bytes())?)
        };
        let removed = Catalog::load(vault.storage)
            .map_err(OperationError::from)
            .and_then(|catalog| finish_superseded(vault, &catalog, named));
        match removed {
            Ok(removed) => swept.names.extend(removed),
            Err(error) => {
                let text = format!("what a rotation of keys that died had left stays: {error}");
                vault.reporter.warn(&text);
                return Ok(());
            }
        }
    }
    let unsaid = || "interrupted: its process ended without a word".to_owned();
    let error = record.error.clone().unwrap_or_else(unsaid);
    let ended = record.ended(now, RunEnd::Failed { error });
    vault.storage.replace(key, &ended.to_bytes())?;
    swept.interrupted += 1;
    Ok(())
}

/// Whether there was an archive without a manifest to remove.
fn remove_orphan(storage: &dyn Storage, archive: &str) -> Result<bool, StorageError> {
    match storage.open(&manifest_key(archive), 0) {
        Ok(_) => return Ok(false),
        Err(error) if error.kind == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    match storage.remove(archive) {
        Ok(()) => Ok(true),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
