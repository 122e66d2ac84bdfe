//! Makes one backup: lock, sweep, seal into a pending write, commit, manifest.
//!
//! Invariant: the manifest is written last, after the archive is durable, so a
//! backup that can be seen is whole. Whatever fails leaves nothing, or a record
//! that tells the next run what to remove.

use std::io::Write;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::remove::remove_if_there;
use super::{Marker, OperationError, Run, Vault, random_id, sweep};
use crate::format::header::HeaderError;
use crate::format::keys::KeyMaterial;
use crate::format::legacy::legacy_key;
use crate::format::manifest::{self, Codec, Content, MANIFEST_VERSION, Manifest, Stored};
use crate::format::manifest_file::ManifestFile;
use crate::format::names::{ArchiveFormat, ArchiveName, manifest_key};
use crate::ids::BackupId;
use crate::lock::LockKind;
use crate::pipeline::{ArchiveMeta, Envelope, Receipt, Sealing, new_archive, seal};
use crate::source::{Produced, Source};
use crate::storage::ErrorKind;

/// Names tried in one second before giving up.
const COLLISIONS_MAX: u32 = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    None,
    Kluis1,
    /// Kanbu's own format, for a service that still reads the archives.
    Kanbu,
}

/// What to make; where the bytes come from is the source's business.
#[derive(Clone, Debug)]
pub struct BackupPlan {
    pub name: String,
    pub format: ArchiveFormat,
    pub codec: Codec,
    pub level: i32,
    pub encryption: Encryption,
    pub note: Option<String>,
    /// Never pruned.
    pub keep: bool,
}

#[derive(Debug)]
pub struct BackupDone {
    pub manifest: Manifest,
    pub took: Duration,
    /// What a crashed run had left and this one removed.
    pub swept: Vec<String>,
}

impl BackupDone {
    /// Files of a source tree that are not in the archive as they were.
    pub fn problems(&self) -> u64 {
        let tree = self.manifest.source.as_ref();
        tree.map_or(0, |tree| tree.changed + tree.vanished + tree.unreadable)
    }
}

/// Runs `plan`. `start` opens the source once the lock is held.
pub fn backup(
    vault: &Vault<'_>,
    plan: &BackupPlan,
    now: Timestamp,
    start: impl FnOnce() -> Result<Box<dyn Source>, OperationError>,
) -> Result<BackupDone, OperationError> {
    let begun = Instant::now();
    let _lock = vault.lock(LockKind::Exclusive, now)?;
    let swept = sweep(vault, now)?.names;
    let marker = Marker::load_or_create(vault.storage, now)?;
    let archive = free_name(vault, plan, now)?;
    let mut run = Run::start(vault, Some(&archive), now)?;
    let result = seal_and_publish(vault, plan, &archive, &marker, now, start, &mut run);
    match result.map_err(|error| vault.stopped_or(error)) {
        Ok(manifest) => {
            let what = format!("{archive} is there and whole");
            run.complete(manifest.stored.bytes, &what)?;
            Ok(BackupDone {
                manifest,
                took: begun.elapsed(),
                swept,
            })
        }
        Err(error) => {
            run.fail(&error);
            Err(error)
        }
    }
}

/// The archive's name; with `-2` and so on behind the time if it is taken.
fn free_name(
    vault: &Vault<'_>,
    plan: &BackupPlan,
    now: Timestamp,
) -> Result<String, OperationError> {
    let taken: std::collections::HashSet<String> = vault
        .storage
        .list("")?
        .into_iter()
        .map(|object| object.key)
        .collect();
    let mut name = ArchiveName {
        name: plan.name.clone(),
        created: now,
        format: plan.format,
        codec: plan.codec,
        encrypted: plan.encryption != Encryption::None,
        copy: 1,
    };
    for _ in 0..COLLISIONS_MAX {
        let archive = name.to_key();
        if !taken.contains(&archive) && !taken.contains(&manifest_key(&archive)) {
            return Ok(archive);
        }
        name = name.next_copy();
    }
    Err(OperationError::Refused {
        what: format!(
            "{COLLISIONS_MAX} backups of {} carry this second's name already",
            plan.name
        ),
    })
}

fn seal_and_publish(
    vault: &Vault<'_>,
    plan: &BackupPlan,
    archive: &str,
    marker: &Marker,
    now: Timestamp,
    start: impl FnOnce() -> Result<Box<dyn Source>, OperationError>,
    run: &mut Run<'_>,
) -> Result<Manifest, OperationError> {
    let envelope = envelope(vault, plan, archive, marker, now)?;
    let mut source = start()?;
    let mut pending = vault.storage.create(archive)?;
    let sealing = Sealing {
        codec: plan.codec,
        level: plan.level,
        workers: vault.workers,
        envelope,
        cancel: vault.cancel.clone(),
    };
    vault.reporter.phase(
        &format!("backing up {}", plan.name),
        source.expected_bytes(),
    );
    let advance = |bytes| vault.reporter.advance(bytes);
    let sealed = seal(&mut *source, &mut *pending, &sealing, &advance);
    vault.reporter.phase_done();
    let receipt = sealed?;
    let manifest = describe(
        vault,
        plan,
        archive,
        now,
        &receipt,
        &sealing.envelope,
        source.finish(),
    )?;
    let committed = pending.commit();
    let published = match committed {
        Ok(()) => publish(vault, plan, &manifest, &sealing.envelope),
        // Then the name is another program's, and so is what lies there.
        Err(error) if error.kind == ErrorKind::AlreadyExists => return Err(error.into()),
        Err(error) => Err(error.into()),
    };
    published
        .map(|()| manifest)
        .inspect_err(|error| take_back(vault, archive, error, run))
}

