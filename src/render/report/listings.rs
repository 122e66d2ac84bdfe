//! What stands on the page in tables of many rows: backups, runs, and names where
//! there are many.

use maud::{Markup, html};

use super::grid::{Cell, Column, Format, Grid};
use super::text::ended_badly;
use super::{NameReport, ReportPage};
use crate::render::View;
use crate::render::history::HistoryRow;
use crate::render::list::{ListRow, kind_word, short_id};
use crate::render::units::{count, when};

const BACKUPS: [Column; 10] = [
    column("When", Format::When),
    column("Kind", Format::Choice),
    column("Name", Format::Text),
    column("Stored", Format::Bytes),
    column("Content", Format::Bytes),
    column("Proof", Format::Badge),
    column("Proven", Format::Word),
    column("Marks", Format::Word),
    column("Id", Format::Word),
    column("Note", Format::Text),
];
const RUNS: [Column; 8] = [
    column("When", Format::When),
    column("Command", Format::Choice),
    column("Result", Format::Badge),
    column("Time", Format::Duration),
    column("Bytes", Format::Bytes),
    column("By", Format::Text),
    column("Trigger", Format::Choice),
    column("What", Format::Text),
];
const NAMES: [Column; 7] = [
    column("Newest", Format::When),
    column("Kind", Format::Choice),
    column("Name", Format::Text),
    column("Proof", Format::Badge),
    column("Stored", Format::Bytes),
    column("Last", Format::Bytes),
    column("Took", Format::Duration),
];

const fn column(title: &'static str, format: Format) -> Column {
    Column { title, format }
}

pub(super) fn names_grid<'a>(names: &[NameReport], view: &View) -> Grid<'a> {
    let mut newest: Vec<&NameReport> = names.iter().collect();
    newest.sort_by_key(|name| std::cmp::Reverse(name.newest));
    let row = |name: &&NameReport| {
        vec![
            Cell::Text(when(name.newest, view)),
            Cell::text(kind_word(name.kind)),
            Cell::text(&name.title),
            Cell::text(name.proof.word()),
            Cell::Number(name.stored_bytes),
            Cell::number(name.sizes.last().map(|it| it.stored_bytes)),
            Cell::number(name.last_duration_ms()),
        ]
    };
    Grid {
        id: "all-names",
        caption: "All names",
        one: "name",
        many: "names",
        columns: &NAMES,
        rows: newest.iter().map(row).collect(),
    }
}

pub(super) fn backups(page: &ReportPage, view: &View) -> Markup {
    let row = |row: &ListRow| {
        vec![
            Cell::Text(when(row.created_at, view)),
            Cell::text(kind_word(row.kind)),
            Cell::text(&row.title),
            Cell::Number(row.stored_bytes),
            Cell::number(row.raw_bytes),
            Cell::text(row.proof.word()),
            Cell::text(&row.proven_at.map(|at| when(at, view)).unwrap_or_default()),
            Cell::text(&row.marks()),
            Cell::text(&row.id.as_deref().map(short_id).unwrap_or_default()),
            // Without an id its file name is what it is called by.
            Cell::text(match &row.id {
                Some(_) => row.note.as_deref().unwrap_or_default(),
                None => &row.file,
            }),
        ]
    };
    let grid = Grid {
        id: "backups",
        caption: "All backups, the newest first",
        one: "backup",
        many: "backups",
        columns: &BACKUPS,
        rows: page.backups.iter().map(row).collect(),
    };
    html! {
        section #backups aria-labelledby="backups-title" {
            h2 #backups-title { "Backups" }
            (grid.markup())
        }
    }
}

pub(super) fn runs(page: &ReportPage, view: &View) -> Markup {
    let grid = Grid {
        id: "runs",
        caption: "Runs, the newest first",
        one: "run",
        many: "runs",
        columns: &RUNS,
        rows: page.runs.iter().map(|row| run_row(row, view)).collect(),
    };
    let shown = page.runs.len() as u64;
    html! {
        section #runs aria-labelledby="runs-title" {
            h2 #runs-title { "Runs" }
            @if shown < page.records {
                p.dim { "The newest " (count(shown)) " of " (count(page.records)) "; kluis history has them all." }
            }
            (grid.markup())
        }
    }
}

fn run_row(row: &HistoryRow, view: &View) -> Vec<Cell> {
    let what = row.error.as_ref().filter(|_| ended_badly(row.result));
    let what = what.or(row.backup.as_ref()).or(row.detail.as_ref());
    vec![
        Cell::Text(when(row.started, view)),
        Cell::text(&row.command),
        Cell::text(row.result),
        Cell::number(row.duration_ms),
        Cell::number(row.bytes),
        Cell::text(&format!("{}@{}", row.user, row.host)),
        Cell::text(&row.trigger.word().to_lowercase()),
        Cell::text(what.map_or("", String::as_str)),
    ]
}
