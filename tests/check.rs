//! `check` and `status` through the binary: exit codes, a Nagios plugin's line,
//! metrics for Prometheus.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;

fn kluis(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kluis"));
    command.current_dir(home).env_clear().env("HOME", home);
    command.args(["-s", "vault", "-c", "kluis.toml"]);
    command.args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A storage with two backups; the disk of the test may be as full as it is.
fn home(check: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let quiet = "[check]\nfree = 0\ndays_until_full = 0\n";
    fs::write(home.path().join("kluis.toml"), format!("{quiet}{check}")).unwrap();
    fs::create_dir(home.path().join("app")).unwrap();
    for content in ["one", "two"] {
        fs::write(home.path().join("app/file"), content).unwrap();
        let made = kluis(home.path(), &["backup", "source", "--no-encrypt", "app"]);
        assert_eq!(made.status.code(), Some(0));
    }
    home
}

/// Writes the archives' manifests as if they were made so many days ago.
fn grow_old(home: &Path, year: &str) {
    for entry in fs::read_dir(home.join("vault")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(at) = name.find("_source_2").map(|at| at + "_source_".len()) else {
            continue;
        };
        let old = format!("{}{year}{}", &name[..at], &name[at + 4..]);
        if name.ends_with(".json") {
            let bytes = text(&fs::read(&path).unwrap());
            let mut manifest: Value = serde_json::from_str(&bytes).unwrap();
            for field in ["/manifest/created_at", "/manifest/stored/file"] {
                let value = manifest.pointer_mut(field).unwrap();
                let said = value.as_str().unwrap().to_owned();
                let at = said.find("202").unwrap();
                *value = Value::String(format!("{}{year}{}", &said[..at], &said[at + 4..]));
            }
            fs::write(&path, manifest.to_string()).unwrap();
        }
        fs::rename(&path, path.with_file_name(old)).unwrap();
    }
}

#[test]
fn new_backups_are_healthy_and_old_ones_exit_code_5_with_what_to_do() {
    let home = home("");
    let healthy = kluis(home.path(), &["check"]);
    assert_eq!(healthy.status.code(), Some(0), "{}", text(&healthy.stdout));
    assert!(text(&healthy.stdout).contains("Healthy."));
    grow_old(home.path(), "2021");
    let old = kluis(home.path(), &["check"]);
    assert_eq!(old.status.code(), Some(5));
    let said = text(&old.stdout);
    assert!(said.contains("FAIL app: the newest backup is"), "{said}");
    assert!(said.contains("make one with kluis backup"), "{said}");
    let json = kluis(home.path(), &["check", "--json"]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["healthy"], false);
    let findings = json["findings"].as_array().unwrap();
    let age = findings.iter().find(|it| it["check"] == "age").unwrap();
    assert_eq!(age["level"], "critical");
    assert_eq!(age["limit"], 26.0 * 3600.0);
}

#[test]
fn a_plugin_has_its_own_exit_codes_and_says_unknown_where_it_cannot_look() {
    let home = home("");
    let run = kluis(home.path(), &["check", "--nagios"]);
    assert_eq!(run.status.code(), Some(0));
    let said = text(&run.stdout);
    assert!(
        said.starts_with("KLUIS OK - ") && said.contains(" | 'age app'="),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1);
    grow_old(home.path(), "2021");
    let run = kluis(home.path(), &["check", "--nagios"]);
    assert_eq!(run.status.code(), Some(2));
    assert!(text(&run.stdout).starts_with("KLUIS CRITICAL - app: "));
    fs::rename(home.path().join("vault"), home.path().join("gone")).unwrap();
    let run = kluis(home.path(), &["check", "--nagios"]);
    assert_eq!(run.status.code(), Some(3));
    assert!(text(&run.stdout).starts_with("KLUIS UNKNOWN - "));
}

#[test]
fn what_is_wrong_reaches_who_throws_stdout_away() {
    let home = home("");
    let healthy = kluis(home.path(), &["-q", "check"]);
    assert_eq!(text(&healthy.stderr), "");
    grow_old(home.path(), "2021");
    let old = kluis(home.path(), &["-q", "check"]);
    assert_eq!(old.status.code(), Some(5));
    let said = text(&old.stderr);
    let of_age = said.lines().find(|line| line.contains("app: the newest"));
    let of_age = of_age.unwrap_or_else(|| panic!("{said}"));
    assert!(of_age.contains("make one with kluis backup"), "{said}");
    let plugin = kluis(home.path(), &["check", "--nagios"]);
    assert_eq!(text(&plugin.stderr), "");
    for entry in fs::read_dir(home.path().join("vault")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "gz") {
            fs::write(path, "damaged").unwrap();
        }
    }
    let damaged = kluis(home.path(), &["-q", "verify", "--all"]);
    assert_eq!(damaged.status.code(), Some(4));
    let said = text(&damaged.stderr);
    let wrong = said.lines().filter(|line| line.contains(".tar.gz: "));
    assert_eq!(wrong.count(), 2, "{said}");
}

