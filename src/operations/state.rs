//! Changes what stands beside a manifest: pins, proofs and labels. The manifest's sealed
//! bytes stay as they are, and the state is sealed anew.
//!
//! Invariant: what is written was either believed when it was read, or is seen by
//! this run. So a planted proof never gets a seal of ours.

use super::{OperationError, Vault};
use crate::catalog::{MANIFEST_BYTES_MAX, read_whole};
use crate::format::keys::SecretKey;
use crate::format::manifest_file::{ManifestFile, SealedBy};
use crate::format::names::manifest_key;

/// Reads the manifest of `archive`, as it is now, and writes it again if `change`
/// says that it changed something.
pub(super) fn change_state(
    vault: &Vault<'_>,
    archive: &str,
    change: impl FnOnce(&mut ManifestFile) -> bool,
) -> Result<(), OperationError> {
    change_and_write(vault, archive, change, |_, _| Ok(()))
}

/// [`change_state`] of what is believed only with a seal. Where a key of ours is to
/// make one and cannot, nothing is written.
pub(super) fn change_sealed_state(
    vault: &Vault<'_>,
    archive: &str,
    change: impl FnOnce(&mut ManifestFile) -> bool,
) -> Result<(), OperationError> {
    change_and_write(vault, archive, change, |file, archive_key| {
        let ring = &vault.ring;
        let needs_none = ring.knows_nothing() && !file.is_sealed();
        match needs_none || file.state_seal_holds(archive_key, ring) {
            true => Ok(()),
            false => Err(OperationError::Refused {
                what: format!(
                    "no key here can seal what is to stand beside {archive}; do it where a key is \
                     that opens it"
                ),
            }),
        }
    })
}

fn change_and_write(
    vault: &Vault<'_>,
    archive: &str,
    change: impl FnOnce(&mut ManifestFile) -> bool,
    check: impl FnOnce(&ManifestFile, Option<&SecretKey>) -> Result<(), OperationError>,
) -> Result<(), OperationError> {
    let key = manifest_key(archive);
    let of_archive = |source| OperationError::Manifest {
        archive: archive.to_owned(),
        source,
    };
    let bytes = read_whole(vault.storage, &key, MANIFEST_BYTES_MAX)?;
    let mut file = ManifestFile::parse(&bytes).map_err(of_archive)?;
    let trust = vault.trust();
    let opened = trust.state_key(vault.storage, archive, &mut file);
    let archive_key = opened.unwrap_or_else(|why| {
        let text =
            format!("{archive} cannot be read: {why}; an earlier proof of it counts no more");
        vault.reporter.warn(&text);
        None
    });
    if !change(&mut file) {
        return Ok(());
    }
    let sealed = match &archive_key {
        Some(key) => file.seal_state(&SealedBy::Archive(key)),
        // Only its pin was changed, and the seal is worth more than what can be made here.
        None if vault.ring.knows_nothing() && file.has_sealed_state() => Ok(()),
        None => file.seal_state(&SealedBy::Ring(&vault.ring, vault.seal_salt().as_ref())),
    };
    sealed.map_err(of_archive)?;
    check(&file, archive_key.as_ref())?;
    let bytes = file.to_bytes().map_err(of_archive)?;
    Ok(vault.storage.replace(&key, &bytes)?)
}
