//! Walks a tree in the order of its names' bytes, a directory before what is in
//! it. Follows no symlink below the root and opens no fifo or device.
//!
//! Every step is relative to an open directory, so a path may be longer than
//! the kernel takes and a directory may be moved meanwhile: it is read on where
//! it is. What is listed and gone when its turn comes has *vanished*; what is
//! still there somewhere, or may be, and was not read is *unreadable*.
//!
//! What is moved from a place that is still to be read to one that was read
//! would be missed. So the whole tree is listed once more, and again while that
//! brings something new; only paths that were not come to before are read then.
//! Memory: the names of the directories between the root and the present place,
//! and eight bytes for each path.

use std::ffi::{CStr, CString};
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

use super::seen::Seen;
use super::select::Selection;
use super::status::Status;
use super::{TreeError, TreeOptions};
use crate::format::tar::MAX_PATH_BYTES;
use crate::paths::{Chain, Descent, Dir, Identity, Lost};

/// Directories that vanish are looked for under other names so often in one
/// directory.
const SEARCHES_MAX: u32 = 100;
/// So often the tree is listed after it was read. Who makes files all the time, as
/// a spool does, must not keep a backup for ever.
const LOOKS_MAX: u32 = 3;
const TOO_DEEP: &str = "its path is longer than 16 KiB: it and what is below it is left out";
const REPLACED: &str = "something else took its place while it was read";
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
    /// The directory that is never entered.
    storage: Option<Identity>,
    root: Arc<Dir>,
    way: Descent<Level>,
    begun: SystemTime,
    /// How often the tree was listed again.
    looks: u32,
    seen: Seen,
    path: Vec<u8>,
    listing: Vec<u8>,
}

/// What is known of a directory on the way to the present place.
struct Level {
    /// What is still to be visited, in reverse order.
    names: Vec<Name>,
    path_bytes: usize,
    searches: u32,
}

struct Name {
    name: CString,
    kind: FileType,
    /// Of the directory, where it is one.
    inode: u64,
}

/// What the walk came to; its path is [`Walk::path`].
pub(super) enum Found {
    /// Its open descriptor is [`Walk::directory`] until the next step.
    Directory(Status),
    File(OwnedFd, Status),
    Symlink(Vec<u8>, Status),
    Special,
    /// A directory that was found before: what is new in it follows.
    Known,
    /// A directory as old as the walk that only its last look came to: what was
    /// moved about all the time may have been missed.
    Late(Status),
    /// It was listed, but is gone by now.
    Vanished,
    /// It, or a directory above it, before it was read.
    Moved,
    /// In words.
    Unreadable(String),
}

