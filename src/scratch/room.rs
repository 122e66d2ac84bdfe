//! How much of a file system is left to others: bytes, and files that can still be made
//! there (inodes). A million empty files take no byte, and every program's next file.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::ANOTHER;

/// Of all that there is, and never more than the limits below.
const LEFT_PART: u64 = 20;
const LEFT_BYTES_MAX: u64 = 1 << 30;
const LEFT_FILES_MAX: u64 = 100_000;
/// Where the place is what was asked for, only enough for a login and a clean-up.
const LAST_FILES_MAX: u64 = 1_000;

/// What may not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserve {
    bytes: u64,
    files: u64,
}

/// There is less of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    Bytes(u64),
    Files(u64),
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(left) => write!(f, "less than {} MiB are left free", left >> 20),
            Self::Files(left) => write!(f, "fewer than {left} more files can be made (inodes)"),
        }
    }
}

impl From<Shortage> for io::Error {
    fn from(shortage: Shortage) -> Self {
        let why = format!("{shortage}; {ANOTHER}");
        Self::new(io::ErrorKind::StorageFull, why)
    }
}

/// A place that grows: it is looked at so often that no more than a little is taken in
/// between.
pub struct Filling<'a> {
    place: BorrowedFd<'a>,
    reserve: Reserve,
    taken_bytes: Cell<u64>,
}

/// Between two looks.
const LOOK_BYTES: u64 = 1 << 20;
const LOOK_FILES: u64 = 64;

impl<'a> Filling<'a> {
    pub fn new(place: BorrowedFd<'a>, reserve: Reserve) -> Self {
        Self {
            place,
            reserve,
            taken_bytes: Cell::new(0),
        }
    }

    /// Another file, or so many more bytes of one.
    pub fn takes(&self, bytes: u64) -> Result<(), Shortage> {
        let taken = self.taken_bytes.get() + bytes.max(LOOK_BYTES / LOOK_FILES);
        if taken < LOOK_BYTES {
            self.taken_bytes.set(taken);
            return Ok(());
        }
        self.taken_bytes.set(0);
        self.reserve.shortage(self.place).map_or(Ok(()), Err)
    }
}

struct Room {
    bytes: u64,
    /// `None` where the file system makes them as it needs them.
    files: Option<u64>,
}

impl Reserve {
    /// Beside what is thrown away again: others use the file system too.
    pub fn for_others(place: impl AsFd) -> Result<Self, rustix::io::Errno> {
        Ok(Self::of(&all(place)?))
    }

    /// Where the operator wants the place filled.
    pub fn at_last(place: impl AsFd) -> Result<Self, rustix::io::Errno> {
        let reserve = Self::of(&all(place)?);
        Ok(Self {
            bytes: 0,
            files: reserve.files.min(LAST_FILES_MAX),
        })
    }

    fn of(all: &Room) -> Self {
        Self {
            bytes: (all.bytes / LEFT_PART).min(LEFT_BYTES_MAX),
            files: (all.files.unwrap_or(0) / LEFT_PART).min(LEFT_FILES_MAX),
        }
    }

    /// What the file system of `place` lacks now. One that does not tell lacks nothing.
    pub fn shortage(&self, place: impl AsFd) -> Option<Shortage> {
        self.shortage_of(&free(place).ok()?)
    }

    fn shortage_of(&self, free: &Room) -> Option<Shortage> {
        if free.bytes < self.bytes {
            return Some(Shortage::Bytes(self.bytes));
        }
        let files = free.files?;
        (files < self.files).then_some(Shortage::Files(self.files))
    }
}

/// Files that can still be made there; `None` where that is not told.
pub fn free_files(place: impl AsFd) -> Option<u64> {
    free(place).ok()?.files
}

fn all(place: impl AsFd) -> Result<Room, rustix::io::Errno> {
    let told = rustix::fs::fstatvfs(place)?;
    Ok(Room {
        bytes: told.f_blocks.saturating_mul(told.f_frsize),
        files: Some(told.f_files).filter(|files| *files > 0),
    })
}

fn free(place: impl AsFd) -> Result<Room, rustix::io::Errno> {
    let told = rustix::fs::fstatvfs(place)?;
    Ok(Room {
        bytes: told.f_bavail.saturating_mul(told.f_frsize),
        files: (told.f_files > 0).then_some(told.f_favail),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(bytes: u64, files: Option<u64>) -> Room {
        Room { bytes, files }
    }

    #[test]
    fn a_twentieth_is_left_of_both_up_to_a_limit() {
        let small = Reserve::of(&room(200 << 20, Some(2_000)));
        assert_eq!((small.bytes, small.files), (10 << 20, 100));
        let large = Reserve::of(&room(1 << 50, Some(1 << 40)));
        assert_eq!((large.bytes, large.files), (1 << 30, 100_000));
        let free = |bytes, files| small.shortage_of(&room(bytes, files));
        assert_eq!(free(10 << 20, Some(100)), None);
        assert_eq!(free(10 << 20, Some(99)), Some(Shortage::Files(100)));
        assert_eq!(
            free((10 << 20) - 1, Some(99)),
            Some(Shortage::Bytes(10 << 20))
        );
        assert_eq!(free(10 << 20, None), None);
    }

    #[test]
    fn where_inodes_are_made_as_they_are_needed_none_is_missing() {
        let left = Reserve::of(&room(1 << 30, None));
        assert_eq!(left.files, 0);
        assert_eq!(left.shortage_of(&room(1 << 30, Some(0))), None);
    }
}
