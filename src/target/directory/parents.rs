//! The directories between the staging root and the present entry, held open.
//! Owns the rules that nothing outside the staging directory can be reached, and
//! that a directory gets its own attributes when nothing more comes into it.
//!
//! Every part of a path is opened in the one before it and never through a
//! symlink, and paths without `..` (the tar module's invariant) only ever go
//! down. An archive of kluis' names a directory before what is in it, and comes
//! back to none: what waits is as much as the path is deep. An archive in another
//! order may come back: the directory is opened again, and has what it had when
//! it is left again.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};

use rustix::fs::{Mode, Stat, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

use super::metadata::Metadata;
use super::writers::{Writers, not_created};
use crate::format::tar::{Attributes, TarError, display_path};
use crate::paths::{Descent, Dir, Lost};
use crate::target::TargetError;

/// The mode of directories that the archive needs but never names.
pub(super) const IMPLIED: Mode = Mode::from_raw_mode(0o755);
/// What may wait on one path. Extended attributes of nested directories are the
/// bulk of it: Linux allows 64 KiB for a value.
const WAITING_BYTES_MAX: usize = 64 << 20;

pub(super) struct Parents<'a> {
    metadata: &'a Metadata,
    way: Descent<Level>,
    /// Of the present directory.
    path: Vec<u8>,
    waiting_bytes: usize,
}

struct Level {
    path_bytes: usize,
    left: Arc<Left>,
    waiting: Option<Waiting>,
}

/// What a directory gets when it is left.
enum Waiting {
    Named(Attributes),
    /// It had that before something more came.
    Again(Box<Stat>),
}

/// A directory that was left, until the last file in it is written: making a
/// file sets its directory's time. Who lets go last gives it its attributes.
#[derive(Default)]
pub(super) struct Left(OnceLock<LeftWith>);

struct LeftWith {
    directory: Arc<Dir>,
    path: Vec<u8>,
    waiting: Waiting,
}

/// An open directory and a name in it.
pub(super) struct Spot<'a> {
    pub parent: Arc<Dir>,
    pub left: Arc<Left>,
    pub name: &'a [u8],
}

/// A directory that was left already, open for a moment.
pub(super) struct Reached {
    pub parent: Arc<Dir>,
    /// Those on the way that had shut their own user out, and their modes.
    opened: Vec<(Arc<Dir>, Mode)>,
}

impl Left {
    /// Lets go of a directory.
    pub fn release(this: Arc<Self>, metadata: &Metadata) -> Result<(), TargetError> {
        let last = Arc::into_inner(this).and_then(|left| left.0.into_inner());
        let Some(left) = last else {
            return Ok(());
        };
        match left.waiting {
            Waiting::Named(attributes) => {
                metadata.apply(left.directory.as_fd(), &left.path, &attributes)
            }
            Waiting::Again(stat) => {
                as_it_was(&left.directory, &stat).map_err(|errno| place(&left.path, errno.into()))
            }
        }
    }
}

impl Drop for Reached {
    fn drop(&mut self) {
        // The innermost first: the others lead to it.
        for (directory, mode) in self.opened.drain(..).rev() {
            let _ = directory.set_mode(mode);
        }
    }
}

impl<'a> Parents<'a> {
    pub fn new(root: &Arc<Dir>, metadata: &'a Metadata) -> Self {
        Self {
            metadata,
            way: Descent::new(Arc::clone(root), Level::new(0, None)),
            path: Vec::new(),
            waiting_bytes: 0,
        }
    }