impl Walk {
    /// Opens the root, which may itself be a symlink: whoever named it meant
    /// what it points to. Links that others could have made must belong to who
    /// owns what they lead to. The root is visited first.
    pub fn new(root: &Path, options: TreeOptions) -> Result<(Self, Status), TreeError> {
        let failed = |source: io::Error| TreeError::Root {
            root: root.display().to_string(),
            source,
        };
        let fail = |source: Errno| failed(source.into());
        let selection = Selection::new(&options)?;
        let way = Chain::to_directory(root).map_err(failed)?;
        let directory = way.last().readable().map_err(fail)?;
        let status = Status::of(&directory).map_err(fail)?;
        way.refuse_led(Some(status.uid)).map_err(failed)?;
        let storage = match &options.storage {
            Some(path) => Some(Status::of_path(path).map_err(fail)?.identity()),
            None => None,
        };
        let root = Arc::new(directory);
        let mut listing = Vec::new();
        let begun = SystemTime::now();
        let level = Level::new(list(&root, &mut listing).map_err(fail)?, 0);
        let walk = Self {
            selection,
            storage,
            options,
            root_device: status.device,
            way: Descent::new(Arc::clone(&root), level),
            root,
            begun,
            looks: 0,
            seen: Seen::default(),
            path: Vec::new(),
            listing,
        };
        Ok((walk, status))
    }

    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The directory that was found last.
    pub fn directory(&self) -> Option<BorrowedFd<'_>> {
        self.way.held().map(AsFd::as_fd)
    }

    /// The next object that is not left out; `None` after the last.
    pub fn next(&mut self) -> Option<Found> {
        loop {
            let Some(level) = self.way.value() else {
                match self.look_again()? {
                    Ok(()) => continue,
                    Err(errno) => return Some(unread(errno)),
                }
            };
            self.path.truncate(level.path_bytes);
            let Some(name) = level.names.pop() else {
                self.way.pop();
                continue;
            };
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name.name.to_bytes());
            if let Some(found) = self.visit(&name) {
                return Some(found);
            }
        }
    }

    /// Begins at the root again; `None` if there is no need to.
    fn look_again(&mut self) -> Option<Result<(), Errno>> {
        if !self.seen.end_pass() || self.looks == LOOKS_MAX {
            return None;
        }
        self.looks += 1;
        self.path.clear();
        let listed = self.root.rewind();
        let listed = listed.and_then(|()| list(&self.root, &mut self.listing));
        Some(listed.map(|names| {
            self.way = Descent::new(Arc::clone(&self.root), Level::new(names, 0));
        }))
    }

    fn visit(&mut self, name: &Name) -> Option<Found> {
        let known = self.seen.holds(&self.path);
        if known && !matches!(name.kind, FileType::Directory | FileType::Unknown) {
            return None;
        }
        let found = self.meet(name, known)?;
        match &found {
            Found::Known => {}
            // What became of it was told when it was come to first.
            _ if known => {
                return (!matches!(found, Found::Vanished | Found::Moved)).then_some(found);
            }
            // Files come and go; who may move one away may remove it.
            Found::Vanished if self.looks > 0 && name.kind != FileType::Directory => return None,
            // It is read if it comes back.
            Found::Vanished | Found::Moved => {}
            _ => self.seen.add(&self.path),
        }
        Some(found)
    }

    fn meet(&mut self, name: &Name, known: bool) -> Option<Found> {
        let parent = self.way.reach();
        let kind = match (name.kind, &parent) {
            (FileType::Unknown, Ok(parent)) => match Status::at(parent.as_fd(), &name.name) {
                Ok(status) => status.kind(),
                Err(errno) => return Some(unread(errno)),
            },
            (known, _) => known,
        };
        let is_directory = kind == FileType::Directory;
        let last = name.name.to_bytes();
        if self.selection.excludes(&self.path, last, is_directory) || known && !is_directory {
            return None;
        }
        if self.path.len() > MAX_PATH_BYTES {
            // No archive can hold it, and what is below costs more with each level.
            return (!known).then(|| Found::Unreadable(TOO_DEEP.to_owned()));
        }
        let parent = match parent {
            Ok(parent) => parent,
            Err(Lost::Moved) => return Some(Found::Moved),
            Err(Lost::Refused(errno)) => return Some(unread(errno)),
        };
        let found = match kind {
            FileType::Directory => self.enter(&parent, &name.name, known),
            FileType::RegularFile => open_file(&parent, &name.name).map(Some),
            FileType::Symlink => read_link(&parent, &name.name).map(Some),
            _ => Ok(Some(Found::Special)),
        };
        match found {
            Ok(found) => found,
            Err(_) if known => None,
            Err(Errno::NOENT) if is_directory => self.search(&parent, name),
            Err(errno) => Some(unread(errno)),
        }
    }

    fn enter(&mut self, parent: &Dir, name: &CStr, known: bool) -> Result<Option<Found>, Errno> {
        let directory = parent.open_fd(name)?;
        let status = Status::of(&directory)?;
        if self.storage == Some(status.identity()) {
            return Ok(None);
        }
        let identity = status.identity();
        if known && !self.seen.holds_directory(&self.path, identity) {
            return Ok(Some(Found::Unreadable(REPLACED.to_owned())));
        }
        let directory = Dir::known(directory, identity);
        let mounted_here = status.device != self.root_device;
        let names = if self.options.one_file_system && mounted_here {
            Vec::new()
        } else {
            list(&directory, &mut self.listing)?
        };
        if self.is_marked(&directory, &names) {
            return Ok(None);
        }
        let is_late = self.looks == LOOKS_MAX && !self.is_new(&directory);
        let level = Level::new(names, self.path.len());
        self.way.push(name, Arc::new(directory), level);
        if known {
            return Ok(Some(Found::Known));
        }
        self.seen.add_directory(&self.path, identity);
        Ok(Some(match is_late {
            true => Found::Late(status),
            false => Found::Directory(status),
        }))
    }

    /// Whether a directory was made since the walk began. Its birth is the one
    /// time that nobody can set; some file systems do not know it.
    fn is_new(&self, directory: &Dir) -> bool {
        let asked = rustix::fs::statx(directory, c"", AtFlags::EMPTY_PATH, StatxFlags::BTIME);
        let begun = self.begun.duration_since(SystemTime::UNIX_EPOCH);
        asked.is_ok_and(|told| {
            let born = told.stx_btime;
            told.stx_mask & StatxFlags::BTIME.bits() != 0
                && begun.is_ok_and(|begun| {
                    (born.tv_sec, born.tv_nsec)
                        > (
                            begun.as_secs().try_into().unwrap_or(i64::MAX),
                            begun.subsec_nanos(),
                        )
                })
        })
    }

    /// Whether a file in the directory asks for it to be left out.
    fn is_marked(&self, directory: &Dir, names: &[Name]) -> bool {
        let holds = |wanted: &[u8]| names.iter().any(|it| it.name.to_bytes() == wanted);
        let mut markers = self.options.exclude_if_present.iter();
        markers.any(|marker| holds(marker.as_bytes()))
            || self.options.exclude_caches
                && holds(CACHE_TAG.to_bytes())
                && has_cache_signature(directory)
    }

    /// A directory that is gone under its name may have another in the same
    /// place: whoever may rename it need not be who owns what is in it. Under a
    /// later name its turn is still to come; an earlier one is past.
    fn search(&mut self, parent: &Dir, gone: &Name) -> Option<Found> {
        let level = self.way.value()?;
        level.searches += 1;
        if level.searches > SEARCHES_MAX {
            return Some(Found::Moved);
        }
        let listed = parent
            .rewind()
            .and_then(|()| list(parent, &mut self.listing));
        let listed = match listed {
            Ok(listed) => listed,
            Err(errno) => return Some(unread(errno)),
        };
        let same = |it: &Name| it.kind == FileType::Directory && it.inode == gone.inode;
        let Some(renamed) = listed.into_iter().find(same) else {
            return Some(Found::Vanished);
        };
        if renamed.name <= gone.name {
            return Some(Found::Moved);
        }
        let place = level
            .names
            .binary_search_by(|it| renamed.name.cmp(&it.name));
        if let Err(place) = place {
            level.names.insert(place, renamed);
        }
        None
    }
}

