//! Somebody who can write to the storage puts a lot there, or little that is dear:
//! passphrases, records, links, locks. Each of these attacks succeeds on 187507f.

use std::fs;
use std::process::Output;

use kluis::format::keyring::{KeyMaterial, Keyring};
use kluis::format::run_record::RunRecord;
use serde_json::{Value, json};

use crate::support::house;
use crate::support::house::House;
use crate::support::planting::{genuine, house, listed, manifest_of};
use crate::support::rules::KEEP_LAST_1;

const HEADER: usize = 4096;

fn house_with_a_passphrase() -> House {
    let mut house = house();
    house.set("BACKUP_ENCRYPTION_KEY", "a passphrase of somebody's");
    house
}

fn json_of(house: &House, arguments: &[&str]) -> Value {
    let output = house.kluis().args(arguments).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A copy of `archive` under a name before all others, whose first slot asks for
/// this salt and these rounds.
fn plant_dear(house: &House, archive: &str, number: u8, iterations: u32) {
    let storage = house.storage();
    let mut bytes = fs::read(storage.join(archive)).unwrap();
    for copy in [0, HEADER] {
        let meta = copy + 12 + 4 + 16 + 32;
        let length = u16::from_be_bytes([bytes[meta], bytes[meta + 1]]);
        // Behind it the count of slots, then kind and length of the first.
        let slot = meta + 2 + usize::from(length) + 1 + 3;
        bytes[slot..slot + 16].copy_from_slice(&[number; 16]);
        bytes[slot + 16..slot + 20].copy_from_slice(&iterations.to_be_bytes());
    }
    let name = archive.replacen("app", &format!("aaa{number}"), 1);
    let mut manifest = manifest_of(house, archive);
    manifest["manifest"]["stored"]["file"] = name.clone().into();
    fs::write(storage.join(&name), bytes).unwrap();
    fs::write(storage.join(format!("{name}.json")), manifest.to_string()).unwrap();
}

#[test]
fn dear_slots_make_no_backup_of_a_passphrase_foreign() {
    let house = house_with_a_passphrase();
    let genuine = genuine(&house);
    for number in 1..=20 {
        plant_dear(&house, &genuine, number, 600_000);
    }
    let (ours, foreign) = listed(&house);
    assert_eq!(ours, std::slice::from_ref(&genuine));
    assert_eq!(foreign.len(), 20, "{foreign:?}");
    house.run(&["restore", "latest", "--to", "out", "--yes"]);
}

/// What a run may spend on planted salts has an end, and nothing in the storage tells
/// which is its own: the host knows it.
#[test]
fn a_host_remembers_the_salt_of_what_a_passphrase_opened() {
    let house = house_with_a_passphrase();
    genuine(&house);
    let marker = fs::read_to_string(house.storage().join("kluis.json")).unwrap();
    let marker: Value = serde_json::from_str(&marker).unwrap();
    let remembered = house.path(".local/state/kluis/passphrase-salts");
    let salt = marker["passphrase_salt"].as_str().unwrap();
    assert_eq!(fs::read_to_string(remembered).unwrap(), format!("{salt}\n"));
}

#[test]
fn records_under_other_salts_make_none_of_ours_unsealed() {
    let house = house_with_a_passphrase();
    genuine(&house);
    let now = jiff::Timestamp::now();
    let runs = house.storage().join("runs");
    for number in 1..=22_i64 {
        let started = now + jiff::SignedDuration::from_hours(number);
        let id = format!("{number:016x}");
        let record = json!({
            "version": 1, "id": id, "command": "verify", "trigger": "MANUAL",
            "status": "COMPLETED", "started": started, "completed": started,
            "duration_ms": 1, "user": "root", "host": "elsewhere",
            "process": {"pid": 1, "start_ticks": 0, "boot_id": "another"},
            "seal": format!("{}.{number:032x}", "00".repeat(32)),
        });
        let name = format!("{}_verify_{id}.json", started.strftime("%Y-%m-%dT%H-%M-%S"));
        fs::write(runs.join(name), record.to_string()).unwrap();
    }
    let history = json_of(&house, &["history", "--json"]);
    assert_eq!(history["totals"]["not_sealed"], 22, "{history}");
    assert_eq!(history["totals"]["completed"], 1, "{history}");
}

/// A record of a run of this host that died.
fn plant_running(house: &House, number: u32) -> std::path::PathBuf {
    let (_, genuine) = house.records().remove(0);
    let id = format!("{number:016x}");
    let mut record = genuine;
    record["id"] = id.clone().into();
    record["command"] = "verify".into();
    record["status"] = "RUNNING".into();
    record["started"] = "2026-01-01T00:00:00Z".into();
    record["process"] = json!({"pid": 1, "start_ticks": 0, "boot_id": "another"});
    let fields = record.as_object_mut().unwrap();
    for gone in ["completed", "duration_ms", "bytes"] {
        fields.remove(gone);
    }
    let name = format!("2026-01-01T00-00-00_verify_{id}.json");
    let path = house.storage().join("runs").join(name);
    fs::write(&path, record.to_string()).unwrap();
    path
}

#[test]
fn a_sweep_writes_to_no_record_that_no_key_of_ours_sealed() {
    let house = house();
    genuine(&house);
    let planted: Vec<_> = (1..=300)
        .map(|number| plant_running(&house, number))
        .collect();
    let before: Vec<_> = planted.iter().map(|path| fs::read(path).unwrap()).collect();
    genuine(&house);
    let after: Vec<_> = planted.iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(before == after, "a planted record was written to");
}

/// Without a key nothing tells them apart: the work of one sweep has an end.
#[test]
fn a_sweep_finishes_so_many_records_and_leaves_the_rest_to_the_next() {
    let house = House::keyless();
    fs::create_dir(house.path("app")).unwrap();
    house.run(&["backup", "source", "app"]);
    let planted: Vec<_> = (1..=300)
        .map(|number| plant_running(&house, number))
        .collect();
    let still = || {
        let says_so =
            |path: &&std::path::PathBuf| fs::read_to_string(path).unwrap().contains("RUNNING");
        planted.iter().filter(says_so).count()
    };
    let output = house.run(&["backup", "source", "app"]);
    assert_eq!(still(), 300 - 256, "{}", said(&output));
    assert!(said(&output).contains("more records say RUNNING"));
    house.run(&["backup", "source", "app"]);
    assert_eq!(still(), 0);
}

#[test]
fn the_lock_empties_no_file_that_has_another_name() {
    let house = house();
    genuine(&house);
    let lock = house.storage().join("kluis.lock");
    fs::remove_file(&lock).unwrap();
    let precious = house.path("precious");
    fs::write(&precious, "precious\n").unwrap();
    fs::hard_link(&precious, &lock).unwrap();
    for arguments in [&["backup", "source", "app"][..], &["verify", "--all"]] {
        let output = house.kluis().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(said(&output).contains("2 hard links"), "{output:?}");
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious\n");
    }
    fs::remove_file(&lock).unwrap();
    genuine(&house);
}

#[test]
fn what_a_prune_could_not_remove_is_not_told_as_removed() {
    let house = house();
    let kept: Vec<String> = (0..5).map(|_| genuine(&house)).collect();
    let held: Vec<fs::File> = kept
        .iter()
        .map(|name| fs::File::open(house.storage().join(name)).unwrap())
        .collect();
    for file in &held {
        file.lock_shared().unwrap();
    }
    let pruned = |json: &[&str]| {
        let mut kluis = house.kluis();
        kluis.args(KEEP_LAST_1).args(json).output().unwrap()
    };
    let output = pruned(&["--json"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = report["backups"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["keep"] == true), "{report}");
    let stay = rows.iter().filter(|row| row["stays"] == true).count();
    assert_eq!(stay, 2, "{report}");
    assert_eq!(report["freed_bytes"], 0, "{report}");
    let shown = String::from_utf8(pruned(&[]).stdout).unwrap();
    assert!(shown.contains("5 backups kept, 0 removed"), "{shown}");
    drop(held);
    assert_eq!(pruned(&[]).status.code(), Some(0));
}

#[test]
fn a_directory_with_the_next_manifests_name_costs_no_backup() {
    let house = house();
    genuine(&house);
    let now = jiff::Timestamp::now();
    // Whichever second the backup begins in.
    for second in 0..60 {
        let at = now + jiff::SignedDuration::from_secs(second);
        let at = at.strftime("%Y-%m-%dT%H-%M-%S");
        let name = format!("app_source_{at}.tar.gz.enc.json");
        let _ = fs::create_dir(house.storage().join(name));
    }
    let made = genuine(&house);
    assert!(made.contains("-2."), "{made}");
}

/// A file of a terabyte, nearly all of it a hole.
fn plant_endless(house: &House) -> &'static str {
    let name = "a_backup_2026-01-01T00-00-00.sql";
    let endless = house.storage().join(name);
    fs::write(&endless, "--\n-- PostgreSQL database dump\n--\n").unwrap();
    let file = fs::File::options().write(true).open(&endless).unwrap();
    file.set_len(1 << 40).unwrap();
    name
}

/// Terabytes of a hole are read for hours: nobody else's backup waits for that.
#[test]
fn backups_go_on_while_a_file_without_end_is_read() {
    for command in ["verify", "adopt"] {
        let house = house();
        genuine(&house);
        let name = plant_endless(&house);
        let mut reading = house.kluis();
        let mut reading = reading.args([command, name]).spawn().unwrap();
        let is_at_it = || {
            let mut records = house.records().into_iter();
            records.any(|(_, it)| it["status"] == "RUNNING" && it["backup"] == name)
        };
        while !is_at_it() {
            let ended = reading.try_wait().unwrap();
            assert!(ended.is_none(), "{command}: {ended:?}");
            std::thread::yield_now();
        }
        let backup = ["backup", "source", "app", "--lock-wait", "60s"];
        let backup = house.kluis().args(backup).output();
        let delete = house.kluis().args(["delete", name, "--yes"]).output();
        let ended = reading.try_wait().unwrap();
        reading.kill().unwrap();
        reading.wait().unwrap();
        let (backup, delete) = (backup.unwrap(), delete.unwrap());
        assert_eq!(backup.status.code(), Some(0), "{command}: {backup:?}");
        assert_eq!(delete.status.code(), Some(6), "{command}: {delete:?}");
        assert!(ended.is_none(), "{command}: {ended:?}");
    }
}

#[test]
fn what_is_nearly_all_hole_is_named_and_read_only_for_who_names_it() {
    for house in [House::new(), House::keyless()] {
        fs::create_dir(house.path("app")).unwrap();
        fs::write(house.path("app/file"), "genuine").unwrap();
        let genuine = genuine(&house);
        let name = plant_endless(&house);
        for arguments in [
            &["verify", "--all"][..],
            &["adopt", "--all", "--accept-unsealed"],
        ] {
            let output = house.kluis().args(arguments).output().unwrap();
            let said = said(&output) + &String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.status.code(), Some(3), "{arguments:?}: {said}");
            assert!(
                said.contains(name) && said.contains("hole"),
                "{arguments:?}: {said}"
            );
        }
        assert_eq!(
            house
                .records()
                .iter()
                .filter(|(_, it)| it["backup"] == name)
                .count(),
            0
        );
        let verified = house.run(&["show", &genuine, "--json"]);
        let shown: Value = serde_json::from_slice(&verified.stdout).unwrap();
        assert_eq!(shown["state"]["verification"]["level"], "verified");
    }
}

