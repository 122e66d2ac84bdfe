//! What every command needs: the settings, who runs it, and the way from BACKUP
//! to a storage and its catalogue.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use crate::cancel::Cancel;
use crate::catalog::{Backup, Catalog};
use crate::cli::GlobalFlags;
use crate::config::Settings;
use crate::exit::Exit;
use crate::format::keyring::Keyring;
use crate::format::manifest::Trigger;
use crate::operations::{Actor, Marker, Reporter, UnusedCopy, Vault, record_told};
use crate::postgres::{PostgresError, Server};
use crate::process;
use crate::render::{Console, Report, View};
use crate::storage::{LocalStorage, Storage};
use crate::wiring::{self, Database};

use super::around::Happened;

/// The global flags that a child of ours is given again.
#[derive(Clone, Default)]
pub struct GivenFlags {
    pub config: Option<PathBuf>,
    pub env_file: Option<PathBuf>,
    pub storage: Option<PathBuf>,
    pub lock_wait: Option<Duration>,
    pub verbose: u8,
    pub quiet: bool,
}

pub struct Session<'a> {
    pub given: GivenFlags,
    pub settings: Settings,
    pub console: &'a Console,
    pub cancel: &'a Cancel,
    pub view: View,
    pub now: Timestamp,
    /// PATH, for the client programs.
    pub path: Option<String>,
    pub user: String,
    /// The `[[schedule]]` that the run belongs to.
    pub schedule: Option<String>,
    pub happened: Happened,
}

impl GivenFlags {
    pub fn of(flags: &GlobalFlags) -> Self {
        Self {
            config: flags.config.clone(),
            env_file: flags.env_file.clone(),
            storage: flags.storage.clone(),
            lock_wait: flags.lock_wait,
            verbose: flags.verbose,
            quiet: flags.quiet,
        }
    }
}

/// A storage and what it holds.
pub struct Opened {
    pub storage: LocalStorage,
    pub catalog: Catalog,
}

