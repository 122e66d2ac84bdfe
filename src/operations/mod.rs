//! Orders the steps: lock, create, seal, commit, manifest, record. Knows the
//! drivers' traits only; prints nothing, reads no environment, takes `now`.

mod accept;
mod adopt;
mod backup;
mod compare;
mod contents;
mod decrypt;
mod error;
mod facts;
mod header_copy;
mod history;
mod hollow;
mod key_drill;
mod key_slots;
mod key_survey;
mod making;
mod marker;
mod prune;
mod read;
mod record;
mod rekey;
mod remove;
mod restore;
mod salt;
mod salvage;
mod series_move;
mod state;
mod stored;
mod sweep;
mod told;
mod verify;

use std::time::Duration;

use jiff::Timestamp;

use crate::cancel::Cancel;
use crate::catalog::{Backup, Catalog, Trust};
use crate::format::keyring::Keyring;
use crate::format::manifest::Trigger;
use crate::format::run_record::RunProcess;
use crate::lock::{self, FILE_NAME, Holder, Lock, LockError, LockKind};
use crate::storage::{Hold, Storage};
use crate::target::Target;

pub use accept::{Accepted, accept, is_anybodys};
pub use adopt::{AdoptFile, Adopted, Told, adopt};
pub use backup::{BackupDone, BackupPlan, Encryption, backup};
pub use compare::{ComparedTable, Comparison};
pub use contents::{ContentsDone, contents, tree_entries};
pub use decrypt::{DecryptDone, decrypt};
pub use error::OperationError;
pub use facts::{Stored, count_stored, facts, facts_with, holds_encrypted};
pub use header_copy::UnusedCopy;
pub use history::{History, HistoryFilter, PastRun, RunState, history, last_starts};
pub use hollow::refuse_hollow;
pub use key_drill::{Drilled, KeyDrillDone, key_drill};
pub use key_slots::{KeySlots, key_slots, seal_holds};
pub use key_survey::{ArchiveForm, SurveyedArchive, SurveyedSlot, survey_keys};
pub use marker::Marker;
pub use prune::{PruneDone, PruneScope, plan_prune, prune, simulate_prune};
pub use read::ReadReport;
pub use record::{Run, record_failure};
pub use rekey::{
    DroppedKey, KeyChange, KeyOutcome, KeyPlan, KeyRow, KeysChanged, REWRITTEN_BYTES, change_keys,
    reencrypt,
};
pub use remove::{delete, keep};
pub use restore::{NotRestored, ReadBack, RestoreDone, RestoreSteps, restore};
pub use salvage::{Damage, SalvageDone, SalvageSteps, salvage};
pub use series_move::{MovePlan, MovedSeries, SeriesMove, move_series, plan_move};
pub use sweep::{Swept, sweep};
pub use told::{STILL, has_record, record_told, was_told};
pub use verify::{Depth, VerifyDone, verify};

/// Where an operation tells how it goes. `render` implements it.
pub trait Reporter: Sync {
    /// A phase begins that moves bytes; `total` where it is known.
    fn phase(&self, what: &str, total_bytes: Option<u64>);
    /// So many more bytes of the phase are through. Called from any thread.
    fn advance(&self, bytes: u64);
    /// The phase is over.
    fn phase_done(&self);
    /// Worth knowing with `-v`.
    fn detail(&self, text: &str);
    /// Worth knowing always; does not stop the run.
    fn warn(&self, text: &str);
}

/// Makes the target that reads this backup without keeping it.
pub type MakeCheck<'a> = &'a dyn Fn(&Backup) -> Result<Box<dyn Target>, OperationError>;

/// A storage and what every operation on it needs.
pub struct Vault<'a> {
    /// Whether the storage is kluis' own: then runs lock it and leave a record.
    /// In other directories archives are only read.
    pub ours: bool,
    pub storage: &'a dyn Storage,
    pub ring: Keyring,
    /// Compressing or decompressing threads.
    pub workers: usize,
    pub lock_wait: Option<Duration>,
    pub cancel: Cancel,
    pub reporter: &'a dyn Reporter,
    pub actor: Actor,
}

/// Who runs this, for records and locks.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Whose rights it has.
    pub user: String,
    /// Who became that user by sudo.
    pub sudo_user: Option<String>,
    pub host: String,
    /// What the host is called where several write to one storage.
    pub label: String,
    /// "backup db", "prune", ...
    pub command: String,
    pub trigger: Trigger,
    /// The `[[schedule]]` that the run belongs to.
    pub schedule: Option<String>,
    pub process: RunProcess,
}

impl Actor {
    /// As a lock's file names who holds it.
    pub fn holder(&self, since: Timestamp) -> Holder {
        Holder {
            command: self.command.clone(),
            pid: self.process.pid,
            host: self.host.clone(),
            since,
        }
    }
}

