//! Reads what `pg_dumpall --globals-only` writes: roles, their settings,
//! comments and memberships, tablespaces.
//!
//! Owns the few statements that are understood, and takes them apart: who gives
//! them to a server makes them anew, of their parts. Refuses dumps that are cut off
//! and psql commands. Passwords are among the parts, so no `Debug`.

use std::collections::BTreeMap;

use super::lexer::{Event, Lexer};
use super::{Ledger, LedgerError};
use crate::checked::SqlName;

mod parse;

const HEADER: &[u8] = b" PostgreSQL database cluster dump";
const TRAILER: &[u8] = b" PostgreSQL database cluster dump complete";
const RESTRICT: &[u8] = b"\\restrict ";
const UNRESTRICT: &[u8] = b"\\unrestrict ";
/// A statement's beginning that is shown.
const SHOWN_BYTES: usize = 40;

/// What all databases of a server share.
#[derive(Default)]
pub struct Globals {
    /// In the order of the dump.
    pub statements: Vec<Global>,
}

/// One statement, in parts. Names are unquoted.
#[derive(PartialEq, Eq)]
pub enum Global {
    /// `CREATE ROLE`.
    Role(SqlName),
    /// Attributes and the password, in their order.
    Attributes {
        role: SqlName,
        attributes: Vec<Attribute>,
    },
    /// `ALTER ROLE .. SET`; several values where the setting is a list.
    Setting {
        role: SqlName,
        name: SqlName,
        values: Vec<String>,
    },
    Comment {
        role: SqlName,
        text: String,
    },
    /// `GRANT role TO member WITH ..`. Who granted it is not kept: whoever runs it
    /// grants.
    Membership {
        role: SqlName,
        member: SqlName,
        options: Vec<&'static str>,
    },
    /// `CREATE TABLESPACE`.
    Tablespace(SqlName),
    /// A tablespace's options, grants, comment or label.
    OfTablespace,
    /// A setting of the dump's own session.
    Session,
    /// Whatever else.
    Other(NotUnderstood),
}

/// A statement that is only shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotUnderstood {
    /// Its beginning, for people; it may hold names.
    pub beginning: String,
    /// The keywords that it begins with: "GRANT SET ON PARAMETER".
    pub kind: String,
}

/// What a role is or may, as `ALTER ROLE .. WITH` lists it.
#[derive(Clone, PartialEq, Eq)]
pub enum Attribute {
    /// `SUPERUSER`, `NOLOGIN` and so on.
    Flag(&'static str),
    ConnectionLimit(i32),
    /// What the server keeps in a password's place: SCRAM-SHA-256 or md5.
    Password(String),
    /// A moment as the server writes it.
    ValidUntil(String),
}

impl Global {
    /// As it is counted; `None` where it is not.
    fn object_type(&self) -> Option<&'static str> {
        match self {
            Self::Role(_) => Some("ROLE"),
            Self::Setting { .. } => Some("ROLE SETTING"),
            Self::Comment { .. } => Some("ROLE COMMENT"),
            Self::Membership { .. } => Some("ROLE MEMBERSHIP"),
            Self::Tablespace(_) => Some("TABLESPACE"),
            Self::Attributes { .. } | Self::OfTablespace | Self::Session | Self::Other(_) => None,
        }
    }
}

impl Globals {
    /// Those that are not understood: kind and how many.
    pub fn not_understood(&self) -> BTreeMap<String, u64> {
        let mut kinds = BTreeMap::new();
        for statement in &self.statements {
            if let Global::Other(NotUnderstood { kind, .. }) = statement {
                *kinds.entry(kind.clone()).or_default() += 1;
            }
        }
        kinds
    }

    /// How many there are of each type; there are no tables.
    pub fn ledger(&self) -> Ledger {
        let mut objects = BTreeMap::new();
        for object_type in self.statements.iter().filter_map(Global::object_type) {
            *objects.entry(object_type.to_owned()).or_default() += 1;
        }
        Ledger {
            objects,
            ..Ledger::default()
        }
    }
}

