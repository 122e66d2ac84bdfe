//! The ledger: what a plain dump holds, read while it streams by.
//!
//! Owns the definition of a table's row hash and the comparison of two dumps.
//! Refuses dumps that are cut off or not pg_dump's; restores nothing and keeps
//! no row. Its invariant: dumps of the same content have equal ledgers, in
//! whatever order the server returned the rows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::words::plural;

mod columns;
mod comments;
mod globals;
mod inserts;
mod kinds;
mod large_objects;
mod lexer;
mod mend;
mod mend_archive;
mod owners;
mod public;
mod reader;
mod rows;
mod statement;
mod watch;

pub use columns::Columns;
pub(crate) use comments::ObjectTitle;
pub use globals::{Attribute, Global, Globals, GlobalsReader, NotUnderstood};
pub use mend::{MendedDump, mend_dump};
pub use mend_archive::{MendArchiveError, MendedArchive, mend_custom, mend_directory};
pub use owners::Owners;
pub use public::{PublicRight, PublicSchema};
pub use reader::DumpReader;
pub(crate) use statement::{Cursor, name_text};
pub(crate) use watch::Watch;

/// What a dump holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Every table whose data the dump carries, empty ones too, by schema and
    /// name. A dump made with `--inserts` is silent about empty tables.
    pub tables: Vec<TableLedger>,
    /// In no manifest: whoever compares a dump has read it, and asks it itself.
    #[serde(skip)]
    pub columns: Columns,
    /// Count of objects by the dump's own type names: "TABLE", "INDEX", ...
    pub objects: BTreeMap<String, u64>,
    /// Where each sequence stands, by its schema-qualified name, quoted as SQL
    /// quotes it: `public."odd name"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sequences: BTreeMap<String, SequenceLedger>,
    #[serde(default, skip_serializing_if = "LargeObjects::is_empty")]
    pub large_objects: LargeObjects,
}

/// The rows of one table.
///
/// A row is the line that `COPY ... TO STDOUT` prints for it in text format,
/// escapes included, its newline not. In a dump made with `--inserts` it is the
/// text between the parentheses of the row's value list. Both ways `hash` is
/// the sum modulo 2^128 of each row's XXH3-128 (seed 0, the xxHash
/// specification's canonical number), so the order of rows does not matter but
/// how often a row occurs does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableLedger {
    /// Unquoted. A byte that is not UTF-8 stands as `\xNN`.
    pub schema: String,
    pub name: String,
    pub rows: u64,
    /// The rows' lengths added up, without newlines: the bytes under the hash.
    pub bytes: u64,
    /// 32 hex digits.
    pub hash: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceLedger {
    pub last_value: i64,
    /// Whether `last_value` has been handed out already.
    pub is_called: bool,
}

/// The large objects all together. `hash` is the sum modulo 2^128 of each
/// object's XXH3-128 over `OID:CONTENT`, the OID in decimal and the content in
/// lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeObjects {
    pub count: u64,
    /// The contents' lengths added up.
    pub bytes: u64,
    /// 32 hex digits.
    pub hash: String,
}

impl Default for LargeObjects {
    fn default() -> Self {
        Self {
            count: 0,
            bytes: 0,
            hash: hex_hash(0),
        }
    }
}

impl LargeObjects {
    /// Nothing is said of any: only then may it be left out where it is written.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for LargeObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, bytes, hash } = self;
        write!(f, "{count} with {bytes} bytes (hash {hash})")
    }
}

fn hex_hash(sum: u128) -> String {
    format!("{sum:032x}")
}

/// Why a stream is not a whole dump of pg_dump's plain format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    #[error(
        "the dump does not begin with pg_dump's header: its start is missing, or it is not a \
         plain dump of one database; look at its first lines"
    )]
    HeaderMissing,
    #[error(
        "the dump ends without pg_dump's trailer: it was cut off and must not be relied on; \
         make a new one"
    )]
    TrailerMissing,
    #[error(
        "the dump ends in the middle of the rows of table {table}, after {rows} whole ones: it \
         was cut off and must not be relied on; make a new one"
    )]
    CopyUnfinished { table: String, rows: u64 },
    #[error(
        "the dump goes on after pg_dump's trailer with {text:?}: something was appended to it; \
         restore it only if you know what that is"
    )]
    AfterTrailer { text: String },
    #[error(
        "the dump holds the psql command {command:?}, which pg_dump does not write there and \
         which could run programs: do not feed this file to psql"
    )]
    MetaCommand { command: String },
    #[error(
        "the dump holds a NUL byte, which no text in PostgreSQL has: it is damaged or was made to \
         mislead; do not feed this file to psql"
    )]
    Nul,
    #[error(
        "it is the dump of a whole cluster, by pg_dumpall, with all of its databases; kluis keeps \
         each by itself: give it to an empty server (psql -f FILE postgres), and back that up with \
         `kluis backup db --all --globals`"
    )]
    WholeCluster,
    #[error(
        "cannot read the statement that begins {statement:?}: it is not as pg_dump 10 or newer \
         writes it; dump again with a current pg_dump"
    )]
    Unreadable { statement: String },
}