/// A failure must leave nothing, also where a storage did what it says it could
/// not. The manifest first: an archive alone is no backup, a manifest alone would
/// look like one.
fn take_back(vault: &Vault<'_>, archive: &str, why: &OperationError, run: &mut Run<'_>) {
    let manifest = manifest_key(archive);
    let manifest_is_ours = !matches!(
        why,
        OperationError::Storage(error) if error.kind == ErrorKind::AlreadyExists
    );
    let keys = [(&*manifest, manifest_is_ours), (archive, true)];
    for (key, _) in keys.into_iter().filter(|(_, ours)| *ours) {
        match remove_if_there(vault.storage, key) {
            Ok(()) => {}
            Err(error) => {
                run.leaves_work();
                vault
                    .reporter
                    .warn(&format!("{key} stays behind for the next run: {error}"));
                return;
            }
        }
    }
}

fn envelope(
    vault: &Vault<'_>,
    plan: &BackupPlan,
    archive: &str,
    marker: &Marker,
    now: Timestamp,
) -> Result<Envelope, OperationError> {
    let of_archive = |source| OperationError::Header {
        archive: archive.to_owned(),
        source,
    };
    match plan.encryption {
        Encryption::None => Ok(Envelope::None),
        Encryption::Kanbu => match vault.ring.materials().first() {
            Some(KeyMaterial::Raw(key)) => Ok(Envelope::Kanbu(
                crate::format::keys::SecretKey::from_bytes(*key.expose()),
            )),
            Some(KeyMaterial::Passphrase(text)) => Ok(Envelope::Kanbu(legacy_key(text))),
            None => Err(of_archive(HeaderError::Unwritable("no key is configured"))),
        },
        Encryption::Kluis1 => {
            let meta = ArchiveMeta {
                kind: plan.format.kind(),
                name: plan.name.clone(),
                created: now,
                codec: plan.codec,
            };
            let salt = marker.salt().ok_or_else(|| OperationError::Usage {
                what: "the storage's marker kluis.json has no valid passphrase salt".to_owned(),
            })?;
            let archive = new_archive(&vault.ring, &meta, &salt).map_err(of_archive)?;
            Ok(Envelope::Kluis1(Box::new(archive)))
        }
    }
}

fn describe(
    vault: &Vault<'_>,
    plan: &BackupPlan,
    archive: &str,
    now: Timestamp,
    receipt: &Receipt,
    envelope: &Envelope,
    produced: Produced,
) -> Result<Manifest, OperationError> {
    let (database, source) = match produced {
        Produced::Database(database) => (Some(database), None),
        Produced::Tree(tree) => (None, Some(tree)),
    };
    Ok(Manifest {
        version: MANIFEST_VERSION,
        id: BackupId::from_random(random_id()?),
        kind: plan.format.kind(),
        name: plan.name.clone(),
        created_at: now,
        host: vault.actor.host.clone(),
        trigger: vault.actor.trigger,
        note: plan.note.clone(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        stored: Stored {
            file: archive.to_owned(),
            bytes: receipt.stored_bytes,
            sha256: receipt.stored_sha256.clone(),
            payload_sha256: receipt.payload_sha256.clone(),
        },
        content: Content {
            codec: plan.codec,
            bytes: receipt.content_bytes,
            sha256: receipt.content_sha256.clone(),
            raw_bytes: receipt.raw_bytes,
        },
        encryption: match envelope {
            Envelope::None => None,
            Envelope::Kluis1(new) => Some(encryption("KLUIS1", new.key_id.to_string())),
            Envelope::Kanbu(key) => Some(encryption("kanbu", key.id().to_string())),
        },
        database,
        source,
        gzip_index: receipt.index.clone(),
    })
}

fn encryption(format: &str, key_id: String) -> manifest::Encryption {
    manifest::Encryption {
        format: format.to_owned(),
        key_id,
    }
}

/// Writes the manifest: from here on the backup exists.
fn publish(
    vault: &Vault<'_>,
    plan: &BackupPlan,
    manifest: &Manifest,
    envelope: &Envelope,
) -> Result<(), OperationError> {
    let archive = &manifest.stored.file;
    let of_archive = |source| OperationError::Manifest {
        archive: archive.clone(),
        source,
    };
    let key = match envelope {
        Envelope::Kluis1(new) => Some(&new.keys.manifest),
        Envelope::None | Envelope::Kanbu(_) => None,
    };
    let mut file = ManifestFile::seal(manifest.clone(), key).map_err(of_archive)?;
    file.state.pinned = plan.keep;
    let bytes = file.to_bytes().map_err(of_archive)?;
    vault.cancel.check()?;
    let manifest_key = manifest_key(archive);
    let mut pending = vault.storage.create(&manifest_key)?;
    pending
        .write_all(&bytes)
        .map_err(|source| crate::storage::StorageError {
            kind: ErrorKind::Other,
            action: "write",
            place: format!("{}/{manifest_key}", vault.storage.location()),
            source,
        })?;
    Ok(pending.commit()?)
}
