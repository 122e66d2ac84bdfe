//! The one way back: opens an archive, reads it to its end, compares what came
//! with what its manifest says. Verify, restore and decrypt all go through here.

use std::io::{BufRead, Read};

use jiff::Timestamp;

use super::{OperationError, UnusedCopy, Vault};
use crate::catalog::Backup;
use crate::format::header::{self, HeaderError, PAYLOAD_OFFSET};
use crate::format::keyring::Keyring;
use crate::format::keys::SecretKey;
use crate::format::manifest::{Kind, Manifest};
use crate::format::manifest_file::ManifestFile;
use crate::format::names::ArchiveName;
use crate::pipeline::{ArchiveMeta, Opening, Unsealed, Unsealing, unseal};
use crate::storage::{Storage, StorageError};

mod kanbu;

use kanbu::{name_missing_key, open_legacy};

/// How an archive opens.
pub(super) struct OpenedArchive {
    pub opening: Opening,
    /// Where the payload begins.
    pub offset: u64,
    pub manifest_key: Option<SecretKey>,
    /// What the header says of the content.
    pub meta: Option<ArchiveMeta>,
    pub unused_copy: Option<UnusedCopy>,
    pub form: Form,
    /// Names its key as a manifest does; of KLUIS1 that of its first slot.
    pub key_id: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    Kluis1,
    Kanbu,
}

impl Form {
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "not encrypted",
            Self::Kluis1 => "KLUIS1",
            Self::Kanbu => "kanbu",
        }
    }
}

/// An archive's first 8 KiB, or fewer where it has no more.
pub(super) fn read_head(storage: &dyn Storage, archive: &str) -> Result<Vec<u8>, OperationError> {
    let mut head = Vec::with_capacity(PAYLOAD_OFFSET as usize);
    let mut reader = storage.open(archive, 0)?.take(PAYLOAD_OFFSET);
    reader
        .read_to_end(&mut head)
        .map_err(|error| read_error(storage, archive, error))?;
    Ok(head)
}

/// Looks at an archive's first bytes, finds its key and checks its header.
pub(super) fn open_archive(
    storage: &dyn Storage,
    archive: &str,
    ring: &Keyring,
) -> Result<OpenedArchive, OperationError> {
    let head = read_head(storage, archive)?;
    let of_archive = |source| OperationError::Header {
        archive: archive.to_owned(),
        source,
    };
    match header::open(&head, ring) {
        Ok(opened) => {
            let meta = ArchiveMeta::parse(&opened.header.meta)
                .ok_or(HeaderError::Malformed("its description is not one"))
                .map_err(of_archive)?;
            let unused = opened.damaged_copy;
            Ok(OpenedArchive {
                key_id: opened.header.key_id(ring),
                opening: Opening::Kluis1 {
                    payload_key: opened.keys.payload,
                },
                offset: PAYLOAD_OFFSET,
                manifest_key: Some(opened.keys.manifest),
                meta: Some(meta),
                unused_copy: unused.map(|(copy, why)| UnusedCopy { copy, why }),
                form: Form::Kluis1,
            })
        }
        // No magic: Kanbu's format only if the name says so.
        Err(HeaderError::NotKluis | HeaderError::Truncated { .. }) if !header::has_magic(&head) => {
            match archive.ends_with(".enc") {
                true => open_legacy(storage, archive, ring),
                false => Ok(plain()),
            }
        }
        Err(error) => Err(of_archive(error)),
    }
}

pub(super) fn plain() -> OpenedArchive {
    OpenedArchive {
        opening: Opening::Plain,
        offset: 0,
        manifest_key: None,
        meta: None,
        unused_copy: None,
        form: Form::Plain,
        key_id: None,
    }
}

/// What a whole reading found, beside what the consumer returns.
#[derive(Debug)]
pub struct ReadReport {
    pub unsealed: Unsealed,
    pub unused_copy: Option<UnusedCopy>,
}

/// Reads `backup` through `consume`, checks every digest and the manifest's seal.
pub(super) fn read_backup<T>(
    vault: &Vault<'_>,
    backup: &Backup,
    phase: &str,
    consume: impl FnOnce(&mut dyn BufRead) -> Result<T, OperationError>,
) -> Result<(T, ReadReport), OperationError> {
    let opened = open_backup(vault, backup)?;
    read_opened(vault, backup, opened, phase, consume)
}

/// [`read_backup`] of an archive that is open already.
pub(super) fn read_opened<T>(
    vault: &Vault<'_>,
    backup: &Backup,
    opened: OpenedArchive,
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
        cancel: vault.cancel.clone(),
    };
    let stored = vault.storage.open(archive, opened.offset)?;
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

/// Reads to the end what nobody wants to have.
pub(super) fn drain(stream: &mut dyn BufRead) -> Result<(), OperationError> {
    match std::io::copy(stream, &mut std::io::sink()) {
        Ok(_) => Ok(()),
        Err(error) => Err(crate::target::TargetError::Stream(error).into()),
    }
}

