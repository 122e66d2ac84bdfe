//! Settings to things: the one place that names every storage, source and target.
//! Dumps and what reads archives back stand in files of their own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;

use crate::cancel::Cancel;
use crate::config::{ConfigError, Settings, SourceSettings};
use crate::format::keyring::{KeyMaterial, Keyring, NamedKey};
use crate::operations::{Marker, OperationError, Reporter};
use crate::postgres::{ClientSearch, Marks, PostgresError, Server};
use crate::scratch::Scratch;
use crate::secrets::{SecretError, load_key, load_key_file, load_signing_key};
use crate::source::{DirectorySource, Source, TreeOptions};
use crate::storage::{LocalStorage, Storage};
use crate::strict::{self, StrictError};

mod dumps;
mod notifiers;
mod readers;

pub use dumps::{DumpForm, dump_source};
pub use notifiers::receivers;
pub use readers::{
    ArchivePrograms, ProofPlan, adoption_target, archive_programs, check_target, contents_target,
    proof_plan, proof_target, text_target,
};

mod way;

use way::Purpose;
pub use way::says_where;

/// Opens the configured storage.
pub fn storage(settings: &Settings) -> anyhow::Result<LocalStorage> {
    let root = settings.storage_path()?;
    let lock_dir = settings.storage.lock_dir.as_ref();
    let opened = LocalStorage::open(root, settings.storage.require_mount.value)?;
    Ok(opened.locked_in(lock_dir.map(|directory| directory.value.as_path())))
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

/// Every configured key, each with the place it comes from.
pub fn keyring(settings: &Settings) -> Result<Keyring, SecretError> {
    keys(settings, Err)
}

/// [`keyring`] for what only writes. A key that only reads is not needed there: it
/// is told of one that cannot be had, and no backup is missed for it.
pub fn writing_keyring(
    settings: &Settings,
    reporter: &dyn Reporter,
) -> Result<Keyring, SecretError> {
    keys(settings, |error| {
        let text = format!("{error}; backups are made all the same, and are not read with it");
        reporter.warn(&text);
        Ok(())
    })
}

fn keys(
    settings: &Settings,
    without_reading_key: impl Fn(SecretError) -> Result<(), SecretError>,
) -> Result<Keyring, SecretError> {
    let encryption = &settings.encryption;
    let mut keys = Vec::new();
    if let Some(source) = &encryption.key
        && let Some(material) = load_key(Some(&source.value))?
    {
        keys.push(NamedKey {
            label: source.value.label(),
            material,
            writes: true,
        });
    }
    let of_file = |path: &Path, writes| {
        Ok(NamedKey {
            label: path.display().to_string(),
            material: load_key_file(path)?,
            writes,
        })
    };
    for path in &encryption.also_key_files.value {
        keys.push(of_file(path, true)?);
    }
    for path in &encryption.read_key_files.value {
        match of_file(path, false) {
            Ok(key) => keys.push(key),
            Err(error) => without_reading_key(error)?,
        }
    }
    let recipients = encryption
        .recipients
        .value
        .iter()
        .map(|recipient| NamedKey {
            label: encryption.recipients.origin.to_string(),
            material: KeyMaterial::Recipient(recipient.clone()),
            writes: true,
        });
    keys.extend(recipients);
    let signer = encryption.signing_key.as_ref();
    let signer = signer
        .map(|file| load_signing_key(&file.value))
        .transpose()?;
    let verifiers = encryption.verify_keys.value.clone();
    Ok(Keyring::new(keys).signing(signer, verifiers))
}

/// How databases on the way to their place are marked, by the configured storage.
/// One that is not there, or not begun, has no id: so are those marked that are
/// made without a storage.
fn marks(settings: &Settings) -> Marks {
    let opened = existing_storage(settings).ok();
    let marker = opened.and_then(|storage| Marker::load(&storage).ok().flatten());
    let id = marker.map(|marker| marker.storage_id);
    Marks::of_storage(id.as_deref().unwrap_or_default())
}

/// A server and the database on it that is meant.
pub struct Database {
    pub server: Server,
    pub name: String,
    /// Whether somebody said so, as far as we can tell.
    pub is_named: bool,
    /// What tells the server's backups from those of others.
    pub label: String,
}

/// Reaches the configured server. `name` goes before the configured database;
/// `path` is the value of PATH.
pub fn database(
    settings: &Settings,
    name: Option<&str>,
    path: Option<&str>,
) -> Result<Database, PostgresError> {
    way::reach(settings, Purpose::Read, name, path)
}

/// [`database`] where a restore changes things on the server: nothing stands in
/// for a configured server that does not answer.
pub fn database_to_change(
    settings: &Settings,
    path: Option<&str>,
) -> Result<Database, PostgresError> {
    way::reach(settings, Purpose::Change, None, path)
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
                reporter.detail(&format!("what a restore has made stays: {why}"));
            }
            swept.strange.iter().for_each(|text| reporter.warn(text));
        }
        Err(error) => reporter.detail(&format!("no sweep: {error}")),
    }
}

/// Removes what dumps and proofs that died have left in the work directory.
pub fn sweep_work_dir(settings: &Settings, reporter: &dyn Reporter) {
    for path in Scratch::sweep(&settings.work_dir.value) {
        let text = format!("removed {}, which a run that died had left", path.display());
        reporter.detail(&text);
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

pub fn tree_source(
    root: &Path,
    settings: &SourceSettings,
    excludes: &[String],
    storage: &LocalStorage,
    cancel: &Cancel,
) -> Result<Box<dyn Source>, OperationError> {
    let options = TreeOptions {
        excludes: excludes.to_vec(),
        exclude_caches: settings.exclude_caches.value,
        exclude_if_present: settings.exclude_if_present.value.clone(),
        one_file_system: settings.one_file_system.value,
        default_excludes: settings.default_excludes.value,
        storage: storage.local_root().map(Path::to_owned),
    };
    Ok(Box::new(DirectorySource::new(
        root,
        options,
        cancel.clone(),
    )?))
}

/// All globs of the settings: first those given, then those of the `--exclude-from`
/// files, one a line, where `#` begins a comment.
pub fn read_excludes(settings: &SourceSettings) -> Result<Vec<String>, ConfigError> {
    let mut globs = settings.excludes.value.clone();
    for path in &settings.exclude_from.value {
        let failed = |error| ConfigError::of_file("the list of excludes", path, error);
        let bytes = strict::read(path).map_err(failed)?;
        let text = String::from_utf8(bytes).map_err(|_| {
            let error = io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text");
            failed(StrictError::Unreadable(error))
        })?;
        // Some editors begin a file with a mark of its encoding.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let lines = text.lines().map(without_blanks);
        globs.extend(
            lines
                .filter(|l| !l.is_empty() && !l.starts_with('#'))
                .map(str::to_owned),
        );
    }
    Ok(globs)
}

/// A line without the blanks around it, but for one behind a `\`.
fn without_blanks(line: &str) -> &str {
    let line = line.trim_start();
    let trimmed = line.trim_end();
    let backslashes = trimmed.chars().rev().take_while(|it| *it == '\\').count();
    match line[trimmed.len()..].chars().next() {
        Some(blank) if backslashes % 2 == 1 => &line[..trimmed.len() + blank.len_utf8()],
        _ => trimmed,
    }
}
