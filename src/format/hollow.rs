//! What is nearly all hole. A file of terabytes of holes costs nothing to make, and days
//! to read: who reads what others made asks here first.

/// Of each so many bytes at least one is data. The largest pieces that the formats
/// have, such as zstd's raw blocks, would let 1 of 32 be all that is written.
const SIZE_OF_DATA_MAX: u64 = 64;
/// Smaller ones are read at once.
const SMALL_BYTES: u64 = 1 << 30;

/// Whether of `bytes` that would be read so few are data that nobody waits for them.
pub fn is_hollow(bytes: u64, data_bytes: u64) -> bool {
    bytes >= SMALL_BYTES && data_bytes < bytes / SIZE_OF_DATA_MAX
}
