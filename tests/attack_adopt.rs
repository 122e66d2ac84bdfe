//! Somebody who can write to the storage hopes for `kluis adopt --all`. Each of these
//! attacks succeeds on 1b39f1b.

use std::fs;

use serde_json::Value;

use crate::support::house::House;
use crate::support::planting::{archives, genuine, house, listed, made_elsewhere};

fn adopt(house: &House, arguments: &[&str], code: i32) -> Value {
    let mut kluis = house.kluis();
    let output = kluis.args(["adopt", "--json"]).args(arguments).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn files(report: &Value, part: &str) -> Vec<String> {
    let rows = report[part].as_array().unwrap().iter();
    let name = |row: &Value| row["file"].as_str().or(row.as_str()).unwrap().to_owned();
    rows.map(name).collect()
}

#[test]
fn copies_of_one_archive_become_one_backup() {
    let house = house();
    let archive = genuine(&house);
    let at = |copy: &str| archive.replacen(".tar", &format!("-{copy}.tar"), 1);
    let storage = house.storage();
    for copy in ["2", "3"] {
        fs::copy(storage.join(&archive), storage.join(at(copy))).unwrap();
    }
    // Beside the genuine backup, and where its manifest is lost.
    let report = adopt(&house, &["--all"], 1);
    assert_eq!(files(&report, "refused"), [at("2"), at("3")], "{report}");
    assert_eq!(listed(&house).0, [&*archive]);
    fs::remove_file(storage.join(format!("{archive}.json"))).unwrap();
    let report = adopt(&house, &["--all"], 3);
    assert_eq!(files(&report, "adopted"), [&*archive], "{report}");
    assert_eq!(files(&report, "refused"), [at("2"), at("3")], "{report}");
    let why = report["refused"][0]["problem"].as_str().unwrap();
    assert!(why.contains(&archive), "{why}");
    assert_eq!(listed(&house).0, [archive]);
}

#[test]
fn what_is_not_encrypted_is_adopted_on_the_operators_word_only() {
    let house = house();
    genuine(&house);
    let planted = made_elsewhere(&house, &["--no-encrypt"], &[]).at("2020-11-01");
    let path = planted.put(&house);
    let loose = "app_source_2020-11-02T12-00-00.tar.gz";
    fs::copy(&path, house.storage().join(loose)).unwrap();
    fs::remove_file(format!("{}.json", path.display())).unwrap();
    let report = adopt(&house, &["--all"], 0);
    assert_eq!(report["adopted"], serde_json::json!([]), "{report}");
    let both = [planted.file.clone(), loose.to_owned()];
    assert_eq!(files(&report, "left_plain"), both, "{report}");
    let said = String::from_utf8(house.run(&["adopt", "--all"]).stdout).unwrap();
    assert!(
        said.contains(loose) && said.contains("--accept-unsealed"),
        "{said}"
    );
    let report = adopt(&house, &[loose], 0);
    assert_eq!(files(&report, "adopted"), [loose]);
    let report = adopt(&house, &["--all", "--accept-unsealed"], 0);
    assert_eq!(files(&report, "adopted"), [planted.file], "{report}");
}

/// Kanbu's files are told apart by their names alone: one of a tree's becomes another
/// tree's newest by a copy.
#[test]
fn genuine_files_of_kanbus_under_other_names_displace_nothing() {
    let house = house();
    let mut genuine: Vec<String> = (0..3).map(|_| genuine(&house)).collect();
    genuine.sort();
    let kanbu = house.path("kanbu.toml");
    fs::write(&kanbu, "encryption.format = \"kanbu\"\n").unwrap();
    fs::create_dir(house.path("wiki")).unwrap();
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H-%M-%S");
    let mut planted: Vec<String> = Vec::new();
    for number in 10..13 {
        fs::write(house.path("wiki/file"), number.to_string()).unwrap();
        let mut backup = house.kluis();
        backup.env("KLUIS_CONFIG", &kanbu);
        let backup = backup.args(["backup", "source", "wiki"]).output().unwrap();
        assert!(backup.status.success(), "{backup:?}");
        let mut all = archives(&house);
        all.retain(|name| name.starts_with("wiki"));
        let made = house.storage().join(&all[0]);
        fs::remove_file(format!("{}.json", made.display())).unwrap();
        let name = format!("app_source_{now}-{number}.tar.gz.enc");
        fs::rename(&made, house.storage().join(&name)).unwrap();
        planted.push(name);
    }
    let report = adopt(&house, &["--all"], 0);
    assert_eq!(report["adopted"], serde_json::json!([]), "{report}");
    assert_eq!(files(&report, "left_plain"), planted, "{report}");
    let mut counted = listed(&house).0;
    counted.sort();
    assert_eq!(counted, genuine);
    // By name it is the operator's word, and all together where he says so.
    let report = adopt(&house, &[&planted[0]], 0);
    assert_eq!(files(&report, "adopted"), planted[..1], "{report}");
    let report = adopt(&house, &["--all", "--accept-unsealed"], 0);
    assert_eq!(files(&report, "adopted"), planted[1..], "{report}");
}

#[test]
fn where_some_are_adopted_and_others_not_the_exit_code_says_so() {
    let house = house();
    genuine(&house);
    let planted = made_elsewhere(&house, &["--no-encrypt"], &[]).at("2020-11-01");
    planted.put(&house);
    fs::write(house.storage().join("notes.txt"), "no backup").unwrap();
    let report = adopt(&house, &[&planted.file, "notes.txt"], 3);
    assert_eq!(files(&report, "adopted"), [planted.file]);
    adopt(&house, &["notes.txt"], 2);
}
