//! Temporary directories for things that are too large for memory: a throwaway
//! server, a dump in directory format.
//!
//! Owns `kluis-<purpose>-<16 hex>` directories and the lock file beside each.
//! Where others can make names in the work directory (`/var/tmp`), they lie in a
//! directory of our own there, into which nobody else can put anything. Refuses
//! to touch what another user made, and waits at nothing. Invariant: a directory
//! whose lock nobody holds belongs to a run that died, so [`Scratch::sweep`] may
//! remove it.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::paths::{Dir, Identity, remove_tree};

mod flat_files;
mod home;
mod room;

pub use flat_files::{UnpackError, unpack_files};
use home::Home;
pub use room::{Filling, Reserve, Shortage};

const PREFIX: &str = "kluis-";
const LOCK_SUFFIX: &str = ".lock";
/// A sweep can take a lock file away only between its making and its locking,
/// and a run that ends the directory of our own before anything is in it.
const TRIES: u32 = 16;

const ANOTHER: &str = "choose another directory with work_dir or TMPDIR";

#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}; {ANOTHER}", path.display())]
pub struct ScratchError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl ScratchError {
    /// What failed, and what to do.
    pub fn parts(&self) -> (String, &'static str) {
        let Self {
            action,
            path,
            source,
        } = self;
        let what = format!("cannot {action} {}: {source}", path.display());
        (what, ANOTHER)
    }
}

fn at<T, E: Into<io::Error>>(
    result: Result<T, E>,
    action: &'static str,
    path: &Path,
) -> Result<T, ScratchError> {
    result.map_err(|source| ScratchError {
        action,
        path: path.to_owned(),
        source: source.into(),
    })
}

fn held(base: &Path) -> Result<OwnedFd, ScratchError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let held = rustix::fs::open(base, flags, Mode::empty());
    at(held, "tell the free space of", base)
}

/// A directory of our own (0700) that is gone, with all in it, when this is
/// dropped; after `kill -9` the next sweep removes it.
#[derive(Debug)]
pub struct Scratch {
    home: Home,
    path: PathBuf,
    name: CString,
    directory: Dir,
    lock_name: CString,
    /// Held as long as the directory is in use.
    _lock: File,
}

