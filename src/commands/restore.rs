//! `kluis restore`: into a new directory or database, or in place of one.

use crate::catalog::Backup;
use crate::cli::Restore;
use crate::exit::{Exit, exit_of};
use crate::format::manifest::{Kind, Manifest, Trigger};
use crate::operations::{Depth, OperationError, Reporter, restore, verify};
use crate::render::{self, RestoreReport};
use crate::target::{DatabaseTarget, DirectoryTarget, Placement, RestoreTreeOptions, Target};
use crate::wiring;

use super::session::{Opened, Session};

mod select;

pub fn run(session: &Session<'_>, wanted: &Restore) -> anyhow::Result<Exit> {
    let (opened, key) = session.open_for(&wanted.backup)?;
    let backup = opened.find(&key)?;
    if wanted.list {
        return select::list(session, &opened, backup);
    }
    select::check_flags(wanted)?;
    let destination = destination(backup, wanted)?;
    if let (Destination::Replace(name), false, false) = (&destination, wanted.yes, wanted.dry_run) {
        confirm_replacing(session, backup, name, wanted.keep_old)?;
    }
    let target = open_target(session, backup, wanted, &destination)?;
    let target = select::only_chosen(session, &opened, backup, wanted, target)?;
    if wanted.dry_run {
        // Dropping the target leaves nothing: it has only looked.
        drop(target);
        return dry_run(session, &opened, backup, &destination);
    }
    let vault = session.vault(&opened.storage, "restore", Trigger::Manual)?;
    let done = restore(&vault, backup, session.now, || Ok(target))
        .map_err(|error| not_restored(&destination, error.into()))?;
    if let Some(damaged) = &done.report.damaged_copy {
        session.console.warn(&format!(
            "{}: {damaged}; make a new backup soon",
            backup.archive
        ));
    }
    let incomplete = done.received.left_out > 0;
    if incomplete {
        session.console.warn(&format!(
            "{} entries were left out, named above or with --json under warnings",
            done.received.left_out
        ));
    }
    session.print(&RestoreReport {
        raw_bytes: done.report.unsealed.raw_bytes,
        duration_ms: u64::try_from(done.took.as_millis()).unwrap_or(u64::MAX),
        tables: done
            .received
            .database
            .as_ref()
            .map_or(0, |db| db.ledger.tables.len() as u64),
        rows: done.received.database.as_ref().map_or(0, |db| {
            db.ledger.tables.iter().map(|table| table.rows).sum()
        }),
        files: done.received.tree.as_ref().map_or(0, |tree| tree.files),
        kept_old: done.received.kept_old.clone(),
        left_out: done.received.left_out,
        warnings: done.received.warnings.clone(),
        ..empty(backup, &destination)
    })?;
    Ok(if incomplete {
        Exit::Incomplete
    } else {
        Exit::Done
    })
}

fn confirm_replacing(
    session: &Session<'_>,
    backup: &Backup,
    name: &str,
    keep_old: bool,
) -> anyhow::Result<()> {
    let old = match keep_old {
        true => "The old one stays under another name.",
        false => "The old one is gone then; --keep-old would keep it.",
    };
    let made = render::when(backup.created_at(), &session.view);
    let question = format!(
        "This replaces the database {name:?} by {}, made {made}. {old}",
        backup.archive
    );
    Ok(session.console.confirm(&question, name, session.cancel)?)
}

/// Tells what a failure means for the data, before its reason.
fn not_restored(destination: &Destination, error: anyhow::Error) -> anyhow::Error {
    match exit_of(&error) {
        Exit::Failed | Exit::Integrity => error.context(format!(
            "nothing was restored; {destination} is as it was before"
        )),
        _ => error,
    }
}

enum Destination {
    Directory(std::path::PathBuf),
    Into(String),
    Replace(String),
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Into(name) | Self::Replace(name) => write!(f, "database {name}"),
        }
    }
}

/// The flags fit the kind of backup, or the error says which would.
fn destination(backup: &Backup, wanted: &Restore) -> Result<Destination, OperationError> {
    let usage = |what: &str| OperationError::Usage {
        what: format!("{} is a {what}", backup.archive),
    };
    let flags = &wanted.destination;
    match (backup.kind(), &flags.to, &flags.into) {
        (Some(Kind::Source), Some(to), _) => Ok(Destination::Directory(to.clone())),
        (Some(Kind::Source), None, _) => Err(usage(
            "source tree: restore it into a directory, with --to DIR",
        )),
        (_, Some(_), _) => Err(usage("database: restore it with --into NAME or --replace")),
        (_, None, Some(into)) => Ok(Destination::Into(into.clone())),
        (_, None, None) => Ok(Destination::Replace(backup.name().to_owned())),
    }
}

fn open_target(
    session: &Session<'_>,
    backup: &Backup,
    wanted: &Restore,
    destination: &Destination,
) -> Result<Box<dyn Target>, OperationError> {
    let placement = match destination {
        Destination::Directory(to) => {
            let options = RestoreTreeOptions {
                links_outside: wanted.links_outside,
            };
            let target = DirectoryTarget::new(to, options, session.cancel.clone())?;
            return Ok(Box::new(target));
        }
        Destination::Into(name) => Placement::Into(name.clone()),
        Destination::Replace(name) => Placement::Replace {
            name: name.clone(),
            keep_old: wanted.keep_old,
        },
    };
    let database = wiring::database(&session.settings, None, session.path.as_deref())?;
    let content = backup
        .file
        .as_ref()
        .and_then(|file| file.manifest.database.as_ref());
    let target = DatabaseTarget::new(database.server, placement, content, session.cancel.clone())?;
    Ok(Box::new(target))
}

fn dry_run(
    session: &Session<'_>,
    opened: &Opened,
    backup: &Backup,
    destination: &Destination,
) -> anyhow::Result<Exit> {
    let vault = session.vault(&opened.storage, "restore --dry-run", Trigger::Manual)?;
    let check = |kind: Kind, manifest: Option<&Manifest>| -> Box<dyn Target> {
        wiring::check_target(kind, manifest, session.cancel)
    };
    let done = verify(&vault, backup, Depth::Full, session.now, &check)?;
    session.print(&RestoreReport {
        dry_run: true,
        raw_bytes: done.raw_bytes.unwrap_or_default(),
        duration_ms: u64::try_from(done.took.as_millis()).unwrap_or(u64::MAX),
        warnings: done.warnings,
        ..empty(backup, destination)
    })?;
    Ok(Exit::Done)
}

/// What the manifest says was in it; a restore fills in what came.
fn empty(backup: &Backup, destination: &Destination) -> RestoreReport {
    let manifest = backup.file.as_ref().map(|file| &file.manifest);
    let tables = manifest
        .and_then(|m| m.database.as_ref())
        .map(|db| &db.ledger.tables);
    RestoreReport {
        id: manifest.map_or_else(|| "-".to_owned(), |manifest| manifest.id.to_string()),
        kind: backup.kind().unwrap_or(Kind::Db),
        name: backup.name().to_owned(),
        destination: destination.to_string(),
        dry_run: false,
        raw_bytes: 0,
        duration_ms: 0,
        content_ok: true,
        differences: Vec::new(),
        tables: tables.map_or(0, |tables| tables.len() as u64),
        rows: tables.map_or(0, |tables| tables.iter().map(|table| table.rows).sum()),
        files: manifest
            .and_then(|m| m.source.as_ref())
            .map_or(0, |tree| tree.files),
        left_out: 0,
        kept_old: None,
        warnings: Vec::new(),
    }
}