#[test]
fn a_plugin_says_unknown_where_its_configuration_is_broken_or_missing() {
    let home = home("");
    let file = home.path().join("kluis.toml");
    fs::write(&file, "[check\nfree = |").unwrap();
    for _ in 0..2 {
        let run = kluis(home.path(), &["check", "--nagios"]);
        assert_eq!(run.status.code(), Some(3), "{}", text(&run.stderr));
        let said = text(&run.stdout);
        assert!(said.starts_with("KLUIS UNKNOWN - "), "{said}");
        assert!(said.contains("kluis.toml"), "{said}");
        assert_eq!((said.lines().count(), said.contains('|')), (1, false));
        // Of the second round it is missing.
        let _ = fs::remove_file(&file);
    }
}

#[test]
fn metrics_are_written_whole_and_readable_for_the_collector() {
    let home = home("");
    let file = home.path().join("kluis.prom");
    let path = file.to_str().unwrap();
    for _ in 0..2 {
        let run = kluis(home.path(), &["check", "--prometheus", path]);
        assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
    }
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    let metrics = fs::read_to_string(&file).unwrap();
    let mut typed = Vec::new();
    for line in metrics.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            assert!(help.contains(' '), "{line}");
        } else if let Some(of_type) = line.strip_prefix("# TYPE ") {
            typed.push(of_type.split(' ').next().unwrap().to_owned());
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            assert_eq!(Some(name), typed.last().map(String::as_str), "{line}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
    assert!(
        metrics.contains("kind=\"source\",name=\"app\",series="),
        "{metrics}"
    );
    let names: std::collections::BTreeSet<_> = typed.iter().collect();
    assert_eq!(names.len(), typed.len(), "a metric stands in two places");
    // Nothing else is left in the directory of the collector.
    let left = fs::read_dir(home.path()).unwrap().count();
    assert_eq!(left, 4, "app, kluis.prom, kluis.toml, vault");
}

#[test]
fn a_failed_run_and_a_damaged_backup_are_told() {
    let home = home("failures = 0\n");
    let archive = fs::read_dir(home.path().join("vault")).unwrap();
    let archive = archive
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|end| end == "gz"))
        .unwrap();
    let mut bytes = fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&archive, bytes).unwrap();
    let verified = kluis(home.path(), &["verify", "--all"]);
    assert_eq!(verified.status.code(), Some(4));
    let run = kluis(home.path(), &["check"]);
    assert_eq!(run.status.code(), Some(5));
    let said = text(&run.stdout);
    assert!(said.contains("1 of 2 backups was found damaged"), "{said}");
    assert!(said.contains("1 run failed or broke off"), "{said}");
}

#[test]
fn status_is_one_screen_with_sizes_and_what_is_wrong() {
    let home = home("");
    let run = kluis(home.path(), &["status"]);
    assert_eq!(run.status.code(), Some(0));
    let said = text(&run.stdout);
    assert!(said.contains("app") && said.contains("Healthy."), "{said}");
    assert!(said.contains("last run: backup source"), "{said}");
    grow_old(home.path(), "2021");
    let run = kluis(home.path(), &["status"]);
    let said = text(&run.stdout);
    assert_eq!(run.status.code(), Some(0));
    assert!(said.contains("kluis check says what to do"), "{said}");
    assert!(said.lines().count() <= 24, "{said}");
}

