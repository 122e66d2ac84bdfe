//! Somebody who can write to a storage, and has a kluis and keys of his own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::house::{House, names};

/// An archive and its manifest, made elsewhere.
pub struct Planted {
    pub archive: Vec<u8>,
    pub manifest: Value,
    pub file: String,
}

/// A house with a tree `app` of one file.
pub fn house() -> House {
    let house = House::new();
    fs::create_dir(house.path("app")).unwrap();
    fs::write(house.path("app/file"), "genuine").unwrap();
    house
}

/// Backs `app` up, and gives the archive's name.
pub fn genuine(house: &House) -> String {
    let before = archives(house);
    house.run(&["backup", "source", "app"]);
    let mut after = archives(house);
    after.retain(|name| !before.contains(name));
    after.remove(0)
}

/// The storage's archives with a manifest.
pub fn archives(house: &House) -> Vec<String> {
    let all = names(&house.storage());
    let manifests = all.iter().filter_map(|name| name.strip_suffix(".json"));
    let archives = manifests.filter(|name| all.iter().any(|other| other == name));
    archives.map(str::to_owned).collect()
}

/// What somebody makes of a tree of the same name, with these flags and variables.
pub fn made_elsewhere(house: &House, flags: &[&str], variables: &[(&str, &str)]) -> Planted {
    let evil = house.path("elsewhere");
    fs::create_dir_all(evil.join("app")).unwrap();
    fs::write(evil.join("app/file"), "planted").unwrap();
    let tool = evil.join("app/tool");
    fs::write(&tool, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o4755)).unwrap();
    let storage = evil.join("storage");
    let _ = fs::remove_dir_all(&storage);
    let mut kluis = house.kluis();
    kluis.env("BACKUP_LOCAL_PATH", &storage);
    kluis.envs(variables.iter().copied());
    kluis
        .args(["backup", "source"])
        .arg(evil.join("app"))
        .args(flags);
    let output = kluis.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let all = names(&storage);
    let is_manifest = |name: &&String| name.starts_with("app_") && name.ends_with(".json");
    let manifest = all.iter().find(is_manifest).unwrap();
    let file = manifest.strip_suffix(".json").unwrap().to_owned();
    Planted {
        archive: fs::read(storage.join(&file)).unwrap(),
        manifest: serde_json::from_slice(&fs::read(storage.join(manifest)).unwrap()).unwrap(),
        file,
    }
}

impl Planted {
    /// Under another name and time, which its manifest tells too.
    pub fn at(mut self, day: &str) -> Self {
        let time = format!("{day}T12:00:00Z");
        let end = self.file.split_once(".tar").unwrap().1;
        self.file = format!("app_source_{day}T12-00-00.tar{end}");
        self.manifest["manifest"]["created_at"] = time.into();
        self.manifest["manifest"]["stored"]["file"] = self.file.clone().into();
        self
    }

    /// Newer than all that is there, under that number behind its time.
    pub fn of_this_second(self, number: u32) -> Self {
        let begun = jiff::Timestamp::now().as_second();
        // Names and what stands here have whole seconds only.
        while jiff::Timestamp::now().as_second() == begun {
            std::thread::yield_now();
        }
        let now = jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H-%M-%S")
            .to_string();
        let (day, time) = now.split_once('T').unwrap();
        let mut planted = self.at(day);
        planted.file = planted
            .file
            .replace("12-00-00", &format!("{time}-{number}"));
        let manifest = &mut planted.manifest["manifest"];
        manifest["created_at"] = format!("{day}T{}Z", time.replace('-', ":")).into();
        manifest["stored"]["file"] = planted.file.clone().into();
        planted
    }

    pub fn put(&self, house: &House) -> PathBuf {
        let storage = house.storage();
        fs::write(storage.join(&self.file), &self.archive).unwrap();
        let manifest = storage.join(format!("{}.json", self.file));
        fs::write(manifest, serde_json::to_vec(&self.manifest).unwrap()).unwrap();
        storage.join(&self.file)
    }
}

pub fn manifest_of(house: &House, archive: &str) -> Value {
    let path = house.storage().join(format!("{archive}.json"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A record of a run that died long ago on another host.
pub fn plant_record(house: &House, command: &str, archive: Option<&str>) {
    let id = "00112233aabbccdd";
    let record = serde_json::json!({
        "version": 1, "id": id, "command": command, "trigger": "MANUAL",
        "status": "RUNNING", "backup": archive, "started": "2020-01-01T00:00:00Z",
        "user": "root", "host": "elsewhere",
        "process": {"pid": 1, "start_ticks": 0, "boot_id": "another"},
    });
    let name = format!(
        "2020-01-01T00-00-00_{}_{id}.json",
        command.replace(' ', "-")
    );
    let path = house.storage().join("runs").join(name);
    fs::write(path, record.to_string()).unwrap();
}

/// The files of `list --json`: ours, and the others.
pub fn listed(house: &House) -> (Vec<String>, Vec<String>) {
    let output = house.run(&["list", "--json"]);
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    let files = |part: &str| {
        let rows = shown[part].as_array().into_iter().flatten();
        rows.map(|row| row["file"].as_str().unwrap().to_owned())
            .collect()
    };
    (files("backups"), files("foreign"))
}
