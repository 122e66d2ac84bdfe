//! Settings to things: the one place that names every storage, source and target.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::cancel::Cancel;
use crate::config::{ConfigError, Settings, SourceSettings, Sourced};
use crate::format::keys::Keyring;
use crate::format::manifest::{DatabaseContent, Kind, Manifest};
use crate::operations::{OperationError, Reporter};
use crate::postgres::{
    Access, ClientSearch, ConnectionSettings, DumpOptions, PostgresError, Server, ThrowawayOptions,
};
use crate::retention::KeepRules;
use crate::secrets::load_key;
use crate::source::{DirectorySource, PgDumpSource, Source, TreeOptions};
use crate::storage::{LocalStorage, Storage};
use crate::target::{
    ContentsCheck, DumpCheck, ProofPlace, RestoreCheck, Target, TreeCheck, TreeRestoreCheck,
};

/// Where libpq itself would connect to without any setting.
const DEFAULT_DATABASE: &str = "postgres";

/// Opens the configured storage.
pub fn storage(settings: &Settings) -> anyhow::Result<LocalStorage> {
    let root = settings.storage_path()?;
    Ok(LocalStorage::open(
        root,
        settings.storage.require_mount.value,
    )?)
}

/// The configured storage for what only reads or removes: one that is not there
/// is a mistyped path, not a new storage.
pub fn existing_storage(settings: &Settings) -> anyhow::Result<LocalStorage> {
    let root = settings.storage_path()?;
    if !root.exists() {
        return Err(OperationError::Usage {
            what: format!(
                "there is no storage at {}; check the path, or let the first `kluis backup` make it",
                root.display()
            ),
        }
        .into());
    }
    storage(settings)
}

/// A storage around a file that was named by its path, and the file's key in it.
pub fn storage_of_file(path: &Path) -> anyhow::Result<(LocalStorage, String)> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !directory.is_dir() {
        let what = format!("there is no directory {}", directory.display());
        return Err(OperationError::Usage { what }.into());
    }
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| OperationError::Usage {
        what: format!("{} is not the path of a file", path.display()),
    })?;
    Ok((LocalStorage::open(directory, false)?, name.to_owned()))
}

/// Every configured key; the first is the one that new archives are written with.
pub fn keyring(settings: &Settings) -> anyhow::Result<Keyring> {
    let key = load_key(settings.key_source())?;
    Ok(Keyring::new(key.into_iter().collect()))
}

/// A server and the database on it that is meant.
pub struct Database {
    pub server: Server,
    pub name: String,
}

/// Reaches the configured server. `name` goes before the configured database.
pub fn database(
    settings: &Settings,
    name: Option<&str>,
    path: Option<&str>,
) -> Result<Database, PostgresError> {
    let configured = &settings.database;
    let libpq = as_text(&configured.libpq)?;
    let connection = match &configured.url {
        Some(url) => ConnectionSettings::from_url(url.value.expose(), &libpq)?,
        None => ConnectionSettings::from_environment(&libpq),
    };
    let wanted = configured.name.as_ref().map(|name| name.value.as_str());
    let name = name
        .or(wanted)
        .or(connection.database())
        .unwrap_or(DEFAULT_DATABASE)
        .to_owned();
    let clients = client_search(settings, path);
    let server = Server::connect(Access::Direct(connection), clients, &name)?;
    Ok(Database { server, name })
}

/// Where client programs are looked for; `path` is the value of PATH.
pub fn client_search(settings: &Settings, path: Option<&str>) -> ClientSearch {
    let directory = settings.database.client_bin_dir.as_ref();
    ClientSearch::new(directory.map(|directory| directory.value.clone()), path)
}

/// Drops the staging databases that restores have left which died. That is told,
/// and never stops what is to be done now.
pub fn sweep_staging(server: &Server, reporter: &dyn Reporter) {
    let swept = server
        .maintenance_database("")
        .and_then(|ask_in| server.sweep_staging(&ask_in));
    match swept {
        Ok(swept) => {
            for name in &swept.dropped {
                let text = format!("dropped {name}, which a restore that died had left");
                reporter.detail(&text);
            }
            for why in &swept.kept {
                let text = format!("what a restore that died has left stays: {why}");
                reporter.detail(&text);
            }
        }
        Err(error) => reporter.detail(&format!("no sweep: {error}")),
    }
}

fn as_text(
    variables: &BTreeMap<String, OsString>,
) -> Result<BTreeMap<String, String>, PostgresError> {
    let text = |(name, value): (&String, &OsString)| match value.to_str() {
        Some(value) => Ok((name.clone(), value.to_owned())),
        None => Err(PostgresError::Settings {
            what: format!("{name} is not UTF-8 text"),
        }),
    };
    variables.iter().map(text).collect()
}

/// Starts pg_dump; its warnings come beside it.
pub fn dump_source(
    database: &Database,
    options: DumpOptions,
    cancel: &Cancel,
) -> Result<(Box<dyn Source>, Vec<String>), OperationError> {
    let source = PgDumpSource::start(&database.server, &database.name, options, cancel.clone())?;
    let warnings = source.warnings().to_vec();
    Ok((Box::new(source), warnings))
}