#[test]
fn the_storages_totals_are_told_wherever_it_is_looked_at() {
    let home = home("");
    let json = |arguments: &[&str]| -> Value {
        let output = kluis(home.path(), &[arguments, &["--json"]].concat());
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let before = json(&["status"])["totals"].clone();
    let (backups, pending) = (before["backups"].as_u64().unwrap(), &before["pending"]);
    assert_eq!(pending.as_u64(), Some(backups), "{before}");
    kluis(home.path(), &["verify", "latest"]);
    let made = json(&["backup", "source", "--no-encrypt", "app"]);
    assert_eq!(made["storage"]["backups"], backups + 1, "{made}");
    let after = json(&["status"])["totals"].clone();
    assert_eq!(made["storage"]["stored_bytes"], after["stored_bytes"]);
    assert_eq!(
        (&after["verified"], &after["failed"]),
        (&1.into(), &0.into())
    );
    assert_eq!(json(&["report"])["proofs"], after);
    let metrics = home.path().join("kluis.prom");
    kluis(
        home.path(),
        &["check", "--prometheus", metrics.to_str().unwrap()],
    );
    let metrics = fs::read_to_string(metrics).unwrap();
    let verified = metrics.lines().find(|it| it.contains("proof=\"verified\""));
    assert!(verified.is_some_and(|it| it.ends_with("} 1")), "{metrics}");
}

#[test]
fn plain_backups_behind_encrypted_ones_are_found() {
    let home = home("");
    let config = home.path().join("kluis.toml");
    let quiet = fs::read_to_string(&config).unwrap();
    fs::write(home.path().join("key"), "5a".repeat(32)).unwrap();
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(home.path().join("key"), private).unwrap();
    fs::write(
        &config,
        format!("{quiet}[encryption]\nkey_file = \"key\"\n"),
    )
    .unwrap();
    let back_up = |flags: &[&str]| {
        let arguments = [&["backup", "source", "app"], flags].concat();
        assert_eq!(kluis(home.path(), &arguments).status.code(), Some(0));
    };
    let found = || {
        let checked = kluis(home.path(), &["check", "--no-server"]);
        text(&checked.stdout).contains("the newest backup is not encrypted, and older ones are")
    };
    back_up(&[]);
    assert!(!found());
    back_up(&["--no-encrypt"]);
    assert!(found());
    back_up(&[]);
    assert!(!found());
}

#[test]
fn a_missing_key_and_a_server_that_is_down_are_findings() {
    let home = home("");
    let config = home.path().join("kluis.toml");
    let quiet = fs::read_to_string(&config).unwrap();
    let look = |more: &str, arguments: &[&str]| {
        fs::write(&config, format!("{quiet}{more}")).unwrap();
        let output = kluis(home.path(), &[&["check", "--json"], arguments].concat());
        let checked: Value = serde_json::from_slice(&output.stdout).unwrap();
        let findings = checked["findings"].as_array().unwrap().clone();
        let bad = findings.into_iter().filter(|it| it["level"] != "ok");
        let bad = bad.map(|it| format!("{} {}", text_of(&it["check"]), text_of(&it["level"])));
        (output.status.code().unwrap(), bad.collect::<Vec<_>>())
    };
    let down = "[database]\nurl = \"postgres://127.0.0.1:1/shop\"\n";
    assert_eq!(look(down, &["--no-server"]), (0, vec![]));
    assert_eq!(look(down, &[]), (5, vec!["server warning".to_owned()]));
    let gone = "[encryption]\nkey_file = \"gone\"\n";
    let (code, bad) = look(gone, &[]);
    assert!(
        code == 5 && bad.contains(&"key critical".to_owned()),
        "{bad:?}"
    );
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap()
}
