//! What `kluis adopt` prints.

use jiff::Timestamp;
use serde::Serialize;

use super::list::{kind_word, short_id};
use super::style::{Style, line};
use super::table::{Column, table};
use super::units::{count, counted, size, when};
use super::{Failure, Report, View};
use crate::format::manifest::Kind;

#[derive(Debug, Serialize)]
pub struct AdoptReport {
    /// The storage's place, without secrets.
    pub storage: String,
    pub adopted: Vec<AdoptRow>,
    pub refused: Vec<RefusedRow>,
}

#[derive(Debug, Serialize)]
pub struct AdoptRow {
    pub id: String,
    pub kind: Kind,
    pub name: String,
    pub created_at: Timestamp,
    pub file: String,
    pub stored_bytes: u64,
    pub raw_bytes: u64,
    pub encrypted: bool,
    /// Of a database: tables with data, and their rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tables: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Of a source tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// It came from elsewhere.
    pub copied: bool,
    pub warnings: Vec<String>,
    pub duration_ms: u64,
}

#[derive(Debug, Serialize)]
pub struct RefusedRow {
    pub file: String,
    pub problem: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What kluis would end with for this file alone.
    pub exit_code: u8,
}

impl AdoptRow {
    fn cells(&self, view: &View) -> Vec<String> {
        let holds = match (self.tables, self.rows, self.files) {
            (Some(tables), Some(rows), _) => format!(
                "{}, {}",
                counted(tables, "table", "tables"),
                counted(rows, "row", "rows")
            ),
            (.., Some(files)) => counted(files, "file", "files"),
            _ => "-".to_owned(),
        };
        vec![
            when(self.created_at, view),
            kind_word(self.kind).to_owned(),
            self.name.clone(),
            size(self.stored_bytes),
            holds,
            short_id(&self.id),
        ]
    }
}

impl Report for AdoptReport {
    fn text(&self, view: &View) -> String {
        const COLUMNS: [Column; 6] = [
            Column::left("WHEN"),
            Column::left("KIND"),
            Column::shrinking("NAME"),
            Column::right("SIZE"),
            Column::left("HOLDS"),
            Column::left("ID"),
        ];
        if self.adopted.is_empty() && self.refused.is_empty() {
            return "Nothing to adopt: every backup has its manifest.\n".to_owned();
        }
        let mut text = String::new();
        if !self.adopted.is_empty() {
            let rows: Vec<_> = self.adopted.iter().map(|row| row.cells(view)).collect();
            text.push_str(&table(&COLUMNS, &rows, view));
            text.push('\n');
        }
        for row in &self.adopted {
            for warning in &row.warnings {
                let note = Style::Yellow.paint("note:");
                let (file, warning) = (line(&row.file), line(warning));
                text.push_str(&format!("{note} {file}: {warning}\n"));
            }
        }
        for row in &self.refused {
            let refused = Style::Red.paint("not adopted:");
            let (file, problem) = (line(&row.file), line(&row.problem));
            text.push_str(&format!("{refused} {file}: {problem}\n"));
            if let Some(hint) = &row.hint {
                let label = Style::Cyan.paint("hint:");
                text.push_str(&format!("{label} {}\n", line(hint)));
            }
        }
        let number = counted(self.adopted.len() as u64, "file", "files");
        text.push_str(&format!("{number} adopted, each read whole: verified"));
        match self.refused.len() as u64 {
            0 => text.push('\n'),
            refused => text.push_str(&format!("; {} not\n", count(refused))),
        }
        text
    }

    fn failure(&self) -> Option<Failure> {
        self.refused.first().map(|row| Failure {
            error: format!("{}: {}", row.file, row.problem),
            hint: row.hint.clone(),
        })
    }
}
