//! What lies in a storage and is no backup that counts.

use serde::Serialize;

/// Told wherever backups are counted, so that nobody takes them for backups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Uncounted {
    /// Archives that no key of ours vouches for.
    pub foreign: u64,
    /// Archives without a manifest, foreign ones among them.
    pub without_manifest: u64,
}