impl<'a> Vault<'a> {
    /// The same storage for a step of another name, such as a prune behind a
    /// backup.
    pub fn for_step(&self, command: &str) -> Vault<'a> {
        Vault {
            ring: self.ring.share(),
            cancel: self.cancel.clone(),
            actor: Actor {
                command: command.to_owned(),
                ..self.actor.clone()
            },
            ..*self
        }
    }
}

impl Vault<'_> {
    /// What the keys at hand tell of who wrote a backup.
    pub fn trust(&self) -> Trust<'_> {
        Trust::of(&self.ring)
    }

    /// Whether what this host seals counts here afterwards; see `own_seal`. `false`
    /// for age recipients alone, which are no secret.
    pub fn can_seal(&self) -> bool {
        let ring = &self.ring;
        if ring.signer().is_some() || ring.knows_nothing() {
            return true;
        }
        ring.verifiers().is_empty() && ring.keys().iter().any(|key| key.material.opens())
    }

    /// What the storage holds, as it is now. What could not be read of it is told:
    /// whatever is removed is decided without it.
    fn catalog(&self) -> Result<Catalog, OperationError> {
        let catalog = Catalog::load(self.storage, self.trust())?;
        for broken in &catalog.unreadable {
            self.reporter.warn(&format!(
                "{} is passed over: {}",
                broken.what(),
                broken.error
            ));
        }
        for foreign in catalog.foreign.iter().filter(|it| it.why.is_alarming()) {
            let archive = &foreign.described().archive;
            self.reporter
                .warn(&format!("{archive} is passed over: {}", foreign.why));
        }
        for repeated in &catalog.repeated {
            let archive = &repeated.ours.archive;
            self.reporter
                .warn(&format!("{archive} is passed over: {}", repeated.why()));
        }
        Ok(catalog)
    }

    /// Holds the storage against other runs until the guard is dropped. `None`
    /// where the storage is not a directory on this host.
    fn lock(&self, kind: LockKind, now: Timestamp) -> Result<Option<Lock>, OperationError> {
        self.lock_within(kind, now, self.lock_wait)
    }

    /// [`Vault::lock`] with a wait of its own.
    fn lock_within(
        &self,
        kind: LockKind,
        now: Timestamp,
        wait: Option<Duration>,
    ) -> Result<Option<Lock>, OperationError> {
        if kind == LockKind::Shared && !self.ours {
            return Ok(None);
        }
        let Some(path) = self.storage.lock_file(FILE_NAME)? else {
            return Ok(None);
        };
        let holder = self.actor.holder(now);
        let take = |wait| Lock::acquire(&path, kind, wait, &holder, &self.cancel);
        let locked = match (take(None), wait) {
            (Err(LockError::Held { holders, .. }), Some(wait)) if !wait.is_zero() => {
                let who = lock::shown(&holders);
                self.reporter
                    .detail(&format!("waiting for the lock, held by {who}"));
                take(Some(wait))
            }
            (locked, _) => locked,
        };
        match locked {
            // Nobody can write there, so nobody can take anything away either.
            Err(LockError::Place { source, .. })
                if kind == LockKind::Shared && is_read_only(&source) =>
            {
                self.reporter
                    .detail("the storage cannot be written to: no lock, no record");
                Ok(None)
            }
            locked => Ok(Some(locked?)),
        }
    }

    /// A stop makes a run fail in many ways, by children that are ended for one:
    /// then the stop is the reason.
    fn stopped_or(&self, error: OperationError) -> OperationError {
        match self.cancel.check() {
            Err(cancelled) => cancelled.into(),
            Ok(()) => error,
        }
    }
}

/// What a run that reads an archive keeps from others.
enum Held {
    /// All of the storage; `None` where nobody can write to it.
    Storage(Option<Lock>),
    #[expect(dead_code, reason = "held until it is dropped")]
    Archive(Hold),
}

impl Held {
    /// The archive alone, where that can be, in place of `lock`.
    fn archive(
        vault: &Vault<'_>,
        backup: &Backup,
        lock: Option<Lock>,
    ) -> Result<Self, OperationError> {
        match vault.storage.hold(&backup.archive) {
            Ok(Some(hold)) => Ok(Self::Archive(hold)),
            // What is wrong with it is told by who reads it.
            Ok(None) | Err(_) => Ok(Self::Storage(lock)),
        }
    }
}

/// 64 bits for an id.
fn random_id() -> Result<[u8; 8], OperationError> {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => Err(OperationError::Refused {
            what: format!("the system has no random numbers for an id: {error}"),
        }),
    }
}

fn is_read_only(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem)
}
