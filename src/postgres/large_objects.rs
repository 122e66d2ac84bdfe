//! Takes the transactions away that a dump opens of its own around the contents
//! of large objects, so that the whole of it can be one transaction. Pure.
//!
//! Only lines between the section's own heading and the first that is not of its
//! kind are looked at, so a row or a function's body that reads COMMIT passes.
//! Line numbers stay as they were.

use std::io::{self, Write};

use memchr::memchr;

const HEADING: &[u8] = b"-- Data for Name: BLOBS; Type: BLOBS;";
const CALL: &[u8] = b"SELECT pg_catalog.lo";
/// As much of a line as tells what it is.
const TELLING_BYTES: usize = HEADING.len();

/// Passes a dump on, without these lines.
#[derive(Debug, Default)]
pub struct LargeObjectFilter {
    inside: bool,
    /// The beginning of a line whose end is not here yet.
    held: Vec<u8>,
    /// The line's beginning is through; so is the rest of it.
    passing: bool,
}

impl LargeObjectFilter {
    pub fn push(&mut self, mut bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.passing || !self.held.is_empty() {
                bytes = self.go_on(bytes, out)?;
                continue;
            }
            // Whole lines at once, up to the first that matters.
            let through = self.plain_bytes(bytes);
            out.write_all(&bytes[..through])?;
            bytes = &bytes[through..];
            if !bytes.is_empty() {
                bytes = self.go_on(bytes, out)?;
            }
        }
        Ok(())
    }

    /// The end of the dump.
    pub fn finish(mut self, out: &mut impl Write) -> io::Result<()> {
        let held = std::mem::take(&mut self.held);
        out.write_all(&held)
    }

    /// How much of `bytes` is whole lines that pass and change nothing.
    fn plain_bytes(&self, bytes: &[u8]) -> usize {
        if self.inside {
            return 0;
        }
        let mut at = 0;
        while let Some(end) = memchr(b'\n', &bytes[at..]) {
            if bytes[at..].starts_with(HEADING) {
                break;
            }
            at += end + 1;
        }
        at
    }

    /// One line, or what is here of it; gives what follows.
    fn go_on<'a>(&mut self, bytes: &'a [u8], out: &mut impl Write) -> io::Result<&'a [u8]> {
        let end = memchr(b'\n', bytes).map(|at| at + 1);
        let (piece, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        if self.passing {
            self.passing = end.is_none();
            out.write_all(piece)?;
            return Ok(rest);
        }
        self.held.extend_from_slice(piece);
        if end.is_none() && self.held.len() < TELLING_BYTES {
            return Ok(rest);
        }
        self.passing = end.is_none();
        let line = std::mem::take(&mut self.held);
        match self.inside && (line == b"BEGIN;\n" || line == b"COMMIT;\n") {
            true => out.write_all(b"\n")?,
            false => {
                let blank = line == b"\n" || line == b"--\n";
                self.inside =
                    line.starts_with(HEADING) || self.inside && (blank || line.starts_with(CALL));
                out.write_all(&line)?;
            }
        }
        Ok(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::LargeObjectFilter;

    fn filtered(dump: &str, piece_bytes: usize) -> String {
        let mut filter = LargeObjectFilter::default();
        let mut out = Vec::new();
        for piece in dump.as_bytes().chunks(piece_bytes) {
            filter.push(piece, &mut out).unwrap();
        }
        filter.finish(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_sections_own_transaction_goes_and_nothing_else() {
        let long = "ab".repeat(500);
        let text = |begin: &str, commit: &str| {
            format!(
                "COPY t FROM stdin;\nBEGIN;\nCOMMIT;\n\\.\n--\n-- Data for Name: BLOBS; Type: \
                 BLOBS; Schema: -; Owner: -\n--\n\n{begin}\n\nSELECT pg_catalog.lo_open('1', \
                 131072);\nSELECT pg_catalog.lowrite(0, '\\x{long}');\nSELECT \
                 pg_catalog.lo_close(0);\n\n{commit}\n\n--\n-- Name: p(); Type: PROCEDURE\n--\n\n\
                 CREATE PROCEDURE p() AS $$\nBEGIN;\nCOMMIT;\n$$;\n-- end"
            )
        };
        for piece_bytes in [1, 7, 36, 37, 38, 100_000] {
            let dump = text("BEGIN;", "COMMIT;");
            assert_eq!(filtered(&dump, piece_bytes), text("", ""), "{piece_bytes}");
        }
    }
}
