//! Carries out what retention decided. Deciding and removing happen under one
//! lock, so nothing changes between them.

use std::collections::BTreeMap;
use std::time::Instant;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::remove::remove_backup;
use super::{OperationError, Run, Vault, sweep};
use crate::catalog::{Catalog, Ours};
use crate::format::manifest::{Kind, ProofLevel};
use crate::lock::LockKind;
use crate::retention::{
    Age, Candidate, Coverage, Nightly, Policies, PrunePlan, Simulated, plan, simulate,
};
use crate::series::{Series, Variant};

#[derive(Debug)]
pub struct PruneDone {
    pub plan: PrunePlan,
    /// Archives removed; what the plan removes besides is still there.
    pub removed: Vec<String>,
    pub freed_bytes: u64,
}

impl PruneDone {
    /// Whether something that was to go is still there.
    pub fn is_incomplete(&self) -> bool {
        self.removed.len() < self.plan.removed().count()
    }
}

/// Which of a storage's backups a prune looks at.
#[derive(Clone, Debug, Default)]
pub struct PruneScope {
    pub kind: Option<Kind>,
    pub name: Option<String>,
    /// What a schedule is about.
    pub covered: Option<Coverage>,
    /// An archive: what is of its series, parts and what restores replaced too.
    pub beside: Option<String>,
}

/// What prune would do with `catalog`. Only our backups with a manifest count;
/// foreign ones and other programs' files are never touched.
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
    let beside = scope.beside.as_ref().map(|archive| {
        let mut all = catalog.backups.iter();
        let backup = all.find(|backup| backup.archive == *archive)?;
        Some(backup.series.as_ref()?.whole())
    });
    let is_beside = |candidate: &Candidate| match &beside {
        None => true,
        Some(whole) => whole.as_ref() == Some(&candidate.series.whole()),
    };
    backups
        .filter(is_beside)
        .filter(|candidate| name.is_none_or(|name| name == candidate.series.name))
        .filter(|candidate| {
            let covered = scope.covered.as_ref();
            covered.is_none_or(|covered| covered.holds(&candidate.series))
        })
        .filter(|candidate| scope.kind.is_none_or(|kind| kind == candidate.series.kind))
        .collect()
}

/// Plays `policies` over `span` of nights, in each of which everything that has a
/// backup in `scope` is backed up again, as large as its newest one. What was
/// adopted, or made before a restore, is not.
pub fn simulate_prune(
    catalog: &Catalog,
    scope: &PruneScope,
    policies: &Policies,
    now: Timestamp,
    time_zone: &TimeZone,
    span: Age,
) -> Simulated {
    let existing = candidates(catalog, scope);
    let mut newest: BTreeMap<&Series, &Candidate> = BTreeMap::new();
    // The newest comes first.
    for candidate in &existing {
        newest.entry(&candidate.series).or_insert(candidate);
    }
    let again = |candidate: &&&Candidate| {
        matches!(candidate.series.variant, Variant::Whole | Variant::Part(_))
    };
    let nightly: Vec<Nightly> = newest
        .values()
        .filter(again)
        .map(|candidate| Nightly {
            series: candidate.series.clone(),
            bytes: candidate.bytes,
        })
        .collect();
    simulate(existing, &nightly, policies, now, time_zone, span)
}

/// A backup whose archive is gone, or was found damaged, is none: it must not
/// fill a place that a restorable one would have. Prune leaves it alone.
pub(super) fn candidate(backup: &Ours) -> Option<Candidate> {
    let file = backup.file.as_ref()?;
    let stored = backup.stored.as_ref()?;
    let proof = backup.standing()?.proof()?;
    Some(Candidate {
        id: file.manifest.id.clone(),
        series: backup.series.clone()?,
        created_at: file.manifest.created_at,
        pinned: file.state.pinned,
        verified: proof >= ProofLevel::Verified,
        complete: file.manifest.is_complete(),
        bytes: stored.bytes,
    })
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
    let catalog = vault.catalog()?;
    let plan = plan_prune(
        &catalog,
        scope,
        policies,
        locked_at.unwrap_or(now),
        time_zone,
    );
    let mut run = Run::start_freeing(vault, None, now)?;
    match remove_decided(vault, &catalog, &plan, &mut run, now) {
        Ok((removed, freed_bytes)) => {
            run.complete_removing()?;
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
    now: Timestamp,
) -> Result<(Vec<String>, u64), OperationError> {
    let mut removed = Vec::new();
    let mut freed_bytes = 0;
    for decision in plan.decisions.iter().filter(|decision| !decision.keep) {
        vault.cancel.check()?;
        let of_decision = |backup: &&Ours| {
            backup
                .file
                .as_ref()
                .is_some_and(|file| file.manifest.id == decision.id)
        };
        let mut of_id = catalog.backups.iter().filter(of_decision);
        let (Some(backup), None) = (of_id.next(), of_id.next()) else {
            // Which of two is meant, nobody has decided.
            let id = &decision.id;
            let text = format!("two archives are backup {id}, and none of them is pruned");
            vault.reporter.warn(&text);
            continue;
        };
        if vault.storage.is_held(&backup.archive) {
            let text = format!(
                "{} stays until the next prune: another run proves or restores it",
                backup.archive
            );
            vault.reporter.warn(&text);
            continue;
        }
        run.continued_if_full(now)?;
        run.goes_on_with(&backup.archive)?;
        remove_backup(vault.storage, backup).inspect_err(|_| run.leaves_work())?;
        run.has_removed(&backup.archive, backup.stored_bytes());
        freed_bytes += backup.stored_bytes();
        removed.push(backup.archive.clone());
    }
    Ok((removed, freed_bytes))
}
