//! Removes what a re-encryption that died has left: an archive whose backup was
//! written anew already.

use crate::catalog::{Backup, Catalog, Ours, Superseded, supersedes};
use crate::format::manifest_file::ManifestFile;
use crate::operations::read::{integrity, open_archive};
use crate::operations::remove::remove_backup;
use crate::operations::stored::{Stored, check_stored};
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
    for old in catalog.superseded.iter().map(Superseded::backup) {
        let is_new = |backup: &&Ours| supersedes(backup, old);
        let Some(new) = catalog.backups.iter().find(is_new) else {
            continue;
        };
        match check_successor(vault, new) {
            Err(error) if error.lacks_key() => {
                vault.reporter.warn(&format!(
                    "{} and {} are both there, and no key here tells whether the one replaces the \
                     other: both stay ({error})",
                    new.archive, old.archive
                ));
                continue;
            }
            checked => checked?,
        }
        name(&old.archive)?;
        remove_backup(vault.storage, old)?;
        removed.push(old.archive.clone());
    }
    Ok(removed)
}

/// The new archive is ours, and is there whole.
fn check_successor(vault: &Vault<'_>, new: &Backup) -> Result<(), OperationError> {
    let Some(file) = &new.file else {
        return Ok(());
    };
    check_seal(vault, new, file)?;
    match check_stored(vault, new, &file.manifest)? {
        Stored::AsWritten | Stored::Opened(None) => Ok(()),
        Stored::Opened(Some(copy)) => Err(integrity(&new.archive, &copy.to_string())),
        Stored::NotOpened => Err(OperationError::HeaderChanged {
            archive: new.archive.clone(),
        }),
    }
}

/// Without its key nothing is removed on its word.
fn check_seal(vault: &Vault<'_>, new: &Backup, file: &ManifestFile) -> Result<(), OperationError> {
    let key = open_archive(vault, vault.storage, &new.archive)?.manifest_key;
    let not_kluis1 = || integrity(&new.archive, "its manifest says KLUIS1, and it is not");
    let checked = file.check_seal(&key.ok_or_else(not_kluis1)?);
    checked.map_err(|source| OperationError::Manifest {
        archive: new.archive.clone(),
        source,
    })
}
