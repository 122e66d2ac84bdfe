//! What a run came to, as hooks and messages tell it. Pure; who is told and how
//! is `notify`'s and `hooks`'. Invariant: nothing secret stands in an event.

use jiff::Timestamp;

use crate::format::manifest::{Kind, Manifest, Trigger};

/// What happened, by the names that receivers know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    BackupCompleted,
    BackupFailed,
    RestoreCompleted,
    RestoreFailed,
    VerifyFailed,
    CheckUnhealthy,
}

impl EventKind {
    pub const ALL: [Self; 6] = [
        Self::BackupCompleted,
        Self::BackupFailed,
        Self::RestoreCompleted,
        Self::RestoreFailed,
        Self::VerifyFailed,
        Self::CheckUnhealthy,
    ];

    /// "backup.completed": a contract with receivers.
    pub fn name(self) -> &'static str {
        match self {
            Self::BackupCompleted => "backup.completed",
            Self::BackupFailed => "backup.failed",
            Self::RestoreCompleted => "restore.completed",
            Self::RestoreFailed => "restore.failed",
            Self::VerifyFailed => "verify.failed",
            Self::CheckUnhealthy => "check.unhealthy",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub fn is_success(self) -> bool {
        matches!(self, Self::BackupCompleted | Self::RestoreCompleted)
    }
}

/// One thing that happened. A run over several databases tells one for each.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub kind: EventKind,
    pub at: Timestamp,
    /// The run's subcommand: "backup db".
    pub command: String,
    pub trigger: Trigger,
    /// The `[[schedule]]` that the run belongs to.
    pub schedule: Option<String>,
    pub host: String,
    /// Where the storage is, without secrets; empty where none was reached.
    pub storage: String,
    /// Database or tree; `None` where it is about a whole storage.
    pub subject: Option<Kind>,
    /// The name of the database or tree; `None` where a run failed before it
    /// came to one.
    pub name: Option<String>,
    pub backup: Option<EventBackup>,
    pub duration_ms: Option<u64>,
    /// Why it failed, and what to do; of a completed one, what is not as it
    /// should be, such as files that could not be read.
    pub problem: Option<String>,
}

/// The archive that an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventBackup {
    pub id: String,
    pub file: String,
    pub stored_bytes: u64,
}

impl EventBackup {
    pub fn of(manifest: &Manifest) -> Self {
        Self {
            id: manifest.id.to_string(),
            file: manifest.stored.file.to_string(),
            stored_bytes: manifest.stored.bytes,
        }
    }
}
