//! What `kluis notify test` prints.

use std::time::Duration;

use serde::Serialize;

use super::table::{Column, table};
use super::units::{counted, duration};
use super::{Report, View};

#[derive(Debug, Serialize)]
pub struct NotifyTestReport {
    /// Whether all have taken it.
    pub ok: bool,
    pub receivers: Vec<NotifyTestRow>,
}

#[derive(Debug, Serialize)]
pub struct NotifyTestRow {
    pub name: String,
    /// "webhook", "slack", "discord", "teams", "email" or "ping".
    pub kind: &'static str,
    /// Empty where the receiver's URL cannot be read.
    pub host: String,
    pub ok: bool,
    /// "1 call", "ping: log"; absent where it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    pub duration_ms: u64,
}

impl NotifyTestReport {
    pub fn new(receivers: Vec<NotifyTestRow>) -> Self {
        Self {
            ok: receivers.iter().all(|row| row.ok),
            receivers,
        }
    }
}

impl NotifyTestRow {
    fn cells(&self) -> Vec<String> {
        let answer = self.error.as_ref().or(self.answer.as_ref());
        vec![
            self.name.clone(),
            self.host.clone(),
            if self.ok { "ok" } else { "FAILED" }.to_owned(),
            self.sent.clone().unwrap_or_default(),
            duration(Duration::from_millis(self.duration_ms)),
            answer.cloned().unwrap_or_default(),
        ]
    }
}

impl Report for NotifyTestReport {
    fn text(&self, view: &View) -> String {
        const COLUMNS: [Column; 6] = [
            Column::left("RECEIVER"),
            Column::left("AT"),
            Column::left("RESULT"),
            Column::left("SENT"),
            Column::right("TIME"),
            Column::wrapping("ANSWER"),
        ];
        let rows: Vec<_> = self.receivers.iter().map(NotifyTestRow::cells).collect();
        let failed = self.receivers.iter().filter(|row| !row.ok).count();
        let all = counted(self.receivers.len() as u64, "receiver", "receivers");
        let verdict = match failed {
            0 => format!("{all}, all have taken it"),
            failed => format!("{all}, {failed} FAILED"),
        };
        format!("{}\n{verdict}\n", table(&COLUMNS, &rows, view))
    }
}
