//! Which series a `[[schedule]]` with keep rules backs up, so that its rules hold for
//! them whoever prunes. Refuses two rules for one series.

use std::path::{Component, Path};

use super::file::Keys;
use super::layers::{Layers, wrong};
use super::settings::{PolicySettings, ScheduledRulesSettings};
use super::{ConfigError, ScheduleSettings, Work};
use crate::cli::{BackupCommand, Command};
use crate::format::manifest::Kind;
use crate::retention::{Coverage, Covered};

impl Layers<'_> {
    /// The keep rules of all schedules, and for what they hold.
    pub(super) fn scheduled_rules(
        &self,
        schedules: &[ScheduleSettings],
    ) -> Result<Vec<ScheduledRulesSettings>, ConfigError> {
        let mut all: Vec<ScheduledRulesSettings> = Vec::new();
        for schedule in schedules {
            let Some(policy) = &schedule.retention else {
                continue;
            };
            let Some(coverage) = coverage(schedule, self.keys) else {
                continue;
            };
            let rules = ScheduledRulesSettings {
                coverage,
                policy: policy.clone(),
            };
            if let Some(other) = all.iter().find(|other| overlap(other, &rules)) {
                let what = format!(
                    "{:?} and the [[schedule]] {:?} both have keep rules for the same backups: \
                     leave those of one of them out",
                    rules.policy.name.value, other.policy.name.value
                );
                return Err(wrong(&rules.policy.name.origin, what));
            }
            all.push(rules);
        }
        Ok(all)
    }
}

/// A policy holds for names that no schedule has rules for.
pub(super) fn refuse_two_rules(
    policies: &[PolicySettings],
    scheduled: &[ScheduledRulesSettings],
) -> Result<(), ConfigError> {
    for (at, policy) in policies.iter().enumerate() {
        let name = &policy.name;
        let kind = policy.kind.as_ref().map(|kind| kind.value);
        let is_same = |other: &PolicySettings| {
            let theirs = other.kind.as_ref().map(|kind| kind.value);
            other.name.value == name.value && (kind.is_none() || theirs.is_none() || kind == theirs)
        };
        if policies[..at].iter().any(is_same) {
            let what = format!("another [[retention.policy]] is for {:?} too", name.value);
            return Err(wrong(&name.origin, what));
        }
        let has_it = |rules: &&ScheduledRulesSettings| {
            let mut of = rules.coverage.of.iter().flatten();
            (kind.is_none() || kind == rules.coverage.kind) && of.any(|it| it.name == name.value)
        };
        if let Some(rules) = scheduled.iter().find(has_it) {
            let what = format!(
                "{:?} has a [[retention.policy]], and the [[schedule]] {:?}, which backs it up, \
                 has keep rules too: leave those of one of them out",
                name.value, rules.policy.name.value
            );
            return Err(wrong(&name.origin, what));
        }
    }
    Ok(())
}

/// What it backs up or prunes; `None` of one that does neither.
pub(super) fn coverage(schedule: &ScheduleSettings, keys: &Keys) -> Option<Coverage> {
    let kind = match schedule.work {
        Work::Db => Kind::Db,
        Work::Source => Kind::Source,
        Work::Prune => {
            let pruning = schedule.pruning()?;
            let name = pruning.name.map(|name| vec![Covered { name, root: None }]);
            return Some(Coverage {
                kind: pruning.kind.map(Kind::from),
                of: name,
            });
        }
        Work::Verify | Work::Check => return None,
    };
    Some(Coverage {
        kind: Some(kind),
        of: covered(schedule, keys),
    })
}

/// `None`: all of its kind that nobody else has rules for.
fn covered(schedule: &ScheduleSettings, keys: &Keys) -> Option<Vec<Covered>> {
    let of_database = |name: &String| Covered {
        name: name.clone(),
        root: None,
    };
    match schedule.parsed().ok()?.command {
        Command::Backup(BackupCommand::Db(db)) => {
            let flags = &db.databases;
            let own = schedule.names.as_ref().map(|names| &names.value);
            let of_file = keys.database.names.as_ref().map(|names| names.get_ref());
            let names = match flags.names.is_empty() {
                true => own.or(of_file.filter(|_| !flags.all))?,
                false => &flags.names,
            };
            Some(names.iter().map(of_database).collect())
        }
        Command::Backup(BackupCommand::Source(source)) => {
            let own = schedule.paths.as_ref().map(|paths| &paths.value);
            let paths = match source.paths.is_empty() {
                true => own?,
                false => &source.paths,
            };
            let of_file = keys.source.name.as_ref().map(|name| name.get_ref());
            let name = source.name.as_ref().or(of_file);
            Some(paths.iter().map(|path| of_tree(path, name)).collect())
        }
        _ => None,
    }
}

/// As a backup names it, and calls its root.
fn of_tree(path: &Path, name: Option<&String>) -> Covered {
    let own = path.file_name().map(|name| name.to_string_lossy());
    let own = own.map_or_else(|| "root".to_owned(), |name| name.into_owned());
    let whole: std::path::PathBuf = path.components().collect();
    // What leads up, or begins here, is known only where it is backed up.
    let goes_up = path.components().any(|part| part == Component::ParentDir);
    let is_plain = path.is_absolute() && !goes_up;
    Covered {
        name: name.cloned().unwrap_or(own),
        root: is_plain.then(|| whole.to_string_lossy().into_owned()),
    }
}

fn overlap(one: &ScheduledRulesSettings, other: &ScheduledRulesSettings) -> bool {
    let is_same = |a: &Covered, b: &Covered| {
        a.name == b.name && (a.root.is_none() || b.root.is_none() || a.root == b.root)
    };
    let (one, other) = (&one.coverage, &other.coverage);
    one.kind == other.kind
        && match (&one.of, &other.of) {
            (None, None) => true,
            (Some(one), Some(other)) => one.iter().any(|a| other.iter().any(|b| is_same(a, b))),
            _ => false,
        }
}
