//! Removes what a re-encryption that died has left: an archive whose backup was
//! written anew already.

use crate::catalog::{Backup, Catalog, supersedes};
use crate::format::header::HeaderError;
use crate::format::manifest_file::ManifestFile;
use crate::operations::read::{integrity, open_archive};
use crate::operations::remove::remove_backup;
use crate::operations::stored::check_stored;
use crate::operations::{OperationError, Vault};

/// Removes each superseded archive whose successor is whole. `name` puts the
/// archive's name into a record first: from then on a crash leaves nothing that
/// the next sweep would not know. Returns what was removed.
pub fn finish_superseded(
    vault: &Vault<'_>,
    catalog: &Catalog,
    mut name: impl FnMut(&str) -> Result<(), OperationError>,
) -> Result<Vec<String>, OperationError> {
    let mut removed = Vec::new();
    for old in &catalog.superseded {
        let is_new = |backup: &&Backup| supersedes(backup, old);
        let Some(new) = catalog.backups.iter().find(is_new) else {
            continue;
        };
        check_successor(vault, new, old)?;
        name(&old.archive)?;
        remove_backup(vault.storage, old)?;
        removed.push(old.archive.clone());
    }
    Ok(removed)
}

/// The new archive is the one that was written in the old one's place, and is
/// there whole.
fn check_successor(vault: &Vault<'_>, new: &Backup, old: &Backup) -> Result<(), OperationError> {
    let (Some(file), Some(old_file)) = (&new.file, &old.file) else {
        return Ok(());
    };
    let from = file.manifest.reencrypted_from.as_ref();
    let sha256 = &old_file.manifest.stored.sha256;
    if from.is_none_or(|from| from.sha256 != *sha256) {
        let what = "its manifest names it as the new one of an archive that is another";
        return Err(integrity(&new.archive, what));
    }
    check_seal(vault, new, file)?;
    match check_stored(vault, new, &file.manifest)? {
        None => Ok(()),
        Some(copy) => Err(integrity(&new.archive, &copy.to_string())),
    }
}

/// Where the key is not here, the checksum of the whole archive must do.
fn check_seal(vault: &Vault<'_>, new: &Backup, file: &ManifestFile) -> Result<(), OperationError> {
    let key = match open_archive(vault.storage, &new.archive, &vault.ring) {
        Ok(opened) => opened.manifest_key,
        Err(OperationError::Header {
            source: HeaderError::NoKey { .. },
            ..
        }) => return Ok(()),
        Err(error) => return Err(error),
    };
    let not_kluis1 = || integrity(&new.archive, "its manifest says KLUIS1, and it is not");
    let checked = file.check_seal(&key.ok_or_else(not_kluis1)?);
    checked.map_err(|source| OperationError::Manifest {
        archive: new.archive.clone(),
        source,
    })
}
