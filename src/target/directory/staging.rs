//! The place where a tree grows out of everybody's reach, and the step that puts
//! it at its destination. Owns the staging directory: dropping it removes what is
//! there.
//!
//! Refuses a destination that holds anything or is a mount point (a rename
//! cannot replace that). It lies beside the destination; where others could
//! write there and we are root, in the deepest directory above that only root
//! can write to. Invariants: the destination is untouched until
//! [`Staging::publish`], which puts the whole tree there in one rename; and
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

use crate::paths::{Chain, Dir, Leaf, remove_child, remove_tree};
use crate::reached::Reached;
use crate::target::TargetError;

const MARK: &[u8] = b".kluis-";
const RANDOM_BYTES: usize = 8;
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
        check_free(&way, &leaf).map_err(place)?;
        let shown = way.path().join(name_of(&leaf.name));
        let destination = Self {
            way,
            name: leaf.name,
            path: shown,
        };
        destination.holder().map_err(place)?;
        Ok(destination)
    }

    /// Where the staging directory goes, to be read.
    fn holder(&self) -> io::Result<Dir> {
        if self.way.is_trusted() || !rustix::process::geteuid().is_root() {
            return Ok(self.way.last().readable()?);
        }
        match self.way.deepest_trusted() {
            Some((dir, _)) => Ok(dir.readable()?),
            None => {
                let why = format!(
                    "others than root can write to {}, and no directory above it on its file \
                     system is safe from them; restore as the user whose directory it is, or into \
                     a directory that only root can write to, and move the tree from there",
                    self.way.path().display()
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
            drop(wall.create_file(SIGN).map_err(failed)?);
            let root = Arc::new(wall.make_child(TREE).map_err(failed)?);
            return Ok(Self {
                destination: Arc::clone(destination),
                holder,
                name,
                wall,
                root,
                published: false,
            });
        }
        Err(place(io::Error::other("it was swept away again and again")))
    }

    pub fn root(&self) -> &Arc<Dir> {
        &self.root
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
        if parent.holds(name, self.root.identity()) && self.destination.way.still_leads_there() {
            return Ok(());
        }
        *reached = Reached::Unknown {
            look: "it is whole, but not there".to_owned(),
        };
        Err(TargetError::Displaced { place: path })
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

fn check_free(way: &Chain, leaf: &Leaf) -> io::Result<()> {
    match leaf.kind {
        None => return Ok(()),
        Some(FileType::Directory) => {}
        Some(_) => {
            let why = "it is not a directory; name a new or empty directory";
            return Err(io::Error::new(ErrorKind::NotADirectory, why));
        }
    }
    let directory = way.last().open_child(&leaf.name)?;
    if !directory.is_empty()? {
        let why = "it is not empty; name a new or empty directory";
        return Err(io::Error::new(ErrorKind::DirectoryNotEmpty, why));
    }
    if directory.mount() != way.last().mount() {
        let why = "it is a mount point; name a new directory below it";
        return Err(io::Error::new(ErrorKind::CrossesDevices, why));
    }
    Ok(())
}

fn staging_name(destination: &CStr) -> io::Result<CString> {
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let name = destination.to_bytes();
    // A name has 255 bytes at most.
    let name = &name[..name.len().min(200)];
    let random = hex::encode(random);
    CString::new([b".", name, MARK, random.as_bytes()].concat()).map_err(io::Error::other)
}

fn is_staging_name(name: &[u8]) -> bool {
    let id = name.len().saturating_sub(2 * RANDOM_BYTES);
    let (front, id) = name.split_at(id);
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let has_name = front.len() > b".".len() + MARK.len();
    has_name && front.starts_with(b".") && front.ends_with(MARK) && id.iter().all(is_digit)
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
