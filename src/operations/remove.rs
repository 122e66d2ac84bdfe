//! Removes backups and pins them. The manifest goes first: from then on there is
//! no backup, and an abort leaves a file, never a promise without one.

use jiff::Timestamp;

use super::{OperationError, Run, Vault};
use crate::catalog::{Backup, read_whole};
use crate::format::manifest_file::ManifestFile;
use crate::format::names::manifest_key;
use crate::lock::LockKind;
use crate::storage::{ErrorKind, Storage, StorageError};

/// Deletes backups that the operator named. Kept ones are refused, all before
/// the first is touched.
pub fn delete(
    vault: &Vault<'_>,
    backups: &[&Backup],
    now: Timestamp,
) -> Result<u64, OperationError> {
    let _lock = vault.lock(LockKind::Exclusive, now)?;
    let pinned = |backup: &&&Backup| backup.file.as_ref().is_some_and(|file| file.state.pinned);
    if let Some(kept) = backups.iter().find(pinned) {
        return Err(OperationError::Refused {
            what: format!(
                "{} is kept; `kluis keep --release {}` lets it go, then delete it",
                kept.archive, kept.archive
            ),
        });
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
    let mut file = ManifestFile::parse(&read_whole(vault.storage, &key)?).map_err(of_archive)?;
    file.state.pinned = pinned;
    Ok(vault
        .storage
        .replace(&key, &file.to_bytes().map_err(of_archive)?)?)
}
