//! SQL text of ours as a type: text that stands in this program, and values in
//! quotes that were looked at. Pure.
//!
//! psql reads it, not the server alone: it ends a line at a NUL and takes a
//! backslash outside of quotes for a command of its own; inside of them, on
//! whatever line, it obeys nothing. Refuses a NUL everywhere, and so every text in
//! which a value could get out of its quotes. Other control characters are names in
//! PostgreSQL, and who refused them would refuse all roles of a server for one.
//! Invariant: a [`Sql`] gives its text only if all of its values were fit.

use std::fmt::Display;
use std::ops::AddAssign;

use super::PostgresError;

/// Statements, or a part of one. Made by `sql!`, [`identifier`], [`literal`].
#[derive(Clone, Debug, Default)]
pub struct Sql {
    text: String,
    /// The first value that is in no text of PostgreSQL's, or in no name.
    unfit: Option<Unfit>,
}

#[derive(Clone, Debug)]
struct Unfit {
    value: String,
    what: &'static str,
}

/// Text of this program with parts in it: `sql!("DROP ROLE {name};", name =
/// identifier(role))`. A part is a [`Sql`], a number or text of this program;
/// what the braces hold has to be named behind, so nothing else slips in.
macro_rules! sql {
    ($text:literal $(, $name:ident = $part:expr)+ $(,)?) => {{
        let ($($name,)+) = ($($crate::postgres::sql::Sql::from($part),)+);
        $crate::postgres::sql::Sql::of_parts(
            // By concat!, no variable is taken that is not named here.
            format!(concat!($text), $($name = $name.part()),+),
            &[$(&$name),+],
        )
    }};
}
pub(super) use sql;

/// A name, always in double quotes.
pub(super) fn identifier(name: &str) -> Sql {
    let unfit = match () {
        () if name.is_empty() => Some("it is empty"),
        () if name.contains('\0') => Some("it holds a NUL byte"),
        () => None,
    };
    Sql {
        text: format!("\"{}\"", name.replace('"', "\"\"")),
        unfit: unfit.map(|what| Unfit::new(name, what)),
    }
}

/// A text as a literal that means the same whatever
/// `standard_conforming_strings` says.
pub(super) fn literal(text: &str) -> Sql {
    let unfit = text.contains('\0').then_some("it holds a NUL byte");
    Sql {
        text: quoted(text),
        unfit: unfit.map(|what| Unfit::new(text, what)),
    }
}

/// The bytes of these hex digits as a literal, in whatever encoding the database has.
pub(super) fn literal_of_hex(digits: &str) -> Sql {
    let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit()) && digits.len().is_multiple_of(2);
    let pairs = digits.as_bytes().chunks(2);
    let bytes: String = pairs
        .map(|pair| format!("\\x{}", String::from_utf8_lossy(pair)))
        .collect();
    let unfit = (!is_hex).then_some("it is not hex");
    Sql {
        text: format!("E'{bytes}'"),
        unfit: unfit.map(|what| Unfit::new(digits, what)),
    }
}

/// SQL as a literal, such as the body of a DO.
pub(super) fn literal_of(sql: &Sql) -> Sql {
    Sql {
        text: quoted(&sql.text),
        ..sql.clone()
    }
}

fn quoted(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

impl Sql {
    /// For `sql!` alone.
    pub(super) fn of_parts(text: String, parts: &[&Self]) -> Self {
        let mut whole = Self {
            text,
            ..Self::default()
        };
        parts.iter().for_each(|part| whole.take_faults_of(part));
        whole
    }

    /// For `sql!` alone.
    pub(super) fn part(&self) -> impl Display {
        &self.text
    }

    /// `parts`, one after the other.
    pub(super) fn joined(parts: &[Self], between: &'static str) -> Self {
        let texts: Vec<&str> = parts.iter().map(|part| part.text.as_str()).collect();
        let parts: Vec<&Self> = parts.iter().collect();
        Self::of_parts(texts.join(between), &parts)
    }

    /// How many lines psql counts in it.
    pub fn lines(&self) -> u64 {
        self.text.lines().count() as u64
    }

    /// What psql is given.
    pub fn text(&self) -> Result<&str, PostgresError> {
        if let Some(Unfit { value, what }) = &self.unfit {
            return Err(PostgresError::UnfitName {
                name: value.clone(),
                what,
            });
        }
        Ok(&self.text)
    }

    fn take_faults_of(&mut self, part: &Self) {
        if self.unfit.is_none() {
            self.unfit.clone_from(&part.unfit);
        }
    }
}

impl Unfit {
    fn new(value: &str, what: &'static str) -> Self {
        Self {
            value: value.to_owned(),
            what,
        }
    }
}

impl AddAssign<Sql> for Sql {
    fn add_assign(&mut self, more: Self) {
        self.text += &more.text;
        self.take_faults_of(&more);
    }
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self {
            text: text.to_owned(),
            ..Self::default()
        }
    }
}

impl From<&Sql> for Sql {
    fn from(part: &Sql) -> Self {
        part.clone()
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl From<$number> for Sql {
            fn from(number: $number) -> Self {
                Self { text: number.to_string(), ..Self::default() }
            }
        }
    )*};
}
numbers!(bool, i64, u32, u64, usize);

/// A value in a libpq connection string (`dbname='...'`), where backslash
/// escapes. Keeps a database called `a=b` or `postgres://x` a name.
pub(super) fn quote_conninfo(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::{Sql, identifier, literal, literal_of, quote_conninfo};

    fn text(sql: &Sql) -> &str {
        sql.text().unwrap()
    }

    #[test]
    fn identifiers_double_their_quotes() {
        assert_eq!(text(&identifier("a\"b c")), "\"a\"\"b c\"");
        assert_eq!(text(&identifier("a\"\n\\! b")), "\"a\"\"\n\\! b\"");
    }

    #[test]
    fn literals_escape_quotes_and_backslashes() {
        assert_eq!(text(&literal("it's\nso")), "'it''s\nso'");
        assert_eq!(text(&literal("a\\'b")), "E'a\\\\''b'");
        assert_eq!(text(&literal_of(&literal("it's"))), "'''it''''s'''");
    }

    #[test]
    fn connection_values_use_backslashes() {
        assert_eq!(quote_conninfo("a'b\\c=d"), "'a\\'b\\\\c=d'");
    }

    #[test]
    fn one_unfit_part_makes_the_whole_unsendable() {
        let whole = |part: Sql| sql!("SELECT {a}, {b}{c};", a = part, b = 7_u32, c = "");
        assert_eq!(text(&whole(literal("x"))), "SELECT 'x', 7;");
        for unfit in [
            identifier("a\0\n\\! id"),
            identifier(""),
            literal("a\0b"),
            literal_of(&literal("\0")),
        ] {
            assert!(whole(unfit.clone()).text().is_err(), "{unfit:?}");
            let mut sum = Sql::from("SELECT 1;");
            sum += unfit.clone();
            assert!(sum.text().is_err());
            assert!(Sql::joined(&[unfit], "").text().is_err());
        }
    }
}