/// One way in which a restored database differs from its dump.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Difference {
    /// Dumped with so many rows, not restored at all.
    TableMissing {
        schema: String,
        name: String,
        rows: u64,
    },
    /// Restored with so many rows, though the dump has no such table.
    TableUnexpected {
        schema: String,
        name: String,
        rows: u64,
    },
    Rows {
        schema: String,
        name: String,
        expected: u64,
        found: u64,
    },
    /// Other ones than the dump's `COPY` names; their order counts nothing.
    Columns { schema: String, name: String },
    /// As many rows, but other ones.
    Content {
        schema: String,
        name: String,
        rows: u64,
    },
    Objects {
        object_type: String,
        expected: u64,
        found: u64,
    },
    /// `None` where there is no such sequence.
    Sequence {
        name: String,
        expected: Option<SequenceLedger>,
        found: Option<SequenceLedger>,
    },
    LargeObjects {
        expected: LargeObjects,
        found: LargeObjects,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TableMissing { schema, name, rows } => {
                write!(
                    f,
                    "table {schema}.{name} ({rows} {}) is missing",
                    plural(*rows, "row", "rows")
                )
            }
            Self::TableUnexpected { schema, name, rows } => {
                write!(
                    f,
                    "table {schema}.{name} ({rows} {}) should not be there",
                    plural(*rows, "row", "rows")
                )
            }
            Self::Rows {
                schema,
                name,
                expected,
                found,
            } => write!(
                f,
                "table {schema}.{name} has {found} {} instead of {expected}",
                plural(*found, "row", "rows")
            ),
            Self::Columns { schema, name } => {
                write!(f, "table {schema}.{name} has other columns than it should")
            }
            Self::Content { schema, name, rows } => write!(
                f,
                "table {schema}.{name} has {rows} {} as it should, but not the same {}",
                plural(*rows, "row", "rows"),
                plural(*rows, "one", "ones")
            ),
            Self::Objects {
                object_type,
                expected,
                found,
            } => write!(
                f,
                "{found} objects of type {object_type} instead of {expected}"
            ),
            Self::Sequence {
                name,
                expected,
                found,
            } => write!(
                f,
                "sequence {name} is {} instead of {}",
                standing(found.as_ref()),
                standing(expected.as_ref())
            ),
            Self::LargeObjects { expected, found } => {
                write!(f, "large objects: {found} instead of {expected}")
            }
        }
    }
}

fn standing(sequence: Option<&SequenceLedger>) -> String {
    match sequence {
        None => "not there".to_owned(),
        Some(s) if s.is_called => format!("at {}", s.last_value),
        Some(s) => format!("at {}, not yet handed out", s.last_value),
    }
}

impl Ledger {
    /// In what `restored`, the ledger of a dump of the restored database,
    /// differs from this one. Empty means that the restore is exact.
    pub fn differences(&self, restored: &Ledger) -> Vec<Difference> {
        let mut differences = table_differences(&self.tables, &restored.tables);
        differences.extend(
            self.columns
                .unlike(&restored.columns)
                .cloned()
                .map(|(schema, name)| Difference::Columns { schema, name }),
        );
        for object_type in keys(&self.objects, &restored.objects) {
            let count = |ledger: &Ledger| ledger.objects.get(object_type).copied().unwrap_or(0);
            let (expected, found) = (count(self), count(restored));
            if expected != found {
                differences.push(Difference::Objects {
                    object_type: object_type.clone(),
                    expected,
                    found,
                });
            }
        }
        for name in keys(&self.sequences, &restored.sequences) {
            let expected = self.sequences.get(name).copied();
            let found = restored.sequences.get(name).copied();
            if expected != found {
                differences.push(Difference::Sequence {
                    name: name.clone(),
                    expected,
                    found,
                });
            }
        }
        if self.large_objects != restored.large_objects {
            differences.push(Difference::LargeObjects {
                expected: self.large_objects.clone(),
                found: restored.large_objects.clone(),
            });
        }
        differences
    }
}

fn keys<'a, V>(
    one: &'a BTreeMap<String, V>,
    other: &'a BTreeMap<String, V>,
) -> BTreeSet<&'a String> {
    one.keys().chain(other.keys()).collect()
}

fn table_differences(dumped: &[TableLedger], restored: &[TableLedger]) -> Vec<Difference> {
    type ByName<'a> = BTreeMap<(&'a str, &'a str), &'a TableLedger>;
    fn by_name(tables: &[TableLedger]) -> ByName<'_> {
        let key = |t| -> ((&str, &str), _) {
            let t: &TableLedger = t;
            ((&t.schema, &t.name), t)
        };
        tables.iter().map(key).collect()
    }
    let (dumped, restored) = (by_name(dumped), by_name(restored));
    let names: BTreeSet<_> = dumped.keys().chain(restored.keys()).copied().collect();
    names
        .into_iter()
        .filter_map(|name| {
            table_difference(dumped.get(&name).copied(), restored.get(&name).copied())
        })
        .collect()
}

