//! One precedence for every setting: flags > environment > file > defaults.
//! Pure: it opens nothing and asks nobody; what it refuses, it names with the
//! place it was written at.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::duration::{parse_age, parse_wait};
use super::file::{Entry, Keys};
use super::flags::SourceFlags;
use super::layers::{Layers, Setting, flag, joined, or_default, switch, wrong};
use super::settings::{
    ArchiveFormat, CompressionSettings, EncryptionSettings, RetentionSettings, Settings,
    SourceSettings, StoragePlace, StorageSettings,
};
use super::values::{check_level, parse_codec, parse_count, parse_days, parse_format, parse_zone};
use super::{ConfigError, ConfigFile, Environment, Flags, Origin, Sourced};
use crate::cli::RetentionFlags;
use crate::format::manifest::Codec;
use crate::secrets::{KeySource, SecretText, has_password, mask_url};

/// Not /tmp: that is often memory.
const WORK_DIR_DEFAULT: &str = "/var/tmp";
const WORKERS_MAX: usize = 256;
const KEEP_DAILY_DEFAULT: u32 = 7;
const KEEP_WEEKLY_DEFAULT: u32 = 4;
const KEEP_MONTHLY_DEFAULT: u32 = 12;
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
        database: layers.database(flags.server, flags.databases, flags.no_pre_restore_backup)?,
        source: layers.source(flags.source),
        compression: layers.compression(flags.codec, level)?,
        encryption: layers.encryption(flags.no_encrypt)?,
        retention: layers.retention(flags.retention)?,
        time_zone: layers.time_zone()?,
        lock_wait: flag("--lock-wait", flags.lock_wait)
            .or(layers.parsed_key(&layers.keys.lock_wait, parse_wait)?)
            .unwrap_or_else(|| Sourced::default(Duration::ZERO)),
        work_dir: layers.work_dir(),
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
            return Err(ConfigError::Unsupported {
                origin: self.environment.origin(COMMAND),
                what: "taking the key from a command".to_owned(),
                remedy: "unset it and set BACKUP_ENCRYPTION_KEY_FILE",
            });
        }
        if self.environment.present(FILE).is_some_and(OsStr::is_empty) {
            let what = "it is empty; name the key's file, or unset it".to_owned();
            return Err(wrong(&self.environment.origin(FILE), what));
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
        let last = self.count(last, "BACKUP_KEEP_LAST", &keys.keep_last)?;
        let hourly = flag("--keep-hourly", flags.keep_hourly);
        let hourly = self.count(hourly, "BACKUP_KEEP_HOURLY", &keys.keep_hourly)?;
        let daily = flag("--keep-daily", flags.keep_daily);
        let daily = self.count(daily, "BACKUP_KEEP_DAILY", &keys.keep_daily)?;
        let weekly = flag("--keep-weekly", flags.keep_weekly);
        let weekly = self.count(weekly, "BACKUP_KEEP_WEEKLY", &keys.keep_weekly)?;
        let monthly = flag("--keep-monthly", flags.keep_monthly);
        let monthly = self.count(monthly, "BACKUP_KEEP_MONTHLY", &keys.keep_monthly)?;
        let yearly = flag("--keep-yearly", flags.keep_yearly);
        let yearly = self.count(yearly, "BACKUP_KEEP_YEARLY", &keys.keep_yearly)?;
        let within = flag("--keep-within", flags.keep_within)
            .or(self.parsed_variable("BACKUP_KEEP_WITHIN", parse_age)?)
            .or(self.parsed_key(&keys.keep_within, parse_age)?);
        let max_age = flag("--max-age", flags.max_age)
            .or(self.parsed_variable("BACKUP_RETENTION_DAYS", parse_days)?)
            .or(self.parsed_key(&keys.max_age, parse_age)?);
        let counts = [&last, &hourly, &daily, &weekly, &monthly, &yearly];
        let keep_rule = within.is_some() || counts.into_iter().any(Option::is_some);
        // An age alone is the whole policy, as it was in the service that kluis
        // replaces: nothing younger may go for want of a keep rule.
        let default = |count| match (keep_rule, &max_age) {
            (false, Some(_)) => 0,
            _ => count,
        };
        Ok(RetentionSettings {
            last: or_default(last, 0),
            hourly: or_default(hourly, 0),
            daily: or_default(daily, default(KEEP_DAILY_DEFAULT)),
            weekly: or_default(weekly, default(KEEP_WEEKLY_DEFAULT)),
            monthly: or_default(monthly, default(KEEP_MONTHLY_DEFAULT)),
            yearly: or_default(yearly, 0),
            within,
            max_age,
            at_least,
        })
    }

    fn count(
        &self,
        flag: Option<Sourced<u32>>,
        variable: &'static str,
        key: &Entry<u32>,
    ) -> Setting<u32> {
        let variable = self.parsed_variable(variable, parse_count)?;
        Ok(flag.or(variable).or(self.key(key)))
    }

    fn work_dir(&self) -> Sourced<PathBuf> {
        let directory = self
            .path_key(&self.keys.work_dir)
            .or(self.path_variable("TMPDIR"));
        or_default(directory, PathBuf::from(WORK_DIR_DEFAULT))
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::retention::Age;

    const FILE: &str = "/etc/kluis/kluis.toml";

    fn from(flags: Flags, environment: &Environment, text: &str) -> Result<Settings, ConfigError> {
        let file = ConfigFile::parse(Path::new(FILE), text.to_owned())?;
        resolve(flags, environment, Some(&file))
    }

    fn of_file(text: &str) -> Result<Settings, ConfigError> {
        from(Flags::default(), &Environment::of([]), text)
    }

    fn of_environment<const N: usize>(
        variables: [(&str, &str); N],
    ) -> Result<Settings, ConfigError> {
        from(Flags::default(), &Environment::of(variables), "")
    }

    fn refusal(settings: Result<Settings, ConfigError>) -> String {
        match settings {
            Ok(_) => panic!("was accepted"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn flags_beat_the_environment_which_beats_the_file_which_beats_the_default() {
        let text = "[retention]\nkeep_daily = 3\nkeep_weekly = 3\nkeep_monthly = 3\n";
        let environment =
            Environment::of([("BACKUP_KEEP_DAILY", "2"), ("BACKUP_KEEP_WEEKLY", "2")]);
        let mut flags = Flags::default();
        flags.retention.keep_daily = Some(1);
        let retention = from(flags, &environment, text).unwrap().retention;
        let seen = [
            &retention.daily,
            &retention.weekly,
            &retention.monthly,
            &retention.yearly,
        ]
        .map(|setting| (setting.value, setting.origin.to_string()));
        let expected = [
            (1, "--keep-daily"),
            (2, "BACKUP_KEEP_WEEKLY"),
            (3, "/etc/kluis/kluis.toml:4"),
            (0, "default"),
        ];
        assert_eq!(seen, expected.map(|(value, from)| (value, from.to_owned())));
    }

    #[test]
    fn nothing_configured_gives_the_designs_defaults() {
        let settings = resolve(Flags::default(), &Environment::of([]), None).unwrap();
        assert!(settings.compression.codec.value == Codec::Gzip);
        assert_eq!(settings.compression.workers.value, 2);
        let retention = settings.retention;
        let counts = [
            retention.daily,
            retention.weekly,
            retention.monthly,
            retention.at_least,
        ];
        assert_eq!(counts.map(|count| count.value), [7, 4, 12, 3]);
        assert!(retention.max_age.is_none() && retention.within.is_none());
        assert!(settings.encryption.key.is_none());
    }

    #[test]
    fn a_maximum_age_alone_keeps_everything_younger() {
        let kept = |settings: Result<Settings, ConfigError>| {
            let rules = settings.unwrap().retention;
            [rules.daily, rules.weekly, rules.monthly].map(|count| count.value)
        };
        let days = ("BACKUP_RETENTION_DAYS", "30");
        assert_eq!(kept(of_environment([days])), [0, 0, 0]);
        assert_eq!(kept(of_file("[retention]\nmax_age = \"30d\"\n")), [0, 0, 0]);
        // With a keep rule beside it the others have their defaults again.
        let daily = ("BACKUP_KEEP_DAILY", "3");
        assert_eq!(kept(of_environment([days, daily])), [3, 4, 12]);
        let within = ("BACKUP_KEEP_WITHIN", "48h");
        assert_eq!(kept(of_environment([days, within])), [7, 4, 12]);
    }

    #[test]
    fn a_value_that_makes_no_sense_is_told_with_its_place() {
        assert_eq!(
            refusal(of_environment([("BACKUP_KEEP_DAILY", "seven")])),
            "BACKUP_KEEP_DAILY: \"seven\": not a whole number from 0 to 4294967295"
        );
        let text = refusal(of_file("[retention]\nmax_age = \"30\"\n"));
        assert!(
            text.starts_with("/etc/kluis/kluis.toml:2: \"30\": not an age"),
            "{text}"
        );
        let text = refusal(of_file("time_zone = \"Mars/Olympus\"\n"));
        assert!(text.contains("not a time zone"), "{text}");
        for text in [
            "lock_wait = \"soon\"",
            "[compression]\ncodec = \"lzma\"",
            "[compression]\nworkers = 0",
            "[compression]\nlevel = 13",
            "[compression]\ncodec = \"none\"\nlevel = 1",
            "[encryption]\nformat = \"age\"",
            "[retention]\nkeep_at_least = 0",
        ] {
            assert!(refusal(of_file(text)).starts_with(FILE), "{text}");
        }
        for days in ["0", "-3", "x", "99999999999"] {
            refusal(of_environment([("BACKUP_RETENTION_DAYS", days)]));
        }
    }

    #[test]
    fn kanbus_variables_are_understood() {
        let settings = of_environment([
            ("BACKUP_STORAGE", "local"),
            ("BACKUP_LOCAL_PATH", "/data/backups"),
            ("BACKUP_RETENTION_DAYS", "30"),
            ("BACKUP_CRON_TIMEZONE", "Europe/Amsterdam"),
            ("KANBU_SOURCE_PATH", "/app"),
            ("DATABASE_URL", "postgres://u:pw@h/kanbu"),
            ("PGPASSWORD", "pw"),
        ])
        .unwrap();
        assert_eq!(settings.storage_path().unwrap(), Path::new("/data/backups"));
        assert_eq!(
            settings.time_zone.value.iana_name(),
            Some("Europe/Amsterdam")
        );
        assert_eq!(settings.source.paths.value, [Path::new("/app")]);
        assert!(settings.database.libpq.contains_key("PGPASSWORD"));
        let max_age = settings.retention.max_age.unwrap();
        assert_eq!(max_age.value, Age::days(30).unwrap());
    }

    #[test]
    fn a_remote_storage_is_refused_only_where_a_storage_is_needed() {
        for place in ["gdrive", "s3", "s3://bucket/x"] {
            let settings = of_environment([("BACKUP_STORAGE", place)]).unwrap();
            let error = settings.storage_path().unwrap_err().to_string();
            assert!(
                error.contains(place) && error.contains("not supported"),
                "{error}"
            );
        }
        let flags = Flags {
            storage: Some("/b".into()),
            ..Flags::default()
        };
        let environment = Environment::of([("BACKUP_STORAGE", "s3")]);
        let settings = resolve(flags, &environment, None).unwrap();
        assert_eq!(settings.storage_path().unwrap(), Path::new("/b"));
    }

    #[test]
    fn no_storage_at_all_is_an_error_that_names_the_ways_to_set_it() {
        let settings = of_environment([]).unwrap();
        let hint = settings.storage_path().unwrap_err().hint();
        assert!(
            hint.contains("-s DIR") && hint.contains("BACKUP_LOCAL_PATH"),
            "{hint}"
        );
    }

    #[test]
    fn the_files_paths_are_relative_to_the_file() {
        let settings = of_file("[storage]\npath = \"here\"\n[source]\npaths = [\"a\", \"/b\"]\n");
        let settings = settings.unwrap();
        assert_eq!(
            settings.storage_path().unwrap(),
            Path::new("/etc/kluis/here")
        );
        let paths = [Path::new("/etc/kluis/a"), Path::new("/b")];
        assert_eq!(settings.source.paths.value, paths);
    }

    #[test]
    fn excludes_of_flags_are_added_to_those_of_the_file() {
        let mut flags = Flags::default();
        flags.source.excludes = vec!["b".to_owned()];
        let settings = from(flags, &Environment::of([]), "[source]\nexclude = [\"a\"]\n").unwrap();
        assert_eq!(settings.source.excludes.value, ["a", "b"]);
    }

    #[test]
    fn a_codec_given_as_a_flag_does_not_take_the_files_level() {
        let flags = Flags {
            codec: Some(Codec::Gzip),
            ..Flags::default()
        };
        let text = "[compression]\ncodec = \"zstd\"\nlevel = 19\n";
        let settings = from(flags, &Environment::of([]), text).unwrap();
        assert!(settings.compression.level.is_none());
        assert!(of_file(text).unwrap().compression.level.is_some());
    }

    #[test]
    fn a_url_in_the_environment_sets_the_files_database_aside() {
        let text = "[database]\nurl = \"postgres://a/x\"\nname = \"x\"\n";
        assert!(of_file(text).unwrap().database.name.is_some());
        let environment = Environment::of([("DATABASE_URL", "postgres://b/y")]);
        let settings = from(Flags::default(), &environment, text).unwrap();
        assert!(settings.database.name.is_none());
    }

    #[test]
    fn the_key_comes_from_one_place_only() {
        const TEXT: (&str, &str) = ("BACKUP_ENCRYPTION_KEY", "secret words");
        const KEY_FILE: (&str, &str) = ("BACKUP_ENCRYPTION_KEY_FILE", "/run/key");
        let credentials = ("CREDENTIALS_DIRECTORY", "/run/credentials/kluis");
        let refused = refusal(of_environment([TEXT, KEY_FILE]));
        assert!(
            refused.contains("set too") && !refused.contains("secret words"),
            "{refused}"
        );
        let settings = of_environment([TEXT, credentials]).unwrap();
        assert!(matches!(
            settings.key_source(),
            Some(KeySource::Text { .. })
        ));
        let settings = of_environment([KEY_FILE, credentials]).unwrap();
        assert!(matches!(settings.key_source(), Some(KeySource::File(_))));
        let settings = of_environment([credentials]).unwrap();
        let expected = Path::new("/run/credentials/kluis/kluis.key");
        assert!(
            matches!(settings.key_source(), Some(KeySource::Credential(path)) if path == expected)
        );
    }

    #[test]
    fn a_key_command_is_refused_rather_than_passed_over() {
        let refused = refusal(of_environment([(
            "BACKUP_ENCRYPTION_KEY_COMMAND",
            "vault get",
        )]));
        assert!(refused.contains("not supported"), "{refused}");
    }

    #[test]
    fn an_empty_key_stays_a_key_so_that_it_can_be_refused() {
        let settings = of_environment([("BACKUP_ENCRYPTION_KEY", "")]).unwrap();
        assert!(crate::secrets::load_key(settings.key_source()).is_err());
    }

    #[test]
    fn a_password_that_others_can_read_is_warned_of() {
        let text = "[database]\nurl = \"postgres://u:pw@h/db\"\n";
        let mut file = ConfigFile::parse(Path::new(FILE), text.to_owned()).unwrap();
        let warnings = |file: &ConfigFile| {
            let settings = resolve(Flags::default(), &Environment::of([]), Some(file));
            settings.unwrap().warnings
        };
        assert!(warnings(&file).is_empty());
        file.readable_by_others = true;
        let said = warnings(&file);
        assert!(said.len() == 1 && said[0].contains("chmod 600"), "{said:?}");
        assert!(!said[0].contains("pw"), "{said:?}");
    }

    #[test]
    fn shown_settings_hold_no_secret() {
        let settings = of_environment([
            ("DATABASE_URL", "postgres://u:hunter2@h/db"),
            ("BACKUP_ENCRYPTION_KEY", "hunter2"),
            ("PGPASSWORD", "hunter2"),
        ])
        .unwrap();
        let shown = serde_json::to_string(&super::super::show(&settings)).unwrap();
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(
            shown.contains("u:***@h") && shown.contains("BACKUP_ENCRYPTION_KEY"),
            "{shown}"
        );
    }
}
