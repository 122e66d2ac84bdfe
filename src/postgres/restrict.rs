//! Takes a dump's own `\restrict` and `\unrestrict` lines away, so that the
//! whole of it can run under a restriction that the dump does not know. Pure.
//!
//! Only the dump's head and its last bytes are looked at: COPY data may hold
//! lines that look the same, and lie between. Line numbers stay as they were.

use std::io::{self, Write};

/// The head of a dump is a few comment lines; what is longer is data.
const HEAD_MAX_BYTES: usize = 8192;
/// Trailer comment, `\unrestrict` and its 63 characters take 130.
const TAIL_BYTES: usize = 512;
const RESTRICT: &[u8] = b"\\restrict ";
const UNRESTRICT: &[u8] = b"\\unrestrict ";

/// Passes a dump on, without these two lines.
#[derive(Debug)]
pub struct RestrictFilter {
    state: State,
    /// The key of the dump's own `\restrict`, if it had one.
    key: Option<Vec<u8>>,
    /// Head: all so far. Body: what may be part of the last lines.
    held: Vec<u8>,
}

#[derive(Debug, PartialEq)]
enum State {
    Head,
    Body,
}

impl Default for RestrictFilter {
    fn default() -> Self {
        Self {
            state: State::Head,
            key: None,
            held: Vec::with_capacity(HEAD_MAX_BYTES),
        }
    }
}

impl RestrictFilter {
    pub fn push(&mut self, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
        if self.state == State::Body {
            return self.pass(bytes, out);
        }
        self.held.extend_from_slice(bytes);
        let Some(head_bytes) = self.head_end() else {
            return Ok(());
        };
        let rest = self.held.split_off(head_bytes);
        self.end_head(out)?;
        self.pass(&rest, out)
    }

    /// The end of the dump: its last line is dropped if it lifts the
    /// restriction that its head laid on.
    pub fn finish(mut self, out: &mut impl Write) -> io::Result<()> {
        if self.state == State::Head {
            self.end_head(out)?;
        }
        let end = self.held.len() - self.unrestrict_bytes();
        out.write_all(&self.held[..end])
    }

    /// Where the head ends: at the first line that is neither empty nor a
    /// comment nor `\restrict`. `None` while that is not known.
    fn head_end(&self) -> Option<usize> {
        let mut at = 0;
        for line in self.held.split_inclusive(|b| *b == b'\n') {
            let whole = line.ends_with(b"\n");
            let belongs = line == b"\n" || line.starts_with(b"--") || line.starts_with(RESTRICT);
            if whole && !belongs {
                return Some(at);
            }
            if !whole {
                break;
            }
            at += line.len();
        }
        (self.held.len() > HEAD_MAX_BYTES).then_some(at)
    }

    fn end_head(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.state = State::Body;
        let head = std::mem::take(&mut self.held);
        for line in head.split_inclusive(|b| *b == b'\n') {
            match line.strip_prefix(RESTRICT) {
                Some(key) if self.key.is_none() => {
                    self.key = Some(key.trim_ascii().to_vec());
                    out.write_all(b"\n")?;
                }
                _ => out.write_all(line)?,
            }
        }
        Ok(())
    }

    fn pass(&mut self, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
        if let Some(sure) = bytes.len().checked_sub(TAIL_BYTES) {
            out.write_all(&self.held)?;
            out.write_all(&bytes[..sure])?;
            self.held.clear();
            self.held.extend_from_slice(&bytes[sure..]);
            return Ok(());
        }
        self.held.extend_from_slice(bytes);
        let surplus = self.held.len().saturating_sub(TAIL_BYTES);
        out.write_all(&self.held[..surplus])?;
        self.held.drain(..surplus);
        Ok(())
    }

    /// How many bytes at the end are the dump's own `\unrestrict` line.
    fn unrestrict_bytes(&self) -> usize {
        let Some(key) = &self.key else {
            return 0;
        };
        let text = self.held.trim_ascii_end();
        let line_at = text
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |at| at + 1);
        let same = text[line_at..].strip_prefix(UNRESTRICT) == Some(key);
        if same { self.held.len() - line_at } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::RestrictFilter;

    fn filtered(dump: &[u8], piece_bytes: usize) -> String {
        let mut filter = RestrictFilter::default();
        let mut out = Vec::new();
        for piece in dump.chunks(piece_bytes) {
            filter.push(piece, &mut out).unwrap();
        }
        filter.finish(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_dumps_own_lines_go_and_the_line_numbers_stay() {
        let dump =
            "--\n-- head\n--\n\n\\restrict KEY\n\nSET x;\nSELECT 1;\n--\n\n\\unrestrict KEY\n\n";
        let wanted = "--\n-- head\n--\n\n\n\nSET x;\nSELECT 1;\n--\n\n";
        for piece_bytes in [1, 7, 1000] {
            assert_eq!(filtered(dump.as_bytes(), piece_bytes), wanted);
        }
    }

    #[test]
    fn lines_within_the_dump_are_left_alone() {
        let data = "\\restrict KEY\n\\unrestrict KEY\n".repeat(100);
        let body = format!("COPY t FROM stdin;\n{data}\\.\n-- done\n");
        let dump = format!("-- head\n\\restrict KEY\n{body}\\unrestrict KEY\n");
        for piece_bytes in [1, 511, 512, 513, 100_000] {
            let wanted = format!("-- head\n\n{body}");
            assert_eq!(filtered(dump.as_bytes(), piece_bytes), wanted);
        }
    }

    #[test]
    fn a_dump_without_these_lines_passes_as_it_is() {
        for dump in [
            "",
            "\n",
            "SELECT 1;",
            "-- only a comment",
            "COPY t;\nx\n\\.\n",
        ] {
            assert_eq!(filtered(dump.as_bytes(), 3), dump);
        }
    }

    #[test]
    fn a_last_line_with_another_key_is_left_for_psql_to_refuse() {
        let dump = "\\restrict A\nSELECT 1;\n\\unrestrict B\n";
        assert_eq!(
            filtered(dump.as_bytes(), 4),
            "\nSELECT 1;\n\\unrestrict B\n"
        );
    }

    #[test]
    fn an_endless_head_is_not_held_for_ever() {
        let dump = "-- comment\n".repeat(10_000);
        let mut filter = RestrictFilter::default();
        let mut out = Vec::new();
        filter.push(dump.as_bytes(), &mut out).unwrap();
        assert!(out.len() > dump.len() - 1024);
        filter.finish(&mut out).unwrap();
        assert_eq!(out, dump.as_bytes());
    }
}
