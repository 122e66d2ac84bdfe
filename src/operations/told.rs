//! What a check has told lately, so that an hourly one does not tell the same
//! thing all night. It stands in the run records, like all that ever happened.

use jiff::{SignedDuration, Timestamp};

use super::history::{HistoryFilter, history};
use super::record::record_of;
use super::{Actor, OperationError};
use crate::format::run_record::RunEnd;
use crate::storage::Storage;

/// After so long the same thing is told again.
const QUIET_HOURS: i64 = 24;

/// Before what a check found again and told nobody: it does not make the day
/// longer for which that is not told.
pub const STILL: &str = "still ";

/// Whether the last check of the last day that told something told just this.
/// `what` is without numbers that grow by themselves.
pub fn was_told(
    storage: &dyn Storage,
    command: &str,
    what: &str,
    now: Timestamp,
) -> Result<bool, OperationError> {
    let filter = HistoryFilter {
        command: Some(command.to_owned()),
        since: Some(now - SignedDuration::from_hours(QUIET_HOURS)),
        ..HistoryFilter::default()
    };
    let runs = history(storage, &filter)?.runs;
    let mut details = runs.iter().filter_map(|run| run.record.detail.as_deref());
    let last = details.find(|detail| !detail.starts_with(STILL));
    Ok(last == Some(what))
}

/// Leaves the record of a check that tells something.
pub fn record_told(
    storage: &dyn Storage,
    actor: &Actor,
    what: &str,
    started: Timestamp,
) -> Result<(), OperationError> {
    let mut record = record_of(actor, None, started)?;
    record.detail = Some(what.to_owned());
    let record = record.ended(Timestamp::now(), RunEnd::Completed);
    Ok(storage.replace(&record.key(), &record.to_bytes())?)
}

/// Whether this process has left a record of this command since then.
pub fn has_record(
    storage: &dyn Storage,
    actor: &Actor,
    since: Timestamp,
) -> Result<bool, OperationError> {
    let filter = HistoryFilter {
        command: Some(actor.command.clone()),
        since: Some(since),
        ..HistoryFilter::default()
    };
    let runs = history(storage, &filter)?.runs;
    Ok(runs.iter().any(|run| run.record.process == actor.process))
}
