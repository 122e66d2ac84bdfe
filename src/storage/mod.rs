//! Keeps bytes under keys. Owns where and how durably; knows nothing of
//! archives, manifests or policies.
//!
//! A key is a file name, or `runs/` and a file name: ASCII or UTF-8 without
//! `/`, control characters or a leading dot, at most [`NAME_BYTES_MAX`] long.
//! Drivers refuse other keys, and the lock's file name, which is not an object.
//!
//! Every driver passes the contract suite in `tests/storage_contract.rs`.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::checked::shell_word;

mod local;
mod memory;

pub use local::LocalStorage;
pub use memory::MemoryStorage;

/// What file systems take for one name.
pub const NAME_BYTES_MAX: usize = 255;

/// The one directory that keys may name.
pub const RECORDS: &str = "runs";

/// An object that is to stay: an advisory lock (flock) on the file itself, which the
/// kernel lets go when its holder dies.
#[derive(Debug)]
pub struct Hold(#[expect(dead_code, reason = "held until it is dropped")] File);

/// What a driver promises; the suite holds each line.
pub trait Storage: Send + Sync {
    /// Where it is, for messages: a path or a URL without secrets.
    fn location(&self) -> String;

    /// Begins a new object. Nothing is visible under `key` until
    /// [`PendingWrite::commit`]. An existing object is never replaced: it is
    /// [`ErrorKind::AlreadyExists`], here or at the latest at commit.
    fn create(&self, key: &str) -> Result<Box<dyn PendingWrite>, StorageError>;

    /// Puts a small object in place of what was there, or anew. Readers see the
    /// old bytes or the new ones, never a mixture, also after a crash.
    fn replace(&self, key: &str, bytes: &[u8]) -> Result<(), StorageError>;

    /// Writes over part of an object, in place and durably: its length stays.
    /// Not all at once: after a crash the part may hold any mixture of old and
    /// new. For formats that keep a second copy elsewhere, such as an archive's
    /// header, and for nothing else. Only if `was`, of the same length, stands there:
    /// what has that name by now may be another file.
    fn overwrite(
        &self,
        key: &str,
        offset: u64,
        was: &[u8],
        bytes: &[u8],
    ) -> Result<(), StorageError>;

    /// Reads an object from byte `offset` (0 = its start) to its end.
    fn open(&self, key: &str, offset: u64) -> Result<Box<dyn Read + Send>, StorageError>;

    /// The visible objects below `prefix` (`""` = the top without `runs/`,
    /// `"runs/"` = the records), sorted by key. Pending writes are not among them.
    fn list(&self, prefix: &str) -> Result<Vec<StoredObject>, StorageError>;

    /// Removes an object for good. [`ErrorKind::NotFound`] if there is none.
    fn remove(&self, key: &str) -> Result<(), StorageError>;

    /// How many bytes of an object are data, and no hole: what lies on the disk for
    /// them may be less, where the file system compresses. `None` where that is not
    /// known.
    fn data_bytes(&self, _key: &str) -> Result<Option<u64>, StorageError> {
        Ok(None)
    }

    /// Holds an object for who reads it without the storage's lock: until it is
    /// dropped, [`Storage::is_held`] says so to whoever would remove the object.
    /// `None` where that cannot be; then the lock has to be kept.
    fn hold(&self, _key: &str) -> Result<Option<Hold>, StorageError> {
        Ok(None)
    }

    /// Whether some run holds an object.
    fn is_held(&self, _key: &str) -> bool {
        false
    }

    /// Removes what a crashed run left: pending writes that no living run owns.
    /// The caller holds the storage's exclusive lock. Returns their names.
    fn sweep(&self) -> Result<Vec<String>, StorageError>;

    /// Names that say an object, and are none: a fifo, a symlink, a directory. They
    /// are never listed; who looks for backups can name them.
    fn misplaced(&self, _prefix: &str) -> Result<Vec<String>, StorageError> {
        Ok(Vec::new())
    }

    /// Bytes that can still be written, where that is known.
    fn free_bytes(&self) -> Option<u64>;

    /// Bytes of the whole place, used or not, where that is known.
    fn total_bytes(&self) -> Option<u64> {
        None
    }

    /// Files that can still be made, where that is limited.
    fn free_inodes(&self) -> Option<u64> {
        None
    }

    /// Files that the whole place can hold.
    fn total_inodes(&self) -> Option<u64> {
        None
    }

    /// The directory for files that only make sense on this host; `None` where the
    /// storage is not a directory here.
    fn local_root(&self) -> Option<&Path>;

    /// The file that runs lock under `name`, in a directory that is there; `None` where
    /// the storage is not a directory here.
    fn lock_file(&self, name: &str) -> Result<Option<PathBuf>, StorageError> {
        Ok(self.local_root().map(|root| root.join(name)))
    }
}

/// Bytes on their way into a storage. Dropping it removes every trace.
pub trait PendingWrite: Write + Send {
    /// Makes the object visible, durably: when this returns `Ok`, a power cut
    /// loses neither the bytes nor the name. After an error it is not visible,
    /// unless the storage failed to take it back too: then its key may be
    /// removed, except after [`ErrorKind::AlreadyExists`], which speaks of
    /// somebody else's object.
    fn commit(self: Box<Self>) -> Result<(), StorageError>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    pub key: String,
    pub bytes: u64,
    pub modified: Timestamp,
}

/// A storage's failure with its kind, place and source.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {place}: {source}{}", hint(*.kind, .action, .place))]
pub struct StorageError {
    pub kind: ErrorKind,
    /// What was tried, as a verb: "create", "read", "sync".
    pub action: &'static str,
    /// The object's full place, such as its path.
    pub place: String,
    #[source]
    pub source: io::Error,
}

impl StorageError {
    /// What it is by, for who names the place himself.
    pub fn cause(self) -> io::Error {
        match self.kind {
            ErrorKind::PermissionDenied => {
                let (source, remedy) = (&self.source, give_back(&self.place));
                io::Error::new(source.kind(), format!("{source}; {remedy}"))
            }
            _ => self.source,
        }
    }

    /// Takes the kind from what the operating system said.
    pub fn new(action: &'static str, place: impl Into<String>, source: io::Error) -> Self {
        Self {
            kind: ErrorKind::of(&source),
            action,
            place: place.into(),
            source,
        }
    }
}

/// The end of an error's sentence: what to do next.
fn hint(kind: ErrorKind, action: &str, place: &str) -> String {
    let hint = kind.hint();
    match kind == ErrorKind::PermissionDenied && matches!(action, "open" | "read") {
        true => format!("{hint}; {}", give_back(place)),
        false => hint.to_owned(),
    }
}

/// How a file of a storage that root has left becomes its owner's.
fn give_back(place: &str) -> String {
    let directory = Path::new(place).parent().unwrap_or(Path::new("/"));
    let directory = directory.to_string_lossy();
    format!(
        "where root left it, as root: chown --reference={} {}",
        shell_word(&directory),
        shell_word(place)
    )
}

/// For code inside a `Read` or `Write`: the kind of the [`io::Error`] stays, and
/// the place goes along.
impl From<StorageError> for io::Error {
    fn from(error: StorageError) -> Self {
        Self::new(error.source.kind(), error)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    NotFound,
    AlreadyExists,
    PermissionDenied,
    NoSpace,
    /// Beyond what the process, or the file system, lets a file be.
    TooLarge,
    InvalidKey,
    /// A link that somebody else could have made leads there.
    Led,
    /// A mount that must be there is not.
    NotMounted,
    /// Something else than a file, or a directory, lies there.
    Misplaced,
    Other,
}

impl ErrorKind {
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::AlreadyExists => Self::AlreadyExists,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::PermissionDenied
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace,
            io::ErrorKind::FileTooLarge => Self::TooLarge,
            io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => Self::Misplaced,
            _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                Self::Misplaced
            }
            _ => Self::Other,
        }
    }

    /// What to do next, as the end of a sentence; empty where only the source
    /// can tell.
    fn hint(self) -> &'static str {
        match self {
            Self::PermissionDenied => "; check who owns it and whether it is mounted read-only",
            Self::NoSpace => "; free space there or prune older backups, none was touched",
            Self::TooLarge => {
                "; raise the largest size that a file may have here: ulimit -f, LimitFSIZE= of a \
                 unit, or the file system's own"
            }
            Self::NotMounted => "; mount it, or point the storage at the mount itself",
            Self::Misplaced => "; look who put it there, and move it away",
            Self::NotFound | Self::AlreadyExists | Self::InvalidKey | Self::Led | Self::Other => "",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "not found",
            Self::AlreadyExists => "already exists",
            Self::PermissionDenied => "permission denied",
            Self::NoSpace => "no space left",
            Self::TooLarge => "too large",
            Self::InvalidKey => "invalid name",
            Self::Led => "led elsewhere",
            Self::NotMounted => "not mounted",
            Self::Misplaced => "something else lies there",
            Self::Other => "failed",
        })
    }
}

