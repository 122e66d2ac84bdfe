//! Looks for a place in the text of a dump at which a statement begins, line by line.

use memchr::memchr;
use memchr::memmem::find;

/// A longer line is no title.
const LINE_BYTES_MAX: usize = 64 << 10;

#[derive(Default)]
pub(super) struct Search {
    line: Vec<u8>,
    /// The first line is the end of one.
    is_cut: bool,
    /// A bare comment stands before the line.
    after_dashes: bool,
    is_too_long: bool,
}

/// What the last line was.
pub(super) enum Found {
    Nothing,
    EndOfRows,
    /// An object's title, with the bare comment before it.
    Title(Vec<u8>),
}

impl Search {
    /// `is_cut`: the first line is the end of one.
    pub fn behind(is_cut: bool) -> Self {
        Self {
            is_cut,
            ..Self::default()
        }
    }

    /// Takes a line, or what there is of it; how many bytes that were.
    pub fn line(&mut self, piece: &[u8]) -> (usize, Found) {
        let Some(end) = memchr(b'\n', piece) else {
            self.add(piece);
            return (piece.len(), Found::Nothing);
        };
        self.add(&piece[..end]);
        let line = std::mem::take(&mut self.line);
        let is_whole = !self.is_cut && !self.is_too_long;
        let found = match &line[..] {
            _ if !is_whole => Found::Nothing,
            b"\\." | b"\\.\r" => Found::EndOfRows,
            line if self.after_dashes && is_title(line) => {
                Found::Title([b"--\n", line, b"\n"].concat())
            }
            _ => Found::Nothing,
        };
        *self = Self {
            after_dashes: is_whole && line == b"--",
            ..Self::default()
        };
        (end + 1, found)
    }

    fn add(&mut self, piece: &[u8]) {
        self.is_too_long |= self.line.len() + piece.len() > LINE_BYTES_MAX;
        if !self.is_too_long {
            self.line.extend_from_slice(piece);
        }
    }
}

fn is_title(line: &[u8]) -> bool {
    let named = [&b"-- Name: "[..], b"-- Data for Name: "];
    named.iter().any(|start| line.starts_with(start)) && find(line, b"; Type: ").is_some()
}
