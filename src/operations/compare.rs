//! What was restored, beside what was in the dump: table by table, and in sum.
//! Decides what counts as a difference; where the numbers come from is the
//! business of the target that reads them back.

use std::collections::BTreeMap;
use std::fmt;

use crate::format::manifest::DatabaseContent;
use crate::ledger::{Difference, Ledger};
use crate::words::plural;

/// The tables named in an error; the report has them all.
const NAMED: usize = 5;

/// The restored database beside its dump.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Sorted by schema and name.
    pub tables: Vec<ComparedTable>,
    pub sequences: u64,
    pub large_objects: u64,
    /// How many objects of other types were counted; `None`: not compared, as
    /// another major version counts otherwise.
    pub objects: Option<u64>,
    /// Differences that are no table's, in words.
    pub others: Vec<String>,
}

/// `None` is no such table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComparedTable {
    pub schema: String,
    pub name: String,
    pub expected_rows: Option<u64>,
    pub found_rows: Option<u64>,
    /// Rows, bytes and hash.
    pub same: bool,
}

impl Comparison {
    /// `dumped` is the ledger of the stream that was restored, `manifest` what is
    /// known of its making, `found` what was read back. Objects of the types `left_out` were
    /// not made.
    pub fn of(
        dumped: &Ledger,
        manifest: Option<&DatabaseContent>,
        found: &DatabaseContent,
        left_out: &[&str],
    ) -> Self {
        // A part of the dump has not the objects that the manifest counts.
        let count_objects = manifest.is_some_and(|manifest| {
            counts_alike(manifest, found) && manifest.ledger.objects == dumped.objects
        });
        let differences = dumped.differences(&found.ledger);
        let is_other = |difference: &&Difference| match difference {
            Difference::Objects { object_type, .. } => {
                count_objects && !left_out.contains(&object_type.as_str())
            }
            Difference::Columns { .. }
            | Difference::Sequence { .. }
            | Difference::LargeObjects { .. } => true,
            Difference::TableMissing { .. }
            | Difference::TableUnexpected { .. }
            | Difference::Rows { .. }
            | Difference::Content { .. } => false,
        };
        let others = differences.iter().filter(is_other);
        Self {
            tables: compared_tables(dumped, &found.ledger),
            sequences: dumped.sequences.len() as u64,
            large_objects: dumped.large_objects.count,
            objects: count_objects.then(|| dumped.objects.values().sum()),
            others: others.map(ToString::to_string).collect(),
        }
    }

    pub fn is_same(&self) -> bool {
        self.others.is_empty() && self.tables.iter().all(|table| table.same)
    }

    /// Each in words.
    pub fn differences(&self) -> Vec<String> {
        let tables = self.tables.iter().filter(|table| !table.same);
        let tables = tables.map(ToString::to_string);
        tables.chain(self.others.iter().cloned()).collect()
    }
}

/// The differences in one line, for a message.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = self.differences();
        let more = all.len().saturating_sub(NAMED);
        all.truncate(NAMED);
        f.write_str(&all.join("; "))?;
        match more {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl fmt::Display for ComparedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { schema, name, .. } = self;
        match (self.expected_rows, self.found_rows) {
            (Some(expected), Some(found)) if expected == found => {
                let rows = plural(found, "row", "rows");
                let ones = plural(found, "one", "ones");
                write!(
                    f,
                    "{schema}.{name} has {found} {rows}, but not the same {ones}"
                )
            }
            (Some(expected), Some(found)) => {
                let rows = plural(found, "row", "rows");
                write!(
                    f,
                    "{schema}.{name} has {found} {rows} instead of {expected}"
                )
            }
            (Some(_), None) => write!(f, "{schema}.{name} is missing"),
            (None, _) => write!(f, "{schema}.{name} should not be there"),
        }
    }
}

fn compared_tables(dumped: &Ledger, found: &Ledger) -> Vec<ComparedTable> {
    let mut pairs: BTreeMap<(&str, &str), [Option<&_>; 2]> = BTreeMap::new();
    for (side, ledger) in [dumped, found].into_iter().enumerate() {
        for table in &ledger.tables {
            pairs.entry((&table.schema, &table.name)).or_default()[side] = Some(table);
        }
    }
    let compared = |((schema, name), [expected, found]): ((&str, &str), [Option<&_>; 2])| {
        let rows = |table: Option<&crate::ledger::TableLedger>| table.map(|table| table.rows);
        ComparedTable {
            schema: schema.to_owned(),
            name: name.to_owned(),
            expected_rows: rows(expected),
            found_rows: rows(found),
            same: expected == found,
        }
    };
    pairs.into_iter().map(compared).collect()
}

/// Objects are counted by pg_dump's names for them, and other majors of it, or of
/// the server, have others.
pub(super) fn counts_alike(dumped: &DatabaseContent, found: &DatabaseContent) -> bool {
    let major = |version: &str| {
        let digits = version.split(|c: char| !c.is_ascii_digit()).next();
        digits.unwrap_or_default().to_owned()
    };
    let alike = |one: &str, other: &str| major(one) == major(other);
    alike(&dumped.server_version, &found.server_version)
        && alike(&dumped.client_version, &found.client_version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{SequenceLedger, TableLedger};

    fn content(server: &str, tables: &[(&str, u64, &str)], views: u64) -> DatabaseContent {
        let table = |(name, rows, hash): &(&str, u64, &str)| TableLedger {
            schema: "public".to_owned(),
            name: (*name).to_owned(),
            rows: *rows,
            bytes: *rows,
            hash: (*hash).to_owned(),
        };
        DatabaseContent {
            server_version: server.to_owned(),
            client_version: server.to_owned(),
            ledger: Ledger {
                tables: tables.iter().map(table).collect(),
                objects: BTreeMap::from([("VIEW".to_owned(), views)]),
                ..Ledger::default()
            },
            ..DatabaseContent::default()
        }
    }

    #[test]
    fn every_table_is_told_and_what_differs_is_named() {
        let dumped = content("15.1", &[("a", 1, "1"), ("b", 2, "2"), ("c", 3, "3")], 1);
        let mut found = content("15.2", &[("a", 1, "1"), ("b", 2, "9"), ("d", 4, "4")], 1);
        let at = |last_value| SequenceLedger {
            last_value,
            is_called: true,
        };
        found.ledger.sequences.insert("public.s".to_owned(), at(7));
        let compared = Comparison::of(&dumped.ledger, Some(&dumped), &found, &[]);
        let same: Vec<bool> = compared.tables.iter().map(|table| table.same).collect();
        assert_eq!(same, [true, false, false, false]);
        assert_eq!(compared.objects, Some(1));
        assert!(!compared.is_same());
        assert_eq!(
            compared.to_string(),
            "public.b has 2 rows, but not the same ones; public.c is missing; public.d should not \
             be there; sequence public.s is at 7 instead of not there"
        );
        assert!(Comparison::of(&dumped.ledger, Some(&dumped), &dumped, &[]).is_same());
    }

    #[test]
    fn objects_are_counted_only_where_both_count_alike() {
        let dumped = content("15.1", &[], 1);
        let same_major = content("15.9", &[], 2);
        let other_major = content("17.0", &[], 2);
        let compare = |manifest, found| Comparison::of(&dumped.ledger, manifest, found, &[]);
        assert!(!compare(Some(&dumped), &same_major).is_same());
        assert!(compare(Some(&dumped), &other_major).is_same());
        assert!(compare(None, &same_major).is_same());
        // A part was restored: the manifest counts the whole.
        let whole = content("15.1", &[], 5);
        assert!(compare(Some(&whole), &same_major).is_same());
    }
}