    /// Where `path` goes. Directories that the archive did not name before are
    /// made on the way.
    pub fn spot<'p>(
        &mut self,
        path: &'p [u8],
        writers: &mut Writers<'_>,
    ) -> Result<Spot<'p>, TargetError> {
        let (parent, name) = split(path);
        self.leave_to(parent)?;
        while self.path.len() < parent.len() {
            let from = self.path.len() + usize::from(!self.path.is_empty());
            let rest = &parent[from..];
            let part = memchr::memchr(b'/', rest).unwrap_or(rest.len());
            self.go_down(&parent[..from + part], path, writers)?;
        }
        let directory = self.way.reach().map_err(|lost| lost_at(path, lost))?;
        let level = self.way.value().ok_or_else(|| lost_at(path, Lost::Moved))?;
        Ok(Spot {
            parent: directory,
            left: Arc::clone(&level.left),
            name,
        })
    }

    /// A directory that the archive names. It may be there already: needed before
    /// it was named, or named twice.
    pub fn directory(
        &mut self,
        path: &[u8],
        attributes: Attributes,
        writers: &mut Writers<'_>,
    ) -> Result<(), TargetError> {
        self.leave_to(path)?;
        if self.path != path {
            let spot = self.spot(path, writers)?;
            let name = c_name(spot.name, path)?;
            match spot.parent.make_child(&name) {
                Ok(made) => self.push(&name, made, path, None),
                Err(Errno::EXIST) => {
                    self.come_back(&spot, &name, path, path, writers)?;
                }
                Err(errno) => return Err(not_created(path, errno.into())),
            }
        }
        self.waiting_bytes += bytes_of(&attributes);
        if self.waiting_bytes > WAITING_BYTES_MAX {
            let why = "brings more attributes of nested directories than are held at a time";
            return Err(TarError::refused(path, why).into());
        }
        if let Some(level) = self.way.value() {
            let before = level.waiting.replace(Waiting::Named(attributes));
            self.waiting_bytes -= before.as_ref().map_or(0, Waiting::bytes);
        }
        Ok(())
    }

    /// Where `path` is, which an earlier entry made. Does not leave the present
    /// directory.
    pub fn existing(&self, path: &[u8]) -> Result<Reached, TargetError> {
        let (parent, name) = split(path);
        let top = self.way.top().ok_or_else(|| lost_at(path, Lost::Moved))?;
        let mut reached = Reached {
            parent: Arc::clone(top),
            opened: Vec::new(),
        };
        for part in parent.split(|&byte| byte == b'/') {
            if part.is_empty() {
                continue;
            }
            let name = c_name(part, path)?;
            let below = reached.passing(|parent| parent.step(&name));
            reached.parent = Arc::new(below.map_err(|errno| not_entered(path, errno))?);
        }
        let name = c_name(name, path)?;
        // Only so that it can be passed: what is there is the caller's question.
        let _ = reached.passing(|parent| parent.look(&name));
        Ok(reached)
    }

    /// Leaves all directories, and returns what the root is to get.
    pub fn finish(&mut self) -> Result<Option<Attributes>, TargetError> {
        self.leave_to(b"")?;
        let waiting = self.way.value().and_then(|level| level.waiting.take());
        Ok(match waiting {
            Some(Waiting::Named(attributes)) => Some(attributes),
            Some(Waiting::Again(_)) | None => None,
        })
    }

    /// Goes up until `path` is the present directory or below it.
    fn leave_to(&mut self, path: &[u8]) -> Result<(), TargetError> {
        while !is_at_or_below(path, &self.path) {
            let directory = self.way.reach();
            let Some(left) = self.way.pop().map(|left| left.value) else {
                return Err(lost_at(path, Lost::Moved));
            };
            if let Some(waiting) = left.waiting {
                let directory = directory.map_err(|lost| lost_at(&self.path, lost))?;
                self.waiting_bytes -= waiting.bytes();
                let path = self.path.clone();
                // Set once, here.
                let _ = left.left.0.set(LeftWith {
                    directory,
                    path,
                    waiting,
                });
            }
            Left::release(left.left, self.metadata)?;
            let above = self.way.value().map_or(0, |level| level.path_bytes);
            self.path.truncate(above);
        }
        Ok(())
    }

    /// Into the directory `path`, which the entry `entry` needs.
    fn go_down(
        &mut self,
        path: &[u8],
        entry: &[u8],
        writers: &mut Writers<'_>,
    ) -> Result<(), TargetError> {
        let here = self.way.reach().map_err(|lost| lost_at(entry, lost))?;
        let name = c_name(split(path).1, entry)?;
        match rustix::fs::mkdirat(&here, &name, IMPLIED) {
            Ok(()) => {
                let made = here.open_child(&name);
                let made = made.map_err(|errno| not_entered(entry, errno))?;
                self.push(&name, made, path, None);
                Ok(())
            }
            Err(Errno::EXIST) => {
                let spot = Spot {
                    parent: here,
                    left: Arc::default(),
                    name: split(path).1,
                };
                self.come_back(&spot, &name, path, entry, writers)
            }
            Err(errno) => Err(place(entry, errno.into())),
        }
    }

    /// Into a directory that was left before. What it has by now is final only
    /// once all files are written.
    fn come_back(
        &mut self,
        spot: &Spot<'_>,
        name: &CString,
        path: &[u8],
        entry: &[u8],
        writers: &mut Writers<'_>,
    ) -> Result<(), TargetError> {
        let is_directory = spot.parent.look(name).is_ok_and(|stat| {
            rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory
        });
        if !is_directory {
            return Err(match path == entry {
                true => not_created(path, Errno::EXIST.into()),
                false => not_entered(entry, Errno::NOTDIR),
            });
        }
        writers.wait()?;
        let stat = spot.parent.look(name);
        let opened = stat.and_then(|stat| Ok((stat, spot.parent.open_own_child(name)?)));
        let (stat, again) = opened.map_err(|errno| not_entered(entry, errno))?;
        self.push(name, again, path, Some(Waiting::Again(Box::new(stat))));
        Ok(())
    }

    fn push(&mut self, name: &CString, made: Dir, path: &[u8], waiting: Option<Waiting>) {
        self.path.clear();
        self.path.extend_from_slice(path);
        let level = Level::new(path.len(), waiting);
        self.way.push(name, Arc::new(made), level);
    }
}