/// The storage's records, and a record that was written at this time.
fn put_record(house: &House, name: &str, record: &str, modified: &str) -> std::path::PathBuf {
    let path = house.storage().join("runs").join(name);
    fs::write(&path, record).unwrap();
    let modified: jiff::Timestamp = modified.parse().unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(modified.into()).unwrap();
    path
}

/// Each is as large as a record could be once, and all are one file.
#[test]
fn large_records_under_many_names_take_no_run_its_memory() {
    let house = house();
    genuine(&house);
    let (_, mut record) = house.records().remove(0);
    record["status"] = "RUNNING".into();
    record["detail"] = "x".repeat(1_000_000).into();
    record["process"] = json!({"pid": 1, "start_ticks": 0, "boot_id": "another"});
    let name = |number: u32| format!("2030-01-01T00-00-00_verify_{number:016x}.json");
    let one = put_record(
        &house,
        &name(0),
        &record.to_string(),
        "2030-01-01T00:00:00Z",
    );
    for number in 1..4_000 {
        fs::hard_link(&one, one.with_file_name(name(number))).unwrap();
    }
    for (arguments, code) in [
        (&["backup", "source", "app"][..], 0),
        (&["prune"], 0),
        (&["status"], 0),
        (&["history"], 0),
        (&["check", "--no-server"], 5),
    ] {
        let mut limited = house.command("sh");
        limited.args(["-c", "ulimit -v 2000000; exec \"$@\"", "sh"]);
        let output = limited
            .arg(house::program())
            .args(arguments)
            .output()
            .unwrap();
        let said = said(&output) + &String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains("more records"), "{arguments:?}: {said}");
    }
}

