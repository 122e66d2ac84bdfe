//! The one reading of a file to adopt: everything that its manifest will say is
//! seen here, in the order of the bytes.

use std::io::{self, BufRead, Cursor, Read};

use sha2::{Digest, Sha256};

use super::identify::{Clues, Found, identify};
use super::{Adopting, MakeCheck, OperationError, UnusedCopy};
use crate::catalog::Backup;
use crate::checked::Sha256Hex;
use crate::format::keys::SecretKey;
use crate::format::manifest::{Codec, GLOBALS, GLOBALS_NAME, Kind};
use crate::format::names::{ArchiveFormat, ArchiveName};
use crate::format::sniff::SNIFFED_BYTES;
use crate::operations::accept::{named_by_anybody, not_vouched};
use crate::operations::read::{Form, OpenedArchive, at_archive, integrity, open_archive};
use crate::pipeline::{Unsealed, Unsealing, unseal};
use crate::storage::{StorageError, StoredObject};
use crate::target::{Received, TargetError};

pub(super) struct Reading {
    pub found: Found,
    pub received: Received,
    pub unsealed: Unsealed,
    /// Of the whole file.
    pub stored_bytes: u64,
    pub stored_sha256: Sha256Hex,
    /// The payload begins behind a header.
    pub has_header: bool,
    /// The format's name, and the key's.
    pub encryption: Option<(&'static str, String)>,
    pub manifest_key: Option<SecretKey>,
    pub unused_copy: Option<UnusedCopy>,
}

impl Reading {
    /// As a manifest's `database.format` has it; `None` for a tree.
    pub fn database_format(&self) -> Option<&'static str> {
        Some(match (self.found.format, self.found.is_globals) {
            (_, true) => GLOBALS,
            (ArchiveFormat::Plain, _) => "plain",
            (ArchiveFormat::Custom, _) => "custom",
            (ArchiveFormat::Directory, _) => "directory",
            (ArchiveFormat::Tree, _) => return None,
        })
    }
}

/// Reads `object` whole: decrypts, decompresses, parses, hashes. `was`: its kind by
/// the manifest that lies beside it.
pub(super) fn read_whole_file(
    adopting: &Adopting<'_>,
    object: &StoredObject,
    was: Option<Kind>,
    make_check: MakeCheck<'_>,
) -> Result<Reading, OperationError> {
    let (vault, storage) = (adopting.vault, adopting.source());
    let archive = &object.key;
    let opened = open_archive(vault, storage, archive)?;
    may_take(adopting, &opened)?;
    let mut stored = Hashing::new(storage.open(archive, 0)?);
    let skipped = io::copy(&mut (&mut stored).take(opened.offset), &mut io::sink());
    skipped.map_err(|source| {
        StorageError::new("read", format!("{}/{archive}", storage.location()), source)
    })?;
    let unsealing = Unsealing {
        opening: opened.opening,
        codec: opened.meta.as_ref().map(|meta| meta.codec),
        workers: vault.workers,
        digests: true,
        told_bytes: None,
        cancel: vault.cancel.clone(),
    };
    let total = object.bytes.saturating_sub(opened.offset);
    vault
        .reporter
        .phase(&format!("reading {archive}"), Some(total));
    let advance = |bytes| vault.reporter.advance(bytes);
    let meta = opened.meta.as_ref();
    let clues = Clues {
        object,
        meta,
        told: adopting.told,
        was,
    };
    let result = unseal(&mut stored, unsealing, &advance, |stream| {
        receive(&clues, make_check, stream)
    });
    vault.reporter.phase_done();
    let ((found, received), unsealed) = result.map_err(|error| at_archive(error, archive))?;
    let (stored_sha256, stored_bytes) = stored.finish();
    if stored_bytes != opened.offset + unsealed.stored_bytes {
        return Err(integrity(archive, "it was not read to its end"));
    }
    let key_id = opened.key_id.unwrap_or_else(|| "unknown".to_owned());
    Ok(Reading {
        found,
        received,
        unsealed,
        stored_bytes,
        stored_sha256,
        has_header: opened.form == Form::Kluis1,
        encryption: (opened.form != Form::Plain).then(|| (opened.form.name(), key_id)),
        manifest_key: opened.manifest_key,
        unused_copy: opened.unused_copy,
    })
}

