//! Gives files what they had beside their content: owner, attributes, mode,
//! times. Owns the order (owner first, because a change of owner takes setuid
//! and capabilities away; attributes before the mode, which may forbid to set them,
//! and which an ACL changes; times last, because everything else touches them)
//! and the warnings about what this user or file system cannot do.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;

use super::parents::place;
use crate::format::posix_acl;
use crate::format::tar::{Attributes, TarError, Xattr, display_path};
use crate::paths::Dir;
use crate::target::TargetError;
use crate::words::plural;

/// More warnings than this are counted, but not given.
const NAMED_WARNINGS: usize = 1_000;
/// Links that lead outside and are named in their one note.
const NAMED_LINKS: usize = 10;

pub(super) struct Metadata {
    own_uid: u32,
    /// Entries that lack something.
    not_set: AtomicU64,
    /// Entries that were not made; each is named in a warning.
    left_out: AtomicU64,
    /// Files among them that the place cannot hold.
    unfit: AtomicU64,
    warnings: Mutex<Warnings>,
}

#[derive(Default)]
struct Warnings {
    texts: Vec<String>,
    unnamed: u64,
    ownership: bool,
    /// Symlinks that lead outside the tree, the first by name.
    outside: Vec<String>,
    outside_count: u64,
}

impl Metadata {
    pub fn new() -> Self {
        Self {
            own_uid: rustix::process::geteuid().as_raw(),
            not_set: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            unfit: AtomicU64::new(0),
            warnings: Mutex::default(),
        }
    }

    /// Sets everything on an open file or directory. What cannot be set is told; the
    /// file is there without it.
    pub fn apply(
        &self,
        file: BorrowedFd<'_>,
        path: &[u8],
        attributes: &Attributes,
    ) -> Result<(), TargetError> {
        let mut lacks = Lacks::new(path);
        let mut mode = attributes.mode & 0o7777;
        let (uid, gid) = owner(path, attributes)?;
        if let Err(errno) = rustix::fs::fchown(file, Some(uid), Some(gid)) {
            // A setuid bit must not lend this user's rights instead.
            mode &= 0o1777;
            // The group alone is better than neither.
            let _ = rustix::fs::fchown(file, None, Some(gid));
            lacks.add(|| owner_in_words(attributes), errno)?;
            self.warn_ownership();
        }
        for xattr in &attributes.xattrs {
            let set =
                rustix::fs::fsetxattr(file, &xattr.name[..], &xattr.value, XattrFlags::empty());
            if let Err(errno) = set {
                mode = without_acl(mode, xattr);
                let name = || format!("attribute {}", display_path(&xattr.name));
                lacks.add(name, errno)?;
            }
        }
        if let Err(errno) = rustix::fs::fchmod(file, Mode::from_raw_mode(mode)) {
            lacks.add(|| format!("mode {mode:04o}"), errno)?;
        }
        if let Err(errno) = rustix::fs::futimens(file, &times(attributes)) {
            lacks.add(|| "time".to_owned(), errno)?;
        }
        self.tell_lacks(lacks);
        Ok(())
    }

    /// Sets what a symlink itself has: its owner and time.
    pub fn apply_to_link(
        &self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        attributes: &Attributes,
    ) -> Result<(), TargetError> {
        let mut lacks = Lacks::new(path);
        let (uid, gid) = owner(path, attributes)?;
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        if let Err(errno) = rustix::fs::chownat(parent, name, Some(uid), Some(gid), flags) {
            lacks.add(|| owner_in_words(attributes), errno)?;
            self.warn_ownership();
        }
        if let Err(errno) = rustix::fs::utimensat(parent, name, &times(attributes), flags) {
            lacks.add(|| "time".to_owned(), errno)?;
        }
        self.tell_lacks(lacks);
        Ok(())
    }

    /// Whether the destination, which was there before, can be given what the root is
    /// to have; that it keeps its own is told.
    pub fn may_change(&self, filled: &Dir) -> bool {
        let is_own = filled.stat().is_ok_and(|stat| stat.st_uid == self.own_uid);
        if !is_own && !self.is_root() {
            self.not_set.fetch_add(1, Ordering::Relaxed);
            let why = "the destination keeps its owner, mode and time: it belongs to another user";
            self.warn(why.to_owned());
        }
        is_own || self.is_root()
    }

    /// An entry that is there, but not with all that it had.
    fn tell_lacks(&self, lacks: Lacks<'_>) {
        if !lacks.words.is_empty() {
            self.not_set.fetch_add(1, Ordering::Relaxed);
            let (path, words) = (display_path(lacks.path), lacks.words.join(", "));
            self.warn(format!("{path} could not be given its {words}"));
        }
    }

