//! Settings to things: the one place that names every storage, source and target.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::cancel::Cancel;
use crate::catalog::Backup;
use crate::config::{ConfigError, Settings, SourceSettings, Sourced};
use crate::format::keys::Keyring;
use crate::format::names::ArchiveFormat;
use crate::operations::OperationError;
use crate::postgres::{
    Access, ClientSearch, ConnectionSettings, Converter, DumpOptions, PostgresError, Server,
};
use crate::retention::KeepRules;
use crate::secrets::load_key;
use crate::source::{
    CustomDumpSource, DirectoryDump, DirectoryDumpSource, DirectorySource, GlobalsSource,
    PgDumpSource, Source, TreeOptions,
};
use crate::storage::{LocalStorage, Storage};
use crate::target::{DumpCheck, FromCustom, FromDirectory, Target, TreeCheck};

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

/// Starts the dump of `database`; its warnings come beside it.
pub fn dump_source(
    server: &Server,
    database: &str,
    options: &DumpOptions,
    form: &DumpForm,
    cancel: &Cancel,
) -> Result<(Box<dyn Source>, Vec<String>), OperationError> {
    let cancel = cancel.clone();
    match form {
        DumpForm::Plain => {
            let source = PgDumpSource::start(server, database, options, cancel)?;
            let warnings = source.warnings().to_vec();
            Ok((Box::new(source), warnings))
        }
        DumpForm::Custom => {
            let source = CustomDumpSource::start(server, database, options, cancel)?;
            let warnings = source.warnings().to_vec();
            Ok((Box::new(source), warnings))
        }
        DumpForm::Globals { role } => {
            let source = GlobalsSource::start(server, database, role.as_deref(), cancel)?;
            let warnings = source.warnings().to_vec();
            Ok((Box::new(source), warnings))
        }
        DumpForm::Directory(directory) => {
            let source = DirectoryDumpSource::make(server, database, options, directory, cancel)?;
            let warnings = source.warnings().to_vec();
            Ok((Box::new(source), warnings))
        }
    }
}

/// The form of a dump, with what it needs.
pub enum DumpForm {
    Plain,
    /// What all databases share, as seen from `database`; the role to take.
    Globals {
        role: Option<String>,
    },
    Custom,
    Directory(DirectoryDump),
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

/// What archives need to become SQL text again.
pub struct ArchivePrograms {
    pub clients: ClientSearch,
    /// For archives that have to be unpacked first.
    pub work_dir: PathBuf,
}

/// `path`: the value of PATH.
pub fn archive_programs(settings: &Settings, path: Option<&str>) -> ArchivePrograms {
    ArchivePrograms {
        clients: client_search(settings, path),
        work_dir: settings.work_dir.value.clone(),
    }
}

/// The target that reads a backup and keeps nothing.
pub fn check_target(
    backup: &Backup,
    programs: &ArchivePrograms,
    cancel: &Cancel,
) -> Result<Box<dyn Target>, OperationError> {
    match backup.format() {
        Some(ArchiveFormat::Tree) => Ok(Box::new(TreeCheck::new(cancel.clone()))),
        _ if backup.holds_globals() => Ok(Box::new(DumpCheck::of_globals(cancel.clone()))),
        _ => {
            let check = Box::new(DumpCheck::new(cancel.clone()));
            text_target(backup, check, programs, cancel)
        }
    }
}

/// Lets `inner`, which receives the SQL text of a dump, receive this backup:
/// what is no text yet goes through `pg_restore`.
pub fn text_target(
    backup: &Backup,
    inner: Box<dyn Target>,
    programs: &ArchivePrograms,
    cancel: &Cancel,
) -> Result<Box<dyn Target>, OperationError> {
    let converter = || archive_converter(backup, &programs.clients);
    match backup.format() {
        Some(ArchiveFormat::Plain) => Ok(inner),
        Some(ArchiveFormat::Custom) => {
            let target = FromCustom::new(converter()?, inner, cancel.clone());
            Ok(Box::new(target))
        }
        Some(ArchiveFormat::Directory) => {
            let work_dir = &programs.work_dir;
            let target = FromDirectory::new(converter()?, inner, work_dir, cancel.clone());
            Ok(Box::new(target))
        }
        Some(ArchiveFormat::Tree) | None => Err(OperationError::Usage {
            what: format!(
                "{}: neither its name nor its manifest says that it is a dump that this kluis \
                 reads: .sql, .dump or .dir.tar",
                backup.archive
            ),
        }),
    }
}

/// `pg_restore` of the major that made the archive, or a newer one.
fn archive_converter(backup: &Backup, clients: &ClientSearch) -> Result<Converter, PostgresError> {
    let manifest = backup.file.as_ref().map(|file| &file.manifest);
    let database = manifest.and_then(|manifest| manifest.database.as_ref());
    let major = database.and_then(|database| {
        let digits = database.client_version.split(|c: char| !c.is_ascii_digit());
        digits.into_iter().next()?.parse().ok()
    });
    let options = database.map_or(&[][..], |database| &database.options);
    Converter::find(clients, major, options)
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
