//! Gives files what they had beside their content: owner, mode, attributes,
//! times. Owns the order (owner first, because a change of owner takes setuid
//! and capabilities away; times last, because everything else touches them)
//! and the warnings about what this user or file system cannot do.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};

use super::parents::place;
use crate::format::tar::{Attributes, TarError, display_path};
use crate::target::TargetError;

/// More warnings than this are counted, but not given.
const NAMED_WARNINGS: usize = 1_000;

pub(super) struct Metadata {
    own_uid: u32,
    own_gid: u32,
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
}

impl Metadata {
    pub fn new() -> Self {
        Self {
            own_uid: rustix::process::geteuid().as_raw(),
            own_gid: rustix::process::getegid().as_raw(),
            left_out: AtomicU64::new(0),
            unfit: AtomicU64::new(0),
            warnings: Mutex::default(),
        }
    }

    /// Sets everything on an open file or directory.
    pub fn apply(
        &self,
        file: BorrowedFd<'_>,
        path: &[u8],
        attributes: &Attributes,
    ) -> Result<(), TargetError> {
        let fail = |errno: rustix::io::Errno| place(path, errno.into());
        let (uid, gid) = owner(path, attributes)?;
        let mut mode = attributes.mode & 0o7777;
        if self.is_root() {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            rustix::fs::fchown(file, Some(uid), Some(gid)).map_err(fail)?;
        } else if (uid, gid) != (self.own_uid, self.own_gid) {
            // A setuid bit must not lend this user's rights instead.
            mode &= 0o1777;
            self.warn_ownership();
        }
        rustix::fs::fchmod(file, Mode::from_raw_mode(mode)).map_err(fail)?;
        for xattr in &attributes.xattrs {
            let set =
                rustix::fs::fsetxattr(file, &xattr.name[..], &xattr.value, XattrFlags::empty());
            if let Err(errno) = set {
                let name = display_path(&xattr.name);
                self.warn(format!(
                    "{}: attribute {name} not set: {errno}",
                    display_path(path)
                ));
            }
        }
        rustix::fs::futimens(file, &times(attributes)).map_err(fail)
    }

    /// Sets what a symlink itself has: its owner and time.
    pub fn apply_to_link(
        &self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        attributes: &Attributes,
    ) -> Result<(), TargetError> {
        let fail = |errno: rustix::io::Errno| place(path, errno.into());
        let (uid, gid) = owner(path, attributes)?;
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        if self.own_uid == 0 {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            rustix::fs::chownat(parent, name, Some(uid), Some(gid), flags).map_err(fail)?;
        }
        rustix::fs::utimensat(parent, name, &times(attributes), flags).map_err(fail)
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
        if taken.ownership {
            let text = "only root can give files to other users: those belong to you now";
            texts.insert(0, text.to_owned());
        }
        if taken.unnamed > 0 {
            texts.push(format!("and {} more warnings", taken.unnamed));
        }
        texts
    }
}

/// The ids as the kernel has them; the highest means "leave it" there.
fn owner(path: &[u8], attributes: &Attributes) -> Result<(u32, u32), TargetError> {
    let id = |id: u64| u32::try_from(id).ok().filter(|&id| id != u32::MAX);
    match (id(attributes.uid), id(attributes.gid)) {
        (Some(uid), Some(gid)) => Ok((uid, gid)),
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
