//! Records of runs, read back. Who can write there can put any number of them, as
//! large as he likes: each is read by itself and judged before the next one, and who
//! keeps them says how many.

use std::io;

use serde::Deserialize;

use super::small::too_large;
use super::{MARKER_BYTES_MAX, RECORD_BYTES_MAX, read_whole};
use crate::format::names::MARKER_KEY;
use crate::format::run_record::RunRecord;
use crate::storage::{ErrorKind, Storage, StorageError, StoredObject};

/// More are not looked at, also where none is kept: somebody waits.
pub const RECORDS_READ_MAX: usize = 100_000;
/// Of those that no key of ours sealed, or that cannot be read, so many are kept and
/// told one by one.
pub const UNSEALED_TOLD: usize = 64;

/// One that is too large by the listing is not opened.
pub fn read_record(
    storage: &dyn Storage,
    object: &StoredObject,
) -> Result<RunRecord, StorageError> {
    let failed = |source| StorageError {
        kind: ErrorKind::Other,
        action: "read",
        place: format!("{}/{}", storage.location(), object.key),
        source,
    };
    if object.bytes > RECORD_BYTES_MAX {
        return Err(failed(too_large(RECORD_BYTES_MAX)));
    }
    let bytes = read_whole(storage, &object.key, RECORD_BYTES_MAX)?;
    serde_json::from_slice(&bytes).map_err(|error| failed(io::Error::other(error)))
}

/// The id of the storage that a record must be of, as its marker has it; `None` where
/// there is no marker, or none that makes sense.
pub fn storage_id(storage: &dyn Storage) -> Result<Option<String>, StorageError> {
    #[derive(Deserialize)]
    struct Marked {
        storage_id: String,
    }
    let marker = match read_whole(storage, MARKER_KEY, MARKER_BYTES_MAX) {
        Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Misplaced) => {
            return Ok(None);
        }
        marker => marker?,
    };
    let marked = serde_json::from_slice::<Marked>(&marker).ok();
    Ok(marked.map(|marked| marked.storage_id))
}

/// By their last word, the newest first: a run that waited for the lock lies under an
/// early time.
pub fn sort_by_last_word(records: &mut [StoredObject]) {
    records.sort_by_key(|object| std::cmp::Reverse(object.modified));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::keyring::Keyring;

    #[test]
    fn a_record_is_never_larger_than_what_is_read_of_one() {
        let mut record: RunRecord = serde_json::from_value(serde_json::json!({
            "version": 1, "id": "0707070707070707", "command": "prune", "trigger": "MANUAL",
            "status": "RUNNING", "started": "2026-01-18T10:30:00Z", "user": "root",
            "host": "here", "process": {"pid": 1, "start_ticks": 0, "boot_id": "another"},
        }))
        .unwrap();
        record.error = Some("\u{1}".repeat(1 << 20));
        record.detail = record.error.clone();
        let bytes = record.sealed(&Keyring::default(), None).to_bytes().len() as u64;
        assert!(bytes < RECORD_BYTES_MAX, "{bytes}");
    }
}
