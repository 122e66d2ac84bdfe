//! What `kluis status` prints.

use std::fmt::Write;

use jiff::Timestamp;
use serde::Serialize;

use super::health::{level_word, verdict};
use super::history::result_word;
use super::list::kind_word;
use super::style::{Style, line};
use super::table::{Column, table};
use super::units::{age, counted, size};
use super::{Proof, Report, View};
use crate::catalog::Unproven;
use crate::format::manifest::Kind;
use crate::health::{BackupFact, Facts, Finding, Level, Totals, Uncounted};
use crate::operations::PastRun;
use crate::series::Series;

/// Sizes that a sparkline shows.
const SPARKS: usize = 14;

#[derive(Debug, Serialize)]
pub struct StatusReport {
    pub storage: String,
    pub names: Vec<StatusRow>,
    pub totals: Totals,
    /// Not among the names.
    #[serde(flatten)]
    pub uncounted: Uncounted,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run: Option<LastRun>,
    pub healthy: bool,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    /// There is a server that a check would ask and that was not asked here.
    #[serde(skip)]
    pub server_unasked: bool,
}

#[derive(Debug, Serialize)]
pub struct StatusRow {
    pub kind: Kind,
    pub name: String,
    /// The name, or more where another series has it too.
    #[serde(skip)]
    pub title: String,
    pub series: String,
    pub newest: Timestamp,
    pub backups: u64,
    pub stored_bytes: u64,
    /// Of the newest backup.
    pub proof: Proof,
    /// The newest one lacks nothing.
    pub complete: bool,
    /// Stored sizes of the newest ones, the oldest first.
    pub sizes: Vec<u64>,
}

#[derive(Debug, Serialize)]
pub struct LastRun {
    pub command: String,
    pub started: Timestamp,
    pub result: &'static str,
}

impl StatusReport {
    pub fn new(
        storage: String,
        facts: &Facts,
        findings: Vec<Finding>,
        last_run: Option<&PastRun>,
        server_unasked: bool,
    ) -> Self {
        let rows = facts.by_series().into_iter();
        let wrong = findings.into_iter().filter(|it| it.level > Level::Ok);
        let findings: Vec<Finding> = wrong.collect();
        Self {
            storage,
            names: rows
                .filter_map(|(series, group)| status_row(series, &group))
                .collect(),
            totals: facts.totals,
            uncounted: facts.uncounted,
            free_bytes: facts.room.map(|room| room.free_bytes),
            last_run: last_run.map(|run| LastRun {
                command: run.record.command.clone(),
                started: run.record.started,
                result: match run.record.is_incomplete() {
                    true => "incomplete",
                    false => result_word(run.state),
                },
            }),
            healthy: findings.is_empty(),
            findings,
            server_unasked,
        }
    }

    /// The last line.
    fn verdict(&self) -> String {
        match self.healthy {
            true if self.server_unasked => format!(
                "{}, as far as the storage tells; kluis check asks the server too.",
                Style::Green.paint("Healthy")
            ),
            true => verdict(&self.findings),
            false => format!("{} kluis check says what to do.", verdict(&self.findings)),
        }
    }
}

fn status_row(series: &Series, group: &[&BackupFact]) -> Option<StatusRow> {
    let newest = group.first()?;
    let sizes = group.iter().take(SPARKS).rev();
    Some(StatusRow {
        kind: series.kind,
        name: series.name.clone(),
        title: newest.title.clone(),
        series: series.to_string(),
        newest: newest.created_at,
        backups: group.len() as u64,
        stored_bytes: group.iter().map(|backup| backup.stored_bytes).sum(),
        proof: newest.standing.into(),
        complete: newest.lacks == 0,
        sizes: sizes.map(|backup| backup.stored_bytes).collect(),
    })
}

