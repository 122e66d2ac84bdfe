//! The few statements that the ledger reads, as pg_dump writes them.
//!
//! Owns identifiers and literals in their text form. Refuses a statement that
//! begins like one of the few and goes on otherwise: to skip it would be to
//! miscount.

use std::borrow::Cow;

use super::{LedgerError, SequenceLedger};

/// A table's names, unquoted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TableName {
    /// Empty where the dump does not say it.
    pub schema: String,
    pub name: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Statement<'a> {
    /// Rows follow on the next line, with a field for each column.
    Copy(TableName, Vec<String>),
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

/// Whether psql is told to read on in an encoding in which a quote or a backslash
/// may be a part of a letter. No database is in one of these.
pub(super) fn sets_odd_encoding(text: &[u8]) -> bool {
    const ODD: [&str; 10] = [
        "big5", "gb18030", "gbk", "johab", "mskanji", "shift", "sjis", "uhc", "win9", "windows9",
    ];
    const LONGEST: usize = 200;
    if !text.starts_with(b"SET client_encoding") {
        return false;
    }
    // As the server compares such names.
    let letters = text
        .iter()
        .take(LONGEST)
        .filter(|byte| byte.is_ascii_alphanumeric());
    let text: String = letters
        .map(|byte| char::from(byte.to_ascii_lowercase()))
        .collect();
    ODD.iter().any(|name| text.contains(name))
}

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

/// The table that an `INSERT INTO ... VALUES` names, and columns if it does, without
/// its rows.
pub(super) fn insert_table(text: &[u8]) -> Option<(TableName, Vec<String>)> {
    let mut cursor = Cursor {
        rest: text,
        backslashes: false,
    };
    cursor.eat(KNOWN[1]).then_some(())?;
    let table = cursor.table()?;
    let columns = match cursor.eat(b" (") {
        true => cursor.columns().unwrap_or_default(),
        false => Vec::new(),
    };
    Some((table, columns))
}

/// Reads names, literals and fixed words off the front of a text. Each reading
/// gives `None` or `false` where something else stands there.
pub(crate) struct Cursor<'a> {
    pub rest: &'a [u8],
    pub backslashes: bool,
}

impl<'a> Cursor<'a> {
    pub fn eat(&mut self, text: &[u8]) -> bool {
        let Some(rest) = self.rest.strip_prefix(text) else {
            return false;
        };
        self.rest = rest;
        true
    }

