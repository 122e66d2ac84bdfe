//! `kluis key drill`.

use std::collections::BTreeMap;

use crate::cli::KeyDrill;
use crate::commands::session::Session;
use crate::exit::Exit;
use crate::format::keyring::Keyring;
use crate::format::manifest::Trigger;
use crate::operations::{Drilled, OperationError, Reporter, SurveyedArchive, key_drill};
use crate::render::{DrillKeyRow, ElsewhereRow, KeyDrillReport, SampleRow};
use crate::storage::Storage;

use super::list::{key_row, unopened};

pub fn drill(session: &Session<'_>, wanted: &KeyDrill) -> anyhow::Result<Exit> {
    let opened = session.open()?;
    let vault = session.vault(&opened.storage, "key drill", Trigger::Manual)?;
    let sample = match wanted.all {
        true => usize::MAX,
        false => wanted.sample,
    };
    let done = key_drill(&vault, &opened.catalog, sample, session.now)?;
    for broken in &opened.catalog.unreadable {
        let text = format!("the manifest {}: {}", broken.key, broken.error);
        session.console.warn(&text);
    }
    for archive in &done.archives {
        if let Some(unused) = &archive.unused_copy {
            let name = &archive.backup.archive;
            let text = format!("{name}: {unused}; {}", unused.remedy(name));
            session.console.warn(&text);
        }
    }
    let encrypted = done.archives.iter().filter(|it| it.is_encrypted()).count() as u64;
    let manifests = opened.catalog.unreadable.is_empty();
    let exit = match done.worst() {
        Some(error) if error.is_integrity() => Exit::Integrity,
        Some(_) => Exit::Failed,
        None if !manifests => Exit::Integrity,
        None => Exit::Done,
    };
    let report = KeyDrillReport {
        ok: done.worst().is_none() && manifests,
        storage: opened.storage.location(),
        encrypted,
        unencrypted: done.archives.len() as u64 - encrypted,
        keys: (0..vault.ring.keys().len())
            .filter(|&index| vault.ring.keys()[index].material.opens())
            .filter_map(|index| drill_row(&vault.ring, index, &done.archives))
            .collect(),
        unopened: unopened(&done.archives),
        sample: done.sample.iter().map(sample_row).collect(),
        duration_ms: u64::try_from(done.took.as_millis()).unwrap_or(u64::MAX),
    };
    session.end(&report, exit)
}

/// What the key opens, and what nothing opens without it.
fn drill_row(
    ring: &Keyring,
    index: usize,
    archives: &[SurveyedArchive<'_>],
) -> Option<DrillKeyRow> {
    let alone = archives.iter().filter(|it| it.opened_by == [index]);
    let mut lost = Vec::new();
    let mut elsewhere: BTreeMap<Vec<String>, u64> = BTreeMap::new();
    for archive in alone {
        let mut by: Vec<String> = archive.closed_slots().map(ToString::to_string).collect();
        by.sort();
        by.dedup();
        match by.is_empty() {
            true => lost.push(archive.backup.archive.clone()),
            false => *elsewhere.entry(by).or_default() += 1,
        }
    }
    Some(DrillKeyRow {
        key: key_row(ring, index, archives)?,
        lost: lost.len() as u64,
        // The catalogue's order is by age, the newest first.
        newest_lost: lost.into_iter().next(),
        elsewhere: elsewhere
            .into_iter()
            .map(|(by, backups)| ElsewhereRow { by, backups })
            .collect(),
    })
}

fn sample_row(drilled: &Drilled<'_>) -> SampleRow {
    let Drilled {
        backup,
        result,
        took,
    } = drilled;
    let said = |error: &OperationError| {
        let said = error.to_string();
        let name = format!("{}: ", backup.archive);
        said.strip_prefix(&name).unwrap_or(&said).to_owned()
    };
    let file = backup.file.as_ref();
    SampleRow {
        file: backup.archive.clone(),
        id: file.map(|file| file.manifest.id.to_string()),
        created_at: backup.created_at(),
        ok: result.is_ok(),
        read_bytes: backup.stored_bytes(),
        duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        problem: result.as_ref().err().map(said),
    }
}
