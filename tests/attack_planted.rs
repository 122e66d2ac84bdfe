//! Somebody who can write to the storage plants backups while a key is configured.
//! Each of these attacks succeeds on 861f450.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::planting::{
    Planted, archives, genuine, house, listed, made_elsewhere, manifest_of, plant_record,
};
use crate::support::rules::KEEP_LAST_1;

const OTHER_KEY: (&str, &str) = (
    "BACKUP_ENCRYPTION_KEY",
    "1111111111111111111111111111111111111111111111111111111111111111",
);

#[test]
fn a_planted_tree_is_never_the_latest_and_lends_nobody_rights() {
    let house = house();
    let genuine = genuine(&house);
    let planted = made_elsewhere(&house, &["--no-encrypt"], &[]);
    let planted = planted.at("2036-11-01");
    let path = planted.put(&house);
    let path = path.to_str().unwrap();
    house.run(&["restore", "latest:app", "--to", "out", "--yes"]);
    assert_eq!(
        fs::read_to_string(house.path("out/file")).unwrap(),
        "genuine"
    );
    assert_eq!(listed(&house), (vec![genuine], vec![planted.file.clone()]));
    for named in [&*planted.file, path] {
        let mut kluis = house.kluis();
        let refused = kluis.args(["restore", named, "--to", "planted", "--yes"]);
        let refused = refused.output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(!house.path("planted").exists());
    }
    let accepted = [
        "restore",
        path,
        "--to",
        "planted",
        "--yes",
        "--accept-unsealed",
    ];
    house.run(&accepted);
    let mode = fs::metadata(house.path("planted/tool"))
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o7777, 0o755);
}

#[test]
fn what_a_planted_archive_says_is_not_run_to_prove_it() {
    let house = house();
    genuine(&house);
    let planted = made_elsewhere(&house, &["--no-encrypt"], &[]).at("2020-11-01");
    planted.put(&house);
    let prove = ["verify", "--restore", &planted.file];
    let refused = house.kluis().args(prove).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let all = house.run(&["verify", "--restore", "--all", "--json"]);
    let all: serde_json::Value = serde_json::from_slice(&all.stdout).unwrap();
    assert_eq!(all["backups"].as_array().unwrap().len(), 1);
}

#[test]
fn planted_backups_displace_no_genuine_one() {
    let house = house();
    let genuine: Vec<String> = (0..3).map(|_| genuine(&house)).collect();
    let root = &manifest_of(&house, &genuine[0])["manifest"]["source"]["root"];
    for number in 91..95 {
        let mut planted = match number % 2 {
            0 => made_elsewhere(&house, &["--no-encrypt"], &[]),
            _ => made_elsewhere(&house, &[], &[OTHER_KEY]),
        };
        planted.manifest["manifest"]["source"]["root"] = root.clone();
        planted.manifest["state"]["verification"] = serde_json::json!(
            {"level": "restored", "at": "2026-11-29T00:00:00Z", "ok": true}
        );
        planted.of_this_second(number).put(&house);
    }
    assert_eq!(archives(&house).len(), 7);
    let pruned = house.kluis().args(KEEP_LAST_1).output().unwrap();
    assert!(pruned.status.success(), "{pruned:?}");
    let left = archives(&house);
    for name in &genuine {
        assert!(left.contains(name), "{name} of {left:?}");
    }
    assert_eq!(left.len(), 7, "{left:?}");
    assert_eq!(listed(&house).0.len(), 3);
}

#[test]
fn a_forged_successor_has_no_genuine_backup_removed() {
    let house = house();
    let genuine = genuine(&house);
    let told = manifest_of(&house, &genuine);
    let mut planted = made_elsewhere(&house, &[], &[OTHER_KEY]).at("2020-11-01");
    let manifest = &mut planted.manifest["manifest"];
    manifest["id"] = told["manifest"]["id"].clone();
    manifest["reencrypted_from"] = serde_json::json!({
        "file": genuine, "sha256": told["manifest"]["stored"]["sha256"],
    });
    planted.put(&house);
    plant_record(&house, "key rotate", None);
    house.run(&["prune"]);
    assert!(house.storage().join(&genuine).exists(), "it is removed");
    assert_eq!(listed(&house).0, [genuine]);
}

#[test]
fn a_planted_record_has_nothing_removed_and_hides_nothing() {
    let house = house();
    let genuine = genuine(&house);
    let kept = house.path("its-manifest");
    let manifest = house.storage().join(format!("{genuine}.json"));
    fs::rename(&manifest, &kept).unwrap();
    plant_record(&house, "backup source", Some(&genuine));
    assert_eq!(listed(&house), (vec![], vec![genuine.clone()]));
    let pruned = house.run(&["prune"]);
    assert!(house.storage().join(&genuine).exists(), "it is removed");
    let said = String::from_utf8(pruned.stderr).unwrap();
    assert!(said.contains(&genuine) && said.contains("stays"), "{said}");
    fs::rename(&kept, &manifest).unwrap();
    assert_eq!(listed(&house).0, [genuine]);
}

/// What stands between `before` and `after`, as a shell takes it apart.
fn command(output: &std::process::Output, before: &str, after: &str) -> Vec<String> {
    let words = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8(words).unwrap().replace('\n', " ");
    let (_, from) = said.split_once(before).unwrap_or_else(|| panic!("{said}"));
    let (command, _) = from.split_once(after).unwrap_or_else(|| panic!("{said}"));
    shlex::split(command).unwrap()
}

#[test]
fn a_command_to_paste_holds_a_planted_name_as_one_word() {
    let house = house();
    genuine(&house);
    let planted = "a;touch PWNED;$(id)_source_2026-01-01T00-00-00.tar.gz";
    let archive = house.storage().join(planted);
    let mut tar = std::process::Command::new("tar");
    tar.arg("-C").arg(house.path("app")).arg("-czf");
    assert!(tar.arg(&archive).arg(".").status().unwrap().success());
    let all = house.kluis().args(["verify", "--all"]).output().unwrap();
    let adopt = command(
        &all,
        "a key of ours (no manifest): counts nowhere; kluis ",
        " makes",
    );
    assert_eq!(adopt, ["adopt", planted]);
    let restore = ["restore", planted, "--to", "out", "--yes"];
    let refused = house.kluis().args(restore).output().unwrap();
    let adopt = command(&refused, "where it is from, `kluis ", "` makes");
    assert_eq!(adopt, ["adopt", archive.to_str().unwrap()]);
}

#[test]
fn a_planted_manifest_without_files_does_not_hide_that_a_tree_was_emptied() {
    let house = house();
    let genuine = genuine(&house);
    let mut manifest = manifest_of(&house, &genuine);
    manifest["manifest"]["source"]["files"] = 0.into();
    manifest.as_object_mut().unwrap().remove("seal");
    let planted = Planted {
        archive: fs::read(house.storage().join(&genuine)).unwrap(),
        manifest,
        file: genuine,
    };
    planted.at("2036-11-01").put(&house);
    fs::remove_file(house.path("app/file")).unwrap();
    let mut kluis = house.kluis();
    let output = kluis.args(["backup", "source", "app"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}
