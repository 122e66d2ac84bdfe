//! Small objects of a storage, read whole. Whoever can write there decides how
//! large they are, so every reading has a cap: what is over it is an error that
//! names it, and memory stays small.

use std::io::{self, Read};

use crate::storage::{ErrorKind, Storage, StorageError};

/// A database of 50,000 tables with the longest names has a manifest of 12 MiB.
pub const MANIFEST_BYTES_MAX: u64 = 32 << 20;
/// A record holds two texts at most; `run_record` has how long they are.
pub const RECORD_BYTES_MAX: u64 = 128 << 10;
pub const MARKER_BYTES_MAX: u64 = 64 << 10;

/// Reads an object that has at most `bytes_max` bytes.
pub fn read_whole(
    storage: &dyn Storage,
    key: &str,
    bytes_max: u64,
) -> Result<Vec<u8>, StorageError> {
    let failed = |source| StorageError {
        kind: ErrorKind::Other,
        action: "read",
        place: format!("{}/{key}", storage.location()),
        source,
    };
    let mut bytes = Vec::new();
    let reader = storage.open(key, 0)?;
    let read = reader
        .take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes);
    read.map_err(failed)?;
    match bytes.len() as u64 > bytes_max {
        true => Err(failed(too_large(bytes_max))),
        false => Ok(bytes),
    }
}

pub(super) fn too_large(bytes_max: u64) -> io::Error {
    io::Error::other(format!(
        "it has more than {} KiB, which is too much for what it should be",
        bytes_max >> 10
    ))
}
