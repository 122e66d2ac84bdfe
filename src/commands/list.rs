//! `kluis list` and `kluis show`.

use crate::catalog::{Backup, Foreign, Repeated};
use crate::cli::{List, Show, SortArg};
use crate::exit::Exit;
use crate::format::manifest::{Kind, Manifest};
use crate::format::manifest_file::ManifestFile;
use crate::operations::{OperationError, Reporter, key_slots, seal_holds};
use crate::render::{ForeignRow, ListReport, ListRow, Proof, RepeatedRow, ShowReport};
use crate::series::{Series, Titles, Variant};
use crate::storage::Storage;

use super::session::Session;

pub fn list(session: &Session<'_>, wanted: &List) -> anyhow::Result<Exit> {
    let opened = session.open()?;
    session.warn_of_unreadable(&opened.catalog);
    let kind = wanted.kind.map(Kind::from);
    let name = wanted.name.as_deref();
    let is_wanted = |backup: &Backup| {
        kind.is_none_or(|kind| backup.kind() == Some(kind))
            && name.is_none_or(|name| name == backup.name())
    };
    let catalog = &opened.catalog;
    let fitting = catalog.backups.iter().filter(|it| is_wanted(it));
    let titles = catalog.titles();
    let mut rows: Vec<ListRow> = fitting.filter_map(|backup| row(backup, &titles)).collect();
    let foreign = catalog.foreign.iter();
    let foreign = foreign.filter(|it| is_wanted(it.described()));
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
        without_manifest: catalog.uncounted().without_manifest,
        backups: rows,
        repeated: catalog.repeated.iter().map(repeated_row).collect(),
        foreign: foreign.filter_map(foreign_row).collect(),
    })?;
    Ok(Exit::Done)
}

fn repeated_row(repeated: &Repeated) -> RepeatedRow {
    let file = repeated.ours.file.as_ref();
    RepeatedRow {
        file: repeated.ours.archive.clone(),
        id: file.map(|file| file.manifest.id.to_string()),
        by: repeated.by.clone(),
        why: repeated.why(),
    }
}

/// Ours first; what the storage holds beside that is told apart.
pub(super) fn foreign_row(foreign: &Foreign) -> Option<ForeignRow> {
    Some(ForeignRow {
        described: row(foreign.described(), &Titles::new())?,
        why: foreign.why.to_string(),
        word: foreign.why.word(),
        lacks_seal: foreign.why.lacks_seal(),
    })
}

/// `titles`: of what lies there, where names alone do not tell it apart.
pub(super) fn row(backup: &Backup, titles: &Titles) -> Option<ListRow> {
    let series = backup.series.as_ref();
    let title = series.and_then(|series| titles.get(&series.whole()));
    let manifest = backup.file.as_ref().map(|file| &file.manifest);
    let state = backup.file.as_ref().map(|file| &file.state);
    let verification = state.and_then(|state| state.verification.as_ref());
    Some(ListRow {
        id: manifest.map(|manifest| manifest.id.to_string()),
        kind: backup.kind()?,
        name: backup.name().to_owned(),
        title: title.map_or(backup.name(), String::as_str).to_owned(),
        series: series.map(Series::to_string),
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
        sealed: backup.file.as_ref().is_some_and(ManifestFile::is_sealed),
        before_restore_of: manifest.and_then(|manifest| manifest.before_restore_of.clone()),
        partial: series.is_some_and(|series| matches!(series.variant, Variant::Part(_))),
        adopted: series.is_some_and(|series| series.variant == Variant::Adopted),
        complete: manifest.is_none_or(Manifest::is_complete),
        note: manifest.and_then(|manifest| manifest.note.clone()),
    })
}

pub fn proof(backup: &Backup) -> Proof {
    backup.standing().map_or(Proof::NoChecksum, Proof::from)
}

pub fn show(session: &Session<'_>, wanted: &Show) -> anyhow::Result<Exit> {
    let (opened, key) = session.open_for(&wanted.backup)?;
    let named = opened.find(&key)?;
    let backup = named.backup();
    let Some(file) = &backup.file else {
        let what = format!(
            "{} has no manifest; `kluis list` shows all there is",
            backup.archive
        );
        return Err(OperationError::Usage { what }.into());
    };
    let vault = session.vault_to_look(&opened.storage, "show")?;
    let slots = key_slots(&vault, backup);
    let (opens_with, keys_changed) = slots.map_or((Vec::new(), false), |s| (s.names, s.changed));
    session.print(&ShowReport {
        manifest: file.manifest.clone(),
        series: backup
            .series
            .as_ref()
            .map_or_else(String::new, Series::to_string),
        complete: file.manifest.is_complete(),
        state: file.state.clone(),
        sealed: file.is_sealed() && named.foreign().is_none(),
        foreign: named.foreign().map(|foreign| foreign.why.to_string()),
        location: format!("{}/{}", opened.storage.location(), backup.archive),
        seal_ok: seal_holds(&vault, backup),
        opens_with,
        keys_changed,
    })?;
    Ok(Exit::Done)
}
