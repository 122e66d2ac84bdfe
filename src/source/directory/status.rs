//! A file's status in the types that tar uses, whatever the machine calls them.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use std::path::Path;

use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use crate::format::tar::Mtime;
use crate::paths::Identity;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub device: u64,
    pub inode: u64,
    pub links: u64,
    /// With the bits of the file's kind.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub bytes: u64,
    /// What the file occupies, in units of 512 bytes.
    pub blocks: u64,
    pub mtime: Mtime,
    pub ctime: Mtime,
}

impl Status {
    pub fn of(file: impl AsFd) -> Result<Self, Errno> {
        rustix::fs::fstat(file).map(|stat| Self::from(&stat))
    }

    /// Of what `path` leads to.
    pub fn of_path(path: &Path) -> Result<Self, Errno> {
        rustix::fs::stat(path).map(|stat| Self::from(&stat))
    }

    /// Of the object itself, also where it is a symlink.
    pub fn at(directory: BorrowedFd<'_>, name: &CStr) -> Result<Self, Errno> {
        rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| Self::from(&stat))
    }

    pub fn identity(&self) -> Identity {
        Identity {
            device: self.device,
            inode: self.inode,
        }
    }

    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }

    /// Whether content may differ between two looks at the same file.
    pub fn changed_since(&self, before: &Self) -> bool {
        (self.bytes, self.mtime, self.ctime) != (before.bytes, before.mtime, before.ctime)
    }
}

impl From<&Stat> for Status {
    // The fields' types differ between machines: a cast is needed on some.
    #[allow(clippy::unnecessary_cast)]
    fn from(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            links: stat.st_nlink as u64,
            mode: stat.st_mode as u32,
            uid: stat.st_uid as u32,
            gid: stat.st_gid as u32,
            bytes: u64::try_from(stat.st_size).unwrap_or(0),
            blocks: u64::try_from(stat.st_blocks).unwrap_or(0),
            mtime: Mtime {
                seconds: stat.st_mtime as i64,
                nanoseconds: stat.st_mtime_nsec as u32,
            },
            ctime: Mtime {
                seconds: stat.st_ctime as i64,
                nanoseconds: stat.st_ctime_nsec as u32,
            },
        }
    }
}