impl Session<'_> {
    pub fn print<R: Report>(&self, report: &R) -> anyhow::Result<()> {
        Ok(self.console.print(report, &self.view)?)
    }

    /// Prints the result of a command that may have failed all the same, and ends
    /// it with `exit`.
    pub fn end<R: Report>(&self, report: &R, exit: Exit) -> anyhow::Result<Exit> {
        match exit {
            Exit::Done => self.print(report)?,
            failed => self
                .console
                .print_failed(report, &self.view, failed.code())?,
        }
        Ok(exit)
    }

    /// Reaches the configured server, and tells what way was taken and why. A
    /// way that stands in for the configured server is told always.
    pub fn database(&self, name: Option<&str>) -> Result<Database, PostgresError> {
        let database = wiring::database(&self.settings, name, self.path.as_deref())?;
        self.tell_way(&database.server);
        Ok(database)
    }

    /// [`Session::database`] of a restore.
    pub fn database_to_change(&self) -> Result<Database, PostgresError> {
        let database = wiring::database_to_change(&self.settings, self.path.as_deref())?;
        self.tell_way(&database.server);
        Ok(database)
    }

    fn tell_way(&self, server: &Server) {
        let (place, container) = (server.place(), server.access().container());
        match server.way_reason() {
            None => self.console.detail(&format!("the server is {place}")),
            Some(why) if container.is_some() && wiring::says_where(&self.settings.database) => {
                self.console.warn(&format!("taking {place} instead: {why}"));
            }
            Some(why) => self
                .console
                .detail(&format!("the server is {place}; {why}")),
        }
    }

    /// An archive was read by one copy of its header: what of the other?
    pub fn warn_of_copy(&self, archive: &str, unused: Option<&UnusedCopy>) {
        if let Some(unused) = unused {
            let remedy = unused.remedy(archive);
            self.console.warn(&format!("{archive}: {unused}; {remedy}"));
        }
    }

    /// The configured storage with its catalogue.
    pub fn open(&self) -> anyhow::Result<Opened> {
        let storage = wiring::existing_storage(&self.settings)?;
        let catalog = Catalog::load(&storage)?;
        Ok(Opened { storage, catalog })
    }

    /// The storage that `wanted` lies in, and its name there: a path leads to
    /// the file's own directory, anything else to the configured storage.
    pub fn open_for(&self, wanted: &str) -> anyhow::Result<(Opened, String)> {
        let configured = self.settings.storage.place.is_some();
        let path = Path::new(wanted);
        // A database may have a slash in its name.
        let names_no_path = !wanted.contains('/') || wanted.starts_with("latest:");
        if names_no_path && (configured || !path.is_file()) {
            return Ok((self.open()?, wanted.to_owned()));
        }
        let (storage, key) = wiring::storage_of_file(path)?;
        let catalog = Catalog::load(&storage)?;
        Ok((Opened { storage, catalog }, key))
    }

    /// What an operation needs around `storage`.
    pub fn vault<'v>(
        &'v self,
        storage: &'v LocalStorage,
        command: &str,
        trigger: Trigger,
    ) -> anyhow::Result<Vault<'v>> {
        let ring = wiring::keyring(&self.settings)?;
        self.vault_with(ring, storage, command, trigger)
    }

    /// [`Session::vault`] of a backup, which reads no archive.
    pub fn vault_to_back_up<'v>(
        &'v self,
        storage: &'v LocalStorage,
        command: &str,
        trigger: Trigger,
    ) -> anyhow::Result<Vault<'v>> {
        let ring = wiring::writing_keyring(&self.settings, self.console)?;
        self.vault_with(ring, storage, command, trigger)
    }

    fn vault_with<'v>(
        &'v self,
        ring: Keyring,
        storage: &'v LocalStorage,
        command: &str,
        trigger: Trigger,
    ) -> anyhow::Result<Vault<'v>> {
        Ok(Vault {
            // A directory without a marker is somebody else's: only read there.
            ours: Marker::load(storage)?.is_some(),
            storage,
            ring,
            workers: self.settings.compression.workers.value,
            lock_wait: Some(self.settings.lock_wait.value),
            cancel: self.cancel.clone(),
            reporter: self.console,
            actor: self.actor(command, trigger),
        })
    }

    /// A scheduled run that found nothing to do leaves a record all the same: else
    /// it would count as missed. It is no reason to fail, if that is not possible.
    pub fn record_idle(&self, storage: &LocalStorage, command: &str, trigger: Trigger, what: &str) {
        if self.schedule.is_none() {
            return;
        }
        let actor = self.actor(command, trigger);
        if let Err(error) = record_told(storage, &actor, what, self.now) {
            let text = format!("this run leaves no record: {error}");
            self.console.warn(&text);
        }
    }

    pub fn actor(&self, command: &str, trigger: Trigger) -> Actor {
        Actor {
            user: self.user.clone(),
            host: process::host(),
            command: command.to_owned(),
            trigger,
            schedule: self.schedule.clone(),
            process: process::current(),
        }
    }
}

impl Opened {
    pub fn find(&self, wanted: &str) -> anyhow::Result<&Backup> {
        Ok(self.catalog.find(wanted, &self.storage.location())?)
    }
}

/// Each of BACKUP.., with the storage it lies in. They may lie in several, so
/// each is opened on its own. All are found before the first is acted on.
pub fn each_backup(
    session: &Session<'_>,
    wanted: &[String],
    mut act: impl FnMut(&Opened, &Backup) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let opened: Vec<(Opened, String)> = wanted
        .iter()
        .map(|wanted| session.open_for(wanted))
        .collect::<Result<_, _>>()?;
    let find = |(opened, key): &(Opened, String)| opened.find(key).map(|_| ());
    opened.iter().try_for_each(find)?;
    for (opened, key) in &opened {
        act(opened, opened.find(key)?)?;
    }
    Ok(())
}
