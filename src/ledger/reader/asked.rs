//! What a reader is asked on the way, by who mends a damaged dump.

use super::{DumpReader, Mode};
use crate::ledger::{TableLedger, Watch};

#[expect(private_bounds, reason = "only the crate itself watches")]
impl<W: Watch> DumpReader<W> {
    pub(crate) fn watch(&self) -> &W {
        &self.watch
    }

    /// The bytes read so far; of a faulty dump those before the fault.
    pub(in crate::ledger) fn read_bytes(&self) -> u64 {
        self.offset
    }

    /// The place of the table whose rows have not ended.
    pub(in crate::ledger) fn open_copy(&self) -> Option<usize> {
        match self.mode {
            Mode::Sql => None,
            Mode::CopyLine(place) | Mode::CopyRows(place) => Some(place),
        }
    }

    /// What the rows of the table at `place` add up to so far.
    pub(in crate::ledger) fn table(&self, place: usize) -> TableLedger {
        self.tables.table(place)
    }
}
