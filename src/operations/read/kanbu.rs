//! Kanbu's files, which have no header: which key opens one shows by reading all
//! of it.

use std::io::{self, Read};

use super::{Form, OpenedArchive, integrity, plain};
use crate::cancel::Cancel;
use crate::catalog::Backup;
use crate::format::header::HeaderError;
use crate::format::keyring::Keyring;
use crate::format::keys::SecretKey;
use crate::format::legacy::{self, Authenticated, LegacyError};
use crate::operations::{OperationError, Vault};
use crate::pipeline::Opening;
use crate::storage::Storage;

/// First pass over a Kanbu file with each key: nothing is decrypted before one
/// of them authenticates the whole of it.
pub(super) fn open_legacy(
    vault: &Vault<'_>,
    storage: &dyn Storage,
    archive: &str,
) -> Result<OpenedArchive, OperationError> {
    let mut keys = vault
        .ring
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
        let stored = Stoppable {
            stored: storage.open(archive, 0)?,
            cancel: &vault.cancel,
        };
        match legacy::authenticate(stored, &key) {
            Ok(authenticated) => return Ok(legacy_opened(authenticated, &key)),
            Err(error) => failure = error,
        }
        vault.cancel.check()?;
    }
    Err(OperationError::Legacy {
        archive: archive.to_owned(),
        source: failure,
    })
}

/// A hole of terabytes costs whoever put it there nothing: a stop ends its reading.
struct Stoppable<'a, R> {
    stored: R,
    cancel: &'a Cancel,
}

impl<R: Read> Read for Stoppable<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.cancel.check_io()?;
        self.stored.read(buffer)
    }
}

fn legacy_opened(authenticated: Authenticated, key: &SecretKey) -> OpenedArchive {
    OpenedArchive {
        key_id: Some(key.id().to_string()),
        opening: Opening::Kanbu(Box::new(authenticated)),
        form: Form::Kanbu,
        // Its keys are secret ones only.
        is_vouched: true,
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
