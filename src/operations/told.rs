//! What a check has told lately, so that an hourly one does not tell the same
//! thing all night. It stands in the run records, like all that ever happened.

use jiff::{SignedDuration, Timestamp};

use super::history::{HistoryFilter, history};
use super::record::{record_of, write_sealed};
use super::{Actor, OperationError};
use crate::catalog::Trust;
use crate::format::keyring::Keyring;
use crate::format::run_record::{RunEnd, clip};
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
    trust: Trust<'_>,
    actor: &Actor,
    what: &str,
    now: Timestamp,
) -> Result<bool, OperationError> {
    let filter = HistoryFilter {
        command: Some(actor.command.clone()),
        since: Some(now - SignedDuration::from_hours(QUIET_HOURS)),
        // Another host's check has told whom that one tells.
        label: Some(actor.label.clone()),
        ..HistoryFilter::default()
    };
    let runs = history(storage, trust, &filter)?.runs;
    let ours = runs.iter().filter(|run| run.is_believed);
    let mut details = ours.filter_map(|run| run.record.detail.as_deref());
    let last = details.find(|detail| !detail.starts_with(STILL));
    Ok(last == Some(clip(what)))
}

/// Leaves the record of a check that tells something.
pub fn record_told(
    storage: &dyn Storage,
    ring: Option<&Keyring>,
    actor: &Actor,
    what: &str,
    started: Timestamp,
) -> Result<(), OperationError> {
    let mut record = record_of(storage, actor, None, started)?;
    record.detail = Some(what.to_owned());
    write_sealed(
        storage,
        ring,
        record.ended(Timestamp::now(), RunEnd::Completed),
    )
}

/// Whether this process has left a record of this command since then.
pub fn has_record(
    storage: &dyn Storage,
    trust: Trust<'_>,
    actor: &Actor,
    since: Timestamp,
) -> Result<bool, OperationError> {
    let filter = HistoryFilter {
        command: Some(actor.command.clone()),
        since: Some(since),
        ..HistoryFilter::default()
    };
    let runs = history(storage, trust, &filter)?.runs;
    let mut ours = runs.iter().filter(|run| run.is_believed);
    Ok(ours.any(|run| run.record.process == actor.process))
}
