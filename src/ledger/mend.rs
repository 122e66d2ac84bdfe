//! Makes a whole plain dump of what is left of a damaged one: whole statements and whole
//! rows, in order.
//!
//! Behind a gap the next place is looked for at which a statement begins. The end of a
//! table's rows is one for sure: no row can look like it. An object's title may be a row
//! of somebody's, so what follows it is dropped where the rows behind it are not those
//! that the manifest knows, and told as doubtful where nothing shows that they are.

use std::io;

use memchr::memchr;

use super::Ledger;
use crate::format::mended::{Gap, Plan, Stretches};

mod search;
mod segment;

use search::{Found, Search};
use segment::{CutRows, Segment};

const HEADER: &[u8] = b"--\n-- PostgreSQL database dump\n--\n\n";
const TRAILER: &[u8] = b"\n--\n-- PostgreSQL database dump complete\n--\n\n";
const END_OF_ROWS: &[u8] = b"\\.\n\n";
/// What a dump's head sets; it may be lost.
const SETTINGS: &[u8] = b"\nSET statement_timeout = 0;\nSET lock_timeout = 0;\n\
    SET standard_conforming_strings = on;\n\
    SELECT pg_catalog.set_config('search_path', '', false);\n\
    SET check_function_bodies = false;\nSET xmloption = content;\n\
    SET client_min_messages = warning;\nSET row_security = off;\n\n";

/// What can be made of a damaged dump.
#[derive(Debug, Default)]
pub struct MendedDump {
    pub plan: Plan,
    /// Tables of which rows are lost for sure, as `schema.name`.
    pub cut_tables: Vec<String>,
    /// Something was kept of which nothing shows that it is no row of a table.
    pub is_doubtful: bool,
}

/// Reads `stream` to its end. `known`: what the manifest knows of the dump.
pub fn mend_dump(
    stream: &mut dyn Stretches,
    known: Option<&Ledger>,
    encoding: &str,
) -> io::Result<MendedDump> {
    let mut mender = Mender::new(known, encoding);
    loop {
        let at = stream.position();
        let piece = stream.fill_buf()?;
        if piece.is_empty() {
            mender.cut(at);
            match stream.next_stretch()? {
                Some(gap) => mender.go_on(gap),
                None => break,
            }
            continue;
        }
        let used = mender.take(piece, at);
        stream.consume(used);
    }
    Ok(mender.finish())
}

struct Mender<'a> {
    known: Option<&'a Ledger>,
    settings: Vec<u8>,
    done: MendedDump,
    has_head: bool,
    state: State,
    /// The token of psql's restricted mode, where the entry to it was kept.
    restricted: Option<Vec<u8>>,
    is_over: bool,
    /// The rows that the last gap cut.
    cut_rows: Option<CutRows>,
}

enum State {
    Reading(Box<Segment>),
    Looking(Search),
    /// Behind a gap in rows: their first line is a part of one.
    InRows(CutRows),
    /// The trailer was there.
    Ended,
}

impl<'a> Mender<'a> {
    fn new(known: Option<&'a Ledger>, encoding: &str) -> Self {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mut settings = SETTINGS.to_vec();
        if !encoding.is_empty() && encoding.chars().all(is_name) {
            settings.extend(format!("SET client_encoding = '{encoding}';\n\n").bytes());
        }
        Self {
            known,
            settings,
            done: MendedDump::default(),
            has_head: false,
            state: State::Reading(Box::new(Segment::new(0, 0, b"", true))),
            restricted: None,
            is_over: false,
            cut_rows: None,
        }
    }

