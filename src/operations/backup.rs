//! Makes one backup: lock, sweep, seal into a pending write, commit, manifest.
//!
//! Invariant: the manifest is written last, after the archive is durable, so a
//! backup that can be seen is whole. Whatever fails leaves nothing, or a record
//! that tells the next run what to remove.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::making::Making;
use super::{Marker, OperationError, Run, Vault, sweep};
use crate::catalog::{Trust, file_of_ours, with_common_salts};
use crate::format::manifest::{Codec, Manifest};
use crate::format::manifest_file::{ManifestError, ManifestFile};
use crate::format::names::{ArchiveFormat, ArchiveName, archive_of_manifest, manifest_key};
use crate::lock::LockKind;
use crate::series::{Series, label};
use crate::source::Source;
use crate::storage::{Storage, StoredObject};

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
    /// Of this host for a tree, of the server for a database: see `series`.
    pub label: String,
    /// A tree's root as the operator gave it.
    pub given_root: Option<String>,
    /// A tree without files is right, also where it had some.
    pub allow_empty: bool,
    pub format: ArchiveFormat,
    pub codec: Codec,
    pub level: i32,
    pub encryption: Encryption,
    pub note: Option<String>,
    /// The archive whose restore is about to replace what is backed up.
    pub before_restore_of: Option<String>,
    /// Never pruned.
    pub keep: bool,
}

#[derive(Debug)]
pub struct BackupDone {
    pub manifest: Manifest,
    pub took: Duration,
    /// What a crashed run had left and this one removed.
    pub swept: Vec<String>,
    /// None of its series was there before.
    pub is_first: bool,
}

impl BackupDone {
    /// Files of a source tree, or what is in a database, that the archive has not
    /// as they were.
    pub fn problems(&self) -> u64 {
        let tree = self.manifest.source.as_ref();
        let unsteady = tree.map_or(0, |tree| tree.changed + tree.vanished);
        unsteady + self.manifest.lacks()
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
    let Names { files, taken } = Names::of(vault.storage)?;
    let trust = Trust::of(&vault.ring);
    let last = with_common_salts(vault.storage, trust, || {
        Ok::<_, OperationError>(last_of_series(vault, trust, &files, plan))
    })?;
    let is_first = last.is_none();
    let making = Making {
        vault,
        plan,
        archive: &free_name(&taken, plan_name(plan, now))?,
        now,
        expected_bytes: last.as_ref().map(|last| last.content.raw_bytes),
        had_files: !plan.allow_empty && last.as_ref().is_some_and(had_files),
    };
    let mut run = Run::start(vault, Some(making.archive), now)?;
    let result = making.seal_and_publish(&marker, start, &mut run);
    match result.map_err(|error| vault.stopped_or(error)) {
        Ok(manifest) => {
            if let Some(lack) = manifest.lack() {
                run.is_incomplete(&lack);
            }
            run.warned(manifest.warnings());
            let what = format!("{} is there and whole", making.archive);
            run.complete(manifest.stored.bytes, &what)?;
            Ok(BackupDone {
                manifest,
                took: begun.elapsed(),
                swept,
                is_first,
            })
        }
        Err(error) => {
            run.fail(&error);
            Err(error)
        }
    }
}

fn plan_name(plan: &BackupPlan, now: Timestamp) -> ArchiveName {
    ArchiveName {
        name: plan.name.clone(),
        created: now,
        format: plan.format,
        codec: plan.codec,
        encrypted: plan.encryption != Encryption::None,
        copy: 1,
    }
}

/// What has a name in a storage.
pub(super) struct Names {
    pub files: Vec<StoredObject>,
    /// Those, and all others that a new archive or manifest cannot have: a directory has
    /// its name too, and would be found at the end of the dump.
    pub taken: Vec<String>,
}

impl Names {
    pub fn of(storage: &dyn Storage) -> Result<Self, OperationError> {
        let files = storage.list("")?;
        let misplaced = storage.misplaced("")?;
        let keys = files.iter().map(|object| object.key.clone());
        let taken = keys.chain(misplaced).collect();
        Ok(Self { files, taken })
    }
}

/// The archive's key; with `-2` and so on behind the time if it is taken.
pub(super) fn free_name(keys: &[String], mut name: ArchiveName) -> Result<String, OperationError> {
    let taken: HashSet<&str> = keys.iter().map(String::as_str).collect();
    for _ in 0..COLLISIONS_MAX {
        let archive = name.to_key();
        if !taken.contains(archive.as_str()) && !taken.contains(manifest_key(&archive).as_str()) {
            return Ok(archive);
        }
        name = name.next_copy();
    }
    Err(OperationError::Refused {
        what: format!(
            "{COLLISIONS_MAX} backups of {} carry this second's name already",
            name.name
        ),
    })
}

/// The manifest of the series' last backup: its length is the best guess for this
/// one's, so that a progress bar can tell the time left. `None` for the first. One
/// that is damaged is `verify`'s to tell; one that is not ours is not asked.
fn last_of_series(
    vault: &Vault<'_>,
    trust: Trust<'_>,
    files: &[StoredObject],
    plan: &BackupPlan,
) -> Option<Manifest> {
    let created = |key: &str| {
        let named = archive_of_manifest(key).and_then(ArchiveName::parse)?;
        (named.name == plan.name && named.format == plan.format).then_some(named.created)
    };
    let of_plan = files.iter();
    let of_plan = of_plan.filter_map(|file| Some((created(&file.key)?, file)));
    let mut before: Vec<(Timestamp, &StoredObject)> = of_plan.collect();
    before.sort_unstable_by(|a, b| (b.0, &b.1.key).cmp(&(a.0, &a.1.key)));
    let is_same = |file: &ManifestFile| {
        let ManifestFile {
            manifest, state, ..
        } = file;
        let series = Series::of(manifest, state);
        (label(manifest, state).is_none() || series.label == plan.label)
            && series.root == plan.given_root
    };
    let read = |(_, file): &(Timestamp, &StoredObject)| {
        let found = file_of_ours(vault.storage, trust, file);
        if let Err(error @ ManifestError::Unread(_)) = &found {
            let key = &file.key;
            let text = format!("an earlier backup cannot be looked at: {key}: {error}");
            vault.reporter.warn(&text);
        }
        found.ok().flatten()
    };
    // Names tell seconds, and of those of one second a free number is taken again.
    let newest = |of_second: &[(Timestamp, &StoredObject)]| {
        let same = of_second.iter().filter_map(read).filter(is_same);
        same.max_by_key(|file| file.manifest.created_at)
    };
    let last = before.chunk_by(|a, b| a.0 == b.0).find_map(newest)?;
    Some(last.manifest)
}

/// Whether the tree had files when it was last backed up.
fn had_files(last: &Manifest) -> bool {
    let tree = last.source.as_ref();
    tree.is_some_and(|tree| tree.files > 0 || tree.emptied)
}
