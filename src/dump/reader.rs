//! Reads a dump once and keeps what stands where.
//!
//! Owns the cuts. Invariant: the sections join without a gap from the dump's
//! first byte to its last.

use super::describe;
use super::{Contents, Entry, Needs, Section};
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
            needs: collector.needs,
            ledger,
        })
    }
}

struct Collector {
    entries: Vec<Entry>,
    /// Of the settings between them.
    needs: Needs,
    /// Where each section begins, and its entry if it holds one.
    cuts: Vec<(u64, Option<usize>)>,
}

impl Default for Collector {
    /// The dump's head comes first.
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            needs: Needs::default(),
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
            self.needs.read(text, backslashes);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn dumps() -> Vec<(String, Vec<u8>)> {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/dumps");
        let entries = std::fs::read_dir(directory).expect("tests/data/dumps is there");
        let paths = entries.map(|entry| entry.expect("readable").path());
        let named = paths.map(|path| (path.display().to_string(), path));
        named
            .filter(|(name, _)| name.ends_with(".sql") && !name.ends_with("make.sql"))
            .map(|(name, path)| (name, std::fs::read(path).expect("readable")))
            .collect()
    }

    fn read(slices: &[&[u8]]) -> Contents {
        let mut reader = ContentsReader::new();
        slices.iter().for_each(|slice| reader.feed(slice));
        reader.finish().expect("a whole dump")
    }

    #[test]
    fn sections_join_to_the_dump_and_begin_at_their_titles() {
        for (name, bytes) in dumps() {
            let contents = read(&[&bytes]);
            let mut end = 0;
            for section in &contents.sections {
                assert_eq!(section.bytes.start, end, "{name}");
                end = section.bytes.end;
                let begins = &bytes[usize::try_from(section.bytes.start).expect("short")..];
                let expected: &[u8] = match section.entry {
                    Some(_) => b"--\n-- ",
                    None if section.bytes.start == 0 => b"--\n-- PostgreSQL database dump\n",
                    None if begins.starts_with(b"SET default_") => b"SET default_",
                    None => b"--\n-- PostgreSQL database dump complete\n",
                };
                assert!(
                    begins.starts_with(expected) || name.contains("verbose"),
                    "{name} at {}",
                    section.bytes.start
                );
            }
            assert_eq!(end, bytes.len() as u64, "{name}");
            let objects: u64 = contents.ledger.objects.values().sum();
            assert_eq!(contents.entries.len() as u64, objects, "{name}");
        }
    }

    #[test]
    fn cuts_of_the_input_do_not_matter() {
        for (name, bytes) in dumps() {
            let whole = read(&[&bytes]);
            // What is long is alike: a prime step is enough.
            let step = match bytes.len() {
                0..2048 => 1,
                2048..8192 => 7,
                _ => 251,
            };
            for at in (0..bytes.len()).step_by(step) {
                let (one, other) = bytes.split_at(at);
                assert_eq!(read(&[one, other]), whole, "{name} cut at {at}");
            }
            let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(read(&bytewise), whole, "{name} byte by byte");
        }
    }

    #[test]
    fn names_are_those_of_the_sql() {
        let odd = dumps()
            .into_iter()
            .find(|(name, _)| name.ends_with("odd_names.sql"));
        let contents = read(&[&odd.expect("there").1]);
        let tables = contents
            .entries
            .iter()
            .filter(|entry| entry.object_type == "TABLE");
        let mut names: Vec<String> = tables.map(|entry| entry.own_name().to_string()).collect();
        names.sort();
        assert_eq!(
            names,
            [
                "\"Ünïcode.schema\".\"with.dot\"",
                "public.\"fake; Type: FAKE; Schema: public; Owner: x\"",
                "public.\"has \"\"quotes\"\"\"",
                "public.\"new\nline\"",
                "public.\"x (a) FROM stdin;\"",
                "public.\"日本語\"",
                "public.nocols",
                "public.norows",
            ]
        );
    }
}
