//! `kluis backup db`: one archive for each database, and one for what they
//! share. One that fails does not stop the others.

use crate::checked::listed as listed_in_words;
use crate::cli::BackupDb;
use crate::config::DumpSettings;
use crate::exit::Exit;
use crate::format::manifest::{GLOBALS_NAME, Kind, Selection};
use crate::format::names::ArchiveFormat;
use crate::glob::{Globs, Reach};
use crate::operations::{BackupPlan, Encryption, OperationError, Reporter, Vault, backup};
use crate::postgres::{DumpOption, DumpOptions, ListedDatabase, PostgresError};
use crate::render;
use crate::source::DirectoryDump;
use crate::storage::{LocalStorage, Storage};
use crate::wiring::{self, Database, DumpForm};

use super::super::session::Session;
use super::several::{end, record_refused};
use super::{compression, encryption, happened, not_made, plan, report};

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
    let run = Run {
        session,
        wanted,
        storage: &storage,
        encryption: encryption(session, &vault)?,
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
    fn back_up(&self, names: &Names, dump: &DumpSettings) -> anyhow::Result<Exit> {
        let format = dump.format.value;
        let of_databases = names
            .open
            .iter()
            .map(|name| (name.as_str(), format, self.form(dump)));
        let role = dump.options.value.iter();
        let role = role
            .filter_map(|option| option.as_str().strip_prefix("--role="))
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
        let (mut done, mut failed) = (Vec::new(), self.refused(names));
        for (name, format, form) in of_databases.chain(globals) {
            match self.one(name, format, &form, &options) {
                Ok(made) => done.push(made),
                Err(error) => {
                    failed.push((name.to_owned(), error));
                    // Asked to stop: the rest is not begun.
                    if self.session.cancel.check().is_err() {
                        break;
                    }
                }
            }
        }
        end(self.session, self.vault, Kind::Db, done, failed)
    }

    /// What is not even begun: told, and missing in this run.
    fn refused(&self, names: &Names) -> Vec<(String, anyhow::Error)> {
        let refused = names.refused.iter().map(|(name, what)| {
            let error = OperationError::Usage { what: what.clone() };
            record_refused(self.session, self.vault, name, what);
            happened(self.session, self.vault, Kind::Db, name, Err(&error));
            (name.clone(), error.into())
        });
        refused.collect()
    }

    fn one(
        &self,
        name: &str,
        format: ArchiveFormat,
        form: &DumpForm,
        options: &DumpOptions,
    ) -> anyhow::Result<render::BackupDone> {
        let Self { session, .. } = self;
        let plan = BackupPlan {
            label: self.database.label.clone(),
            ..plan(session, self.encryption, name, format, &self.wanted.record)
        };
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
        let made = report(&self.storage.location(), &done?);
        for warning in &made.warnings {
            session.console.warn(&format!("{name}: {warning}"));
        }
        self.warn_of_emptiness(name, &made);
        Ok(made)
    }

    /// Where nobody names a database, the one that is taken may not be the one that
    /// is meant.
    fn warn_of_emptiness(&self, name: &str, made: &render::BackupDone) {
        let dump = &self.session.settings.database.dump;
        let nobody_named = !self.database.is_named && !dump.all.value;
        let is_empty = made
            .database
            .as_ref()
            .is_some_and(|content| content.tables == 0 && content.roles.is_none());
        if is_empty && nobody_named && dump.names.value.is_empty() {
            self.session.console.warn(&format!(
                "the database {name} has no table at all, and nobody named it: say which is \
                 meant, with `kluis backup db NAME`, the URL or database.name"
            ));
        }
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
        let mut options = dump.options.value.clone();
        for (is_wanted, option) in [
            (wanted.no_owner, "--no-owner"),
            (wanted.no_privileges, "--no-privileges"),
        ] {
            if is_wanted && !options.iter().any(|given| given.as_str() == option) {
                options.push(DumpOption::of_flag(option));
            }
        }
        DumpOptions {
            selection: Selection {
                schemas: wanted.schemas.clone(),
                exclude_schemas: wanted.exclude_schemas.clone(),
                tables: wanted.tables.clone(),
                exclude_tables: wanted.exclude_tables.clone(),
            },
            must_match: !wanted.ignore_missing,
            lock_wait_timeout: dump.lock_wait_timeout.value,
            options,
        }
    }
}

