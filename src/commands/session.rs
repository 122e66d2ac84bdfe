//! What every command needs: the settings, who runs it, and the way from BACKUP
//! to a storage and its catalogue.

use std::cell::{Cell, OnceCell};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use crate::cancel::Cancel;
use crate::catalog::{Catalog, Named, Trust};
use crate::cli::GlobalFlags;
use crate::config::Settings;
use crate::exit::Exit;
use crate::format::keyring::Keyring;
use crate::format::manifest::Trigger;
use crate::health::Thresholds;
use crate::operations::{Actor, Marker, Reporter, UnusedCopy, Vault, record_told};
use crate::postgres::{PostgresError, Server};
use crate::process;
use crate::render::{Console, Report, View};
use crate::secrets::{SecretError, StateDir, known_salts, remember_salts};
use crate::storage::{LocalStorage, Storage};
use crate::wiring::{self, Database};

use super::around::Happened;

mod place;

/// The global flags that a child of ours is given again.
#[derive(Clone, Default)]
pub struct GivenFlags {
    pub config: Option<PathBuf>,
    pub env_file: Option<PathBuf>,
    pub storage: Option<PathBuf>,
    pub lock_wait: Option<Duration>,
    pub run_limit: Option<Duration>,
    pub stall_limit: Option<Duration>,
    pub verbose: u8,
    pub quiet: bool,
}

pub struct Session<'a> {
    pub given: GivenFlags,
    pub settings: Settings,
    pub console: &'a Console,
    pub cancel: &'a Cancel,
    /// Why nobody can stop the run: it does not begin.
    pub unheard: Option<io::Error>,
    pub view: View,
    pub now: Timestamp,
    /// PATH, for the client programs.
    pub path: Option<String>,
    /// Whose rights this process has.
    pub user: String,
    /// Who became that user by sudo.
    pub sudo_user: Option<String>,
    /// The `[[schedule]]` that the run belongs to.
    pub schedule: Option<String>,
    pub happened: Happened,
    pub keys: Keys,
    /// A run reaches its server for each database; that is told once.
    pub told_of_clear_way: Cell<bool>,
}

/// The configured keys, had once a run, and only where something asks for them.
#[derive(Default)]
pub struct Keys {
    ring: OnceCell<Keyring>,
    /// Of the first backup.
    writing: OnceCell<Keyring>,
    /// That they could not be had was told.
    told: Cell<bool>,
    /// Where this host remembers the passphrase salts that are its own.
    state: Option<StateDir>,
}

impl Keys {
    pub fn remembered_in(state: Option<StateDir>) -> Self {
        Self {
            state,
            ..Self::default()
        }
    }

    fn recalled(&self, ring: Keyring) -> Keyring {
        if let Some(state) = self.state.as_ref().filter(|_| ring.has_passphrase()) {
            ring.recall(&known_salts(state));
        }
        ring
    }

    /// At the run's end. What this host cannot write down it does without.
    pub fn remember(&self) {
        let rings = [self.ring.get(), self.writing.get()].into_iter().flatten();
        for ring in rings.filter(|ring| ring.has_passphrase()) {
            if let Some(state) = &self.state {
                let _ = remember_salts(state, &ring.proven_salts());
            }
        }
    }
}

impl GivenFlags {
    pub fn of(flags: &GlobalFlags) -> Self {
        Self {
            config: flags.config.clone(),
            env_file: flags.env_file.clone(),
            storage: flags.storage.clone(),
            lock_wait: flags.lock_wait,
            run_limit: flags.run_limit,
            stall_limit: flags.stall_limit,
            verbose: flags.verbose,
            quiet: flags.quiet,
        }
    }
}

/// A storage and what it holds.
pub struct Opened {
    pub storage: LocalStorage,
    pub catalog: Catalog,
    /// When this run began: what is dated later is no `latest`.
    now: Timestamp,
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

    /// What is still healthy.
    pub fn thresholds(&self) -> Thresholds {
        let settings = &self.settings;
        let plain_is_meant = !settings.encryption.enabled.value;
        let run_limit = settings.run_limit.value;
        settings.check.thresholds(run_limit, plain_is_meant)
    }

