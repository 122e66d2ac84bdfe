//! The one way back: opens an archive, reads it to its end, compares what came
//! with what its manifest says. Verify, restore and decrypt all go through here.

use std::io::{BufRead, Read};

use jiff::Timestamp;

use super::accept::not_vouched;
use super::{OperationError, UnusedCopy, Vault};
use crate::catalog::Backup;
use crate::format::header::{self, HeaderError, PAYLOAD_OFFSET};
use crate::format::keys::SecretKey;
use crate::format::manifest::{Kind, Manifest};
use crate::format::manifest_file::ManifestFile;
use crate::format::names::ArchiveName;
use crate::pipeline::{ArchiveMeta, Opening, Unsealed};
use crate::storage::{Storage, StorageError};

mod kanbu;
mod readings;

use kanbu::{name_missing_key, open_legacy};
pub use readings::ReadReport;
pub(super) use readings::{
    Seen, look_first, read_backup, read_first, read_first_unless_vouched, read_known, read_opened,
};

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
    /// It is ours by itself, whatever lies beside it.
    pub is_vouched: bool,
}

impl OpenedArchive {
    /// Whether a key of ours vouches for each chunk of it before a byte of it is out. For
    /// Kanbu's files the key vouches for the whole alone, by a tag at their end.
    fn is_known_by_its_key(&self) -> bool {
        self.form == Form::Kluis1 && self.is_vouched
    }
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

/// Looks at the first bytes of an archive, of the vault's storage or of another
/// one, finds its key and checks its header.
pub(super) fn open_archive(
    vault: &Vault<'_>,
    storage: &dyn Storage,
    archive: &str,
) -> Result<OpenedArchive, OperationError> {
    let head = read_head(storage, archive)?;
    let of_archive = |source| OperationError::Header {
        archive: archive.to_owned(),
        source,
    };
    match header::open(&head, &vault.ring) {
        Ok(opened) => {
            let meta = ArchiveMeta::parse(&opened.header.meta)
                .ok_or(HeaderError::Malformed("its description is not one"))
                .map_err(of_archive)?;
            let is_vouched = header::vouches(&head, &vault.ring, &opened);
            let unused = opened.damaged_copy;
            Ok(OpenedArchive {
                key_id: opened.header.key_id(&vault.ring),
                is_vouched,
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
                true => open_legacy(vault, storage, archive),
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
        is_vouched: false,
    }
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
    let manifest = backup.file.as_ref().map(|file| &file.manifest);
    let encryption = manifest.and_then(|manifest| manifest.encryption.as_ref());
    if encryption.is_none_or(|encryption| encryption.format != Form::Kluis1.name()) {
        // Opening it may mean to read all of it.
        refuse_longer(backup)?;
    }
    let opened = open_damaged(vault, backup)?;
    refuse_longer(backup)?;
    Ok(opened)
}

/// [`open_backup`] of an archive that need not be as long as it was.
pub(super) fn open_damaged(
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
    let opened = open_archive(vault, vault.storage, archive)
        .map_err(|error| name_missing_key(error, backup, &vault.ring))?;
    if backup.vouched_only && !opened.is_vouched {
        // What lay there when it was accepted may be another's by now.
        return Err(not_vouched(vault.storage, archive));
    }
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

/// A hole behind an archive costs nothing to make, and days to read.
fn refuse_longer(backup: &Backup) -> Result<(), OperationError> {
    let manifest = backup.file.as_ref().map(|file| &file.manifest);
    let told = manifest.map(|manifest| manifest.stored.bytes);
    match told.filter(|told| backup.stored_bytes() > *told) {
        None => Ok(()),
        Some(told) => {
            let found = backup.stored_bytes();
            let what = format!("it has {found} bytes, its manifest says {told}");
            Err(integrity(&backup.archive, &what))
        }
    }
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
        Some(meta) if !meta.fits(manifest) => Err(integrity(
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

pub(super) fn check_digests(
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
