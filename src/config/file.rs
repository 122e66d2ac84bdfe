//! `kluis.toml`: its keys, where it is looked for, and what is wrong with it.
//! Unknown keys are refused with the nearest known one, and every problem is
//! told with its line. Values are not judged here but in `resolve`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::schedule::ScheduleKeys;
use super::serve::ServeKeys;
use super::{ConfigError, Environment};
use crate::strict;

mod notify;

pub use notify::{ChatKeys, EmailKeys, NotifyKeys, PingKeys, WebhookKeys};

/// A configuration is some kilobytes; a device given by mistake never ends.
const FILE_BYTES_MAX: u64 = 1 << 20;
const SYSTEM_FILE: &str = "/etc/kluis/kluis.toml";

/// A value with the bytes it stands at, for its line number.
pub type Entry<T> = Option<Spanned<T>>;

/// The file's keys. The names and meanings stand in `examples/kluis.toml`.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keys {
    pub time_zone: Entry<String>,
    pub lock_wait: Entry<String>,
    pub run_limit: Entry<String>,
    pub stall_limit: Entry<String>,
    pub work_dir: Entry<PathBuf>,
    pub allow_readable_secrets: Entry<bool>,
    pub host: Entry<String>,
    pub storage: StorageKeys,
    pub database: DatabaseKeys,
    pub source: SourceKeys,
    pub compression: CompressionKeys,
    pub encryption: EncryptionKeys,
    pub retention: RetentionKeys,
    pub check: CheckKeys,
    pub notify: NotifyKeys,
    pub hooks: HookKeys,
    pub schedule: Vec<ScheduleKeys>,
    pub serve: ServeKeys,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorageKeys {
    pub path: Entry<PathBuf>,
    pub require_mount: Entry<bool>,
    pub lock_dir: Entry<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseKeys {
    pub url: Entry<String>,
    pub name: Entry<String>,
    pub server: Entry<String>,
    pub mode: Entry<String>,
    pub container: Entry<String>,
    pub container_label: Entry<String>,
    pub container_pattern: Entry<String>,
    pub container_database: Entry<String>,
    pub container_user: Entry<String>,
    pub container_port: Entry<u16>,
    pub container_socket: Entry<String>,
    pub docker_command: Entry<Vec<String>>,
    pub client_bin_dir: Entry<PathBuf>,
    pub names: Entry<Vec<String>>,
    pub all: Entry<bool>,
    pub exclude: Entry<Vec<String>>,
    pub globals: Entry<bool>,
    pub format: Entry<String>,
    pub jobs: Entry<u32>,
    pub dump_options: Entry<Vec<String>>,
    pub lock_wait_timeout: Entry<String>,
    pub pre_restore_backup: Entry<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceKeys {
    pub paths: Entry<Vec<PathBuf>>,
    pub name: Entry<String>,
    pub exclude: Entry<Vec<String>>,
    pub exclude_from: Entry<Vec<PathBuf>>,
    pub exclude_caches: Entry<bool>,
    pub exclude_if_present: Entry<Vec<String>>,
    pub default_excludes: Entry<bool>,
    pub one_file_system: Entry<bool>,
    pub allow_empty: Entry<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompressionKeys {
    pub codec: Entry<String>,
    pub level: Entry<u32>,
    pub workers: Entry<usize>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EncryptionKeys {
    pub enabled: Entry<bool>,
    pub key_file: Entry<PathBuf>,
    pub key_command: Entry<Vec<String>>,
    pub key_command_env: Entry<Vec<String>>,
    pub also_key_files: Entry<Vec<PathBuf>>,
    pub recipients: Entry<Vec<String>>,
    pub read_key_files: Entry<Vec<PathBuf>>,
    pub format: Entry<String>,
    pub required: Entry<bool>,
    pub signing_key: Entry<PathBuf>,
    pub verify_keys: Entry<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionKeys {
    pub keep_last: Entry<u32>,
    pub keep_hourly: Entry<u32>,
    pub keep_daily: Entry<u32>,
    pub keep_weekly: Entry<u32>,
    pub keep_monthly: Entry<u32>,
    pub keep_yearly: Entry<u32>,
    pub keep_within: Entry<String>,
    pub max_age: Entry<String>,
    pub keep_at_least: Entry<u32>,
    pub prune_after_backup: Entry<bool>,
    pub policy: Vec<PolicyKeys>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckKeys {
    pub max_age: Entry<String>,
    pub max_age_of: BTreeMap<String, Entry<String>>,
    pub proof_age: Entry<String>,
    pub size_drift: Entry<u32>,
    pub table_drift: Entry<u32>,
    pub table_drift_rows: Entry<u64>,
    pub failures: Entry<u32>,
    pub free: Entry<u32>,
    pub days_until_full: Entry<u32>,
    pub unverified: Entry<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HookKeys {
    pub before: Entry<Vec<Vec<String>>>,
    pub after: Entry<Vec<Vec<String>>>,
    pub failed: Entry<Vec<Vec<String>>>,
    pub finally: Entry<Vec<Vec<String>>>,
    pub commands: Entry<Vec<String>>,
    pub limit: Entry<String>,
    pub pass_env: Entry<Vec<String>>,
}

/// The rules for one name.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyKeys {
    pub name: Entry<String>,
    pub kind: Entry<String>,
    pub keep_last: Entry<u32>,
    pub keep_hourly: Entry<u32>,
    pub keep_daily: Entry<u32>,
    pub keep_weekly: Entry<u32>,
    pub keep_monthly: Entry<u32>,
    pub keep_yearly: Entry<u32>,
    pub keep_within: Entry<String>,
    pub max_age: Entry<String>,
    pub keep_at_least: Entry<u32>,
}

/// A configuration file that was read and understood.
pub struct ConfigFile {
    pub path: PathBuf,
    pub keys: Keys,
    /// Others than its owner may read it.
    pub readable_by_others: bool,
    text: String,
}

impl ConfigFile {
    /// Understands a file's text; `path` is for messages.
    pub fn parse(path: &Path, text: String) -> Result<Self, ConfigError> {
        let keys = toml::from_str(&text).map_err(|error| ConfigError::File {
            path: path.to_owned(),
            line: error.span().map_or(1, |span| line_of(&text, span.start)),
            what: explain(error.message()),
        })?;
        Ok(Self {
            path: path.to_owned(),
            keys,
            readable_by_others: false,
            text,
        })
    }

    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let (text, readable_by_others) = read_text("the configuration", path)?;
        let mut file = Self::parse(path, text)?;
        file.readable_by_others = readable_by_others;
        Ok(file)
    }

    /// The line, from 1, that a value stands on.
    pub fn line<T>(&self, value: &Spanned<T>) -> usize {
        line_of(&self.text, value.span().start)
    }
}

/// The file that counts: the one that was asked for, else the first that is
/// there. `None` if there is none, which is fine.
pub fn find(asked: Option<&Path>, environment: &Environment) -> Option<PathBuf> {
    if let Some(path) = asked {
        return Some(path.to_owned());
    }
    if let Some(path) = environment.get("KLUIS_CONFIG") {
        return Some(PathBuf::from(path));
    }
    let home = environment.get("HOME").map(PathBuf::from);
    // The XDG base directory specification ignores relative paths.
    let xdg = environment
        .get("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| home.map(|home| home.join(".config")));
    let own = xdg.map(|directory| directory.join("kluis/kluis.toml"));
    // Also one that dangles is found, and an error later.
    let own = own.filter(|path| fs::symlink_metadata(path).is_ok());
    let system = PathBuf::from(SYSTEM_FILE);
    match may_be_there(&system) {
        true => Some(system),
        false => own,
    }
}

/// What this user may not look for is found as well: it is an error later, and not
/// silently another configuration, or none.
fn may_be_there(path: &Path) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    match fs::symlink_metadata(path) {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), NotFound | NotADirectory),
    }
}

/// The whole text of a small file that nobody else can have written, and whether
/// others may read it. `what` it is, is for messages.
pub fn read_text(what: &'static str, path: &Path) -> Result<(String, bool), ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        what,
        path: path.to_owned(),
        source,
    };
    let opened = strict::open(path).map_err(|error| ConfigError::of_file(what, path, error))?;
    let mut text = String::new();
    let mut file = opened.file.take(FILE_BYTES_MAX + 1);
    file.read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        let what = format!("larger than {FILE_BYTES_MAX} bytes");
        let error = io::Error::new(io::ErrorKind::FileTooLarge, what);
        return Err(unreadable(error));
    }
    Ok((text, opened.readable_by_others))
}

fn line_of(text: &str, byte: usize) -> usize {
    let before = text.as_bytes().get(..byte).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|&&b| b == b'\n').count()
}

