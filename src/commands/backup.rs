//! `kluis backup db` and `kluis backup source`.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::cli::RecordFlags;
use crate::config::{ArchiveFormat as EncryptedAs, Settings};
use crate::event::{Event, EventBackup, EventKind};
use crate::exit::{Exit, exit_of};
use crate::format::manifest::{Codec, GLOBALS_NAME, Kind};
use crate::format::names::ArchiveFormat;
use crate::operations::{
    self, BackupPlan, Encryption, OperationError, PruneScope, Reporter, Vault, backup,
};
use crate::render::{self, BackupReport, DatabaseSummary, Problem, TreeSummary};
use crate::storage::Storage;
use crate::wiring;

use super::around::problem_of;
use super::session::Session;

mod databases;

pub(super) use databases::all_names;
pub use databases::db;

/// As small as `pigz -6` makes it at the least time: by `benches/compare`, dumps
/// need level 6 for that, trees are smaller already at 5.
const GZIP_LEVEL_DB: u32 = 6;
const GZIP_LEVEL_SOURCE: u32 = 5;
const ZSTD_LEVEL: u32 = 3;
/// Problems that a report names; the manifest names more.
const PROBLEMS_SHOWN: usize = 100;

pub fn source(session: &Session<'_>, record: &RecordFlags) -> anyhow::Result<Exit> {
    let settings = &session.settings.source;
    let roots = &settings.paths.value;
    let usage = |what: &str| OperationError::Usage {
        what: what.to_owned(),
    };
    if roots.is_empty() {
        return Err(usage(
            "no directory to back up; name one, or set BACKUP_SOURCE_PATH or [source] paths",
        )
        .into());
    }
    if settings.name.is_some() && roots.len() > 1 {
        return Err(usage("--name fits one directory; several are backed up here").into());
    }
    let storage = wiring::storage(&session.settings)?;
    let vault = session.vault_to_back_up(&storage, "backup source", record.trigger.into())?;
    let excludes = wiring::read_excludes(&settings.exclude_from.value)?;
    let encryption = encryption(session, &vault);
    // All of them are there before the first is read.
    let roots: Vec<PathBuf> = roots
        .iter()
        .map(|root| absolute(root))
        .collect::<Result<_, _>>()?;
    let mut reports = Vec::new();
    for root in &roots {
        let name = match &settings.name {
            Some(name) => name.value.clone(),
            None => name_of(root),
        };
        let plan = plan(session, encryption, &name, ArchiveFormat::Tree, record);
        let done = backup(&vault, &plan, Timestamp::now(), || {
            wiring::tree_source(root, settings, &excludes, &storage, session.cancel)
        });
        happened(session, &vault, Kind::Source, &name, done.as_ref());
        match done {
            Ok(done) => reports.push(report(&storage.location(), &done)),
            Err(error) => {
                // What was made before is told before what was not.
                finish(session, &vault, reports, Vec::new())?;
                return Err(not_made(&name, error.into()));
            }
        }
    }
    finish(session, &vault, reports, Vec::new())
}

/// Keeps what came of one backup for those who are told of it.
fn happened(
    session: &Session<'_>,
    vault: &Vault<'_>,
    kind: Kind,
    name: &str,
    done: Result<&operations::BackupDone, &OperationError>,
) {
    let event_kind = match done {
        Ok(_) => EventKind::BackupCompleted,
        Err(_) => EventKind::BackupFailed,
    };
    let event = session.event(event_kind, &vault.actor.command, vault.actor.trigger);
    let event = Event {
        subject: Some(kind),
        name: Some(name.to_owned()),
        ..event
    };
    session.happened.add(match done {
        Ok(done) => Event {
            backup: Some(EventBackup::of(&done.manifest)),
            duration_ms: u64::try_from(done.took.as_millis()).ok(),
            problem: (done.problems() > 0).then(|| {
                let problems = done.problems();
                format!("incomplete: {problems} files changed, vanished or could not be read")
            }),
            ..event
        },
        Err(error) => Event {
            problem: Some(problem_of(error, error.hint())),
            ..event
        },
    });
}

/// Tells what a failure means for the data, before its reason. Other ends (a
/// lock, a signal) say it themselves.
fn not_made(name: &str, error: anyhow::Error) -> anyhow::Error {
    match exit_of(&error) {
        Exit::Failed => error.context(format!(
            "no backup of {name} was made; those made before are as they were"
        )),
        _ => error,
    }
}

/// The directory's one path, whatever led to it: retention tells trees of the
/// same name apart by it.
fn absolute(root: &Path) -> Result<PathBuf, OperationError> {
    std::fs::canonicalize(root).map_err(|error| OperationError::Usage {
        what: format!("cannot back up {}: {error}", root.display()),
    })
}

/// The directory's own name.
fn name_of(root: &Path) -> String {
    let name = root.file_name().map(|name| name.to_string_lossy());
    name.map_or_else(|| "root".to_owned(), |name| name.into_owned())
}

pub(super) fn plan(
    session: &Session<'_>,
    encryption: Encryption,
    name: &str,
    format: ArchiveFormat,
    record: &RecordFlags,
) -> BackupPlan {
    // pg_dump has compressed the files of a directory already.
    let (codec, level) = match format {
        ArchiveFormat::Directory => (Codec::None, 0),
        _ => compression(&session.settings, format.kind()),
    };
    BackupPlan {
        name: name.to_owned(),
        format,
        codec,
        level,
        encryption,
        note: record.note.clone(),
        before_restore_of: None,
        keep: record.keep,
    }
}

