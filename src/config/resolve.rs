//! One precedence for every setting: flags > environment > file > defaults.
//! Pure: it opens nothing and asks nobody; what it refuses, it names with the
//! place it was written at.

use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::duration::parse_wait;
use super::file::{Entry, Keys};
use super::flags::SourceFlags;
use super::ignored::ignored;
use super::layers::{Layers, Setting, flag, joined, or_default, switch, wrong};
use super::schedule;
use super::settings::{
    CompressionSettings, Settings, SourceSettings, StoragePlace, StorageSettings,
};
use super::values::{check_level, checked_label, parse_codec, parse_zone};
use super::{ConfigError, ConfigFile, Environment, Flags, Origin, Sourced};
use crate::format::manifest::Codec;
use crate::secrets::{has_password, mask_url};

/// Not /tmp: that is often memory.
const WORK_DIR_DEFAULT: &str = "/var/tmp";
/// A nightly run that is still at it in the night after next has hung.
const RUN_LIMIT_DEFAULT: Duration = Duration::from_secs(2 * 86_400);
/// Longer than a dump is silent by itself, while it reads catalogues or passes over
/// what was deleted; and a scheduled run waits twice as long for the storage, so a
/// dump that hangs costs no other run its turn.
const STALL_LIMIT_DEFAULT: Duration = Duration::from_secs(30 * 60);
const WORKERS_MAX: usize = 256;

/// The settings of a run.
pub fn resolve(
    flags: Flags,
    environment: &Environment,
    file: Option<&ConfigFile>,
) -> Result<Settings, ConfigError> {
    if let Some(name) = environment.with_a_comment() {
        let what = "a blank and a # stand in it, as where a comment was left behind the value \
                    (docker's --env-file keeps those); remove the comment, or give the value in a \
                    file of --env-file in quotes";
        return Err(wrong(&environment.origin(name), what));
    }
    let no_keys = Keys::default();
    let layers = Layers {
        environment,
        file,
        keys: file.map_or(&no_keys, |file| &file.keys),
    };
    let level = flags.level;
    let schedules = layers.schedules()?;
    let wanted = flags.schedule.as_ref();
    let chosen = schedule::chosen(
        &schedules,
        wanted.map(|(name, works)| (name.as_str(), *works)),
    )?;
    let names = chosen.and_then(|chosen| chosen.names.clone());
    let paths = chosen.and_then(|chosen| chosen.paths.clone());
    let no_time_zone = match layers.time_zone()?.origin {
        Origin::Default => environment.no_time_zone.clone(),
        _ => None,
    };
    // Nobody can know what it was to be.
    let tz = environment.text("TZ").unwrap_or_default();
    let unknown_tz = tz.filter(|tz| !tz.is_empty() && no_time_zone.is_some());
    let scheduled = layers.scheduled_rules(&schedules)?;
    Ok(Settings {
        config_file: file.map(|file| file.path.clone()),
        storage: layers.storage(flags.storage)?,
        database: layers.database(
            flags.server,
            flags.databases,
            flags.no_pre_restore_backup,
            names,
        )?,
        source: layers.source(flags.source, paths),
        compression: layers.compression(flags.codec, level)?,
        encryption: layers.encryption(flags.no_encrypt)?,
        retention: layers.retention(flags.retention, chosen, scheduled)?,
        check: layers.check()?,
        notify: layers.notify()?,
        hooks: layers.hooks()?,
        host: layers.host(flags.host)?,
        no_time_zone,
        unknown_tz: unknown_tz.map(str::to_owned),
        time_zone: layers.time_zone()?,
        lock_wait: flag("--lock-wait", flags.lock_wait)
            .or(layers.wait("KLUIS_LOCK_WAIT", &layers.keys.lock_wait)?)
            .unwrap_or_else(|| Sourced::default(Duration::ZERO)),
        run_limit: flag("--run-limit", flags.run_limit)
            .or(layers.wait("KLUIS_RUN_LIMIT", &layers.keys.run_limit)?)
            .unwrap_or_else(|| Sourced::default(RUN_LIMIT_DEFAULT)),
        stall_limit: flag("--stall-limit", flags.stall_limit)
            .or(layers.wait("KLUIS_STALL_LIMIT", &layers.keys.stall_limit)?)
            .unwrap_or_else(|| Sourced::default(STALL_LIMIT_DEFAULT)),
        work_dir: layers.work_dir(),
        allow_readable_secrets: layers.allow_readable_secrets()?,
        warnings: layers.warnings(),
        ignored: ignored(environment),
        serve: layers.serve()?,
        schedules,
    })
}

