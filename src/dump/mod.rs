//! What stands where in a plain dump, and which parts make up one table or
//! schema.
//!
//! Owns the cut of a dump into sections and the choice among them. Refuses to
//! guess names: they are read from the SQL, never from a title, whose text
//! anyone who names a table can shape. Keeps no rows: memory grows with
//! objects. Beside the ledger and not in it, because the ledger compares whole
//! dumps and knows nothing of what belongs to what.
//!
//! Invariant: the sections in their order are the dump, byte for byte.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use crate::ledger::Ledger;

mod choice;
mod closure;
mod describe;
mod facts;
mod needs;
mod pattern;
mod reader;
mod tokens;

pub use choice::{Choice, ChoiceError, LeftOut, Part, expected_part, without_objects};
pub use facts::FactsReader;
pub use needs::Needs;
pub(crate) use needs::gives_owner;
pub use pattern::{Pattern, PatternError};
pub use reader::ContentsReader;

/// A schema-qualified name, unquoted. What lies in no schema (a schema itself,
/// an extension, a server) has an empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    pub schema: String,
    pub name: String,
}

/// As SQL writes it: `public."odd name"`.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.schema.is_empty() {
            write!(f, "{}.", quoted(&self.schema))?;
        }
        f.write_str(&quoted(&self.name))
    }
}

/// A name that can also be given as a pattern and finds just this one.
fn quoted(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if !name.is_empty() && name.bytes().all(is_plain) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The namespaces that names live in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Family {
    /// Tables, views, sequences, indexes.
    Relation,
    Type,
    Routine,
    Schema,
    Extension,
    Other,
}

/// The namespace of a type of object, in a title's words or after `ON` in a
/// comment or grant.
pub(crate) fn family(object_type: &str) -> Family {
    match object_type {
        "TABLE" | "FOREIGN TABLE" | "VIEW" | "MATERIALIZED VIEW" | "SEQUENCE" | "INDEX"
        | "COLUMN" => Family::Relation,
        "TYPE" | "DOMAIN" | "SHELL TYPE" => Family::Type,
        "FUNCTION" | "PROCEDURE" | "AGGREGATE" | "ROUTINE" => Family::Routine,
        "SCHEMA" => Family::Schema,
        "EXTENSION" => Family::Extension,
        _ => Family::Other,
    }
}

pub(crate) type Key = (Family, Name);

/// One object of a dump, or one thing that hangs on an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// In pg_dump's words: "TABLE", "TABLE DATA", "FK CONSTRAINT", "COMMENT".
    pub object_type: String,
    /// Empty for what is in no schema.
    pub schema: String,
    /// Of a constraint or trigger its own, without the table's.
    pub name: String,
    /// Empty for what has no owner of its own.
    pub owner: String,
    /// What it hangs on: the table of an index, the sequence of a value, the
    /// object of a comment.
    pub belongs_to: Option<Name>,
    pub(crate) anchor: Option<Key>,
    /// What comes with it: the partition of an attachment, an owned sequence.
    pub(crate) brings: Option<Key>,
    /// Of a comment on a trigger, constraint, policy or rule: its type and name.
    pub(crate) member: Option<(String, String)>,
    /// Every qualified name that its SQL mentions.
    pub(crate) uses: BTreeSet<Name>,
    /// What its SQL names that is the server's.
    pub(crate) needs: Needs,
    /// Its defining statement has been read.
    pub(crate) is_described: bool,
    /// The schema that an extension puts its objects in.
    pub(crate) target_schema: Option<String>,
    /// Of a sequence's value the sequence as the ledger writes it.
    pub(crate) sequence_text: Option<String>,
}

impl Entry {
    pub(crate) fn own_name(&self) -> Name {
        Name {
            schema: self.schema.clone(),
            name: self.name.clone(),
        }
    }

    /// What it defines; nothing for what only hangs on something.
    pub(crate) fn key(&self) -> Option<Key> {
        let hangs = matches!(
            self.object_type.as_str(),
            "COMMENT"
                | "ACL"
                | "DEFAULT ACL"
                | "SECURITY LABEL"
                | "DEFAULT"
                | "TRIGGER"
                | "RULE"
                | "POLICY"
                | "ROW SECURITY"
                | "TABLE ATTACH"
                | "INDEX ATTACH"
                | "SEQUENCE OWNED BY"
                | "SEQUENCE SET"
                | "TABLE DATA"
                | "MATERIALIZED VIEW DATA"
                | "FK CONSTRAINT"
                | "CHECK CONSTRAINT"
                | "STATISTICS DATA"
                | "PUBLICATION TABLE"
        );
        match self.object_type.as_str() {
            // Its index, where it has one, has its name.
            "CONSTRAINT" => Some((Family::Relation, self.own_name())),
            _ if hangs => None,
            object_type => Some((family(object_type), self.own_name())),
        }
    }

    /// A table, view or sequence: what `-t` finds.
    pub fn is_relation(&self) -> bool {
        matches!(
            self.object_type.as_str(),
            "TABLE" | "FOREIGN TABLE" | "VIEW" | "MATERIALIZED VIEW" | "SEQUENCE"
        )
    }
}

/// `FK CONSTRAINT orders_customer_fkey on public.orders`.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object_type, .. } = self;
        match &self.belongs_to {
            Some(of) if self.key().is_none() && self.name.is_empty() => {
                write!(f, "{object_type} of {of}")
            }
            Some(of) => write!(f, "{object_type} {} on {of}", quoted(&self.name)),
            None => write!(f, "{object_type} {}", self.own_name()),
        }
    }
}

/// A stretch of the dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    /// Bytes from the dump's start.
    pub bytes: Range<u64>,
    /// Which entry it holds; none for settings, the dump's head and its trailer.
    pub entry: Option<usize>,
}

/// What a whole reading of a dump found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// In the dump's order.
    pub entries: Vec<Entry>,
    pub ledger: Ledger,
    /// What the settings between the sections name.
    pub(crate) needs: Needs,
    pub(crate) sections: Vec<Section>,
}

impl Contents {
    /// The dump's length.
    pub fn raw_bytes(&self) -> u64 {
        self.sections.last().map_or(0, |section| section.bytes.end)
    }
}
