//! A file that is being written and has no name that anybody reads. It lies
//! beside its target, is locked while its writer lives, and either takes the
//! target's name whole or goes away. What a crash leaves is unlocked: the sweep
//! knows it by that.

use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use rustix::fs::{Advice, AtFlags, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::directory::{Directory, ignore_without_modes};
use crate::storage::StorageError;

const PREFIX: &str = ".kluis-tmp-";
/// Who reads all files of a kind, as Prometheus' node_exporter does `*.prom`, must not
/// take a temporary for one of them.
const SUFFIX: &str = ".part";
pub(super) const PRIVATE_FILE: Mode = Mode::from_raw_mode(0o600);
/// How much of the target's name a temporary's name repeats: enough to know it
/// by, and together with the rest below 255 bytes.
const TARGET_BYTES_IN_NAME: usize = 200;
/// A temporary can only be lost to a sweep in the instant before it is locked.
const ATTEMPTS: usize = 16;

/// After so many bytes the kernel is asked to begin writing them out, so that
/// the fsync at the end has little left: on 1 GiB 0.02 s instead of 0.4 s.
const WRITE_BEHIND_BYTES: u64 = 32 << 20;

/// How a temporary takes its target's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Publish {
    /// Refuses if the name is taken.
    New,
    /// In place of what has the name.
    Replacing,
}

/// Whether a published file survives a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    Synced,
    /// For what can be made again.
    Unsynced,
}

pub(super) struct Temporary {
    directory: Arc<Directory>,
    name: String,
    target: String,
    file: File,
    written_bytes: u64,
    /// Where the bytes begin that the kernel has not been asked to write out.
    behind_from: u64,
    published: bool,
    durability: Durability,
    /// That the file gets before it takes its name.
    mode: Mode,
}

impl Temporary {
    pub(super) fn create(
        directory: Arc<Directory>,
        target: &str,
        durability: Durability,
        mode: Mode,
    ) -> Result<Self, StorageError> {
        for _ in 0..ATTEMPTS {
            let name = temporary_name(target).map_err(|e| directory.failed("create", target, e))?;
            match create_locked(&directory, &name) {
                Ok(Some(file)) => {
                    directory.give_to_owner(&file);
                    return Ok(Self {
                        directory,
                        name,
                        target: target.to_owned(),
                        file,
                        written_bytes: 0,
                        behind_from: 0,
                        published: false,
                        durability,
                        mode,
                    });
                }
                Ok(None) | Err(Errno::EXIST) => {}
                Err(e) => return Err(directory.failed("create", target, e)),
            }
        }
        let swept = io::Error::other("its temporary was swept away again and again");
        Err(directory.failed("create", target, swept))
    }

    pub(super) fn write_whole(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.file
            .write_all(bytes)
            .map_err(|e| self.directory.failed("write", &self.target, e))
    }

    /// Linux begins to write out what is dirty in a range that is no longer
    /// needed, and drops only what is clean already: next to nothing here, so
    /// that a verify right after still reads from memory.
    fn write_behind(&mut self) {
        let behind = self.written_bytes - self.behind_from;
        if behind >= WRITE_BEHIND_BYTES && self.durability == Durability::Synced {
            let range = NonZeroU64::new(behind);
            // Only a hint: the fsync at the end is what counts.
            let _ = rustix::fs::fadvise(&self.file, self.behind_from, range, Advice::DontNeed);
            self.behind_from = self.written_bytes;
        }
    }

