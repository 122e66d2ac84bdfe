//! `kluis key add`, `drop`, `rotate` and `repair` as an operator meets them:
//! words, exit codes, and what the other commands say afterwards.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use serde_json::Value;

use crate::support::house;
use crate::support::house::House;

/// The key that a house is configured with.
fn old_key() -> String {
    "c0ffee".repeat(10) + "0123"
}

/// A house with two backups of a tree, under the old key.
fn house() -> House {
    let house = House::new();
    fs::create_dir(house.path("tree")).unwrap();
    fs::write(house.path("tree/file"), "content").unwrap();
    for _ in 0..2 {
        house.run(&["backup", "source", "tree"]);
    }
    write_key(&house, "old", &old_key());
    write_key(&house, "new", &"ab".repeat(32));
    write_key(&house, "wrong", &"cd".repeat(32));
    house
}

fn write_key(house: &House, name: &str, text: &str) {
    fs::write(house.path(name), text).unwrap();
    fs::set_permissions(house.path(name), fs::Permissions::from_mode(0o600)).unwrap();
}

/// kluis, configured with the new key.
fn with_new_key(house: &House, arguments: &[&str]) -> Output {
    let mut command = house.kluis();
    command
        .env_remove("BACKUP_ENCRYPTION_KEY")
        .env("BACKUP_ENCRYPTION_KEY_FILE", house.path("new"));
    command.args(arguments).output().unwrap()
}

#[track_caller]
fn said(output: &Output, code: i32) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(code), "{stdout}{stderr}");
    for secret in [old_key(), "ab".repeat(32), "cd".repeat(32)] {
        assert!(!stdout.contains(&secret) && !stderr.contains(&secret));
    }
    format!("{stdout}{stderr}")
}

fn archives(house: &House) -> Vec<(String, Vec<u8>)> {
    let names = house::names(&house.storage()).into_iter();
    let archives = names.filter(|name| name.ends_with(".enc"));
    archives
        .map(|name| (name.clone(), fs::read(house.storage().join(name)).unwrap()))
        .collect()
}

#[test]
fn a_rotation_is_shown_first_then_done_then_has_nothing_left_to_do() {
    let house = house();
    let before = archives(&house);
    let rotate = ["key", "rotate", "--from", "old"];
    let dry = [&rotate[..], &["--dry-run"]].concat();
    let text = said(&with_new_key(&house, &dry), 0);
    assert!(text.starts_with("2 backups would be rotated\n"), "{text}");
    for (name, _) in &before {
        assert!(text.contains(name), "{text}");
    }
    assert_eq!(archives(&house), before);

    let text = said(&with_new_key(&house, &rotate), 0);
    assert!(
        text.starts_with("2 backups rotated\n16.0 KiB written"),
        "{text}"
    );
    for ((_, old), (name, new)) in before.iter().zip(archives(&house)) {
        assert_eq!(old[8192..], new[8192..], "{name}");
        assert_ne!(old[..8192], new[..8192], "{name}");
    }
    let json = [&rotate[..], &["--json"]].concat();
    let report: Value = serde_json::from_str(&said(&with_new_key(&house, &json), 0)).unwrap();
    assert_eq!(report["command"], "key rotate");
    assert_eq!(report["written_bytes"], 0);
    for row in report["backups"].as_array().unwrap() {
        assert_eq!(row["result"], "already");
    }
    for verify in [&["verify", "--all"][..], &["verify", "--all", "--quick"]] {
        said(&with_new_key(&house, verify), 0);
    }
    // The quick check needs no key, and what is shown is how it is now.
    house.run(&["verify", "--all", "--quick"]);
    let show = with_new_key(&house, &["show", "latest", "--json"]);
    let shown: Value = serde_json::from_str(&said(&show, 0)).unwrap();
    assert_eq!(shown["keys_changed"], true);
    let opens_with = shown["opens_with"].as_array().unwrap();
    let made_with = shown["manifest"]["encryption"]["key_id"].as_str().unwrap();
    assert_eq!(opens_with.len(), 1);
    assert!(!opens_with[0].as_str().unwrap().contains(made_with));
    said(
        &house.kluis().args(["verify", "latest"]).output().unwrap(),
        4,
    );
}

