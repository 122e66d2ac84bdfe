//! The real binary with a home, a storage and a key of its own, and nothing
//! around it that the machine could have set.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::house::program;

pub struct Home {
    directory: TempDir,
    /// Set for every run.
    environment: Vec<(String, String)>,
}

impl Home {
    /// With a raw key.
    pub fn new() -> Self {
        Self::with_key(&"5a".repeat(32))
    }

    /// With a key file that holds `text`.
    pub fn with_key(text: &str) -> Self {
        let home = Self::keyless();
        let key = home.path("key");
        fs::write(&key, text).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        home.set("BACKUP_ENCRYPTION_KEY_FILE", key.to_str().unwrap())
    }

    /// Without a key whatever has a manifest counts, also what a test has written.
    pub fn keyless() -> Self {
        let home = Self {
            directory: tempfile::Builder::new().prefix("kluis").tempdir().unwrap(),
            environment: Vec::new(),
        };
        home.configure("")
    }

    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Replaces the configuration file.
    pub fn configure(self, text: &str) -> Self {
        fs::write(self.path("kluis.toml"), text).unwrap();
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn storage(&self) -> PathBuf {
        self.path("storage")
    }

    /// kluis with arguments, in the home, not started yet.
    pub fn kluis(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .env_clear()
            .env("HOME", self.directory.path())
            .env("KLUIS_CONFIG", self.path("kluis.toml"))
            .env("BACKUP_LOCAL_PATH", self.storage())
            .env("TZ", "UTC")
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.directory.path())
            .args(arguments);
        command
    }

    /// [`Self::kluis`] where no key is known.
    pub fn kluis_without_key(&self, arguments: &[&str]) -> Command {
        let mut command = self.kluis(arguments);
        command.env_remove("BACKUP_ENCRYPTION_KEY_FILE");
        command
    }

    /// Runs kluis; panics with its words where it does not end with 0.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.ends(0, arguments)
    }

    /// Runs kluis and expects this exit code.
    pub fn ends(&self, code: i32, arguments: &[&str]) -> Output {
        let output = self.kluis(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        output
    }

    /// The JSON document of a run that ends with 0.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[&["--json"], arguments].concat());
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// A directory's path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
