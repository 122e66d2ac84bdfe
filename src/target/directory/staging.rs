//! The place where a tree grows out of everybody's reach, and the step that puts
//! it at its destination. Owns the staging directory: dropping it removes what is
//! there.
//!
//! Refuses a destination that holds anything. It lies beside the destination; where
//! others could write there and we are root, in the deepest directory above that only
//! root can write to; and in the destination itself where no rename can replace that.
//! Invariants: the destination is untouched until [`Staging::publish`], which puts
//! the whole tree there in one rename, or [`Staging::fill`], which moves it up; and
//! until then nobody but this user reaches anything of it: the tree lies in a
//! directory of mode 0700 that stays ours, whomever the tree itself is given to.
//!
//! A staging directory is locked while its run lives. What a killed run left is
//! unlocked, and the next restore to the same place removes it.

use std::ffi::{CStr, CString};
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode};
use rustix::io::Errno;

use super::inside::{self, Stuck};
use super::names::{is_staging_name, staging_name};
use crate::format::posix_acl;
use crate::paths::{Chain, Dir, Leaf, remove_child, remove_tree};
use crate::reached::Reached;
use crate::target::TargetError;

/// The tree's name in its staging directory.
const TREE: &CStr = c"tree";
/// A file beside it that says what the directory is: others may be able to give
/// a directory of ours another name, but not to put a file into it.
const SIGN: &CStr = c".kluis-staging";
/// A staging directory can only be lost to a sweep in the instant before it is
/// locked.
const ATTEMPTS: usize = 16;

/// A destination that was found new or empty, and the way to it.
#[derive(Debug)]
pub(super) struct Destination {
    way: Chain,
    name: CString,
    path: PathBuf,
    /// The way to the destination itself, where that is to be filled as it stands.
    inside: Option<Chain>,
}

pub(super) struct Staging {
    destination: Arc<Destination>,
    /// Where the staging directory lies, to be read.
    holder: Dir,
    name: CString,
    /// Our own to the end.
    wall: Dir,
    root: Arc<Dir>,
    published: bool,
}

impl Destination {
    /// Looks, writes nothing.
    pub fn check(path: &Path) -> Result<Self, TargetError> {
        let place = |source| TargetError::Place {
            action: "restore into",
            place: path.display().to_string(),
            source,
        };
        let (way, leaf) = Chain::to_parent(path).map_err(place)?;
        way.refuse_led(None).map_err(place)?;
        let inside = match is_filled(&way, &leaf).map_err(place)? {
            true => Some(Chain::to_directory(path).map_err(place)?),
            false => None,
        };
        let shown = way.path().join(name_of(&leaf.name));
        let destination = Self {
            way,
            name: leaf.name,
            path: shown,
            inside,
        };
        destination.holder().map_err(place)?;
        Ok(destination)
    }

    /// Where the staging directory goes, to be read.
    fn holder(&self) -> io::Result<Dir> {
        let way = self.inside.as_ref().unwrap_or(&self.way);
        if way.is_trusted() || !rustix::process::geteuid().is_root() {
            return Ok(way.last().readable()?);
        }
        let above = way.deepest_trusted().filter(|_| self.inside.is_none());
        match above {
            Some((dir, _)) => Ok(dir.readable()?),
            None => {
                let why = format!(
                    "others than root can write to {}, and no directory above it on its file \
                     system is safe from them; restore as the user whose directory it is, or into \
                     a directory that only root can write to, and move the tree from there",
                    way.path().display()
                );
                Err(io::Error::new(ErrorKind::PermissionDenied, why))
            }
        }
    }
}

