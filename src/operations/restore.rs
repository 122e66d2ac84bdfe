//! Gives a backup back: into a staging place, compared with the manifest there,
//! and only then made visible.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::read::{ReadReport, read_backup};
use super::verify::compare;
use super::{OperationError, Run, Vault};
use crate::catalog::Backup;
use crate::lock::LockKind;
use crate::target::{Received, Target};

#[derive(Debug)]
pub struct RestoreDone {
    pub received: Received,
    pub report: ReadReport,
    pub took: Duration,
}

/// Restores `backup` into the target that `start` opens once the lock is held.
pub fn restore(
    vault: &Vault<'_>,
    backup: &Backup,
    now: Timestamp,
    start: impl FnOnce() -> Result<Box<dyn Target>, OperationError>,
) -> Result<RestoreDone, OperationError> {
    let begun = Instant::now();
    let _lock = vault.lock(LockKind::Shared, now)?;
    let run = Run::start_reading(vault, &backup.archive, now)?;
    let result = receive_and_commit(vault, backup, start);
    let bytes = result
        .as_ref()
        .map_or(0, |(_, report)| report.unsealed.raw_bytes);
    run.end_reading(&result, bytes);
    let (received, report) = result?;
    Ok(RestoreDone {
        received,
        report,
        took: begun.elapsed(),
    })
}

fn receive_and_commit(
    vault: &Vault<'_>,
    backup: &Backup,
    start: impl FnOnce() -> Result<Box<dyn Target>, OperationError>,
) -> Result<(Received, ReadReport), OperationError> {
    let mut target = start()?;
    let phase = format!("restoring {}", backup.name());
    let (received, report) =
        read_backup(vault, backup, &phase, |stream| Ok(target.receive(stream)?))
            .map_err(|error| vault.stopped_or(error))?;
    if let Some(file) = &backup.file {
        compare(&backup.archive, &file.manifest, &received)?;
    }
    vault.cancel.check()?;
    target.commit()?;
    Ok((received, report))
}
