//! The resolved settings as types. A value that the operator did not write and
//! that has no default is `None`. No `Debug`: some of them are secrets.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;

use super::schedule::ScheduleSettings;
use super::serve::ServeSettings;
use super::{ConfigError, Sourced};
use crate::format::age::AgeRecipient;
use crate::format::manifest::{Codec, Kind};
use crate::format::names::ArchiveFormat as DumpFormat;
use crate::format::signing::Verifier;
use crate::postgres::DumpOption;
use crate::retention::{Age, Coverage};
use crate::secrets::{KeySource, SecretText};

mod notify;

pub use notify::{
    ChatSettings, EmailSettings, NotifySettings, PingSettings, PingUrlSettings, WebhookSettings,
    WhenSettings,
};

/// Everything that was configured, for one run.
pub struct Settings {
    /// The configuration file that was read.
    pub config_file: Option<PathBuf>,
    pub storage: StorageSettings,
    pub database: DatabaseSettings,
    pub source: SourceSettings,
    pub compression: CompressionSettings,
    pub encryption: EncryptionSettings,
    pub retention: RetentionSettings,
    pub check: CheckSettings,
    pub notify: NotifySettings,
    pub hooks: HookSettings,
    pub schedules: Vec<ScheduleSettings>,
    pub serve: ServeSettings,
    /// Where throwaway servers and dumps in directory format are made.
    pub work_dir: Sourced<PathBuf>,
    /// Secrets' files that others may read are no reason for a warning.
    pub allow_readable_secrets: Sourced<bool>,
    /// Tells this host's backups from those of others in one storage.
    pub host: Sourced<String>,
    /// For retention's days and weeks, and for times shown to people.
    pub time_zone: Sourced<TimeZone>,
    /// How long to wait for another run's lock.
    pub lock_wait: Sourced<Duration>,
    /// How long a run may take; zero is for ever.
    pub run_limit: Sourced<Duration>,
    /// For how long no byte of a backup may move; zero is for ever.
    pub stall_limit: Sourced<Duration>,
    /// What the operator should be told, such as a password others can read.
    pub warnings: Vec<String>,
    /// Why the machine's own time zone is not known, where that would count.
    pub no_time_zone: Option<String>,
    /// What TZ says, where it is that and counts.
    pub unknown_tz: Option<String>,
    /// Variables that are set and look like ours, and that nobody reads.
    pub ignored: Vec<String>,
}

pub struct StorageSettings {
    pub place: Option<Sourced<StoragePlace>>,
    /// The path must be a mount point that is mounted.
    pub require_mount: Sourced<bool>,
    /// Where the locks are, if not in the storage: on a file system that has none.
    pub lock_dir: Option<Sourced<PathBuf>>,
}

pub enum StoragePlace {
    Local(PathBuf),
    /// Something that a later version may know, as the operator wrote it. It is
    /// an error only where a storage is needed.
    Unsupported(String),
}

pub struct DatabaseSettings {
    pub url: Option<Sourced<SecretText>>,
    /// The database; where it is `None`, the one that the URL or libpq's
    /// variables name.
    pub name: Option<Sourced<String>>,
    /// Tells the server's backups from those of others in one storage; `None`: as
    /// it is reached.
    pub server: Option<Sourced<String>>,
    /// libpq's `PG...` variables, passwords among them.
    pub libpq: BTreeMap<String, OsString>,
    pub mode: Sourced<PgMode>,
    pub docker: DockerSettings,
    /// Where to look for pg_dump, psql and the server's programs first.
    pub client_bin_dir: Option<Sourced<PathBuf>>,
    pub dump: DumpSettings,
    /// Back up a database before a restore replaces it.
    pub pre_restore_backup: Sourced<bool>,
}

/// How the server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PgMode {
    /// Directly where a URL and a client exist and the server answers, else in
    /// a container.
    Auto,
    Direct,
    Docker,
}

