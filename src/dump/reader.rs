//! Reads a dump once and keeps what stands where.
//!
//! Owns the cuts. Invariant: the sections join without a gap from the dump's
//! first byte to its last.

use super::describe;
use super::{Contents, Entry, Section};
use crate::ledger::{DumpReader, LedgerError, ObjectTitle, Watch};

/// The ledger's reader with an eye for the sections.
pub struct ContentsReader {
    reader: DumpReader<Collector>,
}

impl Default for ContentsReader {
    fn default() -> Self {
        Self::new()
    }
}

impl ContentsReader {
    pub fn new() -> Self {
        Self {
            reader: DumpReader::watched(Collector::default()),
        }
    }

    /// Reads on, in slices cut anywhere.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.reader.feed(bytes);
    }

    /// What the dump held, if it was whole.
    pub fn finish(self) -> Result<Contents, LedgerError> {
        let (ledger, collector, raw_bytes) = self.reader.finish_watched()?;
        let ends = collector.cuts.iter().skip(1).map(|(start, _)| *start);
        let ends: Vec<u64> = ends.chain([raw_bytes]).collect();
        let section = |((start, entry), end)| Section {
            bytes: start..end,
            entry,
        };
        Ok(Contents {
            sections: collector.cuts.into_iter().zip(ends).map(section).collect(),
            entries: collector.entries,
            ledger,
        })
    }
}

struct Collector {
    entries: Vec<Entry>,
    /// Where each section begins, and its entry if it holds one.
    cuts: Vec<(u64, Option<usize>)>,
}

impl Default for Collector {
    /// The dump's head comes first.
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            cuts: vec![(0, None)],
        }
    }
}

impl Watch for Collector {
    fn object(&mut self, start: u64, title: ObjectTitle) {
        self.cuts.push((start, Some(self.entries.len())));
        self.entries.push(describe::from_title(title));
    }

    fn trailer(&mut self, start: u64) {
        self.cuts.push((start, None));
    }

    fn statement(&mut self, text: &[u8], backslashes: bool, end: u64) {
        let Some((_, Some(at))) = self.cuts.last() else {
            return;
        };
        if is_setting(text) {
            // It stands before the title of the entry that it is for, and holds
            // for all that follow.
            let start = end.saturating_sub(text.len() as u64 + 1);
            self.cuts.push((start, None));
            return;
        }
        describe::statement(&mut self.entries[*at], text, backslashes);
    }
}

/// Statements that pg_dump writes between entries. Others that begin with SET
/// belong to an entry, as a grantor's session does.
fn is_setting(text: &[u8]) -> bool {
    let settings: [&[u8]; 4] = [
        b"SET default_tablespace = ",
        b"SET default_table_access_method = ",
        b"SET default_with_oids = ",
        b"SET search_path = ",
    ];
    text.len() < 1024 && settings.iter().any(|start| text.starts_with(start))
}
