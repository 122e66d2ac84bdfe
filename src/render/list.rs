//! What `kluis list` prints.

use jiff::Timestamp;
use serde::Serialize;

use super::style::line;
use super::table::{Column, table};
use super::units::{age, counted, size, when};
use super::{Report, View};
use crate::format::manifest::{Kind, ProofLevel};

/// Characters of an id that are shown; a prefix that is unique selects.
pub const ID_SHOWN: usize = 8;

#[derive(Debug, Serialize)]
pub struct ListReport {
    /// The storage's place, without secrets.
    pub storage: String,
    /// Backups in it, shown or not.
    pub total: u64,
    /// In the order they are to be shown.
    pub backups: Vec<ListRow>,
}

#[derive(Debug, Serialize)]
pub struct ListRow {
    /// Absent for an archive without a manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub kind: Kind,
    pub name: String,
    pub created_at: Timestamp,
    pub file: String,
    pub stored_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_bytes: Option<u64>,
    pub proof: Proof,
    /// When the proof was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proven_at: Option<Timestamp>,
    pub encrypted: bool,
    /// Kept whatever the retention says.
    pub kept: bool,
    /// The archive whose restore was about to replace what this one holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before_restore_of: Option<String>,
    /// A part of the database only.
    pub partial: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How much is known to be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Proof {
    Stored,
    Verified,
    Restored,
    /// The last look at it found it broken.
    Failed,
    /// No manifest, so there is nothing to compare with.
    #[serde(rename = "no checksum")]
    NoChecksum,
}

impl From<ProofLevel> for Proof {
    fn from(level: ProofLevel) -> Self {
        match level {
            ProofLevel::Stored => Self::Stored,
            ProofLevel::Verified => Self::Verified,
            ProofLevel::Restored => Self::Restored,
        }
    }
}

impl Proof {
    pub fn word(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Verified => "verified",
            Self::Restored => "restored",
            Self::Failed => "FAILED",
            Self::NoChecksum => "no checksum",
        }
    }
}

pub fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Db => "db",
        Kind::Source => "source",
    }
}

pub fn short_id(id: &str) -> String {
    id.chars().take(ID_SHOWN).collect()
}

impl ListRow {
    pub(super) fn marks(&self) -> String {
        let mut marks = Vec::new();
        if self.kept {
            marks.push("kept");
        }
        // Encrypted is what they should be: the others stand out.
        if !self.encrypted {
            marks.push("plain");
        }
        if self.partial {
            marks.push("part");
        }
        if self.before_restore_of.is_some() {
            marks.push("replaced");
        }
        marks.join(" ")
    }

    fn cells(&self, view: &View) -> Vec<String> {
        vec![
            when(self.created_at, view),
            kind_word(self.kind).to_owned(),
            self.name.clone(),
            size(self.stored_bytes),
            self.proof.word().to_owned(),
            self.id.as_deref().map_or_else(|| "-".to_owned(), short_id),
            self.marks(),
        ]
    }
}

/// The rows with numbers to choose by.
pub fn numbered(rows: &[ListRow], view: &View) -> String {
    const COLUMNS: [Column; 6] = [
        Column::right("NO"),
        Column::left("WHEN"),
        Column::left("KIND"),
        Column::shrinking("NAME"),
        Column::right("SIZE"),
        Column::left("PROOF"),
    ];
    let cells = |(at, row): (usize, &ListRow)| {
        let mut cells = vec![(at + 1).to_string()];
        cells.extend(row.cells(view).into_iter().take(COLUMNS.len() - 1));
        cells
    };
    let rows: Vec<_> = rows.iter().enumerate().map(cells).collect();
    table(&COLUMNS, &rows, view)
}

impl Report for ListReport {
    fn text(&self, view: &View) -> String {
        const COLUMNS: [Column; 7] = [
            Column::left("WHEN"),
            Column::left("KIND"),
            Column::shrinking("NAME"),
            Column::right("SIZE"),
            Column::left("PROOF"),
            Column::left("ID"),
            Column::left("MARKS"),
        ];
        if self.backups.is_empty() {
            let place = line(&self.storage);
            return match self.total {
                0 => format!("No backups in {place}; kluis backup makes the first one.\n"),
                total => format!("None of the {} in {place} fits.\n", backups(total)),
            };
        }
        let rows: Vec<_> = self.backups.iter().map(|row| row.cells(view)).collect();
        let bytes = self.backups.iter().map(|row| row.stored_bytes);
        let total = bytes.fold(0, u64::saturating_add);
        let newest = self.backups.iter().map(|row| row.created_at).max();
        let newest =
            newest.map_or_else(String::new, |at| format!(", newest {}", age(at, view.now)));
        let number = match self.backups.len() as u64 {
            shown if shown < self.total => format!("{shown} of {}", backups(self.total)),
            shown => backups(shown),
        };
        let plain = match self.backups.iter().filter(|row| !row.encrypted).count() {
            0 => String::new(),
            plain => format!("; {plain} plain, that is not encrypted"),
        };
        let table = table(&COLUMNS, &rows, view);
        format!("{table}\n{number}, {}{newest}{plain}\n", size(total))
    }
}

fn backups(number: u64) -> String {
    counted(number, "backup", "backups")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str) -> ListRow {
        ListRow {
            id: Some("3f9a7c0112345678".to_owned()),
            kind: Kind::Source,
            name: name.to_owned(),
            created_at: Timestamp::constant(1_768_732_200, 0),
            file: "f".to_owned(),
            stored_bytes: 1_023 << 20,
            raw_bytes: None,
            proof: Proof::NoChecksum,
            proven_at: None,
            encrypted: false,
            kept: true,
            before_restore_of: None,
            partial: false,
            note: None,
        }
    }

    fn list(total: u64, backups: Vec<ListRow>) -> ListReport {
        let storage = "/b".to_owned();
        ListReport {
            storage,
            total,
            backups,
        }
    }

    #[test]
    fn a_row_says_when_what_and_how_proven() {
        let text = list(3, vec![row("shop")]).text(&View::for_tests());
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(
            plain,
            "WHEN              KIND    NAME        SIZE  PROOF        ID        MARKS\n\
             2026-01-18 10:30  source  shop  1023.0 MiB  no checksum  3f9a7c01  kept plain\n\
             \n1 of 3 backups, 1023.0 MiB, newest 3 h ago; 1 plain, that is not encrypted\n"
        );
    }

    #[test]
    fn the_widest_row_fits_80_columns() {
        let rows = vec![row(&"a-very-long-database-name".repeat(4)), row("b")];
        let text = list(2, rows).text(&View::for_tests());
        for line in anstream::adapter::strip_str(&text).to_string().lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn an_empty_storage_says_so_and_is_an_empty_list_in_json() {
        let report = list(0, vec![]);
        let text = report.text(&View::for_tests());
        assert_eq!(
            text,
            "No backups in /b; kluis backup makes the first one.\n"
        );
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["backups"], serde_json::json!([]));
    }

    #[test]
    fn a_filter_that_nothing_fits_is_not_an_empty_storage() {
        let text = list(1, vec![]).text(&View::for_tests());
        assert_eq!(text, "None of the 1 backup in /b fits.\n");
    }

    #[test]
    fn the_json_fields_are_those_that_scripts_read() {
        let json = serde_json::to_value(row("shop")).unwrap();
        assert_eq!(json["created_at"], "2026-01-18T10:30:00Z");
        assert_eq!(json["proof"], "no checksum");
        assert_eq!(json["kind"], "source");
    }
}
