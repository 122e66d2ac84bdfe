//! Whose a backup is. Somebody who can write to a storage can put archives and
//! manifests there; with a key at hand, what that key did not seal is *foreign*.
//!
//! Invariant: only this file makes an [`Ours`], and what counts, removes or stands
//! for the newest asks for an `Ours`. So a foreign backup cannot displace one.

use std::io::Read;
use std::ops::Deref;

use super::{Backup, Catalog, CatalogError, Unproven};
use crate::format::age::AgeRecipient;
use crate::format::header::{self, HEADER_LEN, HeaderError, PAYLOAD_OFFSET, SealKey};
use crate::format::keyring::Keyring;
use crate::format::keys::SecretKey;
use crate::format::manifest_file::ManifestFile;
use crate::format::run_record::RunRecord;
use crate::format::slots::SlotName;
use crate::pipeline::ArchiveMeta;
use crate::series::Series;
use crate::storage::{ErrorKind, Storage, StorageError};

/// What is known here of who writes backups.
#[derive(Clone, Copy)]
pub enum Trust<'a> {
    /// No key is configured: nothing can be told apart, and all counts that has a
    /// manifest.
    NoKey,
    /// Keys are configured and could not be had: what has a seal is believed. For
    /// looking only; nothing may be removed by it.
    Unchecked,
    Ring(&'a Keyring),
}

impl<'a> Trust<'a> {
    pub fn of(ring: &'a Keyring) -> Self {
        match ring.knows_nothing() {
            true => Self::NoKey,
            false => Self::Ring(ring),
        }
    }
}

/// A backup that counts.
pub struct Ours {
    backup: Backup,
    is_checked: bool,
}

impl Deref for Ours {
    type Target = Backup;

    fn deref(&self) -> &Backup {
        &self.backup
    }
}

impl Ours {
    /// Whether a key of ours proved it. Without a key, or with age recipients
    /// only, there is nothing to prove it by.
    pub fn is_checked(&self) -> bool {
        self.is_checked
    }

    pub(super) fn set_series(&mut self, series: Option<Series>) {
        self.backup.series = series;
    }
}

/// An archive or a manifest that no key of ours vouches for. It is listed, and
/// taken by who names it; nothing counts it.
pub struct Foreign {
    backup: Backup,
    pub why: Unproven,
}

impl Foreign {
    /// What its manifest or its name says of it, whoever wrote that.
    pub fn described(&self) -> &Backup {
        &self.backup
    }

    pub fn into_backup(self) -> Backup {
        self.backup
    }

    /// Why the latest is not this one.
    pub(super) fn not_latest(&self, location: &str) -> CatalogError {
        let archive = self.backup.archive.clone();
        match &self.why {
            why @ (Unproven::OtherKey(_) | Unproven::OtherSeal) => CatalogError::OtherKey {
                archive,
                why: why.to_string(),
            },
            Unproven::NotTried => CatalogError::NotTried { archive },
            why if why.is_alarming() => CatalogError::Damaged {
                archive,
                why: why.to_string(),
            },
            _ => CatalogError::OnlyForeign {
                archive,
                location: location.to_owned(),
            },
        }
    }
}

/// Ours, and whether that was checked; or why not.
pub(super) type Judged = Result<bool, Unproven>;

impl Catalog {
    /// Among ours or among the others, as it was judged.
    pub(super) fn push_judged(&mut self, backup: Backup, judged: Judged) {
        match judged {
            Ok(is_checked) => self.backups.push(Ours { backup, is_checked }),
            Err(why) => self.foreign.push(Foreign { backup, why }),
        }
    }
}

