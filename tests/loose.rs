//! Archives that kluis did not make, in a storage: every one is seen, nothing is said
//! to be right that nobody looked at, and the only one of its name is not lost.

use std::fs;
use std::process::Output;

use crate::support::home::Home;
use serde_json::Value;

/// A whole dump in pg_dump's form, of one table with two rows.
const DUMP: &str = "--\n-- PostgreSQL database dump\n--\n\n\
    -- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)\n\
    -- Dumped by pg_dump version 15.18\n\nSET client_encoding = 'UTF8';\n\n\
    CREATE TABLE public.t (a integer);\n\n\
    COPY public.t (a) FROM stdin;\n1\n2\n\\.\n\n\
    --\n-- PostgreSQL database dump complete\n--\n\n";

const MILLIS: &str = "kanbu_backup_2026-01-06T10-30-00-123Z.sql";
const DAY: &str = "kanbu_backup_2026-01-18.sql";
const LOOSE: &str = "backup_20260118_103000.sql";
const BZIP: &str = "old_20250101.sql.bz2";

/// Three dumps of other names, one that kluis cannot read, and a text.
fn home() -> Home {
    let home = Home::keyless();
    fs::create_dir(home.storage()).unwrap();
    // No two are copies of one backup.
    for (at, file) in [MILLIS, DAY, LOOSE].iter().enumerate() {
        let text = DUMP.replace("\n2\n", &format!("\n{at}\n"));
        fs::write(home.storage().join(file), text).unwrap();
    }
    fs::write(home.storage().join(BZIP), b"BZh91AY&SY").unwrap();
    fs::write(home.storage().join("notes.txt"), b"no archive").unwrap();
    home
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn files(report: &Value) -> Vec<&str> {
    let rows = report.as_array().unwrap().iter();
    rows.map(|row| row["file"].as_str().unwrap()).collect()
}

#[test]
fn every_archive_of_another_program_is_listed_with_name_and_time() {
    let home = home();
    let list = home.json(&["list"]);
    let rows = list["backups"].as_array().unwrap();
    let told = |file: &str| {
        let row = rows.iter().find(|row| row["file"] == file).unwrap();
        let text = |field: &str| row[field].as_str().unwrap().to_owned();
        (text("name"), text("created_at"), text("proof"))
    };
    let unproven = |name: &str, at: &str| (name.to_owned(), at.to_owned(), "no checksum".into());
    assert_eq!(told(MILLIS), unproven("kanbu", "2026-01-06T10:30:00Z"));
    assert_eq!(told(DAY), unproven("kanbu", "2026-01-18T00:00:00Z"));
    assert_eq!(told(LOOSE), unproven("backup", "2026-01-18T10:30:00Z"));
    assert_eq!(told(BZIP), unproven("old", "2025-01-01T00:00:00Z"));
    assert_eq!((rows.len(), &list["without_manifest"]), (4, &4.into()));
    let text = said(&home.run(&["list"]));
    assert!(
        text.contains("kluis adopt --all") && text.contains(MILLIS),
        "{text}"
    );
}

#[test]
fn what_counts_backups_tells_of_archives_without_a_manifest() {
    let home = home();
    fs::create_dir(home.path("tree")).unwrap();
    fs::write(home.path("tree/file"), "x").unwrap();
    for command in [
        &["status"][..],
        &["verify", "--all"],
        &["prune", "--dry-run"],
        &["report"],
    ] {
        let text = said(&home.run(command));
        assert!(text.contains("kluis adopt --all"), "{command:?}: {text}");
    }
    assert_eq!(home.json(&["status"])["without_manifest"], 4);
    let check = said(&home.ends(5, &["check", "--no-server"]));
    assert!(check.contains("4 without a manifest"), "{check}");
    home.run(&["backup", "source", "tree", "--no-encrypt"]);
    let text = said(&home.run(&["verify", "--all"]));
    assert!(
        text.contains("4 archives of globals or without a manifest"),
        "{text}"
    );
}

#[test]
fn the_only_archive_of_its_name_is_not_deleted_without_being_told_to() {
    let home = home();
    // Another one of that name is there.
    home.run(&["delete", MILLIS, "--yes"]);
    let refused = home.ends(1, &["delete", DAY, "--yes"]);
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(text.contains("all that there is of kanbu"), "{text}");
    assert!(home.storage().join(DAY).exists());
    home.run(&["delete", DAY, "--yes", "--force"]);
    // A backup of that name stands for it.
    fs::write(home.storage().join("db_20260101.sql"), DUMP).unwrap();
    home.run(&["adopt", "db_20260101.sql"]);
    fs::write(home.storage().join("db_20260102.sql"), DUMP).unwrap();
    home.run(&["delete", "db_20260102.sql", "--yes"]);
}

#[test]
fn adopting_all_takes_them_and_names_what_it_passes_over_with_its_reason() {
    let home = home();
    let output = home.ends(3, &["--json", "adopt", "--all"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(files(&report["adopted"]), [MILLIS, DAY, LOOSE]);
    assert_eq!(files(&report["refused"]), [BZIP]);
    assert_eq!(report["left_alone"], serde_json::json!(["notes.txt"]));
    let names: Vec<_> = report["adopted"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["name"])
        .collect();
    assert_eq!(names, ["kanbu", "kanbu", "backup"]);
    let text = said(&home.ends(2, &["adopt", "--all"]));
    assert!(text.contains(BZIP) && text.contains("notes.txt"), "{text}");
    // The newest one that was adopted is the latest.
    assert_eq!(
        home.json(&["show", "latest:kanbu"])["manifest"]["stored"]["file"],
        DAY
    );
}

#[test]
fn a_file_is_taken_by_its_path_without_adopting_whatever_it_is_called() {
    let home = Home::keyless();
    let gz = |text: &str| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, text.as_bytes()).unwrap();
        gzip.finish().unwrap()
    };
    fs::create_dir(home.path("dumps")).unwrap();
    // Its content says what it is, not its name.
    fs::write(home.path("dumps/plain.dump"), DUMP).unwrap();
    fs::write(home.path("dumps/of-monday"), gz(DUMP)).unwrap();
    fs::write(home.path("here.sql"), DUMP).unwrap();
    fs::write(home.path("notes"), "no archive").unwrap();
    for path in ["dumps/plain.dump", "./dumps/of-monday", "here.sql"] {
        let verified = home.json(&["verify", path]);
        let row = &verified["backups"][0];
        assert_eq!(
            (&row["ok"], &row["kind"]),
            (&true.into(), &"db".into()),
            "{path}"
        );
    }
    let refused = home.ends(2, &["verify", "./notes"]);
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(text.contains("no backup is called"), "{text}");
    // Nothing was written beside them.
    assert!(!home.path("dumps/of-monday.json").exists());
}

#[test]
fn a_path_that_is_not_there_is_told_as_that() {
    let home = Home::keyless();
    fs::create_dir(home.path("tree")).unwrap();
    home.run(&["backup", "source", "tree", "--no-encrypt"]);
    for path in ["./no-such-file", "shop_backup_2026-01-18T10-30-00.sql.gz"] {
        let refused = home.ends(2, &["restore", path, "--into", "copy", "--yes"]);
        let text = String::from_utf8(refused.stderr).unwrap();
        assert!(text.contains(&format!("there is no file {path}")), "{text}");
        assert!(!text.contains("no backup is called"), "{text}");
    }
}

#[test]
fn archives_one_level_below_are_named_where_there_is_none() {
    let home = Home::keyless();
    for (directory, file) in [("default", DAY), ("other", "notes.txt"), ("runs", DAY)] {
        fs::create_dir_all(home.storage().join(directory)).unwrap();
        fs::write(home.storage().join(directory).join(file), DUMP).unwrap();
    }
    for command in [&["list"][..], &["status"]] {
        let output = home.run(command);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(
            text.contains("in default; kluis -s "),
            "{command:?}: {text}"
        );
    }
    home.run(&["adopt", &format!("storage/default/{DAY}")]);
    let text = String::from_utf8(home.run(&["list"]).stderr).unwrap();
    assert!(!text.contains("default"), "{text}");
}

#[test]
fn with_a_key_they_are_foreign_and_seen_all_the_same() {
    let home = Home::new();
    fs::create_dir(home.storage()).unwrap();
    fs::write(home.storage().join(DAY), DUMP).unwrap();
    let list = home.json(&["list"]);
    assert_eq!(files(&list["foreign"]), [DAY]);
    let refused = home.ends(1, &["delete", DAY, "--yes"]);
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(text.contains("all that there is of kanbu"), "{text}");
    let report = home.json(&["adopt", "--all", "--accept-unsealed"]);
    assert_eq!(files(&report["adopted"]), [DAY]);
}