/// How the server's container is found, in this order.
pub struct DockerSettings {
    pub container: Option<Sourced<String>>,
    /// `key=value`.
    pub label: Option<Sourced<String>>,
    /// A glob over the names of running containers, or a part of them.
    pub pattern: Option<Sourced<String>>,
    /// The database and the user; `None`: as the container's own environment
    /// says.
    pub database: Option<Sourced<String>>,
    pub user: Option<Sourced<String>>,
    /// Of the server in it, where they are not the usual ones.
    pub port: Option<Sourced<u16>>,
    /// A directory in the container.
    pub socket: Option<Sourced<String>>,
    /// The program and its first arguments: `["sudo", "docker"]`, `["podman"]`.
    pub command: Sourced<Vec<String>>,
}

/// What `backup db` takes, and how.
pub struct DumpSettings {
    /// Several databases; empty: the one database.
    pub names: Sourced<Vec<String>>,
    pub all: Sourced<bool>,
    /// Globs of databases that `all` leaves out.
    pub exclude: Sourced<Vec<String>>,
    pub globals: Sourced<bool>,
    /// Plain, custom or directory.
    pub format: Sourced<DumpFormat>,
    /// Tables dumped at once, in directory format.
    pub jobs: Sourced<u32>,
    /// Further options of pg_dump.
    pub options: Sourced<Vec<DumpOption>>,
    /// How long pg_dump waits for a table's lock.
    pub lock_wait_timeout: Sourced<Duration>,
}

pub struct SourceSettings {
    pub paths: Sourced<Vec<PathBuf>>,
    pub name: Option<Sourced<String>>,
    /// Without the default ones.
    pub excludes: Sourced<Vec<String>>,
    pub exclude_from: Sourced<Vec<PathBuf>>,
    pub exclude_caches: Sourced<bool>,
    pub exclude_if_present: Sourced<Vec<String>>,
    pub default_excludes: Sourced<bool>,
    pub one_file_system: Sourced<bool>,
    pub allow_empty: Sourced<bool>,
}

pub struct CompressionSettings {
    pub codec: Sourced<Codec>,
    /// Of the codec's own scale; `None` is the codec's default.
    pub level: Option<Sourced<u32>>,
    /// Threads that compress; at least 1.
    pub workers: Sourced<usize>,
}

