//! The way from a held directory down to the present place. Owns which of the
//! directories on it stay open, and how one that was closed is reached again.
//!
//! The topmost stay open, and those near the present place; a descriptor each.
//! Between them a directory is opened again by the names that led there, from
//! the nearest that is held, and must be the one that it was. One that was moved
//! away or replaced is lost, and all below it that was closed with it.
//!
//! On that way some stay open, each twice as far from the present place as the one
//! before: so all of a deep way is come back by in a few openings of each directory,
//! and not in as many as there are above it.

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
    /// Levels in between that stay open, the topmost first.
    between: Vec<usize>,
    #[cfg(test)]
    opened_again: usize,
}

struct Level<T> {
    directory: Option<Arc<Dir>>,
    identity: Identity,
    name: CString,
    lost: Option<Lost>,
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
            between: Vec::new(),
            #[cfg(test)]
            opened_again: 0,
        };
        descent.push(c"", top, value);
        descent
    }

    /// Goes down into `directory`, which is `name` in the present place.
    pub fn push(&mut self, name: &CStr, directory: Arc<Dir>, value: T) {
        let far = self.levels.len().checked_sub(self.held);
        if let Some(far) = far.filter(|&far| far >= self.held) {
            self.levels[far].directory = None;
            self.between.retain(|&at| at != far);
        }
        self.levels.push(Level {
            identity: directory.identity(),
            directory: Some(directory),
            name: name.to_owned(),
            lost: None,
            value,
        });
    }

    /// Leaves the present place, also the top.
    pub fn pop(&mut self) -> Option<Left<T>> {
        let left = self.levels.pop();
        if self.between.last() == Some(&self.levels.len()) {
            self.between.pop();
        }
        left.map(|level| Left {
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
        match (&level.directory, level.lost) {
            (Some(directory), _) => Ok(Arc::clone(directory)),
            (None, Some(lost)) => Err(lost),
            (None, None) => self.reach_again(),
        }
    }

    fn reach_again(&mut self) -> Result<Arc<Dir>, Lost> {
        let nearest = self.levels.iter().rposition(|it| it.directory.is_some());
        let nearest = nearest.ok_or(Lost::Moved)?;
        let mut here = self.levels[nearest].directory.clone().ok_or(Lost::Moved)?;
        self.thin_out();
        for at in nearest + 1..self.levels.len() {
            #[cfg(test)]
            {
                self.opened_again += 1;
            }
            let level = &self.levels[at];
            let why = match here.open_child(&level.name) {
                Ok(there) if there.identity() == level.identity && level.lost.is_none() => {
                    here = Arc::new(there);
                    self.keep(at, &here);
                    continue;
                }
                Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Lost::Moved,
                Err(errno) => Lost::Refused(errno),
            };
            // It is not asked again at each place below it.
            for below in &mut self.levels[at..] {
                below.lost = Some(why);
            }
            return Err(why);
        }
        Ok(here)
    }

    /// Keeps those open that are near the present place, and a few farther ones.
    fn keep(&mut self, at: usize, directory: &Arc<Dir>) {
        let near = self.held.div_ceil(2);
        let distance = self.levels.len() - 1 - at;
        let is_near = distance < near;
        if is_near || distance.is_multiple_of(near) && (distance / near).is_power_of_two() {
            self.levels[at].directory = Some(Arc::clone(directory));
            if !is_near {
                self.between.push(at);
            }
        }
    }

    /// A way that goes up and down leaves more of them behind: then every second is
    /// closed.
    fn thin_out(&mut self) {
        if self.between.len() < self.held.div_ceil(4) {
            return;
        }
        let between = std::mem::take(&mut self.between);
        for pair in between.chunks(2) {
            self.between.push(pair[0]);
            if let Some(&other) = pair.get(1) {
                self.levels[other].directory = None;
            }
        }
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
    fn each_directory_of_a_deep_way_is_opened_again_a_few_times_only() {
        let depth = 12 * HELD_MAX;
        let (_place, mut descent) = way(depth);
        while descent.depth() > 1 {
            descent.pop();
            assert!(descent.reach().is_ok(), "{}", descent.depth());
        }
        let opened = descent.opened_again;
        assert!(opened <= 5 * depth, "{opened} of {depth}");
    }

    /// Down 3, up 2, and so on: what stays open in between must not add up.
    #[test]
    fn a_way_up_and_down_keeps_no_more_open() {
        let (_place, mut descent) = way(3 * HELD_MAX);
        let held = descent.held;
        for round in 0..6 {
            for _ in 0..2 * held {
                descent.pop();
                descent.reach().unwrap();
            }
            for at in 0..3 * held {
                let here = descent.reach().unwrap();
                let below = here.make_child(c"d").or_else(|_| here.open_child(c"d"));
                descent.push(c"d", Arc::new(below.unwrap()), at);
            }
            let open = descent.levels.iter().filter(|it| it.directory.is_some());
            assert!(open.count() <= 3 * held, "{round}");
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
