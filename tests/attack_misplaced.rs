//! Somebody who can write to the storage puts a fifo, a directory or a symlink where
//! kluis looks for a file. Nothing waits for it, it is named, and all else goes on.
//! Each of these attacks succeeds on 1b39f1b.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Output;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::support::house::House;
use crate::support::planting::{genuine, house, listed};

const KINDS: [&str; 3] = ["fifo", "directory", "symlink"];

fn put(kind: &str, at: &Path) {
    match kind {
        "fifo" => mknodat(CWD, at, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap(),
        "directory" => fs::create_dir(at).unwrap(),
        _ => symlink("/dev/zero", at).unwrap(),
    }
}

fn take(at: &Path) {
    fs::remove_file(at).or_else(|_| fs::remove_dir(at)).unwrap();
}

fn ended(house: &House, arguments: &[&str]) -> (Option<i32>, String) {
    let output: Output = house.kluis().args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn in_a_manifests_place_it_is_named_and_the_others_are_verified() {
    let house = house();
    let archive = genuine(&house);
    let name = "app_source_2020-11-01T12-00-00.tar.gz.enc.json";
    for kind in KINDS {
        put(kind, &house.storage().join(name));
        for (command, code) in [
            (&["list"][..], 0),
            (&["status"], 0),
            (&["verify", "--all"], 4),
            (&["check", "--no-server"], 5),
            (&["prune"], 0),
        ] {
            let (ended, said) = ended(&house, command);
            assert_eq!(ended, Some(code), "{kind}, {command:?}: {said}");
            let is_named = said.contains(name) || command[0] == "status";
            assert!(is_named, "{kind}, {command:?}: {said}");
        }
        let (_, said) = ended(&house, &["list"]);
        assert!(said.contains("move it away"), "{kind}: {said}");
        assert!(house.storage().join(&archive).exists());
        take(&house.storage().join(name));
    }
}

#[test]
fn in_a_records_place_it_is_named_and_the_others_are_told() {
    let house = house();
    genuine(&house);
    let name = "runs/2020-01-01T00-00-00_prune_00112233aabbccdd.json";
    for kind in KINDS {
        put(kind, &house.storage().join(name));
        let (code, said) = ended(&house, &["history"]);
        assert_eq!(code, Some(0), "{kind}: {said}");
        let told = said.contains(name) && said.contains("move it away");
        assert!(told && said.contains("backup source"), "{kind}: {said}");
        house.run(&["verify", "--all"]);
        house.run(&["prune"]);
        take(&house.storage().join(name));
    }
}

#[test]
fn in_the_place_of_all_records_it_is_named_and_backups_are_read() {
    let house = house();
    genuine(&house);
    let runs = house.storage().join("runs");
    fs::rename(&runs, house.path("kept")).unwrap();
    for kind in ["fifo", "symlink"] {
        put(kind, &runs);
        for (command, code) in [
            (&["list"][..], 0),
            (&["history"], 0),
            (&["status"], 0),
            (&["restore", "latest", "--to", kind, "--yes"], 0),
            (&["check", "--no-server"], 5),
            (&["backup", "source", "app"], 1),
        ] {
            let (ended, said) = ended(&house, command);
            assert_eq!(ended, Some(code), "{kind}, {command:?}: {said}");
            let is_named = said.contains("runs") && said.contains("move it away");
            assert!(
                is_named || command[0] == "status",
                "{kind}, {command:?}: {said}"
            );
        }
        take(&runs);
    }
}

/// Without these two nothing is done, and what to do is said.
#[test]
fn in_the_markers_or_the_locks_place_it_is_named_with_what_to_do() {
    let house = house();
    genuine(&house);
    for (name, remedy) in [("kluis.json", "move it away"), ("kluis.lock", "remove it")] {
        let path = house.storage().join(name);
        let kept = house.path("kept");
        fs::rename(&path, &kept).unwrap();
        for kind in KINDS {
            put(kind, &path);
            ended(&house, &["list"]);
            for command in [&["verify", "--all"][..], &["backup", "source", "app"]] {
                let (code, said) = ended(&house, command);
                assert_ne!(code, Some(0), "{name}, {kind}, {command:?}: {said}");
                let told = said.contains(name) && said.contains(remedy);
                assert!(told, "{name}, {kind}, {command:?}: {said}");
            }
            take(&path);
        }
        fs::rename(&kept, &path).unwrap();
    }
    house.run(&["verify", "--all"]);
}

/// Where the next archive's name is a directory's, another is taken.
#[test]
fn a_directory_with_the_next_archives_name_stops_no_reencryption() {
    let house = house();
    let genuine = genuine(&house);
    let (name, end) = genuine.split_once(".tar").unwrap();
    fs::create_dir(house.storage().join(format!("{name}-2.tar{end}"))).unwrap();
    fs::create_dir(house.storage().join(format!("{name}-3.tar{end}.json"))).unwrap();
    house.run(&["key", "rotate", "--reencrypt", &genuine]);
    assert_eq!(listed(&house).0, [format!("{name}-4.tar{end}")]);
}