pub struct EncryptionSettings {
    /// Off: archives are written unencrypted even if there is a key.
    pub enabled: Sourced<bool>,
    /// The first key that new archives open with.
    pub key: Option<Sourced<KeySource>>,
    /// Variables of our environment that the key's command is given besides.
    pub key_command_env: Sourced<Vec<String>>,
    /// Files of further keys that new archives open with.
    pub also_key_files: Sourced<Vec<PathBuf>>,
    /// New archives open with their identities too.
    pub recipients: Sourced<Vec<AgeRecipient>>,
    /// Files of keys that only open what lies there.
    pub read_key_files: Sourced<Vec<PathBuf>>,
    /// What new archives are written as.
    pub format: Sourced<ArchiveFormat>,
    /// A backup that would not be encrypted fails, whatever else is said.
    pub required: Sourced<bool>,
    /// The file of the key that this host signs its backups with.
    pub signing_key: Option<Sourced<PathBuf>>,
    /// Where there are any, or a signing key, only what they signed is ours.
    pub verify_keys: Sourced<Vec<Verifier>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveFormat {
    Kluis1,
    Kanbu,
}

/// What `kluis check` calls healthy; a number of 0 turns its check off.
pub struct CheckSettings {
    pub max_age: Sourced<Option<Age>>,
    pub max_age_of: BTreeMap<String, Age>,
    pub proof_age: Sourced<Option<Age>>,
    /// Percent.
    pub size_drift: Sourced<u32>,
    pub table_drift: Sourced<u32>,
    pub table_drift_rows: Sourced<u64>,
    /// Failed runs in 7 days that are still healthy; 0 allows none.
    pub failures: Sourced<u32>,
    /// Percent.
    pub free: Sourced<u32>,
    pub days_until_full: Sourced<u32>,
    pub unverified: Option<Sourced<u32>>,
}

/// The operator's programs around a run, each an argument array.
pub struct HookSettings {
    pub before: Sourced<Vec<Vec<String>>>,
    pub after: Sourced<Vec<Vec<String>>>,
    pub failed: Sourced<Vec<Vec<String>>>,
    pub finally: Sourced<Vec<Vec<String>>>,
    /// First words of the commands that they stand around.
    pub commands: Sourced<Vec<String>>,
    /// How long each of them may take.
    pub limit: Sourced<Duration>,
    /// Variables of our environment that they are given besides.
    pub pass_env: Sourced<Vec<String>>,
}

/// The keep rules; a count of 0 turns a rule off.
pub struct RetentionSettings {
    pub last: Sourced<u32>,
    pub hourly: Sourced<u32>,
    pub daily: Sourced<u32>,
    pub weekly: Sourced<u32>,
    pub monthly: Sourced<u32>,
    pub yearly: Sourced<u32>,
    pub within: Option<Sourced<Age>>,
    pub max_age: Option<Sourced<Age>>,
    /// Never fewer backups of a name than this.
    pub at_least: Sourced<u32>,
    /// Prune what was just backed up, after each backup that was made.
    pub prune_after_backup: Sourced<bool>,
    pub policies: Vec<PolicySettings>,
    /// Those of schedules, which hold for what they back up.
    pub scheduled: Vec<ScheduledRulesSettings>,
    /// What the schedule is about that the command line names.
    pub chosen: Option<Coverage>,
}

/// The keep rules of a `[[schedule]]`.
pub struct ScheduledRulesSettings {
    pub coverage: Coverage,
    pub policy: PolicySettings,
}

/// Keep rules for one name; what is `None` is as for everything.
#[derive(Clone)]
pub struct PolicySettings {
    pub name: Sourced<String>,
    /// `None` is either.
    pub kind: Option<Sourced<Kind>>,
    pub last: Option<Sourced<u32>>,
    pub hourly: Option<Sourced<u32>>,
    pub daily: Option<Sourced<u32>>,
    pub weekly: Option<Sourced<u32>>,
    pub monthly: Option<Sourced<u32>>,
    pub yearly: Option<Sourced<u32>>,
    pub within: Option<Sourced<Age>>,
    pub max_age: Option<Sourced<Age>>,
    pub at_least: Option<Sourced<u32>>,
}

impl PolicySettings {
    pub fn has_rules(&self) -> bool {
        let counts = [
            &self.last,
            &self.hourly,
            &self.daily,
            &self.weekly,
            &self.monthly,
            &self.yearly,
            &self.at_least,
        ];
        let ages = [&self.within, &self.max_age];
        counts.into_iter().any(Option::is_some) || ages.into_iter().any(Option::is_some)
    }
}

impl Settings {
    /// The storage's directory, for commands that need one.
    pub fn storage_path(&self) -> Result<&Path, ConfigError> {
        match &self.storage.place {
            None => Err(ConfigError::Missing {
                what: "storage",
                remedy: "say where the backups are: -s DIR, BACKUP_LOCAL_PATH, or path under \
                         [storage] in kluis.toml",
            }),
            Some(place) => match &place.value {
                StoragePlace::Local(path) => Ok(path),
                StoragePlace::Unsupported(what) => Err(ConfigError::Unsupported {
                    origin: place.origin.clone(),
                    what: format!("the storage {what:?}"),
                    remedy: "use a local directory: -s DIR or BACKUP_LOCAL_PATH",
                }),
            },
        }
    }

    /// Where the key is to be taken from, if one is configured.
    pub fn key_source(&self) -> Option<&KeySource> {
        self.encryption.key.as_ref().map(|key| &key.value)
    }
}
