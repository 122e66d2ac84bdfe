//! What `kluis list` prints.

use jiff::Timestamp;
use serde::Serialize;

use super::style::{Style, line, wrapped};
use super::table::{Column, table};
use super::units::{age, counted, size, when};
use super::{Report, View};
use crate::catalog::Unproven;
use crate::format::manifest::{Kind, ProofLevel, Standing};

/// Characters of an id that are shown; a prefix that is unique selects.
pub const ID_SHOWN: usize = 8;

#[derive(Debug, Serialize)]
pub struct ListReport {
    /// The storage's place, without secrets.
    pub storage: String,
    /// Backups in it, shown or not, and archives without a manifest where no key is
    /// configured.
    pub total: u64,
    /// Archives that have none, wherever they are listed.
    pub without_manifest: u64,
    /// In the order they are to be shown.
    pub backups: Vec<ListRow>,
    /// Archives of these backups that others stand for: not counted anywhere.
    pub repeated: Vec<RepeatedRow>,
    /// What no key of ours sealed, the newest first: not counted anywhere.
    pub foreign: Vec<ForeignRow>,
}

#[derive(Debug, Serialize)]
pub struct RepeatedRow {
    pub file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The archive that counts.
    pub by: String,
    pub why: String,
}

#[derive(Debug, Serialize)]
pub struct ForeignRow {
    /// As its manifest or name has it, whoever wrote that.
    #[serde(flatten)]
    pub described: ListRow,
    /// Why it is foreign.
    pub why: String,
    /// The same in a word or two.
    #[serde(skip)]
    pub word: &'static str,
    /// `kluis adopt --all` takes it.
    pub lacks_seal: bool,
}

#[derive(Debug, Serialize)]
pub struct ListRow {
    /// Absent for an archive without a manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub kind: Kind,
    pub name: String,
    /// The name, or more where another series has it too: `latest:` takes it.
    #[serde(skip)]
    pub title: String,
    /// Absent for an archive without a manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
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
    /// Its manifest has a seal or a signature. Among `backups` that was checked
    /// where a key was at hand; among `foreign` it is not of ours.
    pub sealed: bool,
    /// The archive whose restore was about to replace what this one holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before_restore_of: Option<String>,
    /// A part of the database only.
    pub partial: bool,
    /// Nobody knows whether the whole is in it.
    pub adopted: bool,
    /// All is in it that was to be backed up.
    pub complete: bool,
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
    /// It is whole, and the last restore of it was refused or made something else.
    #[serde(rename = "does-not-restore")]
    DoesNotRestore,
    /// The last look at it found other bytes than were written, or none.
    Damaged,
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

impl From<Standing> for Proof {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Good(level) => level.into(),
            Standing::DoesNotRestore => Self::DoesNotRestore,
            Standing::Damaged => Self::Damaged,
        }
    }
}

impl Proof {
    pub fn word(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Verified => "verified",
            Self::Restored => "restored",
            Self::DoesNotRestore => "DOES NOT RESTORE",
            Self::Damaged => "DAMAGED",
            Self::NoChecksum => "no checksum",
        }
    }
}

pub fn kind_word(kind: Kind) -> &'static str {
    kind.word()
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
        if !self.complete {
            marks.push("incomplete");
        }
        if self.partial {
            marks.push("part");
        }
        if self.adopted {
            marks.push("adopted");
        }
        if self.before_restore_of.is_some() {
            marks.push("replaced");
        }
        marks.join(" ")
    }

    /// Neither a part, nor adopted, nor what a restore replaced.
    pub fn is_whole(&self) -> bool {
        !self.partial && !self.adopted && self.before_restore_of.is_none()
    }

    fn cells(&self, view: &View) -> Vec<String> {
        vec![
            when(self.created_at, view),
            kind_word(self.kind).to_owned(),
            self.title.clone(),
            size(self.stored_bytes),
            self.proof.word().to_owned(),
            self.id.as_deref().map_or_else(|| "-".to_owned(), short_id),
            self.marks(),
        ]
    }
}

