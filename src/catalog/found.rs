//! What lies under the keys of manifests: read, judged, and only then understood.
//!
//! Invariant: what no key of ours sealed takes no more memory than its file has bytes,
//! before it is known that it may be remembered.

use std::sync::{Mutex, PoisonError};
use std::thread;

use super::small::too_large;
use super::trust::Judged;
use super::{MANIFEST_BYTES_MAX, Trust, Unproven, read_whole};
use crate::format::manifest_file::{ManifestError, ManifestFile, Sketch};
use crate::format::names::archive_of_manifest;
use crate::storage::{ErrorKind, Storage, StoredObject};

/// What is remembered of manifests that no key of ours sealed: anybody may have put
/// them there, as large and as many as he likes. Ours are all remembered.
pub(super) const FOREIGN_WEIGHT_MAX: u64 = 128 << 20;

/// Larger ones are read one at a time, on however many threads.
const LARGE_BYTES: u64 = 1 << 20;

/// Fewer manifests are read before a thread has begun.
const MANIFESTS_A_THREAD: usize = 200;

/// More only get in each other's way.
const THREADS_MAX: usize = 8;

/// A manifest that no key of ours sealed, and that is not remembered so far.
pub(super) struct Unremembered {
    pub weight: u64,
    pub why: Unproven,
    pub manifest: StoredObject,
    /// The archive beside it.
    pub stored: Option<StoredObject>,
}

/// What lies under a manifest's key.
pub(super) enum Found {
    Manifest(Box<ManifestFile>, Judged),
    /// Not ours, and not understood so far.
    Foreign {
        weight: u64,
        why: Unproven,
    },
    Broken(ManifestError),
    /// Removed since it was listed, by a prune for one.
    Gone,
}

impl Found {
    /// Whatever is wrong with one manifest, the others are there: it is told, and
    /// ends nothing.
    pub fn read(storage: &dyn Storage, trust: Trust<'_>, manifest: &StoredObject) -> Self {
        let (sketch, judged) = match Self::judged(storage, trust, manifest) {
            Ok(judged) => judged,
            Err(found) => return found,
        };
        match judged {
            Ok(is_checked) => Self::whole(sketch, Ok(is_checked)),
            Err(why) => Self::Foreign {
                weight: sketch.weight(),
                why,
            },
        }
    }

    /// One that may be remembered, whosever it is. It may be another one by now.
    pub fn read_whole(storage: &dyn Storage, trust: Trust<'_>, known: &Unremembered) -> Self {
        match Self::judged(storage, trust, &known.manifest) {
            Ok((sketch, Err(_))) if sketch.weight() > known.weight => {
                Self::Broken(ManifestError::TooMuch(FOREIGN_WEIGHT_MAX))
            }
            Ok((sketch, judged)) => match &known.why {
                // That a read failed is told, also where the next one does not.
                why @ Unproven::Unread(_) => Self::whole(sketch, Err(why.clone())),
                _ => Self::whole(sketch, judged),
            },
            Err(found) => found,
        }
    }

    /// Whose it is, before it is understood: that takes memory.
    fn judged(
        storage: &dyn Storage,
        trust: Trust<'_>,
        manifest: &StoredObject,
    ) -> Result<(Sketch, Judged), Self> {
        let unread = |error| Self::Broken(ManifestError::Unread(error));
        if manifest.bytes > MANIFEST_BYTES_MAX {
            return Err(unread(too_large(MANIFEST_BYTES_MAX)));
        }
        let bytes = match read_whole(storage, &manifest.key, MANIFEST_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind == ErrorKind::NotFound => return Err(Self::Gone),
            Err(error) => return Err(unread(error.cause())),
        };
        let mut sketch = Sketch::parse(&bytes).map_err(Self::Broken)?;
        let archive = archive_of_manifest(&manifest.key).unwrap_or_default();
        let judged = trust.judge(storage, archive, sketch.outlined());
        Ok((sketch, judged))
    }

    fn whole(sketch: Sketch, judged: Judged) -> Self {
        match sketch.whole() {
            Ok(file) => Self::Manifest(Box::new(file), judged),
            Err(error) => Self::Broken(error),
        }
    }
}

/// What lies under that manifest's key if it is a backup's of ours. What is not ours is not
/// understood, and takes no more memory than it has bytes. Where whose it is could not be
/// read, that is the error: it may be ours.
pub fn file_of_ours(
    storage: &dyn Storage,
    trust: Trust<'_>,
    manifest: &StoredObject,
) -> Result<Option<ManifestFile>, ManifestError> {
    match Found::read(storage, trust, manifest) {
        Found::Manifest(file, Ok(_)) => Ok(Some(*file)),
        Found::Foreign {
            why: Unproven::Unread(what),
            ..
        } => {
            let what = std::io::Error::other(format!("its archive: {what}"));
            Err(ManifestError::Unread(what))
        }
        Found::Manifest(_, Err(_)) | Found::Foreign { .. } | Found::Gone => Ok(None),
        Found::Broken(error) => Err(error),
    }
}

/// Reads manifests, in the order of their keys; many of them on several threads,
/// because understanding them takes longer than reading them.
pub(super) fn read_all(
    storage: &dyn Storage,
    trust: Trust<'_>,
    keys: &[StoredObject],
) -> Vec<Found> {
    let one_at_a_time = Mutex::new(());
    let read_one = |key: &StoredObject| {
        let is_large = key.bytes > LARGE_BYTES;
        let _turn = is_large.then(|| one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner));
        Found::read(storage, trust, key)
    };
    let read = |keys: &[StoredObject]| -> Vec<_> { keys.iter().map(read_one).collect() };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.min(THREADS_MAX).min(keys.len() / MANIFESTS_A_THREAD);
    if threads <= 1 {
        return read(keys);
    }
    let (mine, others) = keys.split_at(keys.len().div_ceil(threads));
    thread::scope(|scope| {
        let others: Vec<_> = others
            .chunks(mine.len())
            .map(|keys| {
                let thread = thread::Builder::new().name("manifests".to_owned());
                (keys, thread.spawn_scoped(scope, move || read(keys)))
            })
            .collect();
        let mut found = read(mine);
        for (keys, thread) in others {
            // One that could not be had, or panicked, has read nothing: it is read here.
            let there = thread.ok().and_then(|thread| thread.join().ok());
            found.extend(there.unwrap_or_else(|| read(keys)));
        }
        found
    })
}
