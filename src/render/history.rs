//! What `kluis history` prints.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::style::line;
use super::table::{Column, table};
use super::units::{counted, duration, size, when};
use super::{Report, View};
use crate::format::manifest::Trigger;
use crate::operations::RunState;

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
    /// "completed", "failed", "running" or "interrupted".
    pub result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What a run over many archives did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    pub started: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    pub user: String,
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

fn millis(number: u64) -> String {
    duration(Duration::from_millis(number))
}

impl HistoryRow {
    fn cells(&self, view: &View) -> Vec<String> {
        let word = match self.result {
            "failed" => "FAILED",
            "interrupted" => "INTERRUPTED",
            word => word,
        };
        let what = self.error.as_ref().or(self.backup.as_ref());
        vec![
            when(self.started, view),
            self.command.clone(),
            word.to_owned(),
            self.duration_ms.map(millis).unwrap_or_default(),
            self.bytes.map(size).unwrap_or_default(),
            self.user.clone(),
            what.cloned().unwrap_or_default(),
        ]
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
            Column::shrinking("WHAT"),
        ];
        if self.totals.runs == 0 {
            return format!("No run in {} fits.\n", line(&self.storage));
        }
        let rows: Vec<_> = self.runs.iter().map(|row| row.cells(view)).collect();
        let table = table(&COLUMNS, &rows, view);
        let shown = match self.runs.len() as u64 {
            shown if shown < self.totals.runs => format!("the newest {shown} of "),
            _ => String::new(),
        };
        format!("{table}\n{shown}{}\n", self.totals.text())
    }
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
}
