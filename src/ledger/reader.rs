//! Reads a plain dump as it streams by and keeps the ledger.
//!
//! Owns the switch between SQL and `COPY` rows: rows are never read as SQL and
//! quoted text is never taken for rows. Refuses psql commands that pg_dump does
//! not write. Memory grows with tables and sequences, not with rows.

use std::collections::BTreeMap;

use memchr::memchr;

use super::columns::{Columns, Copies};
use super::comments::Block;
use super::inserts::Insert;
use super::kinds::Waiting;
use super::large_objects::LargeObjectReader;
use super::lexer::{Event, KEPT_BYTES, Lexer};
use super::rows::Tables;
use super::statement::{self, Statement, after_trailer, excerpt};
use super::watch::Watch;
use super::{Ledger, LedgerError, SequenceLedger};

mod asked;
mod titles;

/// Leaves psql's restricted mode, with the token that it was entered with.
const UNRESTRICT: &[u8] = b"\\unrestrict ";

/// Reads one dump, whole, in slices cut anywhere.
pub struct DumpReader<W = ()> {
    mode: Mode,
    lexer: Lexer,
    tables: Tables,
    copies: Copies,
    insert: Insert,
    objects: BTreeMap<String, u64>,
    sequences: BTreeMap<String, SequenceLedger>,
    large_objects: LargeObjectReader,
    block: Block,
    waiting: Waiting,
    header_seen: bool,
    trailer_seen: bool,
    /// The token that psql's restricted mode was entered with.
    restricted: Option<Vec<u8>>,
    error: Option<LedgerError>,
    /// Bytes read so far.
    offset: u64,
    /// Where the comment block began that is open.
    block_start: u64,
    watch: W,
}

#[derive(Clone, Copy)]
enum Mode {
    Sql,
    /// After `COPY ... FROM stdin;`, before its newline. The table's place.
    CopyLine(usize),
    CopyRows(usize),
}

impl Default for DumpReader {
    fn default() -> Self {
        Self::new()
    }
}

impl DumpReader {
    pub fn new() -> Self {
        Self::watched(())
    }

    /// For a dump that is compared with one of these columns: a row counts as if its
    /// fields stood in that one's order.
    pub fn like(columns: &Columns) -> Self {
        Self {
            copies: Copies::like(columns),
            ..Self::new()
        }
    }

    /// What the dump held, if it was whole.
    pub fn finish(self) -> Result<Ledger, LedgerError> {
        self.finish_watched().map(|(ledger, (), _)| ledger)
    }
}

// Public as the bare reader is; the watchers are the crate's own.
#[expect(private_bounds, reason = "only the crate itself watches")]
impl<W: Watch> DumpReader<W> {
    pub(crate) fn watched(watch: W) -> Self {
        Self {
            mode: Mode::Sql,
            lexer: Lexer::new(),
            tables: Tables::default(),
            copies: Copies::default(),
            insert: Insert::default(),
            objects: BTreeMap::new(),
            sequences: BTreeMap::new(),
            large_objects: LargeObjectReader::default(),
            block: Block::default(),
            waiting: Waiting::default(),
            header_seen: false,
            trailer_seen: false,
            restricted: None,
            error: None,
            offset: 0,
            block_start: 0,
            watch,
        }
    }

    pub(crate) fn watch_mut(&mut self) -> &mut W {
        &mut self.watch
    }

    /// Reads on. What is wrong with the dump is told by [`DumpReader::finish`];
    /// after the first fault the rest goes by unread.
    pub fn feed(&mut self, bytes: &[u8]) {
        let nul = memchr(0, bytes);
        let mut rest = &bytes[..nul.unwrap_or(bytes.len())];
        while !rest.is_empty() && self.error.is_none() {
            let used = match self.mode {
                Mode::Sql => self.sql(rest),
                Mode::CopyLine(place) => self.copy_line(rest, place),
                Mode::CopyRows(place) => self.copy_rows(rest, place),
            };
            rest = &rest[used..];
        }
        if nul.is_some() && self.error.is_none() {
            self.error = Some(match self.header_seen {
                true => LedgerError::Nul,
                false => LedgerError::HeaderMissing,
            });
        }
    }

