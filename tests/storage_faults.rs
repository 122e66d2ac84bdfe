//! A storage that fails at every step in turn: an error, nothing half-done to be
//! seen, older backups whole, and a next run that is fine.
//!
//! First the operations over a storage in memory, each call and write of it;
//! then the real binary on a real directory, each system call, by strace.

use std::io;
use std::process::Output;

use jiff::tz::TimeZone;
use kluis::catalog::{Backup, Catalog, Trust, read_whole};
use kluis::format::keyring::{KeyMaterial, Keyring};
use kluis::format::names::manifest_key;
use kluis::format::run_record::{RunRecord, RunStatus};
use kluis::operations::{Encryption, OperationError, PruneScope, Vault, delete, prune};
use kluis::retention::KeepRules;
use kluis::storage::{MemoryStorage, Storage};

use crate::support::faulting::{FaultPlan, Faulting, Manner};
use crate::support::house::House;
use crate::support::in_process;
use crate::support::in_process::{Witness, at, back_up, prove, tree_of, vault};
use crate::support::tracing::{can_trace, kluis_meeting};

/// A storage with three encrypted backups of a tree, made at hours 0, 1 and 2.
struct Stage {
    tree: tempfile::TempDir,
    filled: MemoryStorage,
}

impl Stage {
    fn new() -> Self {
        // Several frames of encryption.
        let stage = Self {
            tree: tree_of(300_000),
            filled: MemoryStorage::new(),
        };
        for hour in 0..3 {
            stage.back_up(&stage.filled, hour).0.unwrap();
        }
        stage
    }

    /// Its own copy for one case.
    fn storage(&self) -> MemoryStorage {
        let copy = MemoryStorage::new();
        for prefix in ["", "runs/"] {
            for object in self.filled.list(prefix).unwrap() {
                let bytes = read_whole(&self.filled, &object.key, u64::MAX).unwrap();
                copy.replace(&object.key, &bytes).unwrap();
            }
        }
        copy
    }

    fn back_up(&self, storage: &dyn Storage, hour: i64) -> (Result<(), OperationError>, bool) {
        act(storage, "backup source", |vault| {
            back_up(vault, self.tree.path(), Encryption::Kluis1, at(hour)).map(drop)
        })
    }
}

