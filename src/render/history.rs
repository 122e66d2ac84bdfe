//! What `kluis history` prints.

use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::style::{line, wrapped};
use super::table::{Column, table};
use super::units::{counted, duration, size, when};
use super::{Report, View};
use crate::format::manifest::Trigger;
use crate::operations::RunState;

/// How far what a run was about is indented below it.
const BELOW: usize = 4;

#[derive(Debug, Serialize)]
pub struct HistoryReport {
    /// The storage's place, without secrets.
    pub storage: String,
    /// Of all runs that fit, shown or not.
    pub totals: HistoryTotals,
    /// The newest first.
    pub runs: Vec<HistoryRow>,
}

#[derive(Debug, Serialize)]
pub struct HistoryTotals {
    pub runs: u64,
    pub completed: u64,
    pub failed: u64,
    pub interrupted: u64,
    pub running: u64,
    /// Records of messages that reached nobody. They are among the runs, but
    /// neither completed nor failed ones.
    pub unsent_messages: u64,
    /// Records that no key of ours sealed: among the runs as well, and nothing else
    /// of them is counted.
    pub not_sealed: u64,
    /// Of those that ended, how many ended well; `None` where none has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_percent: Option<f64>,
    /// Of the completed ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median_duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_duration_ms: Option<u64>,
}

#[derive(Debug, Serialize)]
pub struct HistoryRow {
    pub id: String,
    pub command: String,
    pub trigger: Trigger,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// "completed", "incomplete", "failed", "running" or "interrupted".
    pub result: &'static str,
    /// No key of ours sealed the record: anybody may have put it there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub not_sealed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The archives that a prune removed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What a run over many archives did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What a backup's programs said by which nothing is missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    pub started: Timestamp,
    /// When it ended; absent while it runs, and where it did not come to say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    pub user: String,
    /// Who became that user by sudo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sudo_user: Option<String>,
    pub host: String,
}

/// How a run's state is called in every output.
pub fn result_word(state: RunState) -> &'static str {
    match state {
        RunState::Running => "running",
        RunState::Completed => "completed",
        RunState::Failed => "failed",
        RunState::Interrupted => "interrupted",
    }
}

impl HistoryTotals {
    /// The runs that completed, failed, or are on their way.
    pub(super) fn counted(&self) -> u64 {
        self.runs - self.unsent_messages - self.not_sealed
    }

    fn text(&self) -> String {
        let mut text = counted(self.runs, "run", "runs");
        for (number, word) in [
            (self.completed, "completed"),
            (self.failed, "failed"),
            (self.interrupted, "interrupted"),
            (self.running, "running"),
        ] {
            if number > 0 {
                text.push_str(&format!(", {number} {word}"));
            }
        }
        if self.unsent_messages > 0 {
            let number = counted(self.unsent_messages, "unsent message", "unsent messages");
            text.push_str(&format!(", {number}"));
        }
        if self.not_sealed > 0 {
            text.push_str(&format!(
                ", {} not sealed by a key of ours",
                self.not_sealed
            ));
        }
        if let Some(percent) = self.success_percent {
            text.push_str(&format!("; {percent:.1}% ended well"));
        }
        if let (Some(median), Some(longest)) = (self.median_duration_ms, self.longest_duration_ms) {
            let (median, longest) = (millis(median), millis(longest));
            text.push_str(&format!(", in {median} (median), {longest} at most"));
        }
        text
    }
}

pub(super) fn millis(number: u64) -> String {
    duration(Duration::from_millis(number))
}

impl HistoryRow {
    fn cells(&self, view: &View) -> Vec<String> {
        let word = match self.result {
            "failed" => "FAILED",
            "interrupted" => "INTERRUPTED",
            word => word,
        };
        let word = match self.not_sealed {
            true => format!("{word}, not sealed"),
            false => word.to_owned(),
        };
        let what = self.error.clone().or_else(|| self.about());
        let what = what.or_else(|| self.detail.clone());
        let by = match &self.sudo_user {
            Some(person) => format!("{} ({person})", self.user),
            None => self.user.clone(),
        };
        vec![
            when(self.started, view),
            self.command.clone(),
            word,
            self.duration_ms.map(millis).unwrap_or_default(),
            self.bytes.map(size).unwrap_or_default(),
            by,
            what.unwrap_or_default(),
        ]
    }

    /// The archive, or the number of those that it removed: --json names them.
    fn about(&self) -> Option<String> {
        match self.removed.len() as u64 {
            0 | 1 => self.backup.clone(),
            some => Some(counted(some, "backup removed", "backups removed")),
        }
    }
}