    /// Whether nothing is wrong so far. What a faulty dump held further on was not
    /// read, and must be given to nobody.
    pub(crate) fn is_sound(&self) -> bool {
        self.error.is_none()
    }

    /// The ledger, who watched, and the dump's length in bytes.
    pub(crate) fn finish_watched(mut self) -> Result<(Ledger, W, u64), LedgerError> {
        self.end_last_line();
        self.settle(None);
        if let Some(error) = self.error {
            return Err(error);
        }
        if let Mode::CopyLine(place) | Mode::CopyRows(place) = self.mode {
            let (table, totals) = self.tables.describe(place);
            return Err(LedgerError::CopyUnfinished {
                table,
                rows: totals.rows,
            });
        }
        if !self.header_seen {
            return Err(LedgerError::HeaderMissing);
        }
        if self.trailer_seen && self.lexer.in_statement() {
            return Err(after_trailer(self.lexer.statement()));
        }
        let is_open = self.restricted.is_some() || self.large_objects.is_open();
        if !self.trailer_seen || is_open {
            return Err(LedgerError::TrailerMissing);
        }
        let ledger = Ledger {
            tables: self.tables.into_ledger(),
            columns: self.copies.columns,
            objects: self.objects,
            sequences: self.sequences,
            large_objects: self.large_objects.into_ledger(),
        };
        Ok((ledger, self.watch, self.offset))
    }

    /// The last line may lack its newline. A psql command there is taken for cut
    /// off, unless it is the one that the dump should end with.
    fn end_last_line(&mut self) {
        let event = match self.mode {
            Mode::Sql if self.error.is_none() => self.lexer.end(),
            _ => None,
        };
        let Some(event) = event else { return };
        let leave = |token: &Vec<u8>| [UNRESTRICT, token].concat();
        let expected = self.restricted.as_ref().map(leave);
        if event == Event::MetaCommand && expected.as_deref() != Some(self.lexer.line()) {
            self.error = Some(LedgerError::TrailerMissing);
        } else {
            self.handle(event);
        }
    }

    fn copy_line(&mut self, rest: &[u8], place: usize) -> usize {
        let end = memchr(b'\n', rest);
        if end.is_some() {
            self.mode = Mode::CopyRows(place);
        }
        let used = end.map_or(rest.len(), |end| end + 1);
        self.offset += used as u64;
        used
    }

    fn copy_rows(&mut self, rest: &[u8], place: usize) -> usize {
        let end = self.copies.rows(rest, self.tables.totals(place));
        if end.is_some() {
            self.mode = Mode::Sql;
            self.lexer.skip_to_new_line();
        }
        let used = end.unwrap_or(rest.len());
        self.offset += used as u64;
        if end.is_some() {
            self.watch.copied(place, self.offset);
        }
        used
    }

    fn sql(&mut self, rest: &[u8]) -> usize {
        let (used, event) = self.lexer.scan(rest);
        self.offset += used as u64;
        if self.insert.in_row() {
            let ends = event == Some(Event::RowClose);
            let piece = &rest[..used - usize::from(ends)];
            self.insert.row(piece, ends, &mut self.tables);
        }
        if let Some(event) = event {
            self.handle(event);
        }
        used
    }

    fn handle(&mut self, event: Event) {
        let result = match event {
            Event::Comment => {
                self.comment();
                Ok(())
            }
            Event::MetaCommand => self.meta_command(),
            Event::Unclear => Err(LedgerError::Unreadable {
                statement: excerpt(self.lexer.statement()),
            }),
            Event::AfterColon => {
                self.watch.after_colon(self.offset);
                Ok(())
            }
            Event::RowOpen => self.row_open(),
            Event::RowClose => Ok(()),
            Event::Statement => {
                let text = self.lexer.take_statement();
                let result = self.statement(&text);
                self.lexer.next_statement(text);
                result
            }
        };
        self.error = result.err();
    }

