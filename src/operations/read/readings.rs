//! The readings of an archive that is open: each compares what came with what its
//! manifest says, and one that is run holds to what was found right before.

use std::io::{BufRead, Read};

use super::{OpenedArchive, at_archive, check_digests, drain, integrity, open_backup};
use crate::catalog::Backup;
use crate::format::witness::{Changed, Held, Noting, Witness};
use crate::operations::{OperationError, UnusedCopy, Vault};
use crate::pipeline::{Unsealed, Unsealing, unseal};

/// What a whole reading found, beside what the consumer returns.
#[derive(Debug)]
pub struct ReadReport {
    pub unsealed: Unsealed,
    pub unused_copy: Option<UnusedCopy>,
}

/// What one reading of an archive leaves for the next: enough to know the same bytes
/// again before they are handed on.
pub(in crate::operations) enum Seen {
    /// Its own key vouches for each chunk of it.
    ByItsKey,
    Bytes(Witness),
}

/// Reads `backup` through `consume`, checks every digest and the manifest's seal.
/// What is not encrypted by a key of ours is known to be right only after its last
/// byte: a consumer that runs what it reads is for [`read_known`].
pub(in crate::operations) fn read_backup<T>(
    vault: &Vault<'_>,
    backup: &Backup,
    phase: &str,
    consume: impl FnOnce(&mut dyn BufRead) -> Result<T, OperationError>,
) -> Result<(T, ReadReport), OperationError> {
    let opened = open_backup(vault, backup)?;
    read_opened(vault, backup, opened, phase, consume)
}

/// [`read_backup`] of an archive that is open already.
pub(in crate::operations) fn read_opened<T>(
    vault: &Vault<'_>,
    backup: &Backup,
    opened: OpenedArchive,
    phase: &str,
    consume: impl FnOnce(&mut dyn BufRead) -> Result<T, OperationError>,
) -> Result<(T, ReadReport), OperationError> {
    let stored = vault.storage.open(&backup.archive, opened.offset)?;
    read_stored(vault, backup, opened, stored, phase, consume)
}

/// [`read_backup`] that can be repeated: by [`read_known`].
pub(in crate::operations) fn read_first<T>(
    vault: &Vault<'_>,
    backup: &Backup,
    phase: &str,
    consume: impl FnOnce(&mut dyn BufRead) -> Result<T, OperationError>,
) -> Result<(T, Seen), OperationError> {
    let opened = open_backup(vault, backup)?;
    read_opened_first(vault, backup, opened, phase, consume)
}

/// [`read_first`], but for an archive that is ours by itself and in KLUIS1: there our own
/// key vouches for each chunk before a byte of it is out, so that not even a reader that
/// runs what it reads gets anything that we did not write. That it was cut shows at its end
/// only: for those who can throw away what came until then.
///
/// Nothing else is left out. What is not encrypted, or by a key that anybody can write
/// for, must be known to its last byte before a server runs the first one.
pub(in crate::operations) fn read_first_unless_vouched<T>(
    vault: &Vault<'_>,
    backup: &Backup,
    phase: &str,
    consume: impl FnOnce(&mut dyn BufRead) -> Result<T, OperationError>,
) -> Result<(Option<T>, Seen), OperationError> {
    let opened = open_backup(vault, backup)?;
    if opened.is_known_by_its_key() {
        return Ok((None, Seen::ByItsKey));
    }
    let (value, seen) = read_opened_first(vault, backup, opened, phase, consume)?;
    Ok((Some(value), seen))
}

fn read_opened_first<T>(
    vault: &Vault<'_>,
    backup: &Backup,
    opened: OpenedArchive,
    phase: &str,
    consume: impl FnOnce(&mut dyn BufRead) -> Result<T, OperationError>,
) -> Result<(T, Seen), OperationError> {
    match opened.is_known_by_its_key() {
        true => {
            let (value, _) = read_opened(vault, backup, opened, phase, consume)?;
            Ok((value, Seen::ByItsKey))
        }
        false => read_noting(vault, backup, opened, phase, consume),
    }
}

/// What [`read_known`] wants, of a backup that nobody has read so far. What a key of ours
/// vouches for needs no reading; an archive for a recipient, which anybody can make, does.
pub(in crate::operations) fn look_first(
    vault: &Vault<'_>,
    backup: &Backup,
    phase: &str,
) -> Result<Seen, OperationError> {
    let opened = open_backup(vault, backup)?;
    match opened.is_known_by_its_key() {
        true => Ok(Seen::ByItsKey),
        false => Ok(read_noting(vault, backup, opened, phase, drain)?.1),
    }
}

fn read_noting<T>(
    vault: &Vault<'_>,
    backup: &Backup,
    opened: OpenedArchive,
    phase: &str,
    consume: impl FnOnce(&mut dyn BufRead) -> Result<T, OperationError>,
) -> Result<(T, Seen), OperationError> {
    let stored = vault.storage.open(&backup.archive, opened.offset)?;
    let mut noting = Noting::new(stored);
    let (value, _) = read_stored(vault, backup, opened, &mut noting, phase, consume)?;
    Ok((value, Seen::Bytes(noting.finish())))
}

/// Reads `backup` through a `consume` that runs what it reads: no byte is handed on
/// that a key of ours does not vouch for, or that a first reading has not found right.
pub(in crate::operations) fn read_known<T>(
    vault: &Vault<'_>,
    backup: &Backup,
    seen: Seen,
    phase: &str,
    consume: impl FnOnce(&mut dyn BufRead) -> Result<T, OperationError>,
) -> Result<(T, ReadReport), OperationError> {
    let opened = open_backup(vault, backup)?;
    match (seen, opened.is_known_by_its_key()) {
        (Seen::ByItsKey, true) => read_opened(vault, backup, opened, phase, consume),
        (Seen::Bytes(witness), false) => {
            let stored = vault.storage.open(&backup.archive, opened.offset)?;
            let held = Held::new(stored, witness);
            read_stored(vault, backup, opened, held, phase, consume)
        }
        _ => Err(integrity(&backup.archive, &Changed.to_string())),
    }
}

fn read_stored<T>(
    vault: &Vault<'_>,
    backup: &Backup,
    opened: OpenedArchive,
    stored: impl Read + Send,
    phase: &str,
    consume: impl FnOnce(&mut dyn BufRead) -> Result<T, OperationError>,
) -> Result<(T, ReadReport), OperationError> {
    let archive = &backup.archive;
    let manifest = backup.file.as_ref().map(|file| &file.manifest);
    let unsealing = Unsealing {
        opening: opened.opening,
        codec: manifest.map(|manifest| manifest.content.codec),
        workers: vault.workers,
        digests: manifest.is_some(),
        told_bytes: manifest.map(|manifest| manifest.content.raw_bytes),
        cancel: vault.cancel.clone(),
    };
    // The reader counts what it has decrypted, so the total must be that too.
    let content_bytes = manifest.map(|manifest| manifest.content.bytes);
    let total_bytes = content_bytes.unwrap_or_else(|| backup.stored_bytes());
    vault.reporter.phase(phase, Some(total_bytes));
    let advance = |bytes| vault.reporter.advance(bytes);
    let result = unseal(stored, unsealing, &advance, consume);
    vault.reporter.phase_done();
    let (value, unsealed) = result.map_err(|error| at_archive(error, archive))?;
    if let Some(manifest) = manifest {
        check_digests(archive, manifest, &unsealed, opened.offset)?;
    }
    let report = ReadReport {
        unsealed,
        unused_copy: opened.unused_copy,
    };
    Ok((value, report))
}
