//! What a plain dump passes on its way into a new database.
//!
//! Owns what of its text is not run as it stands: its own restriction and the
//! transactions around its large objects, as it runs in ours; the schema `public`,
//! which every new database has; settings that the server does not know; owners, grants
//! and settings that the operator leaves out; names that psql would take for its
//! variables. Whole statements are exchanged, as the ledger's
//! reader finds them, so a row or a function's body that reads the same passes. Line
//! numbers stay as they were.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;

use memchr::memmem;

use crate::dump::gives_owner;
use crate::ledger::{Cursor, DumpReader, Ledger, LedgerError, ObjectTitle, PublicSchema, Watch};
use crate::postgres::{PRIVILEGE_TYPES, RestrictFilter, SessionOptions};

/// So much is held back: a statement that is exchanged is no longer.
const HELD_BYTES: usize = 256;
/// The same where owners or grants are left out: a function has 100 arguments at most.
const HELD_WITH_NAMES_BYTES: usize = 64 << 10;

/// Settings of a dump's head that every server knows since the oldest that is
/// supported.
const ALWAYS_KNOWN: [&str; 11] = [
    "check_function_bodies",
    "client_encoding",
    "client_min_messages",
    "default_toast_compression",
    "escape_string_warning",
    "idle_in_transaction_session_timeout",
    "lock_timeout",
    "row_security",
    "standard_conforming_strings",
    "statement_timeout",
    "xmloption",
];

/// A dump on its way.
pub(super) struct Passage {
    reader: DumpReader<(Statements, PublicSchema)>,
    /// What may be part of a statement that is exchanged.
    held: Vec<u8>,
    /// Where in the dump `held` begins.
    held_at: u64,
    held_bytes: usize,
    restrict: RestrictFilter,
}

/// What came through.
pub(super) struct Passed {
    pub ledger: Ledger,
    /// Settings.
    pub left_out: Vec<String>,
    pub public: PublicSchema,
}

/// Why a dump did not come through.
pub(super) enum Unpassed {
    Dump(LedgerError),
    Write(io::Error),
}

impl Passage {
    pub fn new(options: &SessionOptions) -> Self {
        let held_bytes = match options.no_owner || options.no_privileges {
            true => HELD_WITH_NAMES_BYTES,
            false => HELD_BYTES,
        };
        let statements = Statements {
            options: options.clone(),
            held_bytes,
            ..Statements::default()
        };
        Self {
            reader: DumpReader::watched((statements, PublicSchema::default())),
            held: Vec::new(),
            held_at: 0,
            held_bytes,
            restrict: RestrictFilter::default(),
        }
    }

    /// Reads the next piece, which [`Passage::pass`] is to be given then.
    pub fn read(&mut self, piece: &[u8]) {
        self.reader.feed(piece);
    }

    /// Settings of which the server is to be asked whether it knows them.
    pub fn asked(&mut self) -> Vec<String> {
        let settings = &self.reader.watch_mut().0.settings;
        let asked = settings
            .iter()
            .filter(|(_, setting)| setting.is_known.is_none());
        asked.map(|(name, _)| name.clone()).collect()
    }

    pub fn answer(&mut self, name: String, is_known: bool) {
        let (statements, _) = self.reader.watch_mut();
        if let Some(setting) = statements.settings.get_mut(&name) {
            setting.is_known = Some(is_known);
            if !is_known {
                statements.exchanged.append(&mut setting.statements);
            }
        }
    }

    /// Passes on what was read. A dump that is none is read to its end, for what is
    /// checked there, but psql gets no more of it.
    pub fn pass(&mut self, piece: &[u8], out: &mut impl Write) -> io::Result<()> {
        if !self.reader.is_sound() {
            return Ok(());
        }
        let mut exchanged = std::mem::take(&mut self.reader.watch_mut().0.exchanged);
        if exchanged.is_empty() {
            return self.pass_plainly(piece, out);
        }
        exchanged.sort_by_key(|exchange| exchange.bytes.start);
        self.held.extend_from_slice(piece);
        for exchange in exchanged {
            self.exchange(&exchange, out)?;
        }
        self.pass_plainly(&[], out)
    }

    /// All but the last bytes.
    fn pass_plainly(&mut self, piece: &[u8], out: &mut impl Write) -> io::Result<()> {
        let all = self.held.len() + piece.len();
        let through = all.saturating_sub(self.held_bytes);
        let of_held = through.min(self.held.len());
        let held: Vec<u8> = self.held.drain(..of_held).collect();
        self.restrict.push(&held, out)?;
        let (now, later) = piece.split_at(through - of_held);
        self.restrict.push(now, out)?;
        self.held.extend_from_slice(later);
        self.held_at += through as u64;
        Ok(())
    }

