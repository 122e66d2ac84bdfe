//! Judges the state of a storage: what is too old, too small, unproven or about
//! to be full. Pure: the facts and the clock are arguments.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::format::manifest::{ProofLevel, Standing};
use crate::retention::Age;
use crate::series::Series;
use crate::words::plural;

mod damage;
mod drift;
mod finding;
mod growth;
mod room;
mod runs;
mod totals;
mod words;

pub use finding::{Finding, Level};
pub use growth::{Room, days_until_full};
pub use room::Inodes;
pub use runs::RunningFact;
pub use totals::{Totals, Uncounted};
use words::age_in_words;

/// Backups that a drift is measured against.
pub const DRIFT_AGAINST: usize = 7;
/// Clocks of two machines may be so far apart.
pub const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(10);
/// Failures are counted over so many days.
pub const FAILURE_DAYS: i64 = 7;

/// What is still healthy. A threshold that is `None` is not looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    /// Of the newest backup of each series.
    pub max_age: Option<Age>,
    /// By the series' name, instead of `max_age`.
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
    /// Of the newest backup of each series that was verified or restored.
    pub proof_age: Option<Age>,
    /// For how long a run may be under way.
    pub run_limit: Option<Duration>,
    /// Percent of the storage's file system that must be free.
    pub free_percent: Option<u32>,
    /// Days until the storage is full, at the rate of the last 30 days.
    pub days_until_full: Option<u32>,
    /// Backups of one series that were never verified.
    pub unverified: Option<u32>,
    /// Encryption is turned off: what was encrypted need not stay so.
    pub plain_is_meant: bool,
}

/// A completed backup, as far as health looks at it.
#[derive(Clone, Debug, PartialEq)]
pub struct BackupFact {
    pub series: Series,
    /// What tells the series from all others in the fewest words.
    pub title: String,
    pub created_at: Timestamp,
    pub stored_bytes: u64,
    pub raw_bytes: u64,
    pub id: String,
    pub standing: Standing,
    pub proven_at: Option<Timestamp>,
    /// How much it lacks; 0 is a complete one.
    pub lacks: u64,
    pub encrypted: bool,
    /// Table to rows; empty for a tree.
    pub tables: BTreeMap<String, u64>,
}

/// All that is looked at.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// In any order. What restores were about to replace, parts of databases, and what
    /// was adopted beside whole ones are not among them.
    pub backups: Vec<BackupFact>,
    /// When runs failed or were interrupted.
    pub failures: Vec<Timestamp>,
    /// Runs that are under way.
    pub running: Vec<RunningFact>,
    /// How many records of runs are passed over, and why; `None` if none is.
    pub records_passed_over: Option<String>,
    /// When messages about runs could not be sent.
    pub unsent: Vec<Timestamp>,
    pub room: Option<Room>,
    pub inodes: Option<Inodes>,
    /// What cannot be read: "the manifest x.json", mostly.
    pub unreadable: Vec<String>,
    /// Archives that claim to be backups of ours and are not as they were written,
    /// and why.
    pub alarming: Vec<(String, String)>,
    /// Archives of backups that other archives stand for, and why.
    pub repeated: Vec<(String, String)>,
    /// Of all that count, parts and what restores replaced among them.
    pub totals: Totals,
    /// Archives that are told, and counted nowhere.
    pub uncounted: Uncounted,
    /// Why the configured keys cannot be had, and what to do: no backup is made and none
    /// can be opened.
    pub keyless: Option<(String, String)>,
    /// Why the configured server could not be asked for its databases.
    pub unasked: Option<String>,
    /// Databases on the server that have no backup; `None` where no server was
    /// asked.
    pub uncovered: Option<Vec<String>>,
}