    fn meta_command(&mut self) -> Result<(), LedgerError> {
        self.block.interrupt();
        let line = self.lexer.line().trim_ascii_end();
        if !self.header_seen {
            return Err(LedgerError::HeaderMissing);
        }
        let refused = || LedgerError::MetaCommand {
            command: excerpt(line),
        };
        if self.lexer.in_statement() {
            return Err(refused());
        }
        if let Some(token) = line.strip_prefix(UNRESTRICT) {
            return match self.restricted.take() {
                Some(expected) if expected == token => Ok(()),
                _ => Err(refused()),
            };
        }
        if self.trailer_seen {
            return Err(after_trailer(line));
        }
        if let Some(token) = line.strip_prefix(b"\\restrict ") {
            self.watch.restricted(token);
            self.restricted = Some(token.to_vec());
            return Ok(());
        }
        // `pg_dump --create` connects to the database that it has just created.
        line.starts_with(b"\\connect ")
            .then_some(())
            .ok_or_else(refused)
    }

    fn statement(&mut self, text: &[u8]) -> Result<(), LedgerError> {
        self.check_place(text)?;
        self.settle(Some(text));
        self.watch
            .statement(text, self.lexer.backslashes, self.offset);
        if self.insert.is_known(text) {
            // Its rows were counted while they went by.
            return Ok(());
        }
        self.check_rows(text)?;
        let is_cut = text.len() >= KEPT_BYTES;
        if is_cut && !statement::is_known(text) {
            return Ok(());
        }
        let statement = if is_cut {
            None
        } else {
            statement::parse(text, self.lexer.backslashes)
        };
        let is_read = statement.is_some_and(|statement| self.apply(statement));
        is_read
            .then_some(())
            .ok_or_else(|| LedgerError::Unreadable {
                statement: excerpt(text),
            })
    }

    /// Rows follow where psql asks the server for them, however the statement is
    /// written. So one that is not as pg_dump writes it is none that may pass, nor
    /// is one in what psql takes for a routine's body.
    fn check_rows(&self, text: &[u8]) -> Result<(), LedgerError> {
        let is_odd = self.lexer.opening() == b"COPY" && !text.starts_with(b"COPY ");
        let is_inside = self.lexer.in_routine() && statement::is_known(text);
        match is_odd || is_inside || statement::sets_odd_encoding(text) {
            false => Ok(()),
            true => Err(LedgerError::Unreadable {
                statement: match text {
                    [] => "COPY".to_owned(),
                    text => excerpt(text),
                },
            }),
        }
    }

    /// `false` where the statement comes out of turn.
    fn apply(&mut self, statement: Statement<'_>) -> bool {
        match statement {
            Statement::LargeObjectOpen(oid) => return self.large_objects.open(&oid),
            Statement::LargeObjectWrite(hex) => return self.large_objects.write(&hex),
            Statement::LargeObjectClose => return self.large_objects.close(),
            Statement::Copy(table, columns) => {
                self.copies.begin(&table, columns);
                self.mode = Mode::CopyLine(self.tables.place(table.schema, table.name));
            }
            Statement::DefaultRow(table) => {
                let place = self.tables.place(table.schema, table.name);
                self.tables.totals(place).row(b"");
            }
            Statement::SetValue(name, value) => {
                self.sequences.insert(name, value);
            }
            Statement::StringBackslashes(on) => self.lexer.backslashes = on,
            Statement::Other => {}
        }
        true
    }

    fn row_open(&mut self) -> Result<(), LedgerError> {
        let text = self.lexer.statement();
        if !self.insert.open(text, &mut self.tables, &mut self.copies) {
            return Err(LedgerError::Unreadable {
                statement: excerpt(text),
            });
        }
        Ok(())
    }

