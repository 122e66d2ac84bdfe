//! The few statements that the ledger reads, as pg_dump writes them.
//!
//! Owns identifiers and literals in their text form. Refuses a statement that
//! begins like one of the few and goes on otherwise: to skip it would be to
//! miscount.

use std::borrow::Cow;

use super::SequenceLedger;

/// A table's names, unquoted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TableName {
    /// Empty where the dump does not say it.
    pub schema: String,
    pub name: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Statement<'a> {
    /// Rows follow on the next line.
    Copy(TableName),
    /// The row without columns that `INSERT ... DEFAULT VALUES` makes.
    DefaultRow(TableName),
    SetValue(String, SequenceLedger),
    /// The OID in decimal digits.
    LargeObjectOpen(Cow<'a, [u8]>),
    /// Hex digits, two to a byte.
    LargeObjectWrite(Cow<'a, [u8]>),
    LargeObjectClose,
    /// Whether a backslash in a plain string literal is an escape from here on.
    StringBackslashes(bool),
    Other,
}

/// What every statement begins with that must not be missed.
const KNOWN: [&[u8]; 6] = [
    b"COPY ",
    b"INSERT INTO ",
    b"SELECT pg_catalog.setval(",
    b"SELECT pg_catalog.lo_open(",
    b"SELECT pg_catalog.lowrite(",
    b"SELECT pg_catalog.lo_close(",
];

/// Whether the statement is one whose loss would make the ledger wrong.
pub(super) fn is_known(text: &[u8]) -> bool {
    KNOWN.iter().any(|start| text.starts_with(start))
}

/// Reads a statement from its first column to before its semicolon, but not an
/// `INSERT` with rows: [`insert_table`] does that. `None`: it begins like a known
/// one and is not. `backslashes` as in [`Statement::StringBackslashes`].
pub(super) fn parse(text: &[u8], backslashes: bool) -> Option<Statement<'_>> {
    let mut cursor = Cursor {
        rest: text,
        backslashes,
    };
    let Some(known) = KNOWN.iter().position(|start| cursor.eat(start)) else {
        return Some(match text {
            b"SET standard_conforming_strings = off" => Statement::StringBackslashes(true),
            b"SET standard_conforming_strings = on" => Statement::StringBackslashes(false),
            _ => Statement::Other,
        });
    };
    match known {
        0 => cursor.copy(),
        1 => cursor.insert(),
        2 => cursor.set_value(),
        3 => {
            let oid = cursor.literal()?;
            let is_oid = !oid.is_empty() && oid.iter().all(u8::is_ascii_digit);
            is_oid.then_some(Statement::LargeObjectOpen(oid))
        }
        4 => cursor.large_object_write(),
        _ => Some(Statement::LargeObjectClose),
    }
}

/// The table that an `INSERT INTO ... VALUES` names, without its rows.
pub(super) fn insert_table(text: &[u8]) -> Option<TableName> {
    let mut cursor = Cursor {
        rest: text,
        backslashes: false,
    };
    cursor.eat(KNOWN[1]).then(|| cursor.table())?
}

struct Cursor<'a> {
    rest: &'a [u8],
    backslashes: bool,
}

impl<'a> Cursor<'a> {
    fn eat(&mut self, text: &[u8]) -> bool {
        let Some(rest) = self.rest.strip_prefix(text) else {
            return false;
        };
        self.rest = rest;
        true
    }

    fn copy(&mut self) -> Option<Statement<'a>> {
        let table = self.table()?;
        self.eat(b" ").then_some(())?;
        if self.eat(b"(") {
            self.identifier()?;
            while self.eat(b", ") {
                self.identifier()?;
            }
            self.eat(b")").then_some(())?;
        }
        self.eat(b" FROM stdin").then_some(())?;
        self.rest.is_empty().then_some(Statement::Copy(table))
    }

    fn insert(&mut self) -> Option<Statement<'a>> {
        let table = self.table()?;
        self.eat(b" DEFAULT VALUES")
            .then_some(Statement::DefaultRow(table))
    }

    fn set_value(&mut self) -> Option<Statement<'a>> {
        let name = name_text(self.literal()?.into_owned());
        self.eat(b", ").then_some(())?;
        let comma = memchr::memchr(b',', self.rest)?;
        let (digits, rest) = self.rest.split_at(comma);
        let last_value = std::str::from_utf8(digits).ok()?.parse().ok()?;
        let is_called = match rest {
            b", true)" => true,
            b", false)" => false,
            _ => return None,
        };
        let value = SequenceLedger {
            last_value,
            is_called,
        };
        Some(Statement::SetValue(name, value))
    }

    fn large_object_write(&mut self) -> Option<Statement<'a>> {
        self.eat(b"0, ").then_some(())?;
        let hex = match self.literal()? {
            Cow::Borrowed(text) => Cow::Borrowed(text.strip_prefix(b"\\x")?),
            Cow::Owned(text) => Cow::Owned(text.strip_prefix(b"\\x")?.to_vec()),
        };
        let is_hex = hex.len() % 2 == 0 && hex.iter().all(u8::is_ascii_hexdigit);
        (is_hex && self.rest == b")").then_some(Statement::LargeObjectWrite(hex))
    }

    fn table(&mut self) -> Option<TableName> {
        let first = self.identifier()?;
        if !self.eat(b".") {
            return Some(TableName {
                schema: String::new(),
                name: first,
            });
        }
        let name = self.identifier()?;
        Some(TableName {
            schema: first,
            name,
        })
    }

    fn identifier(&mut self) -> Option<String> {
        if self.rest.first() == Some(&b'"') {
            return self
                .quoted(b'"', false)
                .map(|name| name_text(name.into_owned()));
        }
        let is_plain = |byte: &u8| {
            byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'$' || *byte >= 0x80
        };
        let plain = self.rest.iter().take_while(|byte| is_plain(byte)).count();
        let (name, rest) = self.rest.split_at(plain);
        self.rest = rest;
        (plain > 0).then(|| name_text(name.to_vec()))
    }

    fn literal(&mut self) -> Option<Cow<'a, [u8]>> {
        let escapes = self.eat(b"E") || self.backslashes;
        self.quoted(b'\'', escapes)
    }

    /// A quoted thing from its first quote to its last, unquoted. Backslashes
    /// are only doubled in what pg_dump writes, so other escapes are not read.
    fn quoted(&mut self, quote: u8, escapes: bool) -> Option<Cow<'a, [u8]>> {
        let text = self.rest.strip_prefix(&[quote])?;
        let mut unquoted = Cow::Borrowed(&text[..0]);
        let (mut start, mut at) = (0, 0);
        loop {
            let byte = *text.get(at)?;
            let is_double = text.get(at + 1) == Some(&byte);
            if byte == quote && !is_double {
                break;
            }
            if byte == quote || (escapes && byte == b'\\') {
                is_double.then_some(())?;
                unquoted.to_mut().extend_from_slice(&text[start..=at]);
                start = at + 2;
                at += 1;
            }
            at += 1;
        }
        self.rest = &text[at + 1..];
        if start == 0 {
            return Some(Cow::Borrowed(&text[..at]));
        }
        unquoted.to_mut().extend_from_slice(&text[start..at]);
        Some(unquoted)
    }
}

/// A name as text. Names of a database that is not in UTF-8 stay distinct: each
/// byte that does not fit stands as `\xNN`.
fn name_text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| {
        let mut text = String::new();
        for chunk in error.as_bytes().utf8_chunks() {
            text.push_str(chunk.valid());
            for byte in chunk.invalid() {
                text.push_str(&format!("\\x{byte:02x}"));
            }
        }
        text
    })
}
