//! Manifests that a key of ours sealed, edited afterwards: every string of each kind
//! of backup in turn is a hostile value, under the real seal. None of them counts:
//! the genuine backups stay the newest, and retention counts them alone. Succeeds on
//! 861f450: a planted manifest was the latest.
//!
//! Also what nobody sealed, for trees. What takes long is done by turns, as in
//! attack_manifests.rs.

use std::fs;

use crate::support::Cluster;
use crate::support::field::{CUSTOM, DIRECTORY, Field, GLOBALS, Kind, PLAIN, TREE};
use crate::support::hostile;
use crate::support::house::House;
use crate::support::soak::rounds;
use serde_json::Value;

/// Everything that takes backups away; what counts is said in as few words as can be.
const PRUNES: &[&[&str]] = &[
    &["prune", "--keep-last", "3", "--dry-run"],
    &["prune", "--keep-last", "3"],
    &["prune", "--max-age", "1d", "--keep-last", "1"],
];

fn displace_nobody(field: &Field, kind: &Kind, sealed: &[String]) {
    field.readings();
    for arguments in PRUNES {
        field.try_to(arguments);
    }
    let there = field.files();
    let gone: Vec<_> = sealed.iter().filter(|name| !there.contains(name)).collect();
    assert!(gone.is_empty(), "removed: {gone:?}");
    let series = kind.archive[0].trim_end_matches('_');
    let shown = field.try_to(&["show", &format!("latest:{series}"), "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap_or_default();
    let latest = shown["manifest"]["stored"]["file"].as_str();
    assert_eq!(latest, sealed.last().map(String::as_str), "{shown}");
    let listed = field.try_to(&["list", "--json", "--name", series]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed["backups"].as_array().unwrap().len(), sealed.len());
}

/// Three genuine ones, of which the newest itself is edited; then its edited copies.
fn hold(field: &Field, kind: &Kind, pairs_min: usize, restore: &[&str]) {
    for _ in 0..3 {
        field.house.run(kind.backup);
    }
    let (sealed, file) = field.genuine(kind.archive);
    assert_eq!(sealed.len(), 3, "{sealed:?}");
    assert!(file["seal"].is_string(), "{file}");
    let newest = sealed.last().unwrap();
    let manifest = field.house.storage().join(format!("{newest}.json"));
    let as_sealed = fs::read(&manifest).unwrap();
    for planted in hostile::planted(&file).iter().step_by(7) {
        let value = &field.canaries.values()[4];
        fs::write(&manifest, planted.edited(value)).unwrap();
        for arguments in &PRUNES[1..] {
            field.try_to(arguments);
        }
        assert!(field.files().contains(newest), "{} removed", planted.place);
        fs::write(&manifest, &as_sealed).unwrap();
    }
    let (pairs, chosen) = field.plant_all(newest, &file);
    assert!(pairs > rounds(pairs_min), "only {pairs} pairs");
    displace_nobody(field, kind, &sealed);
    field.one_by_one(newest, &chosen, &|name| {
        let refused = field.try_to(&["verify", "--restore", name]);
        assert_ne!(refused.status.code(), Some(0), "{name}: {refused:?}");
        let refused = field.try_to(&[&["restore", name], restore].concat());
        assert_ne!(refused.status.code(), Some(0), "{name}: {refused:?}");
    });
    let what = kind.archive.join("..");
    let refused = chosen.len();
    eprintln!("{what}: {pairs} edited manifests read, {refused} of them not restored");
}

fn dumps_hold(kind: &Kind, restore: &[&str]) {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    let schema = "CREATE TABLE t (a int, b text); CREATE SEQUENCE q; CREATE ROLE somebody";
    cluster.psql("shop", schema);
    let mut house = House::new();
    house.set("DATABASE_URL", &cluster.url("shop"));
    hold(&Field::new(house), kind, 2_000, restore);
}

const INTO: &[&str] = &["--into", "copy", "--yes"];

#[test]
fn an_edited_manifest_of_a_plain_dump_displaces_nobody() {
    dumps_hold(&PLAIN, INTO);
}

#[test]
fn an_edited_manifest_of_a_custom_dump_displaces_nobody() {
    dumps_hold(&CUSTOM, INTO);
}

#[test]
fn an_edited_manifest_of_a_directory_dump_displaces_nobody() {
    dumps_hold(&DIRECTORY, INTO);
}

#[test]
fn an_edited_manifest_of_the_globals_displaces_nobody() {
    dumps_hold(&GLOBALS, &["--in-place", "--yes"]);
}

fn tree(house: &House) {
    fs::create_dir(house.path("tree")).unwrap();
    fs::write(house.path("tree/file"), "content").unwrap();
}

#[test]
fn an_edited_manifest_of_a_tree_displaces_nobody() {
    let house = House::new();
    tree(&house);
    hold(&Field::new(house), &TREE, 1_000, &["--to", "out", "--yes"]);
}

#[test]
fn a_planted_manifest_that_nobody_sealed_displaces_nobody() {
    let (field, plain) = (Field::new(House::new()), Field::new(House::keyless()));
    for house in [&field.house, &plain.house] {
        tree(house);
    }
    for _ in 0..3 {
        field.house.run(TREE.backup);
    }
    let (sealed, _) = field.genuine(TREE.archive);
    plain.house.run(TREE.backup);
    let (archives, file) = plain.genuine(TREE.archive);
    // A hard link is to come of it: nothing else is in its way.
    // Of a time that no other has.
    let archive = archives.last().unwrap();
    let at = archive.find("_20").unwrap() + 1;
    let archive = format!(
        "{}2020-01-01T00-00-00{}",
        &archive[..at],
        &archive[at + 19..]
    );
    let from = plain.house.storage().join(archives.last().unwrap());
    fs::rename(from, field.house.storage().join(&archive)).unwrap();
    let (pairs, _) = field.plant_all(&archive, &file);
    assert!(pairs > rounds(1_000), "only {pairs} pairs");
    displace_nobody(&field, &TREE, &sealed);
}
