//! Walks a tree in the order of its names' bytes, a directory before what is in
//! it. Owns the open directories; follows no symlink below the root and opens
//! no fifo or device.
//!
//! Every step is relative to an open directory, so a path may be longer than
//! the kernel takes and a parent may be renamed meanwhile. Memory: the names of
//! the directories between the root and the present place.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;

use super::select::Selection;
use super::status::Status;
use super::{TreeError, TreeOptions};

/// Directories nearer to the root than this many levels above the present
/// place are closed, and opened again through `..` on the way back.
const OPEN_LEVELS: usize = 64;
const LISTING_BYTES: usize = 32 * 1024;
const OPEN: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOCTTY);
/// The signature of the Cache Directory Tagging Specification.
const CACHE_TAG: &CStr = c"CACHEDIR.TAG";
const CACHE_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

pub(super) struct Walk {
    selection: Selection,
    options: TreeOptions,
    root_device: u64,
    /// Device and inode of the directory that is never entered.
    storage: Option<(u64, u64)>,
    stack: Vec<Level>,
    path: Vec<u8>,
    listing: Vec<u8>,
}

/// A directory on the way to the present place.
struct Level {
    directory: Option<OwnedFd>,
    device: u64,
    inode: u64,
    /// What is still to be visited, in reverse order.
    names: Vec<(CString, FileType)>,
    path_bytes: usize,
}

/// What the walk came to; its path is [`Walk::path`].
pub(super) enum Found {
    /// Its open descriptor is [`Walk::directory`] until the next step.
    Directory(Status),
    File(OwnedFd, Status),
    Symlink(Vec<u8>, Status),
    Special,
    /// It was listed, but is gone or is something else by now.
    Vanished(&'static str),
    Unreadable(Errno),
}

impl Walk {
    /// Opens the root, which may itself be a symlink: whoever named it meant
    /// what it points to. The root is visited first.
    pub fn new(root: &Path, options: TreeOptions) -> Result<(Self, Status), TreeError> {
        let fail = |source: Errno| TreeError::Root {
            root: root.display().to_string(),
            source: source.into(),
        };
        let selection = Selection::new(&options)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(root, flags, Mode::empty()).map_err(fail)?;
        let status = Status::of(&directory).map_err(fail)?;
        let storage = match &options.storage {
            Some(path) => Some(Status::of_path(path).map_err(fail)?),
            None => None,
        };
        let mut walk = Self {
            selection,
            storage: storage.map(|status| (status.device, status.inode)),
            options,
            root_device: status.device,
            stack: Vec::new(),
            path: Vec::new(),
            listing: Vec::with_capacity(LISTING_BYTES),
        };
        let names = walk.list(&directory).map_err(fail)?;
        walk.push(directory, &status, names);
        Ok((walk, status))
    }

    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The directory that was found last.
    pub fn directory(&self) -> Option<BorrowedFd<'_>> {
        let level = self.stack.last()?;
        level.directory.as_ref().map(AsFd::as_fd)
    }

