//! The options of pg_dump that a manifest tells of.
//!
//! Owns the list of those that may be given to a pg_dump again: they say what a
//! dump holds, and nothing about where it comes from, where it goes, who makes it
//! or what else is done meanwhile. Anybody who can write to a storage can write a
//! manifest, so what is not on the list is kept to be shown, and given to nobody.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Options without a value, of pg_dump 14 to 18.
const FLAGS: &[&str] = &[
    "attribute-inserts",
    "blobs",
    "column-inserts",
    "disable-dollar-quoting",
    "disable-triggers",
    "enable-row-security",
    "inserts",
    "large-objects",
    "load-via-partition-root",
    "no-acl",
    "no-blobs",
    "no-comments",
    "no-data",
    "no-large-objects",
    "no-owner",
    "no-policies",
    "no-privileges",
    "no-publications",
    "no-security-labels",
    "no-statistics",
    "no-subscriptions",
    "no-synchronized-snapshots",
    "no-table-access-method",
    "no-tablespaces",
    "no-toast-compression",
    "no-unlogged-table-data",
    "on-conflict-do-nothing",
    "quote-all-identifiers",
    "schema-only",
    "sequence-data",
    "serializable-deferrable",
    "statistics",
    "strict-names",
    "use-set-session-authorization",
];

/// Options whose value is a pattern of names. `include-foreign-data` is none of
/// them: it makes pg_dump read from other servers, which the dump names.
const PATTERNS: &[&str] = &[
    "exclude-extension",
    "exclude-table-and-children",
    "exclude-table-data",
    "exclude-table-data-and-children",
    "extension",
];

/// Options whose value is a number.
const NUMBERS: &[&str] = &["extra-float-digits", "rows-per-insert"];

/// An option as a manifest has it: `--name` or `--name=value`, or anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordedOption(String);

impl RecordedOption {
    /// As it was given, or read.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// What may be given to a pg_dump that makes the same dump again; `None` if it
    /// is not on the list. An abbreviation is on no list.
    pub fn argument(&self) -> Option<&str> {
        let long = self.0.strip_prefix("--")?;
        let is_known = match long.split_once('=') {
            None => FLAGS.contains(&long),
            Some((name, value)) if PATTERNS.contains(&name) => is_pattern(value),
            Some((name, value)) if NUMBERS.contains(&name) => is_number(value),
            Some(_) => false,
        };
        is_known.then_some(&self.0)
    }
}

/// Patterns are names, so they are as short as names are.
fn is_pattern(value: &str) -> bool {
    const MAX_BYTES: usize = 4096;
    (1..=MAX_BYTES).contains(&value.len()) && !value.contains('\0')
}

fn is_number(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    (1..=9).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for RecordedOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq<&str> for RecordedOption {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

#[cfg(test)]
mod tests {
    use super::RecordedOption;

    #[test]
    fn what_says_what_a_dump_holds_comes_back() {
        for option in [
            "--no-owner",
            "--schema-only",
            "--exclude-table-data=public.log*",
            "--exclude-table-data=a=b\nc",
            "--rows-per-insert=100",
            "--extra-float-digits=-3",
        ] {
            assert_eq!(RecordedOption::new(option).argument(), Some(option));
        }
    }

    #[test]
    fn what_says_anything_else_does_not() {
        for option in [
            "",
            "--",
            "-f/x",
            "-Fc",
            "x",
            "--file=/x",
            "--host=127.0.0.1",
            "--port=1",
            "--dbname=postgres://x",
            "--username=x",
            "--role=x",
            "--jobs=2",
            "--snapshot=x",
            "--lock-wait-timeout=1",
            "--include-foreign-data=*",
            "--format=d",
            "--filter=/x",
            "--superuser=x",
            "--section=data",
            "--verbose",
            "--no-own",
            "--exclude-table-da=x",
            "--fil=/x",
            "--no-owner=x",
            "--no-owner\0--file=/x",
            "--exclude-table-data",
            "--exclude-table-data=",
            "--exclude-table-data=a\0b",
            "--rows-per-insert=1 --file=x",
            "--rows-per-insert=-",
            " --no-owner",
        ] {
            assert_eq!(RecordedOption::new(option).argument(), None, "{option:?}");
        }
    }
}
