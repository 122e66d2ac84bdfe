//! Where a walk begins: a directory, or one file by itself. Owns how the path that
//! somebody named is opened. It may itself be a symlink: whoever named it meant what
//! it points to. Links that others could have made must belong to who owns what they
//! lead to.

use std::ffi::CString;
use std::io::{self, ErrorKind};
use std::path::Path;

use rustix::fs::{FileType, Mode};

use super::TreeError;
use super::opening::OPEN;
use super::status::Status;
use crate::paths::{Chain, Dir, Identity};

pub(super) struct Start {
    /// The root, or what the one file lies in.
    pub directory: Dir,
    /// What the archive says of its root.
    pub status: Status,
    /// The one file.
    pub file: Option<CString>,
}

impl Start {
    /// `storage`: the directory that no backup may hold.
    pub fn open(root: &Path, storage: Option<Identity>) -> Result<Self, TreeError> {
        let failed = |source: io::Error| TreeError::Root {
            root: root.display().to_string(),
            source,
        };
        let start = match Chain::to_directory(root) {
            Err(error) if error.kind() == ErrorKind::NotADirectory => Self::file(root),
            way => way.and_then(Self::directory),
        };
        let start = start.map_err(failed)?;
        match start.file.is_none() && storage == Some(start.directory.identity()) {
            true => Err(TreeError::Storage {
                root: root.display().to_string(),
            }),
            false => Ok(start),
        }
    }

    fn directory(way: Chain) -> io::Result<Self> {
        let directory = way.last().readable()?;
        let status = Status::of(&directory)?;
        way.refuse_led(Some(status.uid))?;
        Ok(Self {
            directory,
            status,
            file: None,
        })
    }

    /// A tree of one file; its root is like nothing on disk.
    fn file(path: &Path) -> io::Result<Self> {
        let (way, leaf) = Chain::to_parent(path)?;
        if leaf.kind != Some(FileType::RegularFile) {
            let why = "it is neither a directory nor a regular file";
            return Err(io::Error::new(ErrorKind::InvalidInput, why));
        }
        let file = rustix::fs::openat(way.last(), &leaf.name, OPEN, Mode::empty())?;
        let status = Status::of(&file)?;
        way.refuse_led(Some(status.uid))?;
        Ok(Self {
            directory: way.last().step(c".")?,
            status: Status {
                mode: FileType::Directory.as_raw_mode() | 0o755,
                ..status
            },
            file: Some(leaf.name),
        })
    }
}
