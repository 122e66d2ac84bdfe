//! Files that are nearly all hole. One of terabytes costs nothing to make, and days
//! to read. What is encrypted or compressed has no holes, whatever the file system
//! makes of its blocks; a dump as text has none either. An uncompressed archive may
//! have some that a copy made: whoever names it has it read.

use super::OperationError;
use crate::storage::Storage;

/// Of each so many bytes at least one is data. The largest pieces that the formats
/// have, such as zstd's raw blocks, would let 1 of 32 be all that is written.
const SIZE_OF_DATA_MAX: u64 = 64;
/// Smaller ones are read at once.
const SMALL_BYTES: u64 = 1 << 30;

/// For who reads whatever lies there. An archive that cannot be looked at is told by
/// who reads it.
pub fn refuse_hollow(
    storage: &dyn Storage,
    archive: &str,
    bytes: u64,
    command: &'static str,
) -> Result<(), OperationError> {
    if bytes < SMALL_BYTES {
        return Ok(());
    }
    match storage.data_bytes(archive) {
        Ok(Some(data)) if data < bytes / SIZE_OF_DATA_MAX => Err(OperationError::Hollow {
            archive: archive.to_owned(),
            bytes,
            data,
            command,
        }),
        Ok(_) | Err(_) => Ok(()),
    }
}
