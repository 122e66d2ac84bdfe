//! Removes backups and pins them. The manifest goes first: from then on there is
//! no backup, and an abort leaves a file, never a promise without one.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::prune::candidate;
use super::state::change_state;
use super::{OperationError, Run, Vault};
use crate::catalog::{Backup, Catalog, Foreign, MANIFEST_BYTES_MAX, read_whole};
use crate::checked::shell_word;
use crate::format::manifest_file::ManifestFile;
use crate::format::names::manifest_key;
use crate::lock::{self, Lock, LockKind};
use crate::retention::Candidate;
use crate::storage::{ErrorKind, Storage, StorageError};

/// Deletes backups that the operator named. Kept ones, and the last good one of
/// what was backed up, are refused without `force`, all before the first is
/// touched. One that is proven or restored by another run is waited for as the lock
/// is. Returns the bytes that are free now.
pub fn delete(
    vault: &Vault<'_>,
    backups: &[&Backup],
    force: bool,
    now: Timestamp,
) -> Result<u64, OperationError> {
    let _lock = lock_unheld(vault, backups, now)?;
    for backup in backups {
        still_there(vault.storage, backup)?;
    }
    if !force {
        // As it is under the lock: another run may have taken others away.
        let catalog = vault.catalog()?;
        refuse_the_last(&catalog, backups)?;
        refuse_the_only(&catalog, backups)?;
        refuse_foreign(&catalog, backups)?;
    }
    let mut freed_bytes = 0;
    for backup in backups {
        let mut run = Run::start_freeing(vault, Some(&backup.archive), now)?;
        if let Err(error) = remove_backup(vault.storage, backup) {
            run.leaves_work();
            run.fail(&error);
            return Err(error);
        }
        freed_bytes += backup.stored_bytes();
        run.complete(
            backup.stored_bytes(),
            &format!("{} is deleted", backup.archive),
        )?;
    }
    Ok(freed_bytes)
}

/// The storage's lock, at a moment when no other run holds one of `backups`. While it
/// waits for one of them, others can have the lock.
fn lock_unheld(
    vault: &Vault<'_>,
    backups: &[&Backup],
    now: Timestamp,
) -> Result<Option<Lock>, OperationError> {
    let begun = Instant::now();
    let left = |whole: Duration| whole.saturating_sub(begun.elapsed());
    let mut is_told = false;
    loop {
        let wait = vault.lock_wait.map(left);
        let lock = vault.lock_within(LockKind::Exclusive, now, wait)?;
        let mut held = backups
            .iter()
            .filter(|it| vault.storage.is_held(&it.archive));
        let Some(first) = held.next() else {
            return Ok(lock);
        };
        let wait = wait.unwrap_or_default();
        if wait.is_zero() {
            return Err(held_by_another(first));
        }
        drop(lock);
        if !std::mem::replace(&mut is_told, true) {
            let archive = &first.archive;
            let text = format!("waiting for the run that proves or restores {archive}");
            vault.reporter.detail(&text);
        }
        vault.cancel.check()?;
        std::thread::sleep(wait.min(lock::POLL));
    }
}

fn refuse_the_last(catalog: &Catalog, backups: &[&Backup]) -> Result<(), OperationError> {
    let goes = |archive: &str| backups.iter().any(|backup| backup.archive == archive);
    for backup in catalog.backups.iter().filter(|known| goes(&known.archive)) {
        let archive = &backup.archive;
        if backup.file.as_ref().is_some_and(|file| file.state.pinned) {
            return Err(OperationError::Refused {
                what: format!(
                    "{archive} is kept; `kluis keep --release {}` lets it go, or delete it \
                     with --force",
                    shell_word(archive)
                ),
            });
        }
        let Some(series) = &backup.series else {
            continue;
        };
        let going = candidate(backup);
        let others = catalog.backups.iter().filter(|it| !goes(&it.archive));
        let complete = going.as_ref().is_some_and(|going| going.complete);
        let mut others = others.filter_map(candidate);
        let stands_for =
            |other: Candidate| other.series == *series && (other.complete || !complete);
        if others.any(stands_for) {
            continue;
        }
        let what = match going {
            Some(_) => "is the last good backup of",
            None => "is no good, and yet the last that there is of",
        };
        return Err(OperationError::Refused {
            what: format!(
                "{archive} {what} {}; make a new one first, or delete it with --force",
                backup.name()
            ),
        });
    }
    Ok(())
}

