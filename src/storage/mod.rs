//! Keeps bytes under keys. Owns where and how durably; knows nothing of
//! archives, manifests or policies.
//!
//! A key is a file name, or `runs/` and a file name: ASCII or UTF-8 without
//! `/`, NUL, a leading dot or `..`. Drivers refuse other keys.
//!
//! Every driver passes the contract suite in `tests/storage_contract.rs`.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;

use jiff::Timestamp;

mod local;
mod memory;

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

    /// Reads an object from byte `offset` (0 = its start) to its end.
    fn open(&self, key: &str, offset: u64) -> Result<Box<dyn Read + Send>, StorageError>;

    /// The visible objects below `prefix` (`""` = the top without `runs/`,
    /// `"runs/"` = the records), sorted by key. Pending writes are not among them.
    fn list(&self, prefix: &str) -> Result<Vec<StoredObject>, StorageError>;

    /// Removes an object for good. [`ErrorKind::NotFound`] if there is none.
    fn remove(&self, key: &str) -> Result<(), StorageError>;

    /// Removes what a crashed run left: pending writes that no living run owns.
    /// The caller holds the storage's exclusive lock. Returns their names.
    fn sweep(&self) -> Result<Vec<String>, StorageError>;

    /// Bytes that can still be written, where that is known.
    fn free_bytes(&self) -> Option<u64>;

    /// The directory for files that only make sense on this host, such as the
    /// lock; `None` where the storage is not a directory here.
    fn local_root(&self) -> Option<&Path>;
}

/// Bytes on their way into a storage. Dropping it removes every trace.
pub trait PendingWrite: Write + Send {
    /// Makes the object visible, durably: when this returns `Ok`, a power cut
    /// loses neither the bytes nor the name.
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
#[error("cannot {action} {place}: {source}")]
pub struct StorageError {
    pub kind: ErrorKind,
    /// What was tried, as a verb: "create", "read", "sync".
    pub action: &'static str,
    /// The object's full place, such as its path.
    pub place: String,
    #[source]
    pub source: io::Error,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    NotFound,
    AlreadyExists,
    PermissionDenied,
    NoSpace,
    InvalidKey,
    /// A mount that must be there is not.
    NotMounted,
    Other,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "not found",
            Self::AlreadyExists => "already exists",
            Self::PermissionDenied => "permission denied",
            Self::NoSpace => "no space left",
            Self::InvalidKey => "invalid name",
            Self::NotMounted => "not mounted",
            Self::Other => "failed",
        })
    }
}
