//! What reads archives back: into nothing, into a throwaway place, into a target
//! of SQL text whatever the archive's format.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::way::ContainerSearch;
use super::{Database, client_search, database};
use crate::cancel::Cancel;
use crate::catalog::Backup;
use crate::checked::RecordedOption;
use crate::config::Settings;
use crate::format::manifest::{DatabaseContent, Kind, Manifest, TreeContent};
use crate::format::names::ArchiveFormat;
use crate::operations::OperationError;
use crate::postgres::{ClientSearch, Converter, PostgresError, Server, ThrowawayOptions, preloads};
use crate::target::{
    ContentsCheck, DumpCheck, FactsCheck, FromCustom, FromDirectory, ProofPlace, RestoreCheck,
    Target, TreeCheck, TreeRestoreCheck,
};

/// What archives need to become SQL text again.
pub struct ArchivePrograms {
    pub clients: ClientSearch,
    /// Its pg_restore stands in where this machine has none that fits.
    container: Option<ContainerSearch>,
    /// For archives that have to be unpacked first.
    pub work_dir: PathBuf,
}

impl ArchivePrograms {
    /// Those of this machine only.
    pub fn of_machine(clients: ClientSearch, work_dir: PathBuf) -> Self {
        Self {
            clients,
            container: None,
            work_dir,
        }
    }
}

/// `path`: the value of PATH.
pub fn archive_programs(settings: &Settings, path: Option<&str>) -> ArchivePrograms {
    ArchivePrograms {
        clients: client_search(settings, path),
        container: ContainerSearch::new(settings),
        work_dir: settings.work_dir.value.clone(),
    }
}

/// The target that reads a backup and keeps nothing.
pub fn check_target(
    backup: &Backup,
    programs: &ArchivePrograms,
    cancel: &Cancel,
) -> Result<Box<dyn Target>, OperationError> {
    match backup.format() {
        Some(ArchiveFormat::Tree) => Ok(Box::new(TreeCheck::new(cancel.clone()))),
        _ if backup.holds_globals() => Ok(Box::new(DumpCheck::of_globals(cancel.clone()))),
        _ => {
            let check = Box::new(DumpCheck::new(cancel.clone()));
            text_target(backup, check, programs, cancel)
        }
    }
}

/// [`check_target`] for a file without a manifest: it also tells what a dump says
/// of itself.
pub fn adoption_target(
    backup: &Backup,
    programs: &ArchivePrograms,
    cancel: &Cancel,
) -> Result<Box<dyn Target>, OperationError> {
    if backup.kind() == Some(Kind::Source) || backup.holds_globals() {
        return check_target(backup, programs, cancel);
    }
    let check = Box::new(FactsCheck::new(cancel.clone()));
    text_target(backup, check, programs, cancel)
}

/// Lets `inner`, which receives the SQL text of a dump, receive this backup:
/// what is no text yet goes through `pg_restore`.
pub fn text_target(
    backup: &Backup,
    inner: Box<dyn Target>,
    programs: &ArchivePrograms,
    cancel: &Cancel,
) -> Result<Box<dyn Target>, OperationError> {
    let clients = &programs.clients;
    match backup.format() {
        Some(ArchiveFormat::Plain) => Ok(inner),
        Some(ArchiveFormat::Custom) => {
            let converter = stream_converter(backup, programs)?;
            let target = FromCustom::new(converter, inner, cancel.clone());
            Ok(Box::new(target))
        }
        Some(ArchiveFormat::Directory) => {
            let work_dir = &programs.work_dir;
            // It is unpacked here, where no container's program can read it.
            let converter = archive_converter(backup, |major, options| {
                Converter::find(clients, major, options)
            })?;
            let target = FromDirectory::new(converter, inner, work_dir, cancel.clone());
            Ok(Box::new(target))
        }
        Some(ArchiveFormat::Tree) | None => Err(OperationError::Usage {
            what: format!(
                "{}: neither its name nor its manifest says that it is a dump that this kluis \
                 reads: .sql, .dump or .dir.tar",
                backup.archive
            ),
        }),
    }
}

/// Of this machine, else of the container that the server is in.
fn stream_converter(
    backup: &Backup,
    programs: &ArchivePrograms,
) -> Result<Converter, PostgresError> {
    archive_converter(backup, |major, options| {
        let missing = match Converter::find(&programs.clients, major, options) {
            Err(error @ PostgresError::ClientMissing { .. }) => error,
            found => return found,
        };
        let Some(search) = &programs.container else {
            return Err(missing);
        };
        match search.find() {
            Ok(container) => Converter::of_container(&container, major.unwrap_or(0), options),
            // Without a container either, a client is what to install.
            Err(_) => Err(missing),
        }
    })
}

