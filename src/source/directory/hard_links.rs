//! Which file of the archive a further name belongs to. Owns what is remembered of
//! the first names, until the last name of each was seen.
//!
//! A number alone says nothing: while the tree is read a file is removed, and the
//! next one that anybody makes gets its inode. Two names are of one file where its
//! birth is the same too, which nobody can set, and what else is told of it.
//!
//! A further name may never come: it is left out, or outside of the tree. So names
//! share what is above them, as on the disk, and all together stay below a bound.

use std::collections::HashMap;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, StatxFlags};

use super::status::Status;
use crate::format::tar::Mtime;

/// Of names that wait for further ones, a million of them for one.
const HELD_BYTES_MAX: usize = 256 << 20;
/// What one of them holds besides its own bytes, the table's free places too.
const FIRST_BYTES: usize = 2 * size_of::<((u64, u64), FirstName)>();

#[derive(Default)]
pub(super) struct HardLinks {
    first: HashMap<(u64, u64), FirstName>,
    /// That hold such files, each below an earlier one.
    directories: Vec<Directory>,
    /// The last path's, from the top, in `directories`.
    way: Vec<usize>,
    held_bytes: usize,
    is_full: bool,
}

struct Directory {
    above: Option<usize>,
    name: Box<[u8]>,
}

struct FirstName {
    directory: Option<usize>,
    name: Box<[u8]>,
    names_left: u64,
    status: Status,
    birth: Option<Mtime>,
}

/// Told once.
#[derive(Debug, thiserror::Error)]
#[error(
    "more files with further names than can be remembered: from here on a name may be stored as \
     a file of its own"
)]
pub(super) struct TooMany;

impl HardLinks {
    /// Remembers `path` if more names than that are to come.
    pub fn add(
        &mut self,
        path: &[u8],
        status: &Status,
        birth: Option<Mtime>,
    ) -> Result<(), TooMany> {
        if status.links < 2 {
            return Ok(());
        }
        if self.held_bytes >= HELD_BYTES_MAX {
            return match std::mem::replace(&mut self.is_full, true) {
                true => Ok(()),
                false => Err(TooMany),
            };
        }
        let mut parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        let name = parts.pop().unwrap_or_default();
        let first = FirstName {
            directory: self.directory(&parts),
            name: name.into(),
            names_left: status.links - 1,
            status: *status,
            birth,
        };
        self.held_bytes += first.held_bytes();
        let replaced = self.first.insert((status.device, status.inode), first);
        self.release(replaced);
        Ok(())
    }

    /// The one of these names, from the top.
    fn directory(&mut self, names: &[&[u8]]) -> Option<usize> {
        let ways = self.way.iter().zip(names);
        let common = ways.take_while(|(at, name)| *self.directories[**at].name == ***name);
        let common = common.count();
        self.way.truncate(common);
        for name in &names[common..] {
            self.directories.push(Directory {
                above: self.way.last().copied(),
                name: (*name).into(),
            });
            self.held_bytes += 2 * size_of::<Directory>() + name.len();
            self.way.push(self.directories.len() - 1);
        }
        self.way.last().copied()
    }

    fn path(&self, first: &FirstName) -> Vec<u8> {
        let mut parts = vec![&*first.name];
        let mut next = first.directory;
        while let Some(directory) = next.map(|at| &self.directories[at]) {
            parts.push(&directory.name);
            next = directory.above;
        }
        parts.reverse();
        parts.join(&b'/')
    }

    fn release(&mut self, first: Option<FirstName>) {
        self.held_bytes -= first.map_or(0, |first| first.held_bytes());
    }

    /// The first name of the very same file. Where it cannot be told, the file is
    /// one of its own: written twice is better than lost.
    pub fn further(&mut self, status: &Status, birth: Option<Mtime>) -> Option<Vec<u8>> {
        if status.links < 2 {
            return None;
        }
        let key = (status.device, status.inode);
        let first = self.first.get_mut(&key)?;
        first.names_left = first.names_left.saturating_sub(1);
        let (is_same, is_last) = (first.is_same(status, birth), first.names_left == 0);
        let path = is_same.then(|| self.path(&self.first[&key]));
        if !is_same || is_last {
            let first = self.first.remove(&key);
            self.release(first);
        }
        path
    }
}

impl FirstName {
    fn held_bytes(&self) -> usize {
        FIRST_BYTES + self.name.len()
    }

