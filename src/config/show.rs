//! The resolved settings for people and for `--json`, secrets masked.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use super::settings::{
    ArchiveFormat, DockerSettings, DumpSettings, PgMode, Settings, StoragePlace,
};
use super::{Origin, Sourced};
use crate::format::manifest::Codec;
use crate::format::names::ArchiveFormat as DumpFormat;
use crate::postgres::DumpOption;
use crate::retention::Age;
use crate::secrets::{KeySource, SecretSource, mask_url};

mod notify;

use notify::notify;

/// One setting. `value` is null where nothing is set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SettingRow {
    /// As in the file: `storage.path`.
    pub key: &'static str,
    pub value: Value,
    /// A flag, a variable, `FILE:LINE` or `default`.
    pub from: String,
}

/// Every setting, in the order of `examples/kluis.toml`.
pub fn show(settings: &Settings) -> Vec<SettingRow> {
    let mut rows = vec![
        row("time_zone", &settings.time_zone, |zone| {
            json!(zone.iana_name().unwrap_or("local"))
        }),
        row("lock_wait", &settings.lock_wait, |wait| {
            seconds(wait.as_secs())
        }),
        row("run_limit", &settings.run_limit, |limit| {
            seconds(limit.as_secs())
        }),
        row("stall_limit", &settings.stall_limit, |limit| {
            seconds(limit.as_secs())
        }),
        row("work_dir", &settings.work_dir, |directory| path(directory)),
        row(
            "allow_readable_secrets",
            &settings.allow_readable_secrets,
            |on| json!(on),
        ),
    ];
    rows.push(row("host", &settings.host, text));
    rows.extend(storage(settings));
    rows.extend(database(settings));
    rows.extend(source(settings));
    rows.extend(sealing(settings));
    rows.extend(retention(settings));
    rows.extend(check(settings));
    rows.extend(notify(&settings.notify));
    rows.extend(hooks(settings));
    rows.extend(serve(settings));
    rows
}

fn row<T>(key: &'static str, setting: &Sourced<T>, value: impl Fn(&T) -> Value) -> SettingRow {
    SettingRow {
        key,
        value: value(&setting.value),
        from: setting.origin.to_string(),
    }
}

fn optional<T>(
    key: &'static str,
    setting: Option<&Sourced<T>>,
    value: impl Fn(&T) -> Value,
) -> SettingRow {
    match setting {
        Some(setting) => row(key, setting, value),
        None => SettingRow {
            key,
            value: Value::Null,
            from: Origin::Default.to_string(),
        },
    }
}

fn text(value: &impl Display) -> Value {
    json!(value.to_string())
}

fn path(path: &Path) -> Value {
    text(&path.display())
}

fn paths(paths: &[PathBuf]) -> Value {
    paths.iter().map(|each| path(each)).collect()
}

fn seconds(count: u64) -> Value {
    json!(format!("{count}s"))
}

fn storage(settings: &Settings) -> [SettingRow; 3] {
    let storage = &settings.storage;
    [
        optional(
            "storage.path",
            storage.place.as_ref(),
            |place| match place {
                StoragePlace::Local(directory) => path(directory),
                StoragePlace::Unsupported(what) => {
                    json!(format!("{what} (not supported in this version)"))
                }
            },
        ),
        row("storage.require_mount", &storage.require_mount, |on| {
            json!(on)
        }),
        optional("storage.lock_dir", storage.lock_dir.as_ref(), |directory| {
            path(directory)
        }),
    ]
}

fn database(settings: &Settings) -> Vec<SettingRow> {
    let database = &settings.database;
    let mut rows = vec![
        optional("database.url", database.url.as_ref(), |url| {
            json!(mask_url(url.expose()))
        }),
        optional("database.name", database.name.as_ref(), text),
        optional("database.server", database.server.as_ref(), text),
        row("database.mode", &database.mode, |mode| {
            json!(match mode {
                PgMode::Auto => "auto",
                PgMode::Direct => "direct",
                PgMode::Docker => "docker",
            })
        }),
    ];
    rows.extend(docker(&database.docker));
    rows.push(optional(
        "database.client_bin_dir",
        database.client_bin_dir.as_ref(),
        |directory| path(directory),
    ));
    rows.extend(dump(&database.dump));
    rows.push(row(
        "database.pre_restore_backup",
        &database.pre_restore_backup,
        |on| json!(on),
    ));
    rows
}

