//! A report as text: the verdict first, then names, room, runs and tables.

use std::fmt::Write;

use serde::Serialize;

use super::{NameReport, ReportPage, TableGrowth};
use crate::health::Level;
use crate::render::health::{level_word, verdict};
use crate::render::history::{HistoryRow, HistoryTotals, millis};
use crate::render::list::kind_word;
use crate::render::status::{proofs_line, sparkline, uncounted_line};
use crate::render::style::line;
use crate::render::table::{Column, table};
use crate::render::units::{age, count, counted, size, when};
use crate::render::{Report, View};

/// Runs that failed and are told.
const FAILED_RUNS: usize = 5;
/// Tables that are told.
const GROWN_TABLES: usize = 8;
/// Sizes in a row of the names.
const SPARKS: usize = 14;

/// What `kluis report --html FILE` prints.
#[derive(Debug, Serialize)]
pub struct PageWritten {
    pub file: String,
    pub bytes: u64,
    pub healthy: bool,
    #[serde(skip)]
    pub(super) verdict: String,
}

impl Report for PageWritten {
    fn text(&self, _view: &View) -> String {
        let (file, bytes) = (line(&self.file), size(self.bytes));
        format!("{}\nwritten to {file}, {bytes}\n", self.verdict)
    }
}

/// Whether all is well, in one line.
pub(super) fn verdict_line(page: &ReportPage) -> String {
    format!("{} {}", verdict(&page.findings), of_what(page))
}

pub(super) fn of_what(page: &ReportPage) -> String {
    let backups = counted(page.backups.len() as u64, "backup", "backups");
    let names = counted(page.names.len() as u64, "name", "names");
    let stored = size(page.storage_use.stored_bytes);
    format!("{backups} of {names}, {stored}.")
}

impl Report for ReportPage {
    fn text(&self, view: &View) -> String {
        let mut text = format!("{}\n", verdict_line(self));
        let _ = writeln!(text, "{}", proofs_line(&self.proofs));
        text.push_str(&uncounted_line(self.uncounted));
        for finding in self.findings.iter().filter(|it| it.level > Level::Ok) {
            let (word, subject) = (level_word(finding.level), line(&finding.subject));
            let _ = writeln!(text, "{word} {subject}: {}", line(&finding.text));
        }
        if !self.healthy {
            let _ = writeln!(text, "kluis check says what to do.");
        }
        if !self.names.is_empty() {
            let _ = write!(text, "\n{}", names(&self.names, view));
        }
        let _ = writeln!(text, "\n{}", room(self));
        let _ = writeln!(text, "{}", runs(&self.totals));
        text.push_str(&failures(&self.runs, view));
        text.push_str(&grown(&self.names, view));
        text
    }
}

fn runs(totals: &HistoryTotals) -> String {
    let mut text = counted(totals.counted(), "run", "runs");
    if let Some(percent) = totals.success_percent {
        let _ = write!(text, ", {percent:.1}% of them ended well");
    }
    text
}

fn failures(runs: &[HistoryRow], view: &View) -> String {
    const COLUMNS: [Column; 3] = [
        Column::left("FAILED"),
        Column::left("COMMAND"),
        Column::shrinking("WHY"),
    ];
    let cells = |run: &HistoryRow| {
        vec![
            when(run.started, view),
            run.command.clone(),
            run.error.as_deref().unwrap_or(run.result).to_owned(),
        ]
    };
    let failed = runs.iter().filter(|run| ended_badly(run.result));
    let rows: Vec<_> = failed.take(FAILED_RUNS).map(cells).collect();
    match rows.is_empty() {
        true => String::new(),
        false => format!("\n{}", table(&COLUMNS, &rows, view)),
    }
}

pub(super) fn ended_badly(result: &str) -> bool {
    matches!(result, "failed" | "interrupted")
}

fn names(names: &[NameReport], view: &View) -> String {
    const COLUMNS: [Column; 8] = [
        Column::left("KIND"),
        Column::shrinking("NAME"),
        Column::left("NEWEST"),
        Column::left("PROOF"),
        Column::right("BACKUPS"),
        Column::right("STORED"),
        Column::right("TIME"),
        Column::left("SIZES"),
    ];
    let cells = |row: &NameReport| {
        let newest = row.sizes.len().saturating_sub(SPARKS);
        let sizes: Vec<u64> = row.sizes[newest..]
            .iter()
            .map(|it| it.stored_bytes)
            .collect();
        vec![
            kind_word(row.kind).to_owned(),
            row.title.clone(),
            age(row.newest, view.now),
            row.proof.word().to_owned(),
            row.backups.to_string(),
            size(row.stored_bytes),
            row.last_duration_ms().map(millis).unwrap_or_default(),
            sparkline(&sizes),
        ]
    };
    let rows: Vec<_> = names.iter().map(cells).collect();
    table(&COLUMNS, &rows, view)
}

impl NameReport {
    /// Of the last backup that ended well.
    pub(super) fn last_duration_ms(&self) -> Option<u64> {
        let mut newest = self.runs.iter().rev();
        let done = newest.find(|run| ["completed", "incomplete"].contains(&run.result))?;
        done.duration_ms
    }
}

fn room(page: &ReportPage) -> String {
    let room = &page.storage_use;
    let mut text = format!("{} in {}", size(room.stored_bytes), line(&page.storage));
    if let (Some(free), Some(total)) = (room.free_bytes, room.total_bytes) {
        let _ = write!(text, "\n{} of {} free", size(free), size(total));
    }
    if let Some(days) = room.days_until_full {
        let days = counted(days as u64, "day", "days");
        let _ = write!(text, ", full in {days} at the rate of the last 30");
    }
    text
}

/// The tables whose rows changed most.
fn grown(names: &[NameReport], view: &View) -> String {
    const COLUMNS: [Column; 5] = [
        Column::left("DATABASE"),
        Column::shrinking("CHANGED TABLE"),
        Column::right("ROWS"),
        Column::right("CHANGE"),
        Column::left("TREND"),
    ];
    let mut grown: Vec<(&str, &TableGrowth, f64)> = Vec::new();
    for name in names {
        let tables = name.tables.iter().flat_map(|tables| &tables.largest);
        let changed =
            tables.filter_map(|table| Some((name.title.as_str(), table, table.change_percent()?)));
        grown.extend(changed.filter(|(_, _, percent)| *percent != 0.0));
    }
    if grown.is_empty() {
        return String::new();
    }
    grown.sort_by(|a, b| b.2.abs().total_cmp(&a.2.abs()));
    let cells = |(name, table, percent): &(&str, &TableGrowth, f64)| {
        let newest = table.rows.len().saturating_sub(SPARKS);
        let rows: Vec<u64> = table.rows[newest..].iter().flatten().copied().collect();
        vec![
            (*name).to_owned(),
            table.table.clone(),
            count(table.now_and_then().0.unwrap_or(0)),
            percent_text(*percent),
            sparkline(&rows),
        ]
    };
    let rows: Vec<_> = grown.iter().take(GROWN_TABLES).map(cells).collect();
    format!("\n{}", table(&COLUMNS, &rows, view))
}

pub(super) fn percent_text(percent: f64) -> String {
    match percent.abs() {
        0.0 => "0%".to_owned(),
        small if small < 10.0 => format!("{percent:+.1}%"),
        _ => format!("{percent:+.0}%"),
    }
}
