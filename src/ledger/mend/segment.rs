//! A stretch of whole statements of a dump, while it is read.

use memchr::memrchr;

use super::HEADER;
use crate::ledger::reader::DumpReader;
use crate::ledger::{ObjectTitle, TableLedger, Watch};

/// A stretch of whole statements.
pub(super) struct Segment {
    pub reader: DumpReader<Marks>,
    /// Where it begins in the stream.
    pub start: u64,
    /// What has to stand before it.
    pub before: Vec<u8>,
    /// Bytes that the reader got which are none of the stream.
    pub prefix: u64,
    pub read_at: u64,
    /// Behind the last newline, in the stream.
    pub line_at: u64,
    pub is_sure: bool,
    /// Rows go on that began before the segment.
    pub rows: Option<CutRows>,
}

#[derive(Clone)]
pub(super) struct CutRows {
    pub table: TableLedger,
    /// The statement that they follow.
    pub copy: Vec<u8>,
    /// Bytes of the table's rows before the place where the stream goes on.
    pub passed: u64,
}

/// Places in the reader's own count of bytes.
#[derive(Default)]
pub(super) struct Marks {
    /// Behind the last whole statement or rows, and the one before it.
    pub end: u64,
    pub before: u64,
    pub copy: Vec<u8>,
    /// Rows that ended: the table's place, and the end.
    pub copied: Vec<(usize, u64)>,
    pub trailer: Option<u64>,
    /// Of psql's restricted mode.
    pub token: Option<Vec<u8>>,
    /// Before a large object that is still being written.
    pub large_object: Option<u64>,
}

impl Watch for Marks {
    fn object(&mut self, _: u64, _: ObjectTitle) {}

    fn trailer(&mut self, start: u64) {
        self.trailer = Some(start);
    }

    fn restricted(&mut self, token: &[u8]) {
        self.token = Some(token.to_vec());
    }

    fn statement(&mut self, text: &[u8], _: bool, end: u64) {
        if text.starts_with(b"SELECT pg_catalog.lo_open(") {
            self.large_object = Some(self.end);
        } else if text.starts_with(b"SELECT pg_catalog.lo_close(") {
            self.large_object = None;
        } else if text.starts_with(b"COPY ") {
            self.copy = text.to_vec();
        }
        self.before = std::mem::replace(&mut self.end, end);
    }

    fn copied(&mut self, place: usize, end: u64) {
        self.copied.push((place, end));
        self.before = std::mem::replace(&mut self.end, end);
    }
}

impl Segment {
    /// From `start` on, of which the reader gets `prefix` instead of what stands before
    /// `next`.
    pub fn new(start: u64, next: u64, prefix: &[u8], is_sure: bool) -> Self {
        let mut reader = DumpReader::watched(Marks::default());
        let mut given = 0;
        if start > 0 || !prefix.is_empty() {
            reader.feed(HEADER);
            reader.feed(prefix);
            given = (HEADER.len() + prefix.len()) as u64;
        }
        Self {
            reader,
            start,
            before: Vec::new(),
            prefix: given,
            read_at: next,
            line_at: next,
            is_sure,
            rows: None,
        }
    }

    pub fn feed(&mut self, piece: &[u8], at: u64) {
        self.reader.feed(piece);
        if let Some(end) = memrchr(b'\n', piece) {
            self.line_at = at + end as u64 + 1;
        }
    }

    /// A place of the reader's in the stream.
    pub fn in_stream(&self, place: u64) -> u64 {
        (self.read_at + place)
            .saturating_sub(self.prefix)
            .max(self.start)
    }

    /// Behind the last statement that can be kept.
    pub fn sound_end(&self) -> u64 {
        let marks = self.reader.watch();
        self.in_stream(marks.large_object.unwrap_or(marks.end))
    }

    pub fn restriction(&self) -> Option<Vec<u8>> {
        self.reader.watch().token.clone()
    }
}
