//! Makes the manifest of a file that has none: an archive of another program, a
//! loose dump, an archive that lost its manifest.
//!
//! Invariant: the manifest is written only after the file was read whole through
//! what verify reads with, so that it states what was seen. Nothing is written of
//! a file that is damaged. The file itself is never changed; one from elsewhere
//! is copied.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use super::read::{integrity, name_fits};
use super::remove::remove_if_there;
use super::{MakeCheck, Marker, OperationError, Run, UnusedCopy, Vault, random_id, sweep};
use crate::format::manifest::{
    Content, Encryption, GLOBALS, Kind, MANIFEST_VERSION, Manifest, ProofLevel, Stored,
    Verification,
};
use crate::format::manifest_file::ManifestFile;
use crate::format::names::{ArchiveFormat, archive_of_manifest, manifest_key};
use crate::ids::BackupId;
use crate::lock::LockKind;
use crate::storage::{Storage, StorageError, StoredObject};

mod identify;
mod reading;

use identify::Found;
use reading::{Reading, read_whole_file};

/// A file to adopt.
pub struct AdoptFile<'a> {
    /// Its name, and the archive's.
    pub key: String,
    /// Where it lies, if not in the vault's storage.
    pub elsewhere: Option<&'a dyn Storage>,
}

/// What the operator says of files that do not tell it themselves.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub name: Option<String>,
    pub kind: Option<Kind>,
}

#[derive(Debug)]
pub struct Adopted {
    pub manifest: Manifest,
    pub copied: bool,
    pub warnings: Vec<String>,
    pub took: Duration,
}

/// Adopts each of `files` by itself; the outer error is one that ends it all.
pub fn adopt(
    vault: &Vault<'_>,
    files: &[AdoptFile<'_>],
    told: &Told,
    now: Timestamp,
    make_check: MakeCheck<'_>,
) -> Result<Vec<Result<Adopted, OperationError>>, OperationError> {
    let _lock = vault.lock(LockKind::Exclusive, now)?;
    sweep(vault, now)?;
    Marker::load_or_create(vault.storage, now)?;
    // The lock keeps it as it is, but for what is adopted here.
    let objects = vault.storage.list("")?.into_iter();
    let mut there: Objects = objects.map(|it| (it.key.clone(), it)).collect();
    let mut results = Vec::with_capacity(files.len());
    for file in files {
        vault.cancel.check()?;
        let adopting = Adopting {
            vault,
            file,
            told,
            now,
        };
        let result = adopting.look(&there).and_then(|object| {
            let adopted = adopting.run(&object, make_check)?;
            there.insert(manifest_key(&file.key), object.clone());
            there.insert(file.key.clone(), object);
            Ok(adopted)
        });
        vault.cancel.check()?;
        results.push(result);
    }
    Ok(results)
}

/// What is in the storage, by key.
type Objects = HashMap<String, StoredObject>;

struct Adopting<'a> {
    vault: &'a Vault<'a>,
    file: &'a AdoptFile<'a>,
    told: &'a Told,
    now: Timestamp,
}

