//! With `--json` whatever fails says so in the document on stdout, by the same
//! three fields; without it nothing is on stdout but results.

use std::fs;

use serde_json::Value;

use crate::support::home::{Home, text};

/// A home with a backup of a small tree; the archive's name.
fn backed_up() -> (Home, String) {
    let home = Home::new();
    fs::create_dir(home.path("app")).unwrap();
    fs::write(home.path("app/file"), "content").unwrap();
    let made = home.json(&["backup", "source", "app"]);
    let file = made["backups"][0]["file"].as_str().unwrap().to_owned();
    (home, file)
}

/// One document with an error that holds `words`, this exit code, and whether it
/// has a hint.
fn fails(home: &Home, code: i32, arguments: &[&str], words: &str, has_hint: bool) -> Value {
    let output = home.ends(code, &[arguments, &["--json"]].concat());
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let error = document["error"].as_str().unwrap_or_default();
    assert!(error.contains(words), "{arguments:?}: {document}");
    assert_eq!(document["exit_code"], code, "{arguments:?}: {document}");
    let hint = document["hint"].as_str();
    assert_eq!(hint.is_some(), has_hint, "{arguments:?}: {document}");
    document
}

fn damage(home: &Home, file: &str) {
    let path = home.storage().join(file);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() - 20;
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn wrong_flags_are_one_document_too() {
    let home = Home::new();
    for (arguments, error, hint) in [
        (&["list", "--limt", "3"][..], "'--limt'", true),
        (&["list", "--limit", "many"], "'many'", false),
        (&["lst"], "'lst'", true),
        (&["delete"], "<BACKUP>", false),
        (
            &["list", "--kind", "dbs"],
            "possible values: db, source",
            true,
        ),
        (&["-v", "-q", "list"], "'--quiet'", false),
    ] {
        let document = fails(&home, 2, arguments, error, hint);
        let said = document["error"].as_str().unwrap();
        assert!(!said.contains("Usage") && !said.contains('\n'), "{said}");
        let plain = home.ends(2, arguments);
        assert!(plain.stdout.is_empty());
        assert!(String::from_utf8_lossy(&plain.stderr).starts_with("error: "));
    }
}

#[test]
fn help_is_help_also_with_json() {
    let home = Home::new();
    let output = home.run(&["list", "--help", "--json"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("Examples:"));
}

#[test]
fn a_damaged_archive_is_an_error_beside_the_rows() {
    let (home, file) = backed_up();
    damage(&home, &file);
    let document = fails(&home, 4, &["verify", "--all"], &file, true);
    assert_eq!(document["ok"], false);
    assert_eq!(document["backups"][0]["ok"], false);
    let document = fails(&home, 4, &["key", "drill"], &file, false);
    assert_eq!(document["ok"], false);
}

#[test]
fn what_is_right_has_no_error_and_no_exit_code() {
    let (home, _) = backed_up();
    for arguments in [
        &["verify", "--all"][..],
        &["key", "drill"],
        &["key", "list"],
    ] {
        let document = home.json(arguments);
        for field in ["error", "hint", "exit_code"] {
            assert!(document.get(field).is_none(), "{arguments:?}: {document}");
        }
    }
}

#[test]
fn a_file_that_is_not_adopted_is_an_error_beside_the_rows() {
    let (home, _) = backed_up();
    let path = home.path("notes.sql.gz");
    fs::write(&path, "no gzip at all").unwrap();
    let arguments = ["adopt", text(&path), "--name", "shop"];
    let output = home.kluis(&arguments).arg("--json").output().unwrap();
    let code = output.status.code().unwrap();
    let document = fails(&home, code, &arguments, "notes.sql.gz", false);
    assert_eq!(document["refused"][0]["exit_code"], code);
}

#[test]
fn a_rotation_from_a_key_that_opens_nothing_is_an_error_beside_the_rows() {
    let (home, file) = backed_up();
    let [old, new] = ["old", "new"].map(|name| home.path(name));
    for key in [&old, &new] {
        home.run(&["key", "generate", "-o", text(key)]);
    }
    let home = home.set("BACKUP_ENCRYPTION_KEY_FILE", text(&new));
    let document = fails(
        &home,
        4,
        &["key", "rotate", "--from", text(&old)],
        &file,
        false,
    );
    assert_eq!(document["backups"][0]["file"], file);
}

#[test]
fn a_key_that_only_reads_and_is_missing_stops_no_backup() {
    let (home, _) = backed_up();
    let missing = home.path("missing");
    let home = home.set("BACKUP_READ_KEY_FILES", text(&missing));
    let output = home.run(&["backup", "source", "app"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("warning:") && said.contains(text(&missing)),
        "{said}"
    );
    assert_eq!(home.json(&["list"])["backups"].as_array().unwrap().len(), 2);
    // What reads must not take an archive for lost because of a mistyped path.
    for arguments in [&["verify", "--all"][..], &["key", "list"]] {
        fails(&home, 2, arguments, text(&missing), true);
    }
    // Without a key that writes the archive would lack a slot.
    home.set("BACKUP_READ_KEY_FILES", "")
        .configure("[encryption]\nalso_key_files = [\"missing\"]\n")
        .ends(2, &["backup", "source", "app"]);
}
