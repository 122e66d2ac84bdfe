//! Files that are nearly all hole. One of terabytes costs nothing to make, and days
//! to read. What is encrypted or compressed has no holes, whatever the file system
//! makes of its blocks; a dump as text has none either. An uncompressed archive may
//! have some that a copy made: whoever names it has it read.

use super::OperationError;
use crate::format::hollow::is_hollow;
use crate::storage::Storage;

/// For who reads whatever lies there. An archive that cannot be looked at is told by
/// who reads it.
pub fn refuse_hollow(
    storage: &dyn Storage,
    archive: &str,
    bytes: u64,
    command: &'static str,
) -> Result<(), OperationError> {
    if !is_hollow(bytes, 0) {
        return Ok(());
    }
    match storage.data_bytes(archive) {
        Ok(Some(data)) if is_hollow(bytes, data) => Err(OperationError::Hollow {
            archive: archive.to_owned(),
            bytes,
            data,
            command,
        }),
        Ok(_) | Err(_) => Ok(()),
    }
}