impl Report for StatusReport {
    fn text(&self, view: &View) -> String {
        const COLUMNS: [Column; 7] = [
            Column::left("KIND"),
            Column::shrinking("NAME"),
            Column::left("NEWEST"),
            Column::left("PROOF"),
            Column::right("BACKUPS"),
            Column::right("STORED"),
            Column::left("SIZES"),
        ];
        if self.names.is_empty() {
            let place = line(&self.storage);
            let none = match self.uncounted.not_tried {
                0 => format!("No backups in {place}; kluis backup makes the first one.\n"),
                _ => format!("No backup in {place} is known to be ours.\n"),
            };
            return none + &uncounted_line(self.uncounted);
        }
        let cells = |row: &StatusRow| {
            vec![
                kind_word(row.kind).to_owned(),
                row.title.clone(),
                age(row.newest, view.now),
                row.proof.word().to_owned(),
                row.backups.to_string(),
                size(row.stored_bytes),
                sparkline(&row.sizes),
            ]
        };
        let rows: Vec<_> = self.names.iter().map(cells).collect();
        let mut text = table(&COLUMNS, &rows, view);
        let total = size(self.totals.stored_bytes);
        let number = proofs_line(&self.totals);
        let _ = write!(text, "\n{number}; {total} in {}", line(&self.storage));
        if let Some(free) = self.free_bytes {
            let _ = write!(text, ", {} free", size(free));
        }
        if let Some(run) = &self.last_run {
            let when = age(run.started, view.now);
            let _ = write!(text, "; last run: {} {when}, {}", run.command, run.result);
        }
        let _ = writeln!(text);
        text.push_str(&uncounted_line(self.uncounted));
        for finding in &self.findings {
            let (word, subject) = (level_word(finding.level), line(&finding.subject));
            let _ = writeln!(text, "{word} {subject}: {}", line(&finding.text));
        }
        let _ = writeln!(text, "{}", self.verdict());
        text
    }
}

/// `12 backups: 3 verified, 9 pending`.
pub(super) fn proofs_line(totals: &Totals) -> String {
    let sorts = [
        (totals.verified, "verified"),
        (totals.pending, "pending"),
        (totals.failed, "FAILED"),
    ];
    let there = sorts.iter().filter(|(number, _)| *number > 0);
    let words: Vec<String> = there
        .map(|(number, word)| format!("{number} {word}"))
        .collect();
    format!(
        "{}: {}",
        counted(totals.backups, "backup", "backups"),
        words.join(", ")
    )
}

/// Nothing where there is none. Without a key nothing is foreign; with one, what has
/// no manifest is.
pub fn uncounted_line(uncounted: Uncounted) -> String {
    if uncounted.not_tried > 0 {
        return format!(
            "{} not sealed by a key of ours as far as is known, and {} of them not tried, for \
             passphrase slots of others took what a run spends: {}\n",
            counted(uncounted.foreign, "archive is", "archives are"),
            uncounted.not_tried,
            Unproven::NOT_TRIED_REMEDY
        );
    }
    match (uncounted.foreign, uncounted.without_manifest) {
        (0, 0) => String::new(),
        (0, alone) => format!(
            "{} no manifest and no checksum, and {} nowhere: kluis list, kluis adopt --all\n",
            counted(alone, "archive has", "archives have"),
            match alone {
                1 => "counts",
                _ => "count",
            }
        ),
        (foreign, _) => format!(
            "{} not sealed by a key of ours, which count nowhere: kluis list, kluis adopt --all\n",
            counted(foreign, "archive is", "archives are")
        ),
    }
}

/// Eighths of a block, the largest a whole one; a size that never changes is a
/// line in the middle.
pub(super) fn sparkline(sizes: &[u64]) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let (least, most) = (sizes.iter().min(), sizes.iter().max());
    let (Some(&least), Some(&most)) = (least, most) else {
        return String::new();
    };
    let block = |size: &u64| match u128::from(most - least) {
        0 => BLOCKS[3],
        range => BLOCKS[(u128::from(size - least) * 7 / range) as usize],
    };
    sizes.iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_server_is_not_told_that_all_is_healthy_unasked() {
        let facts = Facts::default();
        let mut status = StatusReport::new("vault".to_owned(), &facts, Vec::new(), None, true);
        assert_eq!(
            anstream::adapter::strip_str(&status.verdict()).to_string(),
            "Healthy, as far as the storage tells; kluis check asks the server too."
        );
        status.server_unasked = false;
        let verdict = status.verdict();
        assert!(verdict.contains("Healthy."), "{verdict}");
    }

    #[test]
    fn a_sparkline_goes_from_the_least_to_the_most() {
        assert_eq!(sparkline(&[0, 7, 14]), "▁▄█");
        assert_eq!(sparkline(&[5, 5]), "▄▄");
        assert_eq!(sparkline(&[u64::MAX, 0]), "█▁");
        assert_eq!(sparkline(&[]), "");
    }
}