impl Trust<'_> {
    /// Whether the record that lies under `key` in the storage of this id may speak for a
    /// run of ours. Good
    /// news only are asked for it: a run that a record says has failed, though no
    /// key could seal it, is told all the same. Keys that make no seals, such as
    /// recipients alone, know none.
    pub fn believes(self, record: &RunRecord, key: &str, storage_id: Option<&str>) -> bool {
        match self {
            Self::Ring(ring) if ring.seals() => {
                let is_in_its_place = record.key() == key && record.is_of_storage(storage_id);
                is_in_its_place && record.seal_holds(ring)
            }
            Self::NoKey | Self::Unchecked | Self::Ring(_) => true,
        }
    }

    /// Of an archive without a manifest.
    pub(super) fn judge_alone(self) -> Judged {
        match self {
            Self::NoKey => Ok(false),
            Self::Unchecked | Self::Ring(_) => Err(Unproven::NoManifest),
        }
    }

    /// Of a manifest and the archive beside it. Reads one copy of its header. What
    /// its state says was proven, and where it was moved to, is forgotten where no key
    /// of ours sealed that.
    pub(super) fn judge(
        self,
        storage: &dyn Storage,
        archive: &str,
        file: &mut ManifestFile,
    ) -> Judged {
        self.judge_state(storage, archive, file).0
    }

    /// [`Trust::judge`] of who changes the state, whoever's the backup is. Gives the
    /// archive's key, to seal it by, where one of ours opens the archive; or why that
    /// is not known, because the archive could not be read.
    pub fn state_key(
        self,
        storage: &dyn Storage,
        archive: &str,
        file: &mut ManifestFile,
    ) -> Result<Option<SecretKey>, Unproven> {
        match self.judge_state(storage, archive, file) {
            (Err(why @ Unproven::Unread(_)), _) => Err(why),
            (_, key) => Ok(key),
        }
    }

    fn judge_state(
        self,
        storage: &dyn Storage,
        archive: &str,
        file: &mut ManifestFile,
    ) -> (Judged, Option<SecretKey>) {
        let (judged, key) = self.judge_manifest(storage, archive, file);
        if let Self::Ring(ring) = self {
            let claims = ring.seals() && file.state.claims();
            if claims && !file.state_seal_holds(key.as_ref(), ring) {
                file.state.forget_claims();
            }
        }
        (judged, key)
    }

    /// And the key that the manifest and its state are sealed by, if one of ours opens
    /// the archive, and it is the archive that the manifest was written with: anybody
    /// may put another one in its place, and knows that one's key.
    fn judge_manifest(
        self,
        storage: &dyn Storage,
        archive: &str,
        file: &ManifestFile,
    ) -> (Judged, Option<SecretKey>) {
        let without_key = match self {
            Self::NoKey => Ok(false),
            Self::Unchecked if file.is_sealed() => Ok(false),
            Self::Unchecked => Err(Unproven::NotSealed),
            Self::Ring(_) if file.manifest.stored.file != archive => Err(Unproven::Misplaced),
            Self::Ring(ring) if !ring.verifiers().is_empty() => {
                match file.signature_holds(ring.verifiers()) {
                    true => return judge_signed(ring, storage, archive, file),
                    false => Err(Unproven::NotSigned),
                }
            }
            Self::Ring(_) if !file.is_sealed() => Err(Unproven::NotSealed),
            Self::Ring(ring) => return judge_seal(ring, storage, archive, file),
        };
        (without_key, None)
    }
}

/// Judged by the archive's key, and that key where it may be believed.
fn with_key(key: SealKey, file: &ManifestFile) -> (Judged, Option<SecretKey>) {
    let judged = fits(&key, file);
    let key = judged.is_ok().then_some(key.manifest);
    (judged, key)
}

/// The signature is of the manifest alone. Where a key is here that opens what lies
/// beside it, that must be what the manifest was written with; a host that only
/// writes cannot tell. Anybody makes an archive for a recipient, and seals a manifest
/// that is signed by that one's key: nobody's state is believed for it.
fn judge_signed(
    ring: &Keyring,
    storage: &dyn Storage,
    archive: &str,
    file: &ManifestFile,
) -> (Judged, Option<SecretKey>) {
    if !file.manifest.is_kluis1() {
        return (Ok(true), None);
    }
    match open_seal_key(ring, storage, archive) {
        Ok(key) => {
            let (judged, key) = with_key(key, file);
            (judged, key.filter(|_| ring.has_secret()))
        }
        // What is wrong with it is told where it is read.
        Err(_) => (Ok(true), None),
    }
}

