//! Somebody who can write to the storage plants records of runs while a key is
//! configured. Good news of his make nothing look done: each of these attacks
//! succeeds on 1b39f1b.

use std::fs;

use serde_json::{Value, json};

use crate::support::house::House;
use crate::support::planting::{genuine, house};

const NIGHTLY: &str = "[source]\npaths = [\"app\"]\n\
    [[schedule]]\nname = \"nightly\"\nwhat = \"source\"\ncron = \"17 3 * * *\"\n";

fn json_of(house: &House, arguments: &[&str]) -> Value {
    let output = house.kluis().args(arguments).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A record of a run that began a second ago, as somebody writes it without a key.
fn plant(house: &House, command: &str, rest: Value) -> String {
    let started = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(1);
    let id = "00112233aabbccdd";
    let mut record = json!({
        "version": 1, "id": id, "command": command, "trigger": "SCHEDULED",
        "status": "COMPLETED", "started": started, "completed": started,
        "duration_ms": 1, "user": "root", "host": "elsewhere",
        "process": {"pid": 1, "start_ticks": 0, "boot_id": "another"},
    });
    let fields = record.as_object_mut().unwrap();
    fields.extend(rest.as_object().unwrap().clone());
    write(house, &record)
}

fn write(house: &House, record: &Value) -> String {
    let started: jiff::Timestamp = record["started"].as_str().unwrap().parse().unwrap();
    let name = format!(
        "{}_{}_{}.json",
        started.strftime("%Y-%m-%dT%H-%M-%S"),
        record["command"].as_str().unwrap().replace(' ', "-"),
        record["id"].as_str().unwrap()
    );
    let runs = house.storage().join("runs");
    fs::create_dir_all(&runs).unwrap();
    fs::write(runs.join(&name), record.to_string()).unwrap();
    name
}

fn missed(house: &House) -> bool {
    let next = json_of(house, &["serve", "--next", "--json"]);
    next["schedules"][0]["missed"].as_bool().unwrap()
}

/// A house whose nightly run is due: its configuration is of days ago.
fn house_with_a_schedule() -> House {
    let house = house();
    let path = house.path("kluis.toml");
    fs::write(&path, NIGHTLY).unwrap();
    let days_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3 * 86_400);
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(days_ago).unwrap();
    house
}

#[test]
fn a_planted_record_keeps_no_missed_run_from_being_made_up_for() {
    let house = house_with_a_schedule();
    genuine(&house);
    assert!(missed(&house));
    plant(&house, "backup source", json!({"schedule": "nightly"}));
    assert!(missed(&house), "a planted record counts as the nightly run");
    house.run(&["backup", "source", "app", "--schedule", "nightly"]);
    assert!(!missed(&house), "a record of ours does not count");
}

#[test]
fn a_genuine_record_under_another_name_counts_for_nothing() {
    let house = house();
    genuine(&house);
    let (name, mut record) = house.records().remove(0);
    let sealed = record["seal"].is_string();
    assert!(sealed, "{record}");
    let runs = house.storage().join("runs");
    let later = name.replacen("20", "21", 1);
    fs::copy(runs.join(&name), runs.join(later)).unwrap();
    record["detail"] = "changed".into();
    record["id"] = "00112233aabbccdd".into();
    write(&house, &record);
    let history = json_of(&house, &["history", "--json"]);
    assert_eq!(history["totals"]["completed"], 1, "{history}");
    assert_eq!(history["totals"]["not_sealed"], 2, "{history}");
}

#[test]
fn a_planted_record_is_shown_apart_and_is_not_the_last_run() {
    let house = house();
    genuine(&house);
    plant(&house, "verify", json!({"backup": "all of them"}));
    let status = json_of(&house, &["status", "--json"]);
    assert_eq!(status["last_run"]["command"], "backup source", "{status}");
    let history = house.run(&["history"]);
    let shown = String::from_utf8(history.stdout).unwrap();
    assert!(shown.contains("completed, not sealed"), "{shown}");
    assert!(shown.contains("1 not sealed by a key of ours"), "{shown}");
}

/// That something failed is believed of anybody: the run that could not have its
/// key could not seal its record.
#[test]
fn a_failure_that_nobody_sealed_is_told_all_the_same() {
    let house = house();
    genuine(&house);
    let failed = json!({"status": "FAILED", "error": "no key"});
    plant(&house, "backup source", failed);
    let checked = json_of(&house, &["check", "--no-server", "--json"]);
    let findings = checked["findings"].as_array().unwrap();
    let failures = findings.iter().find(|it| it["check"] == "failures");
    assert_eq!(failures.unwrap()["value"], 1.0, "{checked}");
}

/// What was told within a day is not told again: nobody else says that it was.
#[test]
fn a_planted_record_silences_no_check() {
    let house = house();
    genuine(&house);
    let broken = "app_source_2020-11-01T12-00-00.tar.gz.enc.json";
    fs::write(house.storage().join(broken), "{").unwrap();
    let finding = json_of(&house, &["check", "--no-server", "--json"]);
    let told = house.records().pop().unwrap().1;
    assert_eq!(told["command"], "check", "{finding}");
    assert!(told["seal"].is_string(), "{told}");
    let runs = house.storage().join("runs");
    for (name, record) in house.records() {
        if record["command"] == "check" {
            fs::remove_file(runs.join(name)).unwrap();
        }
    }
    plant(&house, "check", json!({"detail": told["detail"]}));
    house
        .kluis()
        .args(["check", "--no-server"])
        .output()
        .unwrap();
    let of_check = |record: &Value| record["command"] == "check" && record["seal"].is_string();
    let records = house.records();
    let told = records.iter().find(|(_, record)| of_check(record));
    let detail = told.unwrap().1["detail"].as_str().unwrap();
    assert!(detail.starts_with("unhealthy: "), "{detail}");
}

/// Two hosts write to one storage, each its own night.
#[test]
fn another_hosts_run_of_that_name_is_none_of_ours() {
    let house = house_with_a_schedule();
    let on = |host: &str, arguments: &[&str]| {
        let mut kluis = house.kluis();
        let output = kluis.env("KLUIS_HOST", host).args(arguments).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let missed = |host: &str| {
        let next: Value =
            serde_json::from_slice(&on(host, &["serve", "--next", "--json"])).unwrap();
        next["schedules"][0]["missed"].as_bool().unwrap()
    };
    let nightly = ["backup", "source", "app", "--schedule", "nightly"];
    on("beta", &nightly);
    assert!(!missed("beta"));
    assert!(missed("alpha"), "beta's run stands for alpha's");
    on("alpha", &nightly);
    assert!(!missed("alpha"));
}

#[test]
fn a_sealed_record_of_another_storage_is_none_of_this_one() {
    let house = house();
    genuine(&house);
    let mut elsewhere = house.kluis();
    elsewhere.env("BACKUP_LOCAL_PATH", house.path("other"));
    elsewhere.args(["backup", "source", "app"]);
    assert!(elsewhere.output().unwrap().status.success());
    for record in fs::read_dir(house.path("other/runs")).unwrap() {
        let record = record.unwrap();
        let copy = house.storage().join("runs").join(record.file_name());
        fs::copy(record.path(), copy).unwrap();
    }
    let history = json_of(&house, &["history", "--json"]);
    assert_eq!(history["totals"]["completed"], 1, "{history}");
    assert_eq!(history["totals"]["not_sealed"], 1, "{history}");
}
