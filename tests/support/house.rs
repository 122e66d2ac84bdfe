//! The real binary in a house of its own: home, storage and key in a temporary
//! directory, nothing of the machine's environment.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// The binary under test. KLUIS_UNDER_TEST names another one: an attack is tried
/// on an older kluis by it, and must succeed there.
pub fn program() -> OsString {
    std::env::var_os("KLUIS_UNDER_TEST").unwrap_or_else(|| env!("CARGO_BIN_EXE_kluis").into())
}

/// The one of every house that has a key.
pub fn key() -> String {
    "c0ffee".repeat(10) + "0123"
}

pub struct House {
    home: TempDir,
    has_key: bool,
    /// Further variables.
    variables: Vec<(String, String)>,
}

impl House {
    pub fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("kluis.toml"), "").unwrap();
        Self {
            home,
            has_key: true,
            variables: Vec::new(),
        }
    }

    /// Without a key nothing is sealed, and a manifest can be edited.
    pub fn keyless() -> Self {
        Self {
            has_key: false,
            ..Self::new()
        }
    }

    /// Every command of this house gets the variable.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn storage(&self) -> PathBuf {
        self.path("storage")
    }

    /// `program` with kluis' settings around it: kluis itself, or what starts it.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("KLUIS_CONFIG", self.path("kluis.toml"))
            .env("BACKUP_LOCAL_PATH", self.storage())
            .env("TZ", "UTC")
            .current_dir(self.home.path());
        if self.has_key {
            command.env("BACKUP_ENCRYPTION_KEY", key());
        }
        // Another key is one of them.
        command.envs(self.variables.iter().cloned());
        command
    }

    pub fn kluis(&self) -> Command {
        self.command(program())
    }

    /// Runs kluis; panics with its words unless it exits 0.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let output = self.kluis().args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        output
    }

    /// The files that `kluis list` shows, sorted. Each must be a whole backup:
    /// with a manifest, an archive, and no failed check.
    pub fn listed(&self) -> Vec<String> {
        let output = self.run(&["list", "--json"]);
        assert!(output.stderr.is_empty(), "{output:?}");
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        let rows = shown["backups"].as_array().unwrap();
        let mut files: Vec<String> = rows
            .iter()
            .map(|row| {
                let proof = row["proof"].as_str().unwrap();
                assert!(matches!(proof, "stored" | "verified"), "partial: {row}");
                row["file"].as_str().unwrap().to_owned()
            })
            .collect();
        files.sort();
        files
    }

    /// What a run that died may have left: temporaries, archives and manifests
    /// without the other, records that say RUNNING.
    pub fn leftovers(&self) -> Vec<String> {
        let top = names(&self.storage());
        let alone = |name: &&String| match name.strip_suffix(".json") {
            _ if ["kluis.json", "kluis.lock", ".kluis-serve.lock", "runs"].contains(&&***name) => {
                false
            }
            Some(archive) => !top.contains(&archive.to_owned()),
            None => !top.contains(&format!("{name}.json")),
        };
        let mut left: Vec<String> = top.iter().filter(alone).cloned().collect();
        for (name, record) in self.records() {
            if record["status"] != "COMPLETED" && record["status"] != "FAILED" {
                left.push(name);
            }
        }
        left
    }

    /// The runs' records by their names, the newest last; what is no JSON, or was
    /// renamed meanwhile by the run that writes it, is null.
    pub fn records(&self) -> Vec<(String, Value)> {
        let runs = self.storage().join("runs");
        let read = |name: &String| fs::read(runs.join(name)).unwrap_or_default();
        let parsed = |name| {
            let record = serde_json::from_slice(&read(&name)).unwrap_or_default();
            (name, record)
        };
        names(&runs).into_iter().map(parsed).collect()
    }
}

/// Everything in a directory, hidden files too, sorted; nothing if it is not there.
pub fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