/// And the archive's key, where it was had.
fn judge_seal(
    ring: &Keyring,
    storage: &dyn Storage,
    archive: &str,
    file: &ManifestFile,
) -> (Judged, Option<SecretKey>) {
    if !file.manifest.is_kluis1() {
        let judged = match file.own_seal_holds(ring) {
            true => Ok(true),
            false => Err(Unproven::OtherSeal),
        };
        return (judged, None);
    }
    match open_seal_key(ring, storage, archive) {
        Ok(key) => with_key(key, file),
        Err(judged) => (judged, None),
    }
}

fn open_seal_key(ring: &Keyring, storage: &dyn Storage, archive: &str) -> Result<SealKey, Judged> {
    let head = |bytes| read_start(storage, archive, bytes);
    let opened = head(HEADER_LEN as u64).and_then(|copy_a| {
        match header::seal_key(&copy_a, ring) {
            Ok(key) => Ok(Ok(key)),
            // Copy B may tell more, and says which keys would open it.
            Err(_) => Ok(head(PAYLOAD_OFFSET)
                .map(|both| header::seal_key(&both, ring).map_err(|error| (error, both)))?),
        }
    });
    Err(match opened {
        Ok(Ok(key)) => return Ok(key),
        Ok(Err((HeaderError::NoKey { wants }, head))) => not_opened(ring, &head, wants),
        Ok(Err((HeaderError::TooCostly, _))) => Err(Unproven::NotTried),
        Ok(Err((error, _))) => Err(Unproven::Header(error)),
        Err(error) if error.kind == ErrorKind::NotFound => Err(Unproven::Gone),
        Err(error) => Err(Unproven::Unread(error.source.to_string())),
    })
}

/// The manifest is the one that was written with this archive.
fn fits(key: &SealKey, file: &ManifestFile) -> Judged {
    if file.check_seal(&key.manifest).is_err() {
        return Err(Unproven::SealBroken);
    }
    match ArchiveMeta::parse(&key.meta) {
        Some(meta) if meta.fits(&file.manifest) => Ok(true),
        _ => Err(Unproven::Misplaced),
    }
}

/// A host that writes for recipients cannot open what it made: there the name of
/// the recipient is all that can be had, unless hosts sign. It tells nothing where
/// there is a key that nobody else could write for.
fn not_opened(ring: &Keyring, head: &[u8], wants: Vec<String>) -> Judged {
    let is_ours = |name: &str| {
        let recipient = name.parse::<AgeRecipient>().ok();
        let mut keys = ring.keys().iter();
        keys.any(|key| recipient.is_some() && key.material.recipient() == recipient)
    };
    let slots = header::peek(head).map_or_else(|_| Vec::new(), |header| header.slots);
    let names_ours = slots
        .iter()
        .any(|slot| matches!(slot.name(), SlotName::Age(Some(name)) if is_ours(&name)));
    match (names_ours, ring.has_secret()) {
        (true, false) => Ok(false),
        (true, true) => Err(Unproven::RecipientOnly),
        (false, _) => Err(Unproven::OtherKey(wants)),
    }
}

pub(super) fn read_start(
    storage: &dyn Storage,
    archive: &str,
    bytes: u64,
) -> Result<Vec<u8>, StorageError> {
    let mut head = Vec::with_capacity(bytes as usize);
    let reader = storage.open(archive, 0)?;
    let read = reader.take(bytes).read_to_end(&mut head);
    read.map_err(|source| {
        StorageError::new("read", format!("{}/{archive}", storage.location()), source)
    })?;
    Ok(head)
}
