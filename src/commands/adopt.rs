//! `kluis adopt`.

use std::collections::HashSet;
use std::path::Path;

use crate::catalog::{Backup, Catalog};
use crate::cli::Adopt;
use crate::exit::{Exit, exit_of, hint_of};
use crate::format::manifest::{Kind, Trigger};
use crate::format::names::{ArchiveName, MARKER_KEY, archive_of_manifest};
use crate::lock;
use crate::operations::{AdoptFile, Adopted, Reporter, Told, adopt, is_anybodys, refuse_hollow};
use crate::render::{AdoptReport, AdoptRow, RefusedRow};
use crate::storage::{LocalStorage, Storage};
use crate::wiring;

use super::session::Session;

/// A file as it was named: its own directory, if that is not the storage.
struct Named {
    key: String,
    elsewhere: Option<LocalStorage>,
}

pub fn run(session: &Session<'_>, wanted: &Adopt) -> anyhow::Result<Exit> {
    session.ring()?;
    let (storage, chosen) = match wanted.all {
        true => of_storage(session, wanted.accept_unsealed)?,
        false => {
            let storage = wiring::storage(&session.settings)?;
            let files = wanted.files.iter();
            let named = files.map(|file| place(session, &storage, file));
            let named = named.collect::<anyhow::Result<Vec<_>>>()?;
            (
                storage,
                Chosen {
                    named,
                    ..Chosen::default()
                },
            )
        }
    };
    let vault = session.vault(&storage, "adopt", Trigger::Manual)?;
    let seals = session.ring()?.seals();
    let files: Vec<AdoptFile<'_>> = chosen
        .named
        .iter()
        .map(|named| AdoptFile {
            key: named.key.clone(),
            elsewhere: named.elsewhere.as_ref().map(|it| it as &dyn Storage),
            accepted: !wanted.all || wanted.accept_unsealed || !seals,
        })
        .collect();
    let told = Told {
        name: wanted.name.clone(),
        kind: wanted.kind.map(Kind::from),
    };
    let programs = wiring::archive_programs(&session.settings, session.path.as_deref());
    let results = match files.is_empty() {
        true => Vec::new(),
        false => adopt(&vault, &files, &told, session.now, &|backup| {
            wiring::adoption_target(backup, &programs, session.cancel)
        })?,
    };
    let mut report = AdoptReport {
        storage: storage.location(),
        adopted: Vec::new(),
        refused: chosen.hollow,
        left: chosen.left,
        left_plain: chosen.left_plain,
        left_alone: chosen.left_alone,
    };
    let writes = vault.ring.writers().next().is_some();
    let mut worst = match report.refused.is_empty() {
        true => Exit::Done,
        false => Exit::Incomplete,
    };
    for (file, result) in files.iter().zip(results) {
        match result {
            Ok(adopted) => {
                let is_plain = adopted.manifest.encryption.is_none();
                if is_plain && session.settings.encryption.enabled.value && writes {
                    session.console.warn(&format!(
                        "{} is not encrypted, although a key is configured; kluis key rotate \
                         --reencrypt {} encrypts it",
                        file.key, file.key
                    ));
                }
                report.adopted.push(row(adopted));
            }
            Err(error) => {
                let (refused, exit) = refused(&file.key, error.into());
                if worst != Exit::Integrity {
                    worst = exit;
                }
                report.refused.push(refused);
            }
        }
    }
    if !report.adopted.is_empty() && !matches!(worst, Exit::Done | Exit::Integrity) {
        worst = Exit::Incomplete;
    }
    session.end(&report, worst)
}

/// What is to be adopted.
#[derive(Default)]
struct Chosen {
    named: Vec<Named>,
    hollow: Vec<RefusedRow>,
    /// So many are another's.
    left: u64,
    /// And these nobody needed a key to make, or to name.
    left_plain: Vec<String>,
    /// These are no archives by their names.
    left_alone: Vec<String>,
}

