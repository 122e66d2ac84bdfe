//! The one way back: opens an archive, reads it to its end, compares what came
//! with what its manifest says. Verify, restore and decrypt all go through here.

use std::io::{BufRead, Read};

use super::{OperationError, Vault};
use crate::catalog::Backup;
use crate::format::header::{self, CopyName, HeaderError, PAYLOAD_OFFSET};
use crate::format::keys::{KeyMaterial, Keyring, SecretKey};
use crate::format::legacy::{self, Authenticated, LegacyError};
use crate::format::manifest::Manifest;
use crate::format::manifest_file::ManifestFile;
use crate::format::names::ArchiveName;
use crate::pipeline::{ArchiveMeta, Opening, Unsealed, Unsealing, unseal};
use crate::storage::{Storage, StorageError};

/// How an archive opens.
pub(super) struct OpenedArchive {
    pub opening: Opening,
    /// Where the payload begins.
    pub offset: u64,
    pub manifest_key: Option<SecretKey>,
    /// What the header says of the content.
    pub meta: Option<ArchiveMeta>,
    pub damaged_copy: Option<(CopyName, HeaderError)>,
    pub form: Form,
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

/// Looks at an archive's first bytes, finds its key and checks its header.
pub(super) fn open_archive(
    storage: &dyn Storage,
    archive: &str,
    ring: &Keyring,
) -> Result<OpenedArchive, OperationError> {
    let mut head = Vec::with_capacity(PAYLOAD_OFFSET as usize);
    let mut reader = storage.open(archive, 0)?.take(PAYLOAD_OFFSET);
    reader
        .read_to_end(&mut head)
        .map_err(|error| read_error(storage, archive, error))?;
    let of_archive = |source| OperationError::Header {
        archive: archive.to_owned(),
        source,
    };
    match header::open(&head, ring) {
        Ok(opened) => {
            let meta = serde_json::from_slice(&opened.header.meta)
                .map_err(|_| of_archive(HeaderError::Malformed("its description is not JSON")))?;
            Ok(OpenedArchive {
                opening: Opening::Kluis1 {
                    payload_key: opened.keys.payload,
                },
                offset: PAYLOAD_OFFSET,
                manifest_key: Some(opened.keys.manifest),
                meta: Some(meta),
                damaged_copy: opened.damaged_copy,
                form: Form::Kluis1,
            })
        }
        // No magic: Kanbu's format only if the name says so.
        Err(HeaderError::NotKluis | HeaderError::Truncated { .. })
            if !head.starts_with(&header::MAGIC) =>
        {
            match archive.ends_with(".enc") {
                true => open_legacy(storage, archive, ring),
                false => Ok(plain()),
            }
        }
        Err(error) => Err(of_archive(error)),
    }
}

fn plain() -> OpenedArchive {
    OpenedArchive {
        opening: Opening::Plain,
        offset: 0,
        manifest_key: None,
        meta: None,
        damaged_copy: None,
        form: Form::Plain,
    }
}

/// First pass over a Kanbu file with each key: nothing is decrypted before one
/// of them authenticates the whole of it.
fn open_legacy(
    storage: &dyn Storage,
    archive: &str,
    ring: &Keyring,
) -> Result<OpenedArchive, OperationError> {
    if ring.is_empty() {
        let wants = vec!["the key of the service that wrote it".to_owned()];
        let source = HeaderError::NoKey { wants };
        return Err(OperationError::Header {
            archive: archive.to_owned(),
            source,
        });
    }
    let mut failure = LegacyError::Authentication;
    for material in ring.materials() {
        let key = match material {
            KeyMaterial::Raw(key) => SecretKey::from_bytes(*key.expose()),
            KeyMaterial::Passphrase(text) => legacy::legacy_key(text),
        };
        match legacy::authenticate(storage.open(archive, 0)?, &key) {
            Ok(authenticated) => return Ok(legacy_opened(authenticated)),
            Err(error) => failure = error,
        }
    }
    Err(OperationError::Legacy {
        archive: archive.to_owned(),
        source: failure,
    })
}

fn legacy_opened(authenticated: Authenticated) -> OpenedArchive {
    OpenedArchive {
        opening: Opening::Kanbu(Box::new(authenticated)),
        form: Form::Kanbu,
        ..plain()
    }
}

/// A Kanbu file cannot tell a wrong key from damage. A manifest that kluis wrote
/// with it can: it names the key.
fn name_missing_key(error: OperationError, backup: &Backup, ring: &Keyring) -> OperationError {
    let file = backup.file.as_ref();
    let encryption = file.and_then(|file| file.manifest.encryption.as_ref());
    let (OperationError::Legacy { source, .. }, Some(encryption)) = (&error, encryption) else {
        return error;
    };
    let is_there = |material: &KeyMaterial| {
        let id = match material {
            KeyMaterial::Raw(key) => key.id(),
            KeyMaterial::Passphrase(text) => legacy::legacy_key(text).id(),
        };
        id.to_string() == encryption.key_id
    };
    if !matches!(source, LegacyError::Authentication) || ring.materials().iter().any(is_there) {
        return error;
    }
    OperationError::Header {
        archive: backup.archive.clone(),
        source: HeaderError::NoKey {
            wants: vec![format!("key {}", encryption.key_id)],
        },
    }
}

/// What a whole reading found, beside what the consumer returns.
#[derive(Debug)]
pub struct ReadReport {
    pub unsealed: Unsealed,
    /// One header copy is damaged: readable, but its spare is gone.
    pub damaged_copy: Option<String>,
}

/// Reads `backup` through `consume`, checks every digest and the manifest's seal.
pub(super) fn read_backup<T>(
    vault: &Vault<'_>,
    backup: &Backup,
    phase: &str,
    consume: impl FnOnce(&mut dyn BufRead) -> Result<T, OperationError>,
) -> Result<(T, ReadReport), OperationError> {
    let archive = &backup.archive;
    let opened = open_backup(vault, backup)?;
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
    let damaged = opened.damaged_copy;
    let report = ReadReport {
        unsealed,
        damaged_copy: damaged.map(|(copy, why)| format!("copy {copy} of its header: {why}")),
    };
    Ok((value, report))
}

/// The archive is there, opens, and is the one that its manifest speaks of.
fn open_backup(vault: &Vault<'_>, backup: &Backup) -> Result<OpenedArchive, OperationError> {
    let archive = &backup.archive;
    if backup.stored.is_none() {
        return Err(integrity(
            archive,
            "its manifest is there, but the archive is gone",
        ));
    }
    let opened = open_archive(vault.storage, archive, &vault.ring)
        .map_err(|error| name_missing_key(error, backup, &vault.ring))?;
    if let Some(file) = &backup.file {
        check_manifest(archive, file, &opened)?;
    }
    Ok(opened)
}

/// Names the archive in errors that come from inside its stream.
fn at_archive(error: OperationError, archive: &str) -> OperationError {
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
    if !name_fits(archive, manifest) {
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
fn name_fits(archive: &str, manifest: &Manifest) -> bool {
    ArchiveName::parse(archive).is_none_or(|named| {
        let told = ArchiveName {
            name: manifest.name.clone(),
            created: manifest.created_at,
            ..named.clone()
        };
        named.format.kind() == manifest.kind
            && ArchiveName::parse(&told.to_key()).as_ref() == Some(&named)
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

/// Whether the manifest's seal is right; `None` where there is no seal, or no key
/// for it.
pub fn seal_holds(vault: &Vault<'_>, backup: &Backup) -> Option<bool> {
    let file = backup.file.as_ref()?;
    let opened = open_archive(vault.storage, &backup.archive, &vault.ring).ok()?;
    let key = opened.manifest_key?;
    Some(file.check_seal(&key).is_ok())
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