impl Level {
    fn new(names: Vec<Name>, path_bytes: usize) -> Self {
        Self {
            names,
            path_bytes,
            searches: 0,
        }
    }
}

fn list(directory: &Dir, listing: &mut Vec<u8>) -> Result<Vec<Name>, Errno> {
    let mut names = Vec::new();
    directory.list(listing, |entry| {
        names.push(Name {
            name: entry.name.to_owned(),
            kind: entry.kind,
            inode: entry.inode,
        });
        ControlFlow::Continue(())
    })?;
    // Visited from the back.
    names.sort_unstable_by(|a, b| b.name.cmp(&a.name));
    Ok(names)
}

fn open_file(parent: &Dir, name: &CStr) -> Result<Found, Errno> {
    let file = rustix::fs::openat(parent, name, OPEN, Mode::empty())?;
    let status = Status::of(&file)?;
    match status.kind() {
        FileType::RegularFile => Ok(Found::File(file, status)),
        _ => Ok(Found::Unreadable(REPLACED.to_owned())),
    }
}

fn read_link(parent: &Dir, name: &CStr) -> Result<Found, Errno> {
    let status = Status::at(parent.as_fd(), name)?;
    if status.kind() != FileType::Symlink {
        return Ok(Found::Unreadable(REPLACED.to_owned()));
    }
    let target = rustix::fs::readlinkat(parent, name, Vec::new())?;
    Ok(Found::Symlink(target.into_bytes(), status))
}

/// What became of an object that its directory, the same as ever, has listed.
fn unread(errno: Errno) -> Found {
    match errno {
        Errno::NOENT => Found::Vanished,
        Errno::LOOP | Errno::NOTDIR | Errno::NXIO | Errno::INVAL => {
            Found::Unreadable(REPLACED.to_owned())
        }
        errno => Found::Unreadable(errno.to_string()),
    }
}

fn has_cache_signature(directory: &Dir) -> bool {
    let mut start = [0; CACHE_SIGNATURE.len()];
    let Ok(tag) = rustix::fs::openat(directory, CACHE_TAG, OPEN, Mode::empty()) else {
        return false;
    };
    let read = rustix::io::pread(&tag, &mut start, 0);
    read == Ok(start.len()) && start == CACHE_SIGNATURE
}
