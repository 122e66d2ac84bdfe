//! Reads what `pg_dumpall --globals-only` writes: roles, their settings,
//! comments and memberships, tablespaces.
//!
//! Refuses dumps that are cut off and psql commands. Keeps the statements:
//! there are a few for each role, and passwords among them, so no `Debug`.

use std::collections::BTreeMap;

use super::lexer::{Event, Lexer};
use super::{Ledger, LedgerError};

const HEADER: &[u8] = b" PostgreSQL database cluster dump";
const TRAILER: &[u8] = b" PostgreSQL database cluster dump complete";
const RESTRICT: &[u8] = b"\\restrict ";
const UNRESTRICT: &[u8] = b"\\unrestrict ";
/// A statement's beginning that is shown.
const SHOWN_BYTES: usize = 40;

/// What all databases of a server share.
#[derive(Default)]
pub struct Globals {
    /// As they were written, in that order, without their semicolons.
    pub statements: Vec<Global>,
}

/// One statement and what it is about.
pub struct Global {
    pub about: About,
    pub text: String,
}

/// Names are unquoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// `CREATE ROLE`.
    Role(String),
    /// Attributes and the password.
    RoleAttributes(String),
    /// `ALTER ROLE .. SET`.
    RoleSetting(String),
    RoleComment(String),
    /// `GRANT role TO member`.
    Membership {
        role: String,
        member: String,
    },
    /// `CREATE TABLESPACE`.
    Tablespace(String),
    /// Session settings, and whatever else is not a role's.
    Other,
}

impl About {
    /// As it is counted; `None` where it is not.
    fn object_type(&self) -> Option<&'static str> {
        match self {
            Self::Role(_) => Some("ROLE"),
            Self::RoleSetting(_) => Some("ROLE SETTING"),
            Self::RoleComment(_) => Some("ROLE COMMENT"),
            Self::Membership { .. } => Some("ROLE MEMBERSHIP"),
            Self::Tablespace(_) => Some("TABLESPACE"),
            Self::RoleAttributes(_) | Self::Other => None,
        }
    }
}

impl Global {
    /// The statement without its `GRANTED BY`: then whoever runs it grants.
    pub fn without_grantor(&self) -> &str {
        let words = words(&self.text);
        let granted = words.iter().skip(4).find(|w| w.keyword() == "GRANTED");
        match granted {
            Some(word) => self.text[..word.1].trim_ascii_end(),
            None => &self.text,
        }
    }
}

impl Globals {
    /// How many there are of each type; there are no tables.
    pub fn ledger(&self) -> Ledger {
        let mut objects = BTreeMap::new();
        for object_type in self.statements.iter().filter_map(|s| s.about.object_type()) {
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
        let mut rest = bytes;
        while !rest.is_empty() && self.error.is_none() {
            let (used, event) = self.lexer.scan(rest);
            if let Some(event) = event {
                self.handle(event);
            }
            rest = &rest[used..];
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
            // Not as pg_dumpall writes it: it is kept as what it is, no role's.
            Event::RowOpen | Event::RowClose => Ok(()),
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
            (true, true) => Err(LedgerError::AfterTrailer { text }),
            // A table's rows would follow: this is no dump of globals.
            (true, false) if kept.starts_with(b"COPY ") => {
                Err(LedgerError::Unreadable { statement: text })
            }
            (true, false) => {
                let text = String::from_utf8(kept.clone());
                text.map_err(|_| LedgerError::Unreadable {
                    statement: beginning(&kept),
                })
            }
        };
        self.lexer.next_statement(kept);
        let text = known?;
        self.globals.statements.push(Global {
            about: about(&text),
            text,
        });
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

fn about(text: &str) -> About {
    let words = words(text);
    let plain: Vec<&str> = words.iter().map(Word::keyword).collect();
    let name = |at: usize| words.get(at).map(Word::name).unwrap_or_default();
    match plain.as_slice() {
        ["CREATE", "ROLE", _] => About::Role(name(2)),
        ["ALTER", "ROLE", _, "WITH", ..] => About::RoleAttributes(name(2)),
        ["ALTER", "ROLE", _, "SET", ..] => About::RoleSetting(name(2)),
        ["COMMENT", "ON", "ROLE", _, "IS", ..] => About::RoleComment(name(3)),
        ["CREATE", "TABLESPACE", ..] => About::Tablespace(name(2)),
        ["GRANT", _, "TO", _, ..] => About::Membership {
            role: name(1),
            member: name(3),
        },
        _ => About::Other,
    }
}

/// A word of a statement, as it is written, and where it begins.
struct Word<'a>(&'a str, usize);

impl Word<'_> {
    /// Nothing for what is quoted: a role may be called "WITH".
    fn keyword(&self) -> &str {
        match self.0.starts_with(['"', '\'']) {
            true => "",
            false => self.0,
        }
    }

    fn name(&self) -> String {
        match self.0.strip_prefix('"').and_then(|n| n.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None => self.0.to_owned(),
        }
    }
}

/// Parted at blanks that stand outside of quotes.
fn words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut start = 0;
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (c, quote) {
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (c, None) if c.is_ascii_whitespace() => {
                words.push(Word(&text[start..at], start));
                start = at + 1;
            }
            _ => {}
        }
    }
    words.push(Word(&text[start..], start));
    words.retain(|word| !word.0.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "\\restrict token\n\nSET client_encoding = 'UTF8';\n\n--\n-- Roles\n--\n\n\
        CREATE ROLE alice;\nALTER ROLE alice WITH NOSUPERUSER LOGIN PASSWORD 'SCRAM;\n--x';\n\
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

    #[test]
    fn roles_and_what_belongs_to_them_are_found() {
        let Ok(globals) = read(&dump(BODY)) else {
            panic!("whole");
        };
        let odd = "odd \"; TO\nname".to_owned();
        assert_eq!(
            globals.statements[7].without_grantor(),
            "GRANT alice TO \"odd \"\"; TO\nname\" WITH ADMIN OPTION"
        );
        let about: Vec<About> = globals.statements.into_iter().map(|s| s.about).collect();
        let alice = || "alice".to_owned();
        assert_eq!(
            about,
            [
                About::Other,
                About::Role(alice()),
                About::RoleAttributes(alice()),
                About::RoleComment(alice()),
                About::Role(odd.clone()),
                About::RoleAttributes(odd.clone()),
                About::RoleSetting(alice()),
                About::Membership {
                    role: alice(),
                    member: odd,
                },
                About::Membership {
                    role: "WITH".to_owned(),
                    member: "bob".to_owned(),
                },
                About::Tablespace("fast".to_owned()),
            ]
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
        assert!(matches!(
            refused(&whole_cluster),
            LedgerError::MetaCommand { .. }
        ));
    }

    #[test]
    fn no_message_shows_a_password() {
        let text = dump("ALTER ROLE a PASSWORD 'secret' \\! id\n;\n");
        assert!(!refused(&text).to_string().contains("secret"));
    }
}
