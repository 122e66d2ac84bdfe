//! Clears up behind a run that died: its temporaries, its archive that never got
//! a manifest, its record that still says RUNNING.
//!
//! The caller holds the storage's exclusive lock, so no other run is alive, and
//! every RUNNING record belongs to a dead one. An archive without a manifest is
//! removed only if such a record names it: other programs' files stay.

use jiff::Timestamp;

use super::{OperationError, Vault};
use crate::catalog::read_whole;
use crate::format::names::manifest_key;
use crate::format::run_record::{RunEnd, RunRecord, RunStatus};
use crate::storage::{ErrorKind, Storage};

/// Newest records that are looked at: every run sweeps, so what died before
/// them was swept before.
const RECORDS_LOOKED_AT: usize = 64;

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
    let records = storage.list("runs/")?;
    for object in records.iter().rev().take(RECORDS_LOOKED_AT) {
        // A record that cannot be read is no reason to stop a backup.
        let record: RunRecord = match serde_json::from_slice(&read_whole(storage, &object.key)?) {
            Ok(record) => record,
            Err(_) => continue,
        };
        if record.status != RunStatus::Running {
            continue;
        }
        if let Some(archive) = &record.backup
            && record.command.starts_with("backup")
            && remove_orphan(storage, archive)?
        {
            swept.names.push(archive.clone());
        }
        let error = "interrupted: its process ended without a word".to_owned();
        let ended = record.ended(now, RunEnd::Failed { error });
        storage.replace(&object.key, &ended.to_bytes())?;
        swept.interrupted += 1;
    }
    for name in &swept.names {
        vault
            .reporter
            .detail(&format!("swept {name}, which a run that died had left"));
    }
    Ok(swept)
}

/// Whether there was an archive without a manifest to remove.
fn remove_orphan(storage: &dyn Storage, archive: &str) -> Result<bool, OperationError> {
    match storage.open(&manifest_key(archive), 0) {
        Ok(_) => return Ok(false),
        Err(error) if error.kind == ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    match storage.remove(archive) {
        Ok(()) => Ok(true),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}
