//! `kluis key add`, `drop`, `rotate` and `repair`.

use std::path::Path;

use crate::catalog::Backup;
use crate::cli::{KeyAdd, KeyDrop, KeyRepair, KeyRotate};
use crate::commands::session::{Opened, Session};
use crate::exit::Exit;
use crate::format::age::AgeRecipient;
use crate::format::keyring::{KeyMaterial, Keyring, NamedKey};
use crate::format::manifest::Trigger;
use crate::format::run_record::KEY_ROTATE;
use crate::operations::{
    DroppedKey, KeyChange, KeyOutcome, KeyPlan, KeyRow, KeysChanged, OperationError, Vault,
    change_keys, reencrypt,
};
use crate::render::{KeyChangeReport, KeyChangeRow, KeyResult};
use crate::secrets::{SecretError, load_key_file};
use crate::storage::Storage;
use crate::wiring;

/// What the flags say of it.
#[derive(Clone, Copy, Default)]
struct How {
    dry_run: bool,
    accepts_unsealed: bool,
}

pub fn add(session: &Session<'_>, wanted: &KeyAdd) -> anyhow::Result<Exit> {
    let how = How {
        accepts_unsealed: wanted.accept_unsealed,
        ..How::default()
    };
    each_storage(session, &wanted.backups, "key add", how, |vault, plan| {
        let mut keys = Vec::new();
        for path in &wanted.key_files {
            keys.push(push_file(&mut vault.ring, path)?);
        }
        for recipient in &wanted.recipients {
            keys.push(push_recipient(&mut vault.ring, recipient));
        }
        let change = KeyChange::Add { keys };
        Ok(change_keys(vault, &change, plan, session.now)?)
    })
}

pub fn drop(session: &Session<'_>, wanted: &KeyDrop) -> anyhow::Result<Exit> {
    each_storage(
        session,
        &wanted.backups,
        "key drop",
        How::default(),
        |vault, plan| {
            let mut keys: Vec<DroppedKey> = wanted.id.map(DroppedKey::Id).into_iter().collect();
            if let Some(path) = &wanted.key_file {
                keys.push(DroppedKey::Place(push_file(&mut vault.ring, path)?));
            }
            if let Some(recipient) = &wanted.recipient {
                let place = push_recipient(&mut vault.ring, recipient);
                keys.push(DroppedKey::Place(place));
            }
            let change = KeyChange::Drop {
                keys,
                force: wanted.force,
            };
            Ok(change_keys(vault, &change, plan, session.now)?)
        },
    )
}

pub fn repair(session: &Session<'_>, wanted: &KeyRepair) -> anyhow::Result<Exit> {
    each_storage(
        session,
        &wanted.backups,
        "key repair",
        How::default(),
        |vault, plan| Ok(change_keys(vault, &KeyChange::Repair, plan, session.now)?),
    )
}

pub fn rotate(session: &Session<'_>, wanted: &KeyRotate) -> anyhow::Result<Exit> {
    let programs = wiring::archive_programs(&session.settings, session.path.as_deref());
    let check = |backup: &Backup| wiring::check_target(backup, &programs, session.cancel);
    let how = How {
        dry_run: wanted.dry_run,
        accepts_unsealed: wanted.accept_unsealed,
    };
    each_storage(session, &wanted.backups, KEY_ROTATE, how, |vault, plan| {
        let from = wanted.from.as_deref();
        let from = from.map(|path| push_file(&mut vault.ring, path));
        let now = session.now;
        Ok(match (from.transpose()?, wanted.reencrypt) {
            (Some(from), false) => change_keys(vault, &KeyChange::Rotate { from }, plan, now)?,
            (from, _) => reencrypt(vault, from, plan, now, &check)?,
        })
    })
}

fn push_file(ring: &mut Keyring, path: &Path) -> Result<usize, SecretError> {
    Ok(ring.push(NamedKey {
        label: path.display().to_string(),
        material: load_key_file(path)?,
        writes: false,
    }))
}

fn push_recipient(ring: &mut Keyring, recipient: &AgeRecipient) -> usize {
    ring.push(NamedKey {
        label: "the command line".to_owned(),
        material: KeyMaterial::Recipient(recipient.clone()),
        writes: false,
    })
}

