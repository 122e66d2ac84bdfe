//! The exit codes, in one table. A command that ends well says which kind of
//! well; an error is classified by the most telling error in its chain.
//!
//! Invariant: scripts rely on these numbers; none is ever given a new meaning.

use std::error::Error as StdError;
use std::io;

use crate::cancel::Cancelled;
use crate::catalog::CatalogError;
use crate::config::ConfigError;
use crate::hooks::HookError;
use crate::lock::LockError;
use crate::operations::{NotRestored, OperationError};
use crate::postgres::{LedgerDumpError, PostgresError};
use crate::render::{PromptError, StdoutClosed, StdoutFailed};
use crate::secrets::SecretError;
use crate::storage::{ErrorKind, StorageError};
use crate::target::TargetError;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done,
    /// Nothing was changed.
    Failed,
    /// Wrong flags or configuration.
    Usage,
    /// Done, but not everything: unreadable source files.
    Incomplete,
    /// Corrupt, wrong key, or the content differs from the manifest.
    Integrity,
    /// `check` found what is not as it should be.
    Unhealthy,
    /// Another run holds the lock.
    Locked,
    /// A Nagios plugin's own: 0 ok, 1 warning, 2 critical, 3 unknown.
    Plugin(u8),
    /// Stopped by the signal of this number.
    Signal(i32),
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Incomplete => 3,
            Self::Integrity => 4,
            Self::Unhealthy => 5,
            Self::Locked => 6,
            Self::Plugin(code) => code,
            // SIGHUP, SIGINT and SIGTERM get here: 129, 130 and 143; a run_limit by
            // SIGALRM: 142.
            Self::Signal(signal) => u8::try_from(128 + signal).unwrap_or(255),
        }
    }
}

/// What an error says about the run, and what the operator can do.
struct Verdict {
    exit: Exit,
    hint: Option<String>,
}

