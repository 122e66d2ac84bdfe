//! Settings: flags > environment > file > defaults, in one pure function,
//! [`resolve()`]. Every value remembers where it was written.
//!
//! Owns the reading of `kluis.toml` and of env files. Refuses unknown keys and
//! values that make no sense, with the place they stand at. Commands take
//! [`Settings`] and never look at the environment themselves.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub mod duration;
mod env_file;
mod environment;
mod file;
mod flags;
mod layers;
mod resolve;
mod settings;
mod show;
mod values;

pub use environment::Environment;
pub use file::ConfigFile;
pub use flags::Flags;
pub use resolve::resolve;
pub use settings::{
    ArchiveFormat, CompressionSettings, DatabaseSettings, EncryptionSettings, RetentionSettings,
    Settings, SourceSettings, StoragePlace, StorageSettings,
};
pub use show::{SettingRow, show};

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
    /// A file that is not understood; `line` counts from 1.
    #[error("{}:{line}: {what}", path.display())]
    File {
        path: PathBuf,
        line: usize,
        what: String,
    },
    #[error("{origin}: {what}")]
    Value { origin: Origin, what: String },
    #[error("{name} is not UTF-8 text")]
    NotUtf8 { name: &'static str },
    #[error("{origin}: {what} is not supported in this version of kluis")]
    Unsupported { origin: Origin, what: String },
    #[error("no {what} is configured")]
    Missing {
        what: &'static str,
        remedy: &'static str,
    },
}

impl ConfigError {
    /// What the operator can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Unreadable { .. } => "check the path, and that this user may read it",
            Self::File { .. } => "correct that line; examples/kluis.toml explains every key",
            Self::Value { .. } | Self::NotUtf8 { .. } => {
                "`kluis config show` prints every setting and where it comes from"
            }
            Self::Unsupported { .. } => "use a local directory: -s DIR or BACKUP_LOCAL_PATH",
            Self::Missing { remedy, .. } => remedy,
        }
        .to_owned()
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
    resolve(flags, &environment, file.as_ref())
}

fn read_env_file(path: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    let text = file::read_text(path).map_err(|source| ConfigError::Unreadable {
        what: "the env file",
        path: path.to_owned(),
        source,
    })?;
    env_file::parse(&text).map_err(|problem| ConfigError::File {
        path: path.to_owned(),
        line: problem.line,
        what: problem.what,
    })
}