    /// All up to the statement, and what stands for it; that is behind `held_at` in any
    /// case, as what is longer is not exchanged.
    fn exchange(&mut self, exchange: &Exchange, out: &mut impl Write) -> io::Result<()> {
        let place = |at: u64| usize::try_from(at.saturating_sub(self.held_at));
        let (Ok(start), Ok(end)) = (place(exchange.bytes.start), place(exchange.bytes.end)) else {
            return Ok(());
        };
        let end = end.min(self.held.len());
        if !exchange.is_at(self.held.get(start..end).unwrap_or_default()) {
            return Ok(());
        }
        let through: Vec<u8> = self.held.drain(..end).collect();
        self.held_at += through.len() as u64;
        self.restrict.push(&through[..start.min(end)], out)?;
        self.restrict.push(exchange.by.as_bytes(), out)
    }

    /// The end of the dump.
    pub fn finish(self, out: &mut impl Write) -> Result<Passed, Unpassed> {
        let finished = self.reader.finish_watched();
        let (ledger, (statements, public), _) = finished.map_err(Unpassed::Dump)?;
        let public = public.without(
            statements.options.no_owner,
            statements.options.no_privileges,
        );
        let mut restrict = self.restrict;
        let passed = restrict
            .push(&self.held, out)
            .and_then(|()| restrict.finish(out));
        passed.map_err(Unpassed::Write)?;
        Ok(Passed {
            ledger,
            left_out: statements.left_out(),
            public,
        })
    }
}

/// A statement, and what stands for it.
struct Exchange {
    bytes: Range<u64>,
    by: Cow<'static, str>,
    /// What must stand there: of a statement with comments in it only the rest is known.
    text: Option<Vec<u8>>,
}

impl Exchange {
    fn new(bytes: Range<u64>, by: &'static str) -> Self {
        Self {
            bytes,
            by: by.into(),
            text: None,
        }
    }

    fn is_at(&self, held: &[u8]) -> bool {
        let text = self.text.as_ref();
        text.is_none_or(|text| held.strip_suffix(b";") == Some(text))
    }
}

/// pg_dump finds names by their schemas alone.
const EMPTY_SEARCH_PATH: &[u8] = b"SELECT pg_catalog.set_config('search_path', '', false)";

/// `SET name = ..` in a dump's head.
#[derive(Default)]
struct Setting {
    /// By the server; `None` until it was asked.
    is_known: Option<bool>,
    statements: Vec<Exchange>,
}

/// Finds what is to be exchanged.
#[derive(Default)]
struct Statements {
    options: SessionOptions,
    held_bytes: usize,
    /// Found, and not yet exchanged.
    exchanged: Vec<Exchange>,
    settings: BTreeMap<String, Setting>,
    /// The dump itself has removed `public` before it makes it.
    is_cleaned: bool,
    /// The first object is there.
    is_in_body: bool,
    /// Within the section of large objects' contents, which pg_dump puts into a
    /// transaction of its own.
    is_in_large_objects: bool,
    /// Within grants: others than the owner make theirs in a session of their own.
    is_in_grants: bool,
}

impl Statements {
    /// Whether the operator wants it not.
    fn is_unwanted(&self, text: &[u8], backslashes: bool) -> bool {
        let starts = |with: &[&[u8]]| with.iter().any(|with| text.starts_with(with));
        let (owner, privileges) = (self.options.no_owner, self.options.no_privileges);
        if starts(&[
            b"SET SESSION AUTHORIZATION ",
            b"RESET SESSION AUTHORIZATION",
        ]) {
            return if self.is_in_grants { privileges } else { owner };
        }
        if starts(&[b"SET "]) {
            return name_of_setting(text).is_some_and(|name| self.options.sets(&name));
        }
        if let Some(rest) = text.strip_prefix(b"COMMENT ON EXTENSION ") {
            let name = Cursor { rest, backslashes }.identifier();
            return name.is_some_and(|name| self.options.kept_extensions.contains(&name));
        }
        if text == EMPTY_SEARCH_PATH {
            return self.options.sets("search_path");
        }
        privileges && starts(&[b"GRANT ", b"REVOKE ", b"ALTER DEFAULT PRIVILEGES "])
            || owner && gives_owner(text, backslashes)
    }