    /// Durable under the target's name once this returns `Ok`, unless it is
    /// [`Durability::Unsynced`].
    pub(super) fn publish(mut self, how: Publish) -> Result<(), StorageError> {
        if self.mode != PRIVATE_FILE {
            rustix::fs::fchmod(self.file.as_fd(), self.mode)
                .or_else(ignore_without_modes)
                .map_err(|e| self.directory.failed("set the mode of", &self.target, e))?;
        }
        let synced = self.durability == Durability::Synced;
        if synced {
            self.file
                .sync_all()
                .map_err(|e| self.directory.failed("sync", &self.target, e))?;
        }
        match how {
            Publish::New => rename_new(&self.directory, &self.name, &self.target),
            Publish::Replacing => {
                let fd = self.directory.fd();
                rustix::fs::renameat(fd, &self.name, fd, &self.target)
            }
        }
        .map_err(|e| self.directory.failed("publish", &self.target, e))?;
        self.published = true;
        if !synced {
            return Ok(());
        }
        self.directory.sync().inspect_err(|_| {
            // An object whose commit failed must not be found. What was there
            // before a replacement is gone already: the new bytes stay.
            if how == Publish::New {
                let fd = self.directory.fd();
                let _ = rustix::fs::unlinkat(fd, &self.target, AtFlags::empty());
            }
        })
    }
}

impl Write for Temporary {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.file.write(bytes) {
            // The standard library retries it, if it can still see it.
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Err(e),
            Err(e) => Err(self.directory.failed("write", &self.target, e).into()),
            Ok(written) => {
                self.written_bytes += written as u64;
                self.write_behind();
                Ok(written)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed now is found by the next sweep.
            let _ = rustix::fs::unlinkat(self.directory.fd(), &self.name, AtFlags::empty());
        }
    }
}

fn temporary_name(target: &str) -> io::Result<String> {
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random).map_err(|e| io::Error::other(e.to_string()))?;
    let shown = &target[..target.floor_char_boundary(TARGET_BYTES_IN_NAME)];
    let pid = std::process::id();
    let random = hex::encode(random);
    Ok(format!("{PREFIX}{pid}-{random}-{shown}{SUFFIX}"))
}

/// `None` if a sweep took the file before it could be locked.
fn create_locked(directory: &Directory, name: &str) -> Result<Option<File>, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file: File = rustix::fs::openat(directory.fd(), name, flags, PRIVATE_FILE)?.into();
    let kept = lock_and_make_private(&file);
    if !matches!(kept, Ok(true)) {
        // Gone already if a sweep took it.
        let _ = rustix::fs::unlinkat(directory.fd(), name, AtFlags::empty());
    }
    Ok(kept?.then_some(file))
}

/// `false` if a sweep holds the file or has removed it.
fn lock_and_make_private(file: &File) -> Result<bool, Errno> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(false),
        // Then no sweep can lock it either, and leaves it alone.
        Err(e) if cannot_lock(e) => {}
        Err(e) => return Err(e),
    }
    let stat = rustix::fs::fstat(file)?;
    // The umask can only have taken rights away, never given any.
    if stat.st_mode & 0o777 != PRIVATE_FILE.as_raw_mode() {
        rustix::fs::fchmod(file.as_fd(), PRIVATE_FILE).or_else(ignore_without_modes)?;
    }
    Ok(stat.st_nlink > 0)
}

/// How file systems without locks say so.
fn cannot_lock(error: Errno) -> bool {
    matches!(error, Errno::NOSYS | Errno::NOTSUP | Errno::NOLCK)
}

/// Gives `from` the name `to` unless that is taken: [`Errno::EXIST`].
fn rename_new(directory: &Directory, from: &str, to: &str) -> Result<(), Errno> {
    let fd = directory.fd();
    match rustix::fs::renameat_with(fd, from, fd, to, RenameFlags::NOREPLACE) {
        Err(e) if is_unsupported(e) => {}
        done => return done,
    }
    match link_new(directory, from, to) {
        Err(e) if is_unsupported(e) || e == Errno::PERM => {}
        done => return done,
    }
    rename_if_free(directory, from, to)
}

/// The second way: a hard link never replaces.
fn link_new(directory: &Directory, from: &str, to: &str) -> Result<(), Errno> {
    let fd = directory.fd();
    rustix::fs::linkat(fd, from, fd, to, AtFlags::empty())?;
    // The object is there, whatever becomes of its other name: the sweep
    // removes that one too.
    let _ = rustix::fs::unlinkat(fd, from, AtFlags::empty());
    Ok(())
}

