//! One precedence for every setting: flags > environment > file > defaults.
//! Pure: it opens nothing and asks nobody; what it refuses, it names with the
//! place it was written at.

use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::duration::parse_wait;
use super::file::{Entry, Keys};
use super::flags::SourceFlags;
use super::layers::{Layers, Setting, flag, joined, or_default, switch, wrong};
use super::settings::{
    ArchiveFormat, CompressionSettings, DatabaseSettings, EncryptionSettings, RetentionSettings,
    Settings, SourceSettings, StoragePlace, StorageSettings,
};
use super::values::{check_level, parse_codec, parse_count, parse_days, parse_format, parse_zone};
use super::{ConfigError, ConfigFile, Environment, Flags, Origin, Sourced};
use crate::cli::RetentionFlags;
use crate::format::manifest::Codec;
use crate::retention::Age;
use crate::secrets::{KeySource, SecretText, has_password, mask_url};

const LOCK_WAIT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
const WORKERS_MAX: usize = 256;
/// The floor: never fewer backups of a name.
const KEEP_AT_LEAST_DEFAULT: u32 = 3;

/// The settings of a run.
pub fn resolve(
    flags: Flags,
    environment: &Environment,
    file: Option<&ConfigFile>,
) -> Result<Settings, ConfigError> {
    let no_keys = Keys::default();
    let layers = Layers {
        environment,
        file,
        keys: file.map_or(&no_keys, |file| &file.keys),
    };
    let level = flags.level;
    Ok(Settings {
        config_file: file.map(|file| file.path.clone()),
        storage: layers.storage(flags.storage)?,
        database: layers.database(flags.url, flags.database)?,
        source: layers.source(flags.source),
        compression: layers.compression(flags.codec, level)?,
        encryption: layers.encryption(flags.no_encrypt)?,
        retention: layers.retention(flags.retention)?,
        time_zone: layers.time_zone()?,
        lock_wait: flag("--lock-wait", flags.lock_wait)
            .or(layers.parsed_key(&layers.keys.lock_wait, parse_wait)?)
            .unwrap_or_else(|| Sourced::default(Duration::ZERO)),
        warnings: layers.warnings(),
    })
}

