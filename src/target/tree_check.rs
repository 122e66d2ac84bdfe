//! Reads a tree's tar stream to its end without writing anything, through the
//! same parser that the restore uses. Owns the counts that both compare with
//! the manifest.

use std::io::BufRead;

use crate::cancel::Cancel;
use crate::format::manifest::TreeContent;
use crate::format::tar::{Entry, EntryKind, TarError, TarReader};
use crate::glob::Globs;
use crate::reached::Reached;
use crate::target::chosen::Chosen;
use crate::target::{Received, Target, TargetError};

/// A target that only looks.
pub struct TreeCheck {
    cancel: Cancel,
    /// Whether the entries are kept, for a list; those that the globs fit.
    listing: Option<Option<Globs>>,
}

impl TreeCheck {
    pub fn new(cancel: Cancel) -> Self {
        let listing = None;
        Self { cancel, listing }
    }

    /// One that also keeps what is in the tree, or what of it `globs` fit.
    pub fn listing(globs: Option<Globs>, cancel: Cancel) -> Self {
        let listing = Some(globs);
        Self { cancel, listing }
    }

    fn keep(&self, mut entry: Entry, kept: &mut Vec<Entry>) {
        let fits = |globs: &Option<Globs>| Chosen::new(globs.as_ref()).fits(&entry.path);
        if self.listing.as_ref().is_some_and(fits) {
            entry.attributes.xattrs = Vec::new();
            if let EntryKind::SparseFile { segments, .. } = &mut entry.kind {
                *segments = Vec::new();
            }
            kept.push(entry);
        }
    }
}

impl Target for TreeCheck {
    /// `Received::tree` holds files, directories, symlinks, hard links and
    /// bytes; what only the source can know stays empty.
    fn receive(&mut self, stream: &mut dyn BufRead) -> Result<Received, TargetError> {
        let mut reader = TarReader::new(stream);
        let (mut content, mut kept) = (TreeContent::default(), Vec::new());
        while let Some(entry) = reader.next_entry()? {
            count_entry(&mut content, &entry);
            self.keep(entry, &mut kept);
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
            entries: self.listing.is_some().then_some(kept),
            ..Received::default()
        })
    }

    /// There is nothing to be made visible.
    fn commit(&mut self, _: &mut Reached) -> Result<Vec<String>, TargetError> {
        Ok(Vec::new())
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