/// The configured storage, or those that the named backups lie in, each once;
/// all backups are found before the first is changed.
fn each_storage(
    session: &Session<'_>,
    wanted: &[String],
    command: &str,
    how: How,
    mut act: impl FnMut(&mut Vault<'_>, &KeyPlan) -> anyhow::Result<KeysChanged>,
) -> anyhow::Result<Exit> {
    let mut report = KeyChangeReport {
        command: command.to_owned(),
        dry_run: how.dry_run,
        ..KeyChangeReport::default()
    };
    let mut rows = Vec::new();
    for (opened, backups) in storages(session, wanted)? {
        let mut vault = session.vault(&opened.storage, command, Trigger::Manual)?;
        let plan = KeyPlan {
            backups,
            configured: vault.ring.keys().len(),
            accepts_unsealed: how.accepts_unsealed,
            dry_run: how.dry_run,
        };
        let done = act(&mut vault, &plan)?;
        report.written_bytes += done.written_bytes;
        report.duration_ms += u64::try_from(done.took.as_millis()).unwrap_or(u64::MAX);
        rows.extend(done.rows);
    }
    let exit = exit_of_rows(&rows, command);
    report.backups = rows.into_iter().map(row).collect();
    session.end(&report, exit)
}

fn storages(
    session: &Session<'_>,
    wanted: &[String],
) -> anyhow::Result<Vec<(Opened, Vec<String>)>> {
    if wanted.is_empty() {
        return Ok(vec![(session.open()?, Vec::new())]);
    }
    let mut storages: Vec<(Opened, Vec<String>)> = Vec::new();
    for wanted in wanted {
        let (opened, key) = session.open_for(wanted)?;
        opened.find(&key)?;
        let place = opened.storage.location();
        match storages
            .iter_mut()
            .find(|(known, _)| known.storage.location() == place)
        {
            Some((_, backups)) => backups.push(key),
            None => storages.push((opened, vec![key])),
        }
    }
    Ok(storages)
}

/// The most telling of the failures. A rotation from a key that opens nothing
/// was given the wrong key.
fn exit_of_rows(rows: &[KeyRow], command: &str) -> Exit {
    let failures = rows.iter().filter_map(|row| match &row.outcome {
        KeyOutcome::Failed(error) => Some(error),
        _ => None,
    });
    let any = |is: fn(&KeyOutcome) -> bool| rows.iter().any(|row| is(&row.outcome));
    let changed = any(|outcome| matches!(outcome, KeyOutcome::Changed(_)));
    let mut worst = Exit::Done;
    for error in failures {
        worst = match (error, worst) {
            (_, Exit::Integrity) => Exit::Integrity,
            (error, _) if error.is_integrity() => Exit::Integrity,
            (_, Exit::Incomplete) => Exit::Incomplete,
            (OperationError::Refused { .. }, _) if !changed => Exit::Failed,
            // One of the two copies of its header may be written already.
            _ => Exit::Incomplete,
        };
    }
    let unproven = any(|outcome| matches!(outcome, KeyOutcome::Unproven(_)));
    let other_key = any(|outcome| matches!(outcome, KeyOutcome::OtherKey(_)));
    let already = any(|outcome| matches!(outcome, KeyOutcome::Already));
    match worst {
        // With the old key they would be lost.
        Exit::Done | Exit::Failed if unproven => Exit::Incomplete,
        Exit::Done if command == KEY_ROTATE && other_key && !changed && !already => Exit::Integrity,
        worst => worst,
    }
}

fn row(row: KeyRow) -> KeyChangeRow {
    let KeyRow {
        archive,
        id,
        outcome,
    } = row;
    let (result, detail) = match outcome {
        KeyOutcome::Changed(note) => (KeyResult::Changed, note),
        KeyOutcome::Resealed => {
            let what = "it has no key slots; its manifest is sealed by the new key";
            (KeyResult::Changed, Some(what.to_owned()))
        }
        KeyOutcome::Already => (KeyResult::Already, None),
        KeyOutcome::OtherKey(wants) => (KeyResult::OtherKey, Some(format!("opens with {wants}"))),
        KeyOutcome::Unproven(why) => {
            let what = "if you know where it is from, --accept-unsealed takes it";
            (KeyResult::Unproven, Some(format!("{why}; {what}")))
        }
        KeyOutcome::NotKluis1(form) => (KeyResult::NotKluis1, Some(form.to_owned())),
        KeyOutcome::Failed(error) => {
            let said = error.to_string();
            // The row names the archive already.
            let said = said.strip_prefix(&format!("{archive}: ")).unwrap_or(&said);
            (KeyResult::Failed, Some(said.to_owned()))
        }
    };
    KeyChangeRow {
        id: id.map(|id| id.to_string()),
        file: archive,
        result,
        detail,
    }
}