fn table_difference(
    dumped: Option<&TableLedger>,
    restored: Option<&TableLedger>,
) -> Option<Difference> {
    let named = |table: &TableLedger| (table.schema.clone(), table.name.clone(), table.rows);
    match (dumped, restored) {
        (Some(dumped), Some(restored)) if dumped == restored => None,
        (Some(dumped), Some(restored)) => {
            let (schema, name, rows) = named(dumped);
            Some(if rows == restored.rows {
                Difference::Content { schema, name, rows }
            } else {
                Difference::Rows {
                    schema,
                    name,
                    expected: rows,
                    found: restored.rows,
                }
            })
        }
        (Some(dumped), None) => {
            let (schema, name, rows) = named(dumped);
            Some(Difference::TableMissing { schema, name, rows })
        }
        (None, Some(restored)) => {
            let (schema, name, rows) = named(restored);
            Some(Difference::TableUnexpected { schema, name, rows })
        }
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, rows: u64, hash: u128) -> TableLedger {
        TableLedger {
            schema: "public".to_owned(),
            name: name.to_owned(),
            rows,
            bytes: rows,
            hash: hex_hash(hash),
        }
    }

    fn sequences(last_value: i64, is_called: bool) -> BTreeMap<String, SequenceLedger> {
        let value = SequenceLedger {
            last_value,
            is_called,
        };
        BTreeMap::from([("public.s".to_owned(), value)])
    }

    fn told(dumped: &Ledger, restored: &Ledger) -> Vec<String> {
        let differences = dumped.differences(restored);
        differences.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_kind_of_difference_is_told() {
        let dumped = Ledger {
            tables: vec![
                table("a", 1, 1),
                table("b", 1, 1),
                table("c", 2, 2),
                table("d", 3, 3),
            ],
            columns: Columns::default(),
            objects: BTreeMap::from([("TABLE".to_owned(), 4), ("INDEX".to_owned(), 1)]),
            sequences: sequences(7, true),
            large_objects: LargeObjects::default(),
        };
        let restored = Ledger {
            tables: vec![
                table("d", 3, 3),
                table("b", 1, 9),
                table("c", 1, 1),
                table("e", 5, 5),
            ],
            columns: Columns::default(),
            objects: BTreeMap::from([("TABLE".to_owned(), 4), ("VIEW".to_owned(), 2)]),
            sequences: sequences(7, false),
            large_objects: LargeObjects {
                count: 1,
                bytes: 2,
                hash: hex_hash(3),
            },
        };
        assert_eq!(
            told(&dumped, &restored),
            [
                "table public.a (1 row) is missing".to_owned(),
                "table public.b has 1 row as it should, but not the same one".to_owned(),
                "table public.c has 1 row instead of 2".to_owned(),
                "table public.e (5 rows) should not be there".to_owned(),
                "0 objects of type INDEX instead of 1".to_owned(),
                "2 objects of type VIEW instead of 0".to_owned(),
                "sequence public.s is at 7, not yet handed out instead of at 7".to_owned(),
                format!(
                    "large objects: 1 with 2 bytes (hash {}) instead of 0 with 0 bytes (hash {})",
                    hex_hash(3),
                    hex_hash(0)
                ),
            ]
        );
        assert_eq!(dumped.differences(&dumped), []);
    }

    #[test]
    fn a_sequence_on_one_side_only_is_a_difference() {
        let with = Ledger {
            sequences: sequences(1, true),
            ..Ledger::default()
        };
        let without = Ledger::default();
        assert_eq!(
            told(&with, &without),
            ["sequence public.s is not there instead of at 1"]
        );
        assert_eq!(
            told(&without, &with),
            ["sequence public.s is at 1 instead of not there"]
        );
    }

    #[test]
    fn what_a_ledger_says_of_no_large_objects_comes_back() {
        let ledger = Ledger {
            large_objects: LargeObjects {
                bytes: 2,
                ..LargeObjects::default()
            },
            ..Ledger::default()
        };
        let json = serde_json::to_string(&ledger).expect("JSON");
        assert_eq!(serde_json::from_str::<Ledger>(&json).expect("JSON"), ledger);
    }

    #[test]
    fn the_ledger_keeps_its_form_in_json() {
        let ledger = Ledger {
            tables: vec![table("a", 1, 255)],
            columns: Columns::default(),
            objects: BTreeMap::from([("TABLE".to_owned(), 1)]),
            sequences: sequences(7, true),
            large_objects: LargeObjects::default(),
        };
        let json = concat!(
            r#"{"tables":[{"schema":"public","name":"a","rows":1,"bytes":1,"#,
            r#""hash":"000000000000000000000000000000ff"}],"objects":{"TABLE":1},"#,
            r#""sequences":{"public.s":{"last_value":7,"is_called":true}}}"#
        );
        assert_eq!(serde_json::to_string(&ledger).expect("JSON"), json);
        assert_eq!(
            serde_json::from_str::<Ledger>(json).expect("ledger"),
            ledger
        );
        let difference = &ledger.differences(&Ledger::default())[0];
        assert_eq!(
            serde_json::to_string(difference).expect("JSON"),
            r#"{"kind":"table_missing","schema":"public","name":"a","rows":1}"#
        );
    }
}
