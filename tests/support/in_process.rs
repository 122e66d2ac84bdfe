//! Operations without a binary around them: a vault over any storage, a small
//! tree as the source, and a reporter that remembers what it was told.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use kluis::cancel::Cancel;
use kluis::catalog::Backup;
use kluis::format::keyring::{KeyMaterial, Keyring};
use kluis::format::manifest::{Codec, Trigger};
use kluis::format::names::ArchiveFormat;
use kluis::format::run_record::RunProcess;
use kluis::operations::{
    Actor, BackupDone, BackupPlan, Depth, Encryption, OperationError, Reporter, Vault, VerifyDone,
    backup, verify,
};
use kluis::postgres::ClientSearch;
use kluis::source::{DirectorySource, TreeOptions};
use kluis::storage::Storage;
use kluis::wiring::{ArchivePrograms, check_target};

pub use crate::support::noise::noise;

/// Remembers the warnings.
#[derive(Default)]
pub struct Witness {
    pub warnings: Mutex<Vec<String>>,
}

impl Reporter for Witness {
    fn phase(&self, _what: &str, _total_bytes: Option<u64>) {}
    fn advance(&self, _bytes: u64) {}
    fn phase_done(&self) {}
    fn detail(&self, _text: &str) {}
    fn warn(&self, text: &str) {
        self.warnings.lock().unwrap().push(text.to_owned());
    }
}

/// A key of 64 hex digits.
pub const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

pub fn vault<'a>(storage: &'a dyn Storage, reporter: &'a Witness, command: &str) -> Vault<'a> {
    Vault {
        ours: true,
        storage,
        ring: Keyring::of(KeyMaterial::parse(KEY).unwrap()),
        workers: 1,
        lock_wait: None,
        cancel: Cancel::default(),
        reporter,
        actor: Actor {
            user: "tester".to_owned(),
            sudo_user: None,
            host: "here".to_owned(),
            label: "here".to_owned(),
            command: command.to_owned(),
            trigger: Trigger::Manual,
            schedule: None,
            process: another_process(),
        },
    }
}

/// Each vault is a run of its own, and none of them is alive.
fn another_process() -> RunProcess {
    static STARTED: AtomicU64 = AtomicU64::new(0);
    RunProcess {
        pid: std::process::id(),
        start_ticks: STARTED.fetch_add(1, Ordering::Relaxed),
        boot_id: String::new(),
    }
}

/// The hour `n` of a day; so names and times never collide.
pub fn at(n: i64) -> Timestamp {
    let start: Timestamp = "2026-01-18T00:00:00Z".parse().unwrap();
    start + jiff::SignedDuration::from_hours(n)
}

pub fn plan(name: &str, encryption: Encryption) -> BackupPlan {
    BackupPlan {
        before_restore_of: None,
        name: name.to_owned(),
        label: "here".to_owned(),
        given_root: None,
        allow_empty: false,
        format: ArchiveFormat::Tree,
        codec: Codec::Gzip,
        level: 1,
        encryption,
        note: None,
        keep: false,
    }
}

/// Backs the tree at `root` up under the name "tree".
pub fn back_up(
    vault: &Vault<'_>,
    root: &Path,
    encryption: Encryption,
    now: Timestamp,
) -> Result<BackupDone, OperationError> {
    backup(vault, &plan("tree", encryption), now, || {
        let options = TreeOptions::default();
        let source = DirectorySource::new(root, options, vault.cancel.clone())?;
        Ok(Box::new(source))
    })
}

/// `kluis verify`, full.
pub fn prove(vault: &Vault<'_>, backup: &Backup) -> Result<VerifyDone, OperationError> {
    let clients = ClientSearch::new(None, None);
    let programs = ArchivePrograms::of_machine(clients, std::env::temp_dir());
    let check = |backup: &Backup| check_target(backup, &programs, &Cancel::default());
    verify(vault, backup, Depth::Full, at(1_000), &check)
}

/// A tree of one file that does not compress, of `bytes` bytes.
pub fn tree_of(bytes: usize) -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    std::fs::write(tree.path().join("file"), noise(bytes)).unwrap();
    tree
}
