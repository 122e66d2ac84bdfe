//! The storage, what it holds, and the key to it.

use std::collections::BTreeMap;

use super::failed;
use crate::catalog::{Backup, Catalog};
use crate::commands::session::Session;
use crate::format::manifest::{Kind, Trigger};
use crate::operations::seal_holds;
use crate::render::{Check, age, counted, size};
use crate::storage::{LocalStorage, Storage};
use crate::wiring;

const AREA: &str = "storage";
const KEY: &str = "key";
/// Room for fewer rounds of backups than this is worth a word.
const ROUNDS_OF_ROOM: u64 = 3;

pub fn checks(session: &Session<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    let opened = match open(session) {
        Ok(opened) => opened,
        Err(check) => {
            checks.push(check);
            None
        }
    };
    if let Some((storage, catalog)) = &opened {
        checks.push(content(session, storage, catalog));
        checks.push(room(storage, catalog));
        checks.extend(catalog.unreadable.iter().map(|broken| {
            Check::fail(
                AREA,
                format!(
                    "the manifest {} cannot be read: {}",
                    broken.key, broken.error
                ),
                "move that manifest away and restore its archive by its path",
            )
        }));
    }
    checks.push(key(session));
    if let Some((storage, catalog)) = &opened {
        checks.extend(key_opens(session, storage, catalog));
    }
    checks
}

/// The storage, if there is one; one that the first backup will make is fine.
fn open(session: &Session<'_>) -> Result<Option<(LocalStorage, Catalog)>, Check> {
    let remedy = "correct -s, BACKUP_LOCAL_PATH or [storage] path";
    let root = session
        .settings
        .storage_path()
        .map_err(|error| failed(AREA, &error.into(), remedy))?;
    if !root.exists() {
        return Err(Check::warn(
            AREA,
            format!("{} is not there yet", root.display()),
            "if the path is right, the first backup makes it",
        ));
    }
    let storage =
        wiring::existing_storage(&session.settings).map_err(|e| failed(AREA, &e, remedy))?;
    let catalog = Catalog::load(&storage).map_err(|error| {
        let remedy = "let the user that runs kluis read and write there";
        failed(AREA, &error.into(), remedy)
    })?;
    if rustix::fs::access(root, rustix::fs::Access::WRITE_OK).is_err() {
        return Err(Check::fail(
            AREA,
            format!("{} cannot be written to", root.display()),
            "let the user that runs kluis write there, or run it as the owner",
        ));
    }
    Ok(Some((storage, catalog)))
}

fn content(session: &Session<'_>, storage: &LocalStorage, catalog: &Catalog) -> Check {
    let place = storage.location();
    let newest = catalog.backups.iter().map(Backup::created_at).max();
    match newest {
        None => Check::warn(
            AREA,
            format!("{place} holds no backup"),
            "make one: kluis backup db NAME, or kluis backup source PATH",
        ),
        Some(newest) => Check::ok(
            AREA,
            format!(
                "{place} holds {}, the newest made {}",
                counted(catalog.backups.len() as u64, "backup", "backups"),
                age(newest, session.now)
            ),
        ),
    }
}

/// Another round of backups needs what the newest of each name has taken.
fn room(storage: &LocalStorage, catalog: &Catalog) -> Check {
    let Some(free) = storage.free_bytes() else {
        return Check::ok(AREA, "how much room is left is not known");
    };
    let mut newest: BTreeMap<(Option<Kind>, &str), &Backup> = BTreeMap::new();
    for backup in &catalog.backups {
        let of_name = newest
            .entry((backup.kind(), backup.name()))
            .or_insert(backup);
        if backup.created_at() > of_name.created_at() {
            *of_name = backup;
        }
    }
    let round: u64 = newest.values().map(|backup| backup.stored_bytes()).sum();
    let found = format!(
        "{} free; a round of backups takes {}",
        size(free),
        size(round)
    );
    let remedy = "free or add space; kluis prune --dry-run tells what the policy would remove";
    if free < round {
        Check::fail(AREA, found, remedy)
    } else if free / ROUNDS_OF_ROOM < round {
        Check::warn(AREA, found, remedy)
    } else {
        Check::ok(AREA, found)
    }
}

fn key(session: &Session<'_>) -> Check {
    let encryption = &session.settings.encryption;
    if !encryption.enabled.value {
        return Check::warn(
            KEY,
            "encryption is turned off: whoever reads the storage reads the data",
            "set BACKUP_ENCRYPTION_KEY_FILE and leave [encryption] enabled alone",
        );
    }
    let ring = match wiring::keyring(&session.settings) {
        Ok(ring) => ring,
        Err(error) => return failed(KEY, &error.into(), "give the key as the README tells"),
    };
    let writers: Vec<String> = ring.writers().map(|(_, key)| key.to_string()).collect();
    match writers.is_empty() {
        false => Check::ok(KEY, writers.join("; ")),
        true => Check::warn(
            KEY,
            "no key is configured: backups are written unencrypted",
            "openssl rand -hex 32 into a file of mode 0600, and set \
             BACKUP_ENCRYPTION_KEY_FILE; keep a copy elsewhere",
        ),
    }
}

/// Whether the configured key opens the newest encrypted backup.
fn key_opens(session: &Session<'_>, storage: &LocalStorage, catalog: &Catalog) -> Option<Check> {
    let is_sealed = |backup: &&Backup| {
        let file = backup.file.as_ref();
        file.is_some_and(|file| file.manifest.encryption.is_some())
    };
    let newest = catalog
        .backups
        .iter()
        .filter(is_sealed)
        .max_by_key(|backup| backup.created_at())?;
    let vault = session.vault(storage, "doctor", Trigger::Manual).ok()?;
    if !vault.ring.keys().iter().any(|key| key.material.opens()) {
        return Some(Check::ok(
            KEY,
            "this host writes backups that it cannot read; verify and restore elsewhere",
        ));
    }
    Some(match seal_holds(&vault, newest) {
        Some(true) => Check::ok(KEY, format!("it opens {}", newest.archive)),
        Some(false) => Check::fail(
            KEY,
            format!("it opens {}, whose manifest was changed", newest.archive),
            "look at it with kluis verify, and make a new backup",
        ),
        None => Check::fail(
            KEY,
            format!("it does not open {}", newest.archive),
            "configure the key that the backup was made with; kluis show tells its id",
        ),
    })
}
