//! Decides which backups stay. Owns the keep rules and their order; knows no
//! storage, no clock and no time zone but those it is given.
//!
//! Rules work per series. What beats what:
//! 1. While the clock is behind the newest backup, everything stays.
//! 2. Pinned backups, the newest few (the floor), the newest verified one and what
//!    restores replaced in the last 7 days always stay.
//! 3. What is older than the maximum age goes.
//!    An incomplete backup counts beside the complete ones, never for one of them.
//! 4. What a keep rule wants stays, the rest goes. Without any keep rule
//!    everything stays that rule 3 did not remove.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::ids::BackupId;
use crate::series::{Series, Variant};

pub use age::{Age, InvalidAge};
use period::Period;
pub use policies::{Coverage, Covered, NamedRules, Policies, ScheduledRules};
pub use reason::Reason;
pub use simulate::{Night, Nightly, Simulated, simulate};

mod age;
mod period;
mod policies;
mod reason;
mod simulate;

/// What a restore replaced stays so long: of a night's attempts the first one alone
/// holds the state before all of them, and the floor would let it go.
const UNDO: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Of the backups of one series, how many stay whatever the rules say.
pub const DEFAULT_FLOOR: u32 = 3;

/// What to keep of each series. A rule that is `None` or 0 is not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepRules {
    /// The newest so many.
    pub last: Option<u32>,
    /// The newest of each of the newest so many hours, days, ISO weeks, months
    /// and years that have a backup.
    pub hourly: Option<u32>,
    pub daily: Option<u32>,
    pub weekly: Option<u32>,
    pub monthly: Option<u32>,
    pub yearly: Option<u32>,
    /// Everything that is not older.
    pub within: Option<Age>,
    /// Nothing that is older, whatever the rules above say.
    pub max_age: Option<Age>,
    /// Never fewer than so many; 0 counts as 1.
    pub floor: u32,
}

impl Default for KeepRules {
    /// 7 daily, 4 weekly, 12 monthly, no maximum age.
    fn default() -> Self {
        Self {
            daily: Some(7),
            weekly: Some(4),
            monthly: Some(12),
            ..Self::none()
        }
    }
}

impl KeepRules {
    /// No rule but the floor: keeps everything.
    pub fn none() -> Self {
        Self {
            last: None,
            hourly: None,
            daily: None,
            weekly: None,
            monthly: None,
            yearly: None,
            within: None,
            max_age: None,
            floor: DEFAULT_FLOOR,
        }
    }

    fn has_keep_rule(&self) -> bool {
        self.within.is_some() || self.last.is_some_and(|n| n > 0) || !self.periods().is_empty()
    }

    /// The rules that keep one of each period, those that are set.
    fn periods(&self) -> Vec<(Period, u32)> {
        let counts = [
            (Period::Hour, self.hourly),
            (Period::Day, self.daily),
            (Period::Week, self.weekly),
            (Period::Month, self.monthly),
            (Period::Year, self.yearly),
        ];
        let set = |(period, count): (_, Option<u32>)| Some((period, count.filter(|&n| n > 0)?));
        counts.into_iter().filter_map(set).collect()
    }
}

/// A completed backup, as far as retention looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub id: BackupId,
    /// What the rules count together.
    pub series: Series,
    pub created_at: Timestamp,
    pub pinned: bool,
    /// Its last verification was right and went at least through the content.
    pub verified: bool,
    /// All is in it that was to be backed up. One that is not complete takes no
    /// place of one that is.
    pub complete: bool,
    /// Stored, archive and manifest.
    pub bytes: u64,
}

/// What happens to one backup, and every reason for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub id: BackupId,
    pub keep: bool,
    /// Never empty.
    pub reasons: Vec<Reason>,
}

/// Decisions by series, the newest backup first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrunePlan {
    pub decisions: Vec<Decision>,
    pub kept_bytes: u64,
    pub removed_bytes: u64,
}

impl PrunePlan {
    /// The backups that go.
    pub fn removed(&self) -> impl Iterator<Item = &Decision> {
        self.decisions.iter().filter(|decision| !decision.keep)
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons: Vec<String> = self.reasons.iter().map(Reason::to_string).collect();
        let verdict = if self.keep { "kept" } else { "removed" };
        write!(f, "{verdict}: {}", reasons.join("; "))
    }
}

/// Decides about every candidate. The order of `candidates` does not matter.
pub fn plan(
    candidates: &[Candidate],
    policies: &Policies,
    now: Timestamp,
    time_zone: &TimeZone,
) -> PrunePlan {
    let mut groups: BTreeMap<&Series, Vec<&Candidate>> = BTreeMap::new();
    for candidate in candidates {
        groups.entry(&candidate.series).or_default().push(candidate);
    }
    let newest = candidates
        .iter()
        .map(|candidate| candidate.created_at)
        .max();
    let clock_behind = newest
        .filter(|&newest| newest > now)
        .map(|newest| Reason::ClockBehind { newest });

    let mut plan = PrunePlan::default();
    for (series, mut group) in groups {
        let rules = policies.of(series);
        let limits = Limits {
            rules,
            within: rules.within.map(|age| (age, age.before(now, time_zone))),
            max_age: rules.max_age.map(|age| (age, age.before(now, time_zone))),
            time_zone,
            keeps_proof: true,
            undo_since: now - UNDO,
        };
        group.sort_by_key(|candidate| std::cmp::Reverse((candidate.created_at, &candidate.id)));
        let decisions = limits.decide_apart(&group, clock_behind.as_ref());
        for (candidate, decision) in group.iter().zip(decisions) {
            let total = if decision.keep {
                &mut plan.kept_bytes
            } else {
                &mut plan.removed_bytes
            };
            *total = total.saturating_add(candidate.bytes);
            plan.decisions.push(decision);
        }
    }
    plan
}