    /// Each link that is made or removed sets a new ctime: it must be the same only
    /// where the file system knows no birth.
    fn is_same(&self, status: &Status, birth: Option<Mtime>) -> bool {
        let told = |it: &Status| (it.mode, it.uid, it.gid, it.bytes, it.mtime);
        let same_birth = match (self.birth, birth) {
            (Some(first), Some(birth)) => first == birth,
            _ => self.status.ctime == status.ctime,
        };
        same_birth && told(&self.status) == told(status)
    }
}

/// When the file was made; `None` where its file system does not know.
pub(super) fn birth(file: impl AsFd) -> Option<Mtime> {
    let told = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BTIME).ok()?;
    (told.stx_mask & StatxFlags::BTIME.bits() != 0).then_some(Mtime {
        seconds: told.stx_btime.tv_sec,
        nanoseconds: told.stx_btime.tv_nsec,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Mtime = Mtime {
        seconds: 1,
        nanoseconds: 0,
    };
    const THIRD: Mtime = Mtime {
        seconds: 1,
        nanoseconds: 4_000_000,
    };

    fn file() -> Status {
        Status {
            device: 1,
            inode: 2,
            links: 3,
            mode: 0o100_644,
            uid: 4,
            gid: 5,
            bytes: 6,
            blocks: 8,
            mtime: SECOND,
            ctime: SECOND,
        }
    }

    #[test]
    fn a_file_that_got_the_number_of_another_is_no_further_name_of_it() {
        let others = [
            (Status { uid: 9, ..file() }, Some(SECOND)),
            (Status { gid: 9, ..file() }, Some(SECOND)),
            (Status { mode: 9, ..file() }, Some(SECOND)),
            (Status { bytes: 9, ..file() }, Some(SECOND)),
            (
                Status {
                    mtime: THIRD,
                    ..file()
                },
                Some(SECOND),
            ),
            (file(), Some(THIRD)),
            (
                Status {
                    ctime: THIRD,
                    ..file()
                },
                None,
            ),
        ];
        for (status, birth) in others {
            let mut links = HardLinks::default();
            links
                .add(b"first", &file(), birth.and(Some(SECOND)))
                .unwrap();
            assert_eq!(links.further(&status, birth), None, "{status:?} {birth:?}");
        }
    }

    #[test]
    fn each_name_of_a_file_is_known_also_when_another_link_was_made() {
        let mut links = HardLinks::default();
        links.add(b"first", &file(), Some(SECOND)).unwrap();
        let linked = Status {
            ctime: THIRD,
            links: 4,
            ..file()
        };
        for wanted in [Some(b"first".to_vec()), Some(b"first".to_vec()), None] {
            assert_eq!(links.further(&linked, Some(SECOND)), wanted);
        }
        links.add(b"first", &file(), None).unwrap();
        assert!(links.further(&file(), None).is_some());
    }
    fn numbered(inode: u64) -> Status {
        Status { inode, ..file() }
    }

    #[test]
    fn each_path_comes_back_as_it_was() {
        let paths = [
            "a", "d/a", "d/e/a", "d/e/b", "d/f/a", "e/f/a", "e/f", "d/e/c",
        ];
        let mut links = HardLinks::default();
        for (path, inode) in paths.iter().zip(0..) {
            links.add(path.as_bytes(), &numbered(inode), None).unwrap();
        }
        for (path, inode) in paths.iter().zip(0..) {
            let first = links.further(&numbered(inode), None);
            assert_eq!(first.unwrap(), path.as_bytes());
        }
    }

    #[test]
    fn files_of_a_deep_directory_whose_other_names_never_come_are_held_by_their_own_names() {
        let mut links = HardLinks::default();
        let above = vec!["d".repeat(255); 62].join("/");
        for inode in 0..6_000 {
            let path = format!("{above}/{inode}");
            links.add(path.as_bytes(), &numbered(inode), None).unwrap();
        }
        assert!(links.held_bytes < 8 << 20, "{}", links.held_bytes);
    }

    #[test]
    fn what_is_held_is_bounded_and_that_is_told_once() {
        let mut links = HardLinks::default();
        let name = "n".repeat(1 << 20);
        let told = (0..300).filter(|inode| {
            let added = links.add(name.as_bytes(), &numbered(*inode), None);
            added.is_err()
        });
        assert_eq!(told.count(), 1);
        assert!(links.held_bytes < HELD_BYTES_MAX + (2 << 20));
        assert!(links.further(&numbered(0), None).is_some());
        assert!(links.further(&numbered(299), None).is_none());
    }
}
