//! What `kluis key drill` prints.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::key_list::unopened_text;
use super::style::{Style, line};
use super::table::{Column, table};
use super::units::{count, counted, duration, size};
use super::{Failure, KeyRow, Report, UnopenedRow, View};

#[derive(Debug, Serialize)]
pub struct KeyDrillReport {
    /// Every backup opens with a configured key, and the sample is right.
    pub ok: bool,
    /// The storage's place, without secrets.
    pub storage: String,
    pub encrypted: u64,
    pub unencrypted: u64,
    /// Those that can open backups here.
    pub keys: Vec<DrillKeyRow>,
    pub unopened: Vec<UnopenedRow>,
    /// Read whole; the newest first.
    pub sample: Vec<SampleRow>,
    pub duration_ms: u64,
}

#[derive(Debug, Serialize)]
pub struct DrillKeyRow {
    #[serde(flatten)]
    pub key: KeyRow,
    /// Backups that nothing would open without it.
    pub lost: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest_lost: Option<String>,
    /// Those that only keys would open then which are not configured here.
    pub elsewhere: Vec<ElsewhereRow>,
}

#[derive(Debug, Serialize)]
pub struct ElsewhereRow {
    pub by: Vec<String>,
    pub backups: u64,
}

#[derive(Debug, Serialize)]
pub struct SampleRow {
    pub file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub created_at: Timestamp,
    pub ok: bool,
    /// Bytes of the archive.
    pub read_bytes: u64,
    pub duration_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl DrillKeyRow {
    fn from(&self) -> String {
        line(self.key.from.as_deref().unwrap_or_default()).into_owned()
    }

    fn cells(&self, encrypted: u64, view: &View) -> Vec<String> {
        vec![
            self.key.key.word(view),
            self.from(),
            format!("{} of {}", count(self.key.backups), count(encrypted)),
            count(self.lost),
        ]
    }

    /// What its loss would cost, in plain words.
    fn cost(&self) -> String {
        let from = self.from();
        let mut text = match &self.newest_lost {
            Some(newest) => format!(
                "If {from} were lost, {} would be lost, newest\n  {}\n",
                counted(self.lost, "backup", "backups"),
                line(newest)
            ),
            None if self.key.backups == 0 => {
                format!("If {from} were lost, nothing would change: it opens no backup.\n")
            }
            None if self.elsewhere.is_empty() => {
                format!("If {from} were lost, no backup would be: other keys here open them all.\n")
            }
            None => format!("If {from} were lost, no backup would be lost for good.\n"),
        };
        for row in &self.elsewhere {
            let number = counted(row.backups, "backup", "backups");
            let by = row.by.join(" or ");
            let by = line(&by);
            let keys = match row.by.len() {
                1 => "which is not here",
                _ => "which are not here",
            };
            text.push_str(&format!(
                "Then {number} would open only by\n  {by}, {keys}.\n"
            ));
        }
        text
    }
}

impl Report for KeyDrillReport {
    fn text(&self, view: &View) -> String {
        const COLUMNS: [Column; 4] = [
            Column::left("KEY"),
            Column::shrinking("FROM"),
            Column::right("OPENS"),
            Column::right("LOST WITHOUT IT"),
        ];
        let mut text = match self.keys.is_empty() {
            true => "No configured key opens backups: this host can only write them.\n".to_owned(),
            false => {
                let rows = self.keys.iter();
                let rows: Vec<_> = rows.map(|row| row.cells(self.encrypted, view)).collect();
                table(&COLUMNS, &rows, view)
            }
        };
        text.push('\n');
        text.extend(self.keys.iter().map(DrillKeyRow::cost));
        text.push_str(&unopened_text(&self.unopened));
        text.push_str(&self.sampled());
        if self.unencrypted > 0 {
            let number = counted(self.unencrypted, "backup is", "backups are");
            text.push_str(&format!("{number} not encrypted: no key is needed.\n"));
        }
        let number = counted(self.encrypted, "encrypted backup", "encrypted backups");
        let verdict = match self.ok {
            true => Style::Green.paint(format!("All right: {number}")),
            false => Style::Red.paint(format!("NOT RIGHT: see above; {number}")),
        };
        let took = duration(Duration::from_millis(self.duration_ms));
        text.push_str(&format!("{verdict} in {took}\n"));
        text
    }

    fn failure(&self) -> Option<Failure> {
        let wrong = self.sample.iter().find(|row| !row.ok).map(|row| {
            let problem = row.problem.as_deref().unwrap_or_default();
            format!("{}: {problem}", row.file)
        });
        let unopened = || {
            let backups = self.unopened.len() as u64;
            (backups > 0).then(|| {
                counted(backups, "backup opens", "backups open") + " with no configured key"
            })
        };
        let unread = || (!self.ok).then(|| "a manifest cannot be read".to_owned());
        let error = wrong.or_else(unopened).or_else(unread)?;
        Some(Failure { error, hint: None })
    }
}

impl KeyDrillReport {
    fn sampled(&self) -> String {
        let wrong = self.sample.iter().filter(|row| !row.ok);
        let mut text: String = wrong
            .clone()
            .map(|row| {
                let label = Style::Red.paint("wrong:");
                let problem = line(row.problem.as_deref().unwrap_or_default());
                format!("{label} {}: {problem}\n", line(&row.file))
            })
            .collect();
        if self.sample.is_empty() {
            return text + "None was read whole.\n";
        }
        let number = counted(self.sample.len() as u64, "backup", "backups");
        let bytes = self.sample.iter().map(|row| row.read_bytes);
        let bytes = size(bytes.fold(0, u64::saturating_add));
        let verdict = match wrong.count() {
            0 => "all right".to_owned(),
            wrong => format!("{} WRONG", count(wrong as u64)),
        };
        text.push_str(&format!("Read whole: {number}, {bytes}: {verdict}.\n"));
        text
    }
}
