//! What `kluis verify` prints.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::list::{kind_word, short_id};
use super::style::{Style, line};
use super::table::{Column, table};
use super::units::{counted, duration, rate, size, when};
use super::{Proof, Report, View};
use crate::format::manifest::{Kind, ProofLevel};

#[derive(Debug, Serialize)]
pub struct VerifyReport {
    /// All of them are right.
    pub ok: bool,
    pub backups: Vec<VerifyRow>,
}

#[derive(Debug, Serialize)]
pub struct VerifyRow {
    pub id: String,
    pub kind: Kind,
    pub name: String,
    pub created_at: Timestamp,
    pub file: String,
    pub ok: bool,
    /// The proof that was reached, if `ok`.
    pub level: ProofLevel,
    /// Bytes of the archive that were read.
    pub read_bytes: u64,
    pub duration_ms: u64,
    /// What is wrong; empty if `ok`.
    pub problems: Vec<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What is worth knowing although it is right.
    pub warnings: Vec<String>,
}

impl VerifyRow {
    fn cells(&self, view: &View) -> Vec<String> {
        let proof = match self.ok {
            true => Proof::from(self.level),
            false => Proof::Failed,
        };
        vec![
            when(self.created_at, view),
            kind_word(self.kind).to_owned(),
            self.name.clone(),
            size(self.read_bytes),
            duration(Duration::from_millis(self.duration_ms)),
            proof.word().to_owned(),
            short_id(&self.id),
        ]
    }

    fn remarks(&self) -> String {
        let mut text = String::new();
        for problem in &self.problems {
            let name = line(&self.file);
            let wrong = Style::Red.paint("wrong:");
            text.push_str(&format!("{wrong} {name}: {}\n", line(problem)));
        }
        if let Some(hint) = &self.hint {
            let label = Style::Cyan.paint("hint:");
            text.push_str(&format!("{label} {}\n", line(hint)));
        }
        for warning in &self.warnings {
            let name = line(&self.file);
            let note = Style::Yellow.paint("note:");
            text.push_str(&format!("{note} {name}: {}\n", line(warning)));
        }
        text
    }
}

impl Report for VerifyReport {
    fn text(&self, view: &View) -> String {
        const COLUMNS: [Column; 7] = [
            Column::left("WHEN"),
            Column::left("KIND"),
            Column::shrinking("NAME"),
            Column::right("READ"),
            Column::right("TIME"),
            Column::left("PROOF"),
            Column::left("ID"),
        ];
        if self.backups.is_empty() {
            return "Nothing to verify: there is no backup, or all were verified before.\n"
                .to_owned();
        }
        let rows: Vec<_> = self.backups.iter().map(|row| row.cells(view)).collect();
        let remarks: String = self.backups.iter().map(VerifyRow::remarks).collect();
        let table = table(&COLUMNS, &rows, view);
        format!("{table}\n{remarks}{}\n", self.verdict())
    }
}

impl VerifyReport {
    /// The last line: whether to sleep well.
    fn verdict(&self) -> String {
        let failed = self.backups.iter().filter(|row| !row.ok).count() as u64;
        let bytes = self.backups.iter().map(|row| row.read_bytes);
        let bytes = bytes.fold(0, u64::saturating_add);
        let millis = self.backups.iter().map(|row| row.duration_ms);
        let time = Duration::from_millis(millis.fold(0, u64::saturating_add));
        let rate = rate(bytes, time).map_or_else(String::new, |rate| format!(", {rate}"));
        let number = counted(self.backups.len() as u64, "backup", "backups");
        let verdict = match failed {
            0 => Style::Green.paint(format!("All right: {number}")),
            failed => Style::Red.paint(format!("NOT RIGHT: {failed} of {number}")),
        };
        format!(
            "{verdict}; {} read in {}{rate}",
            size(bytes),
            duration(time)
        )
    }
}