impl Layers<'_> {
    fn storage(&self, given: Option<PathBuf>) -> Result<StorageSettings, ConfigError> {
        let remote = self
            .variable("BACKUP_STORAGE")?
            .filter(|kind| kind.value != "local");
        let unsupported = |kind: Sourced<String>| {
            Sourced::new(StoragePlace::Unsupported(shown(&kind.value)), kind.origin)
        };
        let place = flag("--storage", given)
            .map(directory)
            .or(remote.map(unsupported))
            .or(self.path_variable("BACKUP_LOCAL_PATH").map(directory))
            .or(self.path_key(&self.keys.storage.path).map(directory));
        Ok(StorageSettings {
            place,
            require_mount: or_default(self.key(&self.keys.storage.require_mount), false),
        })
    }

    fn database(
        &self,
        given_url: Option<SecretText>,
        given_name: Option<String>,
    ) -> Result<DatabaseSettings, ConfigError> {
        let keys = &self.keys.database;
        let secret = |url: Sourced<String>| Sourced::new(SecretText::new(url.value), url.origin);
        let url = flag("--url", given_url)
            .or(self.variable("DATABASE_URL")?.map(secret))
            .or(self.key(&keys.url).map(secret));
        let url_above_file = url
            .as_ref()
            .is_some_and(|url| !matches!(url.origin, Origin::File { .. }));
        // A name in the file belongs to the file's server: where a flag or the
        // environment names another one, it would pick the wrong database.
        let file_name = self.key(&keys.name).filter(|_| !url_above_file);
        Ok(DatabaseSettings {
            url,
            name: flag("NAME", given_name).or(file_name),
            libpq: self.environment.libpq_variables(),
            client_bin_dir: self.path_key(&keys.client_bin_dir),
            lock_wait_timeout: or_default(
                self.parsed_key(&keys.lock_wait_timeout, parse_wait)?,
                LOCK_WAIT_TIMEOUT_DEFAULT,
            ),
        })
    }

    fn source_paths(&self, given: Vec<PathBuf>) -> Sourced<Vec<PathBuf>> {
        let given = (!given.is_empty()).then_some(given);
        let one = |path: Sourced<PathBuf>| Sourced::new(vec![path.value], path.origin);
        let paths = flag("PATH", given)
            .or(self.path_variable("BACKUP_SOURCE_PATH").map(one))
            .or(self.path_variable("KANBU_SOURCE_PATH").map(one))
            .or(self.paths_key(&self.keys.source.paths));
        or_default(paths, Vec::new())
    }

    fn source(&self, flags: SourceFlags) -> SourceSettings {
        let keys = &self.keys.source;
        SourceSettings {
            paths: self.source_paths(flags.paths),
            name: flag("--name", flags.name).or(self.key(&keys.name)),
            excludes: joined("--exclude", flags.excludes, self.key(&keys.exclude)),
            exclude_from: joined(
                "--exclude-from",
                flags.exclude_from,
                self.paths_key(&keys.exclude_from),
            ),
            exclude_caches: or_default(
                switch("--exclude-caches", flags.exclude_caches, true)
                    .or(self.key(&keys.exclude_caches)),
                false,
            ),
            exclude_if_present: joined(
                "--exclude-if-present",
                flags.exclude_if_present,
                self.key(&keys.exclude_if_present),
            ),
            default_excludes: or_default(
                switch("--no-default-excludes", flags.no_default_excludes, false)
                    .or(self.key(&keys.default_excludes)),
                true,
            ),
            one_file_system: or_default(
                switch("--one-file-system", flags.one_file_system, true)
                    .or(self.key(&keys.one_file_system)),
                false,
            ),
        }
    }

    fn compression(
        &self,
        codec: Option<Codec>,
        level: Option<u32>,
    ) -> Result<CompressionSettings, ConfigError> {
        let keys = &self.keys.compression;
        let codec = or_default(
            flag("--codec", codec).or(self.parsed_key(&keys.codec, parse_codec)?),
            Codec::Gzip,
        );
        // The file's level is on the scale of the file's codec.
        let codec_by_flag = matches!(codec.origin, Origin::Flag(_));
        let file_level = self.key(&keys.level).filter(|_| !codec_by_flag);
        let level = flag("--level", level).or(file_level);
        if let Some(level) = &level {
            check_level(codec.value, level)?;
        }
        let workers = or_default(self.key(&keys.workers), self.environment.cores.max(1));
        if !(1..=WORKERS_MAX).contains(&workers.value) {
            let what = format!("workers must be 1 to {WORKERS_MAX}");
            return Err(wrong(&workers.origin, what));
        }
        Ok(CompressionSettings {
            codec,
            level,
            workers,
        })
    }

    fn encryption(&self, no_encrypt: bool) -> Result<EncryptionSettings, ConfigError> {
        let keys = &self.keys.encryption;
        Ok(EncryptionSettings {
            enabled: or_default(
                switch("--no-encrypt", no_encrypt, false).or(self.key(&keys.enabled)),
                true,
            ),
            key: self.encryption_key()?,
            format: or_default(
                self.parsed_key(&keys.format, parse_format)?,
                ArchiveFormat::Kluis1,
            ),
        })
    }

    fn encryption_key(&self) -> Setting<KeySource> {
        const TEXT: &str = "BACKUP_ENCRYPTION_KEY";
        const FILE: &str = "BACKUP_ENCRYPTION_KEY_FILE";
        const COMMAND: &str = "BACKUP_ENCRYPTION_KEY_COMMAND";
        if self.environment.get(COMMAND).is_some() {
            // Passing it over would quietly write unencrypted backups.
            let what = format!("taking the key from a command; use {FILE}");
            let origin = self.environment.origin(COMMAND);
            return Err(ConfigError::Unsupported { origin, what });
        }
        let file = self.path_variable(FILE);
        if let Some(text) = self.environment.present(TEXT) {
            if file.is_some() {
                let what = format!("{FILE} is set too; unset one of them");
                return Err(wrong(&self.environment.origin(TEXT), what));
            }
            let text = text.to_str().ok_or(ConfigError::NotUtf8 { name: TEXT })?;
            // Also where it is empty: `secrets` refuses that, as somebody who
            // sets a key does not expect unencrypted backups.
            let source = KeySource::Text {
                name: TEXT,
                text: SecretText::new(text),
            };
            return Ok(Some(Sourced::new(source, self.environment.origin(TEXT))));
        }
        let as_file =
            |path: Sourced<PathBuf>| Sourced::new(KeySource::File(path.value), path.origin);
        Ok(file
            .or(self.path_key(&self.keys.encryption.key_file))
            .map(as_file)
            .or_else(|| self.credential()))
    }

    fn credential(&self) -> Option<Sourced<KeySource>> {
        let directory = self.path_variable("CREDENTIALS_DIRECTORY")?;
        let path = directory.value.join("kluis.key");
        Some(Sourced::new(KeySource::Credential(path), directory.origin))
    }

    fn retention(&self, flags: RetentionFlags) -> Result<RetentionSettings, ConfigError> {
        let keys = &self.keys.retention;
        let at_least = or_default(self.key(&keys.keep_at_least), KEEP_AT_LEAST_DEFAULT);
        if at_least.value == 0 {
            return Err(wrong(&at_least.origin, "keep_at_least must be 1 or more"));
        }
        let last = flag("--keep-last", flags.keep_last);
        let hourly = flag("--keep-hourly", flags.keep_hourly);
        let daily = flag("--keep-daily", flags.keep_daily);
        let weekly = flag("--keep-weekly", flags.keep_weekly);
        let monthly = flag("--keep-monthly", flags.keep_monthly);
        let yearly = flag("--keep-yearly", flags.keep_yearly);
        let within = self.parsed_variable("BACKUP_KEEP_WITHIN", str::parse::<Age>)?;
        let days = self.parsed_variable("BACKUP_RETENTION_DAYS", parse_days)?;
        Ok(RetentionSettings {
            last: self.count(last, "BACKUP_KEEP_LAST", &keys.keep_last, 0)?,
            hourly: self.count(hourly, "BACKUP_KEEP_HOURLY", &keys.keep_hourly, 0)?,
            daily: self.count(daily, "BACKUP_KEEP_DAILY", &keys.keep_daily, 7)?,
            weekly: self.count(weekly, "BACKUP_KEEP_WEEKLY", &keys.keep_weekly, 4)?,
            monthly: self.count(monthly, "BACKUP_KEEP_MONTHLY", &keys.keep_monthly, 12)?,
            yearly: self.count(yearly, "BACKUP_KEEP_YEARLY", &keys.keep_yearly, 0)?,
            within: flag("--keep-within", flags.keep_within)
                .or(within)
                .or(self.parsed_key(&keys.keep_within, str::parse::<Age>)?),
            max_age: flag("--max-age", flags.max_age)
                .or(days)
                .or(self.parsed_key(&keys.max_age, str::parse::<Age>)?),
            at_least,
        })
    }

    fn count(
        &self,
        flag: Option<Sourced<u32>>,
        variable: &'static str,
        key: &Entry<u32>,
        default: u32,
    ) -> Result<Sourced<u32>, ConfigError> {
        let variable = self.parsed_variable(variable, parse_count)?;
        Ok(or_default(flag.or(variable).or(self.key(key)), default))
    }

    fn time_zone(&self) -> Result<Sourced<TimeZone>, ConfigError> {
        let zone = self
            .parsed_variable("BACKUP_CRON_TIMEZONE", parse_zone)?
            .or(self.parsed_key(&self.keys.time_zone, parse_zone)?);
        Ok(or_default(zone, self.environment.time_zone.clone()))
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let url = self.keys.database.url.as_ref();
        let password = url.is_some_and(|url| has_password(url.get_ref()));
        if let Some(file) = self.file.filter(|file| password && file.readable_by_others) {
            let path = file.path.display();
            warnings.push(format!(
                "{path} holds a password and can be read by others; chmod 600 {path}"
            ));
        }
        if self.environment.get("BACKUP_REPLICAS").is_some() {
            let what = "BACKUP_REPLICAS is set, but this version of kluis makes no replicas";
            warnings.push(what.to_owned());
        }
        warnings
    }
}

/// A storage's directory; what looks like a URL is none.
fn directory(path: Sourced<PathBuf>) -> Sourced<StoragePlace> {
    let text = path.value.to_string_lossy();
    let place = if text.contains("://") {
        StoragePlace::Unsupported(shown(&text))
    } else {
        StoragePlace::Local(path.value)
    };
    Sourced::new(place, path.origin)
}

/// A storage's name without secrets.
fn shown(place: &str) -> String {
    if place.contains("://") {
        mask_url(place)
    } else {
        place.to_owned()
    }
}
