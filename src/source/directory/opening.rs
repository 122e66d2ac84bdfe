//! Opens what a walk came to. Owns what is told of an object that is not as it was
//! listed: never through a link, never waiting (a fifo may have come in its place).

use std::ffi::CStr;
use std::os::fd::AsFd;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::status::Status;
use super::walk::Found;
use crate::paths::Dir;

pub(super) const REPLACED: &str = "something else took its place while it was read";
pub(super) const OPEN: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOCTTY);

pub(super) fn open_file(parent: &Dir, name: &CStr) -> Result<Found, Errno> {
    let file = rustix::fs::openat(parent, name, OPEN, Mode::empty())?;
    let status = Status::of(&file)?;
    match status.kind() {
        FileType::RegularFile => Ok(Found::File(file, status)),
        _ => Ok(Found::Unreadable(REPLACED.to_owned())),
    }
}

pub(super) fn read_link(parent: &Dir, name: &CStr) -> Result<Found, Errno> {
    let status = Status::at(parent.as_fd(), name)?;
    if status.kind() != FileType::Symlink {
        return Ok(Found::Unreadable(REPLACED.to_owned()));
    }
    let target = rustix::fs::readlinkat(parent, name, Vec::new())?;
    Ok(Found::Symlink(target.into_bytes(), status))
}

/// What became of an object that its directory, the same as ever, has listed.
pub(super) fn unread(errno: Errno) -> Found {
    match errno {
        Errno::NOENT => Found::Vanished,
        Errno::LOOP | Errno::NOTDIR | Errno::NXIO | Errno::INVAL => {
            Found::Unreadable(REPLACED.to_owned())
        }
        errno => Found::Unreadable(errno.to_string()),
    }
}
