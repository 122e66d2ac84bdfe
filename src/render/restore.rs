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

const WARNINGS_SHOWN: usize = 10;

#[derive(Debug, Serialize)]
pub struct RestoreReport {
    pub id: String,
    pub kind: Kind,
    pub name: String,
    /// The directory or database it went to.
    pub destination: String,
    /// Everything was checked and nothing changed.
    pub dry_run: bool,
    /// After decompression.
    pub raw_bytes: u64,
    pub duration_ms: u64,
    /// What was restored is what the manifest says.
    pub content_ok: bool,
    /// Tables that differ from the manifest; empty if `content_ok`.
    pub differences: Vec<ComparedTable>,
    pub tables: u64,
    pub rows: u64,
    pub files: u64,
    /// Entries that were not made, each named in `warnings`.
    pub left_out: u64,
    /// The replaced database's new name, where it was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_old: Option<String>,
    pub warnings: Vec<String>,
}

/// A table as the manifest has it and as it was restored; `None` is no such
/// table.
#[derive(Debug, Serialize)]
pub struct ComparedTable {
    pub table: String,
    pub expected_rows: Option<u64>,
    pub found_rows: Option<u64>,
}

impl Report for RestoreReport {
    fn text(&self, view: &View) -> String {
        let done = match (self.dry_run, self.content_ok, self.left_out) {
            (_, false, _) => Style::Red.paint("differs from its manifest"),
            (true, ..) => Style::Green.paint("would be restored; nothing was changed"),
            (false, _, 0) => Style::Green.paint("restored"),
            (false, ..) => Style::Yellow.paint("restored, incomplete"),
        };
        let mut fields = Fields::default();
        fields.line("to", &self.destination);
        let time = Duration::from_millis(self.duration_ms);
        let rate = rate(self.raw_bytes, time).map_or_else(String::new, |rate| format!(", {rate}"));
        let speed = format!("{} in {}{rate}", size(self.raw_bytes), duration(time));
        fields.line("size", &speed);
        fields.line("holds", &self.content());
        let old = self.kept_old.as_ref();
        let old = old.map(|name| format!("kept as database {name} until you drop it"));
        fields.optional("old one", old.as_deref());
        let name = line(&self.name);
        let mut text = format!("{} {name}: {done}\n", kind_word(self.kind));
        text.push_str(&fields.into_text());
        text.push_str(&self.differences(view));
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
        match self.content_ok {
            true => format!("{content}, as the manifest says"),
            false => content,
        }
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
            let left_out = format!(
                "{entries} left out, everything else is there; links that point outside \
                 come with --links-outside"
            );
            text.push_str(&note(&left_out));
        }
        text
    }

    fn differences(&self, view: &View) -> String {
        const COLUMNS: [Column; 3] = [
            Column::shrinking("TABLE"),
            Column::right("EXPECTED ROWS"),
            Column::right("FOUND"),
        ];
        if self.differences.is_empty() {
            return String::new();
        }
        let rows = |number: Option<u64>| number.map_or_else(|| "none".to_owned(), count);
        let cells: Vec<_> = self
            .differences
            .iter()
            .map(|table| {
                vec![
                    table.table.clone(),
                    rows(table.expected_rows),
                    rows(table.found_rows),
                ]
            })
            .collect();
        format!("\n{}", table(&COLUMNS, &cells, view))
    }
}
