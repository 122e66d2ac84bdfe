//! Finds the directory that an entry belongs into, step by step from the
//! staging root, never through a symlink. Owns the rule that nothing outside
//! the staging directory can be reached: every part of a path is opened with
//! `O_NOFOLLOW | O_DIRECTORY` relative to the one before it, and paths without
//! `..` (the tar module's invariant) only ever go down.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::format::tar::{TarError, display_path};
use crate::target::TargetError;

const STEP: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// The mode of directories that the archive needs but never names.
pub(super) const IMPLIED: Mode = Mode::from_raw_mode(0o755);

/// Remembers the directory of the last entry: the next is mostly there too.
pub(super) struct Parents {
    root: Arc<OwnedFd>,
    last_path: Vec<u8>,
    last: Arc<OwnedFd>,
}

/// An open directory and a name in it.
pub(super) struct Spot<'a> {
    pub parent: Arc<OwnedFd>,
    pub name: &'a [u8],
}

impl Parents {
    pub fn new(root: BorrowedFd<'_>) -> Result<Self, TargetError> {
        let root = Arc::new(
            root.try_clone_to_owned()
                .map_err(|source| place(b"", source))?,
        );
        Ok(Self {
            last: Arc::clone(&root),
            root,
            last_path: Vec::new(),
        })
    }

    /// Where `path` goes. Directories that the archive did not name before are
    /// made on the way.
    pub fn spot<'a>(&mut self, path: &'a [u8]) -> Result<Spot<'a>, TargetError> {
        self.walk(path, true)
    }

    /// Where `path` is; its directory must be there already.
    pub fn existing<'a>(&mut self, path: &'a [u8]) -> Result<Spot<'a>, TargetError> {
        self.walk(path, false)
    }

    fn walk<'a>(&mut self, path: &'a [u8], make: bool) -> Result<Spot<'a>, TargetError> {
        let (parent, name) = split(path);
        if parent != self.last_path {
            let (mut here, done) = self.nearest(parent);
            for part in parent[done..].split(|&byte| byte == b'/') {
                if !part.is_empty() {
                    here = Arc::new(step(&here, part, path, make)?);
                }
            }
            self.last = here;
            self.last_path.clear();
            self.last_path.extend_from_slice(parent);
        }
        Ok(Spot {
            parent: Arc::clone(&self.last),
            name,
        })
    }

    /// The last directory if `parent` is below it, else the root; and how many
    /// bytes of `parent` lead there.
    fn nearest(&self, parent: &[u8]) -> (Arc<OwnedFd>, usize) {
        let below = parent
            .strip_prefix(&self.last_path[..])
            .is_some_and(|rest| rest.first() == Some(&b'/'));
        match below && !self.last_path.is_empty() {
            true => (Arc::clone(&self.last), self.last_path.len()),
            false => (Arc::clone(&self.root), 0),
        }
    }
}

/// A path's directory (empty for the root) and its last name.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memrchr(b'/', path) {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

fn step(here: &OwnedFd, part: &[u8], entry: &[u8], make: bool) -> Result<OwnedFd, TargetError> {
    let open = || rustix::fs::openat(here.as_fd(), part, STEP, Mode::empty());
    let opened = match open() {
        Err(Errno::NOENT) if make => {
            rustix::fs::mkdirat(here, part, IMPLIED).map_err(|errno| place(entry, errno.into()))?;
            open()
        }
        opened => opened,
    };
    opened.map_err(|errno| match errno {
        Errno::NOTDIR | Errno::LOOP => {
            TarError::refused(entry, "goes through something that is no directory").into()
        }
        Errno::NOENT => TarError::refused(entry, "needs a directory that is not there").into(),
        errno => place(entry, errno.into()),
    })
}

/// The error of an entry whose place said no.
pub(super) fn place(path: &[u8], source: std::io::Error) -> TargetError {
    TargetError::Place {
        action: "restore",
        place: display_path(path),
        source,
    }
}
