//! Kanbu's files, which have no header: which key opens one shows by reading all
//! of it.

use super::{Form, OpenedArchive, integrity, plain};
use crate::catalog::Backup;
use crate::format::header::HeaderError;
use crate::format::keyring::Keyring;
use crate::format::keys::SecretKey;
use crate::format::legacy::{self, Authenticated, LegacyError};
use crate::operations::OperationError;
use crate::pipeline::Opening;
use crate::storage::Storage;

/// First pass over a Kanbu file with each key: nothing is decrypted before one
/// of them authenticates the whole of it.
pub(super) fn open_legacy(
    storage: &dyn Storage,
    archive: &str,
    ring: &Keyring,
) -> Result<OpenedArchive, OperationError> {
    let mut keys = ring
        .keys()
        .iter()
        .filter_map(|key| key.material.as_legacy());
    let Some(first) = keys.next() else {
        let wants = vec!["the key of the service that wrote it".to_owned()];
        let source = HeaderError::NoKey { wants };
        return Err(OperationError::Header {
            archive: archive.to_owned(),
            source,
        });
    };
    let mut failure = LegacyError::Authentication;
    for key in std::iter::once(first).chain(keys) {
        match legacy::authenticate(storage.open(archive, 0)?, &key) {
            Ok(authenticated) => return Ok(legacy_opened(authenticated, &key)),
            Err(error) => failure = error,
        }
    }
    Err(OperationError::Legacy {
        archive: archive.to_owned(),
        source: failure,
    })
}

fn legacy_opened(authenticated: Authenticated, key: &SecretKey) -> OpenedArchive {
    OpenedArchive {
        key_id: Some(key.id().to_string()),
        opening: Opening::Kanbu(Box::new(authenticated)),
        form: Form::Kanbu,
        ..plain()
    }
}

/// A Kanbu file cannot tell a wrong key from damage. A manifest that kluis wrote
/// with it can: it names the key. And if it speaks of another format, this file
/// was never it.
pub(super) fn name_missing_key(
    error: OperationError,
    backup: &Backup,
    ring: &Keyring,
) -> OperationError {
    let file = backup.file.as_ref();
    let encryption = file.and_then(|file| file.manifest.encryption.as_ref());
    let (OperationError::Legacy { source, .. }, Some(encryption)) = (&error, encryption) else {
        return error;
    };
    if encryption.format != Form::Kanbu.name() {
        let what = format!(
            "its manifest says {}, and it does not begin like that",
            encryption.format
        );
        return integrity(&backup.archive, &what);
    }
    let is_there = |key: SecretKey| key.id().to_string() == encryption.key_id;
    let mut keys = ring
        .keys()
        .iter()
        .filter_map(|key| key.material.as_legacy());
    if !matches!(source, LegacyError::Authentication) || keys.any(is_there) {
        return error;
    }
    OperationError::Header {
        archive: backup.archive.clone(),
        source: HeaderError::NoKey {
            wants: vec![format!("key {}", encryption.key_id)],
        },
    }
}
