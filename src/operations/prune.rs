//! Carries out what retention decided. Deciding and removing happen under one
//! lock, so nothing changes between them.

use std::collections::BTreeMap;
use std::time::Instant;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::remove::remove_backup;
use super::{OperationError, Run, Vault, sweep};
use crate::catalog::{Backup, Catalog};
use crate::format::manifest::{Kind, Manifest, ProofLevel};
use crate::lock::LockKind;
use crate::retention::{Age, Candidate, Nightly, Policies, PrunePlan, Simulated, plan, simulate};

#[derive(Debug)]
pub struct PruneDone {
    pub plan: PrunePlan,
    /// Archives removed; empty in a dry run.
    pub removed: Vec<String>,
    pub freed_bytes: u64,
}

/// Which of a storage's backups a prune looks at.
#[derive(Clone, Debug, Default)]
pub struct PruneScope {
    pub kind: Option<Kind>,
    pub name: Option<String>,
}

/// What prune would do with `catalog`. Only backups with a manifest count;
/// other programs' files are never touched.
pub fn plan_prune(
    catalog: &Catalog,
    scope: &PruneScope,
    policies: &Policies,
    now: Timestamp,
    time_zone: &TimeZone,
) -> PrunePlan {
    plan(&candidates(catalog, scope), policies, now, time_zone)
}

fn candidates(catalog: &Catalog, scope: &PruneScope) -> Vec<Candidate> {
    let backups = catalog.backups.iter().filter_map(candidate);
    let name = scope.name.as_deref();
    backups
        .filter(|candidate| name.is_none_or(|name| name == candidate.name))
        .filter(|candidate| scope.kind.is_none_or(|kind| kind == candidate.kind))
        .collect()
}

/// Plays `policies` over `span` of nights, in each of which everything that has a
/// backup in `scope` is backed up again, as large as its newest one. What was
/// made before a restore is not.
pub fn simulate_prune(
    catalog: &Catalog,
    scope: &PruneScope,
    policies: &Policies,
    now: Timestamp,
    time_zone: &TimeZone,
    span: Age,
) -> Simulated {
    let existing = candidates(catalog, scope);
    let mut newest: BTreeMap<(Kind, &str), &Candidate> = BTreeMap::new();
    // The newest comes first.
    for candidate in &existing {
        let group = (candidate.kind, candidate.group.as_str());
        newest.entry(group).or_insert(candidate);
    }
    let again = |candidate: &&&Candidate| !candidate.group.ends_with(BEFORE_RESTORES);
    let nightly: Vec<Nightly> = newest
        .values()
        .filter(again)
        .map(|candidate| Nightly {
            kind: candidate.kind,
            name: candidate.name.clone(),
            group: candidate.group.clone(),
            bytes: candidate.bytes,
        })
        .collect();
    simulate(existing, &nightly, policies, now, time_zone, span)
}

/// A backup whose archive is gone, or was found damaged, is none: it must not
/// fill a place that a restorable one would have. Prune leaves it alone.
pub(super) fn candidate(backup: &Backup) -> Option<Candidate> {
    let file = backup.file.as_ref()?;
    let stored = backup.stored.as_ref()?;
    let proof = backup.proof()?;
    Some(Candidate {
        id: file.manifest.id.clone(),
        kind: file.manifest.kind,
        name: file.manifest.name.clone(),
        group: group(&file.manifest),
        created_at: file.manifest.created_at,
        pinned: file.state.pinned,
        verified: proof >= ProofLevel::Verified,
        bytes: stored.bytes,
    })
}

const BEFORE_RESTORES: &str = ", before restores";

/// What a policy counts together: only backups of which one can stand for
/// another. Two trees may have the same name; a part of a database is not the
/// whole; and what a restore was about to replace is not what was restored.
fn group(manifest: &Manifest) -> String {
    let mut group = manifest.name.clone();
    if let Some(tree) = &manifest.source {
        group.push_str(&format!(" {}", tree.root));
    }
    if let Some(database) = &manifest.database {
        group.push_str(&database.selection.to_string());
    }
    if manifest.before_restore_of.is_some() {
        group.push_str(BEFORE_RESTORES);
    }
    group
}

pub fn prune(
    vault: &Vault<'_>,
    scope: &PruneScope,
    policies: &Policies,
    now: Timestamp,
    time_zone: &TimeZone,
) -> Result<PruneDone, OperationError> {
    let begun = Instant::now();
    let _lock = vault.lock(LockKind::Exclusive, now)?;
    // Backups that were begun while this waited are no sign of a clock that is
    // behind.
    let locked_at = SignedDuration::try_from(begun.elapsed())
        .ok()
        .and_then(|waited| now.checked_add(waited).ok());
    sweep(vault, now)?;
    let catalog = Catalog::load(vault.storage)?;
    let plan = plan_prune(
        &catalog,
        scope,
        policies,
        locked_at.unwrap_or(now),
        time_zone,
    );
    let mut run = Run::start_freeing(vault, None, now)?;
    match remove_decided(vault, &catalog, &plan, &mut run) {
        Ok((removed, freed_bytes)) => {
            let what = format!("{} backups are pruned", removed.len());
            run.complete(freed_bytes, &what)?;
            Ok(PruneDone {
                plan,
                removed,
                freed_bytes,
            })
        }
        Err(error) => {
            run.fail(&error);
            Err(error)
        }
    }
}

fn remove_decided(
    vault: &Vault<'_>,
    catalog: &Catalog,
    plan: &PrunePlan,
    run: &mut Run<'_>,
) -> Result<(Vec<String>, u64), OperationError> {
    let mut removed = Vec::new();
    let mut freed_bytes = 0;
    for decision in plan.decisions.iter().filter(|decision| !decision.keep) {
        vault.cancel.check()?;
        let of_decision = |backup: &&Backup| {
            backup
                .file
                .as_ref()
                .is_some_and(|file| file.manifest.id == decision.id)
        };
        let Some(backup) = catalog.backups.iter().find(of_decision) else {
            continue;
        };
        run.goes_on_with(&backup.archive)?;
        remove_backup(vault.storage, backup).inspect_err(|_| run.leaves_work())?;
        freed_bytes += backup.stored_bytes();
        removed.push(backup.archive.clone());
    }
    Ok((removed, freed_bytes))
}