    /// `pg_dump --clean` first drops what it makes; there is nothing in a new database.
    fn is_too_early(&self, text: &[u8]) -> bool {
        let has = |words: &[u8]| memmem::find(text, words).is_some();
        let drops = text.starts_with(b"DROP ") || text.starts_with(b"ALTER ") && has(b" DROP ");
        !self.is_in_body && drops && !has(b" IF EXISTS ")
    }

    /// The lines that it has stay.
    fn leave_out(&mut self, text: &[u8], bytes: Range<u64>) {
        let lines = text.iter().filter(|byte| **byte == b'\n').count();
        self.exchanged.push(Exchange {
            bytes,
            by: "\n".repeat(lines).into(),
            text: Some(text.to_vec()),
        });
    }

    fn setting(&mut self, text: &[u8], bytes: Range<u64>) {
        let Some(name) = name_of_setting(text) else {
            return;
        };
        if ALWAYS_KNOWN.contains(&name.as_str()) {
            return;
        }
        let setting = self.settings.entry(name).or_default();
        let exchange = Exchange::new(bytes, "");
        match setting.is_known {
            None => setting.statements.push(exchange),
            Some(false) => self.exchanged.push(exchange),
            Some(true) => {}
        }
    }

    fn left_out(self) -> Vec<String> {
        let unknown = self.settings.into_iter();
        let unknown = unknown.filter(|(_, setting)| setting.is_known == Some(false));
        unknown.map(|(name, _)| name).collect()
    }
}

/// pg_dump writes `SET transaction_timeout = 0`. An extension's own, with a dot, every
/// server takes.
fn name_of_setting(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let (name, _) = text.strip_prefix("SET ")?.split_once(" = ")?;
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (!name.is_empty() && name.bytes().all(is_name)).then(|| name.to_owned())
}

impl Watch for Statements {
    fn object(&mut self, _: u64, title: ObjectTitle) {
        self.is_in_body = true;
        self.is_in_large_objects = title.object_type == "BLOBS";
        self.is_in_grants = PRIVILEGE_TYPES.contains(&title.object_type.as_str());
    }

    fn trailer(&mut self, _: u64) {
        self.is_in_large_objects = false;
    }

    /// A blank means nothing to SQL there, and ends the name for psql.
    fn after_colon(&mut self, at: u64) {
        self.exchanged.push(Exchange::new(at..at, " "));
    }