impl Staging {
    pub fn create(destination: &Arc<Destination>) -> Result<Self, TargetError> {
        let place = |source| TargetError::Place {
            action: "make a place to restore beside",
            place: destination.path.display().to_string(),
            source,
        };
        let failed = |errno: Errno| place(errno.into());
        let holder = destination.holder().map_err(place)?;
        sweep(&holder);
        let parent = destination.way.last();
        if parent.identity() != holder.identity()
            && let Ok(parent) = parent.readable()
        {
            // Of runs that were not root's, or found it safe.
            sweep(&parent);
        }
        for _ in 0..ATTEMPTS {
            let name = staging_name(&destination.name).map_err(place)?;
            let Some(wall) = make_locked(&holder, &name).map_err(failed)? else {
                continue;
            };
            forget_acls(&wall).map_err(failed)?;
            drop(wall.create_file(SIGN).map_err(failed)?);
            let root = Arc::new(wall.make_child(TREE).map_err(failed)?);
            let staging = Self {
                destination: Arc::clone(destination),
                holder,
                name,
                wall,
                root,
                published: false,
            };
            staging.check_free().map_err(place)?;
            return Ok(staging);
        }
        Err(place(io::Error::other("it was swept away again and again")))
    }

    pub fn root(&self) -> &Arc<Dir> {
        &self.root
    }

    /// The destination where it is filled as it stands.
    pub fn filled(&self) -> Option<&Dir> {
        self.destination.inside.as_ref().map(|_| &self.holder)
    }

    /// Nobody put anything beside the staging directory, another restore neither.
    fn check_free(&self) -> io::Result<()> {
        if self.filled().is_none() || inside::is_free(&self.holder, &self.name)? {
            return Ok(());
        }
        let why = "it is not empty any more: another restore, or somebody, is at work there";
        Err(io::Error::new(ErrorKind::DirectoryNotEmpty, why))
    }

    /// In place of [`Staging::publish`]: moves what is in the tree up into its
    /// destination. `set` gives that what the root is to have.
    pub fn fill(
        &mut self,
        set: impl FnOnce(&Dir) -> Result<(), TargetError>,
        reached: &mut Reached,
    ) -> Result<(), TargetError> {
        let path = self.destination.path.display().to_string();
        let place = |action| {
            let place = path.clone();
            move |source: io::Error| TargetError::Place {
                action,
                place,
                source,
            }
        };
        rustix::fs::syncfs(&self.root)
            .map_err(|errno| place("bring to the disk what was restored for")(errno.into()))?;
        let moving = place("move the restored tree into");
        if let Err(error) = self.check_free() {
            return Err(moving(error));
        }
        if let Err(stuck) = inside::move_up(&self.root, &self.holder) {
            let (Stuck::Back(errno) | Stuck::Between(errno)) = stuck;
            if let Stuck::Between(_) = stuck {
                *reached = Reached::Unknown {
                    look: "a part of it may be there".to_owned(),
                };
            }
            return Err(moving(errno.into()));
        }
        self.published = true;
        *reached = Reached::Swapped;
        // Before the last: it changes the destination's time, or may be forbidden then.
        let _ = remove_child(&self.wall, TREE, self.root.identity());
        self.remove_wall();
        set(&self.holder)?;
        self.holder
            .sync()
            .map_err(|errno| place("sync the directory")(errno.into()))?;
        let way = self.destination.inside.as_ref();
        self.end_at(way.is_none_or(Chain::still_leads_there), reached)
    }

    /// Brings everything to the disk and the tree to its destination. The order
    /// matters: content first, then the name, then the name's directory. `last`
    /// is a mode that the root gets there: with it, this user could not move it.
    pub fn publish(
        &mut self,
        last: Option<Mode>,
        reached: &mut Reached,
    ) -> Result<(), TargetError> {
        let path = self.destination.path.display().to_string();
        let place = |action| {
            let place = path.clone();
            move |errno: Errno| TargetError::Place {
                action,
                place,
                source: errno.into(),
            }
        };
        rustix::fs::syncfs(&self.root).map_err(place("bring to the disk what was restored for"))?;
        let parent = self.destination.way.last();
        let name = &self.destination.name;
        self.wall
            .publish(TREE, &self.root, parent, name)
            .map_err(place("put the restored tree at"))?;
        self.published = true;
        *reached = Reached::Swapped;
        if let Some(mode) = last {
            rustix::fs::fchmod(&self.root, mode).map_err(place("set the mode of"))?;
        }
        let synced = parent
            .readable()
            .and_then(|parent| parent.sync())
            .map_err(place("sync the directory above"));
        self.remove_wall();
        synced?;
        let is_there = parent.holds(name, self.root.identity());
        self.end_at(
            is_there && self.destination.way.still_leads_there(),
            reached,
        )
    }

