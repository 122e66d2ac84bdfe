//! The way from a held directory down to the present place. Owns which of the
//! directories on it stay open, and how one that was closed is reached again.
//!
//! The topmost stay open, and those near the present place; a descriptor each.
//! Between them a directory is opened again by the names that led there, from
//! the nearest that is held, and must be the one that it was. One that was moved
//! away or replaced is lost, and all below it that was closed with it.

use std::ffi::{CStr, CString};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::{Dir, Identity};

/// So many directories at the top, and as many at the present place, stay open
/// unless the process may open few files.
const HELD_MAX: usize = 128;
const HELD_MIN: usize = 4;

pub struct Descent<T> {
    levels: Vec<Level<T>>,
    held: usize,
}

struct Level<T> {
    directory: Option<Arc<Dir>>,
    identity: Identity,
    name: CString,
    lost: bool,
    value: T,
}

/// A directory that was left.
pub struct Left<T> {
    pub name: CString,
    pub identity: Identity,
    pub value: T,
}

/// Why a directory on the way is not reached any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Under its name is nothing, or something else.
    Moved,
    Refused(Errno),
}

impl<T> Descent<T> {
    pub fn new(top: Arc<Dir>, value: T) -> Self {
        let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let held = usize::try_from(allowed / 8).unwrap_or(HELD_MAX);
        let mut descent = Self {
            levels: Vec::new(),
            held: held.clamp(HELD_MIN, HELD_MAX),
        };
        descent.push(c"", top, value);
        descent
    }

    /// Goes down into `directory`, which is `name` in the present place.
    pub fn push(&mut self, name: &CStr, directory: Arc<Dir>, value: T) {
        let far = self.levels.len().checked_sub(self.held);
        if let Some(far) = far.filter(|&far| far >= self.held) {
            self.levels[far].directory = None;
        }
        self.levels.push(Level {
            identity: directory.identity(),
            directory: Some(directory),
            name: name.to_owned(),
            lost: false,
            value,
        });
    }

    /// Leaves the present place, also the top.
    pub fn pop(&mut self) -> Option<Left<T>> {
        self.levels.pop().map(|level| Left {
            name: level.name,
            identity: level.identity,
            value: level.value,
        })
    }

    pub fn depth(&self) -> usize {
        self.levels.len()
    }

    /// What was pushed with the present place.
    pub fn value(&mut self) -> Option<&mut T> {
        self.levels.last_mut().map(|level| &mut level.value)
    }

    pub fn top(&self) -> Option<&Arc<Dir>> {
        self.levels.first()?.directory.as_ref()
    }

    /// The present place, if it was not closed since it was pushed.
    pub fn held(&self) -> Option<&Arc<Dir>> {
        self.levels.last()?.directory.as_ref()
    }

    /// The present place and its name, opened again if need be.
    pub fn reach(&mut self) -> Result<Arc<Dir>, Lost> {
        let Some(level) = self.levels.last() else {
            return Err(Lost::Moved);
        };
        match &level.directory {
            Some(directory) => Ok(Arc::clone(directory)),
            None if level.lost => Err(Lost::Moved),
            None => self.reach_again(),
        }
    }

    fn reach_again(&mut self) -> Result<Arc<Dir>, Lost> {
        let nearest = self.levels.iter().rposition(|it| it.directory.is_some());
        let nearest = nearest.ok_or(Lost::Moved)?;
        let mut here = self.levels[nearest].directory.clone().ok_or(Lost::Moved)?;
        let keep_from = self.levels.len().saturating_sub(self.held.div_ceil(2));
        for at in nearest + 1..self.levels.len() {
            let level = &mut self.levels[at];
            match here.open_child(&level.name) {
                Ok(there) if there.identity() == level.identity && !level.lost => {
                    here = Arc::new(there);
                }
                Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                    for below in &mut self.levels[at..] {
                        below.lost = true;
                    }
                    return Err(Lost::Moved);
                }
                Err(errno) => return Err(Lost::Refused(errno)),
            }
            if at >= keep_from {
                level.directory = Some(Arc::clone(&here));
            }
        }
        Ok(here)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn open(path: &Path) -> Arc<Dir> {
        let mut here = Dir::root().unwrap();
        for part in path.iter().skip(1) {
            let name = CString::new(part.as_encoded_bytes()).unwrap();
            here = here.open_child(&name).unwrap();
        }
        Arc::new(here)
    }

    /// A way down of `depth` directories that are all named `d`.
    fn way(depth: usize) -> (tempfile::TempDir, Descent<usize>) {
        let place = tempfile::tempdir().unwrap();
        let mut descent = Descent::new(open(place.path()), 0);
        for at in 1..=depth {
            let here = descent.reach().unwrap();
            let below = here.make_child(c"d").unwrap();
            descent.push(c"d", Arc::new(below), at);
        }
        (place, descent)
    }

    #[test]
    fn a_way_of_any_depth_is_come_back_by_whole() {
        let depth = 5 * HELD_MAX;
        let (_place, mut descent) = way(depth);
        let open = |descent: &Descent<usize>| {
            let levels = descent.levels.iter();
            levels.filter(|level| level.directory.is_some()).count()
        };
        assert!(open(&descent) <= 2 * HELD_MAX);
        for at in (1..=depth).rev() {
            assert!(descent.reach().is_ok(), "{at}");
            assert!(open(&descent) <= 2 * HELD_MAX + HELD_MAX / 2);
            assert_eq!(descent.pop().map(|left| left.value), Some(at));
        }
    }

    #[test]
    fn what_was_moved_is_lost_and_what_is_above_it_is_not() {
        let (place, mut descent) = way(4 * HELD_MAX);
        let cut = descent.held + 10;
        let at = |depth: usize| place.path().join(vec!["d"; depth].join("/"));
        fs::rename(at(cut), place.path().join("elsewhere")).unwrap();
        // What took its place is not taken for it.
        fs::create_dir_all(at(cut + 1)).unwrap();
        let mut lost = 0;
        while let Some(depth) = descent.value().copied() {
            match descent.reach() {
                Ok(_) => {}
                Err(Lost::Moved) => {
                    assert!(depth >= cut, "{depth}");
                    lost += 1;
                }
                Err(other) => panic!("{other:?}"),
            }
            descent.pop();
        }
        assert!(lost > HELD_MAX, "{lost}");
    }
}