/// What `operation` came to, and whether it warned.
fn act(
    storage: &dyn Storage,
    command: &str,
    operation: impl Fn(&Vault<'_>) -> Result<(), OperationError>,
) -> (Result<(), OperationError>, bool) {
    let reporter = Witness::default();
    let result = operation(&vault(storage, &reporter, command));
    (result, !reporter.warnings.lock().unwrap().is_empty())
}

/// What is visible in `storage`: each a whole backup that verifies, in the
/// order of their names. Panics at anything else.
fn whole_backups(storage: &dyn Storage) -> Vec<String> {
    let catalog = Catalog::load(storage, Trust::NoKey).unwrap();
    assert!(catalog.unreadable.is_empty());
    let reporter = Witness::default();
    // Only looks: a storage that is not ours gets neither record nor lock.
    let mut vault = vault(storage, &reporter, "verify");
    vault.ours = false;
    let mut names = Vec::new();
    for backup in &catalog.backups {
        assert!(backup.file.is_some(), "{} has no manifest", backup.archive);
        prove(&vault, backup).unwrap();
        names.push(backup.archive.clone());
    }
    names.sort();
    names
}

fn archives(storage: &dyn Storage) -> Vec<String> {
    let keys = storage.list("").unwrap().into_iter().map(|o| o.key);
    keys.filter(|key| !key.ends_with(".json")).collect()
}

fn running_records(storage: &dyn Storage) -> usize {
    let records = storage.list("runs/").unwrap();
    let read = |key: &str| -> RunRecord {
        serde_json::from_slice(&read_whole(storage, key, u64::MAX).unwrap()).unwrap()
    };
    let running = |key: &str| read(key).status == RunStatus::Running;
    records.iter().filter(|o| running(&o.key)).count()
}

/// Fails each step of `operation` in each manner, and lets `judge` look at every
/// outcome; then a healthy backup must leave all in order. Returns the cases.
fn at_every_step(
    stage: &Stage,
    command: &str,
    operation: impl Fn(&Vault<'_>) -> Result<(), OperationError>,
    judge: impl Fn(&MemoryStorage, &str, &Result<(), OperationError>),
) -> usize {
    let counted = FaultPlan::count_only();
    let healthy = Faulting::new(stage.storage(), counted.clone());
    act(&healthy, command, &operation).0.unwrap();
    let mut cases = 0;
    for manner in Manner::ALL {
        for step in 0..counted.steps_taken() {
            let kind = [io::ErrorKind::StorageFull, io::ErrorKind::Other][step % 2];
            let storage = stage.storage();
            let plan = FaultPlan::fail_at(step, manner, kind);
            let faulting = Faulting::new(storage.clone(), plan.clone());
            let (result, warned) = act(&faulting, command, &operation);
            let case = format!("{command}, step {step}, {manner:?}: {result:?}");
            assert!(plan.steps_taken() > step, "{case}: was not reached");
            assert!(result.is_err() || warned, "{case}: was not told");
            judge(&storage, &case, &result);
            let before = whole_backups(&storage);
            stage.back_up(&storage, 9).0.unwrap();
            let after = whole_backups(&storage);
            assert_eq!(after.len(), before.len() + 1, "{case}: the next run");
            assert_eq!(archives(&storage), after, "{case}: archives left behind");
            assert_eq!(running_records(&storage), 0, "{case}: records left behind");
            cases += 1;
        }
    }
    cases
}

#[test]
fn a_backup_fails_whole_at_every_step() {
    let stage = Stage::new();
    let older = whole_backups(&stage.filled);
    let operation =
        |vault: &Vault<'_>| back_up(vault, stage.tree.path(), Encryption::Kluis1, at(5)).map(drop);
    let cases = at_every_step(
        &stage,
        "backup source",
        operation,
        |storage, case, result| {
            let visible = whole_backups(storage);
            assert_eq!(visible[..3], older, "{case}: older backups");
            let there = matches!(result, Ok(()) | Err(OperationError::Unrecorded { .. }));
            assert_eq!(visible.len(), 3 + usize::from(there), "{case}");
        },
    );
    eprintln!("backup: {cases} failing steps");
    assert!(cases > 70, "only {cases}");
}

/// The backup that a command finds before its operation. One that sees a part of
/// the storage only tells so.
fn seen(vault: &Vault<'_>, archive: &str) -> Result<Backup, OperationError> {
    let catalog = Catalog::load(vault.storage, Trust::NoKey)?;
    for broken in &catalog.unreadable {
        vault.reporter.warn(&broken.error.to_string());
    }
    let mut backups = catalog.all();
    let found = backups.find(|backup| backup.archive == archive).cloned();
    found.ok_or_else(|| OperationError::Refused {
        what: "no such backup".to_owned(),
    })
}

#[test]
fn a_verify_changes_no_backup_at_any_failing_step() {
    let stage = Stage::new();
    let older = whole_backups(&stage.filled);
    let operation = |vault: &Vault<'_>| prove(vault, &seen(vault, &older[2])?).map(drop);
    let cases = at_every_step(&stage, "verify", operation, |storage, case, _| {
        assert_eq!(whole_backups(storage), older, "{case}");
    });
    eprintln!("verify: {cases} failing steps");
}

#[test]
fn a_prune_removes_whole_backups_or_none_at_every_step() {
    let stage = Stage::new();
    let older = whole_backups(&stage.filled);
    let rules = KeepRules {
        last: Some(1),
        floor: 1,
        ..KeepRules::default()
    };
    let operation = |vault: &Vault<'_>| {
        prune(
            vault,
            &PruneScope::default(),
            &rules.clone().into(),
            at(8),
            &TimeZone::UTC,
        )
        .map(drop)
    };
    let cases = at_every_step(&stage, "prune", operation, |storage, case, _| {
        let left = whole_backups(storage);
        assert!(left.contains(&older[2]), "{case}: the newest is gone");
    });
    eprintln!("prune: {cases} failing steps");
}

#[test]
fn a_delete_removes_the_whole_backup_or_nothing_at_every_step() {
    let stage = Stage::new();
    let older = whole_backups(&stage.filled);
    let operation =
        |vault: &Vault<'_>| delete(vault, &[&seen(vault, &older[1])?], false, at(8)).map(drop);
    let cases = at_every_step(&stage, "delete", operation, |storage, case, _| {
        let left = whole_backups(storage);
        assert!(left.contains(&older[0]), "{case}: the oldest is gone");
        assert!(left.contains(&older[2]), "{case}: the newest is gone");
    });
    eprintln!("delete: {cases} failing steps");
}

#[test]
fn a_backup_that_died_is_swept_behind_any_number_of_verifies() {
    let stage = Stage::new();
    let storage = stage.storage();
    // Died between archive and manifest, the record still RUNNING.
    let newest = Catalog::load(&storage, Trust::NoKey).unwrap().backups[0]
        .archive
        .clone();
    storage.remove(&manifest_key(&newest)).unwrap();
    let records = storage.list("runs/").unwrap();
    let key = &records.last().unwrap().key;
    let mut record: RunRecord =
        serde_json::from_slice(&read_whole(&storage, key, u64::MAX).unwrap()).unwrap();
    record.status = RunStatus::Running;
    // As the run itself had sealed it.
    let ring = Keyring::of(KeyMaterial::parse(in_process::KEY).unwrap());
    let record = record.sealed(&ring, None);
    storage.replace(key, &record.to_bytes()).unwrap();
    assert_eq!(whole_backups(&storage).len(), 2, "the archive is shown");
    let oldest = || Catalog::load(&storage, Trust::NoKey).unwrap().backups[1].clone();
    for _ in 0..200 {
        let (result, _) = act(&storage, "verify", |vault| {
            prove(vault, &oldest()).map(drop)
        });
        result.unwrap();
    }
    stage.back_up(&storage, 9).0.unwrap();
    assert!(!archives(&storage).contains(&newest));
    assert_eq!(running_records(&storage), 0);
}

/// A house with three backups of "tree".
fn house_with_backups() -> (House, Vec<String>) {
    let house = House::new();
    std::fs::create_dir(house.path("tree")).unwrap();
    std::fs::write(house.path("tree/file"), in_process::noise(300_000)).unwrap();
    for _ in 0..3 {
        house.run(&["backup", "source", "tree"]);
    }
    let older = house.listed();
    assert_eq!(older.len(), 3);
    (house, older)
}

/// Whether the system call was answered with the fault.
fn was_hit(house: &House) -> bool {
    let trace = std::fs::read_to_string(house.path("trace")).unwrap();
    trace.contains("(INJECTED)")
}

/// Meets each occurrence of each of `calls` with each error, and then looks at the
/// storage and at the next run. Returns how often a call failed.
fn kluis_at_every_call(calls: &[&str], judge: impl Fn(&House, &str, &Output, usize)) -> usize {
    let (house, mut known) = house_with_backups();
    let mut hits = 0;
    for call in calls {
        for error in ["ENOSPC", "EIO"] {
            for number in 1.. {
                // Each record is opened and closed: only those of this case.
                std::fs::remove_dir_all(house.storage().join("runs")).unwrap();
                let fault = format!("error={error}");
                let mut command = kluis_meeting(&house, call, &fault, number);
                let output = command.args(["backup", "source", "tree"]).output().unwrap();
                if !was_hit(&house) {
                    known = house.listed();
                    break;
                }
                hits += 1;
                let case = format!("{call} {number} {error}");
                let visible = house.listed();
                assert!(
                    known.iter().all(|k| visible.contains(k)),
                    "{case}: one is lost"
                );
                let new: Vec<_> = visible.iter().filter(|v| !known.contains(v)).collect();
                for archive in &new {
                    house.run(&["verify", archive]);
                }
                judge(&house, &case, &output, new.len());
                house.run(&["backup", "source", "tree"]);
                assert_eq!(house.leftovers(), [""; 0], "{case}");
                known = house.listed();
            }
        }
    }
    hits
}

#[test]
fn each_failing_system_call_of_the_real_binary_is_an_error_that_names_the_place() {
    if !can_trace() {
        return;
    }
    let calls = [
        "write",
        "fsync",
        "renameat",
        "renameat2",
        "flock",
        "mkdirat",
    ];
    let hits = kluis_at_every_call(&calls, |house, case, output, new| {
        let said = String::from_utf8_lossy(&output.stderr);
        let code = output.status.code().unwrap();
        // 3: the backup was made, but its record or report could not be written.
        assert_eq!(
            (code, new),
            if code == 3 { (3, 1) } else { (1, 0) },
            "{case}: {said}"
        );
        let place = house.storage().display().to_string();
        let named = said.contains(&place) || said.contains("to stdout");
        assert!(named, "{case}: {said}");
    });
    eprintln!("{hits} failing system calls");
    assert!(hits > 50, "only {hits}");
}

#[test]
fn a_failing_close_loses_nothing_that_was_said_to_be_there() {
    if !can_trace() {
        return;
    }
    // By the close all is synced: the backup may be there, then it is whole.
    let hits = kluis_at_every_call(&["close"], |_, case, output, new| {
        assert_eq!(output.status.success(), new == 1, "{case}: {output:?}");
    });
    eprintln!("{hits} failing closes");
}