impl Facts {
    /// The backups by series, the newest first.
    pub fn by_series(&self) -> BTreeMap<&Series, Vec<&BackupFact>> {
        let mut groups: BTreeMap<&Series, Vec<&BackupFact>> = BTreeMap::new();
        for backup in &self.backups {
            groups.entry(&backup.series).or_default().push(backup);
        }
        for group in groups.values_mut() {
            group.sort_by_key(|backup| std::cmp::Reverse(backup.created_at));
        }
        groups
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
    for (series, group) in facts.by_series() {
        let begin = findings.len();
        judge.series(&group, &mut findings);
        for finding in &mut findings[begin..] {
            finding.kind = Some(series.kind);
            finding.series = Some(series.to_string());
        }
    }
    if facts.backups.is_empty() {
        let Uncounted {
            foreign,
            without_manifest,
            ..
        } = facts.uncounted;
        let (text, remedy) = match (foreign, without_manifest) {
            (0, 0) => (String::new(), "make one with kluis backup"),
            (0, some) => (
                format!(": {some} without a manifest"),
                "kluis adopt --all makes backups of the archives that are there",
            ),
            (some, _) => (
                format!(": {some} not sealed by a key of ours"),
                "another key? kluis key list says which key each archive wants; kluis adopt --all \
                 takes what is yours and never was sealed",
            ),
        };
        let none = Finding::ok("age", "storage", format!("there is no backup at all{text}"));
        findings.push(none.at(Level::Critical, remedy));
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
    /// `group` is of one series, the newest first.
    fn series(&self, group: &[&BackupFact], findings: &mut Vec<Finding>) {
        let Some((newest, older)) = group.split_first() else {
            return;
        };
        findings.extend(self.age(newest));
        findings.push(complete(newest));
        findings.extend(self.encrypted(newest, older));
        findings.extend(self.proof(group));
        findings.extend(self.unverified(group));
        findings.extend(damage::standings(group));
        let against = &older[..older.len().min(DRIFT_AGAINST)];
        findings.extend(drift::size(newest, against, self.thresholds));
        findings.extend(drift::tables(newest, against, self.thresholds));
    }

    /// Whether what was encrypted still is.
    fn encrypted(&self, newest: &BackupFact, older: &[&BackupFact]) -> Option<Finding> {
        let turned = !newest.encrypted && older.iter().any(|it| it.encrypted);
        if self.thresholds.plain_is_meant || !turned {
            return None;
        }
        let text = "the newest backup is not encrypted, and older ones are";
        let finding = Finding::ok("encrypted", &newest.title, text);
        const REMEDY: &str = "see with kluis config show which key is configured, and set \
                              BACKUP_ENCRYPTION_KEY_FILE or [encryption] key_file, and required \
                              = true; kluis key rotate --reencrypt encrypts what is there; if \
                              plain text is intended, set encryption.enabled = false";
        Some(finding.at(Level::Warning, REMEDY))
    }

    fn age(&self, newest: &BackupFact) -> Option<Finding> {
        // Such a one hides that no newer ones come.
        let ahead = newest.created_at.duration_since(self.now);
        if ahead > CLOCK_TOLERANCE {
            let text = format!(
                "the newest backup is dated in the future: {:.0}",
                newest.created_at
            );
            let finding = Finding::ok("age", &newest.title, text);
            const REMEDY: &str = "set the clock right, or delete that backup: until then it hides \
                                  the age of the others, and prune removes nothing";
            return Some(finding.at(Level::Warning, REMEDY));
        }
        let own = self.thresholds.max_age_of.get(&newest.series.name);
        let limit = own.copied().or(self.thresholds.max_age)?;
        let age = self.seconds_since(newest.created_at);
        let text = format!("the newest backup {}", age_in_words(age));
        let finding = Finding::ok("age", &newest.title, text);
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
        let name = &group.first()?.title;
        let is_proof = |backup: &&&BackupFact| {
            let proof = backup.standing.proof();
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
        let text = format!("the last proof {}", age_in_words(age));
        let finding = Finding::ok("proof", name, text);
        let measured = finding.measured(age, Some(self.seconds_of(limit)), "s");
        Some(measured.at(self.too_old(at, limit), remedy))
    }

    fn unverified(&self, group: &[&BackupFact]) -> Option<Finding> {
        let limit = self.thresholds.unverified?;
        let name = &group.first()?.title;
        let stored = |backup: &&&BackupFact| backup.standing == Standing::Good(ProofLevel::Stored);
        let number = group.iter().filter(stored).count();
        let text = format!(
            "{number} of {} {} {} never verified",
            group.len(),
            plural(group.len(), "backup", "backups"),
            plural(number, "was", "were")
        );
        let finding = Finding::ok("unverified", name, text);
        let measured = finding.measured(number as f64, Some(f64::from(limit)), "");
        Some(measured.at(
            warning_if(number > limit as usize),
            "verify them: kluis verify --pending",
        ))
    }

    fn storage(&self, facts: &Facts, findings: &mut Vec<Finding>) {
        findings.extend(runs::failures(facts, self.thresholds, self.now));
        findings.extend(runs::running(facts, self.thresholds, self.now));
        findings.push(runs::messages(facts, self.now));
        findings.extend(runs::passed_over(facts));
        findings.extend(damage::damaged(facts));
        findings.extend(damage::repeated(facts));
        findings.extend(self.ready(facts));
        findings.extend(self.covered(facts));
        let percent = self.thresholds.free_percent;
        findings.extend(percent.and_then(|limit| room::inodes(facts.inodes?, limit)));
        if let Some(room) = facts.room {
            findings.extend(percent.map(|limit| room::free(room, limit)));
            findings.extend(growth::growth(
                &facts.backups,
                room,
                self.thresholds.days_until_full,
                self.now,
            ));
        }
    }

    /// Whether the next backup can be made at all, as far as a check can tell.
    fn ready(&self, facts: &Facts) -> Vec<Finding> {
        let key = facts.keyless.as_ref().map(|(why, remedy)| {
            Finding::ok("key", "storage", why.as_str()).at(Level::Critical, remedy.as_str())
        });
        let server = facts.unasked.as_ref().map(|why| {
            let text = format!("the server was not asked for its databases: {why}");
            let remedy = "kluis doctor says which ways to it were tried";
            Finding::ok("server", "storage", text).at(Level::Warning, remedy)
        });
        key.into_iter().chain(server).collect()
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

fn complete(newest: &BackupFact) -> Finding {
    let text = match newest.lacks {
        0 => "the newest backup is complete".to_owned(),
        _ => "the newest backup is incomplete: something could not be read".to_owned(),
    };
    let finding = Finding::ok("complete", &newest.title, text);
    let remedy = format!(
        "see what with kluis show latest:{}; until it is mended, older complete ones stay",
        newest.title
    );
    let measured = finding.measured(newest.lacks as f64, Some(0.0), "");
    measured.at(warning_if(newest.lacks > 0), remedy)
}

fn warning_if(is_wrong: bool) -> Level {
    match is_wrong {
        true => Level::Warning,
        false => Level::Ok,
    }
}

#[cfg(test)]
mod tests;
