//! A host that was renamed: its backups go on in the series of its new label.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::home::{Home, text};
use crate::support::rules::KEEP_LAST_1;

const MOVE: [&str; 5] = ["series", "move", "alpha", "beta", "--yes"];

/// `beta` is what `alpha` is called since the last backup.
fn home_of(hosts: &[&str]) -> Home {
    let home = Home::new().configure("[retention]\nkeep_at_least = 1\n");
    fs::create_dir(home.path("app")).unwrap();
    fs::write(home.path("app/file"), "text").unwrap();
    for host in hosts {
        backup(&home, host);
    }
    home
}

fn backup(home: &Home, host: &str) {
    home.run(&["backup", "source", "app", "--host", host]);
}

/// How many backups each label has.
fn labels(home: &Home) -> BTreeMap<String, u64> {
    let listed = home.json(&["series", "list"]);
    let rows = listed["series"].as_array().unwrap().iter();
    let row = |row: &Value| (word(&row["label"]), row["backups"].as_u64().unwrap());
    rows.map(row).collect()
}

fn word(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn of<const N: usize>(labels: [(&str, u64); N]) -> BTreeMap<String, u64> {
    let owned = labels.map(|(label, backups)| (label.to_owned(), backups));
    BTreeMap::from(owned)
}

/// Of the archives' manifests, by name.
fn manifests(home: &Home) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(home.storage()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let manifests = paths.filter(|path| text(path).ends_with(".enc.json"));
    manifests
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect()
}

#[test]
fn what_a_renamed_host_made_is_counted_with_what_it_makes() {
    let home = home_of(&["alpha", "alpha"]);
    home.run(&["verify", "--all"]);
    backup(&home, "beta");
    let before = manifests(&home);
    let planned = home.json(&["series", "move", "alpha", "beta", "--dry-run"]);
    let row = &planned["series"][0];
    assert_eq!((&row["backups"], &row["there"]), (&2.into(), &1.into()));
    let unasked = home.ends(2, &["series", "move", "alpha", "beta"]);
    let said = String::from_utf8(unasked.stderr).unwrap();
    assert!(said.contains("--yes"), "{said}");
    assert!(manifests(&home) == before, "nothing was confirmed");

    home.run(&MOVE);
    assert_eq!(labels(&home), of([("beta", 3)]));
    let series = format!("beta:{}", text(&home.path("app")));
    let status = home.json(&["status"]);
    let names = status["names"].as_array().unwrap();
    assert_eq!((names.len(), &names[0]["backups"]), (1, &3.into()));
    assert_eq!(word(&names[0]["series"]), series);
    let verified = |row: &&Value| row["proof"] == "verified";
    let listed = home.json(&["list"]);
    let proven = listed["backups"].as_array().unwrap().iter();
    assert_eq!(proven.filter(verified).count(), 2, "{listed}");
    let metrics = home.path("metrics");
    home.kluis(&["check", "--prometheus", text(&metrics)])
        .output()
        .unwrap();
    let metrics = fs::read_to_string(metrics).unwrap();
    assert!(!metrics.contains("alpha"), "{metrics}");

    // What was proven since lies under the label too.
    home.run(&["verify", "--all"]);
    home.run(&["keep", "latest:beta/app"]);
    home.run(&["keep", "--release", "latest:beta/app"]);
    assert_eq!(labels(&home), of([("beta", 3)]));
    home.run(&KEEP_LAST_1);
    assert_eq!(labels(&home), of([("beta", 1)]));
}

/// Each manifest is replaced in one step, so what a killed move leaves is some with
/// the label and some without.
#[test]
fn a_move_that_was_killed_ends_when_it_is_given_again() {
    let home = home_of(&["alpha", "alpha", "alpha"]);
    let before = manifests(&home);
    home.run(&MOVE);
    let (path, bytes) = before.iter().next_back().unwrap();
    fs::write(path, bytes).unwrap();
    backup(&home, "beta");
    assert_eq!(labels(&home), of([("alpha", 1), ("beta", 3)]));
    home.run(&MOVE);
    assert_eq!(labels(&home), of([("beta", 4)]));
    let again = home.json(&MOVE);
    assert_eq!(
        (&again["series"], &again["already"]),
        (&Value::Array(Vec::new()), &3.into())
    );
    // And back, with what came since.
    home.run(&["series", "move", "beta", "alpha", "--yes"]);
    assert_eq!(labels(&home), of([("alpha", 4)]));
    home.run(&["series", "move", "beta", "alpha", "--yes"]);
}

#[test]
fn two_hosts_that_both_make_backups_are_not_one() {
    let home = home_of(&["alpha", "beta", "alpha"]);
    let refused = home.ends(1, &MOVE);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains("two hosts") && said.contains("--force"),
        "{said}"
    );
    assert_eq!(labels(&home), of([("alpha", 2), ("beta", 1)]));
    let mistyped = home.ends(2, &["series", "move", "alfa", "beta", "--yes"]);
    let said = String::from_utf8(mistyped.stderr).unwrap();
    assert!(said.contains("alpha, beta"), "{said}");
    home.run(&[&MOVE[..], &["--force"]].concat());
    assert_eq!(labels(&home), of([("beta", 3)]));
}

