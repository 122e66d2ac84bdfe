//! What an operator did to it by hand, and what must come of it.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use assert_cmd::Command;
use rustix::fs::FlockOperation;
use serde_json::Value;

use crate::support::rules::KEEP_LAST_1;

fn kluis(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kluis"));
    command.current_dir(home).env_clear().env("HOME", home);
    command.args(["-s", "vault", "--json"]).args(arguments);
    command
}

fn json(home: &Path, arguments: &[&str]) -> Value {
    let output = kluis(home, arguments).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn tree(home: &Path, path: &str, content: &str) {
    fs::create_dir_all(home.join(path)).unwrap();
    fs::write(home.join(path).join("file"), content).unwrap();
}

fn back_up(home: &Path, path: &str) -> String {
    let made = json(home, &["backup", "source", "--no-encrypt", path]);
    made["backups"][0]["file"].as_str().unwrap().to_owned()
}

#[test]
fn two_trees_of_one_name_never_push_each_other_out() {
    let home = tempfile::tempdir().unwrap();
    tree(home.path(), "one/app", "of one");
    tree(home.path(), "two/app", "of two");
    let first = back_up(home.path(), "one/app");
    for _ in 0..4 {
        back_up(home.path(), "two/app");
    }
    kluis(home.path(), &KEEP_LAST_1).assert().success();
    assert!(home.path().join("vault").join(&first).exists(), "{first}");
    let listed = json(home.path(), &["list"]);
    // The floor of three holds for each tree by itself.
    assert_eq!(listed["backups"].as_array().unwrap().len(), 1 + 3);
}

#[test]
fn backups_found_damaged_take_no_good_ones_place() {
    let home = tempfile::tempdir().unwrap();
    tree(home.path(), "app", "content");
    let files: Vec<String> = (0..6).map(|_| back_up(home.path(), "app")).collect();
    for file in &files[3..] {
        let path = home.path().join("vault").join(file);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    }
    kluis(home.path(), &["verify", "--all"]).assert().code(4);
    kluis(home.path(), &KEEP_LAST_1).assert().success();
    for file in &files[..3] {
        assert!(
            home.path().join("vault").join(file).exists(),
            "{file} is good"
        );
    }
}

#[test]
fn a_storage_that_another_run_holds_is_exit_6() {
    let home = tempfile::tempdir().unwrap();
    tree(home.path(), "app", "content");
    back_up(home.path(), "app");
    let lock = fs::File::open(home.path().join("vault/kluis.lock")).unwrap();
    rustix::fs::flock(lock.as_fd(), FlockOperation::LockExclusive).unwrap();
    for arguments in [
        &["prune"][..],
        &["backup", "source", "app"],
        &["verify", "latest"],
    ] {
        kluis(home.path(), arguments).assert().code(6);
    }
}

#[test]
fn a_mistyped_storage_is_told_and_not_made() {
    let home = tempfile::tempdir().unwrap();
    for arguments in [
        &["list"][..],
        &["verify", "--all"],
        &["prune"],
        &["show", "latest"],
    ] {
        kluis(home.path(), arguments).assert().code(2);
        assert!(!home.path().join("vault").exists(), "{arguments:?}");
    }
}

#[test]
fn a_key_that_lost_a_digit_is_refused_and_not_taken_as_a_passphrase() {
    let home = tempfile::tempdir().unwrap();
    tree(home.path(), "app", "content");
    let mut command = kluis(home.path(), &["backup", "source", "app"]);
    let said = command
        .env("BACKUP_ENCRYPTION_KEY", "a".repeat(63))
        .assert()
        .code(2);
    let said = String::from_utf8_lossy(&said.get_output().stderr).into_owned();
    assert!(said.contains("63 hex digits"), "{said}");
    let mut command = kluis(home.path(), &["backup", "source", "app"]);
    command
        .env("BACKUP_ENCRYPTION_KEY_FILE", "")
        .assert()
        .code(2);
}

#[test]
fn keep_of_a_wrong_name_keeps_nothing() {
    let home = tempfile::tempdir().unwrap();
    tree(home.path(), "app", "content");
    back_up(home.path(), "app");
    kluis(home.path(), &["keep", "latest", "zzz"])
        .assert()
        .code(2);
    assert_eq!(json(home.path(), &["list"])["backups"][0]["kept"], false);
}

#[test]
fn where_nothing_is_there_to_back_up_nothing_is_made() {
    let home = tempfile::tempdir().unwrap();
    tree(home.path(), "app", "content");
    kluis(home.path(), &["backup", "source", "none", "nosuch"])
        .assert()
        .code(2);
    kluis(home.path(), &["backup", "db", ""]).assert().code(2);
    let made = json(home.path(), &["list"]);
    assert!(
        made["backups"].as_array().is_none_or(Vec::is_empty),
        "{made}"
    );
}

#[test]
fn with_json_a_failure_is_a_document_too() {
    let home = tempfile::tempdir().unwrap();
    let output = kluis(home.path(), &["show", "latest"]).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["exit_code"], 2);
    let error = told["error"].as_str().unwrap();
    assert!(error.starts_with("there is no storage at"), "{error}");
    assert!(String::from_utf8_lossy(&output.stderr).contains(error));
}

#[test]
fn one_letter_picks_no_backup() {
    let home = tempfile::tempdir().unwrap();
    tree(home.path(), "app", "content");
    back_up(home.path(), "app");
    let short = json(home.path(), &["show", "app"]);
    assert_eq!(short["exit_code"], 2, "{short}");
    assert!(short["error"].as_str().unwrap().contains("too short"));
    let id = json(home.path(), &["list"])["backups"][0]["id"].clone();
    let id = &id.as_str().unwrap()[..4];
    kluis(home.path(), &["show", id]).assert().success();
}

#[test]
fn latest_of_a_name_with_a_slash_is_no_path() {
    let home = tempfile::tempdir().unwrap();
    tree(home.path(), "app", "content");
    let named = ["backup", "source", "--no-encrypt", "app", "--name", "a/b"];
    kluis(home.path(), &named).assert().success();
    let shown = json(home.path(), &["show", "latest:a/b"]);
    assert!(shown["error"].is_null(), "{shown}");
}
