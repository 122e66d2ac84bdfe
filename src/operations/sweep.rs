//! Clears up behind a run that died: its temporaries, its archive that never got
//! a manifest or has lost it already, its record that still says RUNNING.
//!
//! The caller holds the storage's exclusive lock, so no other run is alive, and
//! every RUNNING record belongs to a dead one, or to one that could not undo
//! what it had begun. Where that is not so, because somebody removed the lock's
//! file or a network's file system keeps locks to each host, what can be seen to
//! live is left alone, and what another host began within a day. An archive
//! without a manifest is removed only if such a record names it: other programs'
//! files stay. With a key at hand the record must be sealed by it: somebody who can
//! write there must not have kluis remove what he names.

use jiff::{SignedDuration, Timestamp};

use super::rekey::finish_superseded;
use super::{OperationError, Vault};
use crate::catalog::{
    Catalog, RECORDS_READ_MAX, Trust, UNSEALED_TOLD, read_record, sort_by_last_word, storage_id,
    with_common_salts,
};
use crate::checked::shell_word;
use crate::format::names::manifest_key;
use crate::format::run_record::{RunKey, RunRecord, RunStatus};
use crate::process;
use crate::storage::{ErrorKind, RECORDS, Storage, StorageError, StoredObject};
use crate::words::plural;

/// Newest records that are looked at in any case.
const RECORDS_LOOKED_AT: usize = 64;
/// And those back to this many runs that swept themselves: what died before them
/// was swept before. More than one, because one that died had not come to its end.
const SWEEPS_LOOKED_BACK: usize = 4;
/// And so much further back: file systems keep times to 2 seconds or better.
const TIMES_DIFFER: SignedDuration = SignedDuration::from_secs(2);
/// Each is written anew, durably, while the storage is locked.
const FINISHED_MAX: usize = 256;
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
    let dead = dead_runs(vault, now)?;
    dead.tell_unread(vault);
    for (key, record) in dead.sealed {
        vault.cancel.check()?;
        finish(vault, record, &key, &mut swept)?;
    }
    if dead.left > 0 {
        let left = dead.left;
        let text = format!(
            "{left} more {} RUNNING; the next runs look at them",
            plural(left, "record says", "records say")
        );
        vault.reporter.warn(&text);
    }
    for record in &dead.unsealed {
        tell_unsealed(vault, record)?;
    }
    for name in &swept.names {
        vault
            .reporter
            .detail(&format!("swept {name}, which a run that died had left"));
    }
    Ok(swept)
}

/// Of runs that died and still say RUNNING.
#[derive(Default)]
struct Dead {
    /// With their keys, at most so many as one sweep finishes; all of them are these
    /// where nothing can be told apart.
    sealed: Vec<(String, RunRecord)>,
    /// How many more there are of them.
    left: usize,
    /// Not by a key of ours: nothing is done for them, and nothing is written to them.
    unsealed: Vec<RunRecord>,
    /// Why records cannot be read, and how many more cannot.
    unread: Vec<StorageError>,
    unread_more: usize,
    /// How many were not looked at.
    not_looked_at: usize,
}

impl Dead {
    fn add(&mut self, key: &str, record: RunRecord, is_ours: bool) {
        match is_ours {
            true if self.sealed.len() < FINISHED_MAX => self.sealed.push((key.to_owned(), record)),
            true => self.left += 1,
            false if self.unsealed.len() < UNSEALED_TOLD => self.unsealed.push(record),
            false => {}
        }
    }

    fn cannot_read(&mut self, error: StorageError) {
        match self.unread.len() < UNSEALED_TOLD {
            // Removed since it was listed.
            _ if error.kind == ErrorKind::NotFound => {}
            true => self.unread.push(error),
            false => self.unread_more += 1,
        }
    }

    /// A record that cannot be read is no reason to stop a backup.
    fn tell_unread(&self, vault: &Vault<'_>) {
        let warn = |text: &str| vault.reporter.warn(text);
        for error in &self.unread {
            warn(&error.to_string());
        }
        let place = format!("{}/{RECORDS}", vault.storage.location());
        if self.unread_more > 0 {
            let more = self.unread_more;
            let records = plural(more, "record", "records");
            warn(&format!("{more} more {records} in {place} cannot be read"));
        }
        if self.not_looked_at > 0 {
            let number = self.not_looked_at;
            warn(&format!(
                "{number} records in {place} are not looked at, there are too many: look who puts \
                 them there, and move them away"
            ));
        }
    }
}

/// Which records one in which a run that died still says RUNNING is among: so many of
/// the last that were written, and those since so many sweeps. Only what is believed
/// counts, or what somebody puts there would take the place of ours.
#[derive(Default)]
struct LookedAt {
    records: usize,
    sweeps: usize,
    since: Option<Timestamp>,
}

