//! What counts as a backup although it should not: archives that anybody can write for
//! a recipient, and archives that are not as long as they were written. Both succeed
//! on 861f450.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::house;
use crate::support::house::House;
use crate::support::rules::KEEP_LAST_1;

fn json(mut command: Command) -> Value {
    let output = command.output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

fn tree(house: &House, directory: &str, text: &str) {
    fs::create_dir_all(house.path(directory)).unwrap();
    fs::write(house.path(directory).join("file"), text).unwrap();
}

/// A recipient, and the file with its identity.
fn recipient(house: &House) -> String {
    let identity = house.path("identity");
    let path = identity.to_str().unwrap().to_owned();
    house.run(&["key", "generate", "--age", "-o", &path]);
    let text = fs::read_to_string(identity).unwrap();
    let line = text.lines().find(|line| line.contains("age1")).unwrap();
    line[line.find("age1").unwrap()..].trim().to_owned()
}

/// The files that `list` counts, as the host itself sees them, newest first.
fn counted(house: &House, recipient: &str) -> Vec<String> {
    let mut list = house.kluis();
    list.env("BACKUP_AGE_RECIPIENTS", recipient)
        .env("BACKUP_READ_KEY_FILES", house.path("identity"))
        .args(["list", "--json"]);
    let shown = json(list);
    let rows = shown["backups"].as_array().unwrap().iter();
    rows.map(|row| row["file"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn who_knows_the_recipient_makes_no_backup_that_counts_beside_a_key() {
    let house = House::new();
    let recipient = recipient(&house);
    tree(&house, "tree", "genuine");
    let mut own = house.kluis();
    own.env("BACKUP_AGE_RECIPIENTS", &recipient)
        .args(["backup", "source", "tree"]);
    assert!(own.status().unwrap().success());
    let genuine = counted(&house, &recipient);
    assert_eq!(genuine.len(), 1);

    tree(&house, "theirs/tree", "planted");
    let mut theirs = house.kluis();
    theirs
        .env_remove("BACKUP_ENCRYPTION_KEY")
        .env("BACKUP_AGE_RECIPIENTS", &recipient)
        .args(["backup", "source", "theirs/tree"]);
    assert!(theirs.status().unwrap().success());
    assert_eq!(counted(&house, &recipient), genuine);

    // Nor is it given a slot that would make it count.
    let mut add = house.kluis();
    fs::write(house.path("second"), "5a".repeat(32)).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(house.path("second"), mode).unwrap();
    add.env("BACKUP_READ_KEY_FILES", house.path("identity"))
        .args(["key", "add", "--all", "--key-file"])
        .arg(house.path("second"));
    assert_eq!(add.status().unwrap().code(), Some(3));
    assert_eq!(counted(&house, &recipient), genuine);
}

#[test]
fn an_archive_that_was_cut_stands_for_no_whole_one() {
    let house = House::new();
    tree(&house, "tree", "content");
    for _ in 0..4 {
        house.run(&["backup", "source", "tree"]);
    }
    let mut archives: Vec<_> = house::names(&house.storage())
        .into_iter()
        .filter(|name| name.ends_with(".enc"))
        .collect();
    archives.sort();
    // All but one, whichever: the payload is gone, the header is there.
    let whole = archives.remove(0);
    for archive in &archives {
        let file = fs::OpenOptions::new()
            .write(true)
            .open(house.storage().join(archive))
            .unwrap();
        file.set_len(8192).unwrap();
    }
    let mut list = house.kluis();
    list.args(["list", "--json"]);
    for row in json(list)["backups"].as_array().unwrap() {
        let is_whole = row["file"] == whole.as_str();
        assert_eq!(row["proof"].as_str() == Some("stored"), is_whole, "{row}");
    }
    let mut check = house.kluis();
    assert_eq!(check.arg("check").status().unwrap().code(), Some(5));
    house.run(&KEEP_LAST_1);
    assert!(
        house.storage().join(&whole).exists(),
        "the whole one is gone"
    );
}
