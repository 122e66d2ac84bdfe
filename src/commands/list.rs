//! `kluis list` and `kluis show`.

use crate::catalog::Backup;
use crate::cli::{List, Show, SortArg};
use crate::exit::Exit;
use crate::format::manifest::Kind;
use crate::operations::{OperationError, Reporter, key_slots, seal_holds};
use crate::render::{ListReport, ListRow, Proof, ShowReport};
use crate::storage::Storage;

use super::session::Session;

pub fn list(session: &Session<'_>, wanted: &List) -> anyhow::Result<Exit> {
    let opened = session.open()?;
    for broken in &opened.catalog.unreadable {
        session
            .console
            .warn(&format!("the manifest {}: {}", broken.key, broken.error));
    }
    let kind = wanted.kind.map(Kind::from);
    let mut rows: Vec<ListRow> = opened
        .catalog
        .backups
        .iter()
        .filter(|backup| kind.is_none_or(|kind| backup.kind() == Some(kind)))
        .filter(|backup| {
            wanted
                .name
                .as_deref()
                .is_none_or(|name| name == backup.name())
        })
        .filter_map(row)
        .collect();
    match wanted.sort {
        // The catalogue's own order.
        SortArg::Date => {}
        SortArg::Size => rows.sort_by_key(|row| std::cmp::Reverse(row.stored_bytes)),
        SortArg::Name => rows.sort_by(|a, b| a.name.cmp(&b.name)),
    }
    if wanted.reverse {
        rows.reverse();
    }
    // 0 is all, as with history.
    let limit = wanted.limit.filter(|&limit| limit > 0);
    rows.truncate(limit.unwrap_or(usize::MAX));
    let root = opened.storage.local_root();
    if let Some(root) = root.filter(|root| !root.exists()) {
        // Most likely a wrong path, or a drive that is not mounted.
        let place = root.display();
        session.console.warn(&format!(
            "there is no directory {place}; is the path right?"
        ));
    }
    session.print(&ListReport {
        storage: opened.storage.location(),
        total: opened.catalog.backups.len() as u64,
        backups: rows,
    })?;
    Ok(Exit::Done)
}

pub(super) fn row(backup: &Backup) -> Option<ListRow> {
    let manifest = backup.file.as_ref().map(|file| &file.manifest);
    let state = backup.file.as_ref().map(|file| &file.state);
    let verification = state.and_then(|state| state.verification.as_ref());
    Some(ListRow {
        id: manifest.map(|manifest| manifest.id.to_string()),
        kind: backup.kind()?,
        name: backup.name().to_owned(),
        created_at: backup.created_at(),
        file: backup.archive.clone(),
        stored_bytes: backup.stored_bytes(),
        raw_bytes: manifest.map(|manifest| manifest.content.raw_bytes),
        proof: proof(backup),
        proven_at: verification.map(|verification| verification.at),
        encrypted: match manifest {
            Some(manifest) => manifest.encryption.is_some(),
            None => backup.named.as_ref().is_some_and(|named| named.encrypted),
        },
        kept: state.is_some_and(|state| state.pinned),
        before_restore_of: manifest.and_then(|manifest| manifest.before_restore_of.clone()),
        partial: manifest
            .and_then(|manifest| manifest.database.as_ref())
            .is_some_and(|database| !database.selection.is_everything()),
        note: manifest.and_then(|manifest| manifest.note.clone()),
    })
}

pub fn proof(backup: &Backup) -> Proof {
    match (&backup.file, backup.proof()) {
        (None, _) => Proof::NoChecksum,
        // A manifest whose archive is gone, or a check that failed.
        (Some(_), _) if backup.stored.is_none() => Proof::Failed,
        (Some(_), None) => Proof::Failed,
        (Some(_), Some(level)) => level.into(),
    }
}

pub fn show(session: &Session<'_>, wanted: &Show) -> anyhow::Result<Exit> {
    let (opened, key) = session.open_for(&wanted.backup)?;
    let backup = opened.find(&key)?;
    let Some(file) = &backup.file else {
        let what = format!(
            "{} has no manifest; `kluis list` shows all there is",
            backup.archive
        );
        return Err(OperationError::Usage { what }.into());
    };
    let vault = session.vault(
        &opened.storage,
        "show",
        crate::format::manifest::Trigger::Manual,
    )?;
    let slots = key_slots(&vault, backup);
    let (opens_with, keys_changed) = slots.map_or((Vec::new(), false), |s| (s.names, s.changed));
    session.print(&ShowReport {
        manifest: file.manifest.clone(),
        state: file.state.clone(),
        location: format!("{}/{}", opened.storage.location(), backup.archive),
        seal_ok: seal_holds(&vault, backup),
        opens_with,
        keys_changed,
    })?;
    Ok(Exit::Done)
}
