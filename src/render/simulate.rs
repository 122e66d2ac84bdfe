//! What `kluis prune --simulate` prints.

use jiff::Timestamp;
use serde::Serialize;

use super::list::kind_word;
use super::style::{Style, line};
use super::table::{Column, table};
use super::units::{counted, size, when};
use super::{Report, View};
use crate::format::manifest::Kind;

#[derive(Debug, Serialize)]
pub struct SimulateReport {
    /// As it was asked for: "2y".
    pub span: String,
    pub nights: u64,
    /// The most that lies there after any night's prune. Before it, one night's
    /// backups more do.
    pub peak_bytes: u64,
    /// At the end of each month, and at the end.
    pub points: Vec<SimulatedPoint>,
    /// What lies there at the end, by name, the newest first.
    pub backups: Vec<SimulatedRow>,
}

#[derive(Debug, Serialize)]
pub struct SimulatedPoint {
    /// The local date of the night.
    pub date: String,
    pub backups: u64,
    pub bytes: u64,
}

#[derive(Debug, Serialize)]
pub struct SimulatedRow {
    pub kind: Kind,
    pub name: String,
    pub series: String,
    pub created_at: Timestamp,
    pub bytes: u64,
    /// Why it is still there; never empty.
    pub reasons: Vec<String>,
}

impl Report for SimulateReport {
    fn text(&self, view: &View) -> String {
        if self.backups.is_empty() {
            return "No backups to play with; kluis backup makes the first one.\n".to_owned();
        }
        let same = |a: &SimulatedRow, b: &SimulatedRow| (a.kind, &a.series) == (b.kind, &b.series);
        let groups = self.backups.chunk_by(same);
        let mut text: String = groups.map(|rows| left(rows, view)).collect();
        text.push_str(&self.months(view));
        let number = counted(self.backups.len() as u64, "backup", "backups");
        let bytes = self.points.last().map_or(0, |point| point.bytes);
        text.push_str(&format!(
            "\nAfter {} ({}): {number}, {}; {} at most on the way\n",
            self.span,
            counted(self.nights, "night", "nights"),
            size(bytes),
            size(self.peak_bytes)
        ));
        text
    }
}

impl SimulateReport {
    fn months(&self, view: &View) -> String {
        const COLUMNS: [Column; 3] = [
            Column::left("NIGHT"),
            Column::right("BACKUPS"),
            Column::right("STORED"),
        ];
        let row = |point: &SimulatedPoint| {
            let backups = point.backups.to_string();
            vec![point.date.clone(), backups, size(point.bytes)]
        };
        let rows: Vec<_> = self.points.iter().map(row).collect();
        table(&COLUMNS, &rows, view)
    }
}

/// What is left of one series.
fn left(rows: &[SimulatedRow], view: &View) -> String {
    const COLUMNS: [Column; 3] = [
        Column::left("WHEN"),
        Column::right("SIZE"),
        Column::wrapping("WHY IT IS STILL THERE"),
    ];
    let heading = rows.first().map_or_else(String::new, |first| {
        format!("{} {}", kind_word(first.kind), line(&first.series))
    });
    let cells = |row: &SimulatedRow| {
        vec![
            when(row.created_at, view),
            size(row.bytes),
            row.reasons.join("; "),
        ]
    };
    let rows: Vec<_> = rows.iter().map(cells).collect();
    format!(
        "{}\n{}\n",
        Style::Bold.paint(heading),
        table(&COLUMNS, &rows, view)
    )
}
