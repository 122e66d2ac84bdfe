//! What lies in a storage, in numbers: backups by their proof, and what is none.

use serde::Serialize;

/// Of the backups that count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub backups: u64,
    pub stored_bytes: u64,
    /// Read whole, or restored, and right.
    pub verified: u64,
    /// Nobody has read them since they were written.
    pub pending: u64,
    /// Found damaged, or refused by a server.
    pub failed: u64,
}

/// Told wherever backups are counted, so that nobody takes them for backups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Uncounted {
    /// Archives that no key of ours vouches for.
    pub foreign: u64,
    /// Archives without a manifest, foreign ones among them.
    pub without_manifest: u64,
    /// Foreign ones that no passphrase was tried for: they may be ours.
    pub not_tried: u64,
}