    /// The last word: whether the tree is where it was to go.
    fn end_at(&self, is_there: bool, reached: &mut Reached) -> Result<(), TargetError> {
        if is_there {
            return Ok(());
        }
        *reached = Reached::Unknown {
            look: "it is whole, but not there".to_owned(),
        };
        Err(TargetError::Displaced {
            place: self.destination.path.display().to_string(),
        })
    }

    /// What is left of it once the tree is at its destination.
    fn remove_wall(&self) {
        // What stays is signed, and the next sweep's.
        let _ = rustix::fs::unlinkat(&self.wall, SIGN, AtFlags::empty());
        let _ = remove_child(&self.holder, &self.name, self.wall.identity());
    }

    /// Takes it away unless it is published; names what stays.
    pub fn remove(&mut self) -> Option<String> {
        if std::mem::replace(&mut self.published, true) {
            return None;
        }
        let wall = self.wall.readable();
        let removed = wall.and_then(|wall| remove_tree(&self.holder, &self.name, wall));
        let name = self.name.to_string_lossy();
        removed
            .is_err()
            .then(|| format!("the staging directory {name}"))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure; the name says whose it is.
        let _ = self.remove();
    }
}

fn name_of(name: &CStr) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(name.to_bytes()))
}

/// Whether what is there has to be filled as it stands; an error if it may not be.
fn is_filled(way: &Chain, leaf: &Leaf) -> io::Result<bool> {
    match leaf.kind {
        None => Ok(false),
        Some(FileType::Directory) => inside::is_needed(way, leaf),
        Some(_) => {
            let why = "it is not a directory; name a new or empty directory";
            Err(io::Error::new(ErrorKind::NotADirectory, why))
        }
    }
}

/// `None` if a sweep took the directory before it could be locked. What somebody
/// put in its place meanwhile is not taken for it: it would not be empty, or not
/// be private.
fn make_locked(holder: &Dir, name: &CStr) -> Result<Option<Dir>, Errno> {
    let wall = match holder.make_child(name) {
        Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => return Ok(None),
        wall => wall?,
    };
    let locked = rustix::fs::flock(&wall, FlockOperation::NonBlockingLockExclusive);
    // Any other error is a file system without locks: no sweep can lock it either.
    if locked == Err(Errno::WOULDBLOCK) {
        return Ok(None);
    }
    Ok((is_private(&wall)? && wall.is_empty()?).then_some(wall))
}

/// Takes away what a new directory got of its parent's default ACL, and would hand on
/// to everything in it.
pub(super) fn forget_acls(wall: &Dir) -> Result<(), Errno> {
    for name in [posix_acl::DEFAULT_XATTR, posix_acl::ACCESS_XATTR] {
        match rustix::fs::fremovexattr(wall, name) {
            Ok(()) | Err(Errno::NODATA | Errno::NOTSUP) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Whether it is there still, ours, and open to nobody else.
fn is_private(wall: &Dir) -> Result<bool, Errno> {
    let stat = wall.stat()?;
    let ours = stat.st_uid == rustix::process::geteuid().as_raw();
    Ok(ours && stat.st_mode & 0o077 == 0 && stat.st_nlink > 0)
}

/// Removes the staging directories in `holder` whose runs are gone: those that
/// are private to this user and hold the sign, which only he can have put there.
/// What cannot be removed stays for a later restore, and does not stop this one.
fn sweep(holder: &Dir) {
    let mut found = Vec::new();
    let listed = holder.list(&mut Vec::new(), |entry| {
        if is_staging_name(entry.name.to_bytes()) {
            found.push(entry.name.to_owned());
        }
        ControlFlow::Continue(())
    });
    if listed.is_err() {
        return;
    }
    for name in found {
        let Ok(wall) = holder.open_child(&name) else {
            continue;
        };
        let lock = FlockOperation::NonBlockingLockExclusive;
        if is_private(&wall) == Ok(true) && rustix::fs::flock(&wall, lock).is_ok() {
            // Without the sign it was cut off at its very beginning, or is not ours.
            let _ = match wall.look(SIGN) {
                Ok(_) => remove_tree(holder, &name, wall),
                Err(_) => remove_child(holder, &name, wall.identity()),
            };
        }
    }
}