/// The codec and its level.
fn compression(settings: &Settings, kind: Kind) -> (Codec, i32) {
    let codec = settings.compression.codec.value;
    let level = match (&settings.compression.level, codec) {
        (Some(level), _) => level.value,
        (None, Codec::Gzip) if kind == Kind::Source => GZIP_LEVEL_SOURCE,
        (None, Codec::Gzip) => GZIP_LEVEL_DB,
        (None, Codec::Zstd) => ZSTD_LEVEL,
        (None, Codec::None) => 0,
    };
    (codec, i32::try_from(level).unwrap_or(i32::MAX))
}

/// How the run's archives are encrypted; a warning where that is not.
pub(super) fn encryption(session: &Session<'_>, vault: &Vault<'_>) -> Encryption {
    let settings = &session.settings.encryption;
    match (settings.enabled.value, settings.format.value) {
        (false, _) => Encryption::None,
        (true, _) if vault.ring.writers().next().is_none() => {
            session.console.warn(
                "no encryption key is configured: the backup is not encrypted; set \
                 BACKUP_ENCRYPTION_KEY_FILE, or say --no-encrypt to mean it",
            );
            Encryption::None
        }
        (true, EncryptedAs::Kluis1) => Encryption::Kluis1,
        (true, EncryptedAs::Kanbu) => Encryption::Kanbu,
    }
}

fn finish(
    session: &Session<'_>,
    vault: &Vault<'_>,
    mut backups: Vec<render::BackupDone>,
    failed: Vec<render::BackupFailed>,
) -> anyhow::Result<Exit> {
    let pruned = prune_behind(session, vault, &mut backups);
    let complete = pruned && failed.is_empty() && backups.iter().all(|backup| backup.complete);
    // On stderr too: a timer's job often throws stdout away.
    for backup in backups.iter().filter(|backup| !backup.complete) {
        session.console.warn(&format!(
            "{} is incomplete: {} of its files changed, vanished or could not be read; \
             kluis show {} names them",
            backup.file, backup.problem_count, backup.id
        ));
    }
    if backups.is_empty() {
        return Ok(Exit::Done);
    }
    session.print(&BackupReport { backups, failed })?;
    Ok(if complete {
        Exit::Done
    } else {
        Exit::Incomplete
    })
}

/// Prunes the names that were just backed up, where that is configured; whether
/// all went well. The backups are made, so a failure is only told.
fn prune_behind(
    session: &Session<'_>,
    vault: &Vault<'_>,
    backups: &mut [render::BackupDone],
) -> bool {
    let settings = &session.settings.retention;
    if !settings.prune_after_backup.value || session.cancel.check().is_err() {
        return true;
    }
    let policies = settings.policies();
    let zone = &session.settings.time_zone.value;
    let vault = vault.for_step("prune");
    let mut all_well = true;
    for backup in backups {
        let scope = PruneScope {
            kind: Some(backup.kind),
            name: Some(backup.name.clone()),
        };
        match operations::prune(&vault, &scope, &policies, Timestamp::now(), zone) {
            Ok(done) => {
                backup.pruned = Some(render::Pruned {
                    backups: done.removed.len() as u64,
                    freed_bytes: done.freed_bytes,
                });
            }
            Err(error) => {
                let text = format!("older backups of {} were not pruned: {error}", backup.name);
                session.console.warn(&text);
                all_well = false;
            }
        }
    }
    all_well
}

fn report(location: &str, done: &operations::BackupDone) -> render::BackupDone {
    let manifest = &done.manifest;
    let problems = manifest.source.iter().flat_map(|tree| &tree.problems);
    render::BackupDone {
        id: manifest.id.to_string(),
        kind: manifest.kind,
        name: manifest.name.clone(),
        created_at: manifest.created_at,
        location: format!("{location}/{}", manifest.stored.file),
        file: manifest.stored.file.clone(),
        stored_bytes: manifest.stored.bytes,
        raw_bytes: manifest.content.raw_bytes,
        codec: manifest.content.codec,
        encrypted: manifest.encryption.is_some(),
        duration_ms: u64::try_from(done.took.as_millis()).unwrap_or(u64::MAX),
        database: manifest.database.as_ref().map(|database| DatabaseSummary {
            server_version: database.server_version.clone(),
            tables: database.ledger.tables.len() as u64,
            rows: database.ledger.tables.iter().map(|table| table.rows).sum(),
            roles: (manifest.name == GLOBALS_NAME && database.format == "globals")
                .then(|| database.ledger.objects.get("ROLE").copied().unwrap_or(0)),
        }),
        source: manifest.source.as_ref().map(|tree| TreeSummary {
            root: tree.root.clone(),
            files: tree.files,
            directories: tree.directories,
            special: tree.special,
        }),
        complete: done.problems() == 0,
        problems: problems
            .take(PROBLEMS_SHOWN)
            .map(|problem| Problem {
                path: problem.path.clone(),
                problem: problem.problem.clone(),
                detail: problem.detail.clone(),
            })
            .collect(),
        problem_count: done.problems(),
        pruned: None,
    }
}
