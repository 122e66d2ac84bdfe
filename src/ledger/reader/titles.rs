//! What comment lines tell on the way: the dump's head, its trailer, and the title of each
//! object, of whose type its statement has the last word.

use super::DumpReader;
use crate::ledger::comments::{ObjectTitle, Title};
use crate::ledger::watch::Watch;

#[expect(private_bounds, reason = "only the crate itself watches")]
impl<W: Watch> DumpReader<W> {
    pub(super) fn comment(&mut self) {
        const BARE_LINE: u64 = "--\n".len() as u64;
        let line = self.lexer.line();
        if line.is_empty() && self.block.is_outside() {
            self.block_start = self.offset.saturating_sub(BARE_LINE);
        }
        match self.block.line(line) {
            Some(Title::Header) => self.header_seen = true,
            Some(Title::Trailer) => {
                self.settle(None);
                self.trailer_seen = self.header_seen;
                self.watch.trailer(self.block_start);
            }
            Some(Title::Object(title)) => {
                self.settle(None);
                let clear = self.waiting.hold(self.block_start, title);
                self.object(clear);
            }
            None => {}
        }
    }

    /// The title that waits for its statement, if one does.
    pub(super) fn settle(&mut self, statement: Option<&[u8]>) {
        let settled = self.waiting.settled(statement);
        self.object(settled);
    }

    fn object(&mut self, object: Option<(u64, ObjectTitle)>) {
        if let Some((start, title)) = object {
            *self.objects.entry(title.object_type.clone()).or_default() += 1;
            self.watch.object(start, title);
        }
    }
}
