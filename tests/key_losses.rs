//! Ways to believe a backup safe that is not: a leaked key's data key that lives
//! on, an old key that is still wanted, damage that only one reader saw.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;

struct Home(tempfile::TempDir);

impl Home {
    /// Keys a and b, a tree.
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        fs::create_dir(home.path("app")).unwrap();
        fs::write(home.path("app/file"), "content").unwrap();
        for key in ["a", "b"] {
            home.done("a", &["key", "generate", "-o", key], 0);
        }
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, key: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kluis"));
        command.current_dir(self.0.path()).env_clear();
        if self.path(key).exists() {
            command.env("BACKUP_ENCRYPTION_KEY_FILE", self.path(key));
        }
        command.args(["-s", "vault"]).args(arguments);
        command.output().unwrap()
    }

    /// stdout and stderr of a run that ends so.
    fn done(&self, key: &str, arguments: &[&str], code: i32) -> String {
        let output = self.run(key, arguments);
        let mut said = String::from_utf8(output.stdout).unwrap();
        said.push_str(&String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        said
    }

    fn json(&self, key: &str, arguments: &[&str]) -> Value {
        let output = self.run(key, arguments);
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    fn back_up(&self, key: &str) -> PathBuf {
        let made = self.json(key, &["--json", "backup", "source", "app"]);
        let file = made["backups"][0]["file"].as_str().unwrap();
        self.path("vault").join(file)
    }

    fn proof(&self) -> Value {
        let shown = self.json("a", &["--json", "list"]);
        // What is not as it was written is listed apart.
        let row = [&shown["backups"][0], &shown["foreign"][0]];
        let row = row.into_iter().find(|row| !row.is_null()).unwrap();
        row["proof"].clone()
    }
}

fn change(path: &Path, places: &[usize]) {
    let mut bytes = fs::read(path).unwrap();
    for &at in places {
        bytes[at] ^= 1;
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_leaked_key_that_was_rotated_before_loses_the_data_key_by_reencrypting() {
    let home = Home::new();
    let old = home.back_up("a");
    let payload = fs::read(&old).unwrap()[8192..].to_vec();
    home.done("b", &["key", "rotate", "--from", "a"], 0);
    home.done("b", &["key", "rotate", "--from", "a", "--reencrypt"], 0);
    let listed = home.json("b", &["--json", "list"]);
    assert_eq!(listed["backups"].as_array().unwrap().len(), 1);
    let new = listed["backups"][0]["file"].as_str().unwrap();
    let new = fs::read(home.path("vault").join(new)).unwrap();
    assert!(new[8192..] != payload, "the payload is still the old one");
    assert!(!old.exists());
    let again = home.done("b", &["key", "rotate", "--from", "a", "--reencrypt"], 0);
    assert!(again.contains("done already"), "{again}");
}

#[test]
fn a_rotation_names_the_legacy_archive_that_still_wants_the_old_key() {
    let home = Home::new();
    fs::write(
        home.path("kanbu.toml"),
        "[encryption]\nformat = \"kanbu\"\n",
    )
    .unwrap();
    home.done("a", &["-c", "kanbu.toml", "backup", "source", "app"], 0);
    let said = home.done("b", &["key", "rotate", "--from", "a"], 1);
    assert!(said.contains("still wants the old key"), "{said}");
    home.done("b", &["key", "rotate", "--from", "a", "--reencrypt"], 0);
    home.done("b", &["verify", "--all"], 0);
}

#[test]
fn damage_that_a_restore_or_a_drill_finds_is_written_down() {
    for reader in [
        &["restore", "latest", "--to", "back"][..],
        &["key", "drill"],
    ] {
        let home = Home::new();
        let archive = home.back_up("a");
        home.done("a", &["verify", "--all"], 0);
        assert_eq!(home.proof(), "verified");
        change(&archive, &[8200]);
        home.done("a", reader, 4);
        assert_eq!(home.proof(), "damaged", "{reader:?}");
    }
}

#[test]
fn a_slot_that_does_not_open_with_its_own_key_is_damage_and_no_missing_key() {
    let home = Home::new();
    let archive = home.back_up("a");
    home.done("a", &["verify", "--all"], 0);
    // The archive id, in both copies.
    change(&archive, &[20, 4096 + 20]);
    let said = home.done("a", &["verify", "latest"], 4);
    assert!(said.contains("is not as it was written"), "{said}");
    let name = archive.file_name().unwrap().to_str().unwrap();
    let said = home.done("a", &["verify", name], 4);
    assert!(said.contains("which is here, does not open"), "{said}");
    assert_eq!(home.proof(), "damaged");
}

#[test]
fn a_missing_key_is_no_damage() {
    let home = Home::new();
    home.back_up("a");
    home.done("a", &["verify", "--all"], 0);
    let said = home.done("b", &["verify", "--all"], 4);
    assert!(said.contains("NOT DONE"), "{said}");
    home.done("b", &["restore", "latest", "--to", "back"], 4);
    assert_eq!(home.proof(), "verified");
}

#[test]
fn a_repair_of_a_healthy_header_writes_nothing() {
    let home = Home::new();
    let archive = home.back_up("a");
    let before = fs::read(&archive).unwrap();
    home.done("a", &["key", "repair", "--all"], 0);
    assert!(fs::read(&archive).unwrap() == before);
    change(&archive, &[4096 + 200]);
    home.done("a", &["key", "repair", "--all"], 0);
    home.done("a", &["verify", "--all"], 0);
}

#[test]
fn a_file_from_the_future_is_not_adopted_and_a_plain_one_with_a_word() {
    let home = Home::new();
    home.back_up("a");
    let plain = home.json("a", &["--json", "backup", "source", "--no-encrypt", "app"]);
    let plain = plain["backups"][0]["file"].as_str().unwrap();
    let content = home.path("vault").join(plain);
    let loose = home.path("old_source_2020-01-18T10-30-00.tar.gz");
    let future = home.path("old_source_2199-01-18T10-30-00.tar.gz");
    fs::copy(&content, &loose).unwrap();
    fs::copy(&content, &future).unwrap();
    let said = home.done("a", &["adopt", loose.to_str().unwrap()], 0);
    assert!(said.contains("is not encrypted"), "{said}");
    let said = home.done("a", &["adopt", future.to_str().unwrap()], 2);
    assert!(said.contains("in the future"), "{said}");
}
