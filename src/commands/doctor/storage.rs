//! The storage, what it holds, and the key to it.

use std::collections::BTreeMap;

use super::failed;
use crate::catalog::{Backup, Catalog};
use crate::checked::shell_word;
use crate::commands::backup::unencrypted_refused;
use crate::commands::session::{Opened, Session};
use crate::config::IDLE_REMEDY;
use crate::format::manifest::Trigger;
use crate::operations::seal_holds;
use crate::paths::Chain;
use crate::render::{Check, age, counted, size};
use crate::series::Series;
use crate::storage::{LocalStorage, Storage};
use crate::wiring;

const AREA: &str = "storage";
const KEY: &str = "key";
/// Room for fewer rounds of backups than this is worth a word.
const ROUNDS_OF_ROOM: u64 = 3;
/// Archive, manifest, record, and one that is being written.
const FILES_A_BACKUP: u64 = 4;

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
        checks.extend(way(storage));
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
    let settings = &session.settings;
    checks.extend(settings.retention.idle(&settings.schedules).map(|origin| {
        let what = format!("the retention's rules ({origin}) remove nothing by themselves");
        Check::warn(AREA, what, IDLE_REMEDY)
    }));
    let storage = opened.as_ref().map(|(storage, _)| storage);
    checks.push(key(session, storage));
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
    let Opened {
        storage, catalog, ..
    } = session.opened(storage).map_err(|error| {
        let remedy = "let the user that runs kluis read and write there";
        failed(AREA, &error, remedy)
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
    let newest = catalog.backups.iter().map(|it| it.created_at()).max();
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

/// Whether somebody else can put another storage in the place of this one.
fn way(storage: &LocalStorage) -> Option<Check> {
    let place = storage.location();
    let way = Chain::to_directory(storage.local_root()?).ok()?;
    if let Some(open) = way.open_to_all() {
        let open = open.display();
        let found = format!("everybody can write to {open}, and so exchange what {place} holds");
        let remedy = format!("chmod o-w {}", shell_word(&open.to_string()));
        return Some(Check::warn(AREA, found, remedy));
    }
    let (above, owner) = way.in_hands_of_another()?;
    let above = above.display();
    let found =
        format!("{above} is of user {owner}, who can put another storage in {place}'s place");
    let remedy = "let the storage lie where every directory above it is root's or its owner's";
    Some(Check::warn(AREA, found, remedy))
}

/// Another round of backups needs what the newest of each series has taken.
fn room(storage: &LocalStorage, catalog: &Catalog) -> Check {
    let Some(free) = storage.free_bytes() else {
        return Check::ok(AREA, "how much room is left is not known");
    };
    let mut newest: BTreeMap<&Series, &Backup> = BTreeMap::new();
    // The newest comes first.
    for backup in &catalog.backups {
        if let Some(series) = backup.series.as_ref().filter(|it| it.is_whole()) {
            newest.entry(series).or_insert(backup);
        }
    }
    let round: u64 = newest.values().map(|backup| backup.stored_bytes()).sum();
    let found = format!(
        "{} free; a round of backups takes {}",
        size(free),
        size(round)
    );
    let remedy = "free or add space; kluis prune --dry-run tells what the policy would remove";
    let inodes = storage
        .free_inodes()
        .map(|free| (free, newest.len() as u64));
    if let Some((left, series)) = inodes.filter(|(left, series)| left / FILES_A_BACKUP < *series) {
        let found = format!("{left} files can still be made, and {series} series want some each");
        return Check::fail(AREA, found, remedy);
    }
    if free < round {
        Check::fail(AREA, found, remedy)
    } else if free / ROUNDS_OF_ROOM < round {
        Check::warn(AREA, found, remedy)
    } else {
        Check::ok(AREA, found)
    }
}

fn key(session: &Session<'_>, storage: Option<&LocalStorage>) -> Check {
    let encryption = &session.settings.encryption;
    let refused = || {
        let storage = storage.map(|storage| storage as &dyn Storage);
        let refused = unencrypted_refused(encryption, false, storage).ok()??;
        Some(Check::fail(
            KEY,
            format!("backups are refused: {}", refused.0),
            refused.1,
        ))
    };
    if !encryption.enabled.value
        && let Some(check) = refused()
    {
        return check;
    }
    if !encryption.enabled.value {
        return Check::warn(
            KEY,
            "encryption is turned off: whoever reads the storage reads the data",
            "set BACKUP_ENCRYPTION_KEY_FILE and leave [encryption] enabled alone",
        );
    }
    let ring = match session.ring() {
        Ok(ring) => ring,
        Err(error) => return failed(KEY, &error.into(), "give the key as the README tells"),
    };
    let writers: Vec<String> = ring.writers().map(|(_, key)| key.to_string()).collect();
    match writers.is_empty() {
        false => Check::ok(KEY, writers.join("; ")),
        true => refused().unwrap_or_else(|| {
            Check::warn(
                KEY,
                "no key is configured: backups are written unencrypted",
                "openssl rand -hex 32 into a file of mode 0600, and set \
             BACKUP_ENCRYPTION_KEY_FILE; keep a copy elsewhere",
            )
        }),
    }
}

/// Whether the configured key opens the newest encrypted backup.
fn key_opens(session: &Session<'_>, storage: &LocalStorage, catalog: &Catalog) -> Option<Check> {
    let is_sealed = |backup: &&Backup| {
        let file = backup.file.as_ref();
        file.is_some_and(|file| file.manifest.encryption.is_some())
    };
    let ours = catalog.backups.iter().map(|backup| &**backup);
    let newest = |backup: &&Backup| backup.created_at();
    // To another key, all of them are somebody else's.
    let newest = ours
        .filter(is_sealed)
        .max_by_key(newest)
        .or_else(|| catalog.all().filter(is_sealed).max_by_key(newest))?;
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