    /// The next object that is not left out; `None` after the last.
    pub fn next(&mut self) -> Option<Found> {
        loop {
            let level = self.stack.last_mut()?;
            self.path.truncate(level.path_bytes);
            let Some((name, listed_kind)) = level.names.pop() else {
                self.leave();
                continue;
            };
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name.to_bytes());
            match self.visit(&name, listed_kind) {
                Ok(None) => {}
                Ok(Some(found)) => return Some(found),
                Err(Errno::NOENT) => return Some(Found::Vanished("it is gone")),
                Err(Errno::LOOP | Errno::NOTDIR | Errno::NXIO) => {
                    return Some(Found::Vanished("something else took its place"));
                }
                Err(errno) => return Some(Found::Unreadable(errno)),
            }
        }
    }

    fn visit(&mut self, name: &CStr, listed_kind: FileType) -> Result<Option<Found>, Errno> {
        // Without a parent there is nothing to be found in it any more.
        let parent = self.directory().ok_or(Errno::NOENT)?;
        let kind = match listed_kind {
            FileType::Unknown => Status::at(parent, name)?.kind(),
            known => known,
        };
        let is_directory = kind == FileType::Directory;
        if self
            .selection
            .excludes(&self.path, name.to_bytes(), is_directory)
        {
            return Ok(None);
        }
        match kind {
            FileType::Directory => self.enter(name),
            FileType::RegularFile => {
                let file = rustix::fs::openat(parent, name, OPEN, Mode::empty())?;
                let status = Status::of(&file)?;
                Ok(Some(match status.kind() {
                    FileType::RegularFile => Found::File(file, status),
                    _ => Found::Vanished("something else took its place"),
                }))
            }
            FileType::Symlink => {
                let status = Status::at(parent, name)?;
                let target = rustix::fs::readlinkat(parent, name, Vec::new())?;
                Ok(Some(Found::Symlink(target.into_bytes(), status)))
            }
            _ => Ok(Some(Found::Special)),
        }
    }

    fn enter(&mut self, name: &CStr) -> Result<Option<Found>, Errno> {
        let parent = self.directory().ok_or(Errno::NOENT)?;
        let flags = OPEN | OFlags::DIRECTORY;
        let directory = rustix::fs::openat(parent, name, flags, Mode::empty())?;
        let status = Status::of(&directory)?;
        if self.storage == Some((status.device, status.inode)) {
            return Ok(None);
        }
        let mounted_here = status.device != self.root_device;
        let names = if self.options.one_file_system && mounted_here {
            Vec::new()
        } else {
            self.list(&directory)?
        };
        if self.is_marked(&directory, &names) {
            return Ok(None);
        }
        self.push(directory, &status, names);
        Ok(Some(Found::Directory(status)))
    }

    /// Whether a file in the directory asks for it to be left out.
    fn is_marked(&self, directory: &OwnedFd, names: &[(CString, FileType)]) -> bool {
        let holds = |wanted: &[u8]| names.iter().any(|(name, _)| name.to_bytes() == wanted);
        let mut markers = self.options.exclude_if_present.iter();
        markers.any(|marker| holds(marker.as_bytes()))
            || self.options.exclude_caches
                && holds(CACHE_TAG.to_bytes())
                && has_cache_signature(directory)
    }

    fn list(&mut self, directory: &OwnedFd) -> Result<Vec<(CString, FileType)>, Errno> {
        let mut names = Vec::new();
        let mut entries = RawDir::new(directory, self.listing.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                names.push((name.to_owned(), entry.file_type()));
            }
        }
        // Visited from the back.
        names.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        Ok(names)
    }

    fn push(&mut self, directory: OwnedFd, status: &Status, names: Vec<(CString, FileType)>) {
        if let Some(far) = self.stack.len().checked_sub(OPEN_LEVELS) {
            self.stack[far].directory = None;
        }
        self.stack.push(Level {
            directory: Some(directory),
            device: status.device,
            inode: status.inode,
            names,
            path_bytes: self.path.len(),
        });
    }

    /// Goes back to the parent. If the directory was moved meanwhile, `..` is
    /// not the parent any more: then the rest of the parent counts as gone.
    fn leave(&mut self) {
        let Some(left) = self.stack.pop() else {
            return;
        };
        let Some(parent) = self.stack.last_mut() else {
            return;
        };
        if parent.directory.is_some() {
            return;
        }
        let Some(left) = left.directory else {
            return;
        };
        let flags = OPEN | OFlags::DIRECTORY;
        if let Ok(directory) = rustix::fs::openat(&left, c"..", flags, Mode::empty())
            && let Ok(status) = Status::of(&directory)
            && (status.device, status.inode) == (parent.device, parent.inode)
        {
            parent.directory = Some(directory);
        }
    }
}

fn has_cache_signature(directory: &OwnedFd) -> bool {
    let mut start = [0; CACHE_SIGNATURE.len()];
    let Ok(tag) = rustix::fs::openat(directory, CACHE_TAG, OPEN, Mode::empty()) else {
        return false;
    };
    let read = rustix::io::pread(&tag, &mut start, 0);
    read == Ok(start.len()) && start == CACHE_SIGNATURE
}