/// A key that has been looked at: what every driver works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key<'a> {
    /// Lies below `runs/`.
    is_record: bool,
    name: &'a str,
}

impl<'a> Key<'a> {
    /// [`ErrorKind::InvalidKey`] with the reason; `location` is the storage's.
    fn parse(key: &'a str, location: &str) -> Result<Self, StorageError> {
        let (is_record, name) = match key.split_once('/') {
            Some((RECORDS, name)) => (true, name),
            _ => (false, key),
        };
        match name_fault(name, is_record) {
            None => Ok(Self { is_record, name }),
            Some(fault) => Err(StorageError {
                kind: ErrorKind::InvalidKey,
                action: "use the name",
                place: format!("{key:?} in {location}"),
                source: io::Error::new(io::ErrorKind::InvalidInput, fault),
            }),
        }
    }
}

fn name_fault(name: &str, is_record: bool) -> Option<&'static str> {
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > NAME_BYTES_MAX {
        Some("it is longer than 255 bytes")
    } else if name.starts_with('.') {
        Some("names with a leading dot are hidden and reserved")
    } else if name.contains('/') {
        Some("only runs/ may stand before a name")
    } else if name.chars().any(char::is_control) {
        Some("it has a control character in it")
    } else if !is_record && (name == RECORDS || name == crate::lock::FILE_NAME) {
        Some("it is reserved")
    } else {
        None
    }
}

/// Splits a prefix for [`Storage::list`] into its directory and how names
/// begin there.
fn split_prefix(prefix: &str) -> (bool, &str) {
    match prefix.split_once('/') {
        Some((RECORDS, start)) => (true, start),
        _ => (false, prefix),
    }
}
