//! What is known against a backup, and what follows from it: `latest` takes a good
//! one, the last one of a series stays, and nobody is told to delete what may be the
//! only one left.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use serde_json::Value;

use crate::support::home::Home;

/// A tree that was backed up once for each of `contents`, the oldest first; the
/// archives.
fn backups(home: &Home, contents: &[&str]) -> Vec<String> {
    fs::create_dir(home.path("app")).unwrap();
    let made = contents.iter().map(|content| {
        fs::write(home.path("app/file"), content).unwrap();
        let result = home.json(&["backup", "source", "app"]);
        result["backups"][0]["file"].as_str().unwrap().to_owned()
    });
    made.collect()
}

/// Another byte in the middle of the payload, found by a verification.
fn damage(home: &Home, archive: &str) {
    let path = home.storage().join(archive);
    let file = File::options().read(true).write(true).open(path).unwrap();
    let middle = 8192 + (file.metadata().unwrap().len() - 8192) / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[!byte[0]], middle).unwrap();
    home.ends(4, &["verify", archive]);
}

fn remedy(home: &Home) -> String {
    let output = home.ends(5, &["--json", "check", "--no-server"]);
    let checked: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = checked["findings"].as_array().unwrap();
    let found = findings.iter().find(|it| it["check"] == "damaged").unwrap();
    found["remedy"].as_str().unwrap().to_owned()
}

#[test]
fn latest_is_the_newest_good_one_and_says_what_it_passes_over() {
    let home = Home::new();
    let archives = backups(&home, &["first", "second", "third"]);
    damage(&home, &archives[2]);
    let listed = home.json(&["list"]);
    assert_eq!(listed["backups"][0]["proof"], "damaged");
    let restored = home.ends(0, &["restore", "latest:app", "--to", "back"]);
    let said = String::from_utf8(restored.stderr).unwrap();
    let wanted = format!(
        "{}, the newest, is damaged and is passed over for {} of ",
        archives[2], archives[1]
    );
    assert!(said.contains(&wanted), "{said}");
    let content = fs::read_to_string(home.path("back/file")).unwrap();
    assert_eq!(content, "second");
    // Where none is good, the newest says what is wrong with it.
    damage(&home, &archives[1]);
    damage(&home, &archives[0]);
    home.ends(4, &["restore", "latest:app", "--to", "again"]);
    assert!(!home.path("again").exists());
}

#[test]
fn the_last_of_a_series_stays_though_it_is_damaged() {
    let home = Home::new();
    let archives = backups(&home, &["first", "second"]);
    damage(&home, &archives[1]);
    damage(&home, &archives[0]);
    let both = ["delete", "--yes", &archives[0], &archives[1]];
    let said = String::from_utf8(home.ends(1, &both).stderr).unwrap();
    assert!(said.contains("the last that there is of app"), "{said}");
    let third = home.json(&["backup", "source", "app"]);
    home.run(&both);
    let listed = home.json(&["list"]);
    assert_eq!(
        listed["backups"][0]["file"], third["backups"][0]["file"],
        "{listed}"
    );
}

#[test]
fn check_speaks_of_deleting_a_damaged_one_only_when_a_newer_one_is_proven() {
    let home = Home::new();
    let archives = backups(&home, &["first", "second"]);
    damage(&home, &archives[1]);
    let id = |at: usize| {
        let rows = home.json(&["list"])["backups"].clone();
        rows[at]["id"].as_str().unwrap().to_owned()
    };
    let good = id(1);
    let said = remedy(&home);
    assert!(!said.contains("delete"), "{said}");
    assert!(said.contains(&format!("kluis restore {good}")), "{said}");
    let third = home.json(&["backup", "source", "app"]);
    assert!(!remedy(&home).contains("delete"));
    let third = third["backups"][0]["file"].as_str().unwrap();
    home.run(&["verify", third]);
    let said = remedy(&home);
    assert!(said.contains(&format!("kluis delete {}", id(1))), "{said}");
}

/// What is listed of each, the newest first: proof and whether it is pinned.
fn listed(home: &Home) -> Vec<(String, bool)> {
    let listed = home.json(&["list"]);
    let rows = listed["backups"].as_array().unwrap().iter();
    let row = |row: &Value| {
        let proof = row["proof"].as_str().unwrap().to_owned();
        (proof, row["kept"].as_bool().unwrap())
    };
    rows.map(row).collect()
}

/// A quick look without a key sees no damage to the payload.
#[test]
fn who_has_no_key_takes_back_no_verdict_that_is_sealed() {
    let home = Home::new();
    let archives = backups(&home, &["first", "second"]);
    damage(&home, &archives[1]);
    let before = listed(&home);
    assert_eq!(before[0].0, "damaged");
    let quick = ["verify", "--quick", "--all"];
    let looked = home.kluis_without_key(&quick).output().unwrap();
    assert_eq!(looked.status.code(), Some(4), "{looked:?}");
    assert_eq!(listed(&home), before);
    home.run(&["restore", "latest:app", "--to", "back"]);
    let content = fs::read_to_string(home.path("back/file")).unwrap();
    assert_eq!(content, "first");
}

/// A key is needed to say that a backup is good, not to say that it stays.
#[test]
fn who_has_no_key_pins_and_releases_and_every_verdict_stays() {
    let home = Home::new();
    let archives = backups(&home, &["first", "second"]);
    damage(&home, &archives[1]);
    home.run(&["verify", &archives[0]]);
    let proofs = listed(&home).into_iter().map(|(proof, _)| proof);
    let proofs: Vec<String> = proofs.collect();
    let keyless = |options: &[&str], pinned: bool| {
        for archive in &archives {
            let arguments = [&["keep", archive.as_str()], options].concat();
            let kept = home.kluis_without_key(&arguments).output().unwrap();
            assert!(kept.status.success(), "{kept:?}");
        }
        let wanted = proofs.iter().map(|proof| (proof.clone(), pinned));
        assert_eq!(listed(&home), wanted.collect::<Vec<_>>());
    };
    keyless(&[], true);
    keyless(&["--release"], false);
    keyless(&[], true);
    // With the key it is sealed again, as it is.
    home.run(&["keep", &archives[0], "--release"]);
    let pins: Vec<bool> = listed(&home).into_iter().map(|(_, pin)| pin).collect();
    assert_eq!(pins, [true, false]);
}