/// The rows with numbers to choose by, below their series.
pub fn numbered(rows: &[&ListRow], view: &View) -> String {
    const COLUMNS: [Column; 6] = [
        Column::right("NO"),
        Column::left("WHEN"),
        Column::right("SIZE"),
        Column::left("PROOF"),
        Column::left("ID"),
        Column::shrinking("MARKS"),
    ];
    let cells = |(at, row): (usize, &&ListRow)| {
        let marks = match row.id {
            Some(_) => row.marks(),
            // No id to type: the file's name is.
            None => row.file.clone(),
        };
        vec![
            (at + 1).to_string(),
            when(row.created_at, view),
            size(row.stored_bytes),
            row.proof.word().to_owned(),
            row.id.as_deref().map_or_else(|| "-".to_owned(), short_id),
            marks,
        ]
    };
    let all: Vec<_> = rows.iter().enumerate().map(cells).collect();
    let table = table(&COLUMNS, &all, view);
    let mut lines = table.lines();
    let mut text = format!("{}\n", lines.next().unwrap_or_default());
    let mut last = None;
    for (row, cells) in rows.iter().zip(lines) {
        let of = (row.kind, &row.title, &row.series);
        if last.replace(of) != Some(of) {
            let title = format!("{} {}", kind_word(row.kind), line(&row.title));
            text.push_str(&format!("{}\n", Style::Bold.paint(title)));
        }
        text.push_str(&format!("{cells}\n"));
    }
    text
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
        let foreign = self.alone_text() + &self.repeated_text() + &self.foreign_text(view);
        if self.backups.is_empty() {
            let place = line(&self.storage);
            return match self.total {
                0 => format!("No backups in {place}; kluis backup makes the first one.\n{foreign}"),
                total => format!("None of the {} in {place} fits.\n{foreign}", backups(total)),
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
        format!(
            "{table}\n{number}, {}{newest}{plain}\n{foreign}",
            size(total)
        )
    }
}

impl ListReport {
    /// What has no manifest, by files' names that can be typed.
    fn alone_text(&self) -> String {
        let alone = self.backups.iter().filter(|row| row.id.is_none());
        let alone: String = alone.map(|row| format!("{}\n", line(&row.file))).collect();
        match alone.is_empty() {
            true => alone,
            false => format!(
                "\nWithout a manifest: never counted, never pruned, never the latest.\n\
                 kluis adopt --all reads each whole and makes it a backup.\n\n{alone}"
            ),
        }
    }

    /// What another archive stands for, by files' names that can be typed.
    fn repeated_text(&self) -> String {
        if self.repeated.is_empty() {
            return String::new();
        }
        let row = |row: &RepeatedRow| format!("{}: {}\n", line(&row.file), line(&row.why));
        let rows: String = self.repeated.iter().map(row).collect();
        format!(
            "\nThere more than once: somebody put these there again. They count nowhere, and\n\
             kluis delete FILE removes them.\n\n{rows}"
        )
    }

    /// What is not ours, below what is.
    fn foreign_text(&self, view: &View) -> String {
        const COLUMNS: [Column; 6] = [
            Column::left("WHEN"),
            Column::left("KIND"),
            Column::shrinking("NAME"),
            Column::right("SIZE"),
            Column::left("ID"),
            Column::left("WHY"),
        ];
        if self.foreign.is_empty() {
            return String::new();
        }
        let cells = |row: &ForeignRow| {
            let described = &row.described;
            vec![
                when(described.created_at, view),
                kind_word(described.kind).to_owned(),
                described.title.clone(),
                size(described.stored_bytes),
                described
                    .id
                    .as_deref()
                    .map_or_else(|| "-".to_owned(), short_id),
                row.word.to_owned(),
            ]
        };
        let rows: Vec<_> = self.foreign.iter().map(cells).collect();
        let table = table(&COLUMNS, &rows, view);
        // Whole, so that they can be typed.
        let alone = self.foreign.iter().filter(|it| it.described.id.is_none());
        let mut alone: String = alone
            .map(|it| format!("{}\n", line(&it.described.file)))
            .collect();
        if !alone.is_empty() {
            alone.insert_str(0, "\nWithout an ID, by their files' names:\n");
        }
        let mut remedies = String::new();
        if self.foreign.iter().any(|it| it.lacks_seal) {
            remedies.push_str("kluis adopt --all makes those ours that only lack a seal.\n");
        }
        if self.foreign.iter().any(|it| it.word == "not tried") {
            let text = format!("Not tried: {}.", Unproven::NOT_TRIED_REMEDY);
            remedies.push_str(&(wrapped(&text, view.columns.unwrap_or(usize::MAX), 0) + "\n"));
        }
        if self.foreign.iter().any(|it| it.word == "another key") {
            let text = format!("Another key: {}.", Unproven::OTHER_KEY_REMEDY);
            remedies.push_str(&(wrapped(&text, view.columns.unwrap_or(usize::MAX), 0) + "\n"));
        }
        if self.foreign.iter().any(|it| it.described.id.is_some()) {
            remedies.push_str("kluis show ID tells more.\n");
        }
        format!(
            "\nNot sealed by a key of ours: never counted, never pruned, never the latest.\n\
             {remedies}\n{table}{alone}"
        )
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
            title: name.to_owned(),
            series: None,
            created_at: Timestamp::constant(1_768_732_200, 0),
            file: "f".to_owned(),
            stored_bytes: 1_023 << 20,
            raw_bytes: None,
            proof: Proof::NoChecksum,
            proven_at: None,
            encrypted: false,
            kept: true,
            sealed: false,
            before_restore_of: None,
            partial: false,
            adopted: false,
            complete: true,
            note: None,
        }
    }

    fn list(total: u64, backups: Vec<ListRow>) -> ListReport {
        let storage = "/b".to_owned();
        ListReport {
            storage,
            total,
            without_manifest: 0,
            backups,
            repeated: Vec::new(),
            foreign: Vec::new(),
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
    fn who_is_told_to_read_with_another_key_is_told_what_that_gives() {
        let foreign = ForeignRow {
            described: row("shop"),
            why: "sealed by another key: 00".to_owned(),
            word: "another key",
            lacks_seal: false,
        };
        let report = ListReport {
            foreign: vec![foreign],
            ..list(0, vec![])
        };
        let text = report.text(&View::for_tests());
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("if it never left your hands"), "{text}");
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
