//! `kluis series`.

use std::collections::BTreeMap;

use crate::catalog::{Backup, Foreign};
use crate::cli::{SeriesCommand, SeriesMove};
use crate::exit::Exit;
use crate::format::manifest::{Kind, Trigger};
use crate::format::manifest_file::ManifestFile;
use crate::operations::{self, MovePlan, MovedSeries, plan_move};
use crate::render::{
    ForeignSeriesRow, MovedSeriesRow, SeriesListReport, SeriesMoveReport, SeriesRow,
};
use crate::series::{Series, Variant};
use crate::storage::Storage;

use super::session::Session;

pub fn run(session: &Session<'_>, wanted: &SeriesCommand) -> anyhow::Result<Exit> {
    match wanted {
        SeriesCommand::List(_) => list(session),
        SeriesCommand::Move(wanted) => move_to(session, wanted),
    }
}

fn list(session: &Session<'_>) -> anyhow::Result<Exit> {
    let opened = session.open()?;
    session.warn_of_unreadable(&opened.catalog);
    let catalog = &opened.catalog;
    let mut ours: BTreeMap<&Series, Vec<&Backup>> = BTreeMap::new();
    for backup in &catalog.backups {
        if let Some(series) = &backup.series {
            ours.entry(series).or_default().push(backup);
        }
    }
    let mut foreign: BTreeMap<&Series, Vec<&Foreign>> = BTreeMap::new();
    for one in &catalog.foreign {
        if let Some(series) = &one.described().series {
            foreign.entry(series).or_default().push(one);
        }
    }
    let titles = catalog.titles();
    let title = |series: &Series| titles.get(&series.whole()).unwrap_or(&series.name).clone();
    session.print(&SeriesListReport {
        storage: opened.storage.location(),
        series: ours
            .iter()
            .map(|(series, backups)| row(series, backups, title(series)))
            .collect(),
        foreign: foreign
            .iter()
            .map(|(series, all)| foreign_row(series, all))
            .collect(),
        without_manifest: catalog.uncounted().without_manifest,
    })?;
    Ok(Exit::Done)
}

/// The newest come first.
fn row(series: &Series, backups: &[&Backup], title: String) -> SeriesRow {
    let files = || backups.iter().filter_map(|backup| backup.file.as_ref());
    let bytes = backups.iter().map(|backup| backup.stored_bytes());
    SeriesRow {
        kind: series.kind,
        label: series.label.clone(),
        name: series.name.clone(),
        title,
        root: series.root.clone(),
        part: match &series.variant {
            Variant::Part(options) => Some(options.trim_start().to_owned()),
            Variant::Whole | Variant::Adopted | Variant::Replaced => None,
        },
        adopted: series.variant == Variant::Adopted,
        replaced: series.variant == Variant::Replaced,
        series: series.to_string(),
        backups: backups.len() as u64,
        sealed: files().filter(|file| file.is_sealed()).count() as u64,
        moved: files().filter(|it| is_moved(it)).count() as u64,
        stored_bytes: bytes.fold(0, u64::saturating_add),
        newest: backups.first().map(|backup| backup.created_at()),
        oldest: backups.last().map(|backup| backup.created_at()),
    }
}

fn is_moved(file: &ManifestFile) -> bool {
    let label = file.state.label.as_ref();
    label.is_some_and(|label| *label != Series::as_made(&file.manifest).label)
}

fn foreign_row(series: &Series, all: &[&Foreign]) -> ForeignSeriesRow {
    let mut whys: Vec<&str> = all.iter().map(|foreign| foreign.why.word()).collect();
    whys.sort_unstable();
    whys.dedup();
    ForeignSeriesRow {
        kind: series.kind,
        series: series.to_string(),
        backups: all.len() as u64,
        newest: all.first().map(|foreign| foreign.described().created_at()),
        why: whys.join(", "),
    }
}

fn move_to(session: &Session<'_>, wanted: &SeriesMove) -> anyhow::Result<Exit> {
    session.ring()?;
    let opened = session.open()?;
    let ordered = operations::SeriesMove {
        kind: wanted.kind.map(Kind::from),
        name: wanted.name.clone(),
        old: wanted.old.clone(),
        new: wanted.new.clone(),
        force: wanted.force,
    };
    let plan = plan_move(&opened.catalog, &ordered)?;
    let report = move_report(wanted, &plan);
    // Nothing is left of one that was interrupted.
    if wanted.dry_run || plan.series.is_empty() {
        session.print(&report)?;
        return Ok(Exit::Done);
    }
    if !wanted.yes {
        let question = report.question();
        session.console.confirm(&question, "move", session.cancel)?;
    }
    let vault = session.vault(&opened.storage, "series move", Trigger::Manual)?;
    let plan = operations::move_series(&vault, &ordered, session.now)?;
    session.print(&move_report(wanted, &plan))?;
    Ok(Exit::Done)
}

fn move_report(wanted: &SeriesMove, plan: &MovePlan) -> SeriesMoveReport {
    let row = |moved: &MovedSeries| MovedSeriesRow {
        kind: moved.from.kind,
        name: moved.from.name.clone(),
        from: moved.from.to_string(),
        to: moved.to.to_string(),
        backups: moved.archives.len() as u64,
        there: moved.there,
    };
    SeriesMoveReport {
        dry_run: wanted.dry_run,
        old: wanted.old.clone(),
        new: wanted.new.clone(),
        series: plan.series.iter().map(row).collect(),
        already: plan.already,
        foreign: plan.foreign,
    }
}
