//! Changes which keys open archives: by their slots, which costs 8 KiB an
//! archive, or by writing them anew under another data key.
//!
//! One archive that cannot be changed does not stop the others. Nothing here
//! keeps a list of what is done: each archive tells it itself, so a run that
//! died is taken up by the next one.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;

mod anew;
mod described;
mod keys;
mod reseal;
mod rewrite;
mod slots;
mod superseded;
mod targets;
mod vouched;

use super::backup::Names;
use super::read::{integrity, read_head};
use super::verify::remember_damage;
use super::{MakeCheck, OperationError, Run, Vault, sweep};
use crate::catalog::{Catalog, Superseded, Unproven};
use crate::format::header::{self, HeaderError};
use crate::ids::BackupId;
use crate::lock::LockKind;
use anew::Reencrypting;
use keys::{check_rotation, legacy_id, salt, told, wants_old_key, writers};
use reseal::reseal;
pub use rewrite::REWRITTEN_BYTES;
use rewrite::{refused, rewrite};
use slots::{Changing, Refusal, Verdict, names, not_opened};
pub use slots::{DroppedKey, KeyChange};
pub(super) use superseded::finish_superseded;
use targets::Target;
use vouched::Vouched;

/// The run's record is written again after so many archives: the journal must
/// not outweigh what it tells of.
const RECORD_EVERY: usize = 64;

/// Which archives, and how.
pub struct KeyPlan {
    /// As an operator names them; empty means all of the storage.
    pub backups: Vec<String>,
    /// So many keys of the ring, its first, are configured; those behind them
    /// came with the command.
    pub configured: usize,
    /// Also what anybody may have made: the operator knows where it is from.
    pub accepts_unsealed: bool,
    /// Looks and decides, writes nothing.
    pub dry_run: bool,
}

#[derive(Debug)]
pub enum KeyOutcome {
    /// Changed, or to be changed by a dry run. What else is worth knowing.
    Changed(Option<String>),
    /// Its form has no slots; its manifest is sealed by the new key now.
    Resealed,
    /// There was nothing to do.
    Already,
    /// The key opens it not; what does.
    OtherKey(String),
    /// Its form has no slots: "kanbu" or "not encrypted".
    NotKluis1(&'static str),
    /// It was to get a key that vouches for it, and may be anybody's.
    Unproven(Unproven),
    Failed(OperationError),
}

#[derive(Debug)]
pub struct KeyRow {
    pub archive: String,
    pub id: Option<BackupId>,
    pub outcome: KeyOutcome,
}

#[derive(Debug)]
pub struct KeysChanged {
    /// In the catalogue's order.
    pub rows: Vec<KeyRow>,
    /// Written into archives.
    pub written_bytes: u64,
    pub took: Duration,
}

/// Changes the slots of archives.
pub fn change_keys(
    vault: &Vault<'_>,
    change: &KeyChange,
    plan: &KeyPlan,
    now: Timestamp,
) -> Result<KeysChanged, OperationError> {
    if let KeyChange::Rotate { from } = change {
        check_rotation(vault, Some(*from))?;
    }
    with_targets(vault, plan, now, &told(vault, change), |work| {
        let changing = Changing {
            change,
            ring: &vault.ring,
            configured: plan.configured,
            salt: salt(vault)?,
        };
        let bytes = REWRITTEN_BYTES * work.targets.len() as u64;
        vault.reporter.phase("changing keys", Some(bytes));
        let rows = work.each(|target, _| {
            let outcome = change_slots(vault, &changing, target, plan)?;
            vault.reporter.advance(REWRITTEN_BYTES);
            let changed = matches!(outcome, KeyOutcome::Changed(_));
            Ok((outcome, if changed { REWRITTEN_BYTES } else { 0 }))
        });
        vault.reporter.phase_done();
        rows
    })
}

/// Writes archives anew under new data keys: those that the ring's key of place
/// `from` opens; without one those that were named, or all legacy ones.
pub fn reencrypt(
    vault: &Vault<'_>,
    from: Option<usize>,
    plan: &KeyPlan,
    now: Timestamp,
    make_check: MakeCheck<'_>,
) -> Result<KeysChanged, OperationError> {
    check_rotation(vault, from)?;
    if !vault.ours {
        return Err(OperationError::Usage {
            what: format!(
                "{} is no storage of kluis: only there is an archive written anew",
                vault.storage.location()
            ),
        });
    }
    let what = format!("writing archives anew for {}", writers(vault));
    with_targets(vault, plan, now, &what, |work| {
        let mut anew = Reencrypting {
            vault,
            from,
            from_legacy: from.and_then(|from| legacy_id(vault, from)),
            salt: salt(vault)?,
            make_check,
            now,
            all: plan.backups.is_empty(),
            accepts_unsealed: plan.accepts_unsealed,
            taken: Names::of(vault.storage)?.taken,
        };
        if let Some(run) = &mut work.run {
            let catalog = &work.catalog;
            finish_superseded(vault, catalog, |archive| run.goes_on_with(archive))?;
        }
        // Another archive stands for those: they would be there once more.
        let superseded = work.catalog.superseded.iter().map(Superseded::backup);
        let repeated = work.catalog.repeated.iter().map(|it| &*it.ours);
        let aside: HashSet<&str> = superseded
            .chain(repeated)
            .map(|it| it.archive.as_str())
            .collect();
        work.targets
            .retain(|target| !aside.contains(target.archive.as_str()));
        work.each(|target, run| {
            let is_dry_run = run.is_none();
            let result = match anew.one(target, run) {
                Ok((KeyOutcome::NotKluis1(_), _)) if from.is_some() => {
                    reseal(vault, target, &anew.salt, plan).map(|outcome| (outcome, 0))
                }
                result => result,
            };
            result.inspect_err(|error| {
                if !is_dry_run {
                    remember_damage(vault, &target.backup(), error, now);
                }
            })
        })
    })
}

/// A storage under the lock, and what of it is to be changed.
struct Work<'a> {
    vault: &'a Vault<'a>,
    catalog: Catalog,
    targets: Vec<Target>,
    /// `None` for a dry run.
    run: Option<Run<'a>>,
    /// For the record.
    what: &'a str,
    written_bytes: u64,
}

