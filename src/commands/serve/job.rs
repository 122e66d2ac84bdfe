//! One run of `kluis serve`: its command line, and what its end says.

use std::ffi::OsString;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::commands::session::GivenFlags;
use crate::config::Settings;
use crate::exit::Exit;
use crate::format::manifest::Kind;
use crate::process::{Ended, Tool};
use crate::render::{counted, duration, size};
use crate::schedule::Due;
use crate::trigger::{Execution, Order, Outcome};

/// A scheduled run waits so long for another program's run to end, unless the
/// operator said otherwise.
const LOCK_WAIT: Duration = Duration::from_secs(3600);

/// What is to run, and for whom.
pub enum Job {
    Scheduled(Due),
    Ordered(Order),
}

impl Job {
    pub fn name(&self) -> String {
        match self {
            Self::Scheduled(due) => due.name.clone(),
            Self::Ordered(order) => format!("trigger ({})", type_word(order.kind).to_lowercase()),
        }
    }

    /// Why it begins now: for the log.
    pub fn reason(&self, settings: &Settings) -> String {
        match self {
            Self::Scheduled(due) if due.missed => {
                format!("started, missed at {}", shown(due.at, settings))
            }
            Self::Scheduled(_) => "started".to_owned(),
            Self::Ordered(_) => "started, as was asked over HTTP".to_owned(),
        }
    }

    /// `None` where its schedule is no longer configured.
    pub fn tool(&self, settings: &Settings, given: &GivenFlags) -> Option<Tool> {
        let mut schedules = settings.schedules.iter();
        let (command, wait) = match self {
            Self::Scheduled(due) => {
                let schedule = schedules.find(|it| it.name.value == due.name)?;
                let configured = settings.lock_wait.origin != crate::config::Origin::Default;
                (schedule.command(), (!configured).then_some(LOCK_WAIT))
            }
            // Who asks is told at once that something else runs.
            Self::Ordered(order) => {
                let what = match order.kind {
                    Kind::Db => "db",
                    Kind::Source => "source",
                };
                let words = ["backup", what, "--trigger=external"].map(str::to_owned);
                (words.to_vec(), Some(Duration::ZERO))
            }
        };
        let wait = wait.map(|wait| format!("--lock-wait={}s", wait.as_secs()));
        let tool = ourselves(given).arg("--json").args(wait).args(command);
        Some(tool)
    }
}

/// kluis with the global flags that we were given ourselves.
pub fn ourselves(given: &GivenFlags) -> Tool {
    let mut tool = Tool::ourselves().args(["--no-progress", "--color=never"]);
    let paths = [
        ("--config", &given.config),
        ("--env-file", &given.env_file),
        ("--storage", &given.storage),
    ];
    for (flag, path) in paths {
        if let Some(path) = path {
            let mut argument = OsString::from(format!("{flag}="));
            argument.push(path);
            tool = tool.arg(argument);
        }
    }
    let limits = [
        ("--run-limit", given.run_limit),
        ("--stall-limit", given.stall_limit),
    ];
    for (flag, limit) in limits {
        if let Some(limit) = limit {
            tool = tool.arg(format!("{flag}={}s", limit.as_secs()));
        }
    }
    if given.quiet {
        tool = tool.arg("--quiet");
    }
    tool.args((0..given.verbose).map(|_| "--verbose"))
}

/// What a run that ended says in its JSON.
pub struct Said {
    exit_code: i32,
    document: Value,
    took: Duration,
}

impl Said {
    pub fn of(ended: &Ended, took: Duration) -> Self {
        Self {
            exit_code: ended.exit_code,
            document: serde_json::from_slice(&ended.stdout).unwrap_or_default(),
            took,
        }
    }

    /// Its command line or its configuration was refused.
    pub fn is_refused(&self) -> bool {
        self.exit_code == i32::from(Exit::Usage.code())
    }

    pub fn is_well(&self) -> bool {
        self.exit_code == i32::from(Exit::Done.code())
    }

    /// For the log: how it ended, in what time, and with what.
    pub fn line(&self) -> String {
        let word = match u8::try_from(self.exit_code) {
            Ok(0) => "done".to_owned(),
            Ok(code) if code == Exit::Incomplete.code() => "INCOMPLETE (exit code 3)".to_owned(),
            Ok(code) if code == Exit::Integrity.code() => "NOT RIGHT (exit code 4)".to_owned(),
            Ok(code) if code == Exit::Unhealthy.code() => "UNHEALTHY (exit code 5)".to_owned(),
            Ok(code) if code == Exit::Locked.code() => "LOCKED OUT (exit code 6)".to_owned(),
            _ => format!("FAILED (exit code {})", self.exit_code),
        };
        let mut line = format!("{word} in {}", duration(self.took));
        let bytes = self.backups().filter_map(|it| it["stored_bytes"].as_u64());
        let (number, bytes) = bytes.fold((0, 0), |(n, sum), bytes| (n + 1, sum + bytes));
        if number > 0 {
            let backups = counted(number, "backup", "backups");
            line.push_str(&format!(": {backups}, {}", size(bytes)));
        }
        line
    }

