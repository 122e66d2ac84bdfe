//! One record for each run, in the storage itself: history and audit trail.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use super::{OperationError, Vault, random_id};
use crate::format::run_record::{RUN_RECORD_VERSION, RunEnd, RunRecord, RunStatus};
use crate::ids::RunId;
use crate::storage::StorageError;

/// A run under way. Ends by [`Run::complete`] or [`Run::fail`]; one that is
/// dropped without either stays RUNNING, and the next run's sweep marks it.
pub struct Run<'a> {
    vault: &'a Vault<'a>,
    record: RunRecord,
    begun: Instant,
    /// Off where the storage is not ours or cannot be written to.
    recorded: bool,
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
        };
        run.write()?;
        Ok(run)
    }

    /// [`Run::start`] for what only reads: there a record that cannot be written
    /// is worth a word and no more.
    pub fn start_reading(
        vault: &'a Vault<'a>,
        backup: &str,
        now: Timestamp,
    ) -> Result<Self, OperationError> {
        let mut run = Self {
            vault,
            record: new_record(vault, Some(backup), now)?,
            begun: Instant::now(),
            recorded: vault.ours,
        };
        if let Err(error) = run.write() {
            vault
                .reporter
                .detail(&format!("this run leaves no record: {error}"));
            run.recorded = false;
        }
        Ok(run)
    }

    /// The run ended well; `bytes` as the command counts them. What it did is
    /// done: a record that cannot be written is a warning.
    pub fn complete(mut self, bytes: u64) {
        self.record.bytes = Some(bytes);
        self.end(RunEnd::Completed);
    }

    /// The run failed. Its own error is what the operator must see.
    pub fn fail(self, error: &OperationError) {
        self.end(RunEnd::Failed {
            error: error.to_string(),
        });
    }

    /// Ends the run as `result` says.
    pub fn end_with<T>(self, result: &Result<T, OperationError>, bytes: u64) {
        match result {
            Ok(_) => self.complete(bytes),
            Err(error) => self.fail(error),
        }
    }

    fn end(self, end: RunEnd) {
        let took = SignedDuration::try_from(self.begun.elapsed()).unwrap_or(SignedDuration::MAX);
        let now = self.record.started.checked_add(took);
        let ended = Self {
            record: self.record.ended(now.unwrap_or(Timestamp::MAX), end),
            ..self
        };
        if let Err(error) = ended.write() {
            let text = format!("the run's record could not be written: {error}");
            ended.vault.reporter.warn(&text);
        }
    }

    fn write(&self) -> Result<(), StorageError> {
        if !self.recorded {
            return Ok(());
        }
        let bytes = self.record.to_bytes();
        self.vault.storage.replace(&self.record.key(), &bytes)
    }
}

fn new_record(
    vault: &Vault<'_>,
    backup: Option<&str>,
    now: Timestamp,
) -> Result<RunRecord, OperationError> {
    Ok(RunRecord {
        version: RUN_RECORD_VERSION,
        id: RunId::from_random(random_id()?),
        command: vault.actor.command.clone(),
        trigger: vault.actor.trigger,
        status: RunStatus::Running,
        backup: backup.map(str::to_owned),
        bytes: None,
        error: None,
        started: now,
        completed: None,
        duration_ms: None,
        user: vault.actor.user.clone(),
        host: vault.actor.host.clone(),
        process: vault.actor.process.clone(),
    })
}
