//! Which file of the archive a further name belongs to. Owns what is remembered of
//! the first names, until the last name of each was seen.
//!
//! A number alone says nothing: while the tree is read a file is removed, and the
//! next one that anybody makes gets its inode. Two names are of one file where its
//! birth is the same too, which nobody can set, and what else is told of it.

use std::collections::HashMap;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, StatxFlags};

use super::status::Status;
use crate::format::tar::Mtime;

#[derive(Default)]
pub(super) struct HardLinks {
    first: HashMap<(u64, u64), FirstName>,
}

struct FirstName {
    path: Vec<u8>,
    names_left: u64,
    status: Status,
    birth: Option<Mtime>,
}

impl HardLinks {
    /// Remembers `path` if more names than that are to come.
    pub fn add(&mut self, path: &[u8], status: &Status, birth: Option<Mtime>) {
        if status.links > 1 {
            let first = FirstName {
                path: path.to_vec(),
                names_left: status.links - 1,
                status: *status,
                birth,
            };
            self.first.insert((status.device, status.inode), first);
        }
    }

    /// The first name of the very same file. Where it cannot be told, the file is
    /// one of its own: written twice is better than lost.
    pub fn further(&mut self, status: &Status, birth: Option<Mtime>) -> Option<Vec<u8>> {
        if status.links < 2 {
            return None;
        }
        let key = (status.device, status.inode);
        let first = self.first.get_mut(&key)?;
        if !first.is_same(status, birth) {
            self.first.remove(&key);
            return None;
        }
        first.names_left = first.names_left.saturating_sub(1);
        let path = first.path.clone();
        if first.names_left == 0 {
            self.first.remove(&key);
        }
        Some(path)
    }
}

impl FirstName {
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
            links.add(b"first", &file(), birth.and(Some(SECOND)));
            assert_eq!(links.further(&status, birth), None, "{status:?} {birth:?}");
        }
    }

    #[test]
    fn each_name_of_a_file_is_known_also_when_another_link_was_made() {
        let mut links = HardLinks::default();
        links.add(b"first", &file(), Some(SECOND));
        let linked = Status {
            ctime: THIRD,
            links: 4,
            ..file()
        };
        for wanted in [Some(b"first".to_vec()), Some(b"first".to_vec()), None] {
            assert_eq!(links.further(&linked, Some(SECOND)), wanted);
        }
        links.add(b"first", &file(), None);
        assert!(links.further(&file(), None).is_some());
    }
}