#[test]
fn a_wrong_key_changes_nothing_and_that_is_said() {
    let house = house();
    let before = archives(&house);
    let wrong = ["key", "rotate", "--from", "wrong"];
    let text = said(&with_new_key(&house, &wrong), 4);
    assert!(
        text.contains("2 backups not opened by the old key\n"),
        "{text}"
    );
    assert!(text.ends_with("Nothing was changed.\n"), "{text}");
    let same = house
        .kluis()
        .args(["key", "rotate", "--from", "old"])
        .output();
    let text = said(&same.unwrap(), 2);
    assert!(text.contains("still writes"), "{text}");
    assert_eq!(archives(&house), before);
}

#[test]
fn keys_are_added_and_dropped_but_never_the_last_or_the_only_configured() {
    let house = house();
    let key = |arguments: &[&str]| {
        let arguments = [&["key"], arguments].concat();
        house.kluis().args(arguments).output().unwrap()
    };
    let text = said(&key(&["drop", "--key-file", "old", "--all"]), 1);
    assert!(text.contains("the last key is never dropped"), "{text}");
    let text = said(&key(&["add", "--key-file", "new", "--all"]), 0);
    assert!(text.starts_with("2 backups changed: opens with the key now\n"));
    let text = said(&key(&["add", "--key-file", "new", "--all"]), 0);
    assert!(
        text.starts_with("2 backups had the key already\n"),
        "{text}"
    );
    let text = said(&key(&["drop", "--key-file", "old", "--all"]), 1);
    assert!(text.contains("no configured key would open it"), "{text}");
    let by_force = ["drop", "--key-file", "old", "--force", "latest"];
    said(&key(&by_force), 0);
    said(&with_new_key(&house, &["verify", "latest"]), 0);
    said(&key(&["repair", "--all"]), 4);
    said(&with_new_key(&house, &["key", "repair", "--all"]), 0);
    said(&key(&["drop", "--all"]), 2);
    said(&key(&["drop", "--id", "xyz", "--all"]), 2);
    said(&key(&["rotate"]), 2);
    said(&key(&["add", "--key-file", "new"]), 2);
}

#[test]
fn a_leaked_key_is_taken_off_by_writing_anew() {
    let house = house();
    // The key of the house itself lists nothing of theirs afterwards.
    let names = || archives(&house).into_iter().map(|(name, _)| name);
    let before: Vec<String> = names().collect();
    let anew = ["key", "rotate", "--from", "old", "--reencrypt"];
    let text = said(&with_new_key(&house, &anew), 0);
    assert!(text.starts_with("2 backups rotated\n"), "{text}");
    let after: Vec<String> = names().collect();
    assert_eq!(after.len(), 2);
    assert!(after.iter().all(|name| !before.contains(name)), "{after:?}");
    assert_eq!(house.leftovers(), [""; 0]);
    said(&with_new_key(&house, &["verify", "--all"]), 0);
    let restore = ["restore", "latest", "--to", "restored"];
    said(&with_new_key(&house, &restore), 0);
    let content = fs::read_to_string(house.path("restored/file")).unwrap();
    assert_eq!(content, "content");
    let (_, record) = house
        .records()
        .into_iter()
        .find(|(name, _)| name.contains("_key-rotate_"))
        .unwrap();
    assert_eq!(record["status"], "COMPLETED");
    let detail = record["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("writing archives anew for key "),
        "{detail}"
    );
}

#[test]
fn a_rotation_seals_what_has_no_key_slots_by_the_new_key_and_keeps_its_state() {
    for reencrypt in [&[][..], &["--reencrypt"]] {
        let house = house();
        house.run(&["backup", "source", "tree", "--no-encrypt", "--keep"]);
        let rotate = [&["key", "rotate", "--from", "old"], reencrypt].concat();
        let text = said(&with_new_key(&house, &rotate), 0);
        assert!(text.contains("3 backups rotated"), "{text}");
        let list = said(&with_new_key(&house, &["list", "--json"]), 0);
        let list: Value = serde_json::from_str(&list).unwrap();
        let backups = list["backups"].as_array().unwrap();
        assert_eq!(backups.len(), 3, "{list}");
        assert_eq!(list["foreign"], serde_json::json!([]));
        let plain = backups.iter().find(|row| row["encrypted"] == false);
        assert_eq!(plain.unwrap()["kept"], true, "{list}");
        let json = [&rotate[..], &["--json"]].concat();
        let again = said(&with_new_key(&house, &json), 0);
        let again: Value = serde_json::from_str(&again).unwrap();
        let changed = |row: &&Value| row["result"] == "changed";
        let rows = again["backups"].as_array().unwrap();
        assert_eq!(rows.iter().filter(changed).count(), 0, "{again}");
    }
}