/// Anybody who may make databases can have one called so.
const CALLED_AS_THE_GLOBALS: &str = "the backup of the roles is called so, and one would be taken \
     for the other; give the database another name (ALTER DATABASE .. RENAME TO), or leave it out";

/// The databases of a run.
#[derive(Debug, Default)]
pub(in crate::commands) struct Names {
    pub open: Vec<String>,
    /// Of which no backup can be made, each with the reason.
    pub refused: Vec<(String, String)>,
}

/// What `--all` takes on the configured server, and that server's label.
pub(in crate::commands) fn all_names(session: &Session<'_>) -> anyhow::Result<(Names, String)> {
    let database = session.database(None)?;
    Ok((listed(session, &database)?, database.label))
}

/// Which databases: those that are named, all of them, or the connection's.
fn names(session: &Session<'_>, database: &Database) -> anyhow::Result<Names> {
    let dump = &session.settings.database.dump;
    if dump.all.value {
        return listed(session, database);
    }
    let mut open: Vec<String> = Vec::new();
    for name in &dump.names.value {
        if !open.contains(name) {
            open.push(name.clone());
        }
    }
    if open.is_empty() {
        open.push(database.name.clone());
    }
    let is_refused = |name: &String| dump.globals.value && name == GLOBALS_NAME;
    let (refused, open) = open.into_iter().partition(is_refused);
    let refused: Vec<String> = refused;
    let why = |name| (name, CALLED_AS_THE_GLOBALS.to_owned());
    Ok(Names {
        open,
        refused: refused.into_iter().map(why).collect(),
    })
}

fn listed(session: &Session<'_>, database: &Database) -> anyhow::Result<Names> {
    let dump = &session.settings.database.dump;
    let excluded = dump.exclude.value.iter();
    let excluded = Globs::new(excluded.map(|it| (it.as_str(), Reach::Text)))
        .map_err(|error| usage(format!("--exclude-db: {error}")))?;
    let server = &database.server;
    let listed = match server.databases(&database.name) {
        Err(PostgresError::NoSuchDatabase { .. }) => {
            let elsewhere = server.maintenance_database(&database.name)?;
            server.databases(&elsewhere)?
        }
        listed => listed?,
    };
    let wanted = listed
        .into_iter()
        .filter(|it| !excluded.is_match(it.name.as_bytes()));
    let mut names = Names::default();
    for database in wanted {
        match (refusal(&database), left_out(&database)) {
            (Some(why), _) => names.refused.push((database.name, why)),
            (None, Some(why)) => session.console.warn(&format!(
                "the database {} is left out: {why}",
                listed_in_words(&[&database.name])
            )),
            (None, None) => names.open.push(database.name),
        }
    }
    match names.open.is_empty() && names.refused.is_empty() {
        true => Err(usage(
            "there is no database to back up: --exclude-db leaves out all that there are"
                .to_owned(),
        )),
        false => Ok(names),
    }
}

/// Why no backup of a database can be made, though it is somebody's: its name.
fn refusal(database: &ListedDatabase) -> Option<String> {
    if !database.is_text {
        return Some(
            "its name holds bytes that are not UTF-8 (each stands as \\xNN here); give it \
             another name (ALTER DATABASE .. RENAME TO, in a session of client_encoding \
             SQL_ASCII), or say --exclude-db"
                .to_owned(),
        );
    }
    (database.name == GLOBALS_NAME).then(|| CALLED_AS_THE_GLOBALS.to_owned())
}

fn left_out(database: &ListedDatabase) -> Option<&'static str> {
    if !database.may_connect {
        return Some(
            "it takes no connections, or none of this role; allow them, or say --exclude-db",
        );
    }
    database.says_leftover.then_some(
        "its comment says that a restore from another storage has left it; drop it, or change \
         the comment",
    )
}

fn usage(what: String) -> anyhow::Error {
    OperationError::Usage { what }.into()
}
