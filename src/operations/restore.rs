//! Gives a backup back. A database: the archive is read whole before the first
//! change, what is replaced is backed up, the copy is filled, read back, compared
//! with the dump, and only then put in its place. A tree: staged, compared with
//! its manifest, then shown.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::compare::Comparison;
use super::read::{ReadReport, read_backup};
use super::remove::still_there;
use super::verify::{compare, remember_damage};
use super::{OperationError, Run, Vault};
use crate::catalog::Backup;
use crate::lock::LockKind;
use crate::target::{Received, Target, TargetError};

#[derive(Debug)]
pub struct RestoreDone {
    pub received: Received,
    pub report: ReadReport,
    /// The restored database beside its dump; trees have none.
    pub comparison: Option<Comparison>,
    pub took: Duration,
}

/// Reads a restored database back; hears of each piece's bytes.
pub type ReadBack<'a> = Box<dyn FnOnce(&dyn Fn(u64)) -> Result<Received, TargetError> + 'a>;

/// What belongs to one restore, in the order in which it is done.
pub struct RestoreSteps<'a> {
    /// Reads the archive to its end before anything changes. `None`: the target's
    /// own reading changes nothing that can be seen.
    pub check: Option<Box<dyn Target>>,
    /// Then, without the storage's lock: a backup of what is replaced.
    pub before_change: Box<dyn FnOnce() -> Result<(), OperationError> + 'a>,
    pub start: Box<dyn FnOnce() -> Result<Box<dyn Target>, OperationError> + 'a>,
    /// For a target that shows what it received only after its commit.
    pub read_back: Option<ReadBack<'a>>,
}

impl<'a> RestoreSteps<'a> {
    /// For a target whose own staging is all that it takes.
    pub fn staged(start: impl FnOnce() -> Result<Box<dyn Target>, OperationError> + 'a) -> Self {
        Self {
            check: None,
            before_change: Box::new(|| Ok(())),
            start: Box::new(start),
            read_back: None,
        }
    }
}

/// Restores `backup` as `steps` say.
pub fn restore(
    vault: &Vault<'_>,
    backup: &Backup,
    now: Timestamp,
    steps: RestoreSteps<'_>,
) -> Result<RestoreDone, OperationError> {
    let begun = Instant::now();
    let lock = vault.lock(LockKind::Shared, now)?;
    still_there(vault.storage, backup)?;
    // A backup on the way takes this record for that of a run that died, until
    // the end is written over it.
    let run = Run::start_reading(vault, Some(&backup.archive), now)?;
    let result = checked(vault, backup, steps.check)
        .and_then(|()| {
            drop(lock);
            (steps.before_change)()
        })
        .and_then(|()| {
            let _lock = vault.lock(LockKind::Shared, now)?;
            still_there(vault.storage, backup)?;
            receive_and_commit(vault, backup, steps.start, steps.read_back)
        })
        .map_err(|error| vault.stopped_or(error))
        .inspect_err(|error| remember_damage(vault, backup, error, now));
    let raw_bytes = |done: &RestoreDone| done.report.unsealed.raw_bytes;
    run.end_reading(&result, result.as_ref().map_or(0, raw_bytes));
    Ok(RestoreDone {
        took: begun.elapsed(),
        ..result?
    })
}

/// The first reading. What it finds wrong is told as `verify` tells it, but for a
/// damaged copy of the header, which a restore can do without.
fn checked(
    vault: &Vault<'_>,
    backup: &Backup,
    check: Option<Box<dyn Target>>,
) -> Result<(), OperationError> {
    let Some(mut check) = check else {
        return Ok(());
    };
    let phase = format!("verifying {}", backup.name());
    let (received, _) = read_backup(vault, backup, &phase, |stream| Ok(check.receive(stream)?))?;
    match &backup.file {
        Some(file) => compare(&backup.archive, &file.manifest, &received),
        None => Ok(()),
    }
}

fn receive_and_commit(
    vault: &Vault<'_>,
    backup: &Backup,
    start: Box<dyn FnOnce() -> Result<Box<dyn Target>, OperationError> + '_>,
    read_back: Option<ReadBack<'_>>,
) -> Result<RestoreDone, OperationError> {
    let mut target = start()?;
    let phase = format!("restoring {}", backup.name());
    let (received, report) =
        read_backup(vault, backup, &phase, |stream| Ok(target.receive(stream)?))?;
    if let Some(file) = &backup.file {
        compare(&backup.archive, &file.manifest, &received)?;
    }
    let comparing = Comparing {
        vault,
        backup,
        received: &received,
        raw_bytes: report.unsealed.raw_bytes,
    };
    vault.cancel.check()?;
    let mut compared = comparing.run(false, |advance| target.read_back(advance))?;
    vault.cancel.check()?;
    target.commit()?;
    if let Some(read_back) = read_back {
        compared = comparing.run(true, |advance| read_back(advance).map(Some))?;
    }
    Ok(RestoreDone {
        received,
        report,
        comparison: compared,
        took: Duration::ZERO,
    })
}

/// A restored database that is to be compared with its dump.
struct Comparing<'a> {
    vault: &'a Vault<'a>,
    backup: &'a Backup,
    received: &'a Received,
    /// About what reading it back takes.
    raw_bytes: u64,
}

impl Comparing<'_> {
    /// A difference is the error; `None` where there is nothing to compare.
    fn run(
        &self,
        committed: bool,
        read_back: impl FnOnce(&dyn Fn(u64)) -> Result<Option<Received>, TargetError>,
    ) -> Result<Option<Comparison>, OperationError> {
        let Some(dumped) = &self.received.database else {
            return Ok(None);
        };
        let reporter = self.vault.reporter;
        let phase = format!("comparing {}", self.backup.name());
        reporter.phase(&phase, Some(self.raw_bytes));
        let copy = read_back(&|bytes| reporter.advance(bytes));
        reporter.phase_done();
        let Some(copy) = copy?.and_then(|copy| copy.database) else {
            return Ok(None);
        };
        let file = self.backup.file.as_ref();
        let manifest = file.and_then(|file| file.manifest.database.as_ref());
        let comparison = Comparison::of(&dumped.ledger, manifest, &copy);
        if comparison.is_same() {
            return Ok(Some(comparison));
        }
        Err(OperationError::NotAsDumped {
            archive: self.backup.archive.clone(),
            comparison: Box::new(comparison),
            committed,
        })
    }
}
