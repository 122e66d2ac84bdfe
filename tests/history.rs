//! The history as an operator sees it: what was done, by whom, how it ended; and
//! what may not be deleted without saying so twice.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command as Child, Stdio};
use std::time::Duration;

use assert_cmd::Command;
use serde_json::Value;

fn kluis(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kluis"));
    command.current_dir(home).env_clear().env("HOME", home);
    command.env("USER", "wachter");
    command.args(["-s", "vault", "--json"]).args(arguments);
    command
}

fn json(home: &Path, arguments: &[&str]) -> Value {
    let output = kluis(home, arguments).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn back_up(home: &Path) -> String {
    fs::create_dir_all(home.join("app")).unwrap();
    fs::write(home.join("app/file"), "content").unwrap();
    let made = json(home, &["backup", "source", "--no-encrypt", "app"]);
    made["backups"][0]["file"].as_str().unwrap().to_owned()
}

/// (command, result) of each run, the newest first.
fn runs(home: &Path, arguments: &[&str]) -> Vec<(String, String)> {
    let mut all = vec!["history"];
    all.extend(arguments);
    let history = json(home, &all);
    let text = |run: &Value, key: &str| run[key].as_str().unwrap().to_owned();
    let runs = history["runs"].as_array().unwrap();
    runs.iter()
        .map(|run| (text(run, "command"), text(run, "result")))
        .collect()
}

#[test]
fn every_kind_of_run_leaves_its_record_with_who_and_what() {
    let home = tempfile::tempdir().unwrap();
    let first = back_up(home.path());
    let second = back_up(home.path());
    for arguments in [
        &["verify", &second][..],
        &["keep", &second],
        &["restore", &second, "--to", "back"],
        &["delete", &first, "--yes"],
        &["prune"],
    ] {
        kluis(home.path(), arguments).assert().success();
    }
    let mut told = runs(home.path(), &[]);
    told.sort();
    let done = |command: &str| (command.to_owned(), "completed".to_owned());
    let expected = [
        "backup source",
        "backup source",
        "delete",
        "keep",
        "prune",
        "restore",
        "verify",
    ];
    assert_eq!(told, expected.map(done));
    let deleted = json(home.path(), &["history", "--command", "delete"]);
    assert_eq!(deleted["runs"][0]["backup"], first);
    // Whose rights it had, whatever the environment calls him.
    let whoami = Child::new("id").arg("-un").output().unwrap().stdout;
    let whoami = String::from_utf8(whoami).unwrap();
    assert_eq!(deleted["runs"][0]["user"], whoami.trim());
    assert!(deleted["runs"][0]["completed"].is_string());
    assert_eq!(deleted["totals"]["runs"], 1);
}

#[test]
fn a_prune_tells_every_archive_that_it_removed_and_who_became_root_for_it() {
    let home = tempfile::tempdir().unwrap();
    let made: Vec<String> = (0..4).map(|_| back_up(home.path())).collect();
    let kept = json(home.path(), &["list"])["backups"][0]["file"].clone();
    let mut prune = kluis(home.path(), &["prune", "--keep-last=1"]);
    prune.env("SUDO_USER", "ann");
    for rule in ["daily", "weekly", "monthly"] {
        prune.arg(format!("--keep-{rule}=0"));
    }
    fs::write(
        home.path().join("kluis.toml"),
        "[retention]\nkeep_at_least = 1\n",
    )
    .unwrap();
    prune.args(["-c", "kluis.toml"]).assert().success();
    let pruned = json(home.path(), &["history", "--command", "prune"]);
    let run = &pruned["runs"][0];
    let removed = run["removed"].as_array().unwrap().iter();
    let removed: BTreeSet<&str> = removed.map(|it| it.as_str().unwrap()).collect();
    let gone = made.iter().map(String::as_str).filter(|it| *it != kept);
    assert_eq!(removed, gone.collect());
    assert_eq!(run["sudo_user"], "ann");
    // Whoever looks for one of them finds what became of it.
    let one = removed.first().unwrap();
    let about = ["history", "--command", "prune", "--about", one];
    let about = json(home.path(), &about);
    assert_eq!(about["totals"]["runs"], 1);
}

#[test]
fn a_run_that_was_killed_shows_as_interrupted() {
    let home = tempfile::tempdir().unwrap();
    back_up(home.path());
    // Enough to be seen at work.
    fs::write(home.path().join("app/big"), vec![7; 256 << 20]).unwrap();
    let mut child = Child::new(env!("CARGO_BIN_EXE_kluis"))
        .current_dir(home.path())
        .args(["-s", "vault", "backup", "source", "--no-encrypt", "app"])
        .env_clear()
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let is_running = || {
        let running = runs(home.path(), &["--result", "running"]);
        running.len() == 1
    };
    while !is_running() {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let interrupted = runs(home.path(), &["--result", "interrupted"]);
    let backup = ("backup source".to_owned(), "interrupted".to_owned());
    assert_eq!(interrupted, std::slice::from_ref(&backup));
    // The next run sweeps behind it, and nobody knows how long it was at work.
    fs::remove_file(home.path().join("app/big")).unwrap();
    back_up(home.path());
    assert_eq!(runs(home.path(), &["--result", "interrupted"]), [backup]);
    let swept = json(home.path(), &["history", "--result", "interrupted"]);
    let swept = &swept["runs"][0];
    assert!(swept["error"].as_str().unwrap().contains("without a word"));
    assert!(swept["duration_ms"].is_null(), "{swept}");
    assert!(runs(home.path(), &["--result", "failed"]).is_empty());
}

#[test]
fn a_run_that_failed_tells_its_error() {
    let home = tempfile::tempdir().unwrap();
    let damaged = back_up(home.path());
    let path = home.path().join("vault").join(&damaged);
    fs::write(&path, &fs::read(&path).unwrap()[1..]).unwrap();
    kluis(home.path(), &["verify", &damaged]).assert().code(4);
    let failed = json(home.path(), &["history", "--result", "failed"]);
    let error = failed["runs"][0]["error"].as_str().unwrap();
    assert!(error.contains(&damaged), "{error}");
    assert_eq!(failed["totals"]["completed"], 0);
}

#[test]
fn the_last_good_backup_and_a_kept_one_go_with_force_only() {
    let home = tempfile::tempdir().unwrap();
    let first = back_up(home.path());
    let second = back_up(home.path());
    let delete = |arguments: &[&str]| {
        let mut all = vec!["delete", "--yes"];
        all.extend(arguments);
        let output = kluis(home.path(), &all).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, said) = delete(&[&first, &second]);
    assert_eq!(code, Some(1));
    assert!(said.contains("the last good backup of app"), "{said}");
    kluis(home.path(), &["keep", &first]).assert().success();
    let (code, said) = delete(&[&first]);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("is kept") && said.contains("--force"),
        "{said}"
    );
    assert!(home.path().join("vault").join(&first).exists());
    assert_eq!(delete(&[&first, "--force"]).0, Some(0));
    let (code, said) = delete(&[&second]);
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(delete(&[&second, "--force"]).0, Some(0));
}

#[test]
fn a_damaged_backup_is_no_reason_to_call_another_one_not_the_last() {
    let home = tempfile::tempdir().unwrap();
    let damaged = back_up(home.path());
    let good = back_up(home.path());
    let path = home.path().join("vault").join(&damaged);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    kluis(home.path(), &["verify", &damaged]).assert().code(4);
    kluis(home.path(), &["delete", "--yes", &good])
        .assert()
        .code(1);
    kluis(home.path(), &["delete", "--yes", &damaged])
        .assert()
        .success();
}
