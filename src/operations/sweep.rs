//! Clears up behind a run that died: its temporaries, its archive that never got
//! a manifest or has lost it already, its record that still says RUNNING.
//!
//! The caller holds the storage's exclusive lock, so no other run is alive, and
//! every RUNNING record belongs to a dead one, or to one that could not undo
//! what it had begun. Where that is not so, because somebody removed the lock's
//! file or a network's file system keeps locks to each host, what can be seen to
//! live is left alone, and what another host began within a day. An archive
//! without a manifest is removed only if such a record names it: other programs'
//! files stay.

use jiff::{SignedDuration, Timestamp};

use super::rekey::finish_superseded;
use super::{OperationError, Vault};
use crate::catalog::{Catalog, read_whole};
use crate::format::names::manifest_key;
use crate::format::run_record::{RunKey, RunRecord, RunStatus};
use crate::process;
use crate::storage::{ErrorKind, Storage, StorageError, StoredObject};

/// Newest records that are looked at in any case.
const RECORDS_LOOKED_AT: usize = 64;
/// And those back to this many runs that swept themselves: what died before them
/// was swept before. More than one, because one that died had not come to its end.
const SWEEPS_LOOKED_BACK: usize = 4;
/// And so much further back: file systems keep times to 2 seconds or better.
const TIMES_DIFFER: SignedDuration = SignedDuration::from_secs(2);
/// Nobody here can tell whether another host's run is alive.
const OTHER_HOSTS_AGE: SignedDuration = SignedDuration::from_hours(24);

/// How the error begins of a record whose process ended without a word.
pub(super) const INTERRUPTED: &str = "interrupted";

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
    for object in records_looked_at(storage)? {
        if let Some(record) = running_record(vault, &object.key)
            && !may_be_alive(vault, &record, now)
        {
            finish(vault, record, &object.key, &mut swept)?;
        }
    }
    for name in &swept.names {
        vault
            .reporter
            .detail(&format!("swept {name}, which a run that died had left"));
    }
    Ok(swept)
}

/// Those in which a run that died may still say RUNNING. By their last word: a run
/// that waited for the lock lies under an early time.
fn records_looked_at(storage: &dyn Storage) -> Result<Vec<StoredObject>, StorageError> {
    let mut records = storage.list("runs/")?;
    records.sort_by_key(|object| std::cmp::Reverse(object.modified));
    let mut sweeps = records
        .iter()
        .filter(|object| is_of_a_sweeping_run(&object.key));
    let since = sweeps.nth(SWEEPS_LOOKED_BACK - 1).map(|it| it.modified);
    let since = since.and_then(|since| since.checked_sub(TIMES_DIFFER).ok());
    let is_new = |object: &StoredObject| since.is_none_or(|since| object.modified >= since);
    let looked_at = records.partition_point(is_new).max(RECORDS_LOOKED_AT);
    records.truncate(looked_at);
    Ok(records)
}

/// A run of this process that is not at its end only reads, or has left work.
fn may_be_alive(vault: &Vault<'_>, record: &RunRecord, now: Timestamp) -> bool {
    if record.host != vault.actor.host {
        return now.duration_since(record.started) < OTHER_HOSTS_AGE;
    }
    if record.process == vault.actor.process {
        return !record.changes_its_backup();
    }
    process::is_running(&record.process)
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
    let unsaid = || format!("{INTERRUPTED}: its process ended without a word");
    let error = record.error.clone().unwrap_or_else(unsaid);
    let ended = record.interrupted(error);
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
