//! Settings: flags > environment > file > defaults, in one pure function,
//! [`resolve()`]. Every value remembers where it was written.
//!
//! Owns the reading of `kluis.toml` and of env files. Refuses unknown keys and
//! values that make no sense, with the place they stand at. Commands take
//! [`Settings`] and never look at the environment themselves.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

mod check;
mod database;
pub mod duration;
mod encryption;

mod env_file;
mod environment;
mod file;
mod flags;
mod hooks;
mod ignored;
mod layers;
mod notify;
mod resolve;
mod retention;
mod schedule;
mod scope;
mod secret_files;
mod serve;
mod settings;
mod show;
pub mod values;

pub use environment::{Environment, asks_for_json, journal_stream};
pub use file::ConfigFile;
pub use flags::Flags;
pub use resolve::resolve;
pub use retention::IDLE_REMEDY;
pub use schedule::{ScheduleSettings, Work};
pub use serve::{SchedulerMode, ServeSettings};
pub use settings::{
    ArchiveFormat, ChatSettings, CompressionSettings, DatabaseSettings, DockerSettings,
    DumpSettings, EmailSettings, EncryptionSettings, HookSettings, NotifySettings, PgMode,
    PingSettings, PingUrlSettings, RetentionSettings, Settings, SourceSettings, StoragePlace,
    StorageSettings, WebhookSettings, WhenSettings,
};
pub use show::{SettingRow, show};

use crate::strict::StrictError;

const CORRECT_THE_LINE: &str = "correct that line; examples/kluis.toml explains every key";

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Flag(&'static str),
    Environment {
        name: String,
        env_file: Option<PathBuf>,
    },
    File {
        path: PathBuf,
        line: usize,
    },
    Default,
}

impl Origin {
    pub fn is_environment(&self) -> bool {
        matches!(self, Self::Environment { .. })
    }

    pub fn is_file(&self) -> bool {
        matches!(self, Self::File { .. })
    }

    pub fn is_flag(&self) -> bool {
        matches!(self, Self::Flag(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => f.write_str(flag),
            Self::Environment {
                name,
                env_file: None,
            } => f.write_str(name),
            Self::Environment {
                name,
                env_file: Some(path),
            } => write!(f, "{name} in the env file {}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and where it was written.
#[derive(Clone)]
pub struct Sourced<T> {
    pub value: T,
    pub origin: Origin,
}

impl<T> Sourced<T> {
    pub fn new(value: T, origin: Origin) -> Self {
        Self { value, origin }
    }

    pub fn default(value: T) -> Self {
        Self::new(value, Origin::Default)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {what} {}: {source}", path.display())]
    Unreadable {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// It says what kluis runs, and others could have written it.
    #[error("{what} {} is not taken: {source}", path.display())]
    NotOurs {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: StrictError,
    },
    /// A configuration that is not understood; `line` counts from 1.
    #[error("{}:{line}: {what}", path.display())]
    File {
        path: PathBuf,
        line: usize,
        what: String,
    },
    #[error("{}:{line}: {what}", path.display())]
    EnvFile {
        path: PathBuf,
        line: usize,
        what: String,
    },
    #[error("{origin}: {what}")]
    Value { origin: Origin, what: String },
    #[error("{name} is not UTF-8 text")]
    NotUtf8 { name: &'static str },
    #[error("{origin}: {what} is not supported in this version of kluis")]
    Unsupported {
        origin: Origin,
        what: String,
        remedy: &'static str,
    },
    #[error("no {what} is configured")]
    Missing {
        what: &'static str,
        remedy: &'static str,
    },
}

impl ConfigError {
    /// Why a file that the operator named is not taken.
    pub fn of_file(what: &'static str, path: &Path, error: StrictError) -> Self {
        let path = path.to_owned();
        match error {
            StrictError::Unreadable(source) => Self::Unreadable { what, path, source },
            source => Self::NotOurs { what, path, source },
        }
    }

    /// What the operator can do about it.
    pub fn hint(&self) -> &str {
        match self {
            Self::NotOurs { source, .. } => source.remedy().unwrap_or_default(),
            Self::Unreadable { .. } => "check the path, and that this user may read it",
            Self::File { .. } => CORRECT_THE_LINE,
            Self::EnvFile { .. } => "an env file has lines of KEY=VALUE and # comments",
            Self::Value { origin, .. } => match origin {
                Origin::Flag(_) => "the command's --help explains its flags",
                Origin::Environment { .. } => "correct or unset the variable",
                Origin::File { .. } | Origin::Default => CORRECT_THE_LINE,
            },
            Self::NotUtf8 { .. } => "correct or unset the variable",
            Self::Unsupported { remedy, .. } | Self::Missing { remedy, .. } => remedy,
        }
    }
}

/// Reads the env file and the configuration that the flags and the environment
/// name, and resolves the settings.
pub fn load(flags: Flags, mut environment: Environment) -> Result<Settings, ConfigError> {
    if let Some(path) = &flags.env_file {
        environment.add_file(path, read_env_file(path)?);
    }
    let file = file::find(flags.config.as_deref(), &environment)
        .map(|path| ConfigFile::read(&path))
        .transpose()?;
    let mut settings = resolve(flags, &environment, file.as_ref())?;
    settings.warnings.extend(secret_files::warnings(&settings));
    Ok(settings)
}

fn read_env_file(path: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    let (text, _) = file::read_text("the env file", path)?;
    env_file::parse(&text).map_err(|problem| ConfigError::EnvFile {
        path: path.to_owned(),
        line: problem.line,
        what: problem.what,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../examples/kluis.toml");

    /// The example with every key switched on.
    fn switched_on() -> String {
        let on = |line: &str| match line.strip_prefix('#') {
            Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase()) => key.to_owned(),
            _ => line.to_owned(),
        };
        EXAMPLE.lines().map(on).collect::<Vec<_>>().join("\n")
    }

    fn rows(text: String) -> Vec<SettingRow> {
        let file = ConfigFile::parse(Path::new("kluis.toml"), text).unwrap();
        let settings = resolve(Flags::default(), &Environment::of([]), Some(&file));
        show(&settings.unwrap())
    }

    #[test]
    fn the_example_is_parsed_as_it_stands_and_changes_no_default() {
        let without_file = resolve(Flags::default(), &Environment::of([]), None).unwrap();
        assert_eq!(rows(EXAMPLE.to_owned()), show(&without_file));
    }

    #[test]
    fn the_example_has_every_key_and_tells_the_true_defaults() {
        let defaults = rows(String::new());
        for (row, default) in rows(switched_on()).iter().zip(&defaults) {
            assert!(
                row.from.starts_with("kluis.toml:"),
                "{} is not in the example",
                row.key
            );
            let has_default = !default.value.is_null() && default.value != serde_json::json!([]);
            if has_default {
                assert_eq!(
                    row.value, default.value,
                    "the example's default of {}",
                    row.key
                );
            }
        }
    }

    #[test]
    fn an_env_file_that_is_wrong_is_told_with_its_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.env");
        std::fs::write(&path, "A=1\nnonsense\n").unwrap();
        let flags = Flags {
            env_file: Some(path),
            ..Flags::default()
        };
        let error = load(flags, Environment::of([])).err().unwrap().to_string();
        assert!(error.ends_with("x.env:2: expected KEY=VALUE"), "{error}");
    }
}