impl Adopting<'_> {
    fn run(
        &self,
        object: &StoredObject,
        make_check: MakeCheck<'_>,
    ) -> Result<Adopted, OperationError> {
        let begun = Instant::now();
        let run = Run::start(self.vault, Some(&self.file.key), self.now)?;
        let result = self.adopt(object, make_check);
        match result.map_err(|error| self.vault.stopped_or(error)) {
            Ok(adopted) => {
                let what = format!("{} is adopted", self.file.key);
                run.complete(adopted.manifest.stored.bytes, &what)?;
                Ok(Adopted {
                    took: begun.elapsed(),
                    ..adopted
                })
            }
            Err(error) => {
                run.fail(&error);
                Err(error)
            }
        }
    }

    /// Where the file lies now.
    fn source(&self) -> &dyn Storage {
        self.file.elsewhere.unwrap_or(self.vault.storage)
    }

    /// The file is there, and its place in the storage is free.
    fn look(&self, there: &Objects) -> Result<StoredObject, OperationError> {
        let key = &self.file.key;
        let usage = |what: String| OperationError::Usage { what };
        if archive_of_manifest(key).is_some() {
            let what = format!("{key} would be taken for a manifest; rename it");
            return Err(usage(what));
        }
        if there.contains_key(&manifest_key(key)) {
            let what = format!("{key} has a manifest already; kluis show tells what it says");
            return Err(usage(what));
        }
        if self.file.elsewhere.is_some() && there.contains_key(key) {
            let what = format!(
                "the storage has a {key} already; kluis adopt {key} adopts that one, or rename \
                 yours"
            );
            return Err(usage(what));
        }
        let found = match self.file.elsewhere {
            Some(place) => place.list(key)?.into_iter().find(|it| it.key == *key),
            None => there.get(key).cloned(),
        };
        found.ok_or_else(|| {
            let place = self.source().location();
            usage(format!("there is no file {key} in {place}"))
        })
    }

    fn adopt(
        &self,
        object: &StoredObject,
        make_check: MakeCheck<'_>,
    ) -> Result<Adopted, OperationError> {
        let reading = read_whole_file(self.vault, self.source(), object, self.told, make_check)?;
        let manifest = self.describe(&reading)?;
        if !name_fits(
            &self.file.key,
            manifest.kind,
            &manifest.name,
            manifest.created_at,
        ) {
            let what = format!(
                "it holds the backup of {} of {:.0}, and its name says another; rename it",
                manifest.name, manifest.created_at
            );
            return Err(integrity(&self.file.key, &what));
        }
        if manifest.created_at > self.now + SignedDuration::from_hours(24) {
            let what = format!(
                "{} would be a backup of {:.0}, which is in the future: it would hide the age of \
                 the others; give it the time it was made at in its name",
                self.file.key, manifest.created_at
            );
            return Err(OperationError::Usage { what });
        }
        if self.file.elsewhere.is_some() {
            self.copy_in(&manifest)?;
        }
        let published = self.publish(&manifest, &reading);
        if published.is_err() && self.file.elsewhere.is_some() {
            self.take_back();
        }
        published?;
        let mut warnings = reading.received.warnings;
        let remedy = |unused: UnusedCopy| {
            let remedy = unused.remedy(manifest.id.as_str());
            format!("{unused}; {remedy}")
        };
        warnings.extend(reading.unused_copy.map(remedy));
        Ok(Adopted {
            manifest,
            copied: self.file.elsewhere.is_some(),
            warnings,
            took: Duration::ZERO,
        })
    }

    fn describe(&self, reading: &Reading) -> Result<Manifest, OperationError> {
        let Found {
            format,
            is_globals,
            name,
            created_at,
        } = &reading.found;
        let mut database = reading.received.database.clone();
        if let Some(database) = &mut database {
            database.format = match (format, is_globals) {
                (_, true) => GLOBALS,
                (ArchiveFormat::Custom, _) => "custom",
                (ArchiveFormat::Directory, _) => "directory",
                _ => "plain",
            }
            .to_owned();
        }
        let unsealed = &reading.unsealed;
        let unread = || integrity(&self.file.key, "it was not read whole");
        Ok(Manifest {
            version: MANIFEST_VERSION,
            id: BackupId::from_random(random_id()?),
            kind: format.kind(),
            name: name.clone(),
            created_at: *created_at,
            host: self.vault.actor.host.clone(),
            trigger: self.vault.actor.trigger,
            note: Some("adopted".to_owned()),
            before_restore_of: None,
            reencrypted_from: None,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            stored: Stored {
                file: self.file.key.clone(),
                bytes: reading.stored_bytes,
                sha256: reading.stored_sha256.clone(),
                payload_sha256: reading
                    .has_header
                    .then(|| unsealed.stored_sha256.clone())
                    .flatten(),
            },
            content: Content {
                codec: unsealed.codec,
                bytes: unsealed.content_bytes,
                sha256: unsealed.content_sha256.clone().ok_or_else(unread)?,
                raw_bytes: unsealed.raw_bytes,
            },
            encryption: reading
                .encryption
                .clone()
                .map(|(format, key_id)| Encryption {
                    format: format.to_owned(),
                    key_id,
                }),
            database,
            source: reading.received.tree.clone(),
            gzip_index: None,
        })
    }

    /// Into the storage, durably, as it was read.
    fn copy_in(&self, manifest: &Manifest) -> Result<(), OperationError> {
        let (key, storage) = (&self.file.key, self.vault.storage);
        let mut from = self.source().open(key, 0)?;
        let mut pending = storage.create(key)?;
        let reporter = self.vault.reporter;
        reporter.phase(&format!("copying {key}"), Some(manifest.stored.bytes));
        let copied = copy(&mut *from, &mut *pending, |bytes| {
            reporter.advance(bytes);
            self.vault.cancel.check_io()
        });
        reporter.phase_done();
        let place = format!("{}/{key}", storage.location());
        let sha256 = copied.map_err(|source| StorageError::new("copy to", place, source))?;
        if sha256 != manifest.stored.sha256 {
            return Err(integrity(key, "it changed while it was adopted; try again"));
        }
        Ok(pending.commit()?)
    }

    /// Writes the manifest: from here on the backup exists.
    fn publish(&self, manifest: &Manifest, reading: &Reading) -> Result<(), OperationError> {
        let of_archive = |source| OperationError::Manifest {
            archive: self.file.key.clone(),
            source,
        };
        let key = reading.manifest_key.as_ref();
        let mut file = ManifestFile::seal(manifest.clone(), key).map_err(of_archive)?;
        let damage = reading.unused_copy.as_ref();
        let damage = damage.filter(|unused| unused.is_damaged());
        // It was just read whole, as verify reads.
        file.state.verification = Some(Verification {
            level: ProofLevel::Verified,
            at: self.now,
            ok: true,
            detail: damage.map(UnusedCopy::to_string),
        });
        let bytes = file.to_bytes().map_err(of_archive)?;
        self.vault.cancel.check()?;
        let storage = self.vault.storage;
        let key = manifest_key(&self.file.key);
        let mut pending = storage.create(&key)?;
        pending.write_all(&bytes).map_err(|source| {
            StorageError::new("write", format!("{}/{key}", storage.location()), source)
        })?;
        Ok(pending.commit()?)
    }

    /// The copy goes again; the file itself is where it was.
    fn take_back(&self) {
        let key = &self.file.key;
        if let Err(error) = remove_if_there(self.vault.storage, key) {
            let text = format!("the copy of {key} stays in the storage: {error}");
            self.vault.reporter.warn(&text);
        }
    }
}

/// The SHA-256 of what was copied, hex.
fn copy(
    from: &mut dyn Read,
    to: &mut dyn Write,
    mut progress: impl FnMut(u64) -> io::Result<()>,
) -> io::Result<String> {
    let mut sha256 = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(hex::encode(sha256.finalize())),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        sha256.update(&buffer[..count]);
        to.write_all(&buffer[..count])?;
        progress(count as u64)?;
    }
}
