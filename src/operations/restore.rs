//! Gives a backup back. A database: the copy is filled, read back, compared with the
//! dump, what it replaces is backed up, and only then it is put in its place. A tree:
//! staged, compared with its manifest, then shown.
//!
//! So an archive is read once: the copy is thrown away unless everything was right. It
//! is read before that, to its end, where the database is filled as it stands, and where
//! no key of ours vouches for what the server is going to run.

use std::io::BufRead;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::compare::Comparison;
use super::read::{
    ReadReport, Seen, read_backup, read_first, read_first_unless_vouched, read_known,
};
use super::remove::still_there;
use super::verify::{compare, remember_damage};
use super::{Held, OperationError, Run, Vault};
use crate::catalog::Backup;
use crate::ledger::Columns;
use crate::lock::LockKind;
use crate::reached::{Failed, Goal, Reached, ended_before, ended_within};
use crate::target::{Received, Target, TargetError};

#[derive(Debug)]
pub struct RestoreDone {
    pub received: Received,
    pub report: ReadReport,
    /// The restored database beside its dump; trees have none.
    pub comparison: Option<Comparison>,
    pub took: Duration,
}

/// Reads a restored database back, to be compared with a dump of these columns; hears of
/// each piece's bytes.
pub type ReadBack<'a> =
    Box<dyn FnOnce(&Columns, &dyn Fn(u64)) -> Result<Received, TargetError> + 'a>;

/// Names the file that it made.
pub type BeforeChange<'a> = Box<dyn FnOnce() -> Result<Option<String>, OperationError> + 'a>;

/// Why a restore failed, and what stands at its destination now.
pub type NotRestored = Box<Failed<OperationError>>;

/// What belongs to one restore, in the order in which it is done.
pub struct RestoreSteps<'a> {
    pub goal: Goal,
    /// Reads the archive to its end before anything changes, where that must be. `None`:
    /// it is only read, and nothing of it is run.
    pub check: Option<Box<dyn Target>>,
    /// Right before the first change that can be seen, and without the storage's lock: a
    /// backup of what is replaced, whose file it names.
    pub before_change: BeforeChange<'a>,
    pub start: Start<'a>,
    /// For a target that shows what it received only after its commit.
    pub read_back: Option<ReadBack<'a>>,
    /// What was restored is taken also where it differs from the dump.
    pub accept_differences: bool,
}

impl<'a> RestoreSteps<'a> {
    /// For a target whose own staging is all that it takes.
    pub fn staged(
        goal: Goal,
        start: impl FnOnce() -> Result<Box<dyn Target>, OperationError> + 'a,
    ) -> Self {
        Self {
            goal,
            check: None,
            before_change: Box::new(|| Ok(None)),
            start: Box::new(start),
            read_back: None,
            accept_differences: false,
        }
    }
}

/// What has happened so far, whatever comes of it.
#[derive(Default)]
pub(super) struct Course {
    pub reached: Reached,
    pub backed_up: Option<String>,
    pub kept_old: Option<String>,
    pub left: Vec<String>,
}

/// Restores `backup` as `steps` say.
pub fn restore(
    vault: &Vault<'_>,
    backup: &Backup,
    now: Timestamp,
    steps: RestoreSteps<'_>,
) -> Result<RestoreDone, NotRestored> {
    let begun = Instant::now();
    let goal = steps.goal.clone();
    let mut course = Course::default();
    let mut run = None;
    let result = in_order(vault, backup, now, steps, (&mut run, &mut course))
        .map_err(|error| vault.stopped_or(error))
        .inspect_err(|error| remember_damage(vault, backup, error, now))
        .map_err(|error| failed(goal, course, error));
    vault.cancel.if_ended_at_once(None);
    let read = result.as_ref().map(|done| done.report.unsealed.raw_bytes);
    record_end(run, backup, read);
    Ok(RestoreDone {
        took: begun.elapsed(),
        ..result?
    })
}

/// Writes down what a restore came to, and what stands at its destination where it
/// failed. `read`: the bytes of the content.
pub(super) fn record_end(run: Option<Run<'_>>, backup: &Backup, read: Result<u64, &NotRestored>) {
    if let Some(run) = run {
        run.end_reading(read.map_err(|failed| {
            let why = failed.error.recorded(backup.is_foreign);
            why.behind(failed)
        }));
    }
}

pub(super) fn failed(goal: Goal, course: Course, error: OperationError) -> NotRestored {
    Box::new(Failed {
        differs: matches!(error, OperationError::NotAsDumped { .. }),
        reached: course.reached,
        goal,
        backed_up: course.backed_up,
        kept_old: course.kept_old,
        left: course.left,
        error,
    })
}

fn in_order<'a>(
    vault: &'a Vault<'a>,
    backup: &Backup,
    now: Timestamp,
    steps: RestoreSteps<'_>,
    (run, course): (&mut Option<Run<'a>>, &mut Course),
) -> Result<RestoreDone, OperationError> {
    let lock = vault.lock(LockKind::Shared, now)?;
    still_there(vault.storage, backup)?;
    // A backup on the way takes this record for that of a run that died, until
    // the end is written over it.
    *run = Some(Run::start_reading(vault, Some(&backup.archive), now)?);
    let in_place = steps.goal.in_place;
    let seen = match steps.check {
        Some(check) => Some(checked(vault, backup, check, in_place)?),
        None => None,
    };
    let (lock, before_swap) = match in_place {
        // Its filling is the change.
        true => {
            drop(lock);
            course.backed_up = (steps.before_change)()?;
            (vault.lock(LockKind::Shared, now)?, None)
        }
        false => (lock, Some(steps.before_change)),
    };
    still_there(vault.storage, backup)?;
    let changing = Changing {
        vault,
        backup,
        to: &steps.goal.shown,
        accept_differences: steps.accept_differences,
    };
    let held = Held::archive(vault, backup, lock)?;
    let ways = (steps.start, before_swap, steps.read_back);
    changing.receive_and_commit(seen, held, ways, course)
}

