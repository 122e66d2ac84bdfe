//! Plays a policy over backups that do not exist yet: one a night, each followed
//! by a prune. What would lie there at the end, and how much on the way.

use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::{Age, Candidate, Policies, PrunePlan, plan};
use crate::ids::BackupId;
use crate::series::Series;

/// What is backed up each night from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nightly {
    pub series: Series,
    /// Each new backup is taken to be as large as this.
    pub bytes: u64,
}

/// What lies there after one night's backups and prune.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Night {
    pub date: Date,
    pub backups: u64,
    pub bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulated {
    /// One for each night, the first one first.
    pub nights: Vec<Night>,
    /// What lies there after the last prune.
    pub left: Vec<Candidate>,
    /// Why each of them does.
    pub plan: PrunePlan,
}

/// Adds a backup of each of `nightly` every 24 hours of the calendar from `now`
/// on, for the time that `span` is long, and prunes after each night. Backups
/// that do not exist yet count as not verified: a proof would keep them.
pub fn simulate(
    existing: Vec<Candidate>,
    nightly: &[Nightly],
    policies: &Policies,
    now: Timestamp,
    time_zone: &TimeZone,
    span: Age,
) -> Simulated {
    let mut left = existing;
    let mut nights = Vec::new();
    let mut last = plan(&left, policies, now, time_zone);
    let begin = now.to_zoned(time_zone.clone());
    let end = span.after(now, time_zone);
    for number in 1_i64.. {
        let night = begin.checked_add(Span::new().days(number));
        let Some(night) = night.ok().filter(|night| night.timestamp() <= end) else {
            break;
        };
        let at = night.timestamp();
        for (index, what) in nightly.iter().enumerate() {
            left.push(future(what, at, number, index));
        }
        last = plan(&left, policies, at, time_zone);
        let gone: BTreeSet<&BackupId> = last.removed().map(|decision| &decision.id).collect();
        left.retain(|candidate| !gone.contains(&candidate.id));
        nights.push(Night {
            date: night.date(),
            backups: left.len() as u64,
            bytes: last.kept_bytes,
        });
    }
    last.decisions.retain(|decision| decision.keep);
    last.removed_bytes = 0;
    Simulated {
        nights,
        left,
        plan: last,
    }
}

fn future(what: &Nightly, at: Timestamp, number: i64, index: usize) -> Candidate {
    // The highest bit tells it from no existing id for sure, but 2^64 ids are
    // random: a clash is as likely as between any two backups.
    let id = (1 << 63) | ((number as u64) << 20) | index as u64;
    Candidate {
        id: BackupId::from_random(id.to_be_bytes()),
        series: what.series.clone(),
        created_at: at,
        pinned: false,
        verified: false,
        complete: true,
        bytes: what.bytes,
    }
}