/// Reads one such dump, whole, in slices cut anywhere.
pub struct GlobalsReader {
    lexer: Lexer,
    header_seen: bool,
    trailer_seen: bool,
    restricted: Option<Vec<u8>>,
    globals: Globals,
    error: Option<LedgerError>,
}

impl Default for GlobalsReader {
    fn default() -> Self {
        Self {
            lexer: Lexer::new(),
            header_seen: false,
            trailer_seen: false,
            restricted: None,
            globals: Globals::default(),
            error: None,
        }
    }
}

impl GlobalsReader {
    /// Reads on. What is wrong is told by [`GlobalsReader::finish`].
    pub fn feed(&mut self, bytes: &[u8]) {
        let nul = memchr::memchr(0, bytes);
        let mut rest = &bytes[..nul.unwrap_or(bytes.len())];
        while !rest.is_empty() && self.error.is_none() {
            let (used, event) = self.lexer.scan(rest);
            if let Some(event) = event {
                self.handle(event);
            }
            rest = &rest[used..];
        }
        if nul.is_some() && self.error.is_none() {
            self.error = Some(LedgerError::Nul);
        }
    }

    /// What the dump held, if it was whole.
    pub fn finish(mut self) -> Result<Globals, LedgerError> {
        if let (None, Some(event)) = (&self.error, self.lexer.end()) {
            self.handle(event);
        }
        if let Some(error) = self.error {
            return Err(error);
        }
        if !self.header_seen {
            return Err(LedgerError::HeaderMissing);
        }
        match self.trailer_seen && self.restricted.is_none() && !self.lexer.in_statement() {
            true => Ok(self.globals),
            false => Err(LedgerError::TrailerMissing),
        }
    }

    fn handle(&mut self, event: Event) {
        let result = match event {
            Event::Comment => {
                self.header_seen |= self.lexer.line() == HEADER;
                self.trailer_seen |= self.header_seen && self.lexer.line() == TRAILER;
                Ok(())
            }
            Event::MetaCommand => self.meta_command(),
            Event::Unclear => Err(LedgerError::Unreadable {
                statement: beginning(self.lexer.statement()),
            }),
            // Not as pg_dumpall writes it: it is kept as what it is, no role's.
            Event::RowOpen | Event::RowClose | Event::AfterColon => Ok(()),
            Event::Statement => self.statement(),
        };
        self.error = result.err();
    }

    fn meta_command(&mut self) -> Result<(), LedgerError> {
        let line = self.lexer.line().trim_ascii_end();
        let refused = || LedgerError::MetaCommand {
            command: beginning(line),
        };
        if self.lexer.in_statement() || !self.header_seen {
            return Err(refused());
        }
        if let Some(token) = line.strip_prefix(UNRESTRICT)
            && self.restricted.as_deref() == Some(token)
        {
            self.restricted = None;
            return Ok(());
        }
        if line.starts_with(b"\\connect ") {
            return Err(LedgerError::WholeCluster);
        }
        match line.strip_prefix(RESTRICT) {
            Some(token) if !self.trailer_seen && self.restricted.is_none() => {
                self.restricted = Some(token.to_vec());
                Ok(())
            }
            _ => Err(refused()),
        }
    }

    fn statement(&mut self) -> Result<(), LedgerError> {
        let kept = self.lexer.take_statement();
        let text = beginning(&kept);
        let known = match (self.header_seen, self.trailer_seen) {
            (false, _) => Err(LedgerError::HeaderMissing),
            (true, true) => Err(LedgerError::AfterTrailer { text: text.clone() }),
            // A table's rows would follow: this is no dump of globals.
            (true, false) if self.lexer.opening() == b"COPY" => {
                let statement = text.clone();
                Err(LedgerError::Unreadable { statement })
            }
            // Any role may have a setting in another encoding: that statement alone is
            // not understood.
            (true, false) => Ok(std::str::from_utf8(&kept).ok().and_then(parse::statement)),
        };
        let other = || NotUnderstood {
            beginning: text,
            kind: kind(&kept),
        };
        let statement = known.map(|known| known.unwrap_or_else(|| Global::Other(other())));
        self.lexer.next_statement(kept);
        let statement = statement?;
        self.globals.statements.push(statement);
        Ok(())
    }
}

