//! The record of a run: `runs/<UTC>_<command>_<id>.json`, the history and the
//! audit trail. Owns the shape and the name; who writes it and when is an
//! operation's. Invariant: a record that still says RUNNING although its process
//! is gone is the trace of an interrupted run.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::keyring::Keyring;
use super::manifest::Trigger;
use super::names::{parse_utc, utc_in_name};
use super::own_seal::{self, Sealed};
use crate::ids::RunId;

pub const RUN_RECORD_VERSION: u32 = 1;

/// The command of a run that rotates keys.
pub const KEY_ROTATE: &str = "key rotate";

/// The command of a message that was not sent.
pub const NOTIFY: &str = "notify";

/// How the detail of a run begins whose backup lacks something.
pub const INCOMPLETE: &str = "incomplete: ";

/// Of an error and of a detail. As JSON a control character takes six bytes, and the
/// two are less than `RECORD_BYTES_MAX` then too.
const TEXT_BYTES_MAX: usize = 8 << 10;

const PREFIX: &str = "runs/";
const SUFFIX: &str = ".json";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    pub version: u32,
    pub id: RunId,
    /// The subcommand: "backup db".
    pub command: String,
    pub trigger: Trigger,
    /// The `[[schedule]]` that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    pub status: RunStatus,
    /// The archive that the run makes or works on, where it is about one. It
    /// stands here before the first byte is written: what a crash leaves of it
    /// can be told from other programs' files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
    /// Stored by a backup, read by a verify or restore, freed by a prune, written
    /// into archives by a change of keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The archives that a prune has removed so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// What a run over many archives does and how far it is: which keys are
    /// exchanged for which, for one. Without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What the dump's programs said by which nothing is missing: the first ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Of a failed run, and of one that is RUNNING because it failed and left
    /// something to the next sweep; without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    pub started: Timestamp,
    /// When it ended, well or not; absent where it did not come to say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Whose rights it had: the user's name, or number.
    pub user: String,
    /// Who became that user by sudo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sudo_user: Option<String>,
    pub host: String,
    /// What the host is called where several write to one storage, whatever its name
    /// is today; absent in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The id that the storage's marker had, so that a seal is good in that storage
    /// alone. Absent in records of earlier versions, which are believed in any, and
    /// where there was no marker yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<String>,
    pub process: RunProcess,
    /// By a configured key, over the record's JSON without it: see `own_seal`. A
    /// sweep that has a key removes nothing on the word of a record without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RunStatus {
    Running,
    Completed,
    Failed,
}

/// Tells a process from a later one that was given the same pid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunProcess {
    pub pid: u32,
    /// Clock ticks from boot to the process's start: field 22 of
    /// `/proc/<pid>/stat`, see proc(5).
    pub start_ticks: u64,
    /// `/proc/sys/kernel/random/boot_id`: ticks of another boot say nothing.
    pub boot_id: String,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEnd {
    Completed,
    Failed { error: String },
}

impl RunRecord {
    /// Its place in the storage. Sorted as text, the keys are sorted by time.
    pub fn key(&self) -> String {
        run_key(self.started, &self.command, &self.id)
    }

    /// Whether it completed, and its backup lacks something.
    pub fn is_incomplete(&self) -> bool {
        let says_so = |detail: &String| detail.starts_with(INCOMPLETE);
        self.status == RunStatus::Completed && self.detail.as_ref().is_some_and(says_so)
    }

    /// Whether a host of this label and name ran it.
    pub fn ran_on(&self, label: &str, host: &str) -> bool {
        match &self.label {
            Some(own) => own == label,
            None => self.host == host,
        }
    }

    /// Whether it was written into the storage of this id.
    pub fn is_of_storage(&self, id: Option<&str>) -> bool {
        self.storage.is_none() || self.storage.as_deref() == id
    }

    /// Whether the run makes or removes the archive that it names; others, such
    /// as a verify, only read it.
    pub fn changes_its_backup(&self) -> bool {
        changes_backups(&self.command)
    }

    /// Whether the run may write archives anew in place of others. It names them
    /// only while it does that: one that changes slots alone names none.
    pub fn reencrypts(&self) -> bool {
        self.command == KEY_ROTATE
    }

    /// Whether the names of further archives belong into another record.
    pub fn is_full(&self) -> bool {
        let names = serde_json::to_vec(&self.removed).unwrap_or_default();
        names.len() > REMOVED_BYTES_MAX
    }

    /// Whether it says that this archive is what it made, read or removed; or one of
    /// which this is a part of the name.
    pub fn is_about(&self, archive: &str) -> bool {
        let mut all = self.backup.iter().chain(&self.removed);
        all.any(|it| it.contains(archive))
    }

    /// Short enough to be read again, whatever a run says of itself.
    pub fn clipped(self) -> Self {
        let clipped = |text: String| clip(&text).to_owned();
        Self {
            error: self.error.map(clipped),
            detail: self.detail.map(clipped),
            ..self
        }
    }

    /// Sealed by a key of the ring, where it has a secret. `salt` is the storage's.
    pub fn sealed(self, ring: &Keyring, salt: Option<&[u8; 16]>) -> Self {
        let plain = Self {
            seal: None,
            ..self.clipped()
        };
        let seal = own_seal::seal(ring, Sealed::Record, &plain.to_bytes(), salt);
        Self { seal, ..plain }
    }

