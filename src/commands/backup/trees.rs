//! `kluis backup source`: one archive for each directory. One that fails does not stop
//! the others.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::FileType;

use crate::cli::RecordFlags;
use crate::exit::Exit;
use crate::format::manifest::Kind;
use crate::format::names::ArchiveFormat;
use crate::operations::{BackupPlan, Encryption, OperationError, Reporter, Vault, backup};
use crate::paths::Chain;
use crate::render;
use crate::source::excludes_below;
use crate::storage::{LocalStorage, Storage};
use crate::wiring;

use super::super::session::Session;
use super::several::{end, record_refused};
use super::{encryption, happened, plan, report};

pub fn source(session: &Session<'_>, record: &RecordFlags) -> anyhow::Result<Exit> {
    let settings = &session.settings.source;
    let paths = &settings.paths.value;
    let usage = |what: &str| OperationError::Usage {
        what: what.to_owned(),
    };
    if paths.is_empty() {
        return Err(usage(
            "no directory to back up; name one, or set BACKUP_SOURCE_PATH or [source] paths",
        )
        .into());
    }
    if settings.name.is_some() && paths.len() > 1 {
        return Err(usage("--name fits one directory; several are backed up here").into());
    }
    let storage = wiring::storage(&session.settings)?;
    let vault = session.vault_to_back_up(&storage, "backup source", record.trigger.into())?;
    let excludes = wiring::read_excludes(settings)?;
    // All of them are looked at before the first is read.
    let (roots, missing) = roots(paths)?;
    let run = Run {
        session,
        record,
        encryption: encryption(session, &vault)?,
        storage: &storage,
        vault: &vault,
    };
    let excludes = run.excludes(&excludes, &roots)?;
    run.back_up(&roots, &excludes, missing)
}

/// Paths of which no backup can be made, each with the reason.
type Missing = Vec<(PathBuf, OperationError)>;

/// The trees that are there, and what is not: that is an error only where no other
/// is.
fn roots(paths: &[PathBuf]) -> Result<(Vec<Root>, Missing), OperationError> {
    let (mut roots, mut missing) = (Vec::new(), Missing::new());
    for path in paths {
        match Root::of(path) {
            Ok(root) => roots.push(root),
            Err(error) => missing.push((path.clone(), error)),
        }
    }
    match roots.is_empty() {
        true => Err(missing.swap_remove(0).1),
        false => Ok((roots, missing)),
    }
}

/// What the trees of one run have in common.
struct Run<'a> {
    session: &'a Session<'a>,
    record: &'a RecordFlags,
    encryption: Encryption,
    storage: &'a LocalStorage,
    vault: &'a Vault<'a>,
}

impl Run<'_> {
    /// The patterns for each of the trees.
    fn excludes(
        &self,
        patterns: &[String],
        roots: &[Root],
    ) -> Result<Vec<Vec<String>>, OperationError> {
        let paths = &self.session.settings.source.paths.value;
        // Also of those that are not there.
        let given = paths.iter().filter_map(|it| std::path::absolute(it).ok());
        let others: Vec<PathBuf> = given
            .chain(roots.iter().map(|it| it.root.clone()))
            .collect();
        let others: Vec<&Path> = others.iter().map(PathBuf::as_path).collect();
        let of_root = |Root { given, root }: &Root| {
            excludes_below(patterns, &[given, root], &others).map_err(|error| {
                let what = error.to_string();
                OperationError::Usage { what }
            })
        };
        roots.iter().map(of_root).collect()
    }

    fn back_up(
        &self,
        roots: &[Root],
        excludes: &[Vec<String>],
        missing: Missing,
    ) -> anyhow::Result<Exit> {
        let (mut done, mut failed) = (Vec::new(), self.refused(missing));
        for (root, excludes) in roots.iter().zip(excludes) {
            let name = match &self.session.settings.source.name {
                Some(name) => name.value.clone(),
                None => name_of(&root.given),
            };
            match self.one(&name, root, excludes) {
                Ok(made) => done.push(made),
                Err(error) => {
                    failed.push((name, error.into()));
                    // Asked to stop: the rest is not begun.
                    if self.session.cancel.check().is_err() {
                        break;
                    }
                }
            }
        }
        end(self.session, self.vault, Kind::Source, done, failed)
    }

    /// What is not even begun: told, and missing in this run.
    fn refused(&self, missing: Missing) -> Vec<(String, anyhow::Error)> {
        let refused = missing.into_iter().map(|(path, error)| {
            let name = name_of(&path);
            record_refused(self.session, self.vault, &name, &error.to_string());
            happened(self.session, self.vault, Kind::Source, &name, Err(&error));
            (name, error.into())
        });
        refused.collect()
    }

    fn one(
        &self,
        name: &str,
        Root { given, root }: &Root,
        excludes: &[String],
    ) -> Result<render::BackupDone, OperationError> {
        let Self { session, .. } = self;
        let settings = &session.settings.source;
        let plan = BackupPlan {
            allow_empty: settings.allow_empty.value,
            given_root: Some(given.to_string_lossy().into_owned()),
            ..plan(
                session,
                self.encryption,
                name,
                ArchiveFormat::Tree,
                self.record,
            )
        };
        let done = backup(self.vault, &plan, Timestamp::now(), || {
            wiring::tree_source(root, settings, excludes, self.storage, session.cancel)
        });
        happened(session, self.vault, Kind::Source, name, done.as_ref());
        let done = done?;
        let tree = done.manifest.source.as_ref();
        for special in tree.iter().flat_map(|tree| &tree.specials) {
            let text = format!("left out, a {}: {}", special.kind, special.path);
            session.console.detail(&text);
        }
        Ok(report(&self.storage.location(), &done))
    }
}

/// A tree to back up.
struct Root {
    /// As the operator gave it, from the top: the tree's series follows it, also
    /// where a link leads to another directory with each release.
    given: PathBuf,
    /// The directory itself, or the one file.
    root: PathBuf,
}

impl Root {
    /// A link that others could have put there leads nowhere else.
    fn of(given: &Path) -> Result<Self, OperationError> {
        let found = match Chain::to_directory(given) {
            Err(error) if error.kind() == ErrorKind::NotADirectory => file(given),
            way => way.and_then(|way| {
                way.refuse_led(Some(way.last().stat()?.st_uid))?;
                Ok(way.path())
            }),
        };
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

/// The path of a single file behind all links. It is opened, and judged again, when it
/// is read.
fn file(given: &Path) -> io::Result<PathBuf> {
    let (way, leaf) = Chain::to_parent(given)?;
    if leaf.kind != Some(FileType::RegularFile) {
        let why = "it is neither a directory nor a regular file";
        return Err(io::Error::new(ErrorKind::InvalidInput, why));
    }
    way.refuse_led(Some(way.last().look(&leaf.name)?.st_uid))?;
    Ok(way.path().join(OsStr::from_bytes(leaf.name.to_bytes())))
}

/// The directory's or the file's own name.
fn name_of(root: &Path) -> String {
    let name = root.file_name().map(|name| name.to_string_lossy());
    name.map_or_else(|| "root".to_owned(), |name| name.into_owned())
}
