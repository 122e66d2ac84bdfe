//! What a sweep may remove, and what not: the work of a run that lives, other
//! programs' files, and backups that only have the name of what was meant.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use kluis::catalog::{Backup, Catalog, Trust, read_whole};
use kluis::format::keyring::{KeyMaterial, Keyring};
use kluis::format::names::manifest_key;
use kluis::format::run_record::{RUN_RECORD_VERSION, RunEnd, RunProcess, RunRecord, RunStatus};
use kluis::ids::RunId;
use kluis::operations::{Encryption, OperationError, delete, keep, sweep};
use kluis::process;
use kluis::storage::{MemoryStorage, Storage};

use crate::support::faulting::{FaultPlan, Faulting, Manner};
use crate::support::house::{House, names};
use crate::support::in_process::{KEY, Witness, at, back_up, prove, tree_of, vault};

/// What stands in a storage between an archive and its manifest.
const ARCHIVE: &str = "shop_source_2026-01-18T01-00-00.tar.gz.enc";

/// A process of another run, that lives until it is dropped.
struct Other(Child);

impl Other {
    fn start() -> Self {
        let mut waiting = Command::new("cat");
        waiting.stdin(Stdio::piped()).stdout(Stdio::null());
        Self(waiting.spawn().unwrap())
    }