/// Every file of the storage that has no manifest, or one without a seal. The oldest
/// first: of several copies of an archive the later ones may be somebody's.
fn of_storage(session: &Session<'_>, with_plain: bool) -> anyhow::Result<(LocalStorage, Chosen)> {
    let opened = session.open()?;
    let (storage, catalog) = (&opened.storage, &opened.catalog);
    let alone = catalog.backups.iter().filter(|ours| ours.file.is_none());
    let (unsealed, left): (Vec<_>, Vec<_>) = catalog
        .foreign
        .iter()
        .partition(|foreign| foreign.why.lacks_seal() && foreign.described().stored.is_some());
    let unsealed = unsealed.iter().map(|foreign| foreign.described());
    let mut all: Vec<&Backup> = alone.map(|ours| &**ours).chain(unsealed).collect();
    let copy = |backup: &Backup| backup.named.as_ref().map_or(0, |named| named.copy);
    all.sort_by_key(|it| (it.created_at(), copy(it), it.archive.clone()));
    let ring = session.ring()?;
    let tells = !with_plain && ring.seals();
    // What cannot be looked at is told when it is adopted.
    let is_plain =
        |backup: &&Backup| tells && matches!(is_anybodys(storage, ring, backup), Ok(true));
    let (plain, named): (Vec<_>, Vec<_>) = all.into_iter().partition(is_plain);
    let (mut chosen_named, mut hollow) = (Vec::new(), Vec::new());
    for backup in named {
        match refuse_hollow(storage, &backup.archive, backup.stored_bytes(), "adopt") {
            Ok(()) => chosen_named.push(Named {
                key: backup.archive.clone(),
                elsewhere: None,
            }),
            Err(error) => hollow.push(refused(&backup.archive, error.into()).0),
        }
    }
    let chosen = Chosen {
        named: chosen_named,
        hollow,
        left: left.len() as u64,
        left_plain: plain.iter().map(|it| it.archive.clone()).collect(),
        left_alone: left_alone(storage, catalog)?,
    };
    Ok((opened.storage, chosen))
}

/// What is neither kluis' own nor an archive by its name.
fn left_alone(storage: &LocalStorage, catalog: &Catalog) -> anyhow::Result<Vec<String>> {
    let known: HashSet<&str> = catalog.all().map(|it| it.archive.as_str()).collect();
    let is_own = |key: &str| {
        known.contains(key)
            || key == MARKER_KEY
            || key == lock::FILE_NAME
            || archive_of_manifest(key).is_some()
            || ArchiveName::parse(key).is_some()
    };
    let keys = storage.list("")?.into_iter().map(|object| object.key);
    Ok(keys.filter(|key| !is_own(key)).collect())
}

/// A bare name is the storage's file if that has one of this name or id.
fn place(session: &Session<'_>, storage: &LocalStorage, file: &Path) -> anyhow::Result<Named> {
    let root = storage.local_root();
    let is_bare = file.components().count() == 1 && !file.is_absolute();
    let bare = file.to_str().filter(|_| is_bare);
    if let Some(name) = bare
        && root.is_some_and(|root| root.join(name).is_file())
    {
        return Ok(Named {
            key: name.to_owned(),
            elsewhere: None,
        });
    }
    if let Some(id) = bare
        && !file.exists()
        && let Ok(found) = session.open()?.find(id)
    {
        return Ok(Named {
            key: found.backup().archive.clone(),
            elsewhere: None,
        });
    }
    let (directory, key) = wiring::storage_of_file(file)?;
    let same = |one: &Path, other: &Path| match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    };
    let is_storage = match (root, directory.local_root()) {
        (Some(root), Some(directory)) => same(root, directory),
        _ => false,
    };
    Ok(Named {
        key,
        elsewhere: (!is_storage).then_some(directory),
    })
}

fn row(adopted: Adopted) -> AdoptRow {
    let Adopted {
        manifest,
        copied,
        warnings,
        took,
    } = adopted;
    let tables = manifest.database.as_ref().map(|db| &db.ledger.tables);
    AdoptRow {
        id: manifest.id.to_string(),
        kind: manifest.kind,
        name: manifest.name.clone(),
        created_at: manifest.created_at,
        file: manifest.stored.file.to_string(),
        stored_bytes: manifest.stored.bytes,
        raw_bytes: manifest.content.raw_bytes,
        encrypted: manifest.encryption.is_some(),
        tables: tables.map(|tables| tables.len() as u64),
        rows: tables.map(|tables| tables.iter().map(|table| table.rows).sum()),
        files: manifest.source.as_ref().map(|tree| tree.files),
        copied,
        warnings,
        duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    }
}

fn refused(file: &str, error: anyhow::Error) -> (RefusedRow, Exit) {
    let said = error.to_string();
    let problem = said.strip_prefix(&format!("{file}: ")).unwrap_or(&said);
    let row = RefusedRow {
        file: file.to_owned(),
        problem: problem.to_owned(),
        hint: hint_of(&error),
        exit_code: exit_of(&error).code(),
    };
    (row, exit_of(&error))
}
