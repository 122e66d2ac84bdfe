//! `kluis delete`, `kluis keep` and `kluis prune`.

use crate::catalog::{Backup, Catalog};
use crate::cli::{Delete, Keep, Prune};
use crate::exit::Exit;
use crate::format::manifest::{Kind, Trigger};
use crate::operations::{self, PruneScope, plan_prune};
use crate::render::{DeleteReport, DeletedRow, KeepReport, PruneReport, PruneRow};
use crate::retention::{Decision, PrunePlan};
use crate::wiring;

use super::session::{Session, each_backup};

pub fn delete(session: &Session<'_>, wanted: &Delete) -> anyhow::Result<Exit> {
    let opened = session.open()?;
    let mut backups: Vec<&Backup> = Vec::new();
    for wanted in &wanted.backups {
        let backup = opened.find(wanted)?;
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
    let freed_bytes = operations::delete(&vault, &backups, session.now)?;
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
    let kept = !wanted.release;
    let mut files = Vec::new();
    each_backup(session, &wanted.backups, |opened, backup| {
        let vault = session.vault(&opened.storage, "keep", Trigger::Manual)?;
        operations::keep(&vault, backup, kept, session.now)?;
        files.push(backup.archive.clone());
        Ok(())
    })?;
    session.print(&KeepReport { kept, files })?;
    Ok(Exit::Done)
}

pub fn prune(session: &Session<'_>, wanted: &Prune) -> anyhow::Result<Exit> {
    let opened = session.open()?;
    let scope = PruneScope {
        kind: wanted.kind.map(Kind::from),
        name: wanted.name.clone(),
    };
    let rules = wiring::keep_rules(&session.settings);
    let zone = &session.settings.time_zone.value;
    if wanted.dry_run {
        let plan = plan_prune(&opened.catalog, &scope, &rules, session.now, zone);
        let freed_bytes = plan.removed_bytes;
        session.print(&prune_report(&opened.catalog, &plan, true, freed_bytes))?;
        return Ok(Exit::Done);
    }
    let vault = session.vault(&opened.storage, "prune", Trigger::Manual)?;
    let done = operations::prune(&vault, &scope, &rules, session.now, zone)?;
    session.print(&prune_report(
        &opened.catalog,
        &done.plan,
        false,
        done.freed_bytes,
    ))?;
    Ok(Exit::Done)
}

fn prune_report(
    catalog: &Catalog,
    plan: &PrunePlan,
    dry_run: bool,
    freed_bytes: u64,
) -> PruneReport {
    let backups = plan
        .decisions
        .iter()
        .filter_map(|decision| prune_row(catalog, decision));
    PruneReport {
        dry_run,
        backups: backups.collect(),
        freed_bytes,
    }
}

fn prune_row(catalog: &Catalog, decision: &Decision) -> Option<PruneRow> {
    let of_decision = |backup: &&Backup| {
        backup
            .file
            .as_ref()
            .is_some_and(|f| f.manifest.id == decision.id)
    };
    let backup = catalog.backups.iter().find(of_decision)?;
    Some(PruneRow {
        id: id(backup),
        kind: backup.kind()?,
        name: backup.name().to_owned(),
        created_at: backup.created_at(),
        stored_bytes: backup.stored_bytes(),
        keep: decision.keep,
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
