//! `kluis backup db` and `kluis backup source`.

use jiff::Timestamp;

use crate::cli::RecordFlags;
use crate::config::{ArchiveFormat as EncryptedAs, EncryptionSettings, IDLE_REMEDY, Settings};
use crate::event::{Event, EventBackup, EventKind};
use crate::exit::{Exit, exit_of};
use crate::format::manifest::{Codec, GLOBALS_NAME, Kind, Manifest};
use crate::format::names::ArchiveFormat;
use crate::operations::{
    self, BackupPlan, Encryption, OperationError, PruneScope, Reporter, Vault,
};
use crate::render::{self, BackupReport, DatabaseSummary, Problem, StorageTotal, TreeSummary};
use crate::storage::Storage;

use super::around::problem_of;
use super::session::Session;

mod databases;
mod several;
mod trees;

pub(super) use databases::all_names;
pub use databases::db;
pub use trees::source;

/// As small as `pigz -6` makes it at the least time: by `benches/compare`, dumps
/// need level 6 for that, trees are smaller already at 5.
const GZIP_LEVEL_DB: u32 = 6;
const GZIP_LEVEL_SOURCE: u32 = 5;
const ZSTD_LEVEL: u32 = 3;
/// Problems that a report names; the manifest names more.
const PROBLEMS_SHOWN: usize = 100;

/// Keeps what came of one backup for those who are told of it.
fn happened(
    session: &Session<'_>,
    vault: &Vault<'_>,
    kind: Kind,
    name: &str,
    done: Result<&operations::BackupDone, &OperationError>,
) {
    let event_kind = match done {
        // Who waits for failures must hear that something is missing.
        Ok(done) if !done.manifest.is_complete() => EventKind::BackupFailed,
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
            problem: problem_in(done).map(|problem| format!("incomplete: {problem}")),
            ..event
        },
        Err(error) => Event {
            problem: Some(problem_of(error, error.hint())),
            ..event
        },
    });
}

/// What is not in a backup as it was; `None` where all is.
fn problem_in(done: &operations::BackupDone) -> Option<String> {
    let tree = done.manifest.source.as_ref();
    let unsteady = tree.map_or(0, |tree| tree.changed + tree.vanished);
    let unsteady = (unsteady > 0)
        .then(|| format!("{unsteady} of its files changed or vanished while they were read"));
    let problems: Vec<String> = done.manifest.lack().into_iter().chain(unsteady).collect();
    (!problems.is_empty()).then(|| problems.join("; "))
}

/// The first problems by name.
fn named_problems(manifest: &Manifest) -> Vec<Problem> {
    let files = manifest.source.iter().flat_map(|tree| &tree.problems);
    let files = files.map(|problem| Problem {
        path: problem.path.clone(),
        problem: problem.problem.clone(),
        detail: problem.detail.clone(),
    });
    let databases = manifest.database.iter();
    let left_out = databases.flat_map(|database| database.left_out.named());
    let left_out = left_out.map(|(object, why)| Problem {
        path: object,
        problem: "left out".to_owned(),
        detail: why,
    });
    let databases = manifest.database.iter();
    let warned = databases.flat_map(|database| &database.warned.warnings);
    let warned = warned.filter(|warning| warning.lacks);
    let warned = warned.map(|warning| Problem {
        path: manifest.name.clone(),
        problem: "left out".to_owned(),
        detail: warning.text.clone(),
    });
    let all = files.chain(left_out).chain(warned);
    all.take(PROBLEMS_SHOWN).collect()
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
        label: session.settings.host.value.clone(),
        given_root: None,
        allow_empty: false,
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

/// Why a backup would be refused that is not encrypted, and what to do; for the
/// doctor too. A storage that is not there yet holds no encrypted ones.
pub(super) fn unencrypted_refused(
    settings: &EncryptionSettings,
    has_key: bool,
    storage: Option<&dyn Storage>,
) -> Result<Option<(String, String)>, OperationError> {
    let required = settings.required.value;
    let remedy = "set BACKUP_ENCRYPTION_KEY_FILE or [encryption] key_file";
    let holds_encrypted = || storage.map_or(Ok(false), operations::holds_encrypted);
    Ok(match (settings.enabled.value, has_key) {
        (true, true) => None,
        (false, _) if required => Some((
            format!(
                "encryption.required is set, and {} turns encryption off",
                settings.enabled.origin
            ),
            "take one of the two back".to_owned(),
        )),
        (false, _) => None,
        (true, false) if required => Some((
            "encryption.required is set, and no key is configured".to_owned(),
            remedy.to_owned(),
        )),
        (true, false) if holds_encrypted()? => Some((
            format!(
                "the backups in {} are encrypted, and no key is configured",
                storage.map_or_else(String::new, Storage::location)
            ),
            format!("{remedy}, or use --no-encrypt if plain text is intended"),
        )),
        (true, false) => None,
    })
}

/// How the run's archives are encrypted. A key that went missing must not turn a
/// storage's backups into plain text without a word: who means that says it.
pub(super) fn encryption(
    session: &Session<'_>,
    vault: &Vault<'_>,
) -> Result<Encryption, OperationError> {
    let settings = &session.settings.encryption;
    if vault.ring.signer().is_none() && !vault.ring.verifiers().is_empty() {
        session.console.warn(
            "verify_keys are configured and no signing_key: this host's own backups are not \
             signed, and do not count here; kluis key generate --signing makes a key",
        );
    }
    let has_key = vault.ring.writers().next().is_some();
    if let Some((what, remedy)) = unencrypted_refused(settings, has_key, Some(vault.storage))? {
        return Err(OperationError::Usage {
            what: format!("{what}: {remedy}; nothing was backed up"),
        });
    }
    if !settings.enabled.value && vault.ring.verifiers().is_empty() && !vault.can_seal() {
        session.console.warn(
            "this host has recipients only and can seal nothing: a backup that is not encrypted \
             does not count; set encryption.signing_key (kluis key generate --signing makes one)",
        );
    }
    match (settings.enabled.value, has_key) {
        (true, true) => Ok(match settings.format.value {
            EncryptedAs::Kluis1 => Encryption::Kluis1,
            EncryptedAs::Kanbu => Encryption::Kanbu,
        }),
        (false, _) => Ok(Encryption::None),
        (true, false) => {
            session.console.warn(
                "no encryption key is configured: the backup is not encrypted; set \
                 BACKUP_ENCRYPTION_KEY_FILE, or say --no-encrypt to mean it",
            );
            Ok(Encryption::None)
        }
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
            "{} is incomplete: {}; kluis show {} names them",
            backup.file,
            backup.problem.as_deref().unwrap_or_default(),
            backup.id
        ));
    }
    if backups.is_empty() {
        return Ok(Exit::Done);
    }
    let total = operations::count_stored(vault.storage).ok();
    session.print(&BackupReport {
        backups,
        failed,
        storage: total.map(|total| StorageTotal {
            backups: total.backups,
            stored_bytes: total.bytes,
        }),
    })?;
    Ok(if complete {
        Exit::Done
    } else {
        Exit::Incomplete
    })
}

