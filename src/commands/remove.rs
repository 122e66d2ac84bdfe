//! `kluis delete`, `kluis keep` and `kluis prune`.

use std::collections::HashMap;

use crate::catalog::{Backup, Catalog};
use crate::cli::{Delete, Keep, Prune};
use crate::exit::Exit;
use crate::format::manifest::{Kind, Trigger};
use crate::operations::{self, PruneScope, plan_prune, simulate_prune};
use crate::render::{
    DeleteReport, DeletedRow, KeepReport, PruneReport, PruneRow, SimulateReport, SimulatedPoint,
    SimulatedRow,
};
use crate::retention::{Age, Candidate, Decision, Night, PrunePlan, Simulated};

use super::session::{Session, each_backup};

pub fn delete(session: &Session<'_>, wanted: &Delete) -> anyhow::Result<Exit> {
    session.ring()?;
    let opened = session.open()?;
    let mut backups: Vec<&Backup> = Vec::new();
    for wanted in &wanted.backups {
        let backup = opened.find(wanted)?.backup();
        if !backups.iter().any(|known| known.archive == backup.archive) {
            backups.push(backup);
        }
    }
    if !wanted.yes {
        let names: Vec<&str> = backups
            .iter()
            .map(|backup| backup.archive.as_str())
            .collect();
        let question = format!("This deletes for good:\n  {}", names.join("\n  "));
        session
            .console
            .confirm(&question, "delete", session.cancel)?;
    }
    let vault = session.vault(&opened.storage, "delete", Trigger::Manual)?;
    let freed_bytes = operations::delete(&vault, &backups, wanted.force, session.now)?;
    let deleted = backups
        .iter()
        .map(|backup| DeletedRow {
            id: id(backup),
            file: backup.archive.clone(),
            stored_bytes: backup.stored_bytes(),
        })
        .collect();
    session.print(&DeleteReport {
        deleted,
        freed_bytes,
    })?;
    Ok(Exit::Done)
}

pub fn keep(session: &Session<'_>, wanted: &Keep) -> anyhow::Result<Exit> {
    session.ring()?;
    let kept = !wanted.release;
    let mut files = Vec::new();
    each_backup(session, &wanted.backups, |opened, named| {
        let backup = named.backup();
        let vault = session.vault(&opened.storage, "keep", Trigger::Manual)?;
        operations::keep(&vault, backup, kept, session.now)?;
        files.push(backup.archive.clone());
        Ok(())
    })?;
    session.print(&KeepReport { kept, files })?;
    Ok(Exit::Done)
}

pub fn prune(session: &Session<'_>, wanted: &Prune) -> anyhow::Result<Exit> {
    if !wanted.dry_run && wanted.simulate.is_none() {
        session.ring()?;
    }
    let opened = session.open()?;
    let scope = PruneScope {
        kind: wanted.kind.map(Kind::from),
        name: wanted.name.clone(),
        covered: session.settings.retention.chosen.clone(),
        beside: None,
    };
    let rules = session.settings.retention.policies();
    let zone = &session.settings.time_zone.value;
    if wanted.dry_run {
        let plan = plan_prune(&opened.catalog, &scope, &rules, session.now, zone);
        let freed_bytes = plan.removed_bytes;
        session.print(&prune_report(&opened.catalog, &plan, true, freed_bytes))?;
        return Ok(Exit::Done);
    }
    if let Some(span) = wanted.simulate {
        let catalog = &opened.catalog;
        let simulated = simulate_prune(catalog, &scope, &rules, session.now, zone, span);
        session.print(&simulate_report(&simulated, span))?;
        return Ok(Exit::Done);
    }
    let vault = session.vault(&opened.storage, "prune", wanted.run.trigger.into())?;
    let done = operations::prune(&vault, &scope, &rules, session.now, zone)?;
    let mut report = prune_report(&opened.catalog, &done.plan, false, done.freed_bytes);
    report.tell_what_stays(&done.removed);
    session.print(&report)?;
    Ok(match done.is_incomplete() {
        true => Exit::Incomplete,
        false => Exit::Done,
    })
}

/// After each month, and at the end: the nights between look alike.
fn simulate_report(simulated: &Simulated, span: Age) -> SimulateReport {
    let nights = &simulated.nights;
    let ends_a_month = |pair: &&[Night]| pair[0].date.month() != pair[1].date.month();
    let months = nights.windows(2).filter(ends_a_month).map(|pair| pair[0]);
    let point = |night: Night| SimulatedPoint {
        date: night.date.to_string(),
        backups: night.backups,
        bytes: night.bytes,
    };
    let backups = simulated.plan.decisions.iter().filter_map(|decision| {
        let of_decision = |candidate: &&Candidate| candidate.id == decision.id;
        let candidate = simulated.left.iter().find(of_decision)?;
        Some(SimulatedRow {
            kind: candidate.series.kind,
            name: candidate.series.name.clone(),
            series: candidate.series.to_string(),
            created_at: candidate.created_at,
            bytes: candidate.bytes,
            reasons: decision.reasons.iter().map(ToString::to_string).collect(),
        })
    });
    SimulateReport {
        span: span.to_string(),
        nights: nights.len() as u64,
        peak_bytes: nights.iter().map(|night| night.bytes).max().unwrap_or(0),
        points: months.chain(nights.last().copied()).map(point).collect(),
        backups: backups.collect(),
    }
}

fn prune_report(
    catalog: &Catalog,
    plan: &PrunePlan,
    dry_run: bool,
    freed_bytes: u64,
) -> PruneReport {
    let known = catalog.backups.iter().filter_map(|backup| {
        let id = &backup.file.as_ref()?.manifest.id;
        Some((id.as_str(), &**backup))
    });
    let known: HashMap<&str, &Backup> = known.collect();
    let backups = plan.decisions.iter().filter_map(|decision| {
        let backup = known.get(decision.id.as_str())?;
        prune_row(backup, decision)
    });
    PruneReport {
        dry_run,
        backups: backups.collect(),
        freed_bytes,
        uncounted: catalog.uncounted(),
    }
}

fn prune_row(backup: &Backup, decision: &Decision) -> Option<PruneRow> {
    Some(PruneRow {
        id: id(backup),
        file: backup.archive.clone(),
        kind: backup.kind()?,
        name: backup.name().to_owned(),
        series: backup.series.as_ref()?.to_string(),
        created_at: backup.created_at(),
        stored_bytes: backup.stored_bytes(),
        keep: decision.keep,
        stays: false,
        reasons: decision.reasons.iter().map(ToString::to_string).collect(),
    })
}

fn id(backup: &Backup) -> String {
    let id = backup
        .file
        .as_ref()
        .map(|file| file.manifest.id.to_string());
    id.unwrap_or_else(|| "-".to_owned())
}
