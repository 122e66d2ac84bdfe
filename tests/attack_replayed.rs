//! Archives of ours that somebody adds again after they were written anew. They are
//! genuine and a key that is still read with opens them. All succeed on 9a292bd.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::house::{House, names};

/// A house with a tree, and keys 1 to 4 in files of its own.
fn house() -> House {
    let house = House::keyless();
    fs::create_dir(house.path("app")).unwrap();
    fs::write(house.path("app/file"), "genuine").unwrap();
    for number in 1..=4 {
        let file = house.path(&format!("key{number}"));
        fs::write(&file, format!("{number:064x}")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    house
}

/// kluis that writes with key `writer` and reads with all before it.
fn kluis(house: &House, writer: usize) -> Command {
    let key = |number: usize| house.path(&format!("key{number}")).display().to_string();
    let readers: Vec<String> = (1..writer).map(key).collect();
    let mut kluis = house.kluis();
    kluis.env("BACKUP_ENCRYPTION_KEY_FILE", key(writer));
    kluis.env("BACKUP_READ_KEY_FILES", readers.join(":"));
    kluis
}

fn run(house: &House, writer: usize, arguments: &[&str]) -> Output {
    let output = kluis(house, writer).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    output
}

fn written_anew(house: &House, from: usize, to: usize) {
    let from = house.path(&format!("key{from}"));
    let from = from.to_str().unwrap();
    run(house, to, &["key", "rotate", "--from", from, "--reencrypt"]);
}

fn listed(house: &House, writer: usize) -> Value {
    let listed = run(house, writer, &["list", "--json"]);
    serde_json::from_slice(&listed.stdout).unwrap()
}

/// What counts: ids and files.
fn counted(list: &Value) -> (Vec<String>, BTreeSet<String>) {
    let rows = list["backups"].as_array().unwrap().iter();
    let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
    rows.map(|row| (text(row, "id"), text(row, "file"))).unzip()
}

/// The storage's files, outside of it.
fn taken(house: &House) -> Vec<(String, Vec<u8>)> {
    let files = names(&house.storage()).into_iter();
    let files = files.filter(|name| name.contains("_source_"));
    let read = |name: String| {
        let bytes = fs::read(house.storage().join(&name)).unwrap();
        (name, bytes)
    };
    files.map(read).collect()
}

/// Adds what ends so of the files that were taken; replaces nothing.
fn added(house: &House, taken: &[(String, Vec<u8>)], end: &str) {
    for (name, bytes) in taken.iter().filter(|(name, _)| name.ends_with(end)) {
        let file = house.storage().join(name);
        assert!(!file.exists(), "{name} is there");
        fs::write(file, bytes).unwrap();
    }
}

const KEEP_FOUR: [&str; 9] = [
    "prune",
    "--keep-last",
    "4",
    "--keep-daily",
    "0",
    "--keep-weekly",
    "0",
    "--keep-monthly",
    "0",
];

#[test]
fn backups_of_before_two_changes_of_keys_do_not_count_beside_themselves() {
    let house = house();
    for _ in 0..4 {
        run(&house, 1, &["backup", "source", "app"]);
    }
    let list = listed(&house, 1);
    let ids = counted(&list).0;
    let file = |at: usize| list["backups"][at]["file"].as_str().unwrap();
    let newest = [file(0), file(1)];
    let is_old = |(name, _): &(String, Vec<u8>)| newest.contains(&name.trim_end_matches(".json"));
    let old: Vec<_> = taken(&house).into_iter().filter(is_old).collect();
    assert_eq!(old.len(), 4);
    written_anew(&house, 1, 3);
    added(&house, &old, ".enc");
    written_anew(&house, 3, 4);
    let genuine = counted(&listed(&house, 4)).1;
    added(&house, &old, ".json");

    let list = listed(&house, 4);
    assert_eq!(counted(&list), (ids.clone(), genuine.clone()));
    let repeated = list["repeated"].as_array().unwrap();
    let files: BTreeSet<&str> = repeated
        .iter()
        .map(|it| it["file"].as_str().unwrap())
        .collect();
    let planted = BTreeSet::from(newest);
    assert_eq!(files, planted);
    let text = String::from_utf8(run(&house, 4, &["list"]).stdout).unwrap();
    assert!(planted.iter().all(|it| text.contains(it)), "{text}");

    let check = kluis(&house, 4)
        .args(["check", "--no-server", "--json"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&check.stdout);
    assert_eq!(check.status.code(), Some(5), "{said}");
    assert!(said.contains(r#""repeated""#), "{said}");

    let pruned = run(&house, 4, &KEEP_FOUR);
    let said = String::from_utf8_lossy(&pruned.stderr);
    assert!(said.contains("once more"), "{said}");
    assert_eq!(counted(&listed(&house, 4)), (ids.clone(), genuine.clone()));
    run(&house, 4, &["verify", "--all"]);
    // Nor does a further change of keys make it two.
    written_anew(&house, 1, 4);
    assert_eq!(counted(&listed(&house, 4)).0, ids);

    for file in planted {
        run(&house, 4, &["delete", file, "--yes"]);
    }
    let list = listed(&house, 4);
    assert_eq!(counted(&list), (ids, genuine));
    assert_eq!(list["repeated"], serde_json::json!([]));
}

#[test]
fn names_that_come_again_set_no_backup_aside() {
    let house = house();
    run(&house, 1, &["backup", "source", "app"]);
    let first = taken(&house);
    written_anew(&house, 1, 2);
    let second = taken(&house);
    written_anew(&house, 2, 3);
    let third = taken(&house);
    assert_eq!(first[0].0, third[0].0, "the names do not come again");
    added(&house, &second, "");
    let counts_alone = || {
        let list = listed(&house, 3);
        let files = counted(&list).1;
        assert_eq!(files, BTreeSet::from([third[0].0.clone()]));
        assert_eq!(list["repeated"], serde_json::json!([]));
    };
    counts_alone();
    run(&house, 3, &["prune"]);
    counts_alone();
    run(&house, 3, &["verify", "--all"]);
}

/// Without its manifest such an archive would be a backup of its own by `adopt --all`.
#[test]
fn an_archive_of_before_a_change_of_keys_is_not_adopted_beside_the_backup() {
    let house = house();
    run(&house, 1, &["backup", "source", "app"]);
    let old = taken(&house);
    written_anew(&house, 1, 2);
    let genuine = counted(&listed(&house, 2));
    added(&house, &old, ".enc");
    let adopted = kluis(&house, 2).args(["adopt", "--all"]).output().unwrap();
    let said = String::from_utf8_lossy(&adopted.stdout).into_owned();
    assert_eq!(adopted.status.code(), Some(1), "{adopted:?}");
    assert!(said.contains("copy of"), "{said}");
    assert_eq!(counted(&listed(&house, 2)), genuine);
}