/// Else whoever can write to the storage has one host's backups removed for another's.
#[test]
fn a_label_that_no_key_of_ours_sealed_moves_nothing() {
    let home = home_of(&["alpha", "beta"]);
    for (path, bytes) in manifests(&home) {
        let text = String::from_utf8(bytes).unwrap();
        let planted = text.replace("\"state\":{", "\"state\":{\"label\":\"beta\",");
        assert_ne!(planted, text);
        fs::write(path, planted).unwrap();
    }
    let apart = of([("alpha", 1), ("beta", 1)]);
    assert_eq!(labels(&home), apart);
    // Nor does it get a seal with what is sealed beside it.
    home.run(&["verify", "--all"]);
    assert_eq!(labels(&home), apart);
}

#[test]
fn another_keys_backups_stay_and_are_listed_apart() {
    let home = home_of(&["alpha"]);
    let first = home.path("key");
    fs::rename(&first, home.path("other")).unwrap();
    home.run(&["key", "generate", "-o", "key"]);
    backup(&home, "alpha");
    let before = manifests(&home);
    let moved = home.json(&MOVE);
    assert_eq!(
        (&moved["series"][0]["backups"], &moved["foreign"]),
        (&1.into(), &1.into())
    );
    let changed = manifests(&home);
    let same = before
        .iter()
        .filter(|(path, bytes)| changed[*path] == **bytes);
    assert_eq!(same.count(), 1);
    let listed = home.json(&["series", "list"]);
    assert!(
        word(&listed["foreign"][0]["series"]).starts_with("alpha:"),
        "{listed}"
    );
    let text = String::from_utf8(home.run(&["series", "list"]).stdout).unwrap();
    assert!(
        text.contains("1 moved") && text.contains("another key"),
        "{text}"
    );
}

#[test]
fn a_backup_that_is_written_anew_stays_where_it_was_moved() {
    let home = home_of(&["alpha"]);
    home.run(&MOVE);
    fs::rename(home.path("key"), home.path("old.key")).unwrap();
    home.run(&["key", "generate", "-o", "key"]);
    home.run(&["key", "rotate", "--from", "old.key", "--reencrypt"]);
    assert_eq!(labels(&home), of([("beta", 1)]));
}

/// A host that only writes makes no seal that another one would believe.
#[test]
fn without_a_key_that_seals_nothing_is_moved() {
    let home = home_of(&[]);
    home.run(&["key", "generate", "--age", "-o", "identity"]);
    let identity = fs::read_to_string(home.path("identity")).unwrap();
    let line = identity.lines().find(|line| line.contains("age1")).unwrap();
    let recipient = &line[line.find("age1").unwrap()..];
    let writer = || {
        let mut kluis = home.kluis_without_key(&[]);
        kluis.env("BACKUP_AGE_RECIPIENTS", recipient);
        kluis
    };
    let made = writer()
        .args(["backup", "source", "app", "--host", "alpha"])
        .output();
    assert!(made.unwrap().status.success());
    let refused = writer().args(MOVE).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("no key here can seal"), "{said}");
}

/// What was found out about a backup stands under its state's seal.
#[test]
fn without_a_key_nothing_that_is_sealed_is_moved() {
    let home = home_of(&["alpha", "beta"]);
    let before = manifests(&home);
    let refused = home.kluis_without_key(&MOVE).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("no key here can seal"), "{said}");
    assert_eq!(manifests(&home), before);
}