/// `find` is asked for `pg_restore` of the major that made the archive, or a
/// newer one, with the options of that dump.
fn archive_converter(
    backup: &Backup,
    find: impl FnOnce(Option<u32>, &[RecordedOption]) -> Result<Converter, PostgresError>,
) -> Result<Converter, PostgresError> {
    let manifest = backup.file.as_ref().map(|file| &file.manifest);
    let database = manifest.and_then(|manifest| manifest.database.as_ref());
    let major = database.and_then(|database| major(&database.client_version));
    let options = database.map_or(&[][..], |database| &database.options);
    find(major, options)
}

/// Where `verify --restore` makes its copies.
pub struct ProofPlan {
    /// With `--in-server`.
    server: Option<Server>,
    told_of_walls: Arc<AtomicBool>,
}

/// Reaches the configured server where the copies are to be made there. A superuser
/// is taken only if that was said: what owners have written into their databases
/// runs with all rights then.
pub fn proof_plan(
    settings: &Settings,
    in_server: bool,
    as_superuser: bool,
    path: Option<&str>,
) -> Result<ProofPlan, OperationError> {
    if !in_server {
        return Ok(ProofPlan {
            server: None,
            told_of_walls: Arc::default(),
        });
    }
    let Database { server, name, .. } = database(settings, None, path)?;
    if !as_superuser && server.can_do_everything(&server.maintenance_database(&name)?)? {
        return Err(OperationError::Usage {
            what: format!(
                "the login at {} is a superuser's or can become one, and code that stands in a dump (checks, \
                 defaults, indexes, triggers) would run with its rights; log in as a role with \
                 CREATEDB and no more, leave --in-server out (a server of its own proves it \
                 then), or say --as-superuser if whoever may write to these databases may be \
                 superuser there",
                server.place()
            ),
        });
    }
    Ok(ProofPlan {
        server: Some(server),
        told_of_walls: Arc::default(),
    })
}

/// The target that restores a backup into a throwaway place and reads it back
/// from there.
pub fn proof_target(
    plan: &ProofPlan,
    backup: &Backup,
    programs: &ArchivePrograms,
    cancel: &Cancel,
) -> Result<Box<dyn Target>, OperationError> {
    let work_dir = programs.work_dir.clone();
    let manifest = backup.file.as_ref().map(|file| &file.manifest);
    if backup.kind() == Some(Kind::Source) {
        let tree = manifest.and_then(|manifest| manifest.source.as_ref());
        // The archive leaves out holes, and so does the copy.
        let raw_bytes = manifest.map_or(0, |manifest| manifest.content.raw_bytes);
        let bytes = tree.map_or(0, |tree| tree.bytes).min(raw_bytes);
        let entries = tree.map_or(0, entries);
        return Ok(Box::new(TreeRestoreCheck::new(
            work_dir,
            bytes,
            entries,
            cancel.clone(),
        )));
    }
    if backup.holds_globals() {
        return Err(OperationError::Usage {
            what: format!(
                "{} holds roles, which a throwaway copy would prove nothing of; verify it \
                 without --restore",
                backup.archive
            ),
        });
    }
    let content = manifest.and_then(|manifest| manifest.database.as_ref());
    let place = match &plan.server {
        Some(server) => ProofPlace::Server(Box::new(server.clone())),
        None => ProofPlace::Throwaway(ThrowawayOptions {
            work_dir,
            clients: programs.clients.clone(),
            major: content.map_or(0, server_major),
            preloads: content.map_or(Vec::new(), preloads::wanted),
            bytes: manifest.map_or(0, restored_bytes),
            told_of_walls: Arc::clone(&plan.told_of_walls),
        }),
    };
    let name = manifest.map_or("proof", |manifest| manifest.name.as_str());
    let check = RestoreCheck::new(place, name, content, cancel.clone());
    text_target(backup, Box::new(check), programs, cancel)
}

/// What takes an inode of its own.
fn entries(tree: &TreeContent) -> u64 {
    let kinds = [tree.files, tree.directories, tree.symlinks];
    kinds.into_iter().fold(0, u64::saturating_add)
}

fn server_major(content: &DatabaseContent) -> u32 {
    major(&content.server_version).unwrap_or(0)
}

/// "15" of "15.18 (Debian 15.18-0+deb12u1)".
fn major(version: &str) -> Option<u32> {
    version
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

/// As large as it was; where that was not asked, rows and indexes take about
/// twice the dump.
fn restored_bytes(manifest: &Manifest) -> u64 {
    let told = manifest.database.as_ref().and_then(|db| db.database_bytes);
    told.unwrap_or(manifest.content.raw_bytes.saturating_mul(2))
}

/// The target that reads a database's archive and keeps what stands where in it.
pub fn contents_target(
    backup: &Backup,
    programs: &ArchivePrograms,
    cancel: &Cancel,
) -> Result<Box<dyn Target>, OperationError> {
    let check = Box::new(ContentsCheck::new(cancel.clone()));
    text_target(backup, check, programs, cancel)
}
