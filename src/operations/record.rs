//! One record for each run, in the storage itself: history and audit trail.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use super::error::Recorded;
use super::salt::seal_salt;
use super::{Actor, OperationError, Vault, random_id};
use crate::catalog::storage_id;
use crate::format::keyring::Keyring;
use crate::format::run_record::{INCOMPLETE, RUN_RECORD_VERSION, RunEnd, RunRecord, RunStatus};
use crate::ids::RunId;
use crate::storage::{ErrorKind, Storage, StorageError};
use crate::words::plural;

/// The manifest has more of them.
const WARNINGS_KEPT: usize = 10;

/// A run under way. Ends by [`Run::complete`] or [`Run::fail`]; one that is
/// dropped without either stays RUNNING, and the next run's sweep finishes what
/// it left and marks it.
pub struct Run<'a> {
    vault: &'a Vault<'a>,
    record: RunRecord,
    begun: Instant,
    /// Off where the storage is not ours or cannot be written to.
    recorded: bool,
    /// It left something half-done that it could not undo itself.
    leaves_work: bool,
}

impl<'a> Run<'a> {
    /// Writes the record before the first change, so that a crash leaves a trace.
    pub fn start(
        vault: &'a Vault<'a>,
        backup: Option<&str>,
        now: Timestamp,
    ) -> Result<Self, OperationError> {
        let record = new_record(vault, backup, now)?;
        let run = Self {
            vault,
            record,
            begun: Instant::now(),
            recorded: true,
            leaves_work: false,
        };
        run.write()?;
        Ok(run)
    }

    /// [`Run::start`] with what the run is going to do.
    pub fn start_telling(
        vault: &'a Vault<'a>,
        detail: &str,
        now: Timestamp,
    ) -> Result<Self, OperationError> {
        let run = Self {
            record: RunRecord {
                detail: Some(detail.to_owned()),
                ..new_record(vault, None, now)?
            },
            recorded: true,
            ..Self::unrecorded(vault, now)?
        };
        run.write()?;
        Ok(run)
    }

    /// [`Run::start`] for what makes room: on a full disk it goes on without a
    /// record, and says so.
    pub fn start_freeing(
        vault: &'a Vault<'a>,
        backup: Option<&str>,
        now: Timestamp,
    ) -> Result<Self, OperationError> {
        match Self::start(vault, backup, now) {
            Err(OperationError::Storage(error)) if error.kind == ErrorKind::NoSpace => {
                let text = format!("this run leaves no record: {error}");
                vault.reporter.warn(&text);
                Ok(Self {
                    vault,
                    record: new_record(vault, backup, now)?,
                    begun: Instant::now(),
                    recorded: false,
                    leaves_work: false,
                })
            }
            started => started,
        }
    }

    /// [`Run::start`] for what only reads: there a record that cannot be written
    /// is worth a word and no more.
    pub fn start_reading(
        vault: &'a Vault<'a>,
        backup: Option<&str>,
        now: Timestamp,
    ) -> Result<Self, OperationError> {
        let mut run = Self {
            vault,
            record: new_record(vault, backup, now)?,
            begun: Instant::now(),
            recorded: vault.ours,
            leaves_work: false,
        };
        if let Err(error) = run.write() {
            let text = format!("this run leaves no record: {error}");
            match error.kind {
                // Where nobody may write, that was to be expected.
                ErrorKind::PermissionDenied => vault.reporter.detail(&text),
                _ => vault.reporter.warn(&text),
            }
            run.recorded = false;
        }
        Ok(run)
    }

    /// Tells the record which archive comes next, before it is touched: what a
    /// crash leaves of it can be known by that.
    pub fn goes_on_with(&mut self, archive: &str) -> Result<(), OperationError> {
        self.record.backup = Some(archive.to_owned());
        Ok(self.write()?)
    }

    /// An archive is gone; written with what the record tells next.
    pub fn has_removed(&mut self, archive: &str, bytes: u64) {
        self.record.removed.push(archive.to_owned());
        *self.record.bytes.get_or_insert(0) += bytes;
    }

    /// Where the record has no room for more of them, it ends here, and another one
    /// goes on.
    pub fn continued_if_full(&mut self, now: Timestamp) -> Result<(), OperationError> {
        if !self.record.is_full() {
            return Ok(());
        }
        let next = Self::start_freeing(self.vault, None, now)?;
        std::mem::replace(self, next).complete_removing()
    }

    /// The run ended well, and removed what it says.
    pub fn complete_removing(self) -> Result<(), OperationError> {
        let (bytes, removed) = (self.record.bytes, self.record.removed.len());
        self.complete(
            bytes.unwrap_or(0),
            &format!(
                "{removed} {} pruned",
                plural(removed, "backup is", "backups are")
            ),
        )
    }

    /// Tells the record what the run does and how far it is.
    pub fn tells(&mut self, detail: String) -> Result<(), OperationError> {
        self.record.detail = Some(detail);
        Ok(self.write()?)
    }

    /// The backup that the run made lacks something.
    pub fn is_incomplete(&mut self, lack: &str) {
        self.record.detail = Some(format!("{INCOMPLETE}{lack}"));
    }

    /// What the dump's programs said although they succeeded.
    pub fn warned(&mut self, warnings: Vec<String>) {
        self.record.warnings = warnings;
        self.record.warnings.truncate(WARNINGS_KEPT);
    }

    /// The archive that the record names is done with: what comes next touches
    /// no archive as a whole. Written with what the record tells next.
    pub fn lets_go(&mut self) {
        self.record.backup = None;
    }

