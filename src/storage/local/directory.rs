//! An opened directory and its path. Owns the way to it, making it private, checking
//! its mount, and what the file system says about names in it.
//!
//! The way is gone step by step, by held descriptors: no link of somebody else leads it
//! to another place, which would take or give the backups of this one.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat, StatxAttributes, StatxFlags, Uid,
};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use crate::paths::{Chain, Rule};
use crate::storage::{ErrorKind, StorageError};

const PRIVATE_DIRECTORY: u32 = 0o700;

pub(super) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// `path` is absolute; it and its missing parents are made, each durably named in
    /// its parent. It may be a symlink, where that is the operator's choice.
    pub(super) fn open_or_make(path: &Path) -> Result<Self, StorageError> {
        match Self::open(path) {
            Err(e) if e.kind == ErrorKind::NotFound => {
                let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                    return Err(e);
                };
                let parent = Self::open_or_make(parent)?;
                parent.make(name)?;
                parent.open_below(name)
            }
            other => other,
        }
    }

    /// Makes nothing, and checks the very directory that is used afterwards, so
    /// that an unmount in between cannot pass.
    pub(super) fn open_mounted(path: &Path) -> Result<Self, StorageError> {
        let not_mounted = |why: &str| StorageError {
            kind: ErrorKind::NotMounted,
            action: "use the required mount",
            place: path.display().to_string(),
            source: io::Error::new(io::ErrorKind::NotFound, why),
        };
        let directory = match Self::open(path) {
            Err(e) if e.kind == ErrorKind::NotFound => {
                return Err(not_mounted("the directory does not exist"));
            }
            other => other?,
        };
        if directory.is_mount_point()? {
            Ok(directory)
        } else {
            Err(not_mounted("nothing is mounted there"))
        }
    }

    fn open(path: &Path) -> Result<Self, StorageError> {
        const ACTION: &str = "open the directory";
        let failed = |e: io::Error| failed_at(ACTION, path, e);
        let way = Chain::to_directory_by(path, &ToStorage).map_err(failed)?;
        let owner = way.last().stat().map_err(|e| failed(e.into()))?.st_uid;
        way.refuse_led_by_others(owner)
            .map_err(|source| StorageError {
                kind: ErrorKind::Led,
                action: ACTION,
                place: path.display().to_string(),
                source,
            })?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(way.last(), ".", flags, Mode::empty())
            .map_err(|e| failed(e.into()))?;
        Ok(Self {
            fd,
            path: path.to_owned(),
        })
    }

    pub(super) fn open_below(&self, name: impl AsRef<Path>) -> Result<Self, StorageError> {
        let name = name.as_ref();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty())
            .map_err(|e| self.failed("open the directory", name, e))?;
        Ok(Self {
            fd,
            path: self.path.join(name),
        })
    }

    pub(super) fn make_below(&self, name: &str) -> Result<Self, StorageError> {
        match self.open_below(name) {
            Err(e) if e.kind == ErrorKind::NotFound => {}
            other => return other,
        }
        if self.make(name.as_ref())? {
            let made = self.open_below(name)?;
            self.give_to_owner(&made.fd);
        }
        self.open_below(name)
    }

    /// Whether it was made: something may have the name meanwhile.
    fn make(&self, name: &OsStr) -> Result<bool, StorageError> {
        let private = Mode::from_raw_mode(PRIVATE_DIRECTORY);
        let made = match rustix::fs::mkdirat(&self.fd, name, private) {
            Err(Errno::EXIST) => false,
            Err(e) => return Err(self.failed("make the directory", name, e)),
            Ok(()) => {
                make_usable(self.fd.as_fd(), Path::new(name))
                    .map_err(|e| self.failed("make private", name, e))?;
                true
            }
        };
        self.sync()?;
        Ok(made)
    }

    /// A file in another directory, made where it is missing, that stands for `name` in
    /// this one, by whatever path a run comes to it.
    pub(super) fn file_in(&self, other: &Path, name: &str) -> Result<PathBuf, StorageError> {
        let other = std::path::absolute(other).map_err(|e| failed_at("find", other, e))?;
        Self::open_or_make(&other)?;
        let link = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        let real = std::fs::read_link(link).unwrap_or_else(|_| self.path.clone());
        let of_this = hex::encode(&Sha256::digest(real.as_os_str().as_bytes())[..8]);
        Ok(other.join(format!("{of_this}.{name}")))
    }

    /// What root has just made here becomes the directory's owner's: else the user
    /// whose storage it is could read nothing of what root did once. By a descriptor,
    /// never by a name: whoever owns the directory may exchange what has it.
    pub(super) fn give_to_owner(&self, made: impl AsFd) {
        let (Ok(own), Ok(its)) = (rustix::fs::fstat(&self.fd), rustix::fs::fstat(&made)) else {
            return;
        };
        if rustix::process::geteuid().is_root() && its.st_uid == 0 && own.st_uid != 0 {
            let (owner, group) = (Uid::from_raw(own.st_uid), Gid::from_raw(own.st_gid));
            // Where owners cannot be set, it stays root's.
            let _ = rustix::fs::fchown(made, Some(owner), Some(group));
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// An error about `name` in this directory.
    pub(super) fn failed(
        &self,
        action: &'static str,
        name: impl AsRef<Path>,
        source: impl Into<io::Error>,
    ) -> StorageError {
        failed_at(action, &self.path.join(name), source)
    }

    /// Whether anything has that name, a dangling symlink included.
    pub(super) fn has(&self, name: &str) -> Result<bool, StorageError> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(self.failed("look at", name, e)),
        }
    }

    /// Every name, in no order. Names that are not UTF-8 are nobody's keys.
    pub(super) fn names(&self) -> Result<Vec<String>, StorageError> {
        let failed = |e: Errno| failed_at("list", &self.path, e);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd).map_err(failed)? {
            if let Ok(name) = entry.map_err(failed)?.file_name().to_str() {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// The names of what is not a regular file, in no order.
    pub(super) fn not_regular(&self) -> Result<Vec<String>, StorageError> {
        let failed = |e: Errno| failed_at("list", &self.path, e);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = match entry.file_type() {
                FileType::Unknown => {
                    let how = AtFlags::SYMLINK_NOFOLLOW;
                    let stat = rustix::fs::statat(&self.fd, entry.file_name(), how);
                    // Gone by now.
                    stat.map_or(FileType::RegularFile, |it| {
                        FileType::from_raw_mode(it.st_mode)
                    })
                }
                known => known,
            };
            if let Ok(name) = entry.file_name().to_str()
                && kind != FileType::RegularFile
                && !name.starts_with('.')
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Makes new, renamed and removed names survive a power cut.
    pub(super) fn sync(&self) -> Result<(), StorageError> {
        match rustix::fs::fsync(&self.fd) {
            // How file systems say that they have no such thing for directories.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(e) => Err(failed_at("sync", &self.path, e)),
        }
    }

    fn is_mount_point(&self) -> Result<bool, StorageError> {
        let wanted = StatxFlags::BASIC_STATS;
        if let Ok(stat) = rustix::fs::statx(&self.fd, "", AtFlags::EMPTY_PATH, wanted)
            && stat
                .stx_attributes_mask
                .contains(StatxAttributes::MOUNT_ROOT)
        {
            return Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
        }
        // Kernels before 5.8 cannot say it: a device that differs from the
        // parent's tells, except for bind mounts.
        let failed = |e: Errno| failed_at("look at", &self.path, e);
        let own = rustix::fs::fstat(&self.fd).map_err(failed)?;
        let parent = rustix::fs::statat(&self.fd, "..", AtFlags::empty()).map_err(failed)?;
        Ok(own.st_dev != parent.st_dev)
    }
}

/// What was just made by this process cannot be refused to its owner: only file
/// systems without modes (FAT, some FUSE and SMB mounts) say these.
pub(super) fn ignore_without_modes(error: Errno) -> Result<(), Errno> {
    match error {
        Errno::PERM | Errno::NOTSUP | Errno::NOSYS => Ok(()),
        other => Err(other),
    }
}

fn failed_at(action: &'static str, path: &Path, source: impl Into<io::Error>) -> StorageError {
    StorageError::new(action, path.display().to_string(), source.into())
}

/// To a directory by the name that an operator gave it.
struct ToStorage;

impl Rule for ToStorage {
    type Refusal = io::Error;
    const ENDS_AT_KERNELS_LINK: bool = false;

    fn directory(&self, _: &Stat, _: &Path, _: bool) -> io::Result<()> {
        Ok(())
    }

    fn link(&self, _: &Stat, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn missing(&self, _: &Path, errno: Errno, _: bool) -> io::Error {
        errno.into()
    }
}

/// An odd umask takes even the owner's rights from a directory that was made as private.
/// Whoever may write in its parent may have put something else in its place by now: so
/// the directory is held, no link is followed, and what others own is left as it is.
fn make_usable(parent: BorrowedFd<'_>, name: &Path) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&made)?;
    let is_ours = stat.st_uid == rustix::process::geteuid().as_raw();
    if !is_ours || stat.st_mode & PRIVATE_DIRECTORY == PRIVATE_DIRECTORY {
        return Ok(());
    }
    // A descriptor of this kind has no mode to change but by its name there.
    let held = format!("/proc/self/fd/{}", made.as_raw_fd());
    let private = Mode::from_raw_mode(PRIVATE_DIRECTORY);
    rustix::fs::chmodat(CWD, held, private, AtFlags::empty()).or_else(ignore_without_modes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn what_stands_in_the_place_of_a_directory_just_made_keeps_its_mode() {
        let root = tempfile::tempdir().unwrap();
        let mode = |name: &str| {
            let metadata = fs::metadata(root.path().join(name)).unwrap();
            metadata.permissions().mode() & 0o7777
        };
        fs::write(root.path().join("theirs"), "").unwrap();
        let before = mode("theirs");
        symlink("theirs", root.path().join("runs")).unwrap();
        assert!(make_usable(CWD, &root.path().join("runs")).is_err());
        assert_eq!(mode("theirs"), before);
    }

    #[test]
    fn a_directory_that_an_odd_umask_closed_is_opened_to_its_owner() {
        let root = tempfile::tempdir().unwrap();
        let made = root.path().join("made");
        fs::create_dir(&made).unwrap();
        fs::set_permissions(&made, fs::Permissions::from_mode(0o300)).unwrap();
        make_usable(CWD, &made).unwrap();
        let mode = fs::metadata(&made).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