    /// A statement stands after the header and before the trailer.
    fn check_place(&mut self, text: &[u8]) -> Result<(), LedgerError> {
        self.block.interrupt();
        if !self.header_seen {
            return Err(LedgerError::HeaderMissing);
        }
        match self.trailer_seen {
            true => Err(after_trailer(text)),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::hex_hash;

    const HEADER: &str = "--\n-- PostgreSQL database dump\n--\n\n";
    const TRAILER: &str = "\n--\n-- PostgreSQL database dump complete\n--\n\n";

    fn read_raw(text: &[u8]) -> Result<Ledger, LedgerError> {
        let mut reader = DumpReader::new();
        reader.feed(text);
        let whole = reader.finish();
        let mut reader = DumpReader::new();
        text.chunks(1).for_each(|byte| reader.feed(byte));
        assert_eq!(reader.finish(), whole, "bytewise");
        whole
    }

    fn read(body: &str) -> Result<Ledger, LedgerError> {
        read_raw(format!("{HEADER}{body}{TRAILER}").as_bytes())
    }

    fn rows(body: &str) -> Vec<(String, u64)> {
        let ledger = read(body).unwrap_or_else(|error| panic!("{body:?}: {error}"));
        let tables = ledger.tables.into_iter();
        tables.map(|table| (table.name, table.rows)).collect()
    }

    const REAL: &str = "COPY public.real (a) FROM stdin;\n1\n\\.\n";

    /// The text is quoted somehow, so that what it holds is nothing.
    #[track_caller]
    fn hides(quoted: &str) {
        let found = rows(&format!("{quoted}\n{REAL}"));
        assert_eq!(found, [("real".to_owned(), 1)], "{quoted:?}");
    }

    #[test]
    fn quoted_text_starts_no_rows() {
        let fake = "\nCOPY public.fake (a) FROM stdin;\n1\n\\.\n";
        for (open, close) in [
            ("'", "'"),
            ("'it''s", "'"),
            ("'\\", "'"),
            ("E'\\'", "'"),
            ("e'\\\\", "'"),
            ("E'a''b\\'", "'"),
            ("(E'\\'", "')"),
            ("\"", "\""),
            ("\"a\"\"", "\""),
            ("$$", "$$"),
            ("$$ $ ' \"", "$$"),
            ("$_$ $$ $_ $_X$", "$_$"),
            ("$_$ $_X$", "$$_$"),
            ("$é1$ $é$", "$é1$"),
        ] {
            hides(&format!("SELECT {open}{fake}{close};"));
        }
    }

    #[test]
    fn a_name_that_ends_in_e_or_holds_a_dollar_makes_no_escapes_and_no_quote() {
        hides("SELECT type'\\';");
        hides("SELECT a$b$c, $1, 5$;");
        hides("SELECT x-'\\', a - -1;");
        hides("SELECT a-1;");
    }

    #[test]
    fn old_string_rules_are_followed_from_where_they_are_set() {
        hides(
            "SET standard_conforming_strings = off;\nSELECT '\\';\nCOPY public.fake (a) FROM stdin;\n';",
        );
        hides(
            "SET standard_conforming_strings = off;\nSET standard_conforming_strings = on;\nSELECT '\\';",
        );
    }

    #[test]
    fn text_not_in_the_first_column_or_in_parentheses_is_no_statement_of_the_dump() {
        hides("CREATE FUNCTION f() BEGIN ATOMIC\n INSERT INTO public.t (a)\n   VALUES (1);\nEND;");
        hides("CREATE RULE r AS DO ( SELECT 1;\nINSERT INTO public.t (a) VALUES (1);\n);");
        hides("SELECT 1;\n-COPY public.fake (a) FROM stdin;");
    }

    /// psql reads rows wherever the server asks for them, and here what follows
    /// them would be SQL: pg_dump writes none of these.
    #[test]
    fn rows_that_are_not_begun_as_pg_dump_begins_them_are_refused() {
        let hidden = "COPY public.t (a) FROM stdin;\n'\n\\.\n\\! id\n'\n;\n";
        for before in [
            " ",
            "/**/",
            "/* x */ ",
            "SELECT 1; ",
            "\x0c",
            "\r",
            "copy",
            "CoPy",
            "COPY\t",
        ] {
            let text = match before.to_ascii_uppercase().starts_with("COPY") {
                true => format!("{before}{}", &hidden["COPY".len()..]),
                false => format!("{before}{hidden}"),
            };
            let found = read(&text);
            assert!(found.is_err(), "{text:?}: {found:?}");
        }
    }

    #[test]
    fn commands_are_found_in_whatever_hides_them_from_a_simpler_reader() {
        for body in [
            "/* ' */ \\! id\n/* ' */;\n",
            "/*/* ' */ ' */ \\! id\n/* ' */;\n",
            "SELECT 1 /* ' */\n\\! id\n/* ' */;\n",
            "SELECT 1 +/* ' */\n\\! id\n/* ' */;\n",
            "-- x\r\\! id\n",
            "SELECT 1 -- '\r\\! id\n;",
            "SELECT 1$a$ ' $a$ \\! id\n--';\n",
            "SELECT $1$a$ ' $a$ \\! id\n--';\n",
            "SELECT $a$x$a$$b$ ' $b$ \\! id\n--';\n",
            "COPY public.t (a) FROM stdin;\n\\.\r\n\\! id\n\\.\n",
            "SET standard_conforming_strings = off;\nSELECT B'\\' \\! id\n--';\n",
            "SET standard_conforming_strings = off;\nSELECT x'\\' \\! id\n--';\n",
        ] {
            let found = read(body);
            assert!(
                matches!(found, Err(LedgerError::MetaCommand { .. })),
                "{body:?}: {found:?}"
            );
        }
        let tag = "a".repeat(100);
        for body in [
            &format!("SELECT ${tag}$ ' ${tag}$ \\! id\n--';\n"),
            "SELECT 1E'\\' \\! id\n--';\n",
            "SELECT 1a$x$ ' $x$ \\! id\n--';\n",
            "SET standard_conforming_strings = off;\nSELECT U&'\\' \\! id\n--';\n",
            "SELECT :DBNAME;\n",
            "SELECT a:::USER;\n",
            "SET client_encoding = 'S-JIS';\n",
            "SET client_encoding = 'GB18030';\n",
            "CREATE FUNCTION f() RETURNS int BEGIN;\nCOPY public.t (a) FROM stdin;\n\\! id\n\\.\n",
            "create Or replace\nPROCEDURE f() BEGIN ATOMIC CASE x END;\nCOPY public.t (a) FROM stdin;\n\\.\n",
        ] {
            let found = read(body);
            assert!(
                matches!(found, Err(LedgerError::Unreadable { .. })),
                "{body:?}: {found:?}"
            );
        }
        assert_eq!(read("SELECT 'a\0b';\n"), Err(LedgerError::Nul));
        assert_eq!(
            read("COPY public.t (a) FROM stdin;\na\0\n\\.\n"),
            Err(LedgerError::Nul)
        );
    }

    #[test]
    fn what_pg_dump_writes_outside_of_quotes_is_read_as_ever() {
        hides("SELECT a[1:CASE WHEN true THEN 2 END], b[lo:hi], '{}'::text[], c::public.\"USER\";");
        hides("SELECT 4 / 2, 2 * 3, a -> 'b' #>> '{c}', a*/**/b;");
        hides("SET client_encoding = 'WIN1252';");
        hides("SELECT U&'d\\0061t' || N'x' || b'01' || X'1F';");
        hides(
            "CREATE FUNCTION f() RETURNS int\n    LANGUAGE sql\n    BEGIN ATOMIC\n SELECT CASE WHEN true \
             THEN 1 ELSE 2 END;\n SELECT 2;\nEND;",
        );
        hides("CREATE VIEW v AS SELECT begin FROM t;");
        hides("CREATE FUNCTION f(begin int) RETURNS int LANGUAGE sql AS $$select 1$$;");
    }

    #[test]
    fn rows_and_statements_may_follow_each_other_without_a_blank_line() {
        let sequence = "SELECT pg_catalog.setval('public.s', 1, true);\n";
        let ledger = read(&format!("{REAL}{REAL}{sequence}{REAL}")).expect("whole");
        assert_eq!((ledger.tables[0].rows, ledger.sequences.len()), (3, 1));
    }

    #[test]
    fn a_trailer_whose_lines_do_not_stand_together_is_none() {
        for between in ["SELECT 1;\n", "\\connect x\n", REAL] {
            let trailer = TRAILER.replacen("--\n", &format!("--\n{between}"), 1);
            let found = read_raw(format!("{HEADER}{trailer}").as_bytes());
            assert_eq!(found, Err(LedgerError::TrailerMissing), "{between:?}");
        }
    }

    #[test]
    fn a_statement_within_a_statement_is_not_taken_for_one_after_a_comment() {
        hides("SELECT 1 -- ' \" $$ (\n;");
        hides("-- ' \" $$ ( COPY public.fake (a) FROM stdin;\nSELECT 1;");
    }

    #[test]
    fn inserts_count_rows_with_every_form_that_pg_dump_has() {
        let body = "INSERT INTO public.a VALUES (1, '),(', -2);\n\
                    INSERT INTO public.a VALUES (1, E'\\'),(', (2));\n\
                    INSERT INTO public.b (x, \"VALUES\") VALUES\n\t(1, 'a\n;'),\n\t(2, '');\n\
                    INSERT INTO public.c (x) OVERRIDING SYSTEM VALUE VALUES (1) ON CONFLICT DO NOTHING;\n\
                    INSERT INTO public.d DEFAULT VALUES;\n\
                    INSERT INTO public.d DEFAULT VALUES ON CONFLICT DO NOTHING;\n\
                    INSERT INTO public.\"VALUES\" (\"(\") VALUES (1);\n";
        let found = rows(body);
        let expected = [("VALUES", 1), ("a", 2), ("b", 2), ("c", 1), ("d", 2)];
        assert_eq!(found, expected.map(|(name, rows)| (name.to_owned(), rows)));
    }

    #[test]
    fn an_inserted_row_is_what_stands_between_its_parentheses() {
        let ledger = read("INSERT INTO public.a VALUES (1, 'x');\n").expect("whole");
        assert_eq!(ledger.tables[0].bytes, 6);
        let expected = hex_hash(xxhash_rust::xxh3::xxh3_128(b"1, 'x'"));
        assert_eq!(ledger.tables[0].hash, expected);
    }

    #[test]
    fn a_statement_or_a_literal_larger_than_what_is_kept_is_read_through() {
        let large = "x".repeat(3 << 20);
        hides(&format!(
            "SELECT '{large}\nCOPY public.fake (a) FROM stdin;\n';"
        ));
        hides(&format!("-- {large}"));
        let inserted = rows(&format!("INSERT INTO public.t VALUES ('{large}');\n"));
        assert_eq!(inserted, [("t".to_owned(), 1)]);
        let name = format!("COPY public.\"{large}\" (a) FROM stdin;\n\\.\n");
        assert!(matches!(read(&name), Err(LedgerError::Unreadable { .. })));
    }

    #[test]
    fn blanks_are_not_read_again_at_every_parenthesis() {
        // What was kept is full of blanks, so no parenthesis gets behind them.
        let blanks = " ".repeat(KEPT_BYTES);
        let text = format!("{HEADER}INSERT INTO t{blanks}{}", "()".repeat(1 << 20));
        let began = std::time::Instant::now();
        let mut reader = DumpReader::new();
        reader.feed(text.as_bytes());
        // Milliseconds; to read all the blanks each time takes minutes.
        assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
        assert!(reader.finish().is_err());
    }

    #[test]
    fn a_psql_command_that_pg_dump_does_not_write_is_refused() {
        for command in [
            "\\! sh\n",
            "\\o |sh\n",
            "SELECT 1 \\g |sh\n;",
            " \\! sh\n",
            "\\.\n",
            "\\unrestrict abc\n",
            "\\restrict abc\n\\unrestrict abd\n",
            "SELECT 1;\\! sh\n",
        ] {
            let found = read(command);
            assert!(
                matches!(found, Err(LedgerError::MetaCommand { .. })),
                "{command:?}: {found:?}"
            );
        }
        assert!(read("\\connect x\n").is_ok());
    }

    #[test]
    fn restricted_mode_must_be_left() {
        let entered = format!("{HEADER}\\restrict abc\n{TRAILER}");
        assert_eq!(
            read_raw(entered.as_bytes()),
            Err(LedgerError::TrailerMissing)
        );
        let left = format!("{entered}\\unrestrict abc\n\n");
        assert!(read_raw(left.as_bytes()).is_ok());
    }

    #[test]
    fn after_the_trailer_only_comments_and_blanks_may_come() {
        let end = |text: &str| read_raw(format!("{HEADER}{TRAILER}{text}").as_bytes());
        assert!(end("\n \n-- a remark\n--\n").is_ok());
        for text in [
            "SELECT 1;",
            "SELECT 1",
            "x",
            "-",
            "\\! sh\n",
            "COPY public.t (a) FROM stdin;\n1\n",
        ] {
            let found = end(text);
            assert!(
                matches!(found, Err(LedgerError::AfterTrailer { .. })),
                "{text:?}: {found:?}"
            );
        }
    }

    #[test]
    fn what_does_not_begin_as_a_dump_is_refused() {
        for text in [
            "",
            "\n",
            "PGDMP\x01\x0e",
            "SELECT 1;",
            "\\! sh\n",
            "\0\0\0;",
        ] {
            let found = read_raw(text.as_bytes());
            assert_eq!(found, Err(LedgerError::HeaderMissing), "{text:?}");
        }
        let cluster =
            format!("--\n-- PostgreSQL database cluster dump\n--\nSELECT 1;{HEADER}{TRAILER}");
        assert_eq!(
            read_raw(cluster.as_bytes()),
            Err(LedgerError::HeaderMissing)
        );
        let crlf = format!("{HEADER}{TRAILER}").replace('\n', "\r\n");
        assert_eq!(read_raw(crlf.as_bytes()), Err(LedgerError::HeaderMissing));
    }

    #[test]
    fn rows_without_their_end_name_the_table_and_how_far_they_came() {
        let expected = Err(LedgerError::CopyUnfinished {
            table: "public.real".to_owned(),
            rows: 1,
        });
        for end in ["", "\\", "\\."] {
            let text = format!("{HEADER}COPY public.real (a) FROM stdin;\n1\n{end}");
            assert_eq!(read_raw(text.as_bytes()), expected, "{end:?}");
        }
    }

    #[test]
    fn large_object_statements_out_of_turn_are_refused() {
        let write = "SELECT pg_catalog.lowrite(0, '\\x00');\n";
        let open = "SELECT pg_catalog.lo_open('1', 131072);\n";
        let close = "SELECT pg_catalog.lo_close(0);\n";
        for body in [write.to_owned(), close.to_owned(), format!("{open}{open}")] {
            let found = read(&body);
            assert!(
                matches!(found, Err(LedgerError::Unreadable { .. })),
                "{body}: {found:?}"
            );
        }
        assert_eq!(read(open), Err(LedgerError::TrailerMissing));
        let two = |content: &str| {
            let write = write.replace("00", content);
            read(&format!("{open}{write}{write}{close}"))
                .expect("whole")
                .large_objects
        };
        assert_eq!((two("00").count, two("00").bytes), (1, 2));
        assert_ne!(two("00").hash, two("01").hash);
    }

    #[test]
    fn memory_does_not_grow_with_one_endless_row_or_statement() {
        let block = vec![b'x'; 1 << 20];
        let starts = [
            "COPY public.t (a) FROM stdin;\n",
            "INSERT INTO public.t VALUES ('",
            "SELECT '",
            "-- ",
            "SELECT $x$",
            "\\restrict ",
        ];
        for start in starts {
            let mut reader = DumpReader::new();
            reader.feed(HEADER.as_bytes());
            reader.feed(start.as_bytes());
            (0..16).for_each(|_| reader.feed(&block));
            let kept = reader.lexer.statement().len() + reader.lexer.line().len();
            assert!(kept <= KEPT_BYTES, "{start:?}: {kept}");
        }
    }

    proptest::proptest! {
        #[test]
        fn hostile_text_never_panics_and_slices_never_matter(
            parts in proptest::collection::vec(
                proptest::sample::select(&[
                    HEADER, TRAILER, REAL, "'", "\"", "$$", "$a$", "$", "E'", "\\", "\\.\n", "\n", "--", "-",
                    ";", "(", ")", "a", "1", " ", "é", "COPY public.t (a) FROM stdin;\n", "COPY ",
                    "INSERT INTO public.t VALUES (", "\\restrict a\n", "\\unrestrict a\n", "\r",
                    "SET standard_conforming_strings = off;\n", "SELECT pg_catalog.lo_open('1', 2);\n",
                ][..]),
                0..24,
            ),
        ) {
            let _ = read_raw(format!("{HEADER}{}", parts.concat()).as_bytes());
        }
    }
}
