//! What `kluis restore` prints.

use std::time::Duration;

use serde::Serialize;

use super::fields::Fields;
use super::list::kind_word;
use super::style::{Style, line};
use super::table::{Column, table};
use super::units::{count, counted, duration, rate, size};
use super::{Report, View};
use crate::format::manifest::Kind;
use crate::format::mended::{NotWhole, PartKind};

const WARNINGS_SHOWN: usize = 10;
/// With more tables than these only those that differ are shown.
const TABLES_SHOWN: usize = 12;

#[derive(Debug, Serialize)]
pub struct RestoreReport {
    pub id: String,
    pub kind: Kind,
    pub name: String,
    /// The directory or database it went to.
    pub destination: String,
    /// Everything was checked and nothing changed.
    pub dry_run: bool,
    /// It is in its place now.
    pub restored: bool,
    /// There was a manifest to compare with.
    pub has_manifest: bool,
    /// After decompression.
    pub raw_bytes: u64,
    pub duration_ms: u64,
    /// What was restored is what was in the backup.
    pub content_ok: bool,
    /// Tables that differ; empty if `content_ok`.
    pub differences: Vec<ComparedTable>,
    /// The restored database beside its dump.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared: Option<Compared>,
    pub tables: u64,
    pub rows: u64,
    pub files: u64,
    /// Of a tree only so many entries were restored: a part was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chosen: Option<u64>,
    /// Entries that were not made, each named in `warnings`.
    pub left_out: u64,
    /// Entries that were made without all that was theirs, named there too.
    pub not_set: u64,
    /// The replaced database's new name, where it was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_old: Option<String>,
    /// The backup of what was replaced, made before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_restore_backup: Option<String>,
    /// With --keep-going: what is not as it was, or not there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_whole: Vec<NotWhole>,
    pub warnings: Vec<String>,
}

/// What a restored database was compared by.
#[derive(Debug, Serialize)]
pub struct Compared {
    pub tables: Vec<ComparedTable>,
    pub sequences: u64,
    pub large_objects: u64,
    /// Of all types; absent where another major version counts them otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<u64>,
    /// What differs and is no table, in words.
    pub other_differences: Vec<String>,
}

/// A table as the dump has it and as it was restored; `None` is no such table.
#[derive(Clone, Debug, Serialize)]
pub struct ComparedTable {
    pub table: String,
    pub expected_rows: Option<u64>,
    pub found_rows: Option<u64>,
    /// Rows, bytes and row hash.
    pub same: bool,
}

impl Report for RestoreReport {
    fn text(&self, view: &View) -> String {
        let done = match (self.dry_run, self.content_ok, self.left_out + self.not_set) {
            (_, false, _) if self.restored => {
                Style::Red.paint("restored, AND DIFFERS from its dump")
            }
            (_, false, _) => Style::Red.paint("not restored: the copy differs from its dump"),
            (true, ..) => Style::Green.paint("would be restored; nothing was changed"),
            (false, ..) if !self.not_whole.is_empty() => {
                Style::Yellow.paint("restored as far as it could be")
            }
            (false, _, 0) => Style::Green.paint("restored"),
            (false, ..) => Style::Yellow.paint("restored, incomplete"),
        };
        let mut fields = Fields::default();
        fields.line("to", &self.destination);
        if self.raw_bytes > 0 {
            fields.line("size", &self.speed());
        }
        fields.line("holds", &self.content());
        let chosen = self
            .chosen
            .map(|it| counted(it, "entry of it", "entries of it"));
        fields.optional("chosen", chosen.as_deref());
        let old = self.kept_old.as_ref();
        let old = old.map(|name| format!("kept as database {name} until you drop it"));
        fields.optional("old one", old.as_deref());
        fields.optional("backed up", self.pre_restore_backup.as_deref());
        fields.optional("compared", self.compared().as_deref());
        let name = line(&self.name);
        let mut text = format!("{} {name}: {done}\n", kind_word(self.kind));
        text.push_str(&fields.into_text());
        text.push_str(&self.tables(view));
        text.push_str(&self.lost());
        text.push_str(&self.notes());
        text
    }
}

impl RestoreReport {
    fn content(&self) -> String {
        let content = match self.kind {
            Kind::Db => format!(
                "{}, {}",
                counted(self.tables, "table", "tables"),
                counted(self.rows, "row", "rows")
            ),
            Kind::Source => counted(self.files, "file", "files"),
        };
        match (self.content_ok, self.has_manifest) {
            _ if !self.not_whole.is_empty() => content,
            (true, true) => format!("{content}, as the manifest says"),
            (true, false) => format!("{content}; there is no manifest to compare with"),
            (false, _) => content,
        }
    }

