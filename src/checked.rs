//! Texts that cannot hold what they must not: names in PostgreSQL, names of
//! files, digests, options of pg_dump that come back out of a manifest.
//!
//! Owns what each of them may be. They are checked where they are parsed, so who
//! has one need not ask again. Refuses by a sentence that names the text.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize};

mod recorded_option;

pub use recorded_option::RecordedOption;

/// A text that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is no {what}: {why}", shown(.text))]
pub struct NotThat {
    what: &'static str,
    why: &'static str,
    text: String,
}

/// The beginning of hostile text, escaped.
fn shown(text: &str) -> String {
    const SHOWN_CHARS: usize = 60;
    match text.chars().nth(SHOWN_CHARS) {
        Some(_) => format!(
            "{:?}...",
            text.chars().take(SHOWN_CHARS).collect::<String>()
        ),
        None => format!("{text:?}"),
    }
}

/// Text of any length in a message, shortened in its middle.
pub fn abridged(text: &str, bytes_max: usize) -> Cow<'_, str> {
    const GAP: &str = " ... ";
    if text.len() <= bytes_max {
        return Cow::Borrowed(text);
    }
    let half = bytes_max.saturating_sub(GAP.len()) / 2;
    let start = &text[..text.floor_char_boundary(half)];
    let end = &text[text.ceil_char_boundary(text.len() - half)..];
    Cow::Owned(format!("{start}{GAP}{end}"))
}

/// Names in a sentence for people: on one line, whatever stands in them.
pub fn listed(names: &[impl AsRef<str>]) -> String {
    let shown = names.iter().map(|name| {
        let shown = name.as_ref().chars().map(|c| match c.is_control() {
            true => c.escape_debug().to_string(),
            false => c.to_string(),
        });
        shown.collect::<String>()
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// A name as a word of a command to paste, as a POSIX shell wants it: a storage's names
/// may be anybody's.
pub fn shell_word(name: &str) -> Cow<'_, str> {
    // No shell has a word with a NUL in it.
    let word = shlex::try_quote(name).unwrap_or(Cow::Borrowed("NAME"));
    match name.starts_with('-') {
        true => Cow::Owned(format!("-- {word}")),
        false => word,
    }
}

macro_rules! checked {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            pub fn new(text: impl Into<String>) -> Result<Self, NotThat> {
                let text = text.into();
                match $check(&text) {
                    Ok(()) => Ok(Self(text)),
                    Err(why) => Err(NotThat { what: $what, why, text }),
                }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.0 == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.0 == *other
            }
        }

        impl PartialEq<String> for $name {
            fn eq(&self, other: &String) -> bool {
                self.0 == *other
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(from)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

checked! {
    /// The name of a role, a tablespace or an extension. Newlines and other
    /// control characters are names in PostgreSQL; a NUL never is.
    SqlName, "name in PostgreSQL", sql_name
}

checked! {
    /// One file in one directory: no path.
    FileName, "file name", file_name
}

checked! {
    /// SHA-256 as 64 hex digits.
    Sha256Hex, "SHA-256 in hex digits", sha256_hex
}

impl Sha256Hex {
    pub fn of(digest: [u8; 32]) -> Self {
        Self(hex::encode(digest))
    }
}

/// As the server bounds it where NAMEDATALEN was raised; the usual limit is 63.
/// A byte that is not UTF-8 may stand as four.
const NAME_MAX_BYTES: usize = 1024;

/// NAME_MAX of every common file system.
const FILE_NAME_MAX_BYTES: usize = 255;

fn sql_name(text: &str) -> Result<(), &'static str> {
    match text.len() {
        0 => Err("it is empty"),
        1..=NAME_MAX_BYTES if !text.contains('\0') => Ok(()),
        1..=NAME_MAX_BYTES => Err("it holds a NUL byte"),
        _ => Err("it is longer than any name"),
    }
}

fn file_name(text: &str) -> Result<(), &'static str> {
    if matches!(text, "" | "." | "..") {
        return Err("it names no file");
    }
    if text.contains(['/', '\0']) {
        return Err("it holds a slash or a NUL byte");
    }
    match text.len() <= FILE_NAME_MAX_BYTES {
        true => Ok(()),
        false => Err("it is longer than 255 bytes"),
    }
}

fn sha256_hex(text: &str) -> Result<(), &'static str> {
    match text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(()),
        false => Err("it has not 64 hex digits"),
    }
}

/// Whether a JSON text has a NUL in one of its strings: no name, path or option
/// that we write ever has, and where C programs read it a text would end there.
pub fn json_has_nul(json: &[u8]) -> bool {
    memchr::memmem::find_iter(json, b"u0000").any(|at| {
        let backslashes = json[..at].iter().rev().take_while(|byte| **byte == b'\\');
        backslashes.count() % 2 == 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_word_of_a_command_whatever_stands_in_it() {
        assert_eq!(
            shell_word("a_2026-01-01T00-00-00.tar.gz"),
            "a_2026-01-01T00-00-00.tar.gz"
        );
        for name in ["it's $(here)", "", "a;b", "a\nb", "`a` \"b\" \\ *"] {
            assert_eq!(shlex::split(&shell_word(name)).unwrap(), [name]);
        }
        assert_eq!(shell_word("--all"), "-- --all");
    }

    #[test]
    fn a_name_holds_everything_but_a_nul() {
        for good in ["a", "a\nb", "odd \"; --", "\x1b[31m", &"ü".repeat(100)] {
            assert!(SqlName::new(good).is_ok(), "{good:?}");
        }
        for bad in ["", "a\0b", &"x".repeat(1025)] {
            assert!(SqlName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_file_name_is_no_path() {
        assert!(FileName::new("shop_backup_2026-01-18T10-30-00.sql.gz").is_ok());
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "/etc/x",
            "../x",
            "a\0",
            &"x".repeat(256),
        ] {
            assert!(FileName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_digest_has_64_hex_digits() {
        assert!(Sha256Hex::new("0".repeat(64)).is_ok());
        for bad in ["", "00", &"g".repeat(64), &"0".repeat(65)] {
            assert!(Sha256Hex::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_nul_is_found_however_it_is_written_and_nothing_else_is_taken_for_one() {
        for with in [r#"{"a":"x\u0000y"}"#, r#"["\\\u0000"]"#, r#"{"\u0000":1}"#] {
            assert!(json_has_nul(with.as_bytes()), "{with}");
        }
        for without in [
            r#"{"a":"\\u0000"}"#,
            r#"["u0000"]"#,
            r#"["\\\\u0000"]"#,
            "{}",
        ] {
            assert!(!json_has_nul(without.as_bytes()), "{without}");
        }
    }

    #[test]
    fn what_is_refused_is_shown_escaped_and_short() {
        let error = SqlName::new(format!("\x1b\0{}", "x".repeat(5000))).unwrap_err();
        let told = error.to_string();
        assert!(told.len() < 200 && !told.contains('\x1b'), "{told}");
    }
}