pub fn tree_source(
    root: &Path,
    settings: &SourceSettings,
    excludes: &[String],
    storage: &LocalStorage,
    cancel: &Cancel,
) -> Result<Box<dyn Source>, OperationError> {
    let options = TreeOptions {
        excludes: settings
            .excludes
            .value
            .iter()
            .chain(excludes)
            .cloned()
            .collect(),
        exclude_caches: settings.exclude_caches.value,
        exclude_if_present: settings.exclude_if_present.value.clone(),
        one_file_system: settings.one_file_system.value,
        default_excludes: settings.default_excludes.value,
        storage: lies_below(storage, root),
    };
    Ok(Box::new(DirectorySource::new(
        root,
        options,
        cancel.clone(),
    )?))
}

/// The storage's directory, if it lies in the tree that is backed up.
fn lies_below(storage: &LocalStorage, root: &Path) -> Option<PathBuf> {
    let storage = storage.local_root()?.canonicalize().ok()?;
    let root = root.canonicalize().ok()?;
    storage.starts_with(&root).then_some(storage)
}

/// The globs of `--exclude-from` files: one a line, `#` begins a comment.
pub fn read_excludes(files: &[PathBuf]) -> Result<Vec<String>, ConfigError> {
    let mut globs = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            what: "the list of excludes",
            path: path.clone(),
            source,
        })?;
        let lines = text.lines().map(str::trim);
        globs.extend(
            lines
                .filter(|l| !l.is_empty() && !l.starts_with('#'))
                .map(str::to_owned),
        );
    }
    Ok(globs)
}

/// The target that reads an archive of this kind and keeps nothing.
pub fn check_target(kind: Kind, _manifest: Option<&Manifest>, cancel: &Cancel) -> Box<dyn Target> {
    match kind {
        Kind::Db => Box::new(DumpCheck::new(cancel.clone())),
        Kind::Source => Box::new(TreeCheck::new(cancel.clone())),
    }
}

/// Where `verify --restore` makes its copies.
pub struct ProofPlan {
    work_dir: PathBuf,
    clients: ClientSearch,
    /// With `--in-server`.
    server: Option<Server>,
}

/// Reaches the configured server where the copies are to be made there.
pub fn proof_plan(
    settings: &Settings,
    in_server: bool,
    path: Option<&str>,
) -> Result<ProofPlan, PostgresError> {
    let server = match in_server {
        true => Some(database(settings, None, path)?.server),
        false => None,
    };
    Ok(ProofPlan {
        work_dir: settings.work_dir.value.clone(),
        clients: client_search(settings, path),
        server,
    })
}

/// The target that restores an archive of this kind into a throwaway place and
/// reads it back from there.
pub fn proof_target(
    plan: &ProofPlan,
    kind: Kind,
    manifest: Option<&Manifest>,
    cancel: &Cancel,
) -> Box<dyn Target> {
    let work_dir = plan.work_dir.clone();
    if kind == Kind::Source {
        let tree = manifest.and_then(|manifest| manifest.source.as_ref());
        let bytes = tree.map_or(0, |tree| tree.bytes);
        return Box::new(TreeRestoreCheck::new(work_dir, bytes, cancel.clone()));
    }
    let content = manifest.and_then(|manifest| manifest.database.as_ref());
    let place = match &plan.server {
        Some(server) => ProofPlace::Server(Box::new(server.clone())),
        None => ProofPlace::Throwaway(ThrowawayOptions {
            work_dir,
            clients: plan.clients.clone(),
            major: content.map_or(0, server_major),
            bytes: manifest.map_or(0, restored_bytes),
        }),
    };
    let name = manifest.map_or("proof", |manifest| manifest.name.as_str());
    Box::new(RestoreCheck::new(place, name, content, cancel.clone()))
}

/// "15" of "15.18 (Debian 15.18-0+deb12u1)".
fn server_major(content: &DatabaseContent) -> u32 {
    let mut numbers = content.server_version.split(|c: char| !c.is_ascii_digit());
    numbers.next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// As large as it was; where that was not asked, rows and indexes take about
/// twice the dump.
fn restored_bytes(manifest: &Manifest) -> u64 {
    let told = manifest.database.as_ref().and_then(|db| db.database_bytes);
    told.unwrap_or(manifest.content.raw_bytes.saturating_mul(2))
}

/// The target that reads a database's archive and keeps what stands where in it.
pub fn contents_target(cancel: &Cancel) -> Box<dyn Target> {
    Box::new(ContentsCheck::new(cancel.clone()))
}

/// The configured keep rules; a count of 0 is no rule.
pub fn keep_rules(settings: &Settings) -> KeepRules {
    let rules = &settings.retention;
    let count = |count: &Sourced<u32>| (count.value > 0).then_some(count.value);
    KeepRules {
        last: count(&rules.last),
        hourly: count(&rules.hourly),
        daily: count(&rules.daily),
        weekly: count(&rules.weekly),
        monthly: count(&rules.monthly),
        yearly: count(&rules.yearly),
        within: rules.within.as_ref().map(|age| age.value),
        max_age: rules.max_age.as_ref().map(|age| age.value),
        floor: rules.at_least.value,
    }
}