    fn speed(&self) -> String {
        let time = Duration::from_millis(self.duration_ms);
        let rate = rate(self.raw_bytes, time).map_or_else(String::new, |rate| format!(", {rate}"));
        format!("{} in {}{rate}", size(self.raw_bytes), duration(time))
    }

    /// What else was compared, beside the tables.
    fn compared(&self) -> Option<String> {
        let compared = self.compared.as_ref()?;
        let mut parts = vec![counted(compared.tables.len() as u64, "table", "tables")];
        for (number, one, many) in [
            (Some(compared.sequences), "sequence", "sequences"),
            (
                Some(compared.large_objects),
                "large object",
                "large objects",
            ),
            (compared.objects, "object by type", "objects by type"),
        ] {
            let number = number.filter(|number| *number > 0);
            parts.extend(number.map(|number| counted(number, one, many)));
        }
        let same = match self.content_ok {
            true => ", all the same",
            false => "",
        };
        Some(format!("{}{same}", parts.join(", ")))
    }

    /// All of it: who restores so must know of each.
    fn lost(&self) -> String {
        let told = self.not_whole.iter().map(|part| {
            let kind = match part.kind {
                PartKind::Archive => "archive",
                PartKind::File => "file",
                PartKind::Table => "table",
                PartKind::Statement => "statement",
            };
            let at = part.line.map(|at| format!(" at line {at}"));
            let at = at.unwrap_or_default();
            let not_whole = Style::Red.paint("not whole:");
            let (name, why) = (line(&part.name), line(&part.why));
            format!("{not_whole} {kind} {name}{at}: {why}\n")
        });
        told.collect()
    }

    fn notes(&self) -> String {
        let note = |text: &str| format!("{} {text}\n", Style::Yellow.paint("note:"));
        let shown = self.warnings.iter().take(WARNINGS_SHOWN);
        let mut text: String = shown.map(|warning| note(&line(warning))).collect();
        let hidden = self.warnings.len().saturating_sub(WARNINGS_SHOWN) as u64;
        if hidden > 0 {
            let more = format!("and {} more; --json names them all", count(hidden));
            text.push_str(&note(&more));
        }
        if self.left_out > 0 {
            let entries = counted(self.left_out, "entry was", "entries were");
            let left_out = format!("{entries} left out, everything else is there");
            text.push_str(&note(&left_out));
        }
        if self.not_set > 0 {
            let entries = counted(self.not_set, "entry", "entries");
            let not_set = format!("{entries} could not be given all that was theirs");
            text.push_str(&note(&not_set));
        }
        text
    }

    /// Each table, or where they are many those that differ and a sum; then what
    /// differs otherwise.
    fn tables(&self, view: &View) -> String {
        const COLUMNS: [Column; 4] = [
            Column::shrinking("TABLE"),
            Column::right("EXPECTED ROWS"),
            Column::right("FOUND"),
            Column::left(""),
        ];
        let Some(compared) = &self.compared else {
            return String::new();
        };
        let all = compared.tables.len() <= TABLES_SHOWN;
        let shown: Vec<_> = compared.tables.iter().filter(|t| all || !t.same).collect();
        let cells: Vec<_> = shown.iter().map(|table| table.cells()).collect();
        let mut text = String::new();
        if !cells.is_empty() {
            text = format!("\n{}", table(&COLUMNS, &cells, view));
        }
        let hidden = (compared.tables.len() - shown.len()) as u64;
        if hidden > 0 && !shown.is_empty() {
            let tables = counted(hidden, "other table is", "other tables are");
            text.push_str(&format!("{tables} the same\n"));
        }
        for other in &compared.other_differences {
            let differs = Style::Red.paint("differs:");
            text.push_str(&format!("{differs} {}\n", line(other)));
        }
        text
    }
}

impl ComparedTable {
    fn cells(&self) -> Vec<String> {
        let rows = |number: Option<u64>| number.map_or_else(|| "none".to_owned(), count);
        let verdict = if self.same { "same" } else { "DIFFERS" };
        vec![
            self.table.clone(),
            rows(self.expected_rows),
            rows(self.found_rows),
            verdict.to_owned(),
        ]
    }
}
