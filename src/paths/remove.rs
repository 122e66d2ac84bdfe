//! Removes a tree from a directory that is held. Owns the order, the deepest
//! first, and what becomes of what cannot be removed: it stays, the rest goes,
//! and the first reason is told.
//!
//! Only what is in a directory that was reached from the held one is removed: no
//! link is followed, no mount entered, and a directory that was moved or replaced
//! meanwhile stays with what is left in it.

use std::ffi::{CStr, CString};
use std::ops::ControlFlow;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use super::{Descent, Dir, Identity, Lost, Mount};

/// A file system may pass over names while others are removed; and somebody may
/// make new ones without end.
const PASSES: usize = 3;

/// Removes `tree`, the directory `name` in `parent`, with all that is in it.
pub fn remove_tree(parent: &Dir, name: &CStr, tree: Dir) -> Result<(), Errno> {
    let identity = tree.identity();
    let mut removal = Removal {
        mount: tree.mount(),
        listing: Vec::new(),
        failed: None,
    };
    removal.empty(Arc::new(tree));
    match removal.failed {
        Some(errno) => Err(errno),
        None => remove_child(parent, name, identity),
    }
}

/// Removes the directory `name`, which must be empty and the one meant.
pub fn remove_child(parent: &Dir, name: &CStr, identity: Identity) -> Result<(), Errno> {
    match parent.holds(name, identity) {
        true => rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR),
        false => Err(Errno::NOENT),
    }
}

struct Removal {
    mount: Mount,
    listing: Vec<u8>,
    failed: Option<Errno>,
}

impl Removal {
    fn fail(&mut self, errno: Errno) {
        self.failed.get_or_insert(errno);
    }

    fn empty(&mut self, top: Arc<Dir>) {
        let below = self.unlink_files(&top);
        let mut way = Descent::new(top, below);
        loop {
            match way.value().map(Vec::pop) {
                Some(Some(name)) => self.enter(&mut way, &name),
                Some(None) if way.depth() > 1 => self.leave(&mut way),
                Some(None) | None => return,
            }
        }
    }

    fn enter(&mut self, way: &mut Descent<Vec<CString>>, name: &CStr) {
        let entered = way.reach().map_err(errno_of).and_then(|here| {
            // A restored directory may forbid its own owner to empty it.
            let below = here.open_own_child(name)?;
            match below.mount() == self.mount {
                true => Ok(below),
                false => Err(Errno::BUSY),
            }
        });
        match entered {
            Ok(below) => {
                let names = self.unlink_files(&below);
                way.push(name, Arc::new(below), names);
            }
            Err(errno) => self.fail(errno),
        }
    }

    fn leave(&mut self, way: &mut Descent<Vec<CString>>) {
        let Some(left) = way.pop() else {
            return;
        };
        let removed = way
            .reach()
            .map_err(errno_of)
            .and_then(|here| remove_child(&here, &left.name, left.identity));
        if let Err(errno) = removed {
            self.fail(errno);
        }
    }

    /// Removes what is no directory, and returns the names of what is one.
    fn unlink_files(&mut self, here: &Dir) -> Vec<CString> {
        let mut directories = Vec::new();
        for pass in 0..PASSES {
            directories.clear();
            if pass > 0
                && let Err(errno) = here.rewind()
            {
                self.fail(errno);
            }
            let (mut removed, mut failed) = (false, None);
            let listed = here.list(&mut self.listing, |entry| {
                let kind = match entry.kind {
                    FileType::Unknown => here.look(entry.name).map_or(FileType::Unknown, |stat| {
                        FileType::from_raw_mode(stat.st_mode)
                    }),
                    known => known,
                };
                if kind == FileType::Directory {
                    directories.push(entry.name.to_owned());
                    return ControlFlow::Continue(());
                }
                match rustix::fs::unlinkat(here, entry.name, AtFlags::empty()) {
                    Ok(()) => removed = true,
                    Err(Errno::NOENT) => {}
                    Err(errno) => failed = Some(errno),
                }
                ControlFlow::Continue(())
            });
            if let Some(errno) = failed.or(listed.err()) {
                self.fail(errno);
                return directories;
            }
            if !removed {
                break;
            }
        }
        directories
    }
}

fn errno_of(lost: Lost) -> Errno {
    match lost {
        Lost::Moved => Errno::NOENT,
        Lost::Refused(errno) => errno,
    }
}