/// The parser's message; for an unknown key with the nearest known one. The
/// parser lists the known names, so that they stand in one place, the types.
fn explain(message: &str) -> String {
    let Some((unknown, known)) = message
        .strip_prefix("unknown field `")
        .and_then(|rest| rest.split_once('`'))
    else {
        return message.to_owned();
    };
    let names = known.split('`').skip(1).step_by(2);
    let nearest = names
        .map(|name| (strsim::normalized_damerau_levenshtein(unknown, name), name))
        .filter(|(likeness, name)| *likeness >= 0.5 || name.contains(unknown))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((_, name)) => format!("unknown key `{unknown}`; did you mean `{name}`?"),
        None => format!(
            "unknown key `{unknown}`{}",
            known.replace(", expected ", "; known are ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        match ConfigFile::parse(Path::new("kluis.toml"), text.to_owned()) {
            Ok(_) => panic!("was accepted: {text}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_and_its_line() {
        assert_eq!(
            problem("[retention]\nkeep_last = 3\nkeep_dayly = 7\n"),
            "kluis.toml:3: unknown key `keep_dayly`; did you mean `keep_daily`?"
        );
        assert_eq!(
            problem("[storge]\n"),
            "kluis.toml:1: unknown key `storge`; did you mean `storage`?"
        );
    }

    #[test]
    fn an_unknown_key_like_no_other_lists_the_known_ones() {
        let text = problem("[encryption]\nxyzzy = 1\n");
        assert!(
            text.starts_with("kluis.toml:2: unknown key `xyzzy`; known are"),
            "{text}"
        );
        assert!(text.contains("key_file"), "{text}");
    }

    #[test]
    fn a_wrong_type_and_wrong_toml_are_told_with_their_line() {
        assert!(
            problem("[compression]\n\nlevel = \"high\"\n").starts_with("kluis.toml:3: "),
            "type"
        );
        assert!(
            problem("a = 1\n[storage\n").starts_with("kluis.toml:2: "),
            "syntax"
        );
        assert!(
            problem("[retention]\nkeep_last = -1\n").starts_with("kluis.toml:2: "),
            "sign"
        );
    }

    #[test]
    fn a_value_knows_its_line() {
        let text = "# one\n[storage]\npath = \"/b\"\n".to_owned();
        let Ok(file) = ConfigFile::parse(Path::new("k"), text) else {
            panic!("refused")
        };
        assert_eq!(
            file.keys.storage.path.as_ref().map(|path| file.line(path)),
            Some(3)
        );
    }

    #[test]
    fn the_asked_file_beats_the_environment_which_beats_the_usual_places() {
        let dir = tempfile::tempdir().unwrap();
        let xdg = dir.path().to_str().unwrap();
        fs::create_dir(dir.path().join("kluis")).unwrap();
        fs::write(dir.path().join("kluis/kluis.toml"), "").unwrap();
        let both = Environment::of([("KLUIS_CONFIG", "/named.toml"), ("XDG_CONFIG_HOME", xdg)]);
        assert_eq!(
            find(Some(Path::new("/asked")), &both),
            Some("/asked".into())
        );
        assert_eq!(find(None, &both), Some("/named.toml".into()));
        if !Path::new(SYSTEM_FILE).exists() {
            let own = Environment::of([("XDG_CONFIG_HOME", xdg)]);
            assert_eq!(find(None, &own), Some(dir.path().join("kluis/kluis.toml")));
            let none = Environment::of([("XDG_CONFIG_HOME", "relative")]);
            assert_eq!(find(None, &none), None);
        }
    }

    #[test]
    fn a_file_that_cannot_be_looked_for_is_not_taken_for_absent() {
        let dir = tempfile::tempdir().unwrap();
        let (around, file) = (dir.path().join("around"), dir.path().join("file"));
        std::os::unix::fs::symlink(&around, &around).unwrap();
        fs::write(&file, "").unwrap();
        assert!(may_be_there(&around.join("kluis.toml")));
        assert!(!may_be_there(&file.join("kluis.toml")));
        assert!(!may_be_there(&dir.path().join("kluis.toml")));
    }
}
