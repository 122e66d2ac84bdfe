//! Makes the manifest of a file that has none: an archive of another program, a
//! loose dump, an archive that lost its manifest. One that no key of ours vouches
//! for is taken over where it fits what was read, or else made anew.
//!
//! Invariant: the manifest is written only after the file was read whole through
//! what verify reads with, so that it states what was seen. Nothing is written of
//! a file that is damaged. The file itself is never changed; one from elsewhere
//! is copied.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::read::{integrity, name_fits};
use super::remove::remove_if_there;
use super::{MakeCheck, Marker, OperationError, Run, UnusedCopy, Vault, random_id, sweep};
use crate::checked::{Sha256Hex, shell_word};
use crate::format::manifest::{Kind, Manifest, ProofLevel, Verification};
use crate::format::manifest_file::{ManifestFile, SealedBy};
use crate::format::names::{archive_of_manifest, manifest_key};
use crate::storage::{Storage, StorageError, StoredObject};

mod describe;
mod identify;
mod old;
mod place;
mod reading;

use old::{is_in_the_future, misfit, taken_over};
use place::Place;
use reading::{Reading, read_whole_file};

/// Larger ones are read without the storage's lock.
const SMALL_BYTES: u64 = 64 << 20;

/// A file to adopt.
pub struct AdoptFile<'a> {
    /// Its name, and the archive's.
    pub key: String,
    /// Where it lies, if not in the vault's storage.
    pub elsewhere: Option<&'a dyn Storage>,
    /// The operator named it, or takes what anybody may have made.
    pub accepted: bool,
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
    if !vault.can_seal() {
        let has = match vault.ring.verifiers().is_empty() {
            true => "recipients",
            false => "keys to check by",
        };
        return Err(OperationError::Usage {
            what: format!(
                "this host has {has} only and can seal nothing: set encryption.signing_key, or \
                 adopt where the key is"
            ),
        });
    }
    let mut place = Place::lock(vault, now)?;
    let mut results = Vec::with_capacity(files.len());
    for file in files {
        vault.cancel.check()?;
        let adopting = Adopting {
            vault,
            file,
            told,
            now,
        };
        let (same, result) = adopting.run(place, make_check)?;
        place = same;
        vault.cancel.check()?;
        results.push(result);
    }
    Ok(results)
}

struct Adopting<'a> {
    vault: &'a Vault<'a>,
    file: &'a AdoptFile<'a>,
    told: &'a Told,
    now: Timestamp,
}