    fn statement(&mut self, text: &[u8], backslashes: bool, end: u64) {
        let length = text.len() + ";".len();
        if length > self.held_bytes {
            return;
        }
        let bytes = end.saturating_sub(length as u64)..end;
        match text {
            _ if self.is_unwanted(text, backslashes) || self.is_too_early(text) => {
                self.leave_out(text, bytes);
            }
            // The dump of a part makes it, that of a whole database does not. Grants
            // are told by the difference to those of a new database, the comment whole.
            b"CREATE SCHEMA public" | b"CREATE SCHEMA \"public\"" if !self.is_cleaned => {
                let by = "COMMENT ON SCHEMA public IS NULL;";
                self.exchanged.push(Exchange::new(bytes, by));
            }
            b"BEGIN" | b"COMMIT" if self.is_in_large_objects => {
                self.exchanged.push(Exchange::new(bytes, ""));
            }
            _ if text.starts_with(b"DROP SCHEMA ") => {
                self.is_cleaned |= text.ends_with(b"public") || text.ends_with(b"\"public\"");
            }
            _ if !self.is_in_body && text.starts_with(b"SET ") => self.setting(text, bytes),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict KEY\n\n\
        SET statement_timeout = 0;\nSET transaction_timeout = 0;\nSET far_future = 'x';\n\n\
        --\n-- Name: public; Type: SCHEMA; Schema: -; Owner: o\n--\n\nCREATE SCHEMA public;\n\n\
        --\n-- Name: f(); Type: FUNCTION; Schema: public; Owner: o\n--\n\n\
        CREATE FUNCTION public.f() RETURNS text AS $$\nCREATE SCHEMA public;\n\
        SET transaction_timeout = 0;\n$$;\n\n\
        --\n-- Name: t; Type: TABLE; Schema: public; Owner: o\n--\n\n\
        CREATE TABLE public.t (a text);\n\nCOPY public.t (a) FROM stdin;\n\
        CREATE SCHEMA public;\n--\n-- Name: public; Type: SCHEMA; Schema: -; Owner: o\n--\n\n\
        CREATE SCHEMA public;\n\\.\n\nSET transaction_timeout = 0;\n\
        --\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict KEY\n\n";

    fn passed(dump: &str, piece_bytes: usize, known: &[&str]) -> (String, Vec<String>) {
        let mut passage = Passage::new(&SessionOptions::default());
        let mut out = Vec::new();
        for piece in dump.as_bytes().chunks(piece_bytes) {
            passage.read(piece);
            for name in passage.asked() {
                let is_known = known.contains(&name.as_str());
                passage.answer(name, is_known);
            }
            passage.pass(piece, &mut out).unwrap();
        }
        let Ok(Passed { left_out, .. }) = passage.finish(&mut out) else {
            panic!("whole");
        };
        (String::from_utf8(out).unwrap(), left_out)
    }

    #[test]
    fn statements_go_that_cannot_run_and_nothing_that_only_reads_the_same() {
        let by = "COMMENT ON SCHEMA public IS NULL;";
        let expected = DUMP
            .replacen("\\restrict KEY\n", "\n", 1)
            .replacen("CREATE SCHEMA public;", by, 1)
            .replacen("SET transaction_timeout = 0;", "", 1)
            .replacen("\n\\unrestrict KEY\n\n", "\n", 1);
        for piece_bytes in [1, 7, 255, 256, 257, 100_000] {
            let (text, left_out) = passed(DUMP, piece_bytes, &["far_future"]);
            assert_eq!(text, expected, "{piece_bytes}");
            assert_eq!(left_out, ["transaction_timeout"]);
        }
        let (text, left_out) = passed(DUMP, 9, &["far_future", "transaction_timeout"]);
        assert!(text.contains("SET transaction_timeout = 0;\nSET far_future = 'x';\n"));
        assert_eq!(left_out, [""; 0]);
    }

    #[test]
    fn the_transaction_around_large_objects_goes_and_nothing_that_only_reads_the_same() {
        let long = "ab".repeat(500);
        let heading = |name: &str| {
            format!("--\n-- Data for Name: {name}; Type: BLOBS; Schema: -; Owner: -\n--\n\n")
        };
        let text = |name: &str, begin: &str, commit: &str| {
            let body = heading(name) + "BEGIN;\nCOMMIT;\n";
            let objects = format!(
                "{}{begin}\n\nSELECT pg_catalog.lo_open('1', 131072);\nSELECT \
                 pg_catalog.lowrite(0, '\\x{long}');\nSELECT pg_catalog.lo_close(0);\n\n{commit}\n\n",
                heading(name)
            );
            let rows = format!("COPY public.t (a) FROM stdin;\n{body}\\.\n\n");
            let procedure = format!(
                "--\n-- Name: p(); Type: PROCEDURE; Schema: public; Owner: o\n--\n\n\
                 CREATE PROCEDURE public.p() LANGUAGE plpgsql AS $$\n{body}$$;\n\n\
                 CREATE VIEW public.v AS SELECT '\n{body}'::text;\n\n"
            );
            DUMP.replacen(
                "--\n-- PostgreSQL database dump complete",
                &format!("{rows}{objects}{procedure}--\n-- PostgreSQL database dump complete"),
                1,
            )
        };
        for name in ["BLOBS", "16400", "4294967294..4294967295"] {
            let (expected, _) = passed(&text(name, "", ""), 100_000, &["far_future"]);
            for piece_bytes in [1, 7, 36, 255, 100_000] {
                let dump = text(name, "BEGIN;", "COMMIT;");
                let (text, _) = passed(&dump, piece_bytes, &["far_future"]);
                assert_eq!(text, expected, "{name} {piece_bytes}");
            }
        }
    }

    #[test]
    fn no_name_is_taken_for_a_variable_of_psql() {
        let check = |slice: &str, cast: &str| {
            let table = format!(
                "CREATE TABLE public.t (a int[], \"PORT\" int, CONSTRAINT c CHECK ((a[1{slice}\"PORT\"] \
                 <> '{{1:\"PORT\"}}'{cast})));"
            );
            DUMP.replacen("CREATE TABLE public.t (a text);", &table, 1)
        };
        for piece_bytes in [1, 7, 255, 100_000] {
            let (text, _) = passed(&check(":", "::\"T\""), piece_bytes, &["far_future"]);
            let (expected, _) = passed(&check(": ", "::\"T\""), 100_000, &["far_future"]);
            assert_eq!(text, expected, "{piece_bytes}");
        }
    }

    #[test]
    fn a_dump_that_removes_public_makes_it_too() {
        let drop = "DROP SCHEMA IF EXISTS public;\nCREATE SCHEMA public;";
        let dump = DUMP.replacen("CREATE SCHEMA public;", drop, 1);
        let (text, _) = passed(&dump, 11, &[]);
        assert!(text.contains(drop), "{text}");
    }
}
