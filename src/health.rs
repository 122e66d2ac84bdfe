//! Judges the state of a storage: what is too old, too small, unproven or about
//! to be full. Pure: the facts and the clock are arguments.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::format::manifest::{Kind, ProofLevel};
use crate::retention::Age;

mod drift;
mod growth;
mod runs;
mod words;

pub use growth::days_until_full;
use words::days_and_hours;

/// Backups that a drift is measured against.
pub const DRIFT_AGAINST: usize = 7;
/// Clocks of two machines may be so far apart.
const CLOCK_MINUTES: i64 = 10;
/// Failures are counted over so many days.
pub const FAILURE_DAYS: i64 = 7;

/// What is still healthy. A threshold that is `None` is not looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    /// Of the newest backup of each name.
    pub max_age: Option<Age>,
    /// For single names, instead of `max_age`.
    pub max_age_of: BTreeMap<String, Age>,
    /// How far a backup's raw size may be from the median of the 7 before it, in
    /// percent of that.
    pub size_drift_percent: Option<u32>,
    /// The same for the rows of each table.
    pub table_drift_percent: Option<u32>,
    /// Tables of fewer rows than this, now and then, are left alone.
    pub table_drift_rows: u64,
    /// Failed and interrupted runs in 7 days.
    pub failures: Option<u32>,
    /// Of the newest backup of each name that was verified or restored.
    pub proof_age: Option<Age>,
    /// Percent of the storage's file system that must be free.
    pub free_percent: Option<u32>,
    /// Days until the storage is full, at the rate of the last 30 days.
    pub days_until_full: Option<u32>,
    /// Backups of one name that were never verified.
    pub unverified: Option<u32>,
}

/// A completed backup, as far as health looks at it.
#[derive(Clone, Debug, PartialEq)]
pub struct BackupFact {
    pub kind: Kind,
    pub name: String,
    pub created_at: Timestamp,
    pub stored_bytes: u64,
    pub raw_bytes: u64,
    /// `None`: its last check found it damaged.
    pub proof: Option<ProofLevel>,
    pub proven_at: Option<Timestamp>,
    /// Table to rows; empty for a tree.
    pub tables: BTreeMap<String, u64>,
}

/// The file system that a storage lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    pub free_bytes: u64,
    pub total_bytes: u64,
}

/// All that is looked at.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// In any order. What restores were about to replace, and parts of
    /// databases, are not among them.
    pub backups: Vec<BackupFact>,
    /// When runs failed or were interrupted.
    pub failures: Vec<Timestamp>,
    /// When messages about runs could not be sent.
    pub unsent: Vec<Timestamp>,
    pub room: Option<Room>,
    /// Manifests that cannot be read.
    pub unreadable: Vec<String>,
    /// Databases on the server that have no backup; `None` where no server was
    /// asked.
    pub uncovered: Option<Vec<String>>,
}

impl Facts {
    /// The backups by kind and name, the newest first.
    pub fn by_name(&self) -> BTreeMap<(Kind, &str), Vec<&BackupFact>> {
        let mut groups: BTreeMap<(Kind, &str), Vec<&BackupFact>> = BTreeMap::new();
        for backup in &self.backups {
            let group = groups.entry((backup.kind, &backup.name)).or_default();
            group.push(backup);
        }
        for group in groups.values_mut() {
            group.sort_by_key(|backup| std::cmp::Reverse(backup.created_at));
        }
        groups
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Ok,
    Warning,
    Critical,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// "age", "size", "table", "failures", "messages", "proof", "free",
    /// "growth", "unverified", "damaged", "covered": names for scripts.
    pub check: &'static str,
    /// A backup's name, or "storage".
    pub subject: String,
    pub level: Level,
    /// What was found, in `unit`; `None` where there is no number.
    pub value: Option<f64>,
    /// From here on it is not healthy.
    pub limit: Option<f64>,
    /// "s", "%", "B", "d" or "".
    pub unit: &'static str,
    /// For people.
    pub text: String,
    /// What to do about it; empty where all is well.
    pub remedy: String,
}

impl Finding {
    fn ok(check: &'static str, subject: &str, text: impl Into<String>) -> Self {
        Self {
            check,
            subject: subject.to_owned(),
            level: Level::Ok,
            value: None,
            limit: None,
            unit: "",
            text: text.into(),
            remedy: String::new(),
        }
    }