impl Adopting<'_> {
    /// The outer error is one that leaves the storage to others.
    fn run(
        &self,
        place: Place,
        make_check: MakeCheck<'_>,
    ) -> Result<(Place, Result<Adopted, OperationError>), OperationError> {
        let begun = Instant::now();
        let started = self.look(&place).and_then(|object| {
            let run = Run::start(self.vault, Some(&self.file.key), self.now)?;
            Ok((object, run))
        });
        let (object, run) = match started {
            Ok(started) => started,
            Err(error) => return Ok((place, Err(error))),
        };
        let (mut place, reading) = match self.read(place, &object, make_check) {
            Ok(read) => read,
            Err(error) => {
                run.fail_of_foreign(&error);
                return Err(error);
            }
        };
        let result = reading.and_then(|reading| self.adopt(&place, reading));
        let ended = match result.map_err(|error| self.vault.stopped_or(error)) {
            Ok(adopted) => {
                place.adopted(&adopted.manifest, object);
                let what = format!("{} is adopted", self.file.key);
                let recorded = run.complete(adopted.manifest.stored.bytes, &what);
                recorded.map(|()| Adopted {
                    took: begun.elapsed(),
                    ..adopted
                })
            }
            Err(error) => {
                run.fail_of_foreign(&error);
                Err(error)
            }
        };
        Ok((place, ended))
    }

    /// Of a large file all others have the storage meanwhile: only the file is kept
    /// from them. Afterwards it must be what it was, and its place still free.
    fn read(
        &self,
        place: Place,
        object: &StoredObject,
        make_check: MakeCheck<'_>,
    ) -> Result<(Place, Result<Reading, OperationError>), OperationError> {
        let was = self.old(&place).map(|old| old.manifest.kind);
        let read = || read_whole_file(self, object, was, make_check);
        let is_small = object.bytes <= SMALL_BYTES;
        let hold = match self.file.elsewhere {
            None if !is_small => self.vault.storage.hold(&object.key).ok().flatten(),
            _ => None,
        };
        // Nobody takes what lies elsewhere away for kluis.
        if is_small || hold.is_none() && self.file.elsewhere.is_none() {
            return Ok((place, read()));
        }
        let (place, reading) = place.leave(self.vault, self.now, read)?;
        drop(hold);
        let reading = reading.and_then(|reading| match self.look(&place)? == *object {
            true => Ok(reading),
            false => {
                let what = "it changed while it was adopted; try again";
                Err(integrity(&self.file.key, what))
            }
        });
        Ok((place, reading))
    }

    /// Its manifest, which no key of ours vouches for.
    fn old<'a>(&self, place: &'a Place) -> Option<&'a ManifestFile> {
        place.old.beside(self.file)
    }

    /// Where the file lies now.
    fn source(&self) -> &dyn Storage {
        self.file.elsewhere.unwrap_or(self.vault.storage)
    }

    /// The file is there, and its place in the storage is free.
    fn look(&self, place: &Place) -> Result<StoredObject, OperationError> {
        let (key, there) = (&self.file.key, &place.there);
        let usage = |what: String| OperationError::Usage { what };
        if archive_of_manifest(key).is_some() {
            let what = format!("{key} would be taken for a manifest; rename it");
            return Err(usage(what));
        }
        if there.contains_key(&manifest_key(key)) && self.old(place).is_none() {
            let what = format!("{key} has a manifest already; kluis show tells what it says");
            return Err(usage(what));
        }
        if self.file.elsewhere.is_some() && there.contains_key(key) {
            let what = format!(
                "the storage has a {key} already; kluis adopt {} adopts that one, or rename yours",
                shell_word(key)
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

    fn adopt(&self, place: &Place, reading: Reading) -> Result<Adopted, OperationError> {
        let mut manifest = self.describe(&reading)?;
        let (told, now, old) = (self.told, self.now, self.old(place));
        let misfit = |old: &ManifestFile| misfit(&self.file.key, old, &reading, told, now);
        let misfit = old.and_then(misfit);
        if let (Some(old), None) = (old, &misfit) {
            manifest = taken_over(&old.manifest, manifest, &place.old.ids);
        }
        place.old.refuse_copy(&self.file.key, &manifest)?;
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
        if is_in_the_future(manifest.created_at, self.now) {
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
        let published = self.publish(&manifest, &reading, old);
        if published.is_err() && self.file.elsewhere.is_some() {
            self.take_back();
        }
        published?;
        let mut warnings = reading.received.warnings;
        warnings.extend(misfit.map(|why| {
            format!("its manifest was not believed ({why}), and is made anew of its content")
        }));
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
    fn publish(
        &self,
        manifest: &Manifest,
        reading: &Reading,
        old: Option<&ManifestFile>,
    ) -> Result<(), OperationError> {
        let of_archive = |source| OperationError::Manifest {
            archive: self.file.key.clone(),
            source,
        };
        let salt = self.vault.seal_salt();
        let ring = &self.vault.ring;
        let by = match &reading.manifest_key {
            Some(key) => SealedBy::Archive(key),
            None => SealedBy::Ring(ring, salt.as_ref()),
        };
        let mut file =
            ManifestFile::seal(manifest.clone(), &by, ring.signer()).map_err(of_archive)?;
        // What somebody keeps stays kept, whatever its manifest says otherwise.
        file.state = old.map(|old| old.state.clone()).unwrap_or_default();
        let damage = reading.unused_copy.as_ref();
        let damage = damage.filter(|unused| unused.is_damaged());
        // It was just read whole, as verify reads.
        file.state.verification = Some(Verification {
            level: ProofLevel::Verified,
            at: self.now,
            ok: true,
            detail: damage.map(UnusedCopy::to_string),
        });
        file.seal_state(&by).map_err(of_archive)?;
        let bytes = file.to_bytes().map_err(of_archive)?;
        self.vault.cancel.check()?;
        let storage = self.vault.storage;
        let key = manifest_key(&self.file.key);
        if old.is_some() {
            return Ok(storage.replace(&key, &bytes)?);
        }
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

/// The SHA-256 of what was copied.
fn copy(
    from: &mut dyn Read,
    to: &mut dyn Write,
    mut progress: impl FnMut(u64) -> io::Result<()>,
) -> io::Result<Sha256Hex> {
    let mut sha256 = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(Sha256Hex::of(sha256.finalize().into())),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        sha256.update(&buffer[..count]);
        to.write_all(&buffer[..count])?;
        progress(count as u64)?;
    }
}
