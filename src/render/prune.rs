//! What `kluis prune` prints.

use jiff::Timestamp;
use serde::Serialize;

use super::list::{kind_word, short_id};
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
            kind_word(self.kind).to_owned(),
            self.name.clone(),
            short_id(&self.id),
            decision.to_owned(),
            self.reasons.join("; "),
        ]
    }
}

impl Report for PruneReport {
    fn text(&self, view: &View) -> String {
        const COLUMNS: [Column; 6] = [
            Column::left("WHEN"),
            Column::left("KIND"),
            Column::left("NAME"),
            Column::left("ID"),
            Column::left("DECISION"),
            Column::shrinking("WHY"),
        ];
        if self.backups.is_empty() {
            return "No backups.\n".to_owned();
        }
        let removed = self.backups.iter().filter(|row| !row.keep).count() as u64;
        let kept = counted(self.backups.len() as u64 - removed, "backup", "backups");
        let (verb, freed) = match self.dry_run {
            true => ("would be removed", "would be freed"),
            false => ("removed", "freed"),
        };
        // A dry run is read to understand the policy, a real one to see what
        // has gone.
        let shown = self.backups.iter().filter(|row| self.dry_run || !row.keep);
        let rows: Vec<_> = shown.map(|row| row.cells(view)).collect();
        let mut text = String::new();
        if !rows.is_empty() {
            text.push_str(&table(&COLUMNS, &rows, view));
            text.push('\n');
        }
        let bytes = size(self.freed_bytes);
        text.push_str(&format!("{kept} kept, {removed} {verb}, {bytes} {freed}\n"));
        text
    }
}
