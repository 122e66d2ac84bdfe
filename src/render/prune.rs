//! What `kluis prune` prints.

use jiff::Timestamp;
use serde::Serialize;

use super::list::{kind_word, short_id};
use super::style::{Style, line};
use super::table::{Column, table};
use super::units::{counted, size, when};
use super::{Report, View};
use crate::format::manifest::Kind;

#[derive(Debug, Serialize)]
pub struct PruneReport {
    /// Nothing was removed.
    pub dry_run: bool,
    /// By name, newest first.
    pub backups: Vec<PruneRow>,
    /// Of the removed ones.
    pub freed_bytes: u64,
}

#[derive(Debug, Serialize)]
pub struct PruneRow {
    pub id: String,
    pub kind: Kind,
    pub name: String,
    pub created_at: Timestamp,
    pub stored_bytes: u64,
    pub keep: bool,
    /// Why it is kept or removed; never empty.
    pub reasons: Vec<String>,
}

impl PruneRow {
    fn cells(&self, view: &View) -> Vec<String> {
        let decision = if self.keep { "keep" } else { "remove" };
        vec![
            when(self.created_at, view),
            short_id(&self.id),
            decision.to_owned(),
            self.reasons.join("; "),
        ]
    }
}

impl PruneReport {
    /// The backups of one name.
    fn group(&self, group: &[PruneRow], view: &View) -> String {
        const COLUMNS: [Column; 4] = [
            Column::left("WHEN"),
            Column::left("ID"),
            Column::left("DECISION"),
            Column::wrapping("WHY"),
        ];
        // A dry run is read to understand the policy, a real one to see what
        // has gone.
        let shown = group.iter().filter(|row| self.dry_run || !row.keep);
        let rows: Vec<_> = shown.map(|row| row.cells(view)).collect();
        match group.first() {
            Some(first) if !rows.is_empty() => format!(
                "{}\n{}\n",
                Style::Bold.paint(format!("{} {}", kind_word(first.kind), line(&first.name))),
                table(&COLUMNS, &rows, view)
            ),
            _ => String::new(),
        }
    }
}

impl Report for PruneReport {
    fn text(&self, view: &View) -> String {
        if self.backups.is_empty() {
            return "No such backup, so nothing to prune; kluis list shows what is there.\n"
                .to_owned();
        }
        let removed = self.backups.iter().filter(|row| !row.keep).count() as u64;
        let kept = counted(self.backups.len() as u64 - removed, "backup", "backups");
        let (verb, freed) = match self.dry_run {
            true => ("would be removed", "would be freed"),
            false => ("removed", "freed"),
        };
        let same = |a: &PruneRow, b: &PruneRow| (a.kind, &a.name) == (b.kind, &b.name);
        let groups = self.backups.chunk_by(same);
        let mut text: String = groups.map(|group| self.group(group, view)).collect();
        let bytes = size(self.freed_bytes);
        text.push_str(&format!("{kept} kept, {removed} {verb}, {bytes} {freed}\n"));
        text
    }
}