/// The archive is there, opens, and is the one that its manifest speaks of.
pub(super) fn open_backup(
    vault: &Vault<'_>,
    backup: &Backup,
) -> Result<OpenedArchive, OperationError> {
    let archive = &backup.archive;
    if backup.stored.is_none() {
        return Err(integrity(
            archive,
            "its manifest is there, but the archive is gone",
        ));
    }
    let opened = open_archive(vault.storage, archive, &vault.ring)
        .map_err(|error| name_missing_key(error, backup, &vault.ring))?;
    match (&backup.file, &opened.meta) {
        (Some(file), _) => check_manifest(archive, file, &opened)?,
        // Then the header is what the name can be held against.
        (None, Some(meta)) if !name_fits(archive, meta.kind, &meta.name, meta.created) => {
            let what = format!(
                "its header says that it is {} of {}: it was renamed, or put in another's place",
                meta.name, meta.created
            );
            return Err(integrity(archive, &what));
        }
        _ => {}
    }
    Ok(opened)
}

/// Names the archive in errors that come from inside its stream.
pub(super) fn at_archive(error: OperationError, archive: &str) -> OperationError {
    match error {
        OperationError::Unseal(crate::pipeline::UnsealError::Cancelled(cancelled)) => {
            OperationError::Cancelled(cancelled)
        }
        error @ OperationError::Unseal(_) if error.is_integrity() => {
            integrity(archive, &error.to_string())
        }
        other => other,
    }
}

/// The manifest is the one written with this archive, and speaks of it.
fn check_manifest(
    archive: &str,
    file: &ManifestFile,
    opened: &OpenedArchive,
) -> Result<(), OperationError> {
    let manifest = &file.manifest;
    let said = manifest
        .encryption
        .as_ref()
        .map_or(Form::Plain.name(), |e| e.format.as_str());
    if said != opened.form.name() {
        let what = format!(
            "its manifest says {said}, the archive is {}",
            opened.form.name()
        );
        return Err(integrity(archive, &what));
    }
    if manifest.stored.file != archive {
        let what = format!("its manifest speaks of {}", manifest.stored.file);
        return Err(integrity(archive, &what));
    }
    if !name_fits(archive, manifest.kind, &manifest.name, manifest.created_at) {
        let what = "its name and its manifest describe different backups";
        return Err(integrity(archive, what));
    }
    if let Some(key) = &opened.manifest_key {
        let checked = file.check_seal(key);
        checked.map_err(|source| OperationError::Manifest {
            archive: archive.to_owned(),
            source,
        })?;
    }
    match &opened.meta {
        Some(meta) if !meta_fits(meta, manifest) => Err(integrity(
            archive,
            "its header and its manifest describe different backups",
        )),
        _ => Ok(()),
    }
}

/// Where nothing is sealed, the file's name is a second witness of kind, name and
/// time. Adopted archives may have any name, or one that is escaped differently.
pub(super) fn name_fits(archive: &str, kind: Kind, name: &str, created: Timestamp) -> bool {
    ArchiveName::parse(archive).is_none_or(|named| {
        let told = ArchiveName {
            name: name.to_owned(),
            created,
            ..named.clone()
        };
        named.format.kind() == kind && ArchiveName::parse(&told.to_key()).as_ref() == Some(&named)
    })
}

fn meta_fits(meta: &ArchiveMeta, manifest: &Manifest) -> bool {
    meta.kind == manifest.kind
        && meta.name == manifest.name
        && meta.created == manifest.created_at
        && meta.codec == manifest.content.codec
}

fn check_digests(
    archive: &str,
    manifest: &Manifest,
    seen: &Unsealed,
    offset: u64,
) -> Result<(), OperationError> {
    let stored_sha256 = match (offset, &manifest.stored.payload_sha256) {
        (0, _) => Some(&manifest.stored.sha256),
        (_, payload) => payload.as_ref(),
    };
    let checks = [
        (
            "stored bytes",
            offset + seen.stored_bytes == manifest.stored.bytes,
        ),
        (
            "stored checksum",
            stored_sha256.is_none_or(|sha256| seen.stored_sha256.as_ref() == Some(sha256)),
        ),
        (
            "content bytes",
            seen.content_bytes == manifest.content.bytes,
        ),
        (
            "content checksum",
            seen.content_sha256.as_ref() == Some(&manifest.content.sha256),
        ),
        ("raw bytes", seen.raw_bytes == manifest.content.raw_bytes),
    ];
    let wrong: Vec<&str> = checks
        .iter()
        .filter(|(_, ok)| !ok)
        .map(|(what, _)| *what)
        .collect();
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(integrity(
            archive,
            &format!("differs from its manifest in {}", wrong.join(", ")),
        )),
    }
}

pub(super) fn integrity(archive: &str, what: &str) -> OperationError {
    OperationError::Integrity {
        archive: archive.to_owned(),
        what: what.to_owned(),
    }
}

fn read_error(storage: &dyn Storage, key: &str, source: std::io::Error) -> OperationError {
    OperationError::Storage(StorageError {
        kind: crate::storage::ErrorKind::Other,
        action: "read",
        place: format!("{}/{key}", storage.location()),
        source,
    })
}
