//! Moves the backups of a host or server that was renamed to its new label. The
//! manifests stay as they are; each state gets the label, and is sealed with it.
//!
//! Invariant: each backup belongs to the old series or to the new one at any time.
//! What was moved so far when a run died is found by what the manifests say, so the
//! next one goes on with the rest.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::state::change_sealed_state;
use super::{OperationError, Run, Vault, sweep};
use crate::catalog::{Backup, Catalog, Ours};
use crate::format::manifest::Kind;
use crate::lock::LockKind;
use crate::series::{Series, renamed};

pub struct SeriesMove {
    pub kind: Option<Kind>,
    pub name: Option<String>,
    /// Labels.
    pub old: String,
    pub new: String,
    /// Also where two hosts seem to be meant.
    pub force: bool,
}

#[derive(Debug, Default)]
pub struct MovePlan {
    pub series: Vec<MovedSeries>,
    /// Backups that were moved so before.
    pub already: u64,
    /// Backups that say they are of the old label, and that no key of ours vouches for.
    pub foreign: u64,
}

#[derive(Debug)]
pub struct MovedSeries {
    pub from: Series,
    pub to: Series,
    pub archives: Vec<String>,
    /// Backups that the new series has of its own.
    pub there: u64,
}

impl SeriesMove {
    fn is_wanted(&self, series: &Series) -> bool {
        let name = self.name.as_ref();
        self.kind.is_none_or(|kind| kind == series.kind)
            && name.is_none_or(|name| *name == series.name)
    }

    /// What it becomes; `None` of another host's.
    fn moved(&self, series: &Series) -> Option<Series> {
        let label = renamed(&series.label, &self.old, &self.new);
        Some(Series {
            label: label.filter(|_| self.is_wanted(series))?,
            ..series.clone()
        })
    }

    /// Whether it came by such a move to where it is, or back to where it was made.
    fn was_moved(&self, backup: &Backup) -> bool {
        let (Some(file), Some(series)) = (&backup.file, &backup.series) else {
            return false;
        };
        let made = Series::as_made(&file.manifest);
        let is_back = || {
            let is_of_new = renamed(&series.label, &self.new, &self.new).is_some();
            is_of_new && made == *series && self.is_wanted(series)
        };
        file.state.label.is_some() && (self.moved(&made).as_ref() == Some(series) || is_back())
    }
}

/// What would be moved. Refused where the labels seem to be those of two hosts that
/// both make backups: together, one would be removed for the other.
pub fn plan_move(catalog: &Catalog, wanted: &SeriesMove) -> Result<MovePlan, OperationError> {
    if wanted.old == wanted.new {
        let what = "the two labels are the same: there is nothing to move".to_owned();
        return Err(OperationError::Usage { what });
    }
    let mut going: BTreeMap<&Series, (Series, Vec<&Ours>)> = BTreeMap::new();
    for ours in &catalog.backups {
        let series = ours.series.as_ref();
        if let Some((from, to)) = series.and_then(|from| Some((from, wanted.moved(from)?))) {
            let (_, backups) = going.entry(from).or_insert_with(|| (to, Vec::new()));
            backups.push(ours);
        }
    }
    let is_old = |backup: &Backup| {
        let series = backup.series.as_ref();
        series.is_some_and(|series| wanted.moved(series).is_some())
    };
    let foreign = catalog.foreign.iter();
    let mut plan = MovePlan {
        series: Vec::new(),
        already: catalog
            .backups
            .iter()
            .filter(|it| wanted.was_moved(it))
            .count() as u64,
        foreign: foreign.filter(|it| is_old(it.described())).count() as u64,
    };
    for (from, (to, backups)) in going {
        let is_there = |ours: &&Ours| ours.series.as_ref() == Some(&to) && !wanted.was_moved(ours);
        let there: Vec<&Ours> = catalog.backups.iter().filter(is_there).collect();
        if !wanted.force {
            refuse_two_hosts(from, &to, &backups, &there)?;
        }
        plan.series.push(MovedSeries {
            from: from.clone(),
            archives: backups.iter().map(|ours| ours.archive.clone()).collect(),
            there: there.len() as u64,
            to,
        });
    }
    match plan.series.is_empty() && plan.already == 0 {
        true => Err(nothing_to_move(catalog, wanted, plan.foreign)),
        false => Ok(plan),
    }
}

fn refuse_two_hosts(
    from: &Series,
    to: &Series,
    backups: &[&Ours],
    there: &[&Ours],
) -> Result<(), OperationError> {
    let newest = backups.iter().map(|ours| ours.created_at()).max();
    let oldest = there.iter().map(|ours| ours.created_at()).min();
    match (newest, oldest) {
        (Some(newest), Some(oldest)) if newest > oldest => Err(OperationError::Refused {
            what: format!(
                "{from} was backed up at {newest:.0}, when {to} was there already (since \
                 {oldest:.0}): as of two hosts, not of one that was renamed. In one series the \
                 backups of one are removed for those of the other. If it is one all the same, \
                 use --force"
            ),
        }),
        _ => Ok(()),
    }
}

fn nothing_to_move(catalog: &Catalog, wanted: &SeriesMove, foreign: u64) -> OperationError {
    let labels: BTreeSet<&str> = catalog.series().iter().map(|it| &*it.label).collect();
    let labels: Vec<&str> = labels.into_iter().collect();
    let there = match (labels.is_empty(), foreign) {
        (true, _) => "there is none of ours".to_owned(),
        (false, 0) => format!("there are those of {}", labels.join(", ")),
        (false, _) => format!(
            "those that say so are not ours; ours are of {}",
            labels.join(", ")
        ),
    };
    OperationError::Usage {
        what: format!(
            "no backup {}is of {}; {there}: `kluis series list` shows them",
            wanted
                .name
                .as_ref()
                .map_or_else(String::new, |name| format!("of {name} ")),
            wanted.old
        ),
    }
}

/// Carries it out, as the storage is under the lock.
pub fn move_series(
    vault: &Vault<'_>,
    wanted: &SeriesMove,
    now: Timestamp,
) -> Result<MovePlan, OperationError> {
    let _lock = vault.lock(LockKind::Exclusive, now)?;
    sweep(vault, now)?;
    let plan = plan_move(&vault.catalog()?, wanted)?;
    let what = format!("{} is called {}", wanted.old, wanted.new);
    let run = Run::start_telling(vault, &what, now)?;
    match relabel(vault, &plan) {
        Ok(()) => {
            run.complete(0, &what)?;
            Ok(plan)
        }
        Err(error) => {
            run.fail(&error);
            Err(error)
        }
    }
}

fn relabel(vault: &Vault<'_>, plan: &MovePlan) -> Result<(), OperationError> {
    for series in &plan.series {
        // The oldest first: where it breaks off, the old series is the one with the
        // newest, and no run's `latest` changes before the last.
        for archive in series.archives.iter().rev() {
            vault.cancel.check()?;
            change_sealed_state(vault, archive, |file| {
                file.state.label = Some(series.to.label.clone());
                true
            })?;
        }
    }
    Ok(())
}
