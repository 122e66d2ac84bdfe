//! What `kluis list` prints.

use jiff::Timestamp;
use serde::Serialize;

use super::table::{Column, table};
use super::units::{age, counted, size, when};
use super::{Report, View};
use crate::format::manifest::{Kind, ProofLevel};

/// Characters of an id that are shown; a prefix that is unique selects.
pub const ID_SHOWN: usize = 8;

#[derive(Debug, Serialize)]
pub struct ListReport {
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
    fn cells(&self, view: &View) -> Vec<String> {
        let mut marks = Vec::new();
        if self.kept {
            marks.push("kept");
        }
        if self.encrypted {
            marks.push("enc");
        }
        vec![
            when(self.created_at, view),
            kind_word(self.kind).to_owned(),
            self.name.clone(),
            size(self.stored_bytes),
            self.proof.word().to_owned(),
            self.id.as_deref().map_or_else(|| "-".to_owned(), short_id),
            marks.join(" "),
        ]
    }
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
            return "No backups.\n".to_owned();
        }
        let rows: Vec<_> = self.backups.iter().map(|row| row.cells(view)).collect();
        let bytes = self.backups.iter().map(|row| row.stored_bytes);
        let total = bytes.fold(0, u64::saturating_add);
        let newest = self.backups.iter().map(|row| row.created_at).max();
        let newest =
            newest.map_or_else(String::new, |at| format!(", newest {}", age(at, view.now)));
        let number = counted(self.backups.len() as u64, "backup", "backups");
        let table = table(&COLUMNS, &rows, view);
        format!("{table}\n{number}, {}{newest}\n", size(total))
    }
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
            encrypted: true,
            kept: true,
            note: None,
        }
    }

    #[test]
    fn a_row_says_when_what_and_how_proven() {
        let text = ListReport {
            backups: vec![row("shop")],
        }
        .text(&View::for_tests());
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(
            plain,
            "WHEN              KIND    NAME        SIZE  PROOF        ID        MARKS\n\
             2026-01-18 10:30  source  shop  1023.0 MiB  no checksum  3f9a7c01  kept enc\n\
             \n1 backup, 1023.0 MiB, newest 3 h ago\n"
        );
    }

    #[test]
    fn the_widest_row_fits_80_columns() {
        let text = ListReport {
            backups: vec![row(&"a-very-long-database-name".repeat(4)), row("b")],
        }
        .text(&View::for_tests());
        for line in anstream::adapter::strip_str(&text).to_string().lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn an_empty_storage_says_so_and_is_an_empty_list_in_json() {
        let report = ListReport { backups: vec![] };
        assert_eq!(report.text(&View::for_tests()), "No backups.\n");
        assert_eq!(
            serde_json::to_string(&report).ok().as_deref(),
            Some(r#"{"backups":[]}"#)
        );
    }

    #[test]
    fn the_json_fields_are_those_that_scripts_read() {
        let json = serde_json::to_value(row("shop")).unwrap();
        assert_eq!(json["created_at"], "2026-01-18T10:30:00Z");
        assert_eq!(json["proof"], "no checksum");
        assert_eq!(json["kind"], "source");
    }
}