#[test]
fn what_cannot_be_read_keeps_no_dead_run_from_being_finished() {
    let house = house();
    genuine(&house);
    let left = "app_source_2020-01-01T00-00-00.tar.gz.enc";
    fs::write(house.storage().join(left), "half").unwrap();
    let id = "0000000000000001";
    let died: RunRecord = serde_json::from_value(json!({
        "version": 1, "id": id, "command": "backup source", "trigger": "MANUAL",
        "status": "RUNNING", "backup": left, "started": "2020-01-01T00:00:00Z",
        "user": "root", "host": "elsewhere",
        "process": {"pid": 1, "start_ticks": 0, "boot_id": "another"},
    }))
    .unwrap();
    let key = KeyMaterial::parse(&house::key()).unwrap();
    let died = died.sealed(&Keyring::of(key), None).to_bytes();
    let died = String::from_utf8(died).unwrap();
    let name = format!("2020-01-01T00-00-00_backup-source_{id}.json");
    let died = put_record(&house, &name, &died, "2020-01-01T00:00:00Z");
    for number in 2..72 {
        let name = format!("2020-01-01T00-00-00_prune_{number:016x}.json");
        put_record(&house, &name, "{}", "2030-01-01T00:00:00Z");
    }
    genuine(&house);
    let died: Value = serde_json::from_slice(&fs::read(died).unwrap()).unwrap();
    assert_eq!(died["status"], "FAILED");
    assert!(!house.storage().join(left).exists(), "{left} is there");
}

