//! The place beside the destination where a tree grows, and the step that makes
//! it visible. Owns the staging directory: dropping it removes what is there.
//!
//! Refuses a destination that holds anything or is a mount point (a rename
//! cannot replace that). Invariant: the destination is untouched until
//! [`Staging::publish`], which puts the whole tree there in one rename.
//!
//! A staging directory is locked while its run lives. What a killed run left is
//! unlocked, and the next restore beside it removes it.

use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, RawDir};
use rustix::io::Errno;

use crate::target::TargetError;

const OPEN_DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

const MARK: &[u8] = b".kluis-";
const RANDOM_BYTES: usize = 8;
/// A staging directory can only be lost to a sweep in the instant before it is
/// locked.
const ATTEMPTS: usize = 16;

/// A destination that was found new or empty.
#[derive(Clone, Debug)]
pub(super) struct Destination {
    parent: PathBuf,
    name: OsString,
}

pub(super) struct Staging {
    destination: Destination,
    parent: File,
    name: OsString,
    root: OwnedFd,
    published: bool,
}

impl Destination {
    /// Looks, writes nothing.
    pub fn check(path: &Path) -> Result<Self, TargetError> {
        let place = |source| TargetError::Place {
            action: "restore into",
            place: path.display().to_string(),
            source,
        };
        let resolved = resolve(path).map_err(place)?;
        let (Some(parent), Some(name)) = (resolved.parent(), resolved.file_name()) else {
            let why = "it has no directory above it; name a directory below it";
            return Err(place(io::Error::other(why)));
        };
        check_free(&resolved, parent).map_err(place)?;
        Ok(Self {
            parent: parent.to_owned(),
            name: name.to_owned(),
        })
    }

    fn path(&self) -> PathBuf {
        self.parent.join(&self.name)
    }
}

impl Staging {
    /// Makes `.<name>.kluis-<random>` beside the destination, for its owner only,
    /// and removes what killed runs left there.
    pub fn create(destination: &Destination) -> Result<Self, TargetError> {
        let place = |source: io::Error| TargetError::Place {
            action: "create a directory in",
            place: destination.parent.display().to_string(),
            source,
        };
        let parent = File::open(&destination.parent).map_err(place)?;
        sweep(&parent);
        for _ in 0..ATTEMPTS {
            let name = staging_name(destination).map_err(place)?;
            let made = make_locked(&parent, &name).map_err(|errno| place(errno.into()))?;
            if let Some(root) = made {
                return Ok(Self {
                    destination: destination.clone(),
                    parent,
                    name,
                    root,
                    published: false,
                });
            }
        }
        Err(place(io::Error::other("it was swept away again and again")))
    }

    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Brings everything to the disk and the tree to its destination. The order
    /// matters: content first, then the name, then the name's directory.
    pub fn publish(mut self) -> Result<(), TargetError> {
        let place = |action| {
            let place = self.destination.path().display().to_string();
            move |errno: Errno| TargetError::Place {
                action,
                place,
                source: errno.into(),
            }
        };
        rustix::fs::syncfs(&self.root).map_err(place("bring to the disk what was restored for"))?;
        rustix::fs::renameat(
            &self.parent,
            self.name.as_os_str(),
            &self.parent,
            self.destination.name.as_os_str(),
        )
        .map_err(place("put the restored tree at"))?;
        let synced = rustix::fs::fsync(&self.parent).map_err(place("sync the directory above"));
        self.published = true;
        synced
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.published {
            // Nobody is left to hear of a failure; the name says whose it is.
            let _ = remove_tree(self.parent.as_fd(), self.name.as_bytes());
        }
    }
}

/// The path with its links resolved, also where its last part does not exist.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let absolute = std::path::absolute(path)?;
            let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
                return Err(error);
            };
            let parent = fs::canonicalize(parent).map_err(|error| {
                let why = format!("the directory above it: {error}; create that first");
                io::Error::new(error.kind(), why)
            })?;
            Ok(parent.join(name))
        }
        resolved => resolved,
    }
}

fn check_free(path: &Path, parent: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    if !metadata.is_dir() {
        let why = "it is not a directory; name a new or empty directory";
        return Err(io::Error::new(ErrorKind::NotADirectory, why));
    }
    if fs::read_dir(path)?.next().is_some() {
        let why = "it is not empty; name a new or empty directory";
        return Err(io::Error::new(ErrorKind::DirectoryNotEmpty, why));
    }
    if metadata.dev() != fs::metadata(parent)?.dev() {
        let why = "it is a mount point; name a new directory below it";
        return Err(io::Error::new(ErrorKind::CrossesDevices, why));
    }
    Ok(())
}