/// Of what only a recipient opens, neither a manifest nor its seal would make a
/// backup where a secret key is, unless this host signs.
fn may_take(adopting: &Adopting<'_>, opened: &OpenedArchive) -> Result<(), OperationError> {
    let (file, ring) = (adopting.file, &adopting.vault.ring);
    if !file.accepted && !opened.is_vouched {
        return Err(not_vouched(adopting.source(), &file.key));
    }
    if !file.accepted && opened.form != Form::Kluis1 {
        return Err(named_by_anybody(adopting.source(), &file.key));
    }
    if opened.form == Form::Kluis1 && !opened.is_vouched && ring.signer().is_none() {
        let what = format!(
            "{}: it opens by a recipient alone, so it would stay foreign here. If you know \
             where it is from, give it a key of yours first: `kluis key add --key-file F \
             --accept-unsealed FILE`",
            file.key
        );
        return Err(OperationError::Refused { what });
    }
    Ok(())
}

/// Looks at the content's first bytes, then reads it whole with what fits.
fn receive(
    clues: &Clues<'_>,
    make_check: MakeCheck<'_>,
    stream: &mut dyn BufRead,
) -> Result<(Found, Received), OperationError> {
    let mut head = Vec::with_capacity(SNIFFED_BYTES);
    let read = (&mut *stream)
        .take(SNIFFED_BYTES as u64)
        .read_to_end(&mut head);
    read.map_err(TargetError::Stream)?;
    let found = identify(clues, &head)?;
    let object = clues.object;
    let backup = Backup {
        archive: object.key.clone(),
        stored: Some(object.clone()),
        file: None,
        series: None,
        vouched_only: false,
        is_foreign: true,
        named: Some(ArchiveName {
            name: match found.is_globals {
                true => GLOBALS_NAME.to_owned(),
                false => found.name.clone(),
            },
            created: found.created_at,
            format: found.format,
            codec: Codec::None,
            encrypted: false,
            copy: 1,
        }),
    };
    let mut check = make_check(&backup)?;
    let received = check.receive(&mut Cursor::new(head).chain(stream))?;
    match unrestorable(&found, &received) {
        None => Ok((found, received)),
        Some(why) => Err(OperationError::Usage {
            what: format!(
                "{}: {why}; give it to a server (psql -f FILE postgres), and back up what it \
                 makes there",
                object.key
            ),
        }),
    }
}

/// Why a dump that is whole could not be restored as one of kluis'.
fn unrestorable(found: &Found, received: &Received) -> Option<&'static str> {
    let is_plain = found.format == ArchiveFormat::Plain && !found.is_globals;
    let ledger = &received.database.as_ref().filter(|_| is_plain)?.ledger;
    if ledger.objects.contains_key("DATABASE") {
        return Some(
            "it was made with `pg_dump --create`, so it makes a database and goes there, where a \
             restore of kluis fills the one that it is told",
        );
    }
    let has_no_schema = ledger.tables.iter().any(|table| table.schema.is_empty());
    has_no_schema.then_some(
        "it was made by a pg_dump of early 2018 or before, which names tables without their \
         schema, so the restored ones could not be compared with it",
    )
}

/// Hashes and counts what is read.
struct Hashing<R> {
    inner: R,
    sha256: Sha256,
    bytes: u64,
}

impl<R: Read> Hashing<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            sha256: Sha256::new(),
            bytes: 0,
        }
    }

    fn finish(self) -> (Sha256Hex, u64) {
        (Sha256Hex::of(self.sha256.finalize().into()), self.bytes)
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.sha256.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}