/// The rules at one instant.
struct Limits<'a> {
    rules: &'a KeepRules,
    within: Option<(Age, Timestamp)>,
    max_age: Option<(Age, Timestamp)>,
    time_zone: &'a TimeZone,
    /// The newest verified one stays.
    keeps_proof: bool,
    /// What restores replaced since then stays.
    undo_since: Timestamp,
}

impl Limits<'_> {
    /// `group` is of one series, the newest first. The incomplete ones are weighed
    /// among themselves: none of them counts for the floor, fills a day or is the
    /// newest verified one, unless there are no others.
    fn decide_apart(&self, group: &[&Candidate], clock_behind: Option<&Reason>) -> Vec<Decision> {
        let (complete, incomplete): (Vec<&Candidate>, Vec<&Candidate>) =
            group.iter().partition(|candidate| candidate.complete);
        if complete.is_empty() || incomplete.is_empty() {
            return self.decide(group, clock_behind);
        }
        let beside = KeepRules {
            floor: 1,
            ..self.rules.clone()
        };
        let beside = Limits {
            rules: &beside,
            keeps_proof: false,
            ..*self
        };
        let mut complete = self.decide(&complete, clock_behind).into_iter();
        let mut incomplete = beside.decide(&incomplete, clock_behind).into_iter();
        let in_order = group
            .iter()
            .filter_map(|candidate| match candidate.complete {
                true => complete.next(),
                false => incomplete.next(),
            });
        in_order.collect()
    }

    /// `group` is of one series, the newest first.
    fn decide(&self, group: &[&Candidate], clock_behind: Option<&Reason>) -> Vec<Decision> {
        let protections = self.protections(group);
        let wishes = self.wishes(group);
        let mut decisions = Vec::with_capacity(group.len());
        for ((candidate, mut protections), wishes) in group.iter().zip(protections).zip(wishes) {
            protections.splice(0..0, clock_behind.cloned());
            let (keep, reasons) = self.weigh(candidate, protections, wishes);
            decisions.push(Decision {
                id: candidate.id.clone(),
                keep,
                reasons,
            });
        }
        decisions
    }

    /// Protections beat the maximum age, which beats wishes.
    fn weigh(
        &self,
        candidate: &Candidate,
        mut protections: Vec<Reason>,
        wishes: Vec<Reason>,
    ) -> (bool, Vec<Reason>) {
        let too_old = self
            .max_age
            .filter(|(_, from)| candidate.created_at < *from);
        if too_old.is_none() {
            protections.extend(wishes);
        }
        match too_old {
            _ if !protections.is_empty() => (true, protections),
            Some((age, _)) => (false, vec![Reason::OlderThan(age)]),
            None => (false, vec![Reason::NotWanted]),
        }
    }

    /// What no rule can take away.
    fn protections(&self, group: &[&Candidate]) -> Vec<Vec<Reason>> {
        let floor = self.rules.floor.max(1);
        let is_proven = |candidate: &&Candidate| self.keeps_proof && candidate.verified;
        let newest_verified = group.iter().position(is_proven);
        let of = |(index, candidate): (usize, &&Candidate)| {
            let mut reasons = Vec::new();
            if candidate.pinned {
                reasons.push(Reason::Pinned);
            }
            if index < floor as usize {
                reasons.push(Reason::Floor { floor });
            }
            let is_replaced = candidate.series.variant == Variant::Replaced;
            if is_replaced && candidate.created_at >= self.undo_since {
                reasons.push(Reason::Undo);
            }
            if newest_verified == Some(index) {
                reasons.push(Reason::NewestVerified);
            }
            reasons
        };
        group.iter().enumerate().map(of).collect()
    }

    /// What the keep rules want, whatever its age.
    fn wishes(&self, group: &[&Candidate]) -> Vec<Vec<Reason>> {
        let mut wishes = vec![Vec::new(); group.len()];
        if !self.rules.has_keep_rule() {
            wishes.fill(vec![Reason::NoKeepRule]);
            return wishes;
        }
        if let Some(of) = self.rules.last {
            for (reasons, rank) in wishes.iter_mut().zip(1..=of) {
                reasons.push(Reason::Last { rank, of });
            }
        }
        if let Some((age, from)) = self.within {
            for (reasons, candidate) in wishes.iter_mut().zip(group) {
                if candidate.created_at >= from {
                    reasons.push(Reason::Within(age));
                }
            }
        }
        for (period, of) in self.rules.periods() {
            self.newest_of_each(period, of, group, &mut wishes);
        }
        wishes
    }

    fn newest_of_each(
        &self,
        period: Period,
        of: u32,
        group: &[&Candidate],
        wishes: &mut [Vec<Reason>],
    ) {
        // A set, not only the last one: a clock that is turned back over
        // midnight brings yesterday's bucket up again.
        let mut seen = HashSet::new();
        let mut rank = 0;
        for (reasons, candidate) in wishes.iter_mut().zip(group) {
            if rank == of {
                break;
            }
            let local = candidate.created_at.to_zoned(self.time_zone.clone());
            let bucket = period.bucket(&local);
            if seen.insert(bucket.clone()) {
                rank += 1;
                reasons.push(Reason::NewestOf {
                    bucket,
                    rule: period.rule(),
                    rank,
                    of,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