    /// A run whose storage is not kluis' own leaves no record in it.
    pub fn unrecorded(vault: &'a Vault<'a>, now: Timestamp) -> Result<Self, OperationError> {
        Ok(Self {
            vault,
            record: new_record(vault, None, now)?,
            begun: Instant::now(),
            recorded: false,
            leaves_work: false,
        })
    }

    /// The run must fail, and leaves the archive that its record names half
    /// removed. Its record then stays RUNNING, so that the next sweep finishes.
    pub fn leaves_work(&mut self) {
        self.leaves_work = true;
    }

    pub fn has_left_work(&self) -> bool {
        self.leaves_work
    }

    /// The run ended well and did `what`; `bytes` as the command counts them.
    pub fn complete(mut self, bytes: u64, what: &str) -> Result<(), OperationError> {
        self.record.bytes = Some(bytes);
        self.end(RunEnd::Completed)
            .map_err(|source| OperationError::Unrecorded {
                what: what.to_owned(),
                source,
            })
    }

    /// The run failed. A record that cannot be written is a warning: the run's
    /// own error is what the operator must see.
    pub fn fail(self, error: &OperationError) {
        self.fail_with(error.recorded(false));
    }

    /// The same, of an archive that no key of ours vouches for.
    pub fn fail_of_foreign(self, error: &OperationError) {
        self.fail_with(error.recorded(true));
    }

    fn fail_with(mut self, error: Recorded) {
        let error = error.into_text();
        let reporter = self.vault.reporter;
        let written = if self.leaves_work {
            // The sweep that clears up behind it keeps when it ended.
            self.record = self.ended(RunEnd::Failed { error });
            self.record.status = RunStatus::Running;
            self.write()
        } else {
            self.end(RunEnd::Failed { error })
        };
        if let Err(error) = written {
            reporter.warn(&format!("the run's record could not be written: {error}"));
        }
    }

    /// Ends a run that only read: with its bytes, or why it failed. There a record
    /// that cannot be written is a warning.
    pub(super) fn end_reading(mut self, result: Result<u64, Recorded>) {
        let reporter = self.vault.reporter;
        let end = match result {
            Ok(bytes) => {
                self.record.bytes = Some(bytes);
                RunEnd::Completed
            }
            Err(error) => RunEnd::Failed {
                error: error.into_text(),
            },
        };
        if let Err(error) = self.end(end) {
            reporter.warn(&format!("the run's record could not be written: {error}"));
        }
    }

    fn end(mut self, end: RunEnd) -> Result<(), StorageError> {
        self.record = self.ended(end);
        self.write()
    }

    /// The record as it ends now.
    fn ended(&self, end: RunEnd) -> RunRecord {
        let took = SignedDuration::try_from(self.begun.elapsed()).unwrap_or(SignedDuration::MAX);
        let now = self
            .record
            .started
            .checked_add(took)
            .unwrap_or(Timestamp::MAX);
        self.record.clone().ended(now, end)
    }

    fn write(&self) -> Result<(), StorageError> {
        if !self.recorded {
            return Ok(());
        }
        let vault = self.vault;
        let record = self.record.clone();
        // So that who reads it, a sweep behind a run that died for one, knows it
        // for ours.
        let record = record.sealed(&vault.ring, vault.seal_salt().as_ref());
        vault.storage.replace(&record.key(), &record.to_bytes())
    }
}

/// Leaves the record of a run that failed before it came to any work: a night on
/// which the server did not answer is not a night on which nothing was tried. So
/// does what went wrong beside a run: `about` is the archive that it was about.
pub fn record_failure(
    storage: &dyn Storage,
    ring: Option<&Keyring>,
    actor: &Actor,
    about: Option<&str>,
    started: Timestamp,
    error: &str,
) -> Result<(), OperationError> {
    let record = record_of(storage, actor, about, started)?;
    let end = RunEnd::Failed {
        error: error.to_owned(),
    };
    write_sealed(storage, ring, record.ended(Timestamp::now(), end))
}

/// Writes a record, sealed where the keys could be had.
pub(super) fn write_sealed(
    storage: &dyn Storage,
    ring: Option<&Keyring>,
    record: RunRecord,
) -> Result<(), OperationError> {
    let record = match ring {
        // Whatever is wrong with the salt is told where an archive is made.
        Some(ring) => record.sealed(ring, seal_salt(storage, ring, |_| {}).as_ref()),
        None => record.clipped(),
    };
    Ok(storage.replace(&record.key(), &record.to_bytes())?)
}

fn new_record(
    vault: &Vault<'_>,
    backup: Option<&str>,
    now: Timestamp,
) -> Result<RunRecord, OperationError> {
    record_of(vault.storage, &vault.actor, backup, now)
}

pub(super) fn record_of(
    storage: &dyn Storage,
    actor: &Actor,
    backup: Option<&str>,
    now: Timestamp,
) -> Result<RunRecord, OperationError> {
    Ok(RunRecord {
        version: RUN_RECORD_VERSION,
        id: RunId::from_random(random_id()?),
        command: actor.command.clone(),
        trigger: actor.trigger,
        schedule: actor.schedule.clone(),
        status: RunStatus::Running,
        backup: backup.map(str::to_owned),
        bytes: None,
        removed: Vec::new(),
        detail: None,
        warnings: Vec::new(),
        error: None,
        started: now,
        completed: None,
        duration_ms: None,
        user: actor.user.clone(),
        sudo_user: actor.sudo_user.clone(),
        host: actor.host.clone(),
        label: Some(actor.label.clone()),
        storage: storage_id(storage)?,
        process: actor.process.clone(),
        seal: None,
    })
}
