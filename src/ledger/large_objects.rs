//! Counts and hashes large objects out of the statements that write them.
//!
//! Owns the running sum over all of them. Keeps no content.

use xxhash_rust::xxh3::Xxh3;

use super::{LargeObjects, hex_hash};

/// Large objects come one after the other: open, writes, close.
#[derive(Default)]
pub(super) struct LargeObjectReader {
    current: Option<Box<Xxh3>>,
    count: u64,
    bytes: u64,
    hash: u128,
}

/// `open`, `write` and `close` give `false` where the statement comes out of turn.
impl LargeObjectReader {
    /// Whether one has begun and not ended.
    pub fn is_open(&self) -> bool {
        self.current.is_some()
    }

    pub fn open(&mut self, oid: &[u8]) -> bool {
        let mut stream = Box::new(Xxh3::new());
        stream.update(oid);
        stream.update(b":");
        self.current.replace(stream).is_none()
    }

    pub fn write(&mut self, hex: &[u8]) -> bool {
        self.bytes += hex.len() as u64 / 2;
        self.current
            .as_mut()
            .map(|stream| stream.update(hex))
            .is_some()
    }

    pub fn close(&mut self) -> bool {
        let Some(stream) = self.current.take() else {
            return false;
        };
        self.count += 1;
        self.hash = self.hash.wrapping_add(stream.digest128());
        true
    }

    pub fn into_ledger(self) -> LargeObjects {
        LargeObjects {
            count: self.count,
            bytes: self.bytes,
            hash: hex_hash(self.hash),
        }
    }
}
