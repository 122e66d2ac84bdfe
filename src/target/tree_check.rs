//! Reads a tree's tar stream to its end without writing anything, through the
//! same parser that the restore uses. Owns the counts that both compare with
//! the manifest.

use std::io::BufRead;

use crate::cancel::Cancel;
use crate::format::manifest::TreeContent;
use crate::format::tar::{Entry, EntryKind, TarError, TarReader};
use crate::reached::Reached;
use crate::target::{Received, Target, TargetError};

/// A target that only looks.
pub struct TreeCheck {
    cancel: Cancel,
}

impl TreeCheck {
    pub fn new(cancel: Cancel) -> Self {
        Self { cancel }
    }
}

impl Target for TreeCheck {
    /// `Received::tree` holds files, directories, symlinks, hard links and
    /// bytes; what only the source can know stays empty.
    fn receive(&mut self, stream: &mut dyn BufRead) -> Result<Received, TargetError> {
        let mut reader = TarReader::new(stream);
        let mut content = TreeContent::default();
        while let Some(entry) = reader.next_entry()? {
            count_entry(&mut content, &entry);
            loop {
                self.cancel.check()?;
                let bytes = reader.data()?.len();
                if bytes == 0 {
                    break;
                }
                reader.consume(bytes);
            }
        }
        Ok(Received {
            tree: Some(content),
            ..Received::default()
        })
    }

    /// There is nothing to be made visible.
    fn commit(&mut self, _: &mut Reached) -> Result<(), TargetError> {
        Ok(())
    }
}

/// Adds an entry to the counts, as the source counts it: sizes that together
/// exceed what can be counted are "so much and more".
pub(super) fn count_entry(content: &mut TreeContent, entry: &Entry) {
    match &entry.kind {
        EntryKind::Directory => content.directories += 1,
        EntryKind::Symlink { .. } => content.symlinks += 1,
        EntryKind::HardLink { .. } => content.hard_links += 1,
        EntryKind::File { bytes } | EntryKind::SparseFile { bytes, .. } => {
            content.files += 1;
            content.bytes = content.bytes.saturating_add(*bytes);
        }
    }
}

impl From<TarError> for TargetError {
    fn from(error: TarError) -> Self {
        match error {
            TarError::Stream(source) => Self::Stream(source),
            TarError::Refused { .. } => Self::Hostile {
                what: error.to_string(),
            },
        }
    }
}
