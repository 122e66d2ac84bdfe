//! Somebody who can write to the storage writes into what stands beside manifests:
//! proofs that never were, pins. Each of these attacks succeeds on 1b39f1b.

use std::fs;

use serde_json::{Value, json};

use crate::support::house::House;
use crate::support::planting;
use crate::support::planting::{genuine, house, manifest_of};

fn proof() -> Value {
    json!({"level": "restored", "at": "2026-11-29T00:00:00Z", "ok": true})
}

fn edit(house: &House, archive: &str, edit: impl FnOnce(&mut Value)) {
    let path = house.storage().join(format!("{archive}.json"));
    let text = fs::read_to_string(path).unwrap();
    // The manifest's own bytes stay, for they are sealed.
    let (manifest, rest) = text.split_once(",\"seal\":").unwrap();
    let mut file: Value = serde_json::from_str(&format!("{{\"seal\":{rest}")).unwrap();
    edit(&mut file);
    let edited = file.to_string();
    let path = house.storage().join(format!("{archive}.json"));
    fs::write(path, format!("{manifest},{}", &edited[1..])).unwrap();
}

fn shown(house: &House, archive: &str) -> (String, bool) {
    let output = house.run(&["list", "--json"]);
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = listed["backups"].as_array().unwrap();
    let row = rows.iter().find(|row| row["file"] == archive).unwrap();
    let pinned = row["kept"].as_bool().unwrap();
    (row["proof"].as_str().unwrap().to_owned(), pinned)
}

fn proof_of(house: &House, archive: &str) -> String {
    shown(house, archive).0
}

/// Backs `app` up encrypted, and once more as it is: both with the key there.
fn both_forms(house: &House) -> [String; 2] {
    let encrypted = genuine(house);
    house.run(&["backup", "source", "app", "--no-encrypt"]);
    let mut all = planting::archives(house);
    all.retain(|name| *name != encrypted);
    [encrypted, all.remove(0)]
}

#[test]
fn a_planted_proof_counts_for_nothing_and_leaves_the_backup_to_be_verified() {
    let house = house();
    for archive in both_forms(&house) {
        edit(&house, &archive, |file| {
            file["state"]["verification"] = proof();
        });
        assert_eq!(proof_of(&house, &archive), "stored");
        // Nor does a change of ours make it believed.
        house.run(&["keep", &archive]);
        assert_eq!(shown(&house, &archive), ("stored".to_owned(), true));
    }
    let pending = house.run(&["verify", "--pending", "--json"]);
    let pending: Value = serde_json::from_slice(&pending.stdout).unwrap();
    assert_eq!(pending["backups"].as_array().unwrap().len(), 2, "{pending}");
}

#[test]
fn a_proof_of_ours_holds_and_no_edited_or_moved_one_does() {
    let house = house();
    let archives = both_forms(&house);
    house.run(&["verify", "--all"]);
    for archive in &archives {
        assert_eq!(proof_of(&house, archive), "verified");
        house.run(&["keep", archive]);
        assert_eq!(shown(&house, archive), ("verified".to_owned(), true));
        edit(&house, archive, |file| {
            file["state"]["verification"]["level"] = "restored".into();
        });
        assert_eq!(proof_of(&house, archive), "stored");
    }
    let later = genuine(&house);
    house.run(&["verify", &archives[0]]);
    let proven = manifest_of(&house, &archives[0]);
    edit(&house, &later, |file| {
        file["state"] = proven["state"].clone();
        file["state_seal"] = proven["state_seal"].clone();
    });
    assert_eq!(proof_of(&house, &later), "stored");
}

#[test]
fn a_proof_outlives_a_change_of_keys() {
    let house = house();
    let archive = genuine(&house);
    house.run(&["verify", "--all"]);
    house.run(&["key", "generate", "-o", "new.key"]);
    house.run(&["key", "add", "--key-file", "new.key", "--all"]);
    assert_eq!(proof_of(&house, &archive), "verified");
    let mut kluis = house.kluis();
    kluis.env_remove("BACKUP_ENCRYPTION_KEY");
    kluis.env("BACKUP_ENCRYPTION_KEY_FILE", house.path("new.key"));
    let output = kluis.args(["list", "--json"]).output().unwrap();
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(listed["backups"][0]["proof"], "verified", "{listed}");
}

/// What is kept is not lost, whoever says that it is kept.
#[test]
fn a_planted_pin_keeps() {
    let house = house();
    let archive = genuine(&house);
    edit(&house, &archive, |file| {
        file["state"]["pinned"] = true.into()
    });
    assert!(shown(&house, &archive).1);
    house.run(&["keep", "--release", &archive]);
    assert!(!shown(&house, &archive).1);
}

/// As an earlier kluis left it: it is still ours, and to be verified again.
#[test]
fn a_proof_of_before_there_were_seals_of_it_is_to_be_had_again() {
    let house = house();
    let archive = genuine(&house);
    house.run(&["verify", "--all"]);
    let manifest = manifest_of(&house, &archive);
    assert!(manifest["state_seal"].is_string(), "{manifest}");
    edit(&house, &archive, |file| {
        file.as_object_mut().unwrap().remove("state_seal");
    });
    assert_eq!(proof_of(&house, &archive), "stored");
    house.run(&["verify", "--pending"]);
    assert_eq!(proof_of(&house, &archive), "verified");
}
