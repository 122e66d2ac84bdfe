//! A storage that another run holds: who holds it is told, waiting ends when it is
//! free or at a signal, and a holder that was killed holds nothing.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::home::Home;
use crate::support::noise::noise;

fn storage() -> Home {
    let home = Home::new();
    fs::create_dir(home.path("app")).unwrap();
    fs::write(home.path("app/file"), "content").unwrap();
    home.run(&["backup", "source", "app"]);
    home
}

/// This process as a run that holds the lock and has signed it.
fn hold(home: &Home) -> File {
    let path = home.storage().join("kluis.lock");
    let mut lock = File::options().append(true).open(path).unwrap();
    lock.lock().unwrap();
    let host = rustix::system::uname();
    let line = format!(
        "{{\"command\":\"backup db\",\"pid\":{},\"host\":{:?},\"since\":\"2026-01-18T10:30:00Z\"}}\n",
        std::process::id(),
        host.nodename().to_str().unwrap()
    );
    lock.write_all(line.as_bytes()).unwrap();
    lock
}

fn holder() -> String {
    format!("held by kluis backup db (pid {} on ", std::process::id())
}

/// A run that has told that it waits, with the rest of its stderr.
fn waiting(home: &Home, arguments: &[&str], told: &str) -> (Child, impl BufRead + use<>) {
    let arguments = [arguments, &["-v", "--lock-wait", "5m"]].concat();
    let mut command: Command = home.kluis(&arguments);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("waiting for the ") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it did not wait");
    }
    assert!(line.contains(told), "{line}");
    (child, stderr)
}

#[test]
fn who_holds_it_is_told_with_exit_code_6_as_text_and_json() {
    let home = storage();
    let _lock = hold(&home);
    for arguments in [
        &["prune"][..],
        &["backup", "source", "app"],
        &["verify", "latest"],
        &["verify", "--all"],
        &["restore", "latest", "--to", "back"],
        &["keep", "latest"],
        &["delete", "latest", "--yes", "--force"],
        &["key", "drill"],
    ] {
        let output = home.ends(6, &[&["--json"], arguments].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        for part in [&holder(), " since 2026-01-18T10:30:00Z", "--lock-wait"] {
            assert!(said.contains(part), "{arguments:?}: {said}");
        }
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["exit_code"], 6, "{arguments:?}");
        assert!(document["error"].as_str().unwrap().contains(&holder()));
    }
    assert!(!home.path("back").exists());
}

#[test]
fn what_only_looks_needs_no_lock() {
    let home = storage();
    let _lock = hold(&home);
    for arguments in [
        &["list"][..],
        &["show", "latest"],
        &["status"],
        &["history"],
        &["prune", "--dry-run"],
        &["check", "--no-server"],
    ] {
        let code = home.kluis(arguments).output().unwrap().status.code();
        assert!(matches!(code, Some(0 | 5)), "{arguments:?}: {code:?}");
    }
}

#[test]
fn a_run_that_waits_goes_on_when_the_other_ends() {
    let home = storage();
    for arguments in [&["prune"][..], &["verify", "latest"]] {
        let lock = hold(&home);
        let (mut run, _stderr) = waiting(&home, arguments, &holder());
        drop(lock);
        assert!(run.wait().unwrap().success());
    }
}

#[test]
fn a_backup_that_is_proven_or_restored_is_deleted_when_that_has_ended() {
    let home = storage();
    let archive = home.json(&["list"])["backups"][0]["file"].clone();
    let archive = archive.as_str().unwrap();
    let proof = File::open(home.storage().join(archive)).unwrap();
    proof.lock_shared().unwrap();
    let delete = ["delete", archive, "--yes", "--force"];
    let said = String::from_utf8(home.ends(6, &delete).stderr).unwrap();
    assert!(said.contains("being proven or restored"), "{said}");
    let (mut run, _stderr) = waiting(&home, &delete, archive);
    // The storage is free for others meanwhile.
    home.run(&["--lock-wait", "5m", "backup", "source", "app"]);
    drop(proof);
    assert!(run.wait().unwrap().success());
    let listed = home.json(&["list"]);
    assert_eq!(listed["backups"].as_array().unwrap().len(), 1);
}

#[test]
fn a_run_that_waits_ends_at_a_signal_and_has_changed_nothing() {
    let home = storage();
    let _lock = hold(&home);
    let (mut run, _stderr) = waiting(&home, &["delete", "latest", "--yes", "--force"], &holder());
    kill_process(Pid::from_child(&run), Signal::TERM).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(143));
    let listed = home.json(&["list"]);
    assert_eq!(listed["backups"].as_array().unwrap().len(), 1);
}

#[test]
fn verify_and_restore_share_it_and_keep_a_prune_away() {
    let home = storage();
    let path = home.storage().join("kluis.lock");
    let lock = File::open(path).unwrap();
    lock.lock_shared().unwrap();
    home.run(&["verify", "latest"]);
    home.run(&["restore", "latest", "--to", "back"]);
    for arguments in [&["prune"][..], &["backup", "source", "app"]] {
        home.ends(6, arguments);
    }
}

#[test]
fn a_holder_that_was_killed_holds_nothing() {
    let home = storage();
    fs::write(home.path("app/file"), noise(30 << 20)).unwrap();
    let mut backup = home
        .kluis(&["backup", "source", "app"])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let path = home.storage().join("kluis.lock");
    let signed = || fs::read(&path).unwrap().ends_with(b"\n");
    while !signed() {
        assert!(backup.try_wait().unwrap().is_none(), "it was too fast");
        std::thread::yield_now();
    }
    backup.kill().unwrap();
    backup.wait().unwrap();
    assert!(signed(), "it ended by itself");
    home.run(&["prune"]);
}
