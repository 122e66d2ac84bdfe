//! Manifests that lie beside files to adopt, and that no key of ours vouches for.
//!
//! Who adopts an archive takes it for his own; what its manifest says beyond the
//! content, such as a note, what was excluded, or an id, can be had from nowhere
//! else. So the manifest is taken whole where the content bears it out.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use super::reading::Reading;
use super::{AdoptFile, OperationError, Told, Vault};
use crate::catalog::{Foreign, Trust};
use crate::checked::Sha256Hex;
use crate::format::header::PAYLOAD_OFFSET;
use crate::format::manifest::{Kind, Manifest};
use crate::format::manifest_file::ManifestFile;
use crate::ids::BackupId;
use crate::operations::read::{check_digests, integrity, name_fits};
use crate::operations::verify::compare;

/// How far ahead of this host's clock another one's may be.
const CLOCKS_APART: SignedDuration = SignedDuration::from_hours(24);

pub(super) fn is_in_the_future(created_at: Timestamp, now: Timestamp) -> bool {
    created_at > now + CLOCKS_APART
}

#[derive(Default)]
pub(super) struct OldManifests {
    /// By archive.
    files: HashMap<String, ManifestFile>,
    /// Of backups that count.
    pub ids: HashSet<BackupId>,
    /// Their archives by what is in them, where that is encrypted: then no two are
    /// alike by themselves.
    archives: HashMap<Sha256Hex, String>,
    /// And by what they hold, which stays when they are written anew.
    contents: HashMap<Held, String>,
}

/// The second, because a file's name has no more, and what is compressed there.
type Held = (Kind, String, i64, Sha256Hex);

fn held(manifest: &Manifest) -> Held {
    let second = manifest.created_at.as_second();
    let content = manifest.content.sha256.clone();
    (manifest.kind, manifest.name.clone(), second, content)
}

/// What tells an encrypted archive from all others, also after a change of keys.
fn digest(manifest: &Manifest) -> Option<Sha256Hex> {
    let stored = &manifest.stored;
    let digest = stored.payload_sha256.as_ref().unwrap_or(&stored.sha256);
    manifest.encryption.as_ref().map(|_| digest.clone())
}

impl OldManifests {
    pub fn of(vault: &Vault<'_>) -> Result<Self, OperationError> {
        let Trust::Ring(_) = vault.trust() else {
            return Ok(Self::default());
        };
        let catalog = vault.catalog()?;
        let mut known = Self::default();
        for file in catalog.backups.iter().filter_map(|ours| ours.file.as_ref()) {
            known.add(&file.manifest, file.manifest.stored.file.as_str());
        }
        let foreign = catalog.foreign.into_iter().map(Foreign::into_backup);
        let files = foreign.filter_map(|backup| Some((backup.archive, backup.file?)));
        known.files = files.collect();
        Ok(known)
    }

    /// A backup that counts.
    pub fn add(&mut self, manifest: &Manifest, archive: &str) {
        self.ids.insert(manifest.id.clone());
        let archive = archive.to_owned();
        let digest = digest(manifest);
        self.archives.extend(digest.map(|it| (it, archive.clone())));
        self.contents.insert(held(manifest), archive);
    }

    /// Under another name a copy would be another backup, perhaps the newest. So would
    /// an archive of before its backup was written anew.
    pub fn refuse_copy(&self, archive: &str, manifest: &Manifest) -> Result<(), OperationError> {
        let digest = digest(manifest);
        let copied = digest.and_then(|digest| self.archives.get(&digest));
        match copied.or_else(|| self.contents.get(&held(manifest))) {
            None => Ok(()),
            Some(other) => Err(OperationError::Refused {
                what: format!(
                    "{archive}: it is a copy of {other}, which is a backup already; \
                     `kluis delete` removes it"
                ),
            }),
        }
    }

    /// Of a file that lies in the storage.
    pub fn beside(&self, file: &AdoptFile<'_>) -> Option<&ManifestFile> {
        match file.elsewhere {
            None => self.files.get(&file.key),
            Some(_) => None,
        }
    }
}

/// Why the manifest is not the one of what was read.
pub(super) fn misfit(
    archive: &str,
    old: &ManifestFile,
    reading: &Reading,
    told: &Told,
    now: Timestamp,
) -> Option<OperationError> {
    let says_another = |what: &str| Some(integrity(archive, what));
    let manifest = &old.manifest;
    if let Some(key) = &reading.manifest_key
        && let Err(source) = old.check_seal(key)
    {
        return Some(OperationError::Manifest {
            archive: archive.to_owned(),
            source,
        });
    }
    let format = manifest.encryption.as_ref().map(|it| it.format.as_str());
    if manifest.stored.file.as_str() != archive
        || !name_fits(archive, manifest.kind, &manifest.name, manifest.created_at)
        || told
            .name
            .as_ref()
            .is_some_and(|name| *name != manifest.name)
    {
        return says_another("its manifest is another archive's");
    }
    if is_in_the_future(manifest.created_at, now) {
        return says_another("its manifest is of a time to come");
    }
    if manifest.kind != reading.found.format.kind()
        || format != reading.encryption.as_ref().map(|(format, _)| *format)
        || manifest.content.codec != reading.unsealed.codec
        || manifest.database.as_ref().map(|it| it.format.as_str()) != reading.database_format()
        || manifest.source.is_some() != reading.received.tree.is_some()
    {
        return says_another("it is of another kind than its manifest says");
    }
    let offset = match reading.has_header {
        true => PAYLOAD_OFFSET,
        false => 0,
    };
    check_digests(archive, manifest, &reading.unsealed, offset)
        .and_then(|()| compare(archive, manifest, &reading.received))
        .err()
}

/// The old manifest as ours. An id that another backup has is not taken from that
/// one, nor is another archive's place.
pub(super) fn taken_over(old: &Manifest, new: Manifest, ids: &HashSet<BackupId>) -> Manifest {
    let id = match ids.contains(&old.id) {
        true => new.id,
        false => old.id.clone(),
    };
    Manifest {
        id,
        reencrypted_from: None,
        encryption: new.encryption,
        ..old.clone()
    }
}