impl Layers<'_> {
    fn wait(&self, variable: &'static str, key: &Entry<String>) -> Setting<Duration> {
        let of_variable = self.parsed_variable(variable, parse_wait)?;
        Ok(of_variable.or(self.parsed_key(key, parse_wait)?))
    }

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
            lock_dir: self.path_key(&self.keys.storage.lock_dir),
        })
    }

    fn source_paths(
        &self,
        given: Vec<PathBuf>,
        scheduled: Option<Sourced<Vec<PathBuf>>>,
    ) -> Sourced<Vec<PathBuf>> {
        let given = (!given.is_empty()).then_some(given);
        let one = |path: Sourced<PathBuf>| Sourced::new(vec![path.value], path.origin);
        let paths = flag("PATH", given)
            .or(scheduled)
            .or(self.path_variable("BACKUP_SOURCE_PATH").map(one))
            .or(self.path_variable("KANBU_SOURCE_PATH").map(one))
            .or(self.paths_key(&self.keys.source.paths));
        or_default(paths, Vec::new())
    }

    fn source(
        &self,
        flags: SourceFlags,
        scheduled: Option<Sourced<Vec<PathBuf>>>,
    ) -> SourceSettings {
        let keys = &self.keys.source;
        SourceSettings {
            paths: self.source_paths(flags.paths, scheduled),
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
            allow_empty: or_default(
                switch("--allow-empty", flags.allow_empty, true).or(self.key(&keys.allow_empty)),
                false,
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

    fn work_dir(&self) -> Sourced<PathBuf> {
        let directory = self
            .path_key(&self.keys.work_dir)
            .or(self.path_variable("TMPDIR"));
        or_default(directory, PathBuf::from(WORK_DIR_DEFAULT))
    }

    fn host(&self, given: Option<String>) -> Result<Sourced<String>, ConfigError> {
        let own = self.environment.host.clone();
        let label = flag("--host", given)
            .or(self.variable("KLUIS_HOST")?)
            .or(self.key(&self.keys.host));
        label.map_or(Ok(Sourced::default(own)), checked_label)
    }

    pub(super) fn time_zone(&self) -> Result<Sourced<TimeZone>, ConfigError> {
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
        let secret = self.keys.notify.hold_a_secret();
        if let Some(file) = self.file.filter(|file| secret && file.readable_by_others) {
            let path = file.path.display();
            warnings.push(format!(
                "{path} holds a secret under [notify] and can be read by others; chmod 600 {path}"
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
    use crate::secrets::KeySource;

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
        let error = settings.storage_path().unwrap_err();
        let hint = error.hint();
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
    fn a_key_command_is_words_and_goes_with_no_other_key() {
        const COMMAND: (&str, &str) = (
            "BACKUP_ENCRYPTION_KEY_COMMAND",
            "vault kv get -field=key 'secret/two words'",
        );
        let settings = of_environment([COMMAND]).unwrap();
        let Some(KeySource::Command { argv, .. }) = settings.key_source() else {
            panic!("no command");
        };
        assert_eq!(argv[3..], ["-field=key", "secret/two words"]);
        let key = ("BACKUP_ENCRYPTION_KEY", "secret words");
        let refused = refusal(of_environment([COMMAND, key]));
        assert!(refused.contains("set too") && !refused.contains("secret words"));
        for nonsense in ["", "'open"] {
            let variable = ("BACKUP_ENCRYPTION_KEY_COMMAND", nonsense);
            assert!(of_environment([variable]).is_err(), "{nonsense:?}");
        }
    }

    #[test]
    fn a_mistyped_recipient_is_refused_and_not_passed_over() {
        let refused = refusal(of_environment([("BACKUP_AGE_RECIPIENTS", "age1xyzzy")]));
        assert!(refused.contains("age1xyzzy"), "{refused}");
        let recipient = crate::format::age::AgeIdentity::generate().recipient();
        let text = format!("[encryption]\nrecipients = [\"{recipient}\"]");
        let settings = of_file(&text).unwrap();
        assert!(settings.encryption.recipients.value == [recipient]);
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
