//! Makes a whole archive of what is left of a damaged one of pg_dump's custom or
//! directory format: with all that it makes, and the data of those tables alone of which
//! all is there. The others are emptied by its table of contents, and named.
//!
//! Behind a gap the next data are looked for. What looks like them may be what somebody
//! stored in a large object, so rows are taken there only where they are those that the
//! manifest knows; what cannot be shown to be what it looks like is told as doubtful.

use std::collections::BTreeMap;
use std::io;

use super::rows::Totals;
use super::{Ledger, TableLedger, hex_hash, name_text};
use crate::format::mended::Plan;
use crate::format::pg_archive::{DataEntry, DataKind, Toc, TocError};

mod custom;
mod data;
mod directory;
mod walk;

pub use custom::mend_custom;
pub use directory::mend_directory;

use data::Seen;

/// What can be made of a damaged archive.
#[derive(Debug, Default)]
pub struct MendedArchive {
    pub plan: Plan,
    /// Tables whose rows are lost, as `schema.name`.
    pub lost_tables: Vec<String>,
    /// Whether content of large objects is lost.
    pub lost_large_objects: bool,
    /// Something was kept of which nothing shows that it is no content of a large object.
    pub is_doubtful: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum MendArchiveError {
    #[error(transparent)]
    Stream(#[from] io::Error),
    /// Without it nothing can be told from another.
    #[error("its table of contents cannot be read: {0}")]
    NoContents(String),
}

impl From<TocError> for MendArchiveError {
    fn from(error: TocError) -> Self {
        match error {
            TocError::Stream(error) => Self::Stream(error),
            other => Self::NoContents(other.to_string()),
        }
    }
}

/// The manifest's tables.
struct Known<'a>(BTreeMap<(&'a str, &'a str), &'a TableLedger>);

enum Verdict {
    Kept,
    Doubtful,
    Lost,
}

impl<'a> Known<'a> {
    fn new(ledger: Option<&'a Ledger>) -> Self {
        let tables = ledger.into_iter().flat_map(|ledger| &ledger.tables);
        Self(tables.map(|it| ((&*it.schema, &*it.name), it)).collect())
    }

    fn table(&self, entry: &DataEntry) -> Option<&'a TableLedger> {
        let (schema, name) = (
            name_text(entry.schema.clone()),
            name_text(entry.name.clone()),
        );
        self.0.get(&(&*schema, &*name)).copied()
    }

    /// `is_found`: it was looked for behind a gap, or comes after what was.
    fn judge(&self, entry: &DataEntry, seen: &Seen, is_found: bool) -> Verdict {
        let is_whole = match entry.kind {
            DataKind::Rows => seen.is_rows(),
            DataKind::Statements => seen.is_text(),
            DataKind::LargeObjects => seen.is_readable(),
        };
        if !is_whole {
            return Verdict::Lost;
        }
        if !is_found || entry.kind == DataKind::LargeObjects {
            return Verdict::Kept;
        }
        match (self.table(entry), seen.totals()) {
            (Some(table), Some(totals)) if is_of(table, totals) => Verdict::Kept,
            (Some(_), Some(_)) => Verdict::Lost,
            _ => Verdict::Doubtful,
        }
    }

    /// What is told of the entries that are not kept.
    fn tell_lost(&self, toc: &Toc, is_kept: impl Fn(usize) -> bool, done: &mut MendedArchive) {
        for (_, entry) in toc.data.iter().enumerate().filter(|it| !is_kept(it.0)) {
            match entry.kind {
                DataKind::LargeObjects => done.lost_large_objects = true,
                // It is as empty as it was.
                _ if self.table(entry).is_some_and(|table| table.rows == 0) => {}
                _ => {
                    let schema = name_text(entry.schema.clone());
                    let name = name_text(entry.name.clone());
                    done.lost_tables.push(format!("{schema}.{name}"));
                }
            }
        }
    }
}

fn is_of(table: &TableLedger, totals: &Totals) -> bool {
    table.rows == totals.rows
        && table.bytes == totals.bytes
        && table.hash == hex_hash(totals.hash())
}

#[cfg(test)]
mod tests;