impl LookedAt {
    fn add(&mut self, object: &StoredObject) {
        self.records += 1;
        if is_of_a_sweeping_run(&object.key) {
            self.sweeps += 1;
            if self.sweeps == SWEEPS_LOOKED_BACK {
                self.since = object.modified.checked_sub(TIMES_DIFFER).ok();
            }
        }
    }

    fn are_enough_before(&self, object: &StoredObject) -> bool {
        let is_old = self.since.is_some_and(|since| object.modified < since);
        is_old && self.records >= RECORDS_LOOKED_AT
    }
}

fn dead_runs(vault: &Vault<'_>, now: Timestamp) -> Result<Dead, OperationError> {
    let mut records = vault.storage.list("runs/")?;
    sort_by_last_word(&mut records);
    let storage_id = storage_id(vault.storage)?;
    with_common_salts(vault.storage, vault.trust(), || {
        let mut dead = Dead::default();
        let mut looked_at = LookedAt::default();
        for (number, object) in records.iter().enumerate() {
            vault.cancel.check()?;
            if looked_at.are_enough_before(object) {
                break;
            }
            if number == RECORDS_READ_MAX {
                dead.not_looked_at = records.len() - number;
                break;
            }
            let record = match read_record(vault.storage, object) {
                Ok(record) => record,
                Err(error) => {
                    dead.cannot_read(error);
                    continue;
                }
            };
            // A ring that makes no seals, such as one of recipients alone, believes
            // all; then a record is finished, and nothing is removed for it.
            let trust = vault.trust();
            let is_ours = trust.believes(&record, &object.key, storage_id.as_deref());
            if is_ours {
                looked_at.add(object);
            }
            if record.status == RunStatus::Running && !may_be_alive(vault, &record, now) {
                dead.add(&object.key, record, is_ours);
            }
        }
        Ok(dead)
    })
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

/// Finishes what a run left, and its record. What cannot be removed is told, and
/// left to the next sweep: it must not stop a backup.
fn finish(
    vault: &Vault<'_>,
    mut record: RunRecord,
    key: &str,
    swept: &mut Swept,
) -> Result<(), OperationError> {
    let is_believed = match vault.trust() {
        Trust::Ring(ring) => record.seal_holds(ring),
        Trust::NoKey | Trust::Unchecked => true,
    };
    if !is_believed {
        tell_unsealed(vault, &record)?;
    }
    if let Some(archive) = &record.backup
        && record.changes_its_backup()
        && is_believed
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
    if record.reencrypts() && is_believed {
        let salt = vault.seal_salt();
        let named = |archive: &str| {
            record.backup = Some(archive.to_owned());
            let record = record.clone().sealed(&vault.ring, salt.as_ref());
            Ok(vault.storage.replace(key, &record.to_bytes())?)
        };
        let removed = Catalog::load(vault.storage, vault.trust())
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
    let mut ended = RunRecord {
        seal: None,
        ..record.interrupted(error)
    };
    if is_believed {
        ended = ended.sealed(&vault.ring, vault.seal_salt().as_ref());
    }
    match vault.storage.replace(key, &ended.to_bytes()) {
        Ok(()) => swept.interrupted += 1,
        // A prune would make the room that the record wants.
        Err(error) if error.kind == ErrorKind::NoSpace => {
            let text = format!("the record of a run that died stays unfinished: {error}");
            vault.reporter.warn(&text);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// What such a record names stays, and the operator hears of it once.
fn tell_unsealed(vault: &Vault<'_>, record: &RunRecord) -> Result<(), OperationError> {
    let Some(archive) = record
        .backup
        .as_ref()
        .filter(|_| record.changes_its_backup())
    else {
        return Ok(());
    };
    if is_orphan(vault.storage, archive)? {
        let word = shell_word(archive);
        vault.reporter.warn(&format!(
            "{archive} has no manifest, and the record that calls it the leavings of a run that \
             died is not sealed by a key of ours: it stays; `kluis verify {word}` tells what \
             it is, `kluis delete {word}` removes it"
        ));
    }
    Ok(())
}

/// Whether it is there, and its manifest is not.
fn is_orphan(storage: &dyn Storage, archive: &str) -> Result<bool, StorageError> {
    let is_there = |key: &str| match storage.open(key, 0) {
        Ok(_) => Ok(true),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    };
    Ok(!is_there(&manifest_key(archive))? && is_there(archive)?)
}

/// Whether there was an archive without a manifest to remove.
fn remove_orphan(storage: &dyn Storage, archive: &str) -> Result<bool, StorageError> {
    if !is_orphan(storage, archive)? {
        return Ok(false);
    }
    match storage.remove(archive) {
        Ok(()) => Ok(true),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
