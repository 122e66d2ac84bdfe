//! What is wrong with a key's text: what would quietly make another key of it.

use super::KEY_FILE_BYTES_MAX;

/// What is wrong with a key's text.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyTextError {
    #[error("is empty")]
    Empty,
    #[error("ends with {what}")]
    EndsWithSpace { what: &'static str },
    #[error("has {digits} hex digits, and a key has 64")]
    NearlyHex { digits: usize },
    #[error("has {what} around its hex digits")]
    Wrapped { what: &'static str },
    #[error("is not UTF-8 text")]
    NotUtf8,
    #[error("is longer than {KEY_FILE_BYTES_MAX} bytes")]
    TooLong,
    #[error("cannot be used: {0}")]
    Age(&'static str),
    #[error("has more than one line")]
    SeveralLines,
    #[error("is no signing key")]
    NoSigningKey,
}

/// Hex digits, but not 64: a key that lost or gained some on its way. As a
/// passphrase it would quietly write archives that the real key does not open.
pub(super) fn is_nearly_a_key(text: &str) -> bool {
    let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex && (48..=80).contains(&text.len()) && text.len() != 64
}

/// What stands around the hex digits of a key, put there by an editor or a shell, or
/// `None`. With it the text would be a passphrase, as above.
pub(super) fn wrapping(text: &str) -> Option<&'static str> {
    let (mut inner, mut first) = (text, None);
    loop {
        let (rest, what) = match inner.chars().next()? {
            '\u{feff}' => (&inner['\u{feff}'.len_utf8()..], "a byte order mark"),
            mark @ ('"' | '\'' | '`') => {
                let rest = &inner[1..];
                (rest.strip_suffix(mark).unwrap_or(rest), "quotes")
            }
            blank if blank.is_whitespace() => (inner.trim_start(), "white space"),
            '0' if inner[1..].starts_with(['x', 'X']) => (&inner[2..], "0x"),
            _ => break,
        };
        (inner, first) = (rest, first.or(Some(what)));
    }
    first
        .filter(|_| inner.len() == 64 || is_nearly_a_key(inner))
        .filter(|_| inner.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
