//! What `kluis series` prints.

use jiff::Timestamp;
use serde::Serialize;

use super::list::kind_word;
use super::style::line;
use super::table::{Column, table};
use super::units::{counted, size, when};
use super::{Report, View};
use crate::format::manifest::Kind;
use crate::words::plural;

#[derive(Debug, Serialize)]
pub struct SeriesListReport {
    pub storage: String,
    /// Of our backups.
    pub series: Vec<SeriesRow>,
    /// What manifests say that no key of ours vouches for: not counted anywhere.
    pub foreign: Vec<ForeignSeriesRow>,
    pub without_manifest: u64,
}

#[derive(Debug, Serialize)]
pub struct SeriesRow {
    pub kind: Kind,
    /// Of the host, or of the server.
    pub label: String,
    pub name: String,
    /// Names it where the name alone does not: `latest:` takes it.
    pub title: String,
    /// A tree's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// What of a database was left out, as pg_dump's flags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// Nobody knows whether they are whole.
    pub adopted: bool,
    /// Made of what restores were about to replace.
    pub replaced: bool,
    /// In one line, as other commands have it.
    pub series: String,
    pub backups: u64,
    /// How many of them have a seal.
    pub sealed: u64,
    /// How many were made under another label.
    pub moved: u64,
    pub stored_bytes: u64,
    pub newest: Option<Timestamp>,
    pub oldest: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
pub struct ForeignSeriesRow {
    pub kind: Kind,
    pub series: String,
    pub backups: u64,
    pub newest: Option<Timestamp>,
    pub why: String,
}

fn moment(at: Option<Timestamp>, view: &View) -> String {
    at.map_or_else(|| "-".to_owned(), |at| when(at, view))
}

impl SeriesRow {
    fn marks(&self) -> String {
        let mut marks = Vec::new();
        match &self.part {
            Some(options) => marks.push(format!("part {options}")),
            None if self.adopted => marks.push("adopted".to_owned()),
            None if self.replaced => marks.push("before restores".to_owned()),
            None => {}
        }
        match self.backups - self.sealed.min(self.backups) {
            0 => {}
            unsealed => marks.push(format!("{unsealed} not sealed")),
        }
        if self.moved > 0 {
            marks.push(format!("{} moved", self.moved));
        }
        marks.join(", ")
    }

    fn cells(&self, view: &View) -> Vec<String> {
        vec![
            kind_word(self.kind).to_owned(),
            self.label.clone(),
            self.name.clone(),
            self.root.clone().unwrap_or_else(|| "-".to_owned()),
            self.backups.to_string(),
            size(self.stored_bytes),
            moment(self.newest, view),
            self.marks(),
        ]
    }
}

impl Report for SeriesListReport {
    fn text(&self, view: &View) -> String {
        const COLUMNS: [Column; 8] = [
            Column::left("KIND"),
            Column::left("LABEL"),
            Column::left("NAME"),
            Column::shrinking("ROOT"),
            Column::right("BACKUPS"),
            Column::right("SIZE"),
            Column::left("NEWEST"),
            Column::left("MARKS"),
        ];
        let rows: Vec<_> = self.series.iter().map(|row| row.cells(view)).collect();
        let mut text = match rows.is_empty() {
            true => format!("No backups in {}.\n", line(&self.storage)),
            false => {
                let backups = self.series.iter().map(|row| row.backups).sum();
                format!(
                    "{}\n{} of {}\n",
                    table(&COLUMNS, &rows, view),
                    counted(rows.len() as u64, "series", "series"),
                    counted(backups, "backup", "backups")
                )
            }
        };
        text.push_str(&self.foreign_text(view));
        if self.without_manifest > 0 {
            let files = counted(self.without_manifest, "file", "files");
            text.push_str(&format!(
                "\n{files} without a manifest, of no series; kluis list names them.\n"
            ));
        }
        text
    }
}

impl SeriesListReport {
    fn foreign_text(&self, view: &View) -> String {
        const COLUMNS: [Column; 5] = [
            Column::left("KIND"),
            Column::shrinking("SERIES"),
            Column::right("BACKUPS"),
            Column::left("NEWEST"),
            Column::left("WHY"),
        ];
        if self.foreign.is_empty() {
            return String::new();
        }
        let cells = |row: &ForeignSeriesRow| {
            vec![
                kind_word(row.kind).to_owned(),
                row.series.clone(),
                row.backups.to_string(),
                moment(row.newest, view),
                row.why.clone(),
            ]
        };
        let rows: Vec<_> = self.foreign.iter().map(cells).collect();
        let table = table(&COLUMNS, &rows, view);
        format!("\nForeign, as their manifests say, and counted nowhere:\n\n{table}")
    }
}

#[derive(Debug, Serialize)]
pub struct SeriesMoveReport {
    /// Nothing was changed.
    pub dry_run: bool,
    /// Labels.
    pub old: String,
    pub new: String,
    pub series: Vec<MovedSeriesRow>,
    /// Backups that were moved so before.
    pub already: u64,
    /// Backups that say they are of the old label, and stay: no key of ours vouches
    /// for them.
    pub foreign: u64,
}

#[derive(Debug, Serialize)]
pub struct MovedSeriesRow {
    pub kind: Kind,
    pub name: String,
    /// Series.
    pub from: String,
    pub to: String,
    pub backups: u64,
    /// What the new series has besides.
    pub there: u64,
}

impl SeriesMoveReport {
    fn rows(&self) -> String {
        let row = |row: &MovedSeriesRow| {
            let joined = match row.there {
                0 => String::new(),
                there => format!(", beside {there} there"),
            };
            format!(
                "  {} {} -> {}: {}{joined}\n",
                kind_word(row.kind),
                line(&row.from),
                line(&row.to),
                counted(row.backups, "backup", "backups")
            )
        };
        self.series.iter().map(row).collect()
    }

    /// For who has to confirm it.
    pub fn question(&self) -> String {
        format!(
            "This gives backups another label. Together with what is there, the retention \
             removes old ones of one series:\n{}",
            self.rows()
        )
    }

    fn foreign_text(&self) -> String {
        match self.foreign {
            0 => String::new(),
            foreign => format!(
                "{} of {} not sealed by a key of ours: not moved\n",
                counted(foreign, "backup", "backups"),
                line(&self.old)
            ),
        }
    }
}

impl Report for SeriesMoveReport {
    fn text(&self, _view: &View) -> String {
        let backups = self.series.iter().map(|row| row.backups).sum();
        let moved = counted(backups, "backup", "backups");
        let summary = match (backups, self.dry_run) {
            (0, _) => format!(
                "Nothing to move: no backup is of {} any more; {} of {} {} moved before.\n",
                line(&self.old),
                self.already,
                line(&self.new),
                plural(self.already, "was", "were")
            ),
            (_, true) => format!("{moved} would be moved; nothing was changed\n"),
            (_, false) => format!("{moved} moved\n"),
        };
        format!("{}{summary}{}", self.rows(), self.foreign_text())
    }
}