fn docker(docker: &DockerSettings) -> [SettingRow; 8] {
    [
        optional("database.container", docker.container.as_ref(), text),
        optional("database.container_label", docker.label.as_ref(), text),
        optional("database.container_pattern", docker.pattern.as_ref(), text),
        optional(
            "database.container_database",
            docker.database.as_ref(),
            text,
        ),
        optional("database.container_user", docker.user.as_ref(), text),
        optional("database.container_port", docker.port.as_ref(), |port| {
            json!(port)
        }),
        optional("database.container_socket", docker.socket.as_ref(), text),
        row("database.docker_command", &docker.command, |argv| {
            json!(argv)
        }),
    ]
}

fn dump(dump: &DumpSettings) -> [SettingRow; 8] {
    [
        row("database.names", &dump.names, |names| json!(names)),
        row("database.all", &dump.all, |on| json!(on)),
        row("database.exclude", &dump.exclude, |globs| json!(globs)),
        row("database.globals", &dump.globals, |on| json!(on)),
        row("database.format", &dump.format, |format| {
            json!(match format {
                DumpFormat::Custom => "custom",
                DumpFormat::Directory => "directory",
                DumpFormat::Plain | DumpFormat::Tree => "plain",
            })
        }),
        row("database.jobs", &dump.jobs, |count| json!(count)),
        row("database.dump_options", &dump.options, |options| {
            let options = options.iter().map(DumpOption::as_str);
            json!(options.collect::<Vec<_>>())
        }),
        row(
            "database.lock_wait_timeout",
            &dump.lock_wait_timeout,
            |wait| seconds(wait.as_secs()),
        ),
    ]
}

fn source(settings: &Settings) -> [SettingRow; 9] {
    let source = &settings.source;
    [
        row("source.paths", &source.paths, |list| paths(list)),
        optional("source.name", source.name.as_ref(), text),
        row("source.exclude", &source.excludes, |globs| json!(globs)),
        row("source.exclude_from", &source.exclude_from, |list| {
            paths(list)
        }),
        row("source.exclude_caches", &source.exclude_caches, |on| {
            json!(on)
        }),
        row(
            "source.exclude_if_present",
            &source.exclude_if_present,
            |names| json!(names),
        ),
        row("source.default_excludes", &source.default_excludes, |on| {
            json!(on)
        }),
        row("source.one_file_system", &source.one_file_system, |on| {
            json!(on)
        }),
        row("source.allow_empty", &source.allow_empty, |on| json!(on)),
    ]
}

fn sealing(settings: &Settings) -> [SettingRow; 13] {
    let compression = &settings.compression;
    let encryption = &settings.encryption;
    [
        row("compression.codec", &compression.codec, |codec| {
            json!(match codec {
                Codec::Gzip => "gzip",
                Codec::Zstd => "zstd",
                Codec::None => "none",
            })
        }),
        optional("compression.level", compression.level.as_ref(), |level| {
            json!(level)
        }),
        row("compression.workers", &compression.workers, |count| {
            json!(count)
        }),
        row("encryption.enabled", &encryption.enabled, |on| json!(on)),
        optional("encryption.key", encryption.key.as_ref(), |key| match key {
            KeySource::Text { text, .. } if text.expose().is_empty() => json!("set, but empty"),
            KeySource::Text { .. } => json!("set"),
            KeySource::File(file) => json!(format!("in the file {}", file.display())),
            KeySource::Command { argv, .. } => json!(format!(
                "what {} prints",
                argv.first().map_or("", String::as_str)
            )),
            KeySource::Credential(file) => {
                json!(format!("in the credential {}", file.display()))
            }
        }),
        row(
            "encryption.key_command_env",
            &encryption.key_command_env,
            |names| json!(names),
        ),
        row(
            "encryption.also_key_files",
            &encryption.also_key_files,
            |files| json!(files),
        ),
        row(
            "encryption.recipients",
            &encryption.recipients,
            |recipients| {
                let shown = recipients.iter().map(ToString::to_string);
                json!(shown.collect::<Vec<_>>())
            },
        ),
        row(
            "encryption.read_key_files",
            &encryption.read_key_files,
            |files| json!(files),
        ),
        row("encryption.format", &encryption.format, |format| {
            json!(match format {
                ArchiveFormat::Kluis1 => "kluis1",
                ArchiveFormat::Kanbu => "kanbu",
            })
        }),
        row("encryption.required", &encryption.required, |on| json!(on)),
        optional(
            "encryption.signing_key",
            encryption.signing_key.as_ref(),
            |file| json!(format!("in the file {}", file.display())),
        ),
        row("encryption.verify_keys", &encryption.verify_keys, |keys| {
            json!(keys.iter().map(ToString::to_string).collect::<Vec<_>>())
        }),
    ]
}