/// An archive without a manifest may be all that there is of its name.
fn refuse_the_only(catalog: &Catalog, backups: &[&Backup]) -> Result<(), OperationError> {
    let goes = |archive: &str| backups.iter().any(|backup| backup.archive == archive);
    let alone = || catalog.all().filter(|known| known.file.is_none());
    for backup in alone().filter(|known| goes(&known.archive)) {
        let stays = |other: &Backup| {
            let same = (other.kind(), other.name()) == (backup.kind(), backup.name());
            same && !goes(&other.archive)
        };
        let mut ours = catalog.backups.iter().filter(|other| stays(other));
        let is_backup = ours.any(|other| candidate(other).is_some());
        if !is_backup && !alone().any(stays) {
            let (archive, name) = (&backup.archive, backup.name());
            return Err(OperationError::Refused {
                what: format!(
                    "{archive} is all that there is of {name}; kluis adopt {archive} makes it a \
                     backup, or delete it with --force"
                ),
            });
        }
    }
    Ok(())
}

/// A backup under a key that is not here may be the last one of somebody's.
fn refuse_foreign(catalog: &Catalog, backups: &[&Backup]) -> Result<(), OperationError> {
    let goes = |foreign: &&Foreign| {
        let described = foreign.described();
        let named = backups.iter().any(|it| it.archive == described.archive);
        named && described.file.is_some()
    };
    match catalog.foreign.iter().find(goes) {
        None => Ok(()),
        Some(foreign) => Err(OperationError::Refused {
            what: format!(
                "{} is not sealed by a key of ours ({}), so nothing tells whether others can \
                 stand for it; delete it with --force",
                foreign.described().archive,
                foreign.why
            ),
        }),
    }
}

/// That the backup is still the one that was found before the lock was taken:
/// another run may have removed it since, and a third one made a new backup under
/// its name. One without a manifest has nothing to tell it by.
pub(super) fn still_there(storage: &dyn Storage, backup: &Backup) -> Result<(), OperationError> {
    let Some(file) = &backup.file else {
        return Ok(());
    };
    let gone = || OperationError::Gone {
        archive: backup.archive.clone(),
    };
    let bytes = match read_whole(storage, &manifest_key(&backup.archive), MANIFEST_BYTES_MAX) {
        Err(error) if error.kind == ErrorKind::NotFound => return Err(gone()),
        read => read?,
    };
    match ManifestFile::parse(&bytes) {
        Ok(now) if now.manifest.id != file.manifest.id => Err(gone()),
        // What became of it since is for the reading to tell.
        _ => Ok(()),
    }
}

fn held_by_another(backup: &Backup) -> OperationError {
    OperationError::Held {
        archive: backup.archive.clone(),
    }
}

/// Manifest first, archive second; either may be gone already. The run's record
/// names the archive by then: a crash between the two leaves no backup, but an
/// archive that only the record tells from another program's file.
pub(super) fn remove_backup(storage: &dyn Storage, backup: &Backup) -> Result<(), OperationError> {
    // What is proven or restored meanwhile stays until that has ended.
    if storage.is_held(&backup.archive) {
        return Err(held_by_another(backup));
    }
    remove_if_there(storage, &manifest_key(&backup.archive))?;
    Ok(remove_if_there(storage, &backup.archive)?)
}

pub(super) fn remove_if_there(storage: &dyn Storage, key: &str) -> Result<(), StorageError> {
    match storage.remove(key) {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Pins a backup, or releases it.
pub fn keep(
    vault: &Vault<'_>,
    backup: &Backup,
    pinned: bool,
    now: Timestamp,
) -> Result<(), OperationError> {
    let _lock = vault.lock(LockKind::Exclusive, now)?;
    if backup.file.is_none() {
        return Err(OperationError::Usage {
            what: format!(
                "{} has no manifest to write that into; prune leaves it alone",
                backup.archive
            ),
        });
    }
    still_there(vault.storage, backup)?;
    let run = Run::start(vault, Some(&backup.archive), now)?;
    let pin = |file: &mut ManifestFile| {
        file.state.pinned = pinned;
        true
    };
    match change_state(vault, &backup.archive, pin) {
        Ok(()) => run.complete(0, &format!("{} is kept or released", backup.archive)),
        Err(error) => {
            run.fail(&error);
            Err(error)
        }
    }
}
