//! A destination that cannot be replaced by a rename: a mount point, a new file system
//! with its `lost+found`, a directory whose parent others keep. It is filled from a
//! staging directory in it, and stays the directory that it was.
//!
//! Owns when that is so, and the step that moves the tree up. Invariants: nothing that
//! stands in the destination is replaced, and what cannot be moved whole is moved back.

use std::ffi::{CStr, CString};
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;

use rustix::fs::{Access, AtFlags, FileType, Mode, RenameFlags, Stat};
use rustix::io::Errno;

use super::names::is_staging_name;
use crate::paths::{Chain, Dir, Identity, Leaf, remove_child};

/// What a file system is born with.
const LOST_AND_FOUND: &CStr = c"lost+found";
const STICKY: u32 = 0o1000;

/// How far a tree came that did not come up whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stuck {
    /// All of it is in its staging place again.
    Back(Errno),
    Between(Errno),
}

/// Whether the directory `leaf` of `way`, which must be empty, has to be filled where it
/// stands.
pub(super) fn is_needed(way: &Chain, leaf: &Leaf) -> io::Result<bool> {
    let directory = way.last().open_child(&leaf.name)?;
    let names = names_in(&directory)?;
    if let Some(name) = names.iter().find(|name| !is_passed_over(name)) {
        let why = format!(
            "it is not empty: {} is there; name a new or empty directory",
            name.to_string_lossy()
        );
        return Err(io::Error::new(ErrorKind::DirectoryNotEmpty, why));
    }
    let is_mount_point = directory.mount() != way.last().mount();
    Ok(is_mount_point || !names.is_empty() || !may_replace(way.last(), &directory.stat()?)?)
}

/// Whether `directory` is free but for the staging directory `own`.
pub(super) fn is_free(directory: &Dir, own: &CStr) -> Result<bool, Errno> {
    let names = names_in(&directory.readable()?)?;
    Ok(names
        .iter()
        .all(|name| **name == *own || **name == *LOST_AND_FOUND))
}

/// What a killed run left is swept before anything else comes.
fn is_passed_over(name: &CString) -> bool {
    **name == *LOST_AND_FOUND || is_staging_name(name.to_bytes())
}

/// Whether this user may exchange what `old` is in `parent`.
fn may_replace(parent: &Dir, old: &Stat) -> Result<bool, Errno> {
    let wanted = Access::WRITE_OK | Access::EXEC_OK;
    let asked = rustix::fs::accessat(parent, c".", wanted, AtFlags::EACCESS);
    // Where it cannot be asked, the rename tells.
    if matches!(asked, Err(Errno::ACCESS | Errno::PERM | Errno::ROFS)) {
        return Ok(false);
    }
    let own = rustix::process::geteuid();
    let stat = parent.stat()?;
    let is_kept = stat.st_mode & STICKY != 0;
    let owners = [stat.st_uid, old.st_uid];
    Ok(own.is_root() || !is_kept || owners.contains(&own.as_raw()))
}

/// Moves all that is in `tree` into `to`.
pub(super) fn move_up(tree: &Dir, to: &Dir) -> Result<(), Stuck> {
    let names = tree.readable().and_then(|tree| names_in(&tree));
    let mut moved: Vec<CString> = Vec::new();
    for name in names.map_err(Stuck::Back)? {
        match move_one(tree, to, &name) {
            Ok(()) => moved.push(name),
            Err(errno) => {
                let back = moved.iter().rev().map(|name| move_one(to, tree, name));
                return Err(match back.collect::<Result<(), Errno>>() {
                    Ok(()) => Stuck::Back(errno),
                    Err(_) => Stuck::Between(errno),
                });
            }
        }
    }
    Ok(())
}

fn move_one(from: &Dir, to: &Dir, name: &CStr) -> Result<(), Errno> {
    let stat = from.look(name)?;
    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let mode = Mode::from_raw_mode(stat.st_mode);
    // To be moved, a directory must be writable for all but root.
    let shut = is_directory && !mode.contains(Mode::WUSR);
    let held = match is_directory {
        true => Some(from.step(name)?),
        false => None,
    };
    if let Some(held) = held.as_ref().filter(|_| shut) {
        held.set_mode(mode | Mode::WUSR)?;
    }
    let renamed = match rename(from, to, name) {
        Err(Errno::EXIST) if is_directory && *name == *LOST_AND_FOUND => {
            drop_empty(from, name, Identity::of(&stat))
        }
        renamed => renamed,
    };
    match held.filter(|_| shut) {
        Some(held) => held.set_mode(mode).and(renamed),
        None => renamed,
    }
}

/// The one that is there already is as good.
fn drop_empty(from: &Dir, name: &CStr, identity: Identity) -> Result<(), Errno> {
    remove_child(from, name, identity).map_err(|_| Errno::EXIST)
}

fn rename(from: &Dir, to: &Dir, name: &CStr) -> Result<(), Errno> {
    match rustix::fs::renameat_with(from, name, to, name, RenameFlags::NOREPLACE) {
        // File systems that know no such flag.
        Err(Errno::INVAL | Errno::NOSYS) => match to.look(name) {
            Err(Errno::NOENT) => rustix::fs::renameat(from, name, to, name),
            Ok(_) => Err(Errno::EXIST),
            Err(errno) => Err(errno),
        },
        renamed => renamed,
    }
}

fn names_in(directory: &Dir) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    directory.list(&mut Vec::new(), |entry| {
        names.push(entry.name.to_owned());
        ControlFlow::Continue(())
    })?;
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Two directories in a third, which is held.
    fn pair() -> (tempfile::TempDir, Dir, Dir) {
        let place = tempfile::tempdir().unwrap();
        let open = |name: &str| {
            let path = place.path().join(name);
            fs::create_dir(&path).unwrap();
            let chain = Chain::to_directory(&path).unwrap();
            chain.last().readable().unwrap()
        };
        let (from, to) = (open("from"), open("to"));
        (place, from, to)
    }

    #[test]
    fn what_stands_there_is_replaced_by_nothing_and_all_comes_back() {
        let (place, from, to) = pair();
        for path in ["from/a", "from/b", "from/c", "to/b"] {
            fs::write(place.path().join(path), path).unwrap();
        }
        assert_eq!(move_up(&from, &to), Err(Stuck::Back(Errno::EXIST)));
        for path in ["from/a", "from/b", "from/c", "to/b"] {
            let read = fs::read(place.path().join(path)).unwrap();
            assert_eq!(read, path.as_bytes());
        }
        assert_eq!(
            names_in(&to.readable().unwrap()).unwrap(),
            [c"b".to_owned()]
        );
    }

    #[test]
    fn an_empty_lost_and_found_gives_way_to_the_one_that_is_there() {
        let (place, from, to) = pair();
        for path in ["from/lost+found", "to/lost+found", "from/d"] {
            fs::create_dir(place.path().join(path)).unwrap();
        }
        assert_eq!(move_up(&from, &to), Ok(()));
        assert!(names_in(&from.readable().unwrap()).unwrap().is_empty());
        assert!(place.path().join("to/d").is_dir());
        // One that holds something is a conflict.
        fs::create_dir(place.path().join("from/lost+found")).unwrap();
        fs::write(place.path().join("from/lost+found/#1"), "x").unwrap();
        assert_eq!(move_up(&from, &to), Err(Stuck::Back(Errno::EXIST)));
    }
}