fn check(settings: &Settings) -> [SettingRow; 9] {
    let check = &settings.check;
    let number = |key, setting| row(key, setting, |number: &u32| json!(number));
    let age = |key, setting| {
        row(key, setting, |age: &Option<Age>| match age {
            Some(age) => json!(String::from(*age)),
            None => json!("off"),
        })
    };
    [
        age("check.max_age", &check.max_age),
        age("check.proof_age", &check.proof_age),
        number("check.size_drift", &check.size_drift),
        number("check.table_drift", &check.table_drift),
        row("check.table_drift_rows", &check.table_drift_rows, |rows| {
            json!(rows)
        }),
        number("check.failures", &check.failures),
        number("check.free", &check.free),
        number("check.days_until_full", &check.days_until_full),
        optional("check.unverified", check.unverified.as_ref(), |number| {
            json!(number)
        }),
    ]
}

fn hooks(settings: &Settings) -> [SettingRow; 7] {
    let hooks = &settings.hooks;
    let argvs = |key, setting| row(key, setting, |argvs: &Vec<Vec<String>>| json!(argvs));
    [
        argvs("hooks.before", &hooks.before),
        argvs("hooks.after", &hooks.after),
        argvs("hooks.failed", &hooks.failed),
        argvs("hooks.finally", &hooks.finally),
        row("hooks.commands", &hooks.commands, |names| json!(names)),
        row("hooks.limit", &hooks.limit, |limit| {
            seconds(limit.as_secs())
        }),
        row("hooks.pass_env", &hooks.pass_env, |names| json!(names)),
    ]
}

fn serve(settings: &Settings) -> [SettingRow; 3] {
    let serve = &settings.serve;
    [
        row("serve.mode", &serve.mode, |mode| json!(mode.name())),
        row("serve.listen", &serve.listen, text),
        optional("serve.api_key", serve.api_key.as_ref(), |key| match key {
            SecretSource::Text(_) => json!("set"),
            SecretSource::File(file) | SecretSource::Credential(file) => {
                json!(format!("in the file {}", file.display()))
            }
        }),
    ]
}

fn retention(settings: &Settings) -> [SettingRow; 10] {
    let retention = &settings.retention;
    let count = |key, setting| row(key, setting, |count: &u32| json!(count));
    let age = |key, setting: &Option<Sourced<Age>>| {
        optional(key, setting.as_ref(), |age| json!(String::from(*age)))
    };
    [
        count("retention.keep_last", &retention.last),
        count("retention.keep_hourly", &retention.hourly),
        count("retention.keep_daily", &retention.daily),
        count("retention.keep_weekly", &retention.weekly),
        count("retention.keep_monthly", &retention.monthly),
        count("retention.keep_yearly", &retention.yearly),
        age("retention.keep_within", &retention.within),
        age("retention.max_age", &retention.max_age),
        count("retention.keep_at_least", &retention.at_least),
        row(
            "retention.prune_after_backup",
            &retention.prune_after_backup,
            |on| json!(on),
        ),
    ]
}
