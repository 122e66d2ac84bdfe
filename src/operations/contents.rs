//! Reads a backup to its end and tells what stands where in it. Changes nothing;
//! what it read is verified like any other reading.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::read::{integrity, read_backup};
use super::verify::compare;
use super::{OperationError, Run, Vault};
use crate::catalog::Backup;
use crate::dump::Contents;
use crate::lock::LockKind;
use crate::target::Target;

#[derive(Debug)]
pub struct ContentsDone {
    pub contents: Contents,
    pub warnings: Vec<String>,
    pub took: Duration,
}

/// Reads `backup` through `check`, a target that keeps the contents.
pub fn contents(
    vault: &Vault<'_>,
    backup: &Backup,
    now: Timestamp,
    check: Box<dyn Target>,
) -> Result<ContentsDone, OperationError> {
    let begun = Instant::now();
    let _lock = vault.lock(LockKind::Shared, now)?;
    let run = Run::start_reading(vault, Some(&backup.archive), now)?;
    let result = read(vault, backup, check).map_err(|error| vault.stopped_or(error));
    let bytes = result.as_ref().map_or(0, |done| done.contents.raw_bytes());
    run.end_reading(result.as_ref().map(|_| bytes).map_err(ToString::to_string));
    result.map(|done| ContentsDone {
        took: begun.elapsed(),
        ..done
    })
}

fn read(
    vault: &Vault<'_>,
    backup: &Backup,
    mut check: Box<dyn Target>,
) -> Result<ContentsDone, OperationError> {
    let phase = format!("reading {}", backup.name());
    let (received, report) =
        read_backup(vault, backup, &phase, |stream| Ok(check.receive(stream)?))?;
    if let Some(file) = &backup.file {
        compare(&backup.archive, &file.manifest, &received)?;
    }
    let no_contents = || integrity(&backup.archive, "its content could not be listed");
    let unused = report.unused_copy.map(|unused| unused.to_string());
    Ok(ContentsDone {
        contents: received.contents.ok_or_else(no_contents)?,
        warnings: received.warnings.into_iter().chain(unused).collect(),
        took: Duration::ZERO,
    })
}
