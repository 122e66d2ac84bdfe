//! Identifiers: of a backup, of a run. Random, so that two hosts that write to
//! one storage never meet. What is read back is checked: an identifier becomes
//! part of file names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Hex digits of an identifier: 64 bits.
const DIGITS: usize = 16;

/// Not 16 lowercase hex digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an id: those have 16 digits of 0-9 and a-f")]
pub struct InvalidId(String);

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(String);

        impl $name {
            pub fn from_random(bytes: [u8; 8]) -> Self {
                Self(hex::encode(bytes))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                is_id(text)
                    .then(|| Self(text.to_owned()))
                    .ok_or_else(|| InvalidId(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

hex_id! {
    /// Of a backup: 16 lowercase hex digits, 64 random bits.
    BackupId
}
hex_id! {
    /// Of a run, in its record: 16 lowercase hex digits, 64 random bits.
    RunId
}

fn is_id(text: &str) -> bool {
    text.len() == DIGITS
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_as_it_was_written() {
        let id = BackupId::from_random([0, 1, 2, 3, 0xfc, 0xfd, 0xfe, 0xff]);
        assert_eq!(id.as_str(), "00010203fcfdfeff");
        assert_eq!(id.as_str().parse(), Ok(id));
    }

    #[test]
    fn what_could_leave_the_directory_is_no_id() {
        for text in [
            "",
            "../../etc/passwd",
            "00010203FCFDFEFF",
            "00010203fcfdfef",
            "é0010203fcfdfef",
        ] {
            assert!(text.parse::<RunId>().is_err(), "{text:?}");
            let json = serde_json::to_string(text).unwrap();
            assert!(serde_json::from_str::<RunId>(&json).is_err(), "{text:?}");
        }
    }
}
