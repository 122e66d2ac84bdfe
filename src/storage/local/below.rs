//! Archives in directories below a storage: another service may have put a level
//! between. They are named, and nothing else is done with them.

use super::{LocalStorage, RECORDS};
use crate::format::names::{ArchiveName, MARKER_KEY};

/// Directories that are looked into: it is a hint, and the disk may be a slow one.
const LOOKED_INTO: usize = 100;

impl LocalStorage {
    /// The directories right below that hold archives, by name; one that cannot be read
    /// is passed over.
    pub fn directories_with_archives(&self) -> Vec<String> {
        let mut below = self.root.not_regular().unwrap_or_default();
        below.retain(|name| name != RECORDS);
        below.sort();
        below.truncate(LOOKED_INTO);
        let is_archive = |name: &String| {
            name == MARKER_KEY || ArchiveName::guess(name, jiff::Timestamp::UNIX_EPOCH).is_some()
        };
        below.retain(|name| {
            let names = self.root.open_below(name).and_then(|it| it.names());
            names.is_ok_and(|names| names.iter().any(is_archive))
        });
        below
    }
}