impl Report for HistoryReport {
    fn text(&self, view: &View) -> String {
        const COLUMNS: [Column; 7] = [
            Column::left("WHEN"),
            Column::left("COMMAND"),
            Column::left("RESULT"),
            Column::right("TIME"),
            Column::right("BYTES"),
            Column::left("BY"),
            Column::left("WHAT"),
        ];
        if self.totals.runs == 0 {
            return format!("No run in {} fits.\n", line(&self.storage));
        }
        let rows: Vec<_> = self.runs.iter().map(|row| row.cells(view)).collect();
        let table = listing(&COLUMNS, &rows, view);
        let shown = match self.runs.len() as u64 {
            shown if shown < self.totals.runs => format!("the newest {shown} of "),
            _ => String::new(),
        };
        let totals = format!("{shown}{}", self.totals.text());
        let width = view.columns.unwrap_or(usize::MAX);
        format!("{table}\n{}\n", wrapped(&totals, width, 0))
    }
}

/// One line a run where that fits. Else what it was about, or its whole error,
/// stands below it: beside the other columns there is room for some letters only.
fn listing(columns: &[Column], rows: &[Vec<String>], view: &View) -> String {
    let whole = table(columns, rows, view);
    let width = view.columns.unwrap_or(usize::MAX);
    let fits = |row: &str| row.chars().count() <= width;
    if whole.lines().skip(1).all(fits) {
        return whole;
    }
    let beside = columns.len() - 1;
    let short: Vec<Vec<String>> = rows.iter().map(|row| row[..beside].to_vec()).collect();
    let short = table(&columns[..beside], &short, view);
    let mut lines = short.lines();
    let mut text = lines
        .next()
        .map_or_else(String::new, |it| format!("{it}\n"));
    for (run, row) in lines.zip(rows) {
        let _ = writeln!(text, "{run}");
        let below = line(&row[beside]);
        if !below.is_empty() {
            let below = wrapped(&below, width.saturating_sub(BELOW).max(20), BELOW);
            let _ = writeln!(text, "{:BELOW$}{below}", "");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(completed: u64, failed: u64) -> HistoryTotals {
        HistoryTotals {
            runs: completed + failed,
            completed,
            failed,
            interrupted: 0,
            running: 0,
            unsent_messages: 0,
            not_sealed: 0,
            success_percent: Some(98.33),
            median_duration_ms: Some(3_290),
            longest_duration_ms: Some(252_000),
        }
    }

    #[test]
    fn totals_say_how_many_ended_well_and_how_long_they_took() {
        assert_eq!(
            totals(59, 1).text(),
            "60 runs, 59 completed, 1 failed; 98.3% ended well, in 3.2 s (median), \
             4 min 12 s at most"
        );
    }

    fn failed(error: &str) -> HistoryReport {
        let started = View::for_tests().now;
        HistoryReport {
            storage: "vault".to_owned(),
            totals: totals(1_059, 100),
            runs: vec![HistoryRow {
                id: "0707070707070707".to_owned(),
                command: "backup source".to_owned(),
                trigger: Trigger::Manual,
                schedule: None,
                result: "failed",
                not_sealed: false,
                backup: None,
                bytes: None,
                removed: Vec::new(),
                error: Some(error.to_owned()),
                detail: None,
                warnings: Vec::new(),
                started,
                completed: None,
                duration_ms: Some(252_000),
                user: "postgres".to_owned(),
                sudo_user: None,
                host: "db1".to_owned(),
            }],
        }
    }

    #[test]
    fn on_80_columns_a_whole_error_can_be_read_and_no_word_is_broken() {
        let error = "the disk is full, and more is to be said of it than fits ".repeat(3);
        let mut view = View::for_tests();
        let text = failed(&error).text(&view);
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert!(plain.lines().all(|it| it.chars().count() <= 80), "{plain}");
        let words: Vec<&str> = plain.split_whitespace().collect();
        let words = words.join(" ");
        assert!(words.contains(error.trim()), "{plain}");
        assert!(words.contains("4 min 12 s at most"), "{plain}");
        assert!(plain.contains("\n    the disk is full"), "{plain}");
        // Who reads it by a program has one line a run.
        view.columns = None;
        let text = failed(&error).text(&view);
        assert_eq!(text.lines().count(), 4, "{text}");
    }

    #[test]
    fn unsent_messages_are_told_beside_the_runs() {
        let mut totals = totals(59, 1);
        totals.unsent_messages = 2;
        let text = totals.text();
        assert!(
            text.contains("1 failed, 2 unsent messages; 98.3%"),
            "{text}"
        );
    }
}
