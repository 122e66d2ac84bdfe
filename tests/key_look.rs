//! `kluis key list` and `kluis key drill` with the real binary: which key opens
//! which backup, and what the loss of one would cost.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::home::{Home, text};
use kluis::render::{
    DrillKeyRow, ElsewhereRow, KeyDrillReport, KeyListReport, KeyName, KeyRow, Report, UnopenedRow,
    View,
};
use serde_json::Value;

/// Homes that share one storage and differ in their keys.
struct Site {
    home: Home,
    /// Of the age identity in the file `offline`.
    recipient: String,
}

fn write_key(home: &Home, name: &str, content: &str) {
    let path = home.path(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

impl Site {
    /// The day's key in `key`, others in `pass`, `foreign` and `offline`.
    fn new() -> Self {
        let home = Home::new();
        write_key(&home, "pass", "correct horse battery");
        write_key(&home, "foreign", &"99".repeat(32));
        let identity = home.json(&[
            "key",
            "generate",
            "--age",
            "-o",
            text(&home.path("offline")),
        ]);
        let recipient = identity["recipient"].as_str().unwrap().to_owned();
        fs::create_dir(home.path("tree")).unwrap();
        fs::write(home.path("tree/file"), "content").unwrap();
        Self { home, recipient }
    }

    /// A configuration with these lines under [encryption].
    fn configure(&self, lines: &str) {
        let text = format!("[encryption]\n{lines}\n");
        fs::write(self.home.path("kluis.toml"), text).unwrap();
    }

    /// Backs the tree up under a name; gives the archive's.
    fn back_up(&self, name: &str, flags: &[&str]) -> String {
        let tree = self.home.path("tree");
        let backup = ["backup", "source", text(&tree), "--name", name];
        let made = self.home.json(&[&backup, flags].concat());
        made["backups"][0]["file"].as_str().unwrap().to_owned()
    }

    /// One each: by the day's key alone, with a passphrase beside, with an age
    /// recipient beside, unencrypted.
    fn fill(&self) -> [String; 4] {
        let alone = self.back_up("alone", &[]);
        let pass = self.home.path("pass");
        self.configure(&format!("also_key_files = [{:?}]", text(&pass)));
        let with_pass = self.back_up("pass", &[]);
        self.configure(&format!("recipients = [{:?}]", self.recipient));
        let with_age = self.back_up("age", &[]);
        self.configure("");
        let plain = self.back_up("plain", &["--no-encrypt"]);
        [alone, with_pass, with_age, plain]
    }

    fn json(&self, code: i32, arguments: &[&str]) -> Value {
        let output = self.home.ends(code, &[&["--json"], arguments].concat());
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// The row of the key that comes from there.
fn from<'a>(report: &'a Value, place: &str) -> &'a Value {
    let rows = report["keys"].as_array().unwrap();
    let ends = |row: &&Value| {
        row["from"]
            .as_str()
            .is_some_and(|from| from.ends_with(place))
    };
    rows.iter().find(ends).expect("a row of that key")
}

#[test]
fn a_storage_tells_how_many_backups_each_key_opens() {
    let site = Site::new();
    site.fill();
    let pass = site.home.path("pass");
    site.configure(&format!(
        "read_key_files = [{:?}]\nrecipients = [{:?}]",
        text(&pass),
        site.recipient
    ));
    let report = site.json(0, &["key", "list"]);
    assert_eq!(
        (&report["encrypted"], &report["unencrypted"]),
        (&3.into(), &1.into())
    );
    let row = |place| {
        let row = from(&report, place);
        (
            row["backups"].as_u64(),
            row["writes"] == true,
            row["opens"] == true,
        )
    };
    assert_eq!(row("/key"), (Some(3), true, true));
    assert_eq!(row("/pass"), (Some(1), false, true));
    assert_eq!(row("kluis.toml:3"), (Some(1), true, false));
    assert_eq!(report["keys"].as_array().unwrap().len(), 3, "{report}");
    assert_eq!(report["unopened"], Value::Array(Vec::new()));
}

#[test]
fn keys_that_archives_want_and_nobody_configured_are_listed_too() {
    let site = Site::new();
    let [alone, with_pass, with_age, _] = site.fill();
    write_key(&site.home, "key", &"99".repeat(32));
    let foreign = site.back_up("foreign", &[]);
    let report = site.json(0, &["key", "list"]);
    let keys = report["keys"].as_array().unwrap();
    let missing: Vec<(&str, u64)> = keys
        .iter()
        .filter(|row| row["from"].is_null())
        .map(|row| {
            (
                row["type"].as_str().unwrap(),
                row["backups"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(missing, [("key", 3), ("passphrase", 1), ("age", 1)]);
    let unopened: Vec<&str> = report["unopened"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["file"].as_str().unwrap())
        .collect();
    for file in [&alone, &with_pass, &with_age] {
        assert!(unopened.contains(&file.as_str()), "{unopened:?}");
    }
    assert!(!unopened.contains(&foreign.as_str()));
    let slots = site.json(0, &["key", "list", &with_age]);
    let row = &slots["backups"][0];
    assert_eq!(row["checked"], false);
    assert_eq!(row["slots"][1]["recipient"], site.recipient.as_str());
    assert_eq!(row["slots"][1]["opened_by"], Value::Array(Vec::new()));
}

#[test]
fn an_archive_tells_its_slots_and_what_opens_each() {
    let site = Site::new();
    let [_, with_pass, with_age, plain] = site.fill();
    let pass = site.home.path("pass");
    site.configure(&format!("read_key_files = [{:?}]", text(&pass)));
    let report = site.json(0, &["key", "list", &with_pass, &with_age, &plain]);
    let rows = report["backups"].as_array().unwrap();
    let slots = |row: &Value| -> Vec<(String, usize)> {
        let slots = row["slots"].as_array().unwrap().iter();
        slots
            .map(|slot| {
                let opened_by = slot["opened_by"].as_array().unwrap().len();
                (slot["type"].as_str().unwrap().to_owned(), opened_by)
            })
            .collect()
    };
    let named = |kind: &str, opened| (kind.to_owned(), opened);
    assert_eq!(slots(&rows[0]), [named("key", 1), named("passphrase", 1)]);
    assert_eq!(slots(&rows[1]), [named("key", 1), named("age", 0)]);
    assert_eq!(rows[0]["checked"], true);
    assert_eq!(rows[2]["format"], "not encrypted");
    let text = site.home.run(&["key", "list", &with_age]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains(&site.recipient) && text.contains("no configured key"),
        "{text}"
    );
}

#[test]
fn a_damaged_header_is_told_by_list_and_drill() {
    let site = Site::new();
    let [alone, ..] = site.fill();
    let path = site.home.storage().join(&alone);
    let whole = fs::read(&path).unwrap();
    let mut bytes = whole.clone();
    bytes[2000] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let report = site.json(0, &["key", "list", &alone]);
    let damaged = report["backups"][0]["unused_copy"].as_str().unwrap();
    assert!(damaged.contains("copy A"), "{damaged}");
    site.json(0, &["key", "drill"]);
    bytes[4096 + 2000] ^= 1;
    fs::write(&path, &bytes).unwrap();
    site.json(4, &["key", "list", &alone]);
    let report = site.json(4, &["key", "drill"]);
    assert_eq!(report["unopened"][0]["file"], alone.as_str());
    assert_eq!(report["unopened"][0]["wants"], Value::Array(Vec::new()));
}

#[test]
fn a_drill_tells_what_the_loss_of_each_key_would_cost() {
    let site = Site::new();
    let [alone, ..] = site.fill();
    let pass = site.home.path("pass");
    site.configure(&format!("read_key_files = [{:?}]", text(&pass)));
    let report = site.json(0, &["key", "drill"]);
    assert_eq!(report["ok"], true);
    let key = from(&report, "/key");
    assert_eq!((&key["backups"], &key["lost"]), (&3.into(), &1.into()));
    assert_eq!(key["newest_lost"], alone.as_str());
    let by = key["elsewhere"][0]["by"][0].as_str().unwrap();
    assert!(by.contains(&site.recipient), "{by}");
    let pass = from(&report, "/pass");
    assert_eq!((&pass["backups"], &pass["lost"]), (&1.into(), &0.into()));
    assert_eq!(pass["elsewhere"], Value::Array(Vec::new()));
    let sample = report["sample"].as_array().unwrap();
    assert_eq!(sample.len(), 3);
    assert!(sample.iter().all(|row| row["ok"] == true), "{sample:?}");
    let text = site.home.run(&["key", "drill", "--sample", "1"]);
    let text = String::from_utf8(text.stdout).unwrap();
    for words in [
        "key were lost, 1 backup would be lost, newest\n  alone_source_",
        "Then 1 backup would open only by\n  the age identity of age1",
        "pass were lost, no backup would be",
        "Read whole: 1 backup",
    ] {
        assert!(text.contains(words), "{text}");
    }
    let runs = fs::read_dir(site.home.storage().join("runs")).unwrap();
    let drills = runs.filter(|run| {
        let name = run.as_ref().unwrap().file_name();
        name.to_string_lossy().contains("_key-drill_")
    });
    assert_eq!(drills.count(), 2, "a record each");
}

#[test]
fn a_backup_that_no_key_opens_fails_the_drill_with_the_key_it_wants() {
    let site = Site::new();
    let [alone, ..] = site.fill();
    let shown = site.home.json(&["show", &alone]);
    let wanted = shown["manifest"]["encryption"]["key_id"].as_str().unwrap();
    write_key(&site.home, "key", &"99".repeat(32));
    let report = site.json(4, &["key", "drill"]);
    assert_eq!(report["ok"], false);
    assert_eq!(report["unopened"].as_array().unwrap().len(), 3);
    let output = site.home.ends(4, &["key", "drill"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&format!("wants key {wanted}")), "{text}");
}

#[test]
fn a_sample_with_a_damaged_payload_fails_the_drill() {
    let site = Site::new();
    let [alone, ..] = site.fill();
    let path = site.home.storage().join(&alone);
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let report = site.json(4, &["key", "drill", "--all"]);
    assert_eq!(report["unopened"], Value::Array(Vec::new()));
    let wrong = report["sample"].as_array().unwrap().iter();
    let wrong: Vec<&Value> = wrong.filter(|row| row["ok"] == false).collect();
    assert_eq!(wrong.len(), 1);
    assert_eq!(wrong[0]["file"], alone.as_str());
}

#[test]
fn a_legacy_archive_counts_by_its_manifest() {
    let site = Site::new();
    fs::create_dir(site.home.storage()).unwrap();
    let name = "kanbu_backup_2026-01-18T10-30-00.sql.gz.enc";
    let data = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/legacy/whole-dump.enc"
    );
    fs::copy(data, site.home.storage().join(name)).unwrap();
    write_key(&site.home, "key", "correct horse battery staple – ünïcode");
    let unknown = site.json(0, &["key", "list"]);
    assert_eq!(unknown["unopened"][0]["file"], name);
    site.home.run(&["adopt", name]);
    let report = site.json(0, &["key", "list"]);
    assert_eq!(report["legacy"], 1);
    assert_eq!(report["keys"][0]["backups"], 1);
    site.json(0, &["key", "drill"]);
    write_key(&site.home, "key", "another");
    let report = site.json(4, &["key", "drill"]);
    let wants = report["unopened"][0]["wants"][0].as_str().unwrap();
    assert!(wants.starts_with("key "), "{wants}");
}

#[test]
fn the_tables_fit_80_columns() {
    let age = KeyName::Age {
        recipient: Some(format!("age1{}", "q".repeat(58))),
    };
    let row = |key: &KeyName, from: Option<&str>| KeyRow {
        key: key.clone(),
        from: from.map(str::to_owned),
        writes: true,
        opens: true,
        backups: 10_000,
    };
    let long = "/etc/kluis/a/directory/with/a/long/name/recovery.key";
    let raw = KeyName::Key {
        key_id: "0011223344556677".to_owned(),
    };
    let unopened = vec![UnopenedRow {
        file: "shop".to_owned(),
        id: None,
        wants: vec!["key 1".to_owned()],
        problem: String::new(),
    }];
    let view = View {
        now: jiff::Timestamp::UNIX_EPOCH,
        zone: jiff::tz::TimeZone::UTC,
        columns: Some(80),
    };
    let list = KeyListReport {
        storage: "/b".to_owned(),
        encrypted: 10_000,
        unencrypted: 3,
        legacy: 2,
        keys: vec![row(&raw, Some(long)), row(&age, Some("x")), row(&age, None)],
        unopened,
        signs_with: None,
        believes: Vec::new(),
    };
    let drill = KeyDrillReport {
        ok: true,
        storage: "/b".to_owned(),
        encrypted: 10_000,
        unencrypted: 0,
        keys: vec![DrillKeyRow {
            key: row(&age, Some(long)),
            lost: 10_000,
            newest_lost: None,
            elsewhere: vec![ElsewhereRow {
                by: vec!["its passphrase".to_owned()],
                backups: 1,
            }],
        }],
        unopened: Vec::new(),
        sample: Vec::new(),
        duration_ms: 1,
    };
    for text in [list.text(&view), drill.text(&view)] {
        let rows = text.lines().take_while(|line| !line.is_empty());
        for line in rows {
            let width = line
                .replace("\x1b[1m", "")
                .replace("\x1b[0m", "")
                .chars()
                .count();
            assert!(width <= 80, "{width}: {line}");
        }
        assert!(
            !text.lines().nth(1).unwrap().contains("/recovery.key"),
            "{text}"
        );
    }
    assert!(list.text(&view).contains("key 0011223344556677"));
}

#[test]
fn the_keys_that_sign_are_listed() {
    let site = Site::new();
    let file = site.home.path("signing");
    let made = ["key", "generate", "--signing", "-o", text(&file)];
    let made = site.home.json(&made);
    let key = made["verify_key"].as_str().unwrap();
    site.configure(&format!("signing_key = \"{}\"", text(&file)));
    site.back_up("tree", &[]);
    let told = site.home.json(&["key", "list"]);
    assert_eq!(told["signs_with"], *key);
    assert_eq!(told["believes"], serde_json::json!([key]));
    let said = site.home.run(&["key", "list"]).stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(
        said.contains(&format!("Signs with the key of {key}.")),
        "{said}"
    );
}
