//! What `kluis adopt` prints.

use jiff::Timestamp;
use serde::Serialize;

use super::list::{kind_word, short_id};
use super::style::{Style, line};
use super::table::{Column, table};
use super::units::{count, counted, size, when};
use super::{Failure, Report, View};
use crate::catalog::Unproven;
use crate::format::manifest::Kind;

/// Of files that are left, so many are named; JSON has them all.
const LEFT_SHOWN: usize = 20;

#[derive(Debug, Serialize)]
pub struct AdoptReport {
    /// The storage's place, without secrets.
    pub storage: String,
    pub adopted: Vec<AdoptRow>,
    pub refused: Vec<RefusedRow>,
    /// What `--all` leaves: sealed by another key, or changed.
    pub left: u64,
    /// What it leaves besides: not encrypted, although a key is configured, or Kanbu's.
    pub left_plain: Vec<String>,
    /// Files of the storage that it did not look at: no archives by their names.
    pub left_alone: Vec<String>,
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

impl AdoptReport {
    fn left_text(&self) -> String {
        self.left_plain_text() + &self.left_sealed_text() + &self.left_alone_text()
    }

    fn left_alone_text(&self) -> String {
        if self.left_alone.is_empty() {
            return String::new();
        }
        let left = counted(self.left_alone.len() as u64, "file is", "files are");
        format!(
            "{left} no archive by the name, and not looked at: {}\nkluis adopt FILE takes it all \
             the same.\n",
            shown(&self.left_alone)
        )
    }

    fn left_plain_text(&self) -> String {
        if self.left_plain.is_empty() {
            return String::new();
        }
        let count = self.left_plain.len() as u64;
        let left = counted(count, "file is", "files are");
        format!(
            "{left} not encrypted, Kanbu's, or for a recipient alone, and left: anybody who can \
             write there may have made them, or given them their names; name those that you know, or take all with --accept-unsealed: {}\n",
            shown(&self.left_plain)
        )
    }

    fn left_sealed_text(&self) -> String {
        if self.left == 0 {
            return String::new();
        }
        let left = counted(self.left, "archive is", "archives are");
        format!(
            "{left} sealed by another key, or changed: kluis list names them; {}\n",
            Unproven::OTHER_KEY_REMEDY
        )
    }
}

fn shown(files: &[String]) -> String {
    let shown = files.iter().take(LEFT_SHOWN);
    let mut shown: Vec<_> = shown.map(|it| line(it).into_owned()).collect();
    if files.len() > LEFT_SHOWN {
        shown.push("...".to_owned());
    }
    shown.join(", ")
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
            let none = match self.left_plain.is_empty() && self.left == 0 {
                true => "Nothing to adopt: every archive has its sealed manifest.\n",
                false => "Nothing to adopt.\n",
            };
            return none.to_owned() + &self.left_text();
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
        let how = match self.adopted.is_empty() {
            true => "",
            false => ", each read whole: verified",
        };
        text.push_str(&format!("{number} adopted{how}"));
        match self.refused.len() as u64 {
            0 => text.push('\n'),
            refused => text.push_str(&format!("; {} not\n", count(refused))),
        }
        text.push_str(&self.left_text());
        text
    }

    fn failure(&self) -> Option<Failure> {
        self.refused.first().map(|row| Failure {
            error: format!("{}: {}", row.file, row.problem),
            hint: row.hint.clone(),
        })
    }
}