    fn measured(self, value: f64, limit: Option<f64>, unit: &'static str) -> Self {
        Self {
            value: Some(value),
            limit,
            unit,
            ..self
        }
    }

    fn at(self, level: Level, remedy: impl Into<String>) -> Self {
        match level {
            Level::Ok => self,
            level => Self {
                level,
                remedy: remedy.into(),
                ..self
            },
        }
    }
}

/// Looks at everything; names in order, the storage last.
pub fn judge(
    facts: &Facts,
    thresholds: &Thresholds,
    now: Timestamp,
    time_zone: &TimeZone,
) -> Vec<Finding> {
    let judge = Judge {
        thresholds,
        now,
        time_zone,
    };
    let mut findings = Vec::new();
    for group in facts.by_name().values() {
        judge.name(group, &mut findings);
    }
    if facts.backups.is_empty() {
        let none = Finding::ok("age", "storage", "there is no backup at all");
        findings.push(none.at(Level::Critical, "make one with kluis backup"));
    }
    judge.storage(facts, &mut findings);
    findings
}

/// The worst of them.
pub fn worst(findings: &[Finding]) -> Level {
    let levels = findings.iter().map(|finding| finding.level);
    levels.max().unwrap_or(Level::Ok)
}

struct Judge<'a> {
    thresholds: &'a Thresholds,
    now: Timestamp,
    time_zone: &'a TimeZone,
}

