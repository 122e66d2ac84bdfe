//! What `kluis report` tells: one document of all that is known about a storage,
//! as text, as JSON and as a page for a browser. Owns which points and tables of
//! many are told; judges nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use super::history::{HistoryRow, HistoryTotals};
use super::list::{ListRow, Proof};
use crate::format::manifest::Kind;
use crate::format::names::ArchiveName;
use crate::health::{BackupFact, Facts, Finding, Level, Totals, Uncounted, days_until_full, worst};
use crate::series::Series;

mod cards;
mod chart;
mod grid;
mod listings;
mod page;
mod text;

pub use page::html;
pub use text::PageWritten;

/// Backups and runs of a name that a chart shows.
const POINTS: usize = 60;
/// Backups that a table's rows are followed over.
const TABLE_POINTS: usize = 30;
/// Tables of a database that are followed.
const TABLES: usize = 10;

/// What a report is made of.
pub struct ReportParts<'a> {
    /// The storage's place, without secrets.
    pub storage: String,
    pub now: Timestamp,
    pub facts: &'a Facts,
    pub findings: Vec<Finding>,
    /// The newest first.
    pub backups: Vec<ListRow>,
    /// The newest first.
    pub runs: Vec<HistoryRow>,
    pub totals: HistoryTotals,
    /// Runs that have a record, looked at or not.
    pub records: u64,
}

#[derive(Debug, Serialize)]
pub struct ReportPage {
    /// The storage's place, without secrets.
    pub storage: String,
    pub made_at: Timestamp,
    pub tool_version: &'static str,
    pub healthy: bool,
    /// As `check` has them.
    pub findings: Vec<Finding>,
    #[serde(rename = "use")]
    pub storage_use: StorageUse,
    /// By series. Parts of databases and what restores were about to
    /// replace are not among them.
    pub names: Vec<NameReport>,
    /// Of the runs below.
    pub totals: HistoryTotals,
    /// Runs that have a record; the newest 10,000 of them stand below.
    pub records: u64,
    /// The newest first.
    pub runs: Vec<HistoryRow>,
    /// All, the newest first.
    pub backups: Vec<ListRow>,
    /// Of all backups that count.
    pub proofs: Totals,
    /// Counted nowhere.
    #[serde(flatten)]
    pub uncounted: Uncounted,
}

#[derive(Debug, Serialize)]
pub struct StorageUse {
    /// Of all archives.
    pub stored_bytes: u64,
    /// Of the file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    /// At the rate of the last 30 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days_until_full: Option<f64>,
}

/// The backups of one series.
#[derive(Debug, Serialize)]
pub struct NameReport {
    pub kind: Kind,
    pub name: String,
    /// The name, or more where another series has it too.
    #[serde(skip)]
    pub title: String,
    pub series: String,
    pub newest: Timestamp,
    /// Of the newest backup.
    pub proof: Proof,
    /// The newest one lacks nothing.
    pub complete: bool,
    /// When one was last proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proven_at: Option<Timestamp>,
    pub backups: u64,
    pub stored_bytes: u64,
    /// Of the newest 60 backups, the oldest first.
    pub sizes: Vec<SizePoint>,
    /// The newest 60 runs that made backups, or failed to; the oldest first.
    pub runs: Vec<RunPoint>,
    /// Absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tables: Option<TablesReport>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SizePoint {
    pub at: Timestamp,
    pub stored_bytes: u64,
    /// Before compression.
    pub raw_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RunPoint {
    pub at: Timestamp,
    /// Absent while it runs, and where it was interrupted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// As in the history.
    pub result: &'static str,
}

/// How a database's tables grow.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct TablesReport {
    /// In the newest backup.
    pub tables: u64,
    pub rows: u64,
    /// The newest 30 backups, the oldest first.
    pub at: Vec<Timestamp>,
    /// The 10 largest, by rows now or then.
    pub largest: Vec<TableGrowth>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct TableGrowth {
    pub table: String,
    /// In each backup of `at`; `null` where it had no such table.
    pub rows: Vec<Option<u64>>,
}

impl ReportPage {
    pub fn new(parts: ReportParts<'_>) -> Self {
        let facts = parts.facts;
        let mut runs = runs_by_series(&parts.backups, &parts.runs);
        let groups = facts.by_series().into_iter();
        let names = groups
            .filter_map(|(series, group)| {
                let runs = runs.remove(&(series.kind, series.to_string()));
                series_report(series, &group, runs.unwrap_or_default())
            })
            .collect();
        let full = |room| days_until_full(&facts.backups, room, parts.now);
        let stored = parts.backups.iter().map(|backup| backup.stored_bytes);
        Self {
            storage: parts.storage,
            made_at: parts.now,
            tool_version: env!("CARGO_PKG_VERSION"),
            healthy: worst(&parts.findings) == Level::Ok,
            findings: parts.findings,
            storage_use: StorageUse {
                stored_bytes: stored.fold(0, u64::saturating_add),
                free_bytes: facts.room.map(|room| room.free_bytes),
                total_bytes: facts.room.map(|room| room.total_bytes),
                days_until_full: facts.room.and_then(full),
            },
            names,
            totals: parts.totals,
            records: parts.records,
            proofs: parts.facts.totals,
            uncounted: parts.facts.uncounted,
            runs: parts.runs,
            backups: parts.backups,
        }
    }

