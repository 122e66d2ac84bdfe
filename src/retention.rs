//! Decides which backups stay. Owns the keep rules and their order; knows no
//! storage, no clock and no time zone but those it is given.
//!
//! Rules work per kind and group of a name. What beats what:
//! 1. While the clock is behind the newest backup, everything stays.
//! 2. Pinned backups, the newest few (the floor) and the newest verified one
//!    always stay.
//! 3. What is older than the maximum age goes.
//! 4. What a keep rule wants stays, the rest goes. Without any keep rule
//!    everything stays that rule 3 did not remove.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::format::manifest::Kind;
use crate::ids::BackupId;

pub use age::{Age, InvalidAge};
use period::Period;
pub use policies::{NamedRules, Policies};
pub use simulate::{Night, Nightly, Simulated, simulate};

mod age;
mod period;
mod policies;
mod simulate;

/// Of the backups of one name, how many stay whatever the rules say.
pub const DEFAULT_FLOOR: u32 = 3;

/// What to keep of each kind and name. A rule that is `None` or 0 is not set.
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
    pub kind: Kind,
    /// The database's or tree's own name: policies go by it.
    pub name: String,
    /// What the rules count together, within one kind: the name, and what tells
    /// backups of that name apart that cannot stand for each other.
    pub group: String,
    pub created_at: Timestamp,
    pub pinned: bool,
    /// Its last verification was right and went at least through the content.
    pub verified: bool,
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

/// Decisions by kind and name, the newest backup first.
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

/// Why a backup stays or goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    ClockBehind {
        newest: Timestamp,
    },
    Pinned,
    Floor {
        floor: u32,
    },
    NewestVerified,
    Last {
        rank: u32,
        of: u32,
    },
    NewestOf {
        /// "2026-W03"
        bucket: String,
        /// "weekly"
        rule: &'static str,
        /// 1 = the newest bucket.
        rank: u32,
        of: u32,
    },
    Within(Age),
    NoKeepRule,
    OlderThan(Age),
    NotWanted,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClockBehind { newest } => write!(
                f,
                "the clock is behind the newest backup ({newest:.0}), so nothing is removed"
            ),
            Self::Pinned => f.write_str("kept by hand"),
            Self::Floor { floor: 1 } => f.write_str("the newest"),
            Self::Floor { floor } => write!(f, "one of the {floor} newest"),
            Self::NewestVerified => f.write_str("newest verified"),
            Self::Last { rank, of } => write!(f, "last {rank}/{of}"),
            Self::NewestOf {
                bucket,
                rule,
                rank,
                of,
            } => write!(f, "newest of {bucket} ({rule} {rank}/{of})"),
            Self::Within(age) => write!(f, "within {age}"),
            Self::NoKeepRule => f.write_str("no keep rule is set"),
            Self::OlderThan(age) => write!(f, "older than {age}"),
            Self::NotWanted => f.write_str("no rule keeps it"),
        }
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
    let mut groups: BTreeMap<(Kind, &str), Vec<&Candidate>> = BTreeMap::new();
    for candidate in candidates {
        let group = groups
            .entry((candidate.kind, &candidate.group))
            .or_default();
        group.push(candidate);
    }
    let newest = candidates
        .iter()
        .map(|candidate| candidate.created_at)
        .max();
    let clock_behind = newest
        .filter(|&newest| newest > now)
        .map(|newest| Reason::ClockBehind { newest });

    let mut plan = PrunePlan::default();
    for mut group in groups.into_values() {
        let Some(first) = group.first() else {
            continue;
        };
        let rules = policies.of(first.kind, &first.name);
        let limits = Limits {
            rules,
            within: rules.within.map(|age| (age, age.before(now, time_zone))),
            max_age: rules.max_age.map(|age| (age, age.before(now, time_zone))),
            time_zone,
        };
        group.sort_by_key(|candidate| std::cmp::Reverse((candidate.created_at, &candidate.id)));
        let decisions = limits.decide(&group, clock_behind.as_ref());
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
}

impl Limits<'_> {
    /// `group` is of one kind and name, the newest first.
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
        let newest_verified = group.iter().position(|candidate| candidate.verified);
        let of = |(index, candidate): (usize, &&Candidate)| {
            let mut reasons = Vec::new();
            if candidate.pinned {
                reasons.push(Reason::Pinned);
            }
            if index < floor as usize {
                reasons.push(Reason::Floor { floor });
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
