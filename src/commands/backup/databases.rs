//! `kluis backup db`: one archive for each database, and one for what they
//! share. One that fails does not stop the others.

use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::cli::BackupDb;
use crate::config::DumpSettings;
use crate::exit::{Exit, hint_of};
use crate::format::manifest::{GLOBALS_NAME, Kind, Selection};
use crate::format::names::ArchiveFormat;
use crate::operations::{Encryption, OperationError, Reporter, Vault, backup};
use crate::postgres::{DumpOptions, PostgresError};
use crate::render;
use crate::source::DirectoryDump;
use crate::storage::{LocalStorage, Storage};
use crate::wiring::{self, Database, DumpForm};

use super::super::session::Session;
use super::{compression, encryption, finish, happened, not_made, plan, report};

pub fn db(session: &Session<'_>, wanted: &BackupDb) -> anyhow::Result<Exit> {
    let storage = wiring::storage(&session.settings)?;
    let vault = session.vault_to_back_up(&storage, "backup db", wanted.record.trigger.into())?;
    let dump = &session.settings.database.dump;
    let named = dump.names.value.first().map(String::as_str);
    let database = session
        .database(named)
        .map_err(|error| not_made("the database", error.into()))?;
    wiring::sweep_staging(&database.server, session.console);
    wiring::sweep_work_dir(&session.settings, session.console);
    let names = names(session, &database).map_err(|error| not_made("any database", error))?;
    if dump.globals.value && names.iter().any(|name| name == GLOBALS_NAME) {
        return Err(usage(format!(
            "a database is called {GLOBALS_NAME}, as the backup of the roles would be; leave \
             one of them out"
        )));
    }
    let run = Run {
        session,
        wanted,
        storage: &storage,
        encryption: encryption(session, &vault),
        vault: &vault,
        database: &database,
    };
    run.back_up(&names, dump)
}

/// What the databases of one run have in common.
struct Run<'a> {
    session: &'a Session<'a>,
    wanted: &'a BackupDb,
    storage: &'a LocalStorage,
    vault: &'a Vault<'a>,
    encryption: Encryption,
    database: &'a Database,
}

impl Run<'_> {
    fn back_up(&self, names: &[String], dump: &DumpSettings) -> anyhow::Result<Exit> {
        let format = dump.format.value;
        let of_databases = names
            .iter()
            .map(|name| (name.as_str(), format, self.form(dump)));
        let role = dump.options.value.iter();
        let role = role
            .filter_map(|option| option.strip_prefix("--role="))
            .next_back();
        let globals = dump.globals.value.then(|| {
            let role = role.map(str::to_owned);
            (
                GLOBALS_NAME,
                ArchiveFormat::Plain,
                DumpForm::Globals { role },
            )
        });
        let options = self.options(dump);
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        for (name, format, form) in of_databases.chain(globals) {
            match self.one(name, format, &form, &options) {
                Ok(made) => done.push(made),
                Err(error) => {
                    failed.push((name, error));
                    // Asked to stop: the rest is not begun.
                    if self.session.cancel.check().is_err() {
                        break;
                    }
                }
            }
        }
        self.end(done, failed)
    }

    fn one(
        &self,
        name: &str,
        format: ArchiveFormat,
        form: &DumpForm,
        options: &DumpOptions,
    ) -> anyhow::Result<render::BackupDone> {
        let Self { session, .. } = self;
        let plan = plan(session, self.encryption, name, format, &self.wanted.record);
        if name == GLOBALS_NAME && self.encryption == Encryption::None {
            session.console.warn(
                "the passwords of the roles lie in the storage unencrypted, as the server keeps \
                 them",
            );
        }
        let server = &self.database.server;
        let asked_in = match form {
            DumpForm::Globals { .. } => &self.database.name,
            _ => name,
        };
        // One time for all of them: they belong together.
        let done = backup(self.vault, &plan, session.now, || {
            let (source, warnings) =
                wiring::dump_source(server, asked_in, options, form, session.cancel)?;
            for warning in &warnings {
                session.console.warn(warning);
            }
            Ok(source)
        });
        happened(session, self.vault, Kind::Db, name, done.as_ref());
        Ok(report(&self.storage.location(), &done?))
    }

    fn form(&self, dump: &DumpSettings) -> DumpForm {
        match dump.format.value {
            ArchiveFormat::Custom => DumpForm::Custom,
            ArchiveFormat::Directory => {
                let settings = &self.session.settings;
                let (codec, level) = compression(settings, Kind::Db);
                DumpForm::Directory(DirectoryDump {
                    jobs: dump.jobs.value,
                    codec,
                    level,
                    work_dir: settings.work_dir.value.clone(),
                })
            }
            ArchiveFormat::Plain | ArchiveFormat::Tree => DumpForm::Plain,
        }
    }

    fn options(&self, dump: &DumpSettings) -> DumpOptions {
        let wanted = self.wanted;
        DumpOptions {
            selection: Selection {
                schemas: wanted.schemas.clone(),
                exclude_schemas: wanted.exclude_schemas.clone(),
                tables: wanted.tables.clone(),
                exclude_tables: wanted.exclude_tables.clone(),
            },
            lock_wait_timeout: dump.lock_wait_timeout.value,
            options: dump.options.value.clone(),
        }
    }

    /// What was made is told before what was not. Where nothing was made, the
    /// first failure is the run's.
    fn end(
        &self,
        done: Vec<render::BackupDone>,
        failed: Vec<(&str, anyhow::Error)>,
    ) -> anyhow::Result<Exit> {
        let stopped = self.session.cancel.check();
        if done.is_empty() || stopped.is_err() {
            finish(self.session, self.vault, done, Vec::new())?;
            let mut failed = failed.into_iter();
            let first = failed.next();
            for (name, error) in failed {
                self.session
                    .console
                    .warn(&format!("{name}: {}", render::whole(&error)));
            }
            stopped?;
            return match first {
                Some((name, error)) => Err(not_made(name, error)),
                None => Ok(Exit::Done),
            };
        }
        let failed = failed.into_iter().map(|(name, error)| {
            // On stderr too: a timer's job often throws stdout away.
            self.session.console.warn(&format!(
                "no backup of {name} was made: {}",
                render::whole(&error)
            ));
            render::BackupFailed {
                kind: Kind::Db,
                name: name.to_owned(),
                error: render::whole(&error),
                hint: hint_of(&error),
            }
        });
        let failed = failed.collect();
        finish(self.session, self.vault, done, failed)
    }
}