    /// The worst of the findings.
    fn level(&self) -> Level {
        worst(&self.findings)
    }
}

/// `group` has the newest first.
fn series_report(
    series: &Series,
    group: &[&BackupFact],
    mut runs: Vec<RunPoint>,
) -> Option<NameReport> {
    let newest = group.first()?;
    let point = |backup: &&BackupFact| SizePoint {
        at: backup.created_at,
        stored_bytes: backup.stored_bytes,
        raw_bytes: backup.raw_bytes,
    };
    runs.reverse();
    let stored = group.iter().map(|backup| backup.stored_bytes);
    Some(NameReport {
        kind: series.kind,
        name: series.name.clone(),
        title: newest.title.clone(),
        series: series.to_string(),
        newest: newest.created_at,
        proof: newest.standing.into(),
        complete: newest.lacks == 0,
        proven_at: group.iter().filter_map(|backup| backup.proven_at).max(),
        backups: group.len() as u64,
        stored_bytes: stored.fold(0, u64::saturating_add),
        sizes: group.iter().take(POINTS).rev().map(point).collect(),
        runs,
        tables: tables_report(&group[..group.len().min(TABLE_POINTS)]),
    })
}

/// The newest first. A backup that is gone left its name in the archive's: its run
/// is that series', where only one has the name.
fn runs_by_series(
    backups: &[ListRow],
    runs: &[HistoryRow],
) -> HashMap<(Kind, String), Vec<RunPoint>> {
    let row = |row: &ListRow| Some((row.file.clone(), (row.kind, row.series.clone()?)));
    let by_file: HashMap<String, (Kind, String)> = backups.iter().filter_map(row).collect();
    let mut by_name: HashMap<(Kind, &str), HashSet<&str>> = HashMap::new();
    for row in backups.iter().filter(|row| row.is_whole()) {
        let of_name = by_name.entry((row.kind, &row.name)).or_default();
        of_name.extend(row.series.as_deref());
    }
    let mut points: HashMap<(Kind, String), Vec<RunPoint>> = HashMap::new();
    for run in runs.iter().filter(|run| run.command.starts_with("backup")) {
        let Some(file) = run.backup.as_deref() else {
            continue;
        };
        let of_name = || {
            let named = ArchiveName::parse(file)?;
            let kind = named.format.kind();
            let mut series = by_name.get(&(kind, &*named.name))?.iter();
            let alone = series.next().filter(|_| series.next().is_none())?;
            Some((kind, (*alone).to_owned()))
        };
        let Some(key) = by_file.get(file).cloned().or_else(of_name) else {
            continue;
        };
        let of_key = points.entry(key).or_default();
        if of_key.len() < POINTS {
            of_key.push(RunPoint {
                at: run.started,
                duration_ms: run.duration_ms,
                result: run.result,
            });
        }
    }
    points
}

/// `group` has the newest first.
fn tables_report(group: &[&BackupFact]) -> Option<TablesReport> {
    let newest = group.first()?;
    let mut most: BTreeMap<&str, u64> = BTreeMap::new();
    for backup in group {
        for (table, &rows) in &backup.tables {
            let so_far = most.entry(table).or_default();
            *so_far = rows.max(*so_far);
        }
    }
    if most.is_empty() {
        return None;
    }
    let mut largest: Vec<(&str, u64)> = most.into_iter().collect();
    largest.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let of_table = |(table, _): &(&str, u64)| TableGrowth {
        table: (*table).to_owned(),
        rows: group
            .iter()
            .rev()
            .map(|backup| backup.tables.get(*table).copied())
            .collect(),
    };
    Some(TablesReport {
        tables: newest.tables.len() as u64,
        rows: newest.tables.values().fold(0, |a, &b| a.saturating_add(b)),
        at: group.iter().rev().map(|backup| backup.created_at).collect(),
        largest: largest.iter().take(TABLES).map(of_table).collect(),
    })
}

impl PageWritten {
    pub fn new(page: &ReportPage, file: &Path, bytes: u64) -> Self {
        Self {
            file: file.display().to_string(),
            bytes,
            healthy: page.healthy,
            verdict: text::verdict_line(page),
        }
    }
}

impl TableGrowth {
    /// Rows now, and how many they were in the oldest backup that has the table.
    fn now_and_then(&self) -> (Option<u64>, Option<u64>) {
        let then = self.rows.iter().find_map(|rows| *rows);
        (self.rows.last().copied().flatten(), then)
    }

    /// In percent of then; `None` where that says nothing.
    fn change_percent(&self) -> Option<f64> {
        match self.now_and_then() {
            (_, None | Some(0)) => None,
            (now, Some(then)) => {
                let (now, then) = (now.unwrap_or(0) as f64, then as f64);
                Some((now - then) * 100.0 / then)
            }
        }
    }
}

#[cfg(test)]
mod tests;
