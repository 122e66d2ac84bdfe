//! The keys of a change: whether they make sense, and how the record names them.

use super::Target;
use super::slots::{DroppedKey, KeyChange};
use crate::checked::shell_word;
use crate::format::header::{self, ArchiveKeys, Header, PAYLOAD_OFFSET};
use crate::format::keyring::{KeyMaterial, NamedKey};
use crate::format::keys::SecretKey;
use crate::operations::read::{Form, OpenedArchive, plain};
use crate::operations::{Marker, OperationError, Vault, random_id};
use crate::pipeline::{NewArchive, Opening, PassphraseSalt};

/// A rotation needs a key to rotate to, which is not the one that goes.
pub(super) fn check_rotation(vault: &Vault<'_>, from: Option<usize>) -> Result<(), OperationError> {
    let usage = |what: String| Err(OperationError::Usage { what });
    if vault.ring.writers().next().is_none() {
        return usage(
            "no writing key is configured, so there is nothing to rotate to: set \
             BACKUP_ENCRYPTION_KEY_FILE or recipients to the new one"
                .to_owned(),
        );
    }
    let Some(from) = from.and_then(|from| vault.ring.keys().get(from)) else {
        return Ok(());
    };
    if let KeyMaterial::Recipient(recipient) = &from.material {
        return usage(format!(
            "{} holds the age recipient {recipient}, which opens nothing: --from wants its \
             identity; `kluis key drop --recipient` takes it off without",
            from.label
        ));
    }
    let is_from = |key: &&NamedKey| key.material.is_same(&from.material);
    match vault.ring.writers().map(|(_, key)| key).find(is_from) {
        None => Ok(()),
        Some(same) => usage(format!(
            "{same} is the key in {} and still writes: configure the new key first",
            from.label
        )),
    }
}

/// New passphrase slots share the storage's salt.
pub(super) fn salt(vault: &Vault<'_>) -> Result<PassphraseSalt, OperationError> {
    match Marker::load(vault.storage)? {
        Some(marker) => vault.passphrase_salt(&marker),
        // Somebody else's directory: each slot holds its salt itself.
        None => {
            let (one, other) = (random_id()?, random_id()?);
            let mut salt = [0; 16];
            salt[..8].copy_from_slice(&one);
            salt[8..].copy_from_slice(&other);
            Ok(salt)
        }
    }
}

/// How a legacy archive's manifest names the ring's key of that place.
pub(super) fn legacy_id(vault: &Vault<'_>, index: usize) -> Option<String> {
    let key = vault.ring.keys().get(index)?.material.as_legacy()?;
    Some(key.id().to_string())
}

/// A legacy archive does not tell which key it wants; only its manifest does.
pub(super) fn unknown_legacy(archive: &str) -> OperationError {
    OperationError::Refused {
        what: format!(
            "{archive} is Kanbu's and has no manifest, so it may still want the old key: `kluis \
             adopt {}` makes one, then rotate with --reencrypt",
            shell_word(archive)
        ),
    }
}

/// A rotation must not pass over in silence what opens with the old key only:
/// who throws that away then loses it.
pub(super) fn wants_old_key(
    vault: &Vault<'_>,
    change: &KeyChange,
    target: &Target,
) -> Option<OperationError> {
    let KeyChange::Rotate { from } = change else {
        return None;
    };
    if target.form_without_slots() != "kanbu" {
        return None;
    }
    let archive = &target.archive;
    let Some(encryption) = target.manifest().and_then(|m| m.encryption.as_ref()) else {
        return Some(unknown_legacy(archive));
    };
    (legacy_id(vault, *from).as_ref() == Some(&encryption.key_id)).then(|| {
        OperationError::Refused {
            what: format!(
                "{archive} is Kanbu's and still wants the old key: rotate it with --reencrypt, \
                 which writes it anew as KLUIS1"
            ),
        }
    })
}

/// For the record: which keys, and never what they are.
pub(super) fn told(vault: &Vault<'_>, change: &KeyChange) -> String {
    let name = |index: usize| {
        let key = vault.ring.keys().get(index);
        key.map_or_else(|| "a key".to_owned(), ToString::to_string)
    };
    match change {
        KeyChange::Add { keys } => {
            let keys: Vec<String> = keys.iter().map(|index| name(*index)).collect();
            format!("adding {}", keys.join(", "))
        }
        KeyChange::Drop { keys, .. } => {
            let keys = keys.iter().map(|key| match key {
                DroppedKey::Place(index) => name(*index),
                DroppedKey::Id(id) => format!("key {id}"),
            });
            format!("dropping {}", keys.collect::<Vec<_>>().join(", "))
        }
        KeyChange::Rotate { from } => format!("from {} to {}", name(*from), writers(vault)),
        KeyChange::Repair => "writing headers anew".to_owned(),
    }
}

pub(super) fn writers(vault: &Vault<'_>) -> String {
    let writers = vault.ring.writers().map(|(_, key)| key.to_string());
    writers.collect::<Vec<_>>().join(", ")
}

/// An archive that this run has made, by the keys that it was made with: the ring
/// need not hold one that opens it.
pub(super) fn opened_new(keys: ArchiveKeys) -> OpenedArchive {
    OpenedArchive {
        opening: Opening::Kluis1 {
            payload_key: keys.payload,
        },
        offset: PAYLOAD_OFFSET,
        manifest_key: Some(keys.manifest),
        form: Form::Kluis1,
        ..plain()
    }
}

/// The new archive's keys once more: the first ones go into its payload's making.
pub(super) fn same_keys(new: &NewArchive, head: &[u8]) -> Result<ArchiveKeys, OperationError> {
    let data = SecretKey::from_bytes(*new.keys.data.expose());
    let header = header::peek(head).map_err(|source| OperationError::Header {
        archive: "a new archive".to_owned(),
        source,
    })?;
    let Header {
        archive_id,
        salt,
        meta,
        ..
    } = &header;
    Ok(ArchiveKeys::derive(data, archive_id, salt, meta))
}