/// For messages: never far enough to reach a password.
fn beginning(text: &[u8]) -> String {
    let shown = &text[..text.len().min(SHOWN_BYTES)];
    let text = String::from_utf8_lossy(shown);
    match text.split_once('\'') {
        Some((before, _)) => before.to_owned(),
        None => text.into_owned(),
    }
}

/// The keywords at its beginning, which pg_dumpall writes in capitals, and no name or
/// text.
fn kind(text: &[u8]) -> String {
    const WORDS_MAX: usize = 5;
    let is_keyword =
        |word: &&[u8]| word.len() <= SHOWN_BYTES && word.iter().all(u8::is_ascii_uppercase);
    let words = text.split(|byte| *byte == b' ').take(WORDS_MAX);
    let words: Vec<_> = words
        .take_while(|word| !word.is_empty() && is_keyword(word))
        .map(String::from_utf8_lossy)
        .collect();
    match words.is_empty() {
        true => "of no known kind".to_owned(),
        false => words.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "\\restrict token\n\nSET client_encoding = 'UTF8';\n\n--\n-- Roles\n--\n\n\
        CREATE ROLE alice;\nALTER ROLE alice WITH NOSUPERUSER LOGIN VALID UNTIL 'infinity';\n\
        COMMENT ON ROLE alice IS 'it''s; hers';\n\
        CREATE ROLE \"odd \"\"; TO\nname\";\nALTER ROLE \"odd \"\"; TO\nname\" WITH NOLOGIN;\n\n\
        --\n-- User Configurations\n--\n\nALTER ROLE alice SET work_mem TO '64MB';\n\n\
        GRANT alice TO \"odd \"\"; TO\nname\" WITH ADMIN OPTION GRANTED BY postgres;\n\
        GRANT \"WITH\" TO bob;\n\
        CREATE TABLESPACE fast OWNER alice LOCATION '/fast';\n\\unrestrict token\n";

    fn dump(body: &str) -> String {
        format!(
            "--\n-- PostgreSQL database cluster dump\n--\n\n{body}\n--\n\
             -- PostgreSQL database cluster dump complete\n--\n\n"
        )
    }

    fn read(text: &str) -> Result<Globals, LedgerError> {
        let mut reader = GlobalsReader::default();
        text.as_bytes().chunks(1).for_each(|byte| reader.feed(byte));
        let bytewise = reader.finish().map(|globals| globals.ledger());
        let mut reader = GlobalsReader::default();
        reader.feed(text.as_bytes());
        let whole = reader.finish();
        assert_eq!(
            whole.as_ref().map(Globals::ledger).map_err(Clone::clone),
            bytewise
        );
        whole
    }

    fn sql_name(name: &str) -> SqlName {
        SqlName::new(name).expect("a name")
    }

    #[test]
    fn roles_and_what_belongs_to_them_are_found() {
        let Ok(globals) = read(&dump(BODY)) else {
            panic!("whole");
        };
        let odd = || sql_name("odd \"; TO\nname");
        let alice = || sql_name("alice");
        let flags = |names: &[&'static str]| names.iter().map(|f| Attribute::Flag(f)).collect();
        let mut of_alice: Vec<Attribute> = flags(&["NOSUPERUSER", "LOGIN"]);
        of_alice.push(Attribute::ValidUntil("infinity".to_owned()));
        let expected = [
            Global::Session,
            Global::Role(alice()),
            Global::Attributes {
                role: alice(),
                attributes: of_alice,
            },
            Global::Comment {
                role: alice(),
                text: "it's; hers".to_owned(),
            },
            Global::Role(odd()),
            Global::Attributes {
                role: odd(),
                attributes: flags(&["NOLOGIN"]),
            },
            Global::Setting {
                role: alice(),
                name: sql_name("work_mem"),
                values: vec!["64MB".to_owned()],
            },
            Global::Membership {
                role: alice(),
                member: odd(),
                options: vec!["ADMIN OPTION"],
            },
            Global::Membership {
                role: sql_name("WITH"),
                member: sql_name("bob"),
                options: Vec::new(),
            },
            Global::Tablespace(sql_name("fast")),
        ];
        assert!(globals.statements == expected, "in parts");
    }

    #[test]
    fn a_statement_that_is_not_wholly_understood_is_none_of_a_role() {
        let hash = "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy";
        for (text, is_understood) in [
            (format!("ALTER ROLE a WITH LOGIN PASSWORD '{hash}'"), true),
            (
                format!("ALTER ROLE a WITH PASSWORD 'md5{}'", "0a".repeat(16)),
                true,
            ),
            (
                "ALTER ROLE a WITH PASSWORD 'in plain text'".to_owned(),
                false,
            ),
            (format!("ALTER ROLE a WITH PASSWORD '{hash}\n'"), false),
            ("ALTER ROLE a WITH LOGIN, SUPERUSER".to_owned(), false),
            ("ALTER ROLE a WITH LOGIN /* x */".to_owned(), false),
            ("ALTER ROLE a WITH VALID UNTIL E'\\n'".to_owned(), false),
            ("ALTER ROLE a SET search_path TO 'x', 'y'".to_owned(), true),
            ("ALTER ROLE a SET \"app.x\" TO E'\\\\'".to_owned(), true),
            ("ALTER ROLE a SET x TO 'y' || 'z'".to_owned(), false),
            ("ALTER ROLE a SET \"x; --\" TO 'y'".to_owned(), false),
            ("ALTER ROLE a IN DATABASE d SET x TO 'y'".to_owned(), false),
            ("CREATE ROLE a SUPERUSER".to_owned(), false),
            ("CREATE ROLE a, b".to_owned(), false),
            ("COMMENT ON ROLE a IS 'x' 'y'".to_owned(), false),
            (
                "GRANT a TO b WITH INHERIT TRUE, SET FALSE GRANTED BY c".to_owned(),
                true,
            ),
            ("GRANT a TO b WITH GRANT OPTION".to_owned(), false),
            ("GRANT SET ON PARAMETER x TO a".to_owned(), false),
            ("GRANT a, c TO b".to_owned(), false),
            ("DROP DATABASE shop".to_owned(), false),
            ("ALTER TABLESPACE t SET (seq_page_cost=2)".to_owned(), true),
            ("GRANT ALL ON TABLESPACE t TO a".to_owned(), true),
            ("COMMENT ON TABLESPACE t IS 'x'".to_owned(), true),
        ] {
            let globals = read(&dump(&format!("{text};\n"))).expect("whole");
            let other = matches!(globals.statements[..], [Global::Other(_)]);
            assert_eq!(!other, is_understood, "{text}");
        }
    }

    #[test]
    fn what_psql_would_obey_is_found_in_whatever_it_hides() {
        for body in [
            "/* ' */ \\! id\n/* ' */;\n",
            "/* /* */ ' */ \\! id\n/* ' */;\n",
            "COMMENT ON ROLE a IS 'x' /* ' */\\! id\n/* '*/;\n",
            "-- x\r\\! id\n",
            "SELECT 1$a$ ' $a$ \\! id\n--';\n",
            "SELECT $a$x$a$$b$ ' $b$ \\! id\n--';\n",
        ] {
            let found = refused(&dump(body));
            assert!(
                matches!(found, LedgerError::MetaCommand { .. }),
                "{body:?}: {found:?}"
            );
        }
        assert_eq!(
            refused(&dump("CREATE ROLE \"a\0\\! id\";\n")),
            LedgerError::Nul
        );
        for body in ["SELECT :DBNAME;\n", "SELECT 1E'\\';\n", "SELECT 1a$x$;\n"] {
            let found = refused(&dump(body));
            assert!(
                matches!(found, LedgerError::Unreadable { .. }),
                "{body:?}: {found:?}"
            );
        }
    }

    #[test]
    fn a_setting_in_another_encoding_hides_nothing_but_itself() {
        let setting = b"ALTER ROLE a SET search_path TO 'caf\xe9 AAA';\n";
        let text = dump("CREATE ROLE a;\n@CREATE ROLE b;\n");
        let at = text.find('@').expect("the mark");
        let bytes = [&text.as_bytes()[..at], setting, &text.as_bytes()[at + 1..]].concat();
        let mut reader = GlobalsReader::default();
        reader.feed(&bytes);
        let Ok(globals) = reader.finish() else {
            panic!("whole");
        };
        let other = NotUnderstood {
            beginning: "ALTER ROLE a SET search_path TO ".to_owned(),
            kind: "ALTER ROLE".to_owned(),
        };
        let expected = [
            Global::Role(sql_name("a")),
            Global::Other(other),
            Global::Role(sql_name("b")),
        ];
        assert!(globals.statements == expected, "it alone");
    }

    #[test]
    fn what_is_not_understood_is_named_by_its_keywords_alone() {
        let body = "GRANT SET ON PARAMETER work_mem TO alice;\n\
                    GRANT SET ON PARAMETER x TO alice;\n\
                    ALTER ROLE a WITH PASSWORD 'SECRET';\n\"SECRET\" x;\n";
        let globals = read(&dump(body)).expect("whole");
        let kinds: Vec<(String, u64)> = globals.not_understood().into_iter().collect();
        let expected = [
            ("ALTER ROLE", 1),
            ("GRANT SET ON PARAMETER", 2),
            ("of no known kind", 1),
        ];
        assert_eq!(
            kinds,
            expected.map(|(kind, count)| (kind.to_owned(), count))
        );
    }

    #[test]
    fn they_are_counted_by_type() {
        let Ok(globals) = read(&dump(BODY)) else {
            panic!("whole");
        };
        let counted: Vec<(String, u64)> = globals.ledger().objects.into_iter().collect();
        let expected = [
            ("ROLE", 2),
            ("ROLE COMMENT", 1),
            ("ROLE MEMBERSHIP", 2),
            ("ROLE SETTING", 1),
            ("TABLESPACE", 1),
        ];
        assert_eq!(
            counted,
            expected.map(|(name, count)| (name.to_owned(), count))
        );
    }

    fn refused(text: &str) -> LedgerError {
        read(text).map(|_| ()).expect_err("refused")
    }

    #[test]
    fn one_that_is_cut_off_is_refused() {
        let whole = dump(BODY);
        let trailer = whole.len() - " complete\n--\n\n".len();
        for end in [trailer, whole.len() / 2] {
            assert_eq!(refused(&whole[..end]), LedgerError::TrailerMissing, "{end}");
        }
    }

    #[test]
    fn a_dump_of_a_database_is_refused() {
        let text = "--\n-- PostgreSQL database dump\n--\n\nSET x = 1;\n\
                    --\n-- PostgreSQL database dump complete\n--\n\n";
        assert_eq!(refused(text), LedgerError::HeaderMissing);
        let whole_cluster = dump("\\connect template1\n");
        assert_eq!(refused(&whole_cluster), LedgerError::WholeCluster);
    }

    #[test]
    fn no_message_shows_a_password() {
        let text = dump("ALTER ROLE a PASSWORD 'secret' \\! id\n;\n");
        assert!(!refused(&text).to_string().contains("secret"));
    }
}