    fn process(&self) -> RunProcess {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        RunProcess {
            pid: self.0.id(),
            start_ticks: fields.split_whitespace().nth(19).unwrap().parse().unwrap(),
            ..process::current()
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn record(number: u8, command: &str, process: RunProcess) -> RunRecord {
    RunRecord {
        version: RUN_RECORD_VERSION,
        id: RunId::from_random([number; 8]),
        command: command.to_owned(),
        trigger: kluis::format::manifest::Trigger::Manual,
        schedule: None,
        status: RunStatus::Running,
        backup: Some(ARCHIVE.to_owned()),
        bytes: None,
        removed: Vec::new(),
        detail: None,
        warnings: Vec::new(),
        error: None,
        started: at(1),
        completed: None,
        duration_ms: None,
        user: "root".to_owned(),
        sudo_user: None,
        host: "here".to_owned(),
        label: None,
        storage: None,
        process,
        seal: None,
    }
}

/// One that ended long ago.
fn dead() -> RunProcess {
    RunProcess {
        pid: 1,
        start_ticks: 0,
        boot_id: "another".to_owned(),
    }
}

/// Sealed, as a run with that key writes it.
fn put(storage: &MemoryStorage, record: &RunRecord) {
    let ring = Keyring::of(KeyMaterial::parse(KEY).unwrap());
    let sealed = record.clone().sealed(&ring, None);
    storage.replace(&sealed.key(), &sealed.to_bytes()).unwrap();
}

fn with(records: &[RunRecord]) -> MemoryStorage {
    let storage = MemoryStorage::new();
    storage.replace(ARCHIVE, b"an archive").unwrap();
    for record in records {
        put(&storage, record);
    }
    storage
}

/// What a sweep at the hour `now` removes.
fn swept(storage: &dyn Storage, now: i64) -> Vec<String> {
    let reporter = Witness::default();
    sweep(&vault(storage, &reporter, "prune"), at(now))
        .unwrap()
        .names
}

fn status(storage: &dyn Storage, of: &RunRecord) -> RunStatus {
    let bytes = read_whole(storage, &of.key(), u64::MAX).unwrap();
    serde_json::from_slice::<RunRecord>(&bytes).unwrap().status
}

#[test]
fn what_a_run_is_at_work_on_is_swept_only_when_its_process_is_gone() {
    for command in ["backup source", "prune", "delete"] {
        let other = Other::start();
        let its = record(1, command, other.process());
        let storage = with(std::slice::from_ref(&its));
        assert_eq!(swept(&storage, 100), [""; 0], "{command}");
        assert_eq!(status(&storage, &its), RunStatus::Running);
        drop(other);
        assert_eq!(swept(&storage, 100), [ARCHIVE], "{command}");
        assert_eq!(status(&storage, &its), RunStatus::Failed);
    }
}

/// Or a prune could not make the room that is lacking.
#[test]
fn a_record_that_cannot_be_finished_on_a_full_disk_stops_nobody() {
    let died = RunRecord {
        backup: None,
        ..record(1, "verify", dead())
    };
    let swept_with = |plan: &FaultPlan| {
        let storage = Faulting::new(with(std::slice::from_ref(&died)), plan.clone());
        assert_eq!(swept(&storage, 100), [""; 0]);
        (plan.steps_taken() - 1, status(&storage, &died))
    };
    // The last step is that record's.
    let (last, finished) = swept_with(&FaultPlan::count_only());
    assert_eq!(finished, RunStatus::Failed);
    let full = FaultPlan::fail_at(last, Manner::Once, std::io::ErrorKind::StorageFull);
    assert_eq!(swept_with(&full).1, RunStatus::Running);
}

#[test]
fn what_a_record_names_that_no_key_of_ours_sealed_stays_and_is_told() {
    let planted = record(1, "backup source", dead());
    let storage = with(&[]);
    let bytes = planted.to_bytes();
    storage.replace(&planted.key(), &bytes).unwrap();
    let reporter = Witness::default();
    let swept = sweep(&vault(&storage, &reporter, "prune"), at(100)).unwrap();
    assert_eq!(swept.names, [""; 0]);
    assert!(storage.open(ARCHIVE, 0).is_ok());
    let warnings = reporter.warnings.lock().unwrap();
    assert!(warnings[0].contains(ARCHIVE), "{warnings:?}");
}

#[test]
fn what_another_hosts_run_began_is_swept_a_day_later() {
    let its = RunRecord {
        host: "elsewhere".to_owned(),
        ..record(1, "backup source", dead())
    };
    let storage = with(std::slice::from_ref(&its));
    assert_eq!(swept(&storage, 24), [""; 0]);
    assert_eq!(status(&storage, &its), RunStatus::Running);
    assert_eq!(swept(&storage, 25), [ARCHIVE]);
}

#[test]
fn a_run_that_only_reads_or_is_over_has_left_nothing() {
    let mut records: Vec<RunRecord> = ["verify", "restore", "keep", "adopt", "key drill"]
        .iter()
        .zip(1..)
        .map(|(command, number)| record(number, command, dead()))
        .collect();
    let failed = RunEnd::Failed {
        error: "no".to_owned(),
    };
    records.push(record(9, "backup source", dead()).ended(at(2), failed));
    let storage = with(&records);
    assert_eq!(swept(&storage, 100), [""; 0]);
    assert!(storage.open(ARCHIVE, 0).is_ok());
}

#[test]
fn a_run_that_waited_for_the_lock_is_found_behind_many_that_began_later() {
    let ended = |number: u8| RunRecord {
        started: at(2 + i64::from(number)),
        ..record(number, "prune", dead())
    };
    let later: Vec<RunRecord> = (1..=200)
        .map(|number| ended(number).ended(at(300), RunEnd::Completed))
        .collect();
    let storage = with(&later);
    // Its last word is newer than theirs.
    let waited = record(0, "backup source", dead());
    put(&storage, &waited);
    assert!(
        Catalog::load(&storage, Trust::NoKey)
            .unwrap()
            .backups
            .is_empty()
    );
    assert_eq!(swept(&storage, 300), [ARCHIVE]);
}

#[test]
fn of_many_records_of_one_second_none_is_passed_over() {
    let left = record(0, "backup source", dead());
    let storage = with(std::slice::from_ref(&left));
    // As verify writes one for each archive, and others sweep in between.
    for number in 1..=150 {
        let command = if number % 10 == 0 { "prune" } else { "verify" };
        let other = record(number, command, dead()).ended(at(2), RunEnd::Completed);
        assert!(other.key() > left.key());
        storage.replace(&other.key(), &other.to_bytes()).unwrap();
    }
    assert_eq!(swept(&storage, 300), [ARCHIVE]);
}

#[test]
fn what_a_killed_prune_left_is_no_file_of_another_program_however_many_looked_since() {
    let storage = with(&[RunRecord {
        started: at(100),
        ..record(1, "prune", dead())
    }]);
    for number in 2..100 {
        let looked = RunRecord {
            started: at(100 + i64::from(number)),
            ..record(number, "verify", dead())
        };
        let looked = looked.ended(at(300), RunEnd::Completed);
        storage.replace(&looked.key(), &looked.to_bytes()).unwrap();
    }
    assert!(
        Catalog::load(&storage, Trust::NoKey)
            .unwrap()
            .backups
            .is_empty()
    );
}

/// Files as other programs and people leave them beside backups, and one name
/// that a backup of ours could have.
fn litter(storage: &Path) {
    let files = [
        "notes.txt",
        "shop_backup_2026-01-18T10-30-00.sql.gz",
        "shop_source_2026-01-18T10-30-00.tar.gz.enc",
        ".hidden",
        ".rsync-tmp-1",
        "kluis-work",
        "runs/notes.txt",
    ];
    for file in files {
        fs::write(storage.join(file), file).unwrap();
    }
    fs::create_dir(storage.join(".kluis-tmp-directory")).unwrap();
    fs::write(storage.join(".kluis-tmp-directory/file"), "x").unwrap();
    let link = storage.join(".kluis-tmp-link");
    std::os::unix::fs::symlink("notes.txt", link).unwrap();
}

#[test]
fn other_programs_files_stay_whatever_runs_and_however_it_dies() {
    let house = House::new();
    fs::create_dir(house.path("app")).unwrap();
    fs::write(house.path("app/file"), "content").unwrap();
    let backup = ["backup", "source", "app"];
    house.run(&backup);
    let (storage, runs) = (house.storage(), house.storage().join("runs"));
    litter(&storage);
    let others = |names: Vec<String>| {
        let is_ours = |name: &String| name.contains("app_source") || name.starts_with("20");
        names
            .into_iter()
            .filter(|name| !is_ours(name))
            .collect::<Vec<_>>()
    };
    let before = (others(names(&storage)), others(names(&runs)));
    for _ in 0..20 {
        let mut killed = house.kluis().args(backup).spawn().unwrap();
        while killed.try_wait().unwrap().is_none() && names(&storage).len() < 14 {
            std::thread::yield_now();
        }
        killed.kill().unwrap();
        killed.wait().unwrap();
        house.run(&["prune", "--keep-last", "1", "--keep-daily", "0"]);
        house.run(&backup);
    }
    house.run(&["delete", "--yes", "--force", "latest:app"]);
    house.run(&["prune"]);
    assert_eq!((others(names(&storage)), others(names(&runs))), before);
    for file in ["notes.txt", "shop_backup_2026-01-18T10-30-00.sql.gz"] {
        assert_eq!(fs::read_to_string(storage.join(file)).unwrap(), file);
    }
}

/// A storage with two backups, of which the newer is found, taken away, and made
/// anew under the same name, as another run may do while this one waits for the
/// lock.
fn found_and_made_anew() -> (MemoryStorage, Backup) {
    let storage = MemoryStorage::new();
    let reporter = Witness::default();
    let tree = tree_of(1_000);
    let make = |hour| {
        let vault = vault(&storage, &reporter, "backup source");
        back_up(&vault, tree.path(), Encryption::Kluis1, at(hour)).unwrap()
    };
    make(1);
    make(2);
    let found = Catalog::load(&storage, Trust::NoKey).unwrap().backups[0].clone();
    storage.remove(&manifest_key(&found.archive)).unwrap();
    storage.remove(&found.archive).unwrap();
    assert_eq!(make(2).manifest.stored.file, found.archive);
    (storage, found)
}

#[test]
fn a_backup_that_came_under_the_name_of_what_was_meant_is_not_touched() {
    let (storage, found) = found_and_made_anew();
    let key = manifest_key(&found.archive);
    let manifest = read_whole(&storage, &key, u64::MAX).unwrap();
    let reporter = Witness::default();
    let vault = vault(&storage, &reporter, "any");
    let refused = [
        delete(&vault, &[&found], false, at(3)).unwrap_err(),
        delete(&vault, &[&found], true, at(3)).unwrap_err(),
        keep(&vault, &found, true, at(3)).unwrap_err(),
        prove(&vault, &found).unwrap_err(),
    ];
    for error in refused {
        assert!(matches!(error, OperationError::Gone { .. }), "{error}");
        assert!(!error.is_integrity());
    }
    assert_eq!(read_whole(&storage, &key, u64::MAX).unwrap(), manifest);
    assert!(storage.open(&found.archive, 0).is_ok());
}

#[test]
fn of_several_to_delete_none_goes_where_one_is_gone() {
    let (storage, found) = found_and_made_anew();
    let older = Catalog::load(&storage, Trust::NoKey).unwrap().backups[1].clone();
    let reporter = Witness::default();
    let vault = vault(&storage, &reporter, "delete");
    delete(&vault, &[&older, &found], true, at(3)).unwrap_err();
    assert_eq!(
        Catalog::load(&storage, Trust::NoKey).unwrap().backups.len(),
        2
    );
}
