//! The bytes that lie there against the manifest's checksums: needs no key, and
//! reads each byte once.

use std::io::Read;

use sha2::{Digest, Sha256};

use super::read::{integrity, open_backup, read_head};
use super::{OperationError, UnusedCopy, Vault};
use crate::catalog::Backup;
use crate::checked::Sha256Hex;
use crate::format::header::{self, PAYLOAD_OFFSET};
use crate::format::manifest::Manifest;

/// What the bytes are that lie there.
pub(super) enum Stored {
    /// To the last one what the manifest says.
    AsWritten,
    /// The header is another one, and a key here opened it; the copy that did not open.
    Opened(Option<UnusedCopy>),
    /// The header is another one, and no key here opens it: it looks like what a change
    /// of keys leaves, and anybody can make one that does.
    NotOpened,
}

/// Length and SHA-256. A change of keys rewrites the header and nothing else:
/// then it is the payload's SHA-256 that counts.
pub(super) fn check_stored(
    vault: &Vault<'_>,
    backup: &Backup,
    manifest: &Manifest,
) -> Result<Stored, OperationError> {
    let archive = &backup.archive;
    let missing = || integrity(archive, "its manifest is there, but the archive is gone");
    let bytes = backup.stored.as_ref().ok_or_else(missing)?.bytes;
    let expected = &manifest.stored;
    if bytes != expected.bytes {
        let what = format!("it has {bytes} bytes, its manifest says {}", expected.bytes);
        return Err(integrity(archive, &what));
    }
    let found = hash_stored(vault, backup)?;
    match found.whole == expected.sha256 {
        true => Ok(Stored::AsWritten),
        false if expected.payload_sha256.as_ref() == Some(&found.payload) => {
            other_header(vault, backup)
        }
        false => {
            let what = "its SHA-256 is not the one in its manifest";
            Err(integrity(archive, what))
        }
    }
}

/// The payload is as it was written, the header is not: a rotation of keys
/// rewrites it, and damage does. The key tells which; without one, two copies
/// that agree may be of a rotation that has come to its end.
fn other_header(vault: &Vault<'_>, backup: &Backup) -> Result<Stored, OperationError> {
    match open_backup(vault, backup) {
        Ok(opened) => Ok(Stored::Opened(opened.unused_copy)),
        Err(error) if error.lacks_key() => {
            let head = read_head(vault.storage, &backup.archive)?;
            match is_rekeyed(&head) {
                true => Ok(Stored::NotOpened),
                false => Err(OperationError::HeaderChanged {
                    archive: backup.archive.clone(),
                }),
            }
        }
        Err(error) => Err(error),
    }
}

/// Whether its header was written anew since its making, twice and alike.
fn is_rekeyed(head: &[u8]) -> bool {
    let agree = matches!(header::copies_agree(head), Ok(true));
    agree && header::peek(head).is_ok_and(|header| header.generation > 1)
}

struct StoredHashes {
    whole: Sha256Hex,
    /// Of what lies behind a KLUIS1 header.
    payload: Sha256Hex,
}

fn hash_stored(vault: &Vault<'_>, backup: &Backup) -> Result<StoredHashes, OperationError> {
    let mut reader = vault.storage.open(&backup.archive, 0)?;
    let (mut whole, mut payload) = (Sha256::new(), Sha256::new());
    let mut head_bytes = PAYLOAD_OFFSET as usize;
    let mut buffer = vec![0; 256 * 1024];
    vault.reporter.phase(
        &format!("hashing {}", backup.name()),
        Some(backup.stored_bytes()),
    );
    let hashed = loop {
        vault.cancel.check()?;
        match reader.read(&mut buffer) {
            Ok(0) => {
                break Ok(StoredHashes {
                    whole: Sha256Hex::of(whole.finalize().into()),
                    payload: Sha256Hex::of(payload.finalize().into()),
                });
            }
            Ok(count) => {
                whole.update(&buffer[..count]);
                let in_head = head_bytes.min(count);
                head_bytes -= in_head;
                payload.update(&buffer[in_head..count]);
                vault.reporter.advance(count as u64);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => break Err(crate::pipeline::UnsealError::Storage(error).into()),
        }
    };
    vault.reporter.phase_done();
    hashed
}