/// The table. The first row that knows one of the chain's errors decides, so
/// the more telling ones stand above: a cancelled run fails in many ways.
const TABLE: &[fn(&(dyn StdError + 'static)) -> Option<Verdict>] = &[
    |error| row(error, |_: &StdoutClosed| (Exit::Done, None)),
    |error| row(error, |_: &StdoutFailed| (Exit::Incomplete, None)),
    |error| row(error, |it: &Cancelled| (Exit::Signal(it.signal), None)),
    |error| {
        row(error, |it: &ConfigError| {
            (Exit::Usage, Some(it.hint().to_owned()))
        })
    },
    |error| row(error, |it: &SecretError| (Exit::Usage, Some(it.hint()))),
    |error| {
        row(error, |_: &HookError| {
            (Exit::Failed, Some(HookError::HINT.to_owned()))
        })
    },
    |error| row(error, |it: &PromptError| (it.exit(), Some(it.hint()))),
    |error| row(error, |it: &LockError| (of_lock(it), None)),
    |error| row(error, |it: &NotRestored| (of_restore(it), it.error.hint())),
    |error| row(error, |it: &OperationError| (of_operation(it), it.hint())),
    |error| {
        row(error, |it: &CatalogError| {
            (of_catalog(it), it.hint().map(str::to_owned))
        })
    },
    |error| row(error, |it: &TargetError| (of_target(it), None)),
    |error| {
        row(error, |it: &PostgresError| {
            (of_postgres(it), it.hint().map(str::to_owned))
        })
    },
    |error| row(error, |it: &StorageError| (of_storage(it), None)),
];

fn row<E: StdError + 'static>(
    error: &(dyn StdError + 'static),
    judge: fn(&E) -> (Exit, Option<String>),
) -> Option<Verdict> {
    let (exit, hint) = judge(error.downcast_ref::<E>()?);
    Some(Verdict { exit, hint })
}

fn of_lock(error: &LockError) -> Exit {
    match error {
        LockError::Held { .. } => Exit::Locked,
        LockError::Place { .. } => Exit::Failed,
        LockError::Cancelled(cancelled) => Exit::Signal(cancelled.signal),
    }
}

/// What failed decides, but for a failure behind a change: that is not "nothing was
/// changed".
fn of_restore(failed: &NotRestored) -> Exit {
    match of_operation(&failed.error) {
        Exit::Failed if !failed.reached.is_unchanged() => Exit::Incomplete,
        exit => exit,
    }
}

/// Rows above have taken what has a row of its own.
fn of_operation(error: &OperationError) -> Exit {
    match error {
        OperationError::Usage { .. } => Exit::Usage,
        // Transparent errors hide themselves from the chain.
        OperationError::Cancelled(cancelled) => Exit::Signal(cancelled.signal),
        OperationError::Lock(error) => of_lock(error),
        OperationError::Held { .. } => Exit::Locked,
        OperationError::Unrecorded { .. } | OperationError::Hollow { .. } => Exit::Incomplete,
        OperationError::Catalog(error) => of_catalog(error),
        OperationError::Target(error) => of_target(error),
        OperationError::Postgres(error) => of_postgres(error),
        error if error.is_integrity() => Exit::Integrity,
        _ => Exit::Failed,
    }
}

fn of_catalog(error: &CatalogError) -> Exit {
    match error {
        CatalogError::NotFound { .. }
        | CatalogError::Empty { .. }
        | CatalogError::NoManifest { .. }
        | CatalogError::OnlyForeign { .. }
        | CatalogError::TooShort { .. }
        | CatalogError::Ambiguous { .. }
        | CatalogError::SeveralSeries { .. }
        | CatalogError::OnlyAhead { .. } => Exit::Usage,
        CatalogError::Unreadable { .. }
        | CatalogError::OtherKey { .. }
        | CatalogError::NotTried { .. }
        | CatalogError::Damaged { .. } => Exit::Integrity,
        CatalogError::Storage(_) => Exit::Failed,
    }
}

/// The path is one that the operator has to name otherwise.
fn of_storage(error: &StorageError) -> Exit {
    match error.kind {
        ErrorKind::Led => Exit::Usage,
        _ => Exit::Failed,
    }
}

fn of_target(error: &TargetError) -> Exit {
    match error {
        TargetError::Stream(_)
        | TargetError::Hostile { .. }
        | TargetError::Unreadable(_)
        | TargetError::Dump(_)
        | TargetError::DoesNotRestore(_) => Exit::Integrity,
        TargetError::NothingChosen => Exit::Usage,
        TargetError::Place { .. } | TargetError::Displaced { .. } | TargetError::Scratch(_) => {
            Exit::Failed
        }
        TargetError::Postgres(error) => of_postgres(error),
        TargetError::Redump(LedgerDumpError::Postgres(error)) => of_postgres(error),
        TargetError::Redump(LedgerDumpError::Dump { .. }) => Exit::Integrity,
        TargetError::Cancelled(cancelled)
        | TargetError::Redump(LedgerDumpError::Cancelled(cancelled)) => {
            Exit::Signal(cancelled.signal)
        }
    }
}

fn of_postgres(error: &PostgresError) -> Exit {
    match error {
        // The new database is in place: that is not "nothing was changed".
        PostgresError::OldDatabaseKept { .. } => Exit::Incomplete,
        PostgresError::NotAsSaid { .. } => Exit::Integrity,
        PostgresError::Docker(error) if error.is_usage() => Exit::Usage,
        PostgresError::NoWay { docker, .. } => of_postgres(docker),
        _ => Exit::Failed,
    }
}

/// How a run that ended with this error ended.
pub fn exit_of(error: &anyhow::Error) -> Exit {
    verdict(error).map_or(Exit::Failed, |verdict| verdict.exit)
}

/// The process's exit code for this error.
pub fn code_of(error: &anyhow::Error) -> u8 {
    exit_of(error).code()
}

/// A stop makes a run fail in many ways, by children that are ended for one: the
/// stop is what is told first.
pub fn stopped(error: anyhow::Error, stop: Cancelled) -> anyhow::Error {
    match error.root_cause().to_string() == stop.to_string() {
        true => error,
        false => error.context(stop),
    }
}

/// What the operator can do about this error, where the error knows.
pub fn hint_of(error: &anyhow::Error) -> Option<String> {
    verdict(error)?.hint
}

fn verdict(error: &anyhow::Error) -> Option<Verdict> {
    let chain = chain_of(error.as_ref());
    TABLE
        .iter()
        .find_map(|row| chain.iter().find_map(|error| row(*error)))
}

/// The error and everything below it. An `io::Error` hides the error it wraps
/// from `source()`, and that is how they come through `Read` and `Write`.
fn chain_of<'a>(error: &'a (dyn StdError + 'static)) -> Vec<&'a (dyn StdError + 'static)> {
    let mut chain = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        chain.push(error);
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        next = match wrapped {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    chain
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;
    use crate::cancel::Cancel;

    fn cancelled_io() -> io::Error {
        let cancel = Cancel::default();
        cancel.request(15);
        cancel.check_io().expect_err("cancelled")
    }

    #[test]
    fn the_codes_are_those_of_the_contract() {
        let codes = [
            Exit::Done,
            Exit::Failed,
            Exit::Usage,
            Exit::Incomplete,
            Exit::Integrity,
            Exit::Locked,
            Exit::Signal(2),
            Exit::Signal(15),
        ]
        .map(Exit::code);
        assert_eq!(codes, [0, 1, 2, 3, 4, 6, 130, 143]);
    }

    #[test]
    fn a_signal_is_found_inside_an_io_error_inside_a_target_error() {
        let error = anyhow::Error::new(TargetError::Stream(cancelled_io())).context("restoring");
        assert_eq!(exit_of(&error), Exit::Signal(15));
        let twice = io::Error::other(io::Error::other(cancelled_io()));
        assert_eq!(code_of(&anyhow::Error::new(twice)), 143);
    }

    #[test]
    fn a_broken_archive_is_an_integrity_failure_and_a_full_disk_is_not() {
        let broken = TargetError::Stream(io::Error::other("digest differs"));
        assert_eq!(exit_of(&anyhow::Error::new(broken)), Exit::Integrity);
        let full = TargetError::Place {
            action: "write",
            place: "/x".to_owned(),
            source: io::Error::from(io::ErrorKind::StorageFull),
        };
        assert_eq!(exit_of(&anyhow::Error::new(full)), Exit::Failed);
    }

    #[test]
    fn a_configuration_error_is_usage_and_brings_its_hint() {
        let error: anyhow::Error = ConfigError::NotUtf8 {
            name: "BACKUP_LOCAL_PATH",
        }
        .into();
        let error = Err::<(), _>(error).context("starting").expect_err("error");
        assert_eq!(exit_of(&error), Exit::Usage);
        assert!(hint_of(&error).is_some_and(|hint| hint.contains("unset")));
    }

    #[test]
    fn a_replaced_database_that_stays_behind_is_incomplete_and_not_unchanged() {
        let source = Box::new(PostgresError::InvalidName {
            name: "x".to_owned(),
            what: "odd",
        });
        let kept = PostgresError::OldDatabaseKept {
            name: "old".to_owned(),
            source,
        };
        let error = OperationError::Target(TargetError::Postgres(kept));
        assert_eq!(exit_of(&anyhow::Error::new(error)), Exit::Incomplete);
    }

    #[test]
    fn an_unknown_error_is_a_failure_without_a_hint() {
        let error = anyhow::anyhow!("odd");
        assert_eq!(code_of(&error), 1);
        assert_eq!(hint_of(&error), None);
    }

    #[test]
    fn a_closed_stdout_is_quiet_but_a_childs_broken_pipe_is_a_failure() {
        let ours = io::Error::new(io::ErrorKind::BrokenPipe, StdoutClosed);
        assert_eq!(exit_of(&anyhow::Error::new(ours)), Exit::Done);
        let childs = io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(exit_of(&anyhow::Error::new(childs)), Exit::Failed);
    }
}
