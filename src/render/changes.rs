//! What `kluis delete`, `keep` and `decrypt` print.

use std::time::Duration;

use serde::Serialize;

use super::style::line;
use super::units::{counted, duration, size};
use super::{Report, View};

#[derive(Debug, Serialize)]
pub struct DeleteReport {
    pub deleted: Vec<DeletedRow>,
    pub freed_bytes: u64,
}

#[derive(Debug, Serialize)]
pub struct DeletedRow {
    pub id: String,
    pub file: String,
    pub stored_bytes: u64,
}

impl Report for DeleteReport {
    fn text(&self, _view: &View) -> String {
        let mut text = String::new();
        for row in &self.deleted {
            text.push_str(&format!("deleted {}\n", line(&row.file)));
        }
        let number = counted(self.deleted.len() as u64, "backup", "backups");
        let freed = size(self.freed_bytes);
        text.push_str(&format!("{number} deleted, {freed} freed\n"));
        text
    }
}

#[derive(Debug, Serialize)]
pub struct KeepReport {
    /// Kept from now on, or released.
    pub kept: bool,
    /// Archives' file names.
    pub files: Vec<String>,
}

impl Report for KeepReport {
    fn text(&self, _view: &View) -> String {
        let done = match self.kept {
            true => "is kept whatever the retention says",
            false => "is released: the retention decides again",
        };
        let files = self.files.iter();
        files
            .map(|file| format!("{} {done}\n", line(file)))
            .collect()
    }
}

#[derive(Debug, Serialize)]
pub struct DecryptReport {
    pub file: String,
    pub output: String,
    /// `KLUIS1` or `kanbu`.
    pub format: String,
    /// Written, still compressed.
    pub bytes: u64,
    pub duration_ms: u64,
}

impl Report for DecryptReport {
    fn text(&self, _view: &View) -> String {
        let time = duration(Duration::from_millis(self.duration_ms));
        let output = line(&self.output);
        let read = format!("{} in {time}", size(self.bytes));
        format!(
            "decrypted to {output}: {read}\nIt can be read without the key now: keep it safe.\n"
        )
    }
}