/// Prunes the series that were just backed up, where that is configured; whether
/// all went well. The backups are made, so a failure is only told.
fn prune_behind(
    session: &Session<'_>,
    vault: &Vault<'_>,
    backups: &mut [render::BackupDone],
) -> bool {
    let settings = &session.settings.retention;
    if !settings.prune_after_backup.value {
        tell_of_idle_rules(session, backups);
        return true;
    }
    if session.cancel.check().is_err() {
        return true;
    }
    let policies = settings.policies();
    let zone = &session.settings.time_zone.value;
    let vault = vault.for_step("prune");
    let mut all_well = true;
    for backup in backups {
        let scope = PruneScope {
            beside: Some(backup.file.clone()),
            ..PruneScope::default()
        };
        match operations::prune(&vault, &scope, &policies, Timestamp::now(), zone) {
            Ok(done) => {
                if done.plan.decisions.len() == 1 {
                    tell_of_pruning(session, &backup.name);
                }
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

/// With the first backup of a series, before anything of it is ever removed, where
/// nobody has asked for it by its own name.
fn tell_of_pruning(session: &Session<'_>, name: &str) {
    let origin = &session.settings.retention.prune_after_backup.origin;
    if session.schedule.is_none() && !origin.is_environment() {
        return;
    }
    session.console.info(&format!(
        "from now on each backup of {name} prunes the older ones ({}): kluis config show has the \
         rules, and prune_after_backup = false below [retention] switches it off",
        origin
    ));
}

/// With the first backup of a series, where rules stand in the file and nothing
/// carries them out: else nobody learns it before the disk is full.
fn tell_of_idle_rules(session: &Session<'_>, backups: &[render::BackupDone]) {
    let settings = &session.settings;
    let first = backups.iter().find(|backup| backup.is_first);
    let idle = settings.retention.idle(&settings.schedules);
    if let (Some(first), Some(origin)) = (first, idle) {
        session.console.info(&format!(
            "no backup of {} is removed by itself, whatever the retention says ({origin}): \
             {IDLE_REMEDY}",
            first.name
        ));
    }
}

fn report(location: &str, done: &operations::BackupDone) -> render::BackupDone {
    let manifest = &done.manifest;
    render::BackupDone {
        is_first: done.is_first,
        id: manifest.id.to_string(),
        kind: manifest.kind,
        name: manifest.name.clone(),
        created_at: manifest.created_at,
        location: format!("{location}/{}", manifest.stored.file),
        file: manifest.stored.file.to_string(),
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
            specials: tree.specials.clone(),
            caches: tree.caches,
        }),
        complete: done.problems() == 0,
        problems: named_problems(manifest),
        problem_count: done.problems(),
        problem: problem_in(done),
        warnings: done.manifest.warnings(),
        pruned: None,
    }
}
