//! `kluis key list`.

use std::collections::BTreeMap;

use crate::cli::KeyList;
use crate::commands::session::{Session, each_backup};
use crate::exit::Exit;
use crate::format::header::HeaderError;
use crate::format::keyring::{KeyMaterial, Keyring};
use crate::format::manifest::Trigger;
use crate::format::slots::SlotName;
use crate::operations::{ArchiveForm, OperationError, Reporter, SurveyedArchive, survey_keys};
use crate::render::{
    KeyListReport, KeyName, KeyRow, KeySlotsReport, SlotRow, SlotsRow, UnopenedRow,
};
use crate::storage::Storage;

pub fn list(session: &Session<'_>, wanted: &KeyList) -> anyhow::Result<Exit> {
    match wanted.backups.is_empty() {
        true => of_storage(session),
        false => of_backups(session, &wanted.backups),
    }
}

fn of_storage(session: &Session<'_>) -> anyhow::Result<Exit> {
    let opened = session.open()?;
    for broken in &opened.catalog.unreadable {
        let text = format!("the manifest {}: {}", broken.key, broken.error);
        session.console.warn(&text);
    }
    let vault = session.vault(&opened.storage, "key list", Trigger::Manual)?;
    let archives = survey_keys(&vault, opened.catalog.all())?;
    let encrypted = archives.iter().filter(|it| it.is_encrypted()).count() as u64;
    let legacy = |it: &&SurveyedArchive<'_>| it.form == ArchiveForm::Kanbu;
    session.print(&KeyListReport {
        storage: opened.storage.location(),
        encrypted,
        unencrypted: archives.len() as u64 - encrypted,
        legacy: archives.iter().filter(legacy).count() as u64,
        keys: key_rows(&vault.ring, &archives),
        unopened: unopened(&archives),
        signs_with: vault.ring.signer().map(|it| it.verifier().to_string()),
        believes: vault
            .ring
            .verifiers()
            .iter()
            .map(ToString::to_string)
            .collect(),
    })?;
    Ok(Exit::Done)
}

fn of_backups(session: &Session<'_>, wanted: &[String]) -> anyhow::Result<Exit> {
    let mut backups = Vec::new();
    let mut exit = Exit::Done;
    each_backup(session, wanted, |opened, named| {
        let backup = named.backup();
        let vault = session.vault(&opened.storage, "key list", Trigger::Manual)?;
        if backup.stored.is_none() {
            let what = format!("{} is gone; only its manifest is there", backup.archive);
            return Err(OperationError::Refused { what }.into());
        }
        for archive in survey_keys(&vault, [backup])? {
            let problem = archive.problem.as_ref();
            if problem.is_some_and(|error| error.is_integrity() && !error.lacks_key()) {
                exit = Exit::Integrity;
            }
            backups.push(slots_row(&vault.ring, &archive));
        }
        Ok(())
    })?;
    session.end(&KeySlotsReport { backups }, exit)
}

fn slots_row(ring: &Keyring, archive: &SurveyedArchive<'_>) -> SlotsRow {
    let label = |&index: &usize| ring.keys().get(index).map(|key| key.label.clone());
    let slots = archive.slots.iter().map(|slot| SlotRow {
        key: of_slot(&slot.name),
        opened_by: slot.opened_by.iter().filter_map(label).collect(),
    });
    let generations = match archive.generations {
        [Some(a), Some(b)] => Some([a, b]),
        _ => None,
    };
    SlotsRow {
        file: archive.backup.archive.clone(),
        id: id_of(archive),
        format: form_word(archive.form).to_owned(),
        checked: archive.is_checked(),
        slots: slots.collect(),
        generations,
        unused_copy: archive.unused_copy.as_ref().map(ToString::to_string),
        problem: archive.problem.as_ref().map(|error| said(archive, error)),
    }
}

fn form_word(form: ArchiveForm) -> &'static str {
    match form {
        ArchiveForm::Plain => "not encrypted",
        ArchiveForm::Kluis1 => "KLUIS1",
        ArchiveForm::Kanbu => "kanbu",
    }
}

fn id_of(archive: &SurveyedArchive<'_>) -> Option<String> {
    let file = archive.backup.file.as_ref();
    file.map(|file| file.manifest.id.to_string())
}

/// The error without the archive's name, which stands beside it.
pub(super) fn said(archive: &SurveyedArchive<'_>, error: &OperationError) -> String {
    let said = error.to_string();
    let name = format!("{}: ", archive.backup.archive);
    said.strip_prefix(&name).unwrap_or(&said).to_owned()
}

/// The archives that no configured key opens.
pub(super) fn unopened(archives: &[SurveyedArchive<'_>]) -> Vec<UnopenedRow> {
    let row = |archive: &SurveyedArchive<'_>| {
        let error = archive.problem.as_ref()?;
        let wants = match error {
            OperationError::Header {
                source: HeaderError::NoKey { wants },
                ..
            } => wants.clone(),
            _ => Vec::new(),
        };
        Some(UnopenedRow {
            file: archive.backup.archive.clone(),
            id: id_of(archive),
            wants,
            problem: said(archive, error),
        })
    };
    archives.iter().filter_map(row).collect()
}

/// The configured keys, then those that archives want and that are not configured.
fn key_rows(ring: &Keyring, archives: &[SurveyedArchive<'_>]) -> Vec<KeyRow> {
    let mut rows: Vec<KeyRow> = (0..ring.keys().len())
        .filter_map(|index| key_row(ring, index, archives))
        .collect();
    let mut missing: BTreeMap<KeyName, u64> = BTreeMap::new();
    for archive in archives {
        let mut names: Vec<KeyName> = archive.closed_slots().map(of_slot).collect();
        names.sort();
        names.dedup();
        for name in names {
            if !rows.iter().any(|row| row.key == name && name.is_one()) {
                *missing.entry(name).or_default() += 1;
            }
        }
    }
    rows.extend(missing.into_iter().map(|(key, backups)| KeyRow {
        key,
        from: None,
        writes: false,
        opens: false,
        backups,
    }));
    rows
}

/// A configured key and how many archives open with it. Of a recipient, whose
/// identity may be elsewhere, those that name it.
pub(super) fn key_row(
    ring: &Keyring,
    index: usize,
    archives: &[SurveyedArchive<'_>],
) -> Option<KeyRow> {
    let key = ring.keys().get(index)?;
    let name = match &key.material {
        KeyMaterial::Raw(key) => KeyName::Key {
            key_id: key.id().to_string(),
        },
        KeyMaterial::Passphrase(_) => KeyName::Passphrase,
        material => KeyName::Age {
            recipient: material.recipient().map(|recipient| recipient.to_string()),
        },
    };
    let opens = key.material.opens();
    let counts = |archive: &&SurveyedArchive<'_>| match opens {
        true => archive.opened_by.contains(&index),
        false => archive.slots.iter().any(|slot| of_slot(&slot.name) == name),
    };
    Some(KeyRow {
        backups: archives.iter().filter(counts).count() as u64,
        key: name,
        from: Some(key.label.clone()),
        writes: key.writes,
        opens,
    })
}

fn of_slot(name: &SlotName) -> KeyName {
    match name {
        SlotName::Key(id) => KeyName::Key {
            key_id: id.to_string(),
        },
        SlotName::Passphrase => KeyName::Passphrase,
        SlotName::Age(recipient) => KeyName::Age {
            recipient: recipient.clone(),
        },
    }
}
