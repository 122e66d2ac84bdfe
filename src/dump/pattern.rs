//! Names as `psql` and `pg_dump -t` take them: `orders`, `sales.*`, `"Odd.Name"`.
//!
//! Owns folding and wildcards: outside of double quotes letters become small,
//! `*` is any text and `?` any character; inside nothing is special but `""`.
//! Other signs of psql's patterns (`[0-9]`, `|`) stand for themselves.

use std::fmt;
use std::str::FromStr;

use super::Name;

/// Which names are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    /// None: any schema.
    schema: Option<Vec<Piece>>,
    name: Vec<Piece>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Char(char),
    AnyChar,
    AnyText,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("{text:?} has a name that is empty; write table or schema.table")]
    Empty { text: String },
    #[error("{text:?} has a double quote that does not end")]
    Quote { text: String },
    #[error(
        "{text:?} has too many dots; write table or schema.table, and put a name that holds a \
         dot in double quotes"
    )]
    Dots { text: String },
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let of = |error: fn(String) -> PatternError| error(text.to_owned());
        let mut parts = vec![Vec::new()];
        let mut characters = text.chars().peekable();
        let mut is_quoted = false;
        while let Some(c) = characters.next() {
            let piece = match c {
                '"' if is_quoted && characters.peek() == Some(&'"') => {
                    characters.next();
                    Piece::Char('"')
                }
                '"' => {
                    is_quoted = !is_quoted;
                    continue;
                }
                c if is_quoted => Piece::Char(c),
                '.' => {
                    parts.push(Vec::new());
                    continue;
                }
                '*' => Piece::AnyText,
                '?' => Piece::AnyChar,
                c => Piece::Char(c.to_ascii_lowercase()),
            };
            if let Some(part) = parts.last_mut() {
                part.push(piece);
            }
        }
        if is_quoted {
            return Err(of(|text| PatternError::Quote { text }));
        }
        if parts.iter().any(Vec::is_empty) {
            return Err(of(|text| PatternError::Empty { text }));
        }
        if parts.len() > 2 {
            return Err(of(|text| PatternError::Dots { text }));
        }
        let name = parts.pop().unwrap_or_default();
        Ok(Self {
            text: text.to_owned(),
            schema: parts.pop(),
            name,
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Pattern {
    /// Whether it names a schema and a name in it.
    pub fn is_qualified(&self) -> bool {
        self.schema.is_some()
    }

    /// A pattern without a schema finds its name in every schema.
    pub fn finds(&self, name: &Name) -> bool {
        let in_schema = self.schema.as_ref();
        in_schema.is_none_or(|schema| matches(schema, &name.schema))
            && matches(&self.name, &name.name)
    }
}

/// Goes back to the last `*` only, so the time is at most the product of both
/// lengths.
fn matches(pieces: &[Piece], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut piece, mut at) = (0, 0);
    let mut retry = None;
    while at < text.len() {
        match pieces.get(piece) {
            Some(Piece::AnyText) => {
                retry = Some((piece + 1, at));
                piece += 1;
                continue;
            }
            Some(Piece::AnyChar) => {}
            Some(Piece::Char(c)) if *c == text[at] => {}
            _ => {
                let Some((after, from)) = retry else {
                    return false;
                };
                retry = Some((after, from + 1));
                (piece, at) = (after, from + 1);
                continue;
            }
        }
        (piece, at) = (piece + 1, at + 1);
    }
    pieces[piece..].iter().all(|rest| *rest == Piece::AnyText)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(pattern: &str, schema: &str, name: &str) -> bool {
        let name = Name {
            schema: schema.to_owned(),
            name: name.to_owned(),
        };
        let pattern: Pattern = pattern.parse().unwrap_or_else(|e| panic!("{pattern}: {e}"));
        pattern.finds(&name)
    }

    #[test]
    fn names_fold_wildcards_match_and_quotes_are_exact() {
        for (pattern, schema, name) in [
            ("Orders", "any", "orders"),
            ("sales.ORDERS", "sales", "orders"),
            ("sales.*", "sales", "x.y"),
            ("s*.o?d*s", "sales", "orders"),
            ("*", "", ""),
            ("*a*b*", "s", "xaxaxbx"),
            ("\"Odd.Name\"", "s", "Odd.Name"),
            ("\"O\"dd", "s", "Odd"),
            ("s.\"a\"\"b\"", "s", "a\"b"),
            ("\"*\"", "s", "*"),
            ("\"a\nb\"", "s", "a\nb"),
            ("été?", "s", "étés"),
        ] {
            assert!(
                finds(pattern, schema, name),
                "{pattern} and {schema}.{name}"
            );
        }
        for (pattern, schema, name) in [
            ("orders", "s", "Orders"),
            ("\"Orders\"", "s", "orders"),
            ("sales.orders", "public", "orders"),
            ("orders", "s", "orders2"),
            ("\"*\"", "s", "a"),
            ("a?", "s", "a"),
            ("*a", "s", "ab"),
        ] {
            assert!(
                !finds(pattern, schema, name),
                "{pattern} and {schema}.{name}"
            );
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let error = |text: &str| text.parse::<Pattern>().map_err(|error| error.to_string());
        for text in ["", ".", "a.", ".a", "\"\"", "a..b"] {
            assert!(error(text).is_err_and(|e| e.contains("empty")), "{text}");
        }
        assert!(error("\"a").is_err_and(|e| e.contains("does not end")));
        assert!(error("db.s.t").is_err_and(|e| e.contains("too many dots")));
    }
}