/// Locks, sweeps, finds the archives, keeps the record.
fn with_targets<'a>(
    vault: &'a Vault<'a>,
    plan: &KeyPlan,
    now: Timestamp,
    what: &'a str,
    act: impl FnOnce(&mut Work<'a>) -> Result<Vec<KeyRow>, OperationError>,
) -> Result<KeysChanged, OperationError> {
    let begun = Instant::now();
    let kind = match plan.dry_run {
        true => LockKind::Shared,
        false => LockKind::Exclusive,
    };
    let _lock = vault.lock(kind, now)?;
    if !plan.dry_run && vault.ours {
        sweep(vault, now)?;
    }
    let catalog = vault.catalog()?;
    let targets = targets::of(vault, &catalog, &plan.backups, now)?;
    let run = match (plan.dry_run, vault.ours) {
        (true, _) => None,
        (false, true) => Some(Run::start_telling(vault, what, now)?),
        (false, false) => Some(Run::unrecorded(vault, now)?),
    };
    let mut work = Work {
        vault,
        catalog,
        targets,
        run,
        what,
        written_bytes: 0,
    };
    let result = act(&mut work).map_err(|error| vault.stopped_or(error));
    let Work {
        run, written_bytes, ..
    } = work;
    let rows = end(run, result, written_bytes)?;
    Ok(KeysChanged {
        rows,
        written_bytes,
        took: begun.elapsed(),
    })
}

/// Writes the record's end. Archives that failed make a failed run, although the
/// others are changed.
fn end(
    run: Option<Run<'_>>,
    result: Result<Vec<KeyRow>, OperationError>,
    written_bytes: u64,
) -> Result<Vec<KeyRow>, OperationError> {
    let Some(mut run) = run else {
        return result;
    };
    match result {
        Err(error) => {
            run.fail(&error);
            Err(error)
        }
        Ok(rows) => {
            run.lets_go();
            let failed = |row: &&KeyRow| matches!(row.outcome, KeyOutcome::Failed(_));
            match rows.iter().filter(failed).count() {
                0 => run.complete(written_bytes, "the keys are changed")?,
                failed => run.fail(&OperationError::Refused {
                    what: format!("{failed} of {} archives failed", rows.len()),
                }),
            }
            Ok(rows)
        }
    }
}