/// What `--all` takes on the configured server.
pub(in crate::commands) fn all_names(session: &Session<'_>) -> anyhow::Result<Vec<String>> {
    let database = session.database(None)?;
    listed(session, &database)
}

/// Which databases: those that are named, all of them, or the connection's.
fn names(session: &Session<'_>, database: &Database) -> anyhow::Result<Vec<String>> {
    let dump = &session.settings.database.dump;
    if !dump.all.value {
        let mut names: Vec<String> = Vec::new();
        for name in &dump.names.value {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        if names.is_empty() {
            names.push(database.name.clone());
        }
        return Ok(names);
    }
    listed(session, database)
}

fn listed(session: &Session<'_>, database: &Database) -> anyhow::Result<Vec<String>> {
    let dump = &session.settings.database.dump;
    let excluded = globs(&dump.exclude.value)?;
    let server = &database.server;
    let listed = match server.databases(&database.name) {
        Err(PostgresError::NoSuchDatabase { .. }) => {
            let elsewhere = server.maintenance_database(&database.name)?;
            server.databases(&elsewhere)?
        }
        listed => listed?,
    };
    let wanted = listed.into_iter().filter(|it| !excluded.is_match(&it.name));
    let (open, closed): (Vec<_>, Vec<_>) = wanted.partition(|it| it.may_connect);
    for database in closed {
        session.console.warn(&format!(
            "the database {} is left out: it takes no connections, or none of this role; allow \
             them, or say --exclude-db",
            database.name
        ));
    }
    let names: Vec<String> = open.into_iter().map(|database| database.name).collect();
    match names.is_empty() {
        true => Err(usage(
            "there is no database to back up: --exclude-db leaves out all that there are"
                .to_owned(),
        )),
        false => Ok(names),
    }
}

fn globs(patterns: &[String]) -> anyhow::Result<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let glob = Glob::new(pattern)
            .map_err(|error| usage(format!("--exclude-db {pattern:?} is no glob: {error}")))?;
        set.add(glob);
    }
    set.build()
        .map_err(|error| usage(format!("--exclude-db: {error}")))
}

fn usage(what: String) -> anyhow::Error {
    OperationError::Usage { what }.into()
}
