//! Names, keywords and literals of one statement.
//!
//! Owns the rule that pg_dump writes keywords in capitals and quotes every name
//! that has one, so the two cannot be mistaken. Skips what stands in dollar
//! quotes: a function's body says nothing that is sure.

use super::Name;
use crate::ledger::Cursor;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Keyword(String),
    /// `a`, `a.b` or `a.b.c`; an operator may be the last of them.
    Path(Vec<String>),
    Literal(Vec<u8>),
    Mark(u8),
}

impl Token {
    pub fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Keyword(word) if word == keyword)
    }

    /// A path's first two names, or its only one in no schema.
    pub fn name(&self) -> Option<Name> {
        let Self::Path(parts) = self else { return None };
        match &parts[..] {
            [name] => Some(Name {
                schema: String::new(),
                name: name.clone(),
            }),
            [schema, name, ..] => Some(Name {
                schema: schema.clone(),
                name: name.clone(),
            }),
            [] => None,
        }
    }

    /// As [`Token::name`], but qualified ones only.
    pub fn qualified(&self) -> Option<Name> {
        self.name().filter(|name| !name.schema.is_empty())
    }
}

/// The tokens of `text` up to what cannot be read, if there is any.
/// `backslashes`: whether they escape in plain literals.
pub(super) fn tokens(text: &[u8], backslashes: bool) -> Vec<Token> {
    let mut cursor = Cursor {
        rest: text,
        backslashes,
    };
    let mut tokens = Vec::new();
    loop {
        cursor.rest = cursor.rest.trim_ascii_start();
        let Some(first) = cursor.rest.first() else {
            return tokens;
        };
        let token = match first {
            b'\'' => cursor
                .literal()
                .map(|text| Token::Literal(text.into_owned())),
            b'E' if cursor.rest.starts_with(b"E'") => cursor
                .literal()
                .map(|text| Token::Literal(text.into_owned())),
            b'$' if cursor.rest.get(1).is_none_or(|b| !b.is_ascii_digit()) => {
                skip_dollar_quote(&mut cursor)
            }
            b'"' => path(&mut cursor),
            byte if byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80 => {
                path(&mut cursor)
            }
            byte => {
                let mark = Token::Mark(*byte);
                cursor.rest = &cursor.rest[1..];
                Some(mark)
            }
        };
        let Some(token) = token else { return tokens };
        tokens.push(token);
    }
}

fn path(cursor: &mut Cursor<'_>) -> Option<Token> {
    let is_quoted = cursor.rest.first() == Some(&b'"');
    let first = cursor.identifier()?;
    let is_keyword = !is_quoted && is_keyword(&first);
    if cursor.rest.first() != Some(&b'.') && is_keyword {
        return Some(Token::Keyword(first));
    }
    let mut parts = vec![first];
    while cursor.eat(b".") {
        match cursor.identifier().or_else(|| operator(cursor)) {
            Some(part) => parts.push(part),
            None => break,
        }
    }
    Some(Token::Path(parts))
}

/// In capitals, or a number.
fn is_keyword(word: &str) -> bool {
    let is_capital = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let begins = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    word.bytes().all(is_capital) && word.bytes().next().is_some_and(begins)
}

fn operator(cursor: &mut Cursor<'_>) -> Option<String> {
    let is_sign = |byte: &&u8| b"+-*/<>=~!@#%^&|`?".contains(byte);
    let length = cursor.rest.iter().take_while(is_sign).count();
    let (signs, rest) = cursor.rest.split_at(length);
    cursor.rest = rest;
    (length > 0).then(|| String::from_utf8_lossy(signs).into_owned())
}

fn skip_dollar_quote(cursor: &mut Cursor<'_>) -> Option<Token> {
    let tag_end = 1 + memchr::memchr(b'$', &cursor.rest[1..])?;
    let (tag, body) = cursor.rest.split_at(tag_end + 1);
    let end = memchr::memmem::find(body, tag)?;
    cursor.rest = &body[end + tag.len()..];
    Some(Token::Mark(b'$'))
}

/// The qualified names that the statement mentions, also as `'...'::regclass`.
/// A server, language or wrapper stands in no schema.
pub(super) fn mentioned(tokens: &[Token]) -> impl Iterator<Item = Name> + '_ {
    tokens.iter().enumerate().filter_map(|(at, token)| {
        let global = ["SERVER", "LANGUAGE", "WRAPPER"];
        let before = at.checked_sub(1).map(|before| &tokens[before]);
        if before.is_some_and(|before| global.iter().any(|word| before.is(word))) {
            return token.name();
        }
        match token {
            Token::Literal(text) => regclass(text, &tokens[at + 1..]),
            _ => token.qualified(),
        }
    })
}

fn regclass(literal: &[u8], after: &[Token]) -> Option<Name> {
    let [Token::Mark(b':'), Token::Mark(b':'), Token::Path(kind), ..] = after else {
        return None;
    };
    (kind.as_slice() == ["regclass"]).then(|| name_in(literal))?
}

/// The qualified name that a text holds and nothing else.
pub(super) fn name_in(text: &[u8]) -> Option<Name> {
    match &tokens(text, false)[..] {
        [token] => token.qualified(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let tokens = tokens(text.as_bytes(), false);
        mentioned(&tokens).map(|name| name.to_string()).collect()
    }

    #[test]
    fn names_are_read_and_quoted_text_is_not() {
        let text = "CREATE TABLE public.t (a \"Odd\".\"x.\"\"y\"[] DEFAULT 'no.name'::text, \
                    b integer DEFAULT nextval('public.\"S q\"'::regclass), c text COLLATE s.é, \
                    CHECK ((a OPERATOR(s.===) b)), d $tag$ no.t $x$ no.u $tag$ e.f, g s.t.column)";
        assert_eq!(
            names(text),
            [
                "public.t",
                "\"Odd\".\"x.\"\"y\"",
                "public.\"S q\"",
                "s.\"é\"",
                "s.\"===\"",
                "e.f",
                "s.t"
            ]
        );
        assert_eq!(
            names("CREATE FOREIGN TABLE s.f (a integer) SERVER away"),
            ["s.f", "away"]
        );
    }

    #[test]
    fn a_quoted_name_in_capitals_is_no_keyword() {
        let found = tokens(b"ON \"ON\" on", false);
        let path = |name: &str| Token::Path(vec![name.to_owned()]);
        assert_eq!(
            found,
            [Token::Keyword("ON".to_owned()), path("ON"), path("on")]
        );
    }

    #[test]
    fn text_that_is_cut_anywhere_gives_what_stands_before() {
        let text = "CREATE TABLE \"a\"\"\".b (c text DEFAULT E'\\\\''', $x$ y $x$, $1);".as_bytes();
        for at in 0..text.len() {
            let _ = tokens(&text[..at], false);
        }
    }
}
