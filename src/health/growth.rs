//! When the storage will be full, if it goes on as in the last weeks.

use jiff::{SignedDuration, Timestamp};

use super::{BackupFact, Finding, Level, warning_if};
use crate::words::plural;

/// What the rate is taken from. Older backups have been thinned out, so they say
/// less than was written.
const DAYS: i64 = 30;
/// A rate of less than this says nothing.
const DAYS_AT_LEAST: f64 = 2.0;
/// Beyond ten years it says nothing: disks do not live that long.
const DAYS_AT_MOST: f64 = 3652.0;

/// The file system that a storage lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    pub free_bytes: u64,
    pub total_bytes: u64,
}

/// What was written a day over the last 30 days, less what those days' backups
/// no longer hold: a policy that removes as much as is written never fills a
/// disk. `None` where the history is too short, or nothing grows to speak of.
pub fn days_until_full(backups: &[BackupFact], room: Room, now: Timestamp) -> Option<f64> {
    let since = |at: Timestamp| now.duration_since(at).as_secs_f64() / 86_400.0;
    let begin = now - SignedDuration::from_hours(24 * DAYS);
    let oldest = backups.iter().map(|backup| backup.created_at).min()?;
    let days = since(oldest.max(begin));
    if days < DAYS_AT_LEAST {
        return None;
    }
    let recent = backups.iter().filter(|backup| backup.created_at > begin);
    let added: u64 = recent.map(|backup| backup.stored_bytes).sum();
    let per_day = added as f64 / days;
    let days = room.free_bytes as f64 / per_day;
    (per_day > 0.0 && days <= DAYS_AT_MOST).then_some(days)
}

pub(super) fn growth(
    backups: &[BackupFact],
    room: Room,
    limit: Option<u32>,
    now: Timestamp,
) -> Option<Finding> {
    let limit = f64::from(limit?);
    let days = days_until_full(backups, room, now)?;
    let whole = days.round() as u64;
    let unit = plural(whole, "day", "days");
    let text = format!("at the last {DAYS} days' rate the disk is full in {whole} {unit}");
    let finding = Finding::ok("growth", "storage", text).measured(days, Some(limit), "d");
    let level = match days < limit {
        true if days < limit / 4.0 => Level::Critical,
        soon => warning_if(soon),
    };
    Some(finding.at(
        level,
        "see what a policy would keep with kluis prune --simulate 1y, or enlarge the disk",
    ))
}