impl Scratch {
    /// Makes one below `base`; `purpose` is a word for people who find it.
    pub fn create(base: &Path, purpose: &str) -> Result<Self, ScratchError> {
        for _ in 0..TRIES {
            let home = at(Home::open(base), "work in", base)?;
            let id = at(random_hex(), "find a random name below", base)?;
            let name = format!("{PREFIX}{purpose}-{id}");
            let path = home.path().join(&name);
            let lock_name = at(c_name(&format!("{name}{LOCK_SUFFIX}")), "make", home.path())?;
            let name = at(c_name(&name), "make", home.path())?;
            // The lock first: a directory without one would never be swept.
            let lock = match home.dir().create_file(&lock_name) {
                Err(Errno::NOENT) => continue,
                lock => at(lock, "make a lock beside", &path)?,
            };
            if !at(lock_and_check(&lock, home.dir(), &lock_name), "lock", &path)? {
                continue;
            }
            let directory = at(home.dir().make_child(&name), "make", &path)?;
            return Ok(Self {
                home,
                path,
                name,
                directory,
                lock_name,
                _lock: lock,
            });
        }
        let source = io::Error::other("another program takes the lock files away");
        at(Err(source), "make a directory below", base)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that may still be written below `base`.
    pub fn free_bytes(base: &Path) -> Result<u64, ScratchError> {
        let room = at(rustix::fs::statvfs(base), "tell the free space of", base)?;
        Ok(room.f_bavail.saturating_mul(room.f_frsize))
    }

    /// Files that may still be made below `base`; `None` where that is not told.
    pub fn free_files(base: &Path) -> Result<Option<u64>, ScratchError> {
        Ok(room::free_files(held(base)?))
    }

    /// `base`, and what of its file system is left to others.
    pub fn reserve_for_others(base: &Path) -> Result<(OwnedFd, Reserve), ScratchError> {
        let held = held(base)?;
        let left = at(Reserve::for_others(&held), "tell the size of", base)?;
        Ok((held, left))
    }

    /// Removes what runs that died have left below `base`, and tells what. What
    /// cannot be removed is left to the next sweep.
    pub fn sweep(base: &Path) -> Vec<PathBuf> {
        let mut swept = Vec::new();
        for home in Home::all(base) {
            for lock_name in lock_names(home.dir()) {
                swept.extend(sweep_one(&home, &lock_name));
            }
            home.remove_if_empty();
        }
        swept
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is the next sweep's: the lock is free then.
        let removed = self
            .directory
            .readable()
            .and_then(|directory| remove_tree(self.home.dir(), &self.name, directory));
        if removed.is_ok() {
            let flags = AtFlags::empty();
            let _ = rustix::fs::unlinkat(self.home.dir(), &self.lock_name, flags);
            self.home.remove_if_empty();
        }
    }
}

fn c_name(name: &str) -> io::Result<CString> {
    CString::new(name).map_err(io::Error::other)
}

fn random_hex() -> io::Result<String> {
    let mut id = [0; 8];
    getrandom::fill(&mut id).map_err(io::Error::other)?;
    Ok(hex::encode(id))
}

/// Whether the lock is ours, and the file is still the one of that name.
fn lock_and_check(lock: &File, home: &Dir, name: &CStr) -> Result<bool, Errno> {
    match rustix::fs::flock(lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(false),
        Err(error) => return Err(error),
    }
    let ours = Identity::of(&rustix::fs::fstat(lock)?);
    match home.look(name) {
        Ok(there) => Ok(Identity::of(&there) == ours),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

fn lock_names(home: &Dir) -> Vec<CString> {
    let mut names = Vec::new();
    let listed = home.readable().and_then(|home| {
        home.list(&mut Vec::new(), |entry| {
            let name = entry.name.to_bytes();
            if name.starts_with(PREFIX.as_bytes()) && name.ends_with(LOCK_SUFFIX.as_bytes()) {
                names.push(entry.name.to_owned());
            }
            ControlFlow::Continue(())
        })
    });
    match listed {
        Ok(()) => names,
        Err(_) => Vec::new(),
    }
}

fn sweep_one(home: &Home, lock_name: &CStr) -> Option<PathBuf> {
    let name = lock_name.to_bytes().strip_suffix(LOCK_SUFFIX.as_bytes())?;
    let path = home.path().join(OsStr::from_bytes(name));
    let name = CString::new(name).ok()?;
    // Others may write there too: no link of theirs is followed, no fifo waited
    // at, and nothing that is not ours is removed.
    let lock = home.dir().open_file(lock_name).ok()?;
    let owner = rustix::fs::fstat(&lock).ok()?.st_uid;
    if !home::is_ours(owner) || !lock_and_check(&lock, home.dir(), lock_name).ok()? {
        return None;
    }
    match home.dir().open_child(&name) {
        // Nobody else could have moved one here that only we can write to.
        Ok(directory) if home::is_own(&directory) => {
            remove_tree(home.dir(), &name, directory).ok()?;
        }
        Err(Errno::NOENT) => {}
        Ok(_) | Err(_) => return None,
    }
    rustix::fs::unlinkat(home.dir(), lock_name, AtFlags::empty()).ok()?;
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    fn lock_beside(path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(LOCK_SUFFIX);
        PathBuf::from(name)
    }

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
        assert!(text.starts_with("cannot work in /nonexistent:"), "{text}");
        assert!(text.contains("work_dir"), "{text}");
    }

    #[test]
    fn in_a_shared_directory_it_lies_in_one_of_our_own() {
        let base = tempfile::tempdir().unwrap();
        fs::set_permissions(base.path(), Permissions::from_mode(0o1777)).unwrap();
        let own = format!("kluis-{}", rustix::process::geteuid().as_raw());
        let scratch = Scratch::create(base.path(), "test").unwrap();
        assert_eq!(names(base.path()), [own.as_str()]);
        let home = base.path().join(&own);
        let mode = fs::metadata(&home).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o711);
        assert_eq!(names(&home).len(), 2);
        drop(scratch);
        assert_eq!(names(base.path()), [""; 0]);
    }

    #[test]
    fn a_name_that_is_taken_in_a_shared_directory_is_no_obstacle() {
        let base = tempfile::tempdir().unwrap();
        fs::set_permissions(base.path(), Permissions::from_mode(0o1777)).unwrap();
        let own = format!("kluis-{}", rustix::process::geteuid().as_raw());
        std::os::unix::fs::symlink("/", base.path().join(&own)).unwrap();
        let dead = {
            let scratch = Scratch::create(base.path(), "test").unwrap();
            let taken = scratch.path().parent().unwrap();
            assert_ne!(taken, base.path().join(&own));
            fs::write(scratch.path().join("file"), "x").unwrap();
            let path = scratch.path().to_owned();
            // As `kill -9` leaves it.
            let lock = scratch._lock.try_clone().unwrap();
            std::mem::forget(scratch);
            rustix::fs::flock(&lock, FlockOperation::Unlock).unwrap();
            path
        };
        assert_eq!(Scratch::sweep(base.path()), [dead]);
        assert_eq!(names(base.path()), [own]);
    }
}