/// The last way, for mounts such as rclone's that can neither rename without
/// replacing nor link. Between look and rename only the storage's lock protects.
fn rename_if_free(directory: &Directory, from: &str, to: &str) -> Result<(), Errno> {
    let fd = directory.fd();
    match rustix::fs::statat(fd, to, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Err(Errno::EXIST),
        Err(Errno::NOENT) => rustix::fs::renameat(fd, from, fd, to),
        Err(e) => Err(e),
    }
}

fn is_unsupported(error: Errno) -> bool {
    matches!(error, Errno::INVAL | Errno::NOSYS | Errno::NOTSUP)
}

/// Removes the temporaries whose writers are gone; returns their names. Those
/// of other users that cannot be opened stay, for a run that may.
pub(super) fn sweep(directory: &Directory) -> Result<Vec<String>, StorageError> {
    let mut swept = Vec::new();
    for name in directory.names()? {
        if name.starts_with(PREFIX)
            && remove_if_abandoned(directory, &name)
                .map_err(|e| directory.failed("sweep", &name, e))?
        {
            swept.push(name);
        }
    }
    swept.sort();
    Ok(swept)
}

fn remove_if_abandoned(directory: &Directory, name: &str) -> Result<bool, io::Error> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file: File = match rustix::fs::openat(directory.fd(), name, flags, Mode::empty()) {
        Ok(fd) => fd.into(),
        // NXIO: a socket.
        Err(Errno::NOENT | Errno::ACCESS | Errno::PERM | Errno::LOOP | Errno::NXIO) => {
            return Ok(false);
        }
        Err(e) => return Err(e.into()),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.nlink() == 0 {
        return Ok(false);
    }
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(e) if e == Errno::WOULDBLOCK || cannot_lock(e) => return Ok(false),
        Err(e) => return Err(e.into()),
    }
    match rustix::fs::unlinkat(directory.fd(), name, AtFlags::empty()) {
        Ok(()) => Ok(true),
        // Published between the listing and the lock.
        Err(Errno::NOENT) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Way = fn(&Directory, &str, &str) -> Result<(), Errno>;
    const WAYS: [Way; 3] = [rename_new, link_new, rename_if_free];

    fn directory_with(names: &[&str]) -> (tempfile::TempDir, Directory) {
        let root = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::write(root.path().join(name), name).unwrap();
        }
        let directory = Directory::open_or_make(root.path()).unwrap();
        (root, directory)
    }

    #[test]
    fn no_way_of_publishing_replaces_what_is_there() {
        for way in WAYS {
            let (root, directory) = directory_with(&["new", "taken"]);
            assert_eq!(way(&directory, "new", "taken"), Err(Errno::EXIST));
            assert_eq!(std::fs::read(root.path().join("taken")).unwrap(), b"taken");
        }
    }

    #[test]
    fn no_way_of_publishing_replaces_a_dangling_symlink() {
        for way in WAYS {
            let (root, directory) = directory_with(&["new"]);
            std::os::unix::fs::symlink("nowhere", root.path().join("taken")).unwrap();
            assert_eq!(way(&directory, "new", "taken"), Err(Errno::EXIST));
            assert!(!root.path().join("nowhere").exists());
        }
    }

    #[test]
    fn every_way_of_publishing_leaves_one_name() {
        for way in WAYS {
            let (root, directory) = directory_with(&["new"]);
            way(&directory, "new", "target").unwrap();
            assert!(!directory.has("new").unwrap());
            assert_eq!(std::fs::read(root.path().join("target")).unwrap(), b"new");
        }
    }

    #[test]
    fn a_temporary_does_not_end_as_its_target_does() {
        assert!(!temporary_name("kluis.prom").unwrap().ends_with(".prom"));
    }

    #[test]
    fn a_temporary_of_the_longest_name_still_has_a_name() {
        let name = temporary_name(&"é".repeat(127)).unwrap();
        assert!(name.len() <= crate::storage::NAME_BYTES_MAX, "{name}");
    }
}
