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
use crate::catalog::read_whole;
use crate::format::manifest::{Codec, Manifest};
use crate::format::manifest_file::ManifestFile;
use crate::format::names::{ArchiveFormat, ArchiveName, archive_of_manifest, manifest_key};
use crate::lock::LockKind;
use crate::source::Source;

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
    let keys: Vec<String> = vault
        .storage
        .list("")?
        .into_iter()
        .map(|object| object.key)
        .collect();
    let making = Making {
        vault,
        plan,
        archive: &free_name(&keys, plan_name(plan, now))?,
        now,
        expected_bytes: expected_bytes(vault, &keys, plan),
    };
    let mut run = Run::start(vault, Some(making.archive), now)?;
    let result = making.seal_and_publish(&marker, start, &mut run);
    match result.map_err(|error| vault.stopped_or(error)) {
        Ok(manifest) => {
            let what = format!("{} is there and whole", making.archive);
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

/// How long the last backup's stream was: the best guess for this one's, so that
/// a progress bar can tell the time left. `None` for the first of its name.
fn expected_bytes(vault: &Vault<'_>, keys: &[String], plan: &BackupPlan) -> Option<u64> {
    let of_plan = |key: &&String| {
        let named = archive_of_manifest(key).and_then(ArchiveName::parse);
        named.is_some_and(|named| named.name == plan.name && named.format == plan.format)
    };
    let created = |key: &&String| {
        let named = archive_of_manifest(key).and_then(ArchiveName::parse);
        named.map(|named| named.created)
    };
    let last = keys.iter().filter(of_plan).max_by_key(created)?;
    match read_whole(vault.storage, last) {
        // A manifest that is damaged is `verify`'s to tell.
        Ok(bytes) => Some(ManifestFile::parse(&bytes).ok()?.manifest.content.raw_bytes),
        Err(error) => {
            let text = format!("the last backup cannot be looked at: {error}");
            vault.reporter.warn(&text);
            None
        }
    }
}
