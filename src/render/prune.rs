//! What `kluis prune` prints.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::Serialize;

use super::list::{kind_word, short_id};
use super::status::uncounted_line;
use super::style::{Style, line};
use super::table::{Column, table};
use super::units::{counted, size, when};
use super::{Report, View};
use crate::format::manifest::Kind;
use crate::health::Uncounted;

#[derive(Debug, Serialize)]
pub struct PruneReport {
    /// Nothing was removed.
    pub dry_run: bool,
    /// By series, newest first.
    pub backups: Vec<PruneRow>,
    /// Of the removed ones.
    pub freed_bytes: u64,
    /// Never removed.
    #[serde(flatten)]
    pub uncounted: Uncounted,
}

#[derive(Debug, Serialize)]
pub struct PruneRow {
    pub id: String,
    pub file: String,
    pub kind: Kind,
    pub name: String,
    pub series: String,
    pub created_at: Timestamp,
    pub stored_bytes: u64,
    pub keep: bool,
    /// It was to be removed, and could not.
    pub stays: bool,
    /// Why it is kept or removed; never empty.
    pub reasons: Vec<String>,
}

impl PruneRow {
    fn cells(&self, view: &View) -> Vec<String> {
        let decision = match (self.stays, self.keep) {
            (true, _) => "stays",
            (false, true) => "keep",
            (false, false) => "remove",
        };
        vec![
            when(self.created_at, view),
            short_id(&self.id),
            decision.to_owned(),
            self.reasons.join("; "),
        ]
    }
}

impl PruneReport {
    /// After a prune that removed these archives: what else it was to remove is kept.
    pub fn tell_what_stays(&mut self, removed: &[String]) {
        let removed: HashSet<&str> = removed.iter().map(String::as_str).collect();
        let stays = |row: &&mut PruneRow| !row.keep && !removed.contains(row.file.as_str());
        for row in self.backups.iter_mut().filter(stays) {
            row.keep = true;
            row.stays = true;
            row.reasons.push("could not be removed now".to_owned());
        }
    }

    /// The backups of one series.
    fn group(&self, group: &[PruneRow], view: &View) -> String {
        const COLUMNS: [Column; 4] = [
            Column::left("WHEN"),
            Column::left("ID"),
            Column::left("DECISION"),
            Column::wrapping("WHY"),
        ];
        // A dry run is read to understand the policy, a real one to see what
        // has gone.
        let shown = group
            .iter()
            .filter(|row| self.dry_run || !row.keep || row.stays);
        let rows: Vec<_> = shown.map(|row| row.cells(view)).collect();
        match group.first() {
            Some(first) if !rows.is_empty() => format!(
                "{}\n{}\n",
                Style::Bold.paint(format!("{} {}", kind_word(first.kind), line(&first.series))),
                table(&COLUMNS, &rows, view)
            ),
            _ => String::new(),
        }
    }
}

impl Report for PruneReport {
    fn text(&self, view: &View) -> String {
        if self.backups.is_empty() {
            let none = "No such backup, so nothing to prune; kluis list shows what is there.\n";
            return none.to_owned() + &uncounted_line(self.uncounted);
        }
        let removed = self.backups.iter().filter(|row| !row.keep).count() as u64;
        let kept = counted(self.backups.len() as u64 - removed, "backup", "backups");
        let (verb, freed) = match self.dry_run {
            true => ("would be removed", "would be freed"),
            false => ("removed", "freed"),
        };
        let same = |a: &PruneRow, b: &PruneRow| (a.kind, &a.series) == (b.kind, &b.series);
        let groups = self.backups.chunk_by(same);
        let mut text: String = groups.map(|group| self.group(group, view)).collect();
        let bytes = size(self.freed_bytes);
        text.push_str(&format!("{kept} kept, {removed} {verb}, {bytes} {freed}\n"));
        text.push_str(&uncounted_line(self.uncounted));
        text
    }
}
