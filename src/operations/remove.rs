//! Removes backups and pins them. The manifest goes first: from then on there is
//! no backup, and an abort leaves a file, never a promise without one.

use jiff::Timestamp;

use super::prune::candidate;
use super::{OperationError, Run, Vault};
use crate::catalog::{Backup, Catalog, read_whole};
use crate::format::manifest_file::ManifestFile;
use crate::format::names::manifest_key;
use crate::lock::LockKind;
use crate::storage::{ErrorKind, Storage, StorageError};

/// Deletes backups that the operator named. Kept ones, and the last good one of
/// what was backed up, are refused without `force`, all before the first is
/// touched. Returns the bytes that are free now.
pub fn delete(
    vault: &Vault<'_>,
    backups: &[&Backup],
    force: bool,
    now: Timestamp,
) -> Result<u64, OperationError> {
    let _lock = vault.lock(LockKind::Exclusive, now)?;
    for backup in backups {
        still_there(vault.storage, backup)?;
    }
    if !force {
        // As it is under the lock: another run may have taken others away.
        refuse_the_last(&Catalog::load(vault.storage)?, backups)?;
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

fn refuse_the_last(catalog: &Catalog, backups: &[&Backup]) -> Result<(), OperationError> {
    let goes = |archive: &str| backups.iter().any(|backup| backup.archive == archive);
    for backup in catalog.backups.iter().filter(|known| goes(&known.archive)) {
        let archive = &backup.archive;
        if backup.file.as_ref().is_some_and(|file| file.state.pinned) {
            return Err(OperationError::Refused {
                what: format!(
                    "{archive} is kept; `kluis keep --release {archive}` lets it go, or delete \
                     it with --force"
                ),
            });
        }
        let Some(going) = candidate(backup) else {
            continue;
        };
        let stays = |other: &&Backup| !goes(&other.archive);
        let mut others = catalog.backups.iter().filter(stays).filter_map(candidate);
        if !others.any(|other| other.kind == going.kind && other.group == going.group) {
            return Err(OperationError::Refused {
                what: format!(
                    "{archive} is the last good backup of {}; make a new one first, or delete \
                     it with --force",
                    backup.name()
                ),
            });
        }
    }
    Ok(())
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
    let bytes = match read_whole(storage, &manifest_key(&backup.archive)) {
        Err(error) if error.kind == ErrorKind::NotFound => return Err(gone()),
        read => read?,
    };
    match ManifestFile::parse(&bytes) {
        Ok(now) if now.manifest.id != file.manifest.id => Err(gone()),
        // What became of it since is for the reading to tell.
        _ => Ok(()),
    }
}

/// Manifest first, archive second; either may be gone already. The run's record
/// names the archive by then: a crash between the two leaves no backup, but an
/// archive that only the record tells from another program's file.
pub(super) fn remove_backup(storage: &dyn Storage, backup: &Backup) -> Result<(), OperationError> {
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
    let key = manifest_key(&backup.archive);
    let of_archive = |source| OperationError::Manifest {
        archive: backup.archive.clone(),
        source,
    };
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
    let pin = || {
        let bytes = read_whole(vault.storage, &key)?;
        let mut file = ManifestFile::parse(&bytes).map_err(of_archive)?;
        file.state.pinned = pinned;
        let bytes = file.to_bytes().map_err(of_archive)?;
        Ok(vault.storage.replace(&key, &bytes)?)
    };
    match pin() {
        Ok(()) => run.complete(0, &format!("{} is kept or released", backup.archive)),
        Err(error) => {
            run.fail(&error);
            Err(error)
        }
    }
}
