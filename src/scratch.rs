//! Temporary directories for things that are too large for memory: a throwaway
//! server, a dump in directory format.
//!
//! Owns `kluis-<purpose>-<16 hex>` directories and the lock file beside each.
//! Refuses to touch what another user made. Invariant: a directory whose lock
//! nobody holds belongs to a run that died, so [`Scratch::sweep`] may remove it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags};

mod flat_files;

pub use flat_files::{UnpackError, unpack_files};

const PREFIX: &str = "kluis-";
const LOCK_SUFFIX: &str = ".lock";
/// A sweep can take a lock file away only between its making and its locking.
const TRIES: u32 = 16;

#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}; choose another directory with work_dir or TMPDIR", path.display())]
pub struct ScratchError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

fn at<T>(result: io::Result<T>, action: &'static str, path: &Path) -> Result<T, ScratchError> {
    result.map_err(|source| ScratchError {
        action,
        path: path.to_owned(),
        source,
    })
}

/// A directory of our own (0700) that is gone, with all in it, when this is
/// dropped; after `kill -9` the next sweep removes it.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    lock_path: PathBuf,
    /// Held as long as the directory is in use.
    _lock: File,
}

impl Scratch {
    /// Makes one below `base`; `purpose` is a word for people who find it.
    pub fn create(base: &Path, purpose: &str) -> Result<Self, ScratchError> {
        for _ in 0..TRIES {
            let mut id = [0; 8];
            at(
                getrandom::fill(&mut id).map_err(io::Error::other),
                "find a random name below",
                base,
            )?;
            let path = base.join(format!("{PREFIX}{purpose}-{}", hex::encode(id)));
            let lock_path = lock_beside(&path);
            // The lock first: a directory without one would never be swept.
            let lock = at(new_lock(&lock_path), "make", &lock_path)?;
            if !at(lock_and_check(&lock, &lock_path), "lock", &lock_path)? {
                continue;
            }
            let scratch = Self {
                path,
                lock_path,
                _lock: lock,
            };
            let made = DirBuilder::new().mode(0o700).create(&scratch.path);
            at(made, "make", &scratch.path)?;
            return Ok(scratch);
        }
        let source = io::Error::other("another program takes the lock files away");
        at(Err(source), "make a directory below", base)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that may still be written below `base`.
    pub fn free_bytes(base: &Path) -> Result<u64, ScratchError> {
        let told = rustix::fs::statvfs(base).map_err(io::Error::from);
        let room = at(told, "tell the free space of", base)?;
        Ok(room.f_bavail.saturating_mul(room.f_frsize))
    }

    /// Removes what runs that died have left below `base`, and tells what. What
    /// cannot be removed is left to the next sweep.
    pub fn sweep(base: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(base).into_iter().flatten().flatten();
        let locks = entries.map(|entry| entry.path()).filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(LOCK_SUFFIX))
        });
        locks.filter_map(|lock| sweep_one(&lock)).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is the next sweep's: the lock is free then.
        if remove_directory(&self.path).is_ok() {
            let _ = fs::remove_file(&self.lock_path);
        }
    }
}

fn lock_beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(LOCK_SUFFIX);
    PathBuf::from(name)
}

fn new_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Whether the lock is ours, and the file is still the one at `path`.
fn lock_and_check(lock: &File, path: &Path) -> io::Result<bool> {
    match rustix::fs::flock(lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    let ours = lock.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn sweep_one(lock_path: &Path) -> Option<PathBuf> {
    let path = PathBuf::from(lock_path.to_str()?.strip_suffix(LOCK_SUFFIX)?);
    // Others may write below /var/tmp too: no link of theirs is followed, and
    // nothing that is not ours is removed.
    let lock = OpenOptions::new()
        .write(true)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(lock_path)
        .ok()?;
    let is_ours = |owner: u32| owner == rustix::process::geteuid().as_raw();
    if !is_ours(lock.metadata().ok()?.uid()) || !lock_and_check(&lock, lock_path).ok()? {
        return None;
    }
    let there = fs::symlink_metadata(&path);
    if there.is_ok_and(|there| !there.is_dir() || !is_ours(there.uid())) {
        return None;
    }
    remove_directory(&path).ok()?;
    fs::remove_file(lock_path).ok()?;
    Some(path)
}

fn remove_directory(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(base: &Path) -> Vec<String> {
        let entries = fs::read_dir(base).unwrap().flatten();
        entries
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn one_that_is_dropped_leaves_nothing() {
        let base = tempfile::tempdir().unwrap();
        let scratch = Scratch::create(base.path(), "test").unwrap();
        fs::write(scratch.path().join("file"), "x").unwrap();
        assert_eq!(names(base.path()).len(), 2);
        drop(scratch);
        assert_eq!(names(base.path()), [""; 0]);
    }

    #[test]
    fn a_sweep_removes_what_nobody_holds_and_nothing_else() {
        let base = tempfile::tempdir().unwrap();
        let alive = Scratch::create(base.path(), "test").unwrap();
        // As `kill -9` leaves it: directory and lock file, unlocked.
        let dead = base.path().join("kluis-test-0123456789abcdef");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join("file"), "x").unwrap();
        fs::write(lock_beside(&dead), "").unwrap();
        // Without a lock file it is somebody else's.
        let other = base.path().join("kluis-notes");
        fs::create_dir(&other).unwrap();
        assert_eq!(Scratch::sweep(base.path()), std::slice::from_ref(&dead));
        assert!(!dead.exists() && !lock_beside(&dead).exists());
        assert!(alive.path().is_dir() && other.is_dir());
        assert!(Scratch::sweep(base.path()).is_empty());
    }

    #[test]
    fn a_link_with_a_lock_files_name_is_left_alone() {
        let base = tempfile::tempdir().unwrap();
        let precious = base.path().join("precious");
        fs::create_dir(&precious).unwrap();
        let link = base.path().join("kluis-test-0123456789abcdef");
        std::os::unix::fs::symlink(&precious, &link).unwrap();
        fs::write(lock_beside(&link), "").unwrap();
        let linked_lock = base.path().join("kluis-test-fedcba9876543210.lock");
        std::os::unix::fs::symlink(&precious, &linked_lock).unwrap();
        assert!(Scratch::sweep(base.path()).is_empty());
        assert!(precious.is_dir());
    }

    #[test]
    fn a_base_that_is_not_there_is_told_with_the_way_out() {
        let error = Scratch::create(Path::new("/nonexistent"), "test").unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("cannot make /nonexistent/kluis-test-"),
            "{text}"
        );
        assert!(text.contains("work_dir"), "{text}");
    }
}
