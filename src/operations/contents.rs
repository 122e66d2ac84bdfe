//! Reads a backup to its end and tells what stands where in it. Changes nothing;
//! what it read is verified like any other reading.

use jiff::Timestamp;

use super::read::{ReadReport, integrity, read_backup};
use super::verify::compare;
use super::{OperationError, Run, Vault};
use crate::catalog::Backup;
use crate::dump::Contents;
use crate::format::tar::Entry;
use crate::lock::LockKind;
use crate::target::{Received, Target};

#[derive(Debug)]
pub struct ContentsDone<T> {
    pub contents: T,
    pub warnings: Vec<String>,
}

/// Reads a dump through `check`, a target that keeps the contents.
pub fn contents(
    vault: &Vault<'_>,
    backup: &Backup,
    now: Timestamp,
    check: Box<dyn Target>,
) -> Result<ContentsDone<Contents>, OperationError> {
    looked_into(vault, backup, now, check, |received| received.contents)
}

/// Reads a tree through `check`, a target that keeps the entries.
pub fn tree_entries(
    vault: &Vault<'_>,
    backup: &Backup,
    now: Timestamp,
    check: Box<dyn Target>,
) -> Result<ContentsDone<Vec<Entry>>, OperationError> {
    looked_into(vault, backup, now, check, |received| received.entries)
}

fn looked_into<T>(
    vault: &Vault<'_>,
    backup: &Backup,
    now: Timestamp,
    check: Box<dyn Target>,
    kept: fn(Received) -> Option<T>,
) -> Result<ContentsDone<T>, OperationError> {
    let _lock = vault.lock(LockKind::Shared, now)?;
    let run = Run::start_reading(vault, Some(&backup.archive), now)?;
    let result = read(vault, backup, check).map_err(|error| vault.stopped_or(error));
    let bytes = result
        .as_ref()
        .map(|(_, report)| report.unsealed.raw_bytes)
        .map_err(|error| error.recorded(backup.is_foreign));
    run.end_reading(bytes);
    let (mut received, report) = result?;
    let unused = report.unused_copy.map(|unused| unused.to_string());
    let warnings = std::mem::take(&mut received.warnings);
    let no_contents = || integrity(&backup.archive, "its content could not be listed");
    Ok(ContentsDone {
        contents: kept(received).ok_or_else(no_contents)?,
        warnings: warnings.into_iter().chain(unused).collect(),
    })
}

fn read(
    vault: &Vault<'_>,
    backup: &Backup,
    mut check: Box<dyn Target>,
) -> Result<(Received, ReadReport), OperationError> {
    let phase = format!("reading {}", backup.name());
    let (received, report) =
        read_backup(vault, backup, &phase, |stream| Ok(check.receive(stream)?))?;
    if let Some(file) = &backup.file {
        compare(&backup.archive, &file.manifest, &received)?;
    }
    Ok((received, report))
}