    fn backups(&self) -> impl Iterator<Item = &Value> {
        self.document["backups"].as_array().into_iter().flatten()
    }

    fn failed(&self) -> impl Iterator<Item = &Value> {
        self.document["failed"].as_array().into_iter().flatten()
    }

    /// The answer to who asked for it.
    pub fn outcome(&self, kind: Kind) -> Outcome {
        if self.exit_code == i32::from(Exit::Locked.code()) {
            return Outcome::Busy {
                message: self.error(),
            };
        }
        let complete = [Exit::Done, Exit::Incomplete].map(|exit| i32::from(exit.code()));
        let made = complete.contains(&self.exit_code) && self.backups().next().is_some();
        let failed = self.failed().next().is_some();
        let execution = self.execution(kind, made && !failed);
        match made && !failed {
            true if self.is_well() => Outcome::Done {
                message: "the backup is made".to_owned(),
                execution,
            },
            true => Outcome::Done {
                message: "the backup is made, but not everything is in it, or older ones were \
                          not pruned; kluis show tells"
                    .to_owned(),
                execution,
            },
            false => Outcome::Failed {
                message: self.error(),
                execution,
            },
        }
    }

    fn execution(&self, kind: Kind, well: bool) -> Execution {
        let first = self.backups().next();
        let text = |key: &str| Some(first?[key].as_str()?.to_owned());
        let files = self.backups().filter_map(|it| it["file"].as_str());
        let files: Vec<String> = files.map(str::to_owned).collect();
        Execution {
            id: 0,
            backup: text("id"),
            r#type: type_word(kind),
            status: if well { "COMPLETED" } else { "FAILED" },
            filename: text("file"),
            file_size: first.and_then(|it| it["stored_bytes"].as_u64()),
            duration_ms: u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            error_message: (!well).then(|| self.error()),
            files: if files.len() > 1 { files } else { Vec::new() },
        }
    }

    /// Why it failed, in its own words.
    pub fn error(&self) -> String {
        let of_run = self.document["error"].as_str().map(str::to_owned);
        of_run.unwrap_or_else(|| {
            let each = self.failed().map(|it| {
                let text = |key: &str| it[key].as_str().unwrap_or_default();
                format!("{}: {}", text("name"), text("error"))
            });
            match each.collect::<Vec<_>>().join("; ") {
                none if none.is_empty() => format!("kluis ended with exit code {}", self.exit_code),
                all => all,
            }
        })
    }
}

/// As the clients of the replaced service know it.
fn type_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Db => "DATABASE",
        Kind::Source => "SOURCE",
    }
}

/// A time in the settings' time zone.
pub fn shown(time: Timestamp, settings: &Settings) -> String {
    let zoned = time.to_zoned(settings.time_zone.value.clone());
    zoned.strftime("%Y-%m-%d %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(exit_code: i32, document: &str) -> Said {
        let ended = Ended {
            exit_code,
            stdout: document.as_bytes().to_vec(),
            stderr: String::new(),
        };
        Said::of(&ended, Duration::from_millis(1500))
    }

    const TWO: &str = r#"{"backups":[{"id":"a","file":"a.gz","stored_bytes":1024},
                         {"id":"b","file":"b.gz","stored_bytes":1024}]}"#;

    #[test]
    fn a_good_run_is_told_with_its_backups() {
        let said = said(0, TWO);
        assert_eq!(said.line(), "done in 1.5 s: 2 backups, 2.0 KiB");
        let Outcome::Done { execution, .. } = said.outcome(Kind::Db) else {
            panic!("not done");
        };
        assert_eq!(execution.backup.as_deref(), Some("a"));
        assert_eq!(execution.file_size, Some(1024));
        assert_eq!(execution.files, ["a.gz", "b.gz"]);
        assert_eq!(
            (execution.r#type, execution.status),
            ("DATABASE", "COMPLETED")
        );
    }

    #[test]
    fn one_database_that_failed_makes_a_failure() {
        let document = r#"{"backups":[{"id":"a","file":"a.gz","stored_bytes":1}],
                           "failed":[{"name":"wiki","error":"no such database"}]}"#;
        let Outcome::Failed { message, execution } = said(3, document).outcome(Kind::Db) else {
            panic!("not failed");
        };
        assert_eq!(message, "wiki: no such database");
        assert_eq!(
            execution.error_message.as_deref(),
            Some("wiki: no such database")
        );
    }

    #[test]
    fn an_incomplete_tree_is_a_backup_all_the_same() {
        let outcome = said(3, TWO).outcome(Kind::Source);
        assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
    }

    #[test]
    fn what_ends_without_a_word_failed() {
        let said = said(137, "");
        assert_eq!(said.line(), "FAILED (exit code 137) in 1.5 s");
        let Outcome::Failed { message, .. } = said.outcome(Kind::Db) else {
            panic!("not failed");
        };
        assert_eq!(message, "kluis ended with exit code 137");
    }

    #[test]
    fn a_storage_that_is_locked_is_busy() {
        let locked = said(6, r#"{"error":"held by kluis prune","exit_code":6}"#);
        let message = "held by kluis prune".to_owned();
        assert_eq!(locked.outcome(Kind::Db), Outcome::Busy { message });
    }
}
