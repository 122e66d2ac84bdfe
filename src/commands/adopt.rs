//! `kluis adopt`.

use std::path::Path;

use crate::cli::Adopt;
use crate::exit::{Exit, exit_of, hint_of};
use crate::format::manifest::{Kind, Trigger};
use crate::operations::{AdoptFile, Adopted, Reporter, Told, adopt};
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
    let (storage, named) = match wanted.all {
        true => of_storage(session)?,
        false => {
            let storage = wiring::storage(&session.settings)?;
            let files = wanted.files.iter();
            let named = files.map(|file| place(&storage, file));
            let named = named.collect::<anyhow::Result<Vec<_>>>()?;
            (storage, named)
        }
    };
    let vault = session.vault(&storage, "adopt", Trigger::Manual)?;
    let files: Vec<AdoptFile<'_>> = named
        .iter()
        .map(|named| AdoptFile {
            key: named.key.clone(),
            elsewhere: named.elsewhere.as_ref().map(|it| it as &dyn Storage),
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
        refused: Vec::new(),
    };
    let seals = vault.ring.writers().next().is_some();
    let mut worst = Exit::Done;
    for (file, result) in files.iter().zip(results) {
        match result {
            Ok(adopted) => {
                let is_plain = adopted.manifest.encryption.is_none();
                if is_plain && session.settings.encryption.enabled.value && seals {
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
    session.end(&report, worst)
}

/// Every file of the storage that has no manifest.
fn of_storage(session: &Session<'_>) -> anyhow::Result<(LocalStorage, Vec<Named>)> {
    let opened = session.open()?;
    let backups = opened.catalog.backups.iter();
    let named = backups
        .filter(|backup| backup.file.is_none())
        .map(|backup| Named {
            key: backup.archive.clone(),
            elsewhere: None,
        })
        .collect();
    Ok((opened.storage, named))
}

/// A bare name is the storage's file if that has one of this name.
fn place(storage: &LocalStorage, file: &Path) -> anyhow::Result<Named> {
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
        file: manifest.stored.file.clone(),
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