    /// Takes what it can of the piece at `at`.
    fn take(&mut self, piece: &[u8], at: u64) -> usize {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Ended => piece.len(),
            State::Reading(segment) => self.read(segment, piece, at),
            State::Looking(search) => self.look(search, piece, at),
            State::InRows(rows) => self.skip_to_row(rows, piece, at),
        }
    }

    fn read(&mut self, mut segment: Box<Segment>, piece: &[u8], at: u64) -> usize {
        segment.feed(piece, at);
        if let Some(used) = self.judge(&mut segment, at) {
            return used;
        }
        if let Some(trailer) = segment.reader.watch_mut().trailer {
            let end = segment.in_stream(trailer);
            self.keep(&segment, end);
            self.is_over = true;
            return piece.len();
        }
        if segment.reader.is_sound() {
            self.state = State::Reading(segment);
            return piece.len();
        }
        // Up to what it did not understand.
        let used = segment
            .in_stream(segment.reader.read_bytes())
            .saturating_sub(at);
        let used = usize::try_from(used)
            .unwrap_or(usize::MAX)
            .clamp(1, piece.len());
        if segment.is_sure {
            let end = segment.sound_end();
            self.keep(&segment, end);
        }
        let next = at + used as u64;
        self.state = match piece[..used].ends_with(b"\n\\.\n") {
            true => State::Reading(Box::new(Segment::new(next, next, b"", true))),
            false => State::Looking(Search::behind(piece[used - 1] != b'\n')),
        };
        used
    }

    /// What the rows say of a segment that is not sure. Tells how much of the piece was
    /// used where it is dropped.
    fn judge(&mut self, segment: &mut Segment, at: u64) -> Option<usize> {
        for (place, end) in std::mem::take(&mut segment.reader.watch_mut().copied) {
            segment.rows = None;
            let (Some(known), false) = (self.known, segment.is_sure) else {
                continue;
            };
            let found = segment.reader.table(place);
            let table = known.tables.iter();
            let mut table = table.filter(|it| it.schema == found.schema && it.name == found.name);
            match table.next() {
                Some(table) if *table == found => segment.is_sure |= found.rows > 0,
                _ => {
                    // They were rows, and have ended here.
                    let end = segment.in_stream(end);
                    let sure = Segment::new(end, end, b"", true);
                    self.state = State::Reading(Box::new(sure));
                    return usize::try_from(end.saturating_sub(at)).ok();
                }
            }
        }
        None
    }

    /// The stretch ends at `at`.
    fn cut(&mut self, at: u64) {
        let segment = match std::mem::replace(&mut self.state, State::Ended) {
            State::Reading(segment) => segment,
            State::InRows(rows) => {
                self.cut_rows = Some(rows);
                return;
            }
            State::Looking(_) | State::Ended => return,
        };
        let Some(place) = segment.reader.open_copy() else {
            let end = segment.sound_end();
            self.keep(&segment, end);
            return;
        };
        let marks = segment.reader.watch();
        let rows_at = segment.in_stream(marks.end) + 1;
        let table = segment.reader.table(place);
        let name = format!("{}.{}", table.schema, table.name);
        let first = match &segment.rows {
            Some(rows) => rows.passed,
            None => 0,
        };
        let rows_at = if segment.rows.is_some() {
            segment.start
        } else {
            rows_at
        };
        if segment.rows.is_none() && segment.line_at < rows_at {
            // Not even the statement's line is whole.
            let end = segment.in_stream(marks.before);
            self.keep(&segment, end);
        } else {
            self.keep(&segment, segment.line_at);
        }
        if !self.done.cut_tables.contains(&name) {
            self.done.cut_tables.push(name);
        }
        let is_begun = segment.rows.is_some() || segment.line_at >= rows_at;
        self.cut_rows = is_begun.then(|| CutRows {
            table,
            copy: marks.copy.clone(),
            passed: first + at.saturating_sub(rows_at),
        });
    }

    /// Behind a gap.
    fn go_on(&mut self, gap: Gap) {
        if self.is_over {
            return;
        }
        self.state = State::Looking(Search::behind(true));
        let Some(mut rows) = self.cut_rows.take() else {
            return;
        };
        let known = self.known.into_iter().flat_map(|known| &known.tables);
        let mut known =
            known.filter(|it| it.schema == rows.table.schema && it.name == rows.table.name);
        let all = known.next().map(|table| table.bytes + table.rows);
        if let (Some(all), Some(gap)) = (all, gap.bytes)
            && rows.passed + gap < all
        {
            rows.passed += gap;
            self.state = State::InRows(rows);
            return;
        }
        self.done.plan.bytes(END_OF_ROWS);
    }

    fn skip_to_row(&mut self, mut rows: CutRows, piece: &[u8], at: u64) -> usize {
        let Some(end) = memchr(b'\n', piece) else {
            rows.passed += piece.len() as u64;
            self.state = State::InRows(rows);
            return piece.len();
        };
        let used = end + 1;
        rows.passed += used as u64;
        let start = at + used as u64;
        let prefix = [&rows.copy[..], b";\n"].concat();
        let mut segment = Segment::new(start, start, &prefix, true);
        segment.rows = Some(rows);
        self.state = State::Reading(Box::new(segment));
        used
    }

    fn look(&mut self, mut search: Search, piece: &[u8], at: u64) -> usize {
        let (used, found) = search.line(piece);
        let next = at + used as u64;
        let mut segment = match found {
            Found::Nothing => {
                self.state = State::Looking(search);
                return used;
            }
            Found::EndOfRows => Segment::new(next, next, b"", true),
            Found::Title(title) => Segment::new(next - title.len() as u64, next, &title, false),
        };
        segment.before.clone_from(&self.settings);
        self.state = State::Reading(Box::new(segment));
        used
    }

    fn keep(&mut self, segment: &Segment, end: u64) {
        if end <= segment.start {
            return;
        }
        if !self.has_head && (segment.prefix > 0 || !segment.before.is_empty()) {
            self.done.plan.bytes(HEADER);
        }
        self.has_head = true;
        self.restricted = self.restricted.take().or_else(|| segment.restriction());
        self.done.plan.bytes(&segment.before);
        self.done.plan.keep(segment.start..end);
        self.done.is_doubtful |= !segment.is_sure;
    }

    fn finish(mut self) -> MendedDump {
        if self.cut_rows.is_some() {
            self.done.plan.bytes(END_OF_ROWS);
        }
        if !self.has_head {
            self.done.plan.bytes(HEADER);
        }
        self.done.plan.bytes(TRAILER);
        if let Some(token) = self.restricted {
            let leave = [b"\\unrestrict ", &token[..], b"\n\n"].concat();
            self.done.plan.bytes(&leave);
        }
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::mended::pieces::{Pieces, made};
    use crate::ledger::DumpReader;

    fn dump() -> String {
        let title = |what: &str, kind: &str| {
            format!("--\n-- {what}; Type: {kind}; Schema: public; Owner: o\n--\n\n")
        };
        let mut text = "--\n-- PostgreSQL database dump\n--\n\n\\restrict KEY\n\n\
            SET statement_timeout = 0;\nSET standard_conforming_strings = on;\n\n"
            .to_owned();
        for table in ["a", "b", "c", "d"] {
            text += &title(&format!("Name: {table}"), "TABLE");
            text += &format!("CREATE TABLE public.{table} (n integer, t text);\n\n\n");
        }
        for table in ["a", "b", "c", "d"] {
            text += &title(&format!("Data for Name: {table}"), "TABLE DATA");
            text += &format!("COPY public.{table} (n, t) FROM stdin;\n");
            for row in 0..20 {
                text += &format!("{row}\t{table} {row}\n");
            }
            text += "\\.\n\n\n";
        }
        text += &title("Name: a a_key", "CONSTRAINT");
        text += "ALTER TABLE ONLY public.a\n    ADD CONSTRAINT a_key PRIMARY KEY (n);\n\n\n";
        text + "--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict KEY\n\n"
    }

    fn ledger(text: &str) -> Ledger {
        let mut reader = DumpReader::new();
        reader.feed(text.as_bytes());
        reader.finish().unwrap()
    }

    /// The mended text, and the tables that were cut.
    fn mended(
        text: &str,
        lost: std::ops::Range<usize>,
        known: Option<&Ledger>,
    ) -> (String, MendedDump) {
        let gap = Gap {
            bytes: Some(lost.len() as u64),
        };
        let (before, behind) = (&text.as_bytes()[..lost.start], &text.as_bytes()[lost.end..]);
        let mut pieces = Pieces::new(vec![(before, Some(gap)), (behind, None)]);
        let mended = mend_dump(&mut pieces, known, "UTF8").unwrap();
        let out = made(mended.plan.clone(), &[before, behind].concat());
        (String::from_utf8(out).unwrap(), mended)
    }

    /// Wherever the gap is: it is a whole dump again, no table has a row that it had
    /// not, and what the gap did not meet is as it was.
    #[test]
    fn every_gap_leaves_a_whole_dump_of_what_it_did_not_meet() {
        let text = dump();
        let whole = ledger(&text);
        for known in [Some(&whole), None] {
            for start in (0..text.len()).step_by(3) {
                for len in [1, 40, 333, 900] {
                    let lost = start..(start + len).min(text.len());
                    let (out, mended) = mended(&text, lost.clone(), known);
                    let mut reader = DumpReader::new();
                    reader.feed(out.as_bytes());
                    let found = reader
                        .finish()
                        .unwrap_or_else(|e| panic!("{lost:?}: {e}\n{out}"));
                    for table in &whole.tables {
                        let place = |what: &str, end: &str| {
                            let from = text.find(what).unwrap() - "--\n-- ".len();
                            from..from + text[from..].find(end).unwrap() + end.len()
                        };
                        let data = place(&format!("Data for Name: {};", table.name), "\\.\n");
                        let made = place(&format!("Name: {};", table.name), ");\n");
                        let is_hit = |place: &std::ops::Range<usize>| {
                            lost.start < place.end && place.start < lost.end
                        };
                        let now = found.tables.iter().find(|it| it.name == table.name);
                        let is_there =
                            out.contains(&format!("CREATE TABLE public.{} ", table.name));
                        assert!(is_hit(&made) || is_there, "{lost:?}: {}\n{out}", table.name);
                        match now {
                            Some(now) if now == table => {}
                            Some(now) => {
                                assert!(now.rows < table.rows, "{lost:?}\n{out}");
                                let name = format!("public.{}", table.name);
                                assert!(mended.cut_tables.contains(&name), "{lost:?}\n{out}");
                            }
                            None => assert!(is_hit(&data), "{lost:?}: {}\n{out}", table.name),
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_whole_dump_stays_as_it_is() {
        let text = dump();
        let (out, mended) = mended(&text, text.len()..text.len(), None);
        assert_eq!(ledger(&out), ledger(&text));
        assert!(mended.cut_tables.is_empty() && !mended.is_doubtful);
    }

    #[test]
    fn rows_behind_a_gap_in_their_own_table_come_too() {
        let text = dump();
        let whole = ledger(&text);
        let start = text.find("7\tc 7\n").unwrap();
        let (out, mended) = mended(&text, start + 2..start + 8, Some(&whole));
        assert!(out.contains("6\tc 6\n9\tc 9\n"), "{out}");
        assert_eq!(mended.cut_tables, ["public.c"]);
        assert!(!mended.is_doubtful);
    }

    /// Whoever writes rows cannot have them run.
    #[test]
    fn rows_that_read_as_sql_stay_rows() {
        let evil = "--\n-- Name: evil; Type: TABLE; Schema: public; Owner: o\n--\n\n\
                    CREATE TABLE public.evil ();\n\n";
        for end in [
            "x\n",
            "COPY public.d (n, t) FROM stdin;\n",
            "COPY public.d (n, t) FROM stdin;\n1\ty\n",
        ] {
            let rows = format!("0\tb 0\n{evil}{end}");
            let text = dump().replacen("0\tb 0\n", &rows, 1);
            let whole = ledger(&text);
            let start = text.find("-- Data for Name: b").unwrap() + 5;
            let lost = start..text.find("0\tb 0\n").unwrap() + 2;
            let (out, _) = mended(&text, lost, Some(&whole));
            assert!(!out.contains("CREATE TABLE public.evil"), "{end}: {out}");
            assert!(out.contains("COPY public.c"), "{end}: {out}");
        }
    }
}
