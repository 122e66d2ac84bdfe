//! `kluis backup source`: one archive for each directory.

use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;

use crate::cli::RecordFlags;
use crate::exit::Exit;
use crate::format::manifest::Kind;
use crate::format::names::ArchiveFormat;
use crate::operations::{BackupPlan, OperationError, backup};
use crate::paths::Chain;
use crate::storage::Storage;
use crate::wiring;

use super::super::session::Session;
use super::{encryption, finish, happened, not_made, plan, report};

pub fn source(session: &Session<'_>, record: &RecordFlags) -> anyhow::Result<Exit> {
    let settings = &session.settings.source;
    let roots = &settings.paths.value;
    let usage = |what: &str| OperationError::Usage {
        what: what.to_owned(),
    };
    if roots.is_empty() {
        return Err(usage(
            "no directory to back up; name one, or set BACKUP_SOURCE_PATH or [source] paths",
        )
        .into());
    }
    if settings.name.is_some() && roots.len() > 1 {
        return Err(usage("--name fits one directory; several are backed up here").into());
    }
    let storage = wiring::storage(&session.settings)?;
    let vault = session.vault_to_back_up(&storage, "backup source", record.trigger.into())?;
    let excludes = wiring::read_excludes(&settings.exclude_from.value)?;
    let encryption = encryption(session, &vault)?;
    // All of them are there before the first is read.
    let roots: Vec<Root> = roots
        .iter()
        .map(|root| Root::of(root))
        .collect::<Result<_, _>>()?;
    let mut reports = Vec::new();
    for Root { given, root } in &roots {
        let name = match &settings.name {
            Some(name) => name.value.clone(),
            None => name_of(given),
        };
        let plan = BackupPlan {
            allow_empty: settings.allow_empty.value,
            given_root: Some(given.to_string_lossy().into_owned()),
            ..plan(session, encryption, &name, ArchiveFormat::Tree, record)
        };
        let done = backup(&vault, &plan, Timestamp::now(), || {
            wiring::tree_source(root, settings, &excludes, &storage, session.cancel)
        });
        happened(session, &vault, Kind::Source, &name, done.as_ref());
        match done {
            Ok(done) => reports.push(report(&storage.location(), &done)),
            Err(error) => {
                // What was made before is told before what was not.
                finish(session, &vault, reports, Vec::new())?;
                return Err(not_made(&name, error.into()));
            }
        }
    }
    finish(session, &vault, reports, Vec::new())
}

/// A tree to back up.
struct Root {
    /// As the operator gave it, from the top: the tree's series follows it, also
    /// where a link leads to another directory with each release.
    given: PathBuf,
    /// The directory itself.
    root: PathBuf,
}

impl Root {
    /// A link that others could have put there leads nowhere else.
    fn of(given: &Path) -> Result<Self, OperationError> {
        let found = Chain::to_directory(given).and_then(|way| {
            way.refuse_led(Some(way.last().stat()?.st_uid))?;
            Ok(way.path())
        });
        let root = found.map_err(|error| OperationError::Usage {
            what: format!("cannot back up {}: {error}", given.display()),
        })?;
        let whole = std::path::absolute(given).unwrap_or_else(|_| root.clone());
        // `..` behind a link leads elsewhere than it says.
        let goes_up = whole.components().any(|part| part == Component::ParentDir);
        let given = match goes_up {
            true => root.clone(),
            false => whole.components().collect(),
        };
        Ok(Self { given, root })
    }
}

/// The directory's own name.
fn name_of(root: &Path) -> String {
    let name = root.file_name().map(|name| name.to_string_lossy());
    name.map_or_else(|| "root".to_owned(), |name| name.into_owned())
}