fn staging_name(destination: &Destination) -> io::Result<OsString> {
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let name = destination.name.as_bytes();
    // A name has 255 bytes at most.
    let name = &name[..name.len().min(200)];
    let random = hex::encode(random);
    Ok(OsString::from_vec(
        [b".", name, MARK, random.as_bytes()].concat(),
    ))
}

fn is_staging_name(name: &[u8]) -> bool {
    let id = name.len().saturating_sub(2 * RANDOM_BYTES);
    let (front, id) = name.split_at(id);
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let has_name = front.len() > b".".len() + MARK.len();
    has_name && front.starts_with(b".") && front.ends_with(MARK) && id.iter().all(is_digit)
}

/// `None` if a sweep took the directory before it could be locked.
fn make_locked(parent: &File, name: &OsString) -> Result<Option<OwnedFd>, Errno> {
    rustix::fs::mkdirat(parent, name.as_os_str(), Mode::RWXU)?;
    let root = match rustix::fs::openat(parent, name.as_os_str(), OPEN_DIRECTORY, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        root => root?,
    };
    let locked = rustix::fs::flock(&root, FlockOperation::NonBlockingLockExclusive);
    // Any other error is a file system without locks: no sweep can lock it either.
    if locked == Err(Errno::WOULDBLOCK) {
        return Ok(None);
    }
    Ok((rustix::fs::fstat(&root)?.st_nlink > 0).then_some(root))
}

/// Removes the staging directories in `parent` whose runs are gone. Only this
/// user's: in those of others somebody could change what is being removed. What
/// cannot be removed stays for a later restore, and does not stop this one.
fn sweep(parent: &File) {
    let mut listing = Vec::with_capacity(32 * 1024);
    let mut entries = RawDir::new(parent, listing.spare_capacity_mut());
    let mut found = Vec::new();
    while let Some(Ok(entry)) = entries.next() {
        if is_staging_name(entry.file_name().to_bytes()) {
            found.push(entry.file_name().to_owned());
        }
    }
    for name in found {
        let Ok(root) = rustix::fs::openat(parent, &name, OPEN_DIRECTORY, Mode::empty()) else {
            continue;
        };
        let own = rustix::fs::fstat(&root)
            .is_ok_and(|stat| stat.st_uid == rustix::process::geteuid().as_raw());
        let lock = FlockOperation::NonBlockingLockExclusive;
        if own && rustix::fs::flock(&root, lock).is_ok() {
            let _ = remove_tree(parent.as_fd(), name.to_bytes());
        }
    }
}

/// Removes a tree that only this process knows of. One directory is open at a
/// time, so that depth costs nothing, and each is made writable first.
fn remove_tree(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    let mut names = vec![CString::new(name).map_err(|_| Errno::INVAL)?];
    let mut here = enter(parent, &names[0])?;
    let mut listing = Vec::with_capacity(32 * 1024);
    loop {
        if let Some(below) = unlink_files(&here, &mut listing)? {
            here = enter(here.as_fd(), &below)?;
            names.push(below);
            continue;
        }
        let Some(emptied) = names.pop() else {
            return Ok(());
        };
        if names.is_empty() {
            return rustix::fs::unlinkat(parent, &emptied, AtFlags::REMOVEDIR);
        }
        here = rustix::fs::openat(&here, c"..", OPEN_DIRECTORY, Mode::empty())?;
        rustix::fs::unlinkat(&here, &emptied, AtFlags::REMOVEDIR)?;
    }
}

fn enter(parent: BorrowedFd<'_>, name: &CString) -> Result<OwnedFd, Errno> {
    // A restored directory may forbid its own owner to empty it.
    rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
    rustix::fs::openat(parent, name, OPEN_DIRECTORY, Mode::empty())
}

/// Removes what is no directory; stops at the first directory and names it.
fn unlink_files(here: &OwnedFd, listing: &mut Vec<u8>) -> Result<Option<CString>, Errno> {
    rustix::fs::seek(here, rustix::fs::SeekFrom::Start(0))?;
    let mut entries = RawDir::new(here, listing.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                let stat = rustix::fs::statat(here, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            known => known,
        };
        if kind == FileType::Directory {
            return Ok(Some(name.to_owned()));
        }
        rustix::fs::unlinkat(here, name, AtFlags::empty())?;
    }
    Ok(None)
}
