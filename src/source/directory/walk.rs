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
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::hard_links::birth;
use super::marks::{CACHE_TAG, Mark, mark_of};
use super::opening::{REPLACED, open_file, read_link, unread};
use super::seen::Seen;
use super::select::Selection;
use super::start::Start;
use super::status::Status;
use super::{TreeError, TreeOptions};
use crate::format::tar::MAX_PATH_BYTES;
use crate::paths::{Descent, Dir, Identity, Lost};

/// Directories that vanish are looked for under other names so often in one
/// directory.
const SEARCHES_MAX: u32 = 100;
/// So often the tree is listed after it was read. Who makes files all the time, as
/// a spool does, must not keep a backup for ever.
const LOOKS_MAX: u32 = 3;
const TOO_DEEP: &str = "its path is longer than 16 KiB: it and what is below it is left out";

pub(super) struct Walk {
    selection: Selection,
    options: TreeOptions,
    root_device: u64,
    /// The directory that is never entered.
    storage: Option<Identity>,
    met: Met,
    /// There is one file, and nothing beside it counts.
    is_file: bool,
    root: Arc<Dir>,
    way: Descent<Level>,
    begun: SystemTime,
    /// How often the tree was listed again.
    looks: u32,
    seen: Seen,
    path: Vec<u8>,
    listing: Vec<u8>,
}

/// What was left out for what it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Met {
    /// Where the storage lies.
    pub storage: Option<Vec<u8>>,
    /// Directories that are marked as caches.
    pub caches: u64,
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
    Special(FileType),
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
    /// The root is visited first.
    pub fn new(root: &Path, options: TreeOptions) -> Result<(Self, Status), TreeError> {
        let fail = |source: Errno| TreeError::Root {
            root: root.display().to_string(),
            source: source.into(),
        };
        let storage = match &options.storage {
            Some(path) => Some(Status::of_path(path).map_err(fail)?.identity()),
            None => None,
        };
        let Start {
            directory,
            status,
            file,
        } = Start::open(root, storage)?;
        let is_file = file.is_some();
        let selection = match is_file {
            // Whoever named it wants it.
            true => Selection::default(),
            false => Selection::new(&options)?,
        };
        let root = Arc::new(directory);
        let begun = SystemTime::now();
        let mut listing = Vec::new();
        let names = match file {
            Some(name) => vec![Name::of_file(name)],
            None => list(&root, &mut listing).map_err(fail)?,
        };
        let walk = Self {
            selection,
            storage,
            met: Met::default(),
            is_file,
            options,
            root_device: status.device,
            way: Descent::new(Arc::clone(&root), Level::new(names, 0)),
            root,
            begun,
            looks: 0,
            seen: Seen::default(),
            path: Vec::new(),
            listing,
        };
        Ok((walk, status))
    }

    pub fn met(&self) -> &Met {
        &self.met
    }

    pub fn is_file(&self) -> bool {
        self.is_file
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
        if self.is_file || !self.seen.end_pass() || self.looks == LOOKS_MAX {
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
        if self.selection.excludes(&self.path, is_directory) || known && !is_directory {
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
            kind => Ok(Some(Found::Special(kind))),
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
            self.met.storage.get_or_insert_with(|| self.path.clone());
            return Ok(None);
        }
        let identity = status.identity();
        if known && !self.seen.holds_directory(&self.path, identity) {
            return Ok(Some(Found::Unreadable(REPLACED.to_owned())));
        }
        let directory = Dir::known(directory, identity);
        let mounted_here = status.device != self.root_device;
        let mut names = if self.options.one_file_system && mounted_here {
            Vec::new()
        } else {
            list(&directory, &mut self.listing)?
        };
        let holds = |wanted: &[u8]| names.iter().any(|it| it.name.to_bytes() == wanted);
        match mark_of(&directory, &self.options, holds) {
            Mark::None => {}
            Mark::LeftOut => return Ok(None),
            Mark::Cache => {
                names.retain(|it| *it.name == *CACHE_TAG);
                self.met.caches += u64::from(!known);
            }
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
        let begun = self.begun.duration_since(SystemTime::UNIX_EPOCH);
        let begun = begun.map(|it| (it.as_secs().cast_signed(), it.subsec_nanos()));
        birth(directory)
            .zip(begun.ok())
            .is_some_and(|(born, begun)| (born.seconds, born.nanoseconds) > begun)
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

impl Name {
    fn of_file(name: CString) -> Self {
        Self {
            name,
            kind: FileType::RegularFile,
            inode: 0,
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
