//! Takes the statements of a dump of globals apart, as pg_dumpall 14 to 18 writes
//! them. What goes on in any other way is not understood.

use super::{Attribute, Global};
use crate::checked::SqlName;
use crate::ledger::Cursor;

const FLAGS: [&str; 14] = [
    "SUPERUSER",
    "NOSUPERUSER",
    "INHERIT",
    "NOINHERIT",
    "CREATEROLE",
    "NOCREATEROLE",
    "CREATEDB",
    "NOCREATEDB",
    "LOGIN",
    "NOLOGIN",
    "REPLICATION",
    "NOREPLICATION",
    "BYPASSRLS",
    "NOBYPASSRLS",
];

const MEMBERSHIP_OPTIONS: [&str; 5] = [
    "ADMIN OPTION",
    "INHERIT TRUE",
    "INHERIT FALSE",
    "SET TRUE",
    "SET FALSE",
];

/// `text` without its semicolon. `None`: it was not understood to its end.
pub(super) fn statement(text: &str) -> Option<Global> {
    let mut parser = Parser(Cursor {
        rest: text.as_bytes(),
        backslashes: false,
    });
    let parsed = if parser.eat("CREATE ROLE ") {
        Global::Role(parser.name()?)
    } else if parser.eat("ALTER ROLE ") {
        parser.alter_role()?
    } else if parser.eat("COMMENT ON ROLE ") {
        let role = parser.name()?;
        parser.eat(" IS ").then_some(())?;
        let text = parser.text()?;
        Global::Comment { role, text }
    } else if is_of_tablespace(text) {
        return Some(Global::OfTablespace);
    } else if parser.eat("GRANT ") {
        parser.membership()?
    } else if parser.eat("CREATE TABLESPACE ") {
        // It is not made, so nothing of the rest matters.
        return parser.name().map(Global::Tablespace);
    } else if parser.eat("SET ") {
        return Some(Global::Session);
    } else {
        return None;
    };
    parser.0.rest.is_empty().then_some(parsed)
}

/// What belongs to a tablespace is not run, so nothing of the rest matters.
fn is_of_tablespace(text: &str) -> bool {
    let before_name = text.split(['"', '\'']).next().unwrap_or_default();
    let words: Vec<&str> = before_name.split(' ').take(5).collect();
    match words[..] {
        ["ALTER", "TABLESPACE", ..] | ["COMMENT", "ON", "TABLESPACE", ..] => true,
        ["GRANT" | "REVOKE", _, "ON", "TABLESPACE", ..] => true,
        ["REVOKE", "GRANT", "OPTION", "FOR", ..] => before_name.contains(" ON TABLESPACE "),
        _ => false,
    }
}

struct Parser<'a>(Cursor<'a>);

impl Parser<'_> {
    fn eat(&mut self, text: &str) -> bool {
        self.0.eat(text.as_bytes())
    }

    fn eat_one(&mut self, texts: &[&'static str]) -> Option<&'static str> {
        // The whole word: LOGIN is no beginning of another, but so it stays.
        texts.iter().copied().find(|text| {
            let rest = self.0.rest.strip_prefix(text.as_bytes());
            let is_whole =
                rest.is_some_and(|rest| matches!(rest.first(), None | Some(b' ' | b',')));
            is_whole && self.eat(text)
        })
    }

    fn name(&mut self) -> Option<SqlName> {
        SqlName::new(self.0.identifier()?).ok()
    }

    /// A literal; one with a backslash only where it is marked for escapes.
    fn text(&mut self) -> Option<String> {
        let is_marked = self.0.rest.starts_with(b"E");
        let text = self.0.literal()?.into_owned();
        let is_sure = is_marked || !text.contains(&b'\\');
        is_sure.then(|| String::from_utf8(text).ok())?
    }

    fn alter_role(&mut self) -> Option<Global> {
        let role = self.name()?;
        if self.eat(" WITH") {
            let mut attributes = Vec::new();
            while self.eat(" ") {
                attributes.push(self.attribute()?);
            }
            return Some(Global::Attributes { role, attributes });
        }
        self.eat(" SET ").then_some(())?;
        let name = self.name().filter(is_setting)?;
        self.eat(" TO ").then_some(())?;
        let mut values = vec![self.text()?];
        while self.eat(", ") {
            values.push(self.text()?);
        }
        Some(Global::Setting { role, name, values })
    }

    fn attribute(&mut self) -> Option<Attribute> {
        if let Some(flag) = self.eat_one(&FLAGS) {
            return Some(Attribute::Flag(flag));
        }
        if self.eat("CONNECTION LIMIT ") {
            let digits = self.0.rest.iter().take_while(|byte| **byte != b' ');
            let (number, rest) = self.0.rest.split_at(digits.count());
            self.0.rest = rest;
            let number = std::str::from_utf8(number).ok()?.parse().ok()?;
            return Some(Attribute::ConnectionLimit(number));
        }
        if self.eat("PASSWORD ") {
            let verifier = self.text().filter(|text| is_verifier(text))?;
            return Some(Attribute::Password(verifier));
        }
        self.eat("VALID UNTIL ").then_some(())?;
        let until = self.text().filter(|text| is_moment(text))?;
        Some(Attribute::ValidUntil(until))
    }

    fn membership(&mut self) -> Option<Global> {
        let role = self.name()?;
        self.eat(" TO ").then_some(())?;
        let member = self.name()?;
        let mut options = Vec::new();
        if self.eat(" WITH ") {
            options.push(self.eat_one(&MEMBERSHIP_OPTIONS)?);
            while self.eat(", ") {
                options.push(self.eat_one(&MEMBERSHIP_OPTIONS)?);
            }
        }
        if self.eat(" GRANTED BY ") {
            self.name()?;
        }
        Some(Global::Membership {
            role,
            member,
            options,
        })
    }
}

/// `work_mem`, or an extension's: `app.tenant`.
fn is_setting(name: &SqlName) -> bool {
    name.split('.').all(|part| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$');
        !part.is_empty() && part.bytes().all(is_part)
    })
}

/// `SCRAM-SHA-256$4096:salt$stored:server` in base 64, or md5 and 32 hex digits.
fn is_verifier(text: &str) -> bool {
    if let Some(digits) = text.strip_prefix("md5") {
        return digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    const LONGEST: usize = 1024;
    let is_base64 = |text: &str| {
        let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
        !text.is_empty() && text.bytes().all(is_digit)
    };
    let parts = text.strip_prefix("SCRAM-SHA-256$").and_then(|rest| {
        let (iterations, rest) = rest.split_once(':')?;
        let (salt, keys) = rest.split_once('$')?;
        let (stored, server) = keys.split_once(':')?;
        Some((iterations, [salt, stored, server]))
    });
    text.len() <= LONGEST
        && parts.is_some_and(|(iterations, parts)| {
            iterations.parse::<u32>().is_ok() && parts.into_iter().all(is_base64)
        })
}

/// `2026-01-01 00:00:00+00`, `infinity`.
fn is_moment(text: &str) -> bool {
    const LONGEST: usize = 64;
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b" +-:.".contains(&byte);
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(is_part)
}