    /// Entries that are there, but not with all that they had; each is named in a
    /// warning.
    pub fn not_set(&self) -> u64 {
        self.not_set.load(Ordering::Relaxed)
    }

    pub fn is_root(&self) -> bool {
        self.own_uid == 0
    }

    /// A file that the place cannot hold; the others are made.
    pub fn leave_out_unfit(&self, path: &[u8], error: &TargetError) {
        let why = match error {
            TargetError::Place { source, .. } => source.to_string(),
            other => other.to_string(),
        };
        self.unfit.fetch_add(1, Ordering::Relaxed);
        self.leave_out("", path, &why);
    }

    pub fn has_unfit(&self) -> bool {
        self.unfit.load(Ordering::Relaxed) > 0
    }

    /// An entry that is not made; `what` names its kind.
    pub fn leave_out(&self, what: &str, path: &[u8], why: &str) {
        self.left_out.fetch_add(1, Ordering::Relaxed);
        self.warn(format!("{what}{} left out: {why}", display_path(path)));
    }

    pub fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    pub fn warn(&self, text: String) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if warnings.texts.len() < NAMED_WARNINGS {
            warnings.texts.push(text);
        } else {
            warnings.unnamed += 1;
        }
    }

    /// A symlink that was made and leads outside the tree.
    pub fn tell_outside(&self, path: &[u8], target: &[u8]) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        warnings.outside_count += 1;
        if warnings.outside.len() < NAMED_LINKS {
            let (path, target) = (display_path(path), display_path(target));
            warnings.outside.push(format!("{path} to {target}"));
        }
    }

    fn warn_ownership(&self) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        warnings.ownership = true;
    }

    /// All warnings, sorted: several writers gave them in any order.
    pub fn take_warnings(&self) -> Vec<String> {
        let taken =
            std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner));
        let mut texts = taken.texts;
        texts.sort_unstable();
        if taken.ownership && !self.is_root() {
            let text = "only root can give files to other users: those belong to you now";
            texts.insert(0, text.to_owned());
        }
        if taken.unnamed > 0 {
            let warnings = plural(taken.unnamed, "warning", "warnings");
            texts.push(format!("and {} more {warnings}", taken.unnamed));
        }
        texts.extend(outside_in_words(&taken.outside, taken.outside_count));
        texts
    }
}

fn outside_in_words(named: &[String], count: u64) -> Option<String> {
    let more = count - named.len() as u64;
    let more = (more > 0).then(|| format!(" and {more} more"));
    let named = named.join(", ");
    let lead = match count {
        0 => return None,
        1 => "1 symlink leads",
        _ => &format!("{count} symlinks lead"),
    };
    Some(format!(
        "{lead} outside the tree: {named}{}; --no-links-outside leaves such out",
        more.unwrap_or_default()
    ))
}

/// What one entry could not be given.
struct Lacks<'a> {
    path: &'a [u8],
    words: Vec<String>,
}

impl<'a> Lacks<'a> {
    fn new(path: &'a [u8]) -> Self {
        let words = Vec::new();
        Self { path, words }
    }

    /// A disk that fails is no matter of this entry alone.
    fn add(&mut self, what: impl Fn() -> String, errno: Errno) -> Result<(), TargetError> {
        if matches!(errno, Errno::IO | Errno::ROFS) {
            return Err(place(self.path, errno.into()));
        }
        self.words.push(format!("{} ({errno})", what()));
        Ok(())
    }
}

fn owner_in_words(attributes: &Attributes) -> String {
    format!("owner {}:{}", attributes.uid, attributes.gid)
}

/// The mode without what it shows of an access ACL that could not be set: the mask,
/// in place of what the group may do.
fn without_acl(mode: u32, xattr: &Xattr) -> u32 {
    match xattr.name == posix_acl::ACCESS_XATTR {
        true => mode & !0o070 | posix_acl::own_group_bits(&xattr.value).unwrap_or(0) << 3,
        false => mode,
    }
}

/// The ids as the kernel has them; the highest means "leave it" there.
fn owner(path: &[u8], attributes: &Attributes) -> Result<(Uid, Gid), TargetError> {
    let id = |id: u64| u32::try_from(id).ok().filter(|&id| id != u32::MAX);
    match (id(attributes.uid), id(attributes.gid)) {
        (Some(uid), Some(gid)) => Ok((Uid::from_raw(uid), Gid::from_raw(gid))),
        _ => Err(TarError::refused(path, "has an owner that cannot be").into()),
    }
}

fn times(attributes: &Attributes) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: attributes.mtime.seconds,
            tv_nsec: attributes.mtime.nanoseconds.into(),
        },
    }
}