impl Reached {
    /// Does `step`, also where the directory shuts its own user out by now.
    fn passing<T>(&mut self, step: impl Fn(&Dir) -> Result<T, Errno>) -> Result<T, Errno> {
        match step(&self.parent) {
            Err(Errno::ACCESS) => {
                let mode = self.parent.mode()?;
                self.parent.set_mode(mode | Mode::RWXU)?;
                self.opened.push((Arc::clone(&self.parent), mode));
                step(&self.parent)
            }
            stepped => stepped,
        }
    }
}

impl Level {
    fn new(path_bytes: usize, waiting: Option<Waiting>) -> Self {
        Self {
            path_bytes,
            left: Arc::default(),
            waiting,
        }
    }
}

impl Waiting {
    fn bytes(&self) -> usize {
        match self {
            Self::Named(attributes) => bytes_of(attributes),
            Self::Again(_) => 0,
        }
    }
}

fn bytes_of(attributes: &Attributes) -> usize {
    let xattrs = attributes.xattrs.iter();
    xattrs.map(|it| it.name.len() + it.value.len()).sum()
}

fn as_it_was(directory: &Dir, stat: &Stat) -> Result<(), Errno> {
    let mode = Mode::from_raw_mode(stat.st_mode);
    if Mode::from_raw_mode(directory.stat()?.st_mode) != mode {
        rustix::fs::fchmod(directory, mode)?;
    }
    let at = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
    // The field's type differs between machines.
    #[allow(clippy::unnecessary_cast)]
    let modified = at(stat.st_mtime as i64, stat.st_mtime_nsec as _);
    let times = Timestamps {
        last_access: at(0, UTIME_OMIT),
        last_modification: modified,
    };
    rustix::fs::futimens(directory, &times)
}

fn is_at_or_below(path: &[u8], directory: &[u8]) -> bool {
    directory.is_empty()
        || path
            .strip_prefix(directory)
            .is_some_and(|rest| rest.first().is_none_or(|&byte| byte == b'/'))
}

/// A path's directory (empty for the root) and its last name.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memrchr(b'/', path) {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

fn c_name(name: &[u8], entry: &[u8]) -> Result<CString, TargetError> {
    CString::new(name).map_err(|_| TarError::refused(entry, "has a NUL in its name").into())
}

fn not_entered(entry: &[u8], errno: Errno) -> TargetError {
    match errno {
        Errno::NOTDIR | Errno::LOOP => {
            TarError::refused(entry, "goes through something that is no directory").into()
        }
        Errno::NOENT => TarError::refused(entry, "needs a directory that is not there").into(),
        errno => place(entry, errno.into()),
    }
}

fn lost_at(path: &[u8], lost: Lost) -> TargetError {
    match lost {
        Lost::Moved => place(path, Errno::NOENT.into()),
        Lost::Refused(errno) => place(path, errno.into()),
    }
}

/// The error of an entry whose place said no.
pub(super) fn place(path: &[u8], source: std::io::Error) -> TargetError {
    TargetError::Place {
        action: "restore",
        place: display_path(path),
        source,
    }
}
