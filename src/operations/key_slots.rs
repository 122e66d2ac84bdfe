//! What an archive's header tells for people: which keys open it now, and whether
//! the manifest beside it is its own.

use super::Vault;
use super::read::{open_archive, read_head};
use crate::catalog::Backup;
use crate::format::header::{self, HeaderError};

/// What opens an archive now; its manifest knows only what it was made with.
pub struct KeySlots {
    /// For people.
    pub names: Vec<String>,
    /// Its header was written anew since: the file's checksum is another one.
    pub changed: bool,
}

/// `None` for an archive that has no slots, or cannot be read. Where no key opens
/// it, they are what its header claims.
pub fn key_slots(vault: &Vault<'_>, backup: &Backup) -> Option<KeySlots> {
    let head = read_head(vault.storage, &backup.archive).ok()?;
    let header = match header::open(&head, &vault.ring) {
        Ok(opened) => opened.header,
        Err(HeaderError::NoKey { .. }) => header::peek(&head).ok()?,
        Err(_) => return None,
    };
    let slots = header.slots.iter();
    Some(KeySlots {
        names: slots.map(|slot| slot.name().to_string()).collect(),
        changed: header.generation > 1,
    })
}

/// Whether the manifest's seal is right; `None` where there is no seal, or no key
/// for it.
pub fn seal_holds(vault: &Vault<'_>, backup: &Backup) -> Option<bool> {
    let file = backup.file.as_ref()?;
    let opened = open_archive(vault, vault.storage, &backup.archive).ok()?;
    let key = opened.manifest_key?;
    Some(file.check_seal(&key).is_ok())
}