impl Judge<'_> {
    /// `group` is of one kind and name, the newest first.
    fn name(&self, group: &[&BackupFact], findings: &mut Vec<Finding>) {
        let Some((newest, older)) = group.split_first() else {
            return;
        };
        findings.extend(self.age(newest));
        findings.extend(self.proof(group));
        findings.extend(self.unverified(group));
        findings.extend(damaged(group));
        let against = &older[..older.len().min(DRIFT_AGAINST)];
        findings.extend(drift::size(newest, against, self.thresholds));
        findings.extend(drift::tables(newest, against, self.thresholds));
    }

    fn age(&self, newest: &BackupFact) -> Option<Finding> {
        // Such a one hides that no newer ones come.
        let ahead = newest.created_at.duration_since(self.now);
        if ahead > SignedDuration::from_mins(CLOCK_MINUTES) {
            let text = format!(
                "the newest backup is dated in the future: {:.0}",
                newest.created_at
            );
            let finding = Finding::ok("age", &newest.name, text);
            const REMEDY: &str = "set the clock right, or delete that backup: until then it hides \
                                  the age of the others, and prune removes nothing";
            return Some(finding.at(Level::Warning, REMEDY));
        }
        let own = self.thresholds.max_age_of.get(&newest.name);
        let limit = own.copied().or(self.thresholds.max_age)?;
        let age = self.seconds_since(newest.created_at);
        let text = format!("the newest backup is {} old", days_and_hours(age));
        let finding = Finding::ok("age", &newest.name, text);
        let measured = finding.measured(age, Some(self.seconds_of(limit)), "s");
        Some(measured.at(
            self.too_old(newest.created_at, limit),
            "look why with kluis history --command backup, and make one with kluis backup",
        ))
    }

    /// The age of the newest proof, not the proof of the newest backup: it tells
    /// how long nobody has seen one come back.
    fn proof(&self, group: &[&BackupFact]) -> Option<Finding> {
        let limit = self.thresholds.proof_age?;
        let name = &group.first()?.name;
        let is_proof = |backup: &&&BackupFact| {
            let proof = backup.proof;
            proof.is_some_and(|proof| proof >= ProofLevel::Verified)
        };
        let proven = group.iter().filter(is_proof);
        const REMEDY: &str = "verify the newest one: kluis verify --restore latest:NAME, or \
                              without --restore";
        let remedy = REMEDY.replace("NAME", name);
        let Some(at) = proven.filter_map(|backup| backup.proven_at).max() else {
            // Before the first one is due, nothing is late.
            let first = group.last()?.created_at;
            let finding = Finding::ok("proof", name, "no backup was ever verified");
            return Some(finding.at(self.too_old(first, limit), remedy));
        };
        let age = self.seconds_since(at);
        let text = format!("the last proof is {} old", days_and_hours(age));
        let finding = Finding::ok("proof", name, text);
        let measured = finding.measured(age, Some(self.seconds_of(limit)), "s");
        Some(measured.at(self.too_old(at, limit), remedy))
    }

    fn unverified(&self, group: &[&BackupFact]) -> Option<Finding> {
        let limit = self.thresholds.unverified?;
        let name = &group.first()?.name;
        let stored = |backup: &&&BackupFact| backup.proof == Some(ProofLevel::Stored);
        let number = group.iter().filter(stored).count();
        let text = format!("{number} of {} backups were never verified", group.len());
        let finding = Finding::ok("unverified", name, text);
        let measured = finding.measured(number as f64, Some(f64::from(limit)), "");
        Some(measured.at(
            warning_if(number > limit as usize),
            "verify them: kluis verify --pending",
        ))
    }

    fn storage(&self, facts: &Facts, findings: &mut Vec<Finding>) {
        findings.extend(runs::failures(facts, self.thresholds, self.now));
        findings.push(runs::messages(facts, self.now));
        for key in &facts.unreadable {
            let text = format!("the manifest {key} cannot be read");
            let finding = Finding::ok("damaged", "storage", text);
            findings.push(finding.at(
                Level::Critical,
                "move it away and adopt its archive: kluis adopt FILE",
            ));
        }
        findings.extend(self.covered(facts));
        if let Some(room) = facts.room {
            findings.extend(self.free(room));
            findings.extend(growth::growth(
                &facts.backups,
                room,
                self.thresholds.days_until_full,
                self.now,
            ));
        }
    }

    fn covered(&self, facts: &Facts) -> Option<Finding> {
        let uncovered = facts.uncovered.as_ref()?;
        let text = match uncovered.is_empty() {
            true => "every database of the server has a backup".to_owned(),
            false => format!("databases without a backup: {}", uncovered.join(", ")),
        };
        let finding = Finding::ok("covered", "storage", text);
        let measured = finding.measured(uncovered.len() as f64, Some(0.0), "");
        Some(measured.at(
            warning_if(!uncovered.is_empty()),
            "back them up with kluis backup db --all, or leave them out with [database] exclude",
        ))
    }

    fn free(&self, room: Room) -> Option<Finding> {
        let limit = self.thresholds.free_percent?;
        let percent = match room.total_bytes {
            0 => 0.0,
            total => room.free_bytes as f64 * 100.0 / total as f64,
        };
        let finding = Finding::ok(
            "free",
            "storage",
            format!("{percent:.0}% of the disk is free"),
        );
        let measured = finding.measured(percent, Some(f64::from(limit)), "%");
        let level = match percent < f64::from(limit) {
            true if percent < f64::from(limit) / 2.0 => Level::Critical,
            low => warning_if(low),
        };
        Some(measured.at(
            level,
            "prune older backups (kluis prune), or enlarge the disk",
        ))
    }

    /// Twice over the limit is critical.
    fn too_old(&self, at: Timestamp, limit: Age) -> Level {
        let begin = limit.before(self.now, self.time_zone);
        let twice = limit.before(begin, self.time_zone);
        match at {
            at if at < twice => Level::Critical,
            at => warning_if(at < begin),
        }
    }

    fn seconds_since(&self, at: Timestamp) -> f64 {
        self.now.duration_since(at).as_secs_f64().max(0.0)
    }

    fn seconds_of(&self, age: Age) -> f64 {
        self.seconds_since(age.before(self.now, self.time_zone))
    }
}

fn damaged(group: &[&BackupFact]) -> Option<Finding> {
    let broken = group.iter().filter(|backup| backup.proof.is_none()).count();
    let name = &group.first()?.name;
    let text = format!("{broken} of {} backups were found damaged", group.len());
    let finding = Finding::ok("damaged", name, text).measured(broken as f64, Some(0.0), "");
    let newest_is = group.first()?.proof.is_none();
    let level = match broken {
        0 => Level::Ok,
        _ if newest_is => Level::Critical,
        _ => Level::Warning,
    };
    let remedy =
        "make a new one with kluis backup; kluis list shows which, kluis delete removes it";
    Some(finding.at(level, remedy))
}

fn warning_if(is_wrong: bool) -> Level {
    match is_wrong {
        true => Level::Warning,
        false => Level::Ok,
    }
}

#[cfg(test)]
mod tests;