    fn tell_way(&self, server: &Server) {
        if let Some((what, remedy)) = server.access().in_clear()
            && !self.told_of_clear_way.replace(true)
        {
            self.console.warn(&format!("{what}; {remedy}"));
        }
        let left_out = server.access().left_out_parameters();
        if !left_out.is_empty() {
            let left_out = left_out.join(", ");
            let text = format!("parameters of the URL for another driver are left out: {left_out}");
            self.console.detail(&text);
        }
        let (place, container) = (server.place(), server.access().container());
        match server.way_reason() {
            None => self.console.detail(&format!("the server is {place}")),
            Some(why)
                if server.stands_in()
                    || container.is_some() && wiring::says_where(&self.settings.database) =>
            {
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

    /// The configured keys. A command that changes, removes or restores something
    /// asks for them first: without them it cannot tell what is ours.
    pub fn ring(&self) -> Result<&Keyring, SecretError> {
        if let Some(ring) = self.keys.ring.get() {
            return Ok(ring);
        }
        let ring = self.keys.recalled(wiring::keyring(&self.settings)?);
        Ok(self.keys.ring.get_or_init(|| ring))
    }

    /// The configured storage with its catalogue, for who only looks.
    pub fn open(&self) -> anyhow::Result<Opened> {
        let storage = wiring::existing_storage(&self.settings)?;
        self.opened(storage)
    }

    pub fn opened(&self, storage: LocalStorage) -> anyhow::Result<Opened> {
        let catalog = Catalog::load(&storage, self.trust())?;
        if catalog.all().next().is_none() {
            self.hint_at_below(&storage);
        }
        Ok(Opened {
            storage,
            catalog,
            now: self.now,
        })
    }

    /// What the keys tell of who wrote what, for who only looks: keys that cannot be
    /// had are worth a line.
    pub fn trust(&self) -> Trust<'_> {
        match self.ring() {
            Ok(ring) => Trust::of(ring),
            Err(error) => {
                if !self.keys.told.replace(true) {
                    let text = format!("{error}; so no seal was checked of what is shown");
                    self.console.warn(&text);
                }
                Trust::Unchecked
            }
        }
    }

    /// The storage that `wanted` lies in, and its name there: a path leads to
    /// the file's own directory, anything else to the configured storage.
    ///
    /// A manifest that cannot be read is told: `latest` may have meant that one.
    pub fn open_for(&self, wanted: &str) -> anyhow::Result<(Opened, String)> {
        let (opened, wanted) = self.place_of(wanted)?;
        let opened = self.tried_for(opened, &wanted)?;
        self.warn_of_unreadable(&opened.catalog);
        if let Some(text) = opened.catalog.passed_over(&wanted, self.now) {
            self.console.warn(&text);
        }
        Ok((opened, wanted))
    }

    /// Tells each manifest that cannot be read.
    pub fn warn_of_unreadable(&self, catalog: &Catalog) {
        for broken in &catalog.unreadable {
            let text = format!("{}: {}", broken.what(), broken.error);
            self.console.warn(&text);
        }
    }

    /// What an operation needs around `storage`.
    pub fn vault<'v>(
        &'v self,
        storage: &'v LocalStorage,
        command: &str,
        trigger: Trigger,
    ) -> anyhow::Result<Vault<'v>> {
        let ring = self.ring()?.share();
        self.vault_with(ring, storage, command, trigger)
    }

    /// [`Session::vault`] for who only looks: keys that cannot be had were told when
    /// the storage was opened, and what needs them is left out.
    pub fn vault_to_look<'v>(
        &'v self,
        storage: &'v LocalStorage,
        command: &str,
    ) -> anyhow::Result<Vault<'v>> {
        let ring = self.ring().map(Keyring::share).unwrap_or_default();
        self.vault_with(ring, storage, command, Trigger::Manual)
    }

    /// [`Session::vault`] of a backup, which reads no archive.
    pub fn vault_to_back_up<'v>(
        &'v self,
        storage: &'v LocalStorage,
        command: &str,
        trigger: Trigger,
    ) -> anyhow::Result<Vault<'v>> {
        let ring = wiring::writing_keyring(&self.settings, self.console)?;
        let ring = self.keys.recalled(ring);
        self.keys.writing.get_or_init(|| ring.share());
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
            ours: self.is_configured(storage) && Marker::load(storage)?.is_some(),
            storage,
            ring,
            workers: self.settings.compression.workers.value,
            lock_wait: Some(self.settings.lock_wait.value),
            cancel: self.cancel.clone(),
            reporter: self.console,
            actor: self.actor(command, trigger),
        })
    }

    /// Whether it is the storage of the settings. Any other directory is only read:
    /// a marker in it may be anybody's.
    fn is_configured(&self, storage: &LocalStorage) -> bool {
        let configured = self.settings.storage_path().ok();
        let configured = configured.and_then(|path| path.canonicalize().ok());
        let here = storage.local_root();
        let here = here.and_then(|path| path.canonicalize().ok());
        configured.is_some() && configured == here
    }

    /// A scheduled run that found nothing to do leaves a record all the same: else
    /// it would count as missed. It is no reason to fail, if that is not possible.
    pub fn record_idle(&self, storage: &LocalStorage, command: &str, trigger: Trigger, what: &str) {
        if self.schedule.is_none() {
            return;
        }
        let actor = self.actor(command, trigger);
        if let Err(error) = record_told(storage, self.ring().ok(), &actor, what, self.now) {
            let text = format!("this run leaves no record: {error}");
            self.console.warn(&text);
        }
    }

    pub fn actor(&self, command: &str, trigger: Trigger) -> Actor {
        Actor {
            user: self.user.clone(),
            sudo_user: self.sudo_user.clone(),
            host: process::host(),
            label: self.settings.host.value.clone(),
            command: command.to_owned(),
            trigger,
            schedule: self.schedule.clone(),
            process: process::current(),
        }
    }
}

impl Opened {
    pub fn find(&self, wanted: &str) -> anyhow::Result<Named<'_>> {
        Ok(self
            .catalog
            .find(wanted, self.now, &self.storage.location())?)
    }
}

/// Each of BACKUP.., with the storage it lies in. They may lie in several, so
/// each is opened on its own. All are found before the first is acted on.
pub fn each_backup(
    session: &Session<'_>,
    wanted: &[String],
    mut act: impl FnMut(&Opened, Named<'_>) -> anyhow::Result<()>,
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