    /// Whether a key of the ring sealed the record as it is.
    pub fn seal_holds(&self, ring: &Keyring) -> bool {
        let Some(seal) = &self.seal else {
            return false;
        };
        let plain = Self {
            seal: None,
            ..self.clone()
        };
        own_seal::holds(ring, Sealed::Record, &plain.to_bytes(), seal)
    }

    /// The record's JSON. A type of text and numbers only always has one.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The record at the run's end. A clock that was set back meanwhile makes a
    /// duration of 0.
    pub fn ended(self, now: Timestamp, end: RunEnd) -> Self {
        let duration_ms = now.duration_since(self.started).as_millis();
        let (status, error) = match end {
            RunEnd::Completed => (RunStatus::Completed, None),
            RunEnd::Failed { error } => (RunStatus::Failed, Some(error)),
        };
        Self {
            status,
            error,
            completed: Some(now),
            duration_ms: Some(u64::try_from(duration_ms).unwrap_or(0)),
            ..self
        }
    }

    /// The record of a run whose process is gone. Nobody knows when it ended, so
    /// it has neither that nor a duration: that tells it from one that failed.
    pub fn interrupted(self, error: String) -> Self {
        Self {
            status: RunStatus::Failed,
            error: Some(error),
            ..self
        }
    }

    /// Whether this is what [`RunRecord::interrupted`] left.
    pub fn is_interrupted(&self) -> bool {
        self.status == RunStatus::Failed && self.completed.is_none()
    }
}

/// Of the names of removed archives, as JSON has them: with the texts beside them a
/// record stays below `RECORD_BYTES_MAX`.
const REMOVED_BYTES_MAX: usize = 24 << 10;

/// As much of a text as a record holds.
pub fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

fn changes_backups(command: &str) -> bool {
    matches!(command, "delete" | "prune" | KEY_ROTATE) || command.starts_with("backup")
}

/// What a record's key says without opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunKey {
    /// To the second.
    pub started: Timestamp,
    /// With dashes for blanks: "backup-db".
    pub command: String,
    pub id: RunId,
}

impl RunKey {
    /// As [`RunRecord::changes_its_backup`], by the key alone.
    pub fn may_change_backups(&self) -> bool {
        let command = self.command.replace('-', " ");
        changes_backups(&command)
    }

    /// `None` if `key` is not a record's.
    pub fn parse(key: &str) -> Option<Self> {
        let stem = key.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
        let (utc, rest) = stem.split_once('_')?;
        let (command, id) = rest.rsplit_once('_')?;
        Some(Self {
            started: parse_utc(utc)?,
            command: command.to_owned(),
            id: id.parse().ok()?,
        })
    }
}

fn run_key(started: Timestamp, command: &str, id: &RunId) -> String {
    let command: String = command
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    format!("{PREFIX}{}_{command}_{id}{SUFFIX}", utc_in_name(started))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running() -> RunRecord {
        RunRecord {
            version: RUN_RECORD_VERSION,
            id: RunId::from_random([7; 8]),
            command: "backup db".to_owned(),
            trigger: Trigger::Manual,
            schedule: None,
            status: RunStatus::Running,
            backup: None,
            bytes: None,
            removed: Vec::new(),
            detail: None,
            warnings: Vec::new(),
            error: None,
            started: "2026-01-18T10:30:00.5Z".parse().unwrap(),
            completed: None,
            duration_ms: None,
            user: "postgres".to_owned(),
            sudo_user: None,
            host: "db1".to_owned(),
            label: None,
            storage: None,
            process: RunProcess {
                pid: 1,
                start_ticks: 2,
                boot_id: "3".to_owned(),
            },
            seal: None,
        }
    }

    #[test]
    fn a_record_lies_under_its_time_command_and_id() {
        let key = running().key();
        assert_eq!(
            key,
            "runs/2026-01-18T10-30-00_backup-db_0707070707070707.json"
        );
        let parsed = RunKey::parse(&key).unwrap();
        assert_eq!(parsed.command, "backup-db");
        assert_eq!(parsed.id, running().id);
        assert_eq!(parsed.started, "2026-01-18T10:30:00Z".parse().unwrap());
    }

    #[test]
    fn what_is_no_record_is_not_read() {
        for key in [
            "runs/x.json",
            "2026-01-18T10-30-00_backup-db_0707070707070707.json",
            "runs/2026-01-18T10-30-00_backup-db_07.json",
            "runs/2026-01-18T10-30-00_0707070707070707.json",
        ] {
            assert_eq!(RunKey::parse(key), None, "{key}");
        }
    }

    #[test]
    fn a_failed_run_tells_its_error_and_duration() {
        let now = "2026-01-18T10:30:02Z".parse().unwrap();
        let failed = running().ended(
            now,
            RunEnd::Failed {
                error: "disk full".to_owned(),
            },
        );
        let json = serde_json::to_value(&failed).unwrap();
        assert_eq!(json["status"], "FAILED");
        assert_eq!(json["error"], "disk full");
        assert_eq!(json["duration_ms"], 1500);
        assert_eq!(serde_json::from_value::<RunRecord>(json).unwrap(), failed);
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_negative_duration() {
        let now = "2020-01-01T00:00:00Z".parse().unwrap();
        let done = running().ended(now, RunEnd::Completed);
        assert_eq!(done.duration_ms, Some(0));
    }
}
