//! What `kluis key add`, `drop`, `rotate` and `repair` print.

use std::time::Duration;

use serde::Serialize;

use super::style::{Style, line};
use super::units::{counted, duration, size};
use super::{Failure, Report, View};

/// Archives that are named one by one, of one kind; the others are counted.
const SHOWN_MAX: usize = 20;

#[derive(Debug, Default, Serialize)]
pub struct KeyChangeReport {
    /// "key rotate" and so on.
    pub command: String,
    /// Nothing was changed.
    pub dry_run: bool,
    pub backups: Vec<KeyChangeRow>,
    /// Written into archives; of a dry run 0.
    pub written_bytes: u64,
    pub duration_ms: u64,
}

#[derive(Debug, Serialize)]
pub struct KeyChangeRow {
    /// Absent for an archive without a manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub file: String,
    pub result: KeyResult,
    /// Why it failed, what opens it instead, or what else is worth knowing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyResult {
    /// Or, of a dry run, would be.
    Changed,
    /// There was nothing to do.
    Already,
    /// The key that goes opens it not.
    #[serde(rename = "other key")]
    OtherKey,
    /// Its form has no key slots.
    #[serde(rename = "not KLUIS1")]
    NotKluis1,
    /// It may be anybody's, and gets no key.
    #[serde(rename = "not ours")]
    Unproven,
    Failed,
}

impl KeyChangeReport {
    fn of(&self, result: KeyResult) -> impl Iterator<Item = &KeyChangeRow> {
        self.backups.iter().filter(move |row| row.result == result)
    }

    fn words(&self, result: KeyResult) -> &'static str {
        match (result, self.command.as_str(), self.dry_run) {
            (KeyResult::Changed, "key rotate", true) => "would be rotated",
            (KeyResult::Changed, "key rotate", false) => "rotated",
            (KeyResult::Changed, "key repair", _) => "repaired",
            (KeyResult::Changed, "key add", _) => "changed: opens with the key now",
            (KeyResult::Changed, ..) => "changed: no longer opens with the key",
            (KeyResult::Already, "key rotate", _) => "done already",
            (KeyResult::Already, "key add", _) => "had the key already",
            (KeyResult::Already, ..) => "did not have the key",
            (KeyResult::OtherKey, ..) => "not opened by the old key",
            (KeyResult::NotKluis1, ..) => "not KLUIS1, so without key slots",
            (KeyResult::Unproven, ..) => "passed over: not ours so far",
            (KeyResult::Failed, ..) => "FAILED",
        }
    }

    /// A line that counts, and the archives below it that somebody wants named.
    fn section(&self, result: KeyResult) -> String {
        let rows: Vec<&KeyChangeRow> = self.of(result).collect();
        if rows.is_empty() {
            return String::new();
        }
        let number = counted(rows.len() as u64, "backup", "backups");
        let words = self.words(result);
        let heading = format!("{number} {words}");
        let heading = match result {
            KeyResult::Failed => Style::Red.paint(heading).to_string(),
            KeyResult::Changed => Style::Green.paint(heading).to_string(),
            _ => heading,
        };
        let mut text = format!("{heading}\n");
        let is_told = |row: &&&KeyChangeRow| match result {
            KeyResult::Failed | KeyResult::OtherKey | KeyResult::Unproven => true,
            KeyResult::Changed => self.dry_run || row.detail.is_some(),
            KeyResult::Already | KeyResult::NotKluis1 => false,
        };
        // Each failure is a backup at stake.
        let shown = match result {
            KeyResult::Failed | KeyResult::Unproven => usize::MAX,
            _ => SHOWN_MAX,
        };
        let told: Vec<&&KeyChangeRow> = rows.iter().filter(is_told).collect();
        for row in told.iter().take(shown) {
            let detail = row.detail.as_deref();
            let detail = detail.map_or_else(String::new, |detail| format!(": {}", line(detail)));
            text.push_str(&format!("  {}{detail}\n", line(&row.file)));
        }
        if told.len() > shown {
            text.push_str(&format!("  and {} more\n", told.len() - shown));
        }
        text
    }
}

impl Report for KeyChangeReport {
    fn text(&self, _view: &View) -> String {
        const ORDER: [KeyResult; 6] = [
            KeyResult::Changed,
            KeyResult::Already,
            KeyResult::NotKluis1,
            KeyResult::OtherKey,
            KeyResult::Unproven,
            KeyResult::Failed,
        ];
        if self.backups.is_empty() {
            return "Nothing to do: the storage holds no archive.\n".to_owned();
        }
        let mut text: String = ORDER.map(|result| self.section(result)).concat();
        let changed = self.of(KeyResult::Changed).count();
        if changed == 0 {
            text.push_str("Nothing was changed.\n");
        } else if self.dry_run {
            text.push_str("Nothing was changed: this was a dry run.\n");
        } else {
            let time = duration(Duration::from_millis(self.duration_ms));
            let bytes = size(self.written_bytes);
            text.push_str(&format!("{bytes} written into archives in {time}\n"));
        }
        text
    }

    /// A rotation may also fail because the old key opens none.
    fn failure(&self) -> Option<Failure> {
        let failed = self.of(KeyResult::Failed).next();
        let unproven = || self.of(KeyResult::Unproven).next();
        let row = failed.or_else(unproven);
        let row = row.or_else(|| self.of(KeyResult::OtherKey).next())?;
        let why = row.detail.as_deref();
        Some(Failure {
            error: format!(
                "{}: {}",
                row.file,
                why.unwrap_or("its keys stay as they are")
            ),
            hint: None,
        })
    }
}