    fn copy(&mut self) -> Option<Statement<'a>> {
        let table = self.table()?;
        self.eat(b" ").then_some(())?;
        let columns = match self.eat(b"(") {
            true => self.columns()?,
            false => Vec::new(),
        };
        self.eat(b" FROM stdin").then_some(())?;
        let is_all = self.rest.is_empty();
        is_all.then_some(Statement::Copy(table, columns))
    }

    /// Behind the opening parenthesis.
    fn columns(&mut self) -> Option<Vec<String>> {
        let mut columns = vec![self.identifier()?];
        while self.eat(b", ") {
            columns.push(self.identifier()?);
        }
        self.eat(b")").then_some(columns)
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

    pub fn identifier(&mut self) -> Option<String> {
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

    pub fn literal(&mut self) -> Option<Cow<'a, [u8]>> {
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
pub(crate) fn name_text(bytes: Vec<u8>) -> String {
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

/// The beginning of hostile or broken text, for a message.
pub(super) fn excerpt(text: &[u8]) -> String {
    const SHOWN_BYTES: usize = 60;
    match text.get(..SHOWN_BYTES) {
        Some(beginning) => format!("{}...", String::from_utf8_lossy(beginning)),
        None => String::from_utf8_lossy(text).into_owned(),
    }
}

pub(super) fn after_trailer(text: &[u8]) -> LedgerError {
    let text = excerpt(text);
    LedgerError::AfterTrailer { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(schema: &str, name: &str, columns: &[&str]) -> Option<Statement<'static>> {
        let table = TableName {
            schema: schema.to_owned(),
            name: name.to_owned(),
        };
        let columns = columns.iter().map(|name| (*name).to_owned());
        Some(Statement::Copy(table, columns.collect()))
    }

    fn set_value(name: &str, last_value: i64, is_called: bool) -> Option<Statement<'static>> {
        let value = SequenceLedger {
            last_value,
            is_called,
        };
        Some(Statement::SetValue(name.to_owned(), value))
    }

    #[test]
    fn copy_names_its_table_and_columns() {
        let cases: [(&str, &str, &str, &[&str]); 7] = [
            (
                "COPY public.t (a, b) FROM stdin",
                "public",
                "t",
                &["a", "b"],
            ),
            ("COPY public.t  FROM stdin", "public", "t", &[]),
            ("COPY t (a) FROM stdin", "", "t", &["a"]),
            (
                "COPY \"a.b\".\"c \"\"d\"\"\" (\"x) FROM stdin\") FROM stdin",
                "a.b",
                "c \"d\"",
                &["x) FROM stdin"],
            ),
            (
                "COPY \"\n\".\"\n\" (\"\n\", \"\"\"\") FROM stdin",
                "\n",
                "\n",
                &["\n", "\""],
            ),
            (
                "COPY été.\"Ä\" (ß, \"Ü\") FROM stdin",
                "été",
                "Ä",
                &["ß", "Ü"],
            ),
            ("COPY s.\"\"\"\" (a) FROM stdin", "s", "\"", &["a"]),
        ];
        for (text, schema, name, columns) in cases {
            let expected = copy(schema, name, columns);
            assert_eq!(parse(text.as_bytes(), false), expected, "{text}");
        }
    }

    #[test]
    fn names_that_are_not_utf_8_stay_distinct() {
        let text = b"COPY s.\"a\xe9\" (a) FROM stdin";
        assert_eq!(parse(text, false), copy("s", "a\\xe9", &["a"]));
        assert_ne!(
            parse(text, false),
            parse(b"COPY s.\"a\xe8\" (a) FROM stdin", false)
        );
    }

    #[test]
    fn what_begins_like_a_known_statement_and_goes_on_otherwise_is_refused() {
        for text in [
            "COPY ",
            "COPY public.t",
            "COPY public.t (a) FROM stdin WITH (FORMAT csv)",
            "COPY public.t (a) TO stdout",
            "COPY public.t (a FROM stdin",
            "COPY public.\"t (a) FROM stdin",
            "INSERT INTO public.t SELECT 1",
            "SELECT pg_catalog.setval('public.s', 99999999999999999999, true)",
            "SELECT pg_catalog.setval('public.s', 1, maybe)",
            "SELECT pg_catalog.setval('public.s', 1",
            "SELECT pg_catalog.setval(public.s, 1, true)",
            "SELECT pg_catalog.lo_open('', 131072)",
            "SELECT pg_catalog.lo_open('x', 131072)",
            "SELECT pg_catalog.lowrite(0, '\\xabc')",
            "SELECT pg_catalog.lowrite(0, '\\xzz')",
            "SELECT pg_catalog.lowrite(0, 'plain')",
            "SELECT pg_catalog.lowrite(1, '\\xab')",
        ] {
            assert!(is_known(text.as_bytes()), "{text}");
            assert_eq!(parse(text.as_bytes(), false), None, "{text}");
        }
    }

    #[test]
    fn set_value_reads_the_whole_range_and_every_quoting() {
        let cases: [(&str, bool, _); 5] = [
            (
                "'public.s', -9223372036854775808, false",
                false,
                set_value("public.s", i64::MIN, false),
            ),
            (
                "'public.s', 9223372036854775807, true",
                false,
                set_value("public.s", i64::MAX, true),
            ),
            (
                "'public.\"it''s\"', 1, true",
                false,
                set_value("public.\"it's\"", 1, true),
            ),
            (
                "'public.\"a\\\\b\"', 1, true",
                true,
                set_value("public.\"a\\b\"", 1, true),
            ),
            (
                "E'public.\"a\\\\b\"', 1, true",
                false,
                set_value("public.\"a\\b\"", 1, true),
            ),
        ];
        for (arguments, backslashes, expected) in cases {
            let text = format!("SELECT pg_catalog.setval({arguments})");
            assert_eq!(parse(text.as_bytes(), backslashes), expected, "{text}");
        }
    }

    #[test]
    fn large_object_content_is_its_hex_digits() {
        let hex = |digits: &'static [u8]| Some(Statement::LargeObjectWrite(Cow::Borrowed(digits)));
        let plain = b"SELECT pg_catalog.lowrite(0, '\\x00ff')";
        assert_eq!(parse(plain, false), hex(b"00ff"));
        let doubled = b"SELECT pg_catalog.lowrite(0, '\\\\x00ff')";
        assert_eq!(parse(doubled, true), hex(b"00ff"));
        assert_eq!(
            parse(b"SELECT pg_catalog.lowrite(0, '\\x')", false),
            hex(b"")
        );
    }
}