impl Work<'_> {
    /// Each archive in turn. Its own failure is a row; only a stop, or something
    /// that the next sweep must find named in the record, ends the run.
    fn each(
        &mut self,
        mut act: impl FnMut(&Target, Option<&mut Run<'_>>) -> Result<(KeyOutcome, u64), OperationError>,
    ) -> Result<Vec<KeyRow>, OperationError> {
        let mut rows = Vec::with_capacity(self.targets.len());
        for (done, target) in self.targets.iter().enumerate() {
            self.vault.cancel.check()?;
            if let Some(run) = &mut self.run
                && done > 0
                && done % RECORD_EVERY == 0
            {
                let total = self.targets.len();
                run.tells(format!("{}; {done} of {total} looked at", self.what))?;
            }
            let outcome = match act(target, self.run.as_mut()) {
                Ok((outcome, bytes)) => {
                    self.written_bytes += bytes;
                    outcome
                }
                Err(error) => {
                    self.vault.cancel.check()?;
                    if self.run.as_ref().is_some_and(Run::has_left_work) {
                        return Err(error);
                    }
                    KeyOutcome::Failed(error)
                }
            };
            rows.push(KeyRow {
                archive: target.archive.clone(),
                id: target.id(),
                outcome,
            });
        }
        Ok(rows)
    }
}

/// Everything that lies in the storage.
fn change_slots(
    vault: &Vault<'_>,
    changing: &Changing<'_>,
    target: &Target,
    plan: &KeyPlan,
) -> Result<KeyOutcome, OperationError> {
    let archive = &target.archive;
    let head = read_head(vault.storage, archive)?;
    if !header::has_magic(&head) {
        return match wants_old_key(vault, changing.change, target) {
            Some(error) => Err(error),
            None if changing.is_rotation() => reseal(vault, target, &changing.salt, plan),
            None => without_slots(target, plan),
        };
    }
    let opened = match header::open(&head, &vault.ring) {
        Ok(opened) => opened,
        Err(HeaderError::NoKey { wants }) if changing.is_rotation() => {
            return Ok(not_opened(&vault.ring, &head, wants));
        }
        Err(source) => {
            return Err(OperationError::Header {
                archive: archive.clone(),
                source,
            });
        }
    };
    let seen = (&head[..], &opened);
    let vouched = Vouched::of(&vault.ring, target, seen, plan.accepts_unsealed);
    let slots = match changing.judge(&opened, &vouched) {
        Ok(Verdict::Rewrite(slots)) => slots,
        Ok(Verdict::Already) => return Ok(KeyOutcome::Already),
        Ok(Verdict::OtherKey) => {
            return Ok(KeyOutcome::OtherKey(names(&opened.header).join(" or ")));
        }
        Err(Refusal::Unproven(why)) => return Ok(KeyOutcome::Unproven(why)),
        Err(Refusal::Header(why)) => return Err(refused(archive, &why)),
        Err(Refusal::Because(why)) => {
            let what = format!("{archive}: {why}");
            return Err(OperationError::Refused { what });
        }
    };
    match plan.dry_run {
        true => drop(opened.with_slots(slots).map_err(|e| refused(archive, &e))?),
        false => rewrite(vault, archive, (&head, &opened), slots)?,
    }
    let note =
        |(copy, _)| format!("copy {copy} of its header was damaged or old, and is written anew");
    Ok(KeyOutcome::Changed(opened.damaged_copy.map(note)))
}

/// An archive whose form has no slots is passed over; only who names it is told
/// that nothing can be done there.
fn without_slots(target: &Target, plan: &KeyPlan) -> Result<KeyOutcome, OperationError> {
    let archive = &target.archive;
    let form = target.form_without_slots();
    if target.says_kluis1() {
        return Err(integrity(
            archive,
            "its manifest says KLUIS1, and both copies of its header are lost",
        ));
    }
    match plan.backups.is_empty() {
        true => Ok(KeyOutcome::NotKluis1(form)),
        false => Err(OperationError::Refused {
            what: format!(
                "{archive}: it is {form} and has no key slots; `kluis key rotate --reencrypt` \
                 writes it anew as KLUIS1"
            ),
        }),
    }
}