/// The first reading, where there must be one, and what it saw. What it finds wrong is told
/// as `verify` tells it, but for a damaged copy of the header, which a restore can do without.
fn checked(
    vault: &Vault<'_>,
    backup: &Backup,
    mut check: Box<dyn Target>,
    in_place: bool,
) -> Result<Seen, OperationError> {
    let phase = format!("verifying {}", backup.name());
    let consume = |stream: &mut dyn BufRead| Ok(check.receive(stream)?);
    let (received, seen) = match in_place {
        true => {
            let (received, seen) = read_first(vault, backup, &phase, consume)?;
            (Some(received), seen)
        }
        false => read_first_unless_vouched(vault, backup, &phase, consume)?,
    };
    if let (Some(file), Some(received)) = (&backup.file, received) {
        compare(&backup.archive, &file.manifest, &received)?;
    }
    Ok(seen)
}

type Start<'a> = Box<dyn FnOnce() -> Result<Box<dyn Target>, OperationError> + 'a>;

/// To the staging place, to the backup before the swap, to what was committed.
type Ways<'a> = (Start<'a>, Option<BeforeChange<'a>>, Option<ReadBack<'a>>);

/// The part of a restore that changes something.
struct Changing<'a> {
    vault: &'a Vault<'a>,
    backup: &'a Backup,
    /// The destination, for people.
    to: &'a str,
    accept_differences: bool,
}

impl Changing<'_> {
    fn receive_and_commit(
        &self,
        seen: Option<Seen>,
        held: Held,
        (start, before_swap, read_back): Ways<'_>,
        course: &mut Course,
    ) -> Result<RestoreDone, OperationError> {
        let cancel = &self.vault.cancel;
        cancel.if_ended_at_once(Some(ended_before(self.to, None)));
        let mut target = start()?;
        course.reached = Reached::Staged;
        let done = self.fill(seen, target.as_mut()).and_then(|mut done| {
            cancel.check()?;
            // The archive is read; a backup needs the storage for itself.
            drop(held);
            if let Some(before_swap) = before_swap {
                course.backed_up = before_swap()?;
                cancel.check()?;
            }
            cancel.if_ended_at_once(Some(ended_within(self.to)));
            course.kept_old = done.received.kept_old.clone();
            let told = target.commit(&mut course.reached)?;
            done.received.warnings.extend(told);
            Ok(done)
        });
        if done.is_err() {
            course.left = target.abandon();
        }
        let done = done?;
        let Some(read_back) = read_back else {
            return Ok(done);
        };
        let comparison = self
            .comparing(&done)
            .run(|advance| read_back(&done.received.columns(), advance).map(Some))?;
        Ok(RestoreDone { comparison, ..done })
    }

    /// All that comes before anything can be seen.
    fn fill(
        &self,
        seen: Option<Seen>,
        target: &mut dyn Target,
    ) -> Result<RestoreDone, OperationError> {
        let (vault, backup) = (self.vault, self.backup);
        let phase = format!("restoring {}", backup.name());
        let receive = |stream: &mut dyn BufRead| Ok(target.receive(stream)?);
        let (received, report) = match seen {
            Some(seen) => read_known(vault, backup, seen, &phase, receive)?,
            None => read_backup(vault, backup, &phase, receive)?,
        };
        if let Some(file) = &backup.file {
            compare(&backup.archive, &file.manifest, &received)?;
        }
        vault.cancel.check()?;
        let mut done = RestoreDone {
            received,
            report,
            comparison: None,
            took: Duration::ZERO,
        };
        done.comparison = self
            .comparing(&done)
            .run(|advance| target.read_back(advance))?;
        Ok(done)
    }

    fn comparing<'a>(&'a self, done: &'a RestoreDone) -> Comparing<'a> {
        Comparing {
            vault: self.vault,
            backup: self.backup,
            received: &done.received,
            accept_differences: self.accept_differences,
            raw_bytes: done.report.unsealed.raw_bytes,
        }
    }
}

/// A restored database that is to be compared with its dump.
struct Comparing<'a> {
    vault: &'a Vault<'a>,
    backup: &'a Backup,
    received: &'a Received,
    accept_differences: bool,
    /// About what reading it back takes.
    raw_bytes: u64,
}

impl Comparing<'_> {
    /// A difference is the error, or a warning where it is accepted; `None` where there is
    /// nothing to compare.
    fn run(
        &self,
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
        let left_out = self.received.types_left_out;
        let comparison = Comparison::of(&dumped.ledger, manifest, &copy, left_out);
        if comparison.is_same() {
            return Ok(Some(comparison));
        }
        if self.accept_differences {
            let differences = comparison.differences();
            differences.iter().for_each(|text| reporter.warn(text));
            return Ok(Some(comparison));
        }
        Err(OperationError::NotAsDumped {
            archive: self.backup.archive.clone(),
            comparison: Box::new(comparison),
        })
    }
}