/// As large as `mib`, and understood many times that.
fn plant_large(house: &House, number: usize, mib: usize) -> String {
    let name = format!("aaa{number}_source_2026-01-01T00-00-00.tar.gz.enc");
    let mut file = manifest_of(house, &listed(house).0[0]);
    file["manifest"]["stored"]["file"] = name.clone().into();
    file["manifest"]["database"] = json!({
        "server_version": "", "client_version": "", "mode": "", "format": "plain",
        "encoding": "", "locale": "", "extensions": {}, "tables": [], "objects": {},
        "roles": ["MANY"],
    });
    let roles = vec!["\"a\""; (mib << 20) / 4].join(",");
    let text = file.to_string().replace("\"MANY\"", &roles);
    fs::write(house.storage().join(format!("{name}.json")), text).unwrap();
    fs::write(house.storage().join(&name), "").unwrap();
    name
}

/// A process that gets 300 MiB, and manifests that would take twice that.
#[test]
fn manifests_of_others_do_not_take_all_the_memory() {
    let house = house();
    let genuine = genuine(&house);
    let large: Vec<String> = (0..8).map(|at| plant_large(&house, at, 4)).collect();
    let small = plant_large(&house, 99, 0);
    let mut limited = house.command("prlimit");
    let limited = limited.arg("--data=314572800").arg(house::program());
    let output = limited.args(["list", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["backups"][0]["file"], genuine);
    let told = said(&output) + &shown["foreign"].to_string();
    for name in large.iter().chain([&small]) {
        assert!(told.contains(name), "{name} {told}");
    }
    assert!(!said(&output).contains(&small), "{output:?}");
}

/// Pins and proofs are not sealed, so anybody may put a lot around a manifest of ours.
#[test]
fn what_stands_around_a_manifest_of_ours_has_an_end() {
    let house = house();
    let genuine = genuine(&house);
    let path = house.storage().join(format!("{genuine}.json"));
    let text = fs::read_to_string(&path).unwrap();
    for (field, much) in [
        ("state_seal", "00".repeat(1 << 20)),
        ("version", "9".repeat(1 << 20)),
    ] {
        let mut file: Value = serde_json::from_str(&text).unwrap();
        match field {
            "version" => file["manifest"][field] = much.into(),
            field => file[field] = much.into(),
        }
        fs::write(&path, file.to_string()).unwrap();
        let output = house.kluis().args(["list", "--json"]).output().unwrap();
        assert!(said(&output).contains(&genuine), "{field}: {output:?}");
        assert!(
            output.stderr.len() < 1000,
            "{field}: {}",
            output.stderr.len()
        );
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(shown["backups"], json!([]), "{field}");
    }
    fs::write(&path, text).unwrap();
    assert_eq!(house.listed(), [genuine]);
}

/// Slots under more salts than a run tries, each shared by more archives than the
/// genuine one is, on a host that has opened nothing there so far. Before, the genuine
/// backup was told as damaged.
#[test]
fn what_was_not_tried_for_planted_salts_is_told_as_that_and_counts_once_it_was_named() {
    let house = house_with_a_passphrase();
    let genuine = genuine(&house);
    for number in 1..=34 {
        plant_dear(&house, &genuine, number, 600_000);
        let planted = genuine.replacen("app", &format!("aaa{number}"), 1);
        let beside = planted.replacen("aaa", "bbb", 1);
        let storage = house.storage();
        fs::copy(storage.join(&planted), storage.join(beside)).unwrap();
    }
    let marker = house.storage().join("kluis.json");
    let mut changed: Value = serde_json::from_slice(&fs::read(&marker).unwrap()).unwrap();
    changed["passphrase_salt"] = "77".repeat(16).into();
    fs::write(&marker, changed.to_string()).unwrap();
    fs::remove_dir_all(house.storage().join("runs")).unwrap();
    fs::remove_dir_all(house.path(".local")).unwrap();
    let mut kluis = house.kluis();
    let latest = kluis.args(["restore", "latest", "--to", "out"]);
    let latest = said(&latest.output().unwrap());
    assert!(latest.contains("were not tried"), "{latest}");
    assert!(latest.contains("kluis verify FILE"), "{latest}");
    let check = json_of(&house, &["check", "--json"]);
    let findings = check["findings"].as_array().unwrap().iter();
    let told = findings.filter(|it| it["check"] == "damaged");
    let told: Vec<_> = told.map(|it| it["text"].as_str().unwrap()).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("may be ours"), "{told:?}");
    house.run(&["verify", &genuine]);
    assert_eq!(listed(&house).0, [genuine]);
}
