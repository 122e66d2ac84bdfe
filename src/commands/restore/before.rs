//! What comes before a database is replaced: a backup of it, unless refused.

use jiff::Timestamp;

use super::{DatabaseDestination, Restoring, select};
use crate::catalog::{Backup, Catalog};
use crate::cli::{RecordFlags, TriggerArg};
use crate::commands::backup;
use crate::format::names::ArchiveFormat;
use crate::operations::{self, BackupPlan, OperationError, Reporter, Vault};
use crate::postgres::{DumpOptions, Preflight, Server};
use crate::storage::LocalStorage;
use crate::wiring::{self, Database, DumpForm};

/// The newest backup of the roles of the server that `of` was made on, by its id.
pub fn newest_globals(catalog: &Catalog, of: &Backup) -> Option<String> {
    let label = |backup: &Backup| backup.series.as_ref().map(|series| series.label.clone());
    let of = label(of);
    let fits = |backup: &Backup| of.is_none() || label(backup) == of;
    let mut globals = catalog.backups.iter().filter_map(|backup| {
        let is_meant = backup.holds_globals() && fits(backup);
        let file = backup.file.as_ref().filter(|_| is_meant)?;
        Some(file.manifest.id.to_string())
    });
    globals.next()
}

/// Nothing tells whether an adopted dump is whole: in the place of something it takes a
/// word, elsewhere it gets a note.
pub fn weigh_wholeness(
    restoring: &Restoring<'_>,
    server: &Server,
    to: &DatabaseDestination,
    preflight: &Preflight,
) -> Result<(), OperationError> {
    let backup = restoring.backup;
    let Some(why) = select::wholeness_unknown(backup) else {
        return Ok(());
    };
    if !restoring.wanted.part && something_goes(server, to, preflight)? {
        return Err(select::refuse_unknown(backup, why, &to.name));
    }
    let text = format!("{}: {why}", backup.archive);
    restoring.session.console.info(&text);
    Ok(())
}

/// Whether something goes where the backup comes.
fn something_goes(
    server: &Server,
    to: &DatabaseDestination,
    preflight: &Preflight,
) -> Result<bool, OperationError> {
    if !to.replace || preflight.standing.is_none() {
        return Ok(false);
    }
    Ok(!server.database_is_empty(&to.name)?)
}

/// The storage for a backup of what goes; `None` where nothing does, or where it was
/// refused.
pub fn storage(
    restoring: &Restoring<'_>,
    server: &Server,
    to: &DatabaseDestination,
    preflight: &Preflight,
) -> anyhow::Result<Option<LocalStorage>> {
    let settings = &restoring.session.settings;
    let refused =
        restoring.wanted.no_pre_restore_backup || !settings.database.pre_restore_backup.value;
    if refused || !something_goes(server, to, preflight)? {
        return Ok(None);
    }
    if settings.storage.place.is_none() {
        let what = format!(
            "the database {:?} is backed up before it is replaced, and no storage is configured \
             for that; name one with -s DIR, or do without by --no-pre-restore-backup",
            to.name
        );
        return Err(OperationError::Usage { what }.into());
    }
    Ok(Some(wiring::storage(settings)?))
}

/// A backup of what was replaced.
pub struct SafetyCopy {
    pub file: String,
    pub id: String,
}

/// Makes the backup.
pub fn back_up(
    restoring: &Restoring<'_>,
    vault: &Vault<'_>,
    database: &Database,
    to: &DatabaseDestination,
) -> Result<SafetyCopy, OperationError> {
    let session = restoring.session;
    let record = RecordFlags {
        note: Some(format!(
            "before the restore of {}",
            restoring.backup.archive
        )),
        keep: false,
        trigger: TriggerArg::Manual,
        host: None,
        schedule: None,
    };
    let encryption = backup::encryption(session, vault)?;
    let plan = BackupPlan {
        label: database.label.clone(),
        before_restore_of: Some(restoring.backup.archive.clone()),
        ..backup::plan(session, encryption, &to.name, ArchiveFormat::Plain, &record)
    };
    let settings = &session.settings.database.dump;
    let options = DumpOptions {
        lock_wait_timeout: settings.lock_wait_timeout.value,
        ..DumpOptions::default()
    };
    let made = operations::backup(vault, &plan, Timestamp::now(), || {
        let (source, warnings) = wiring::dump_source(
            &database.server,
            &to.name,
            &options,
            &DumpForm::Plain,
            session.cancel,
        )?;
        warnings.iter().for_each(|text| session.console.warn(text));
        Ok(source)
    });
    match made {
        Ok(made) => {
            let file = made.manifest.stored.file;
            let name = &to.name;
            let text = format!(
                "{name} is backed up as {file}; what is written to it from now on will be gone"
            );
            session.console.info(&text);
            Ok(SafetyCopy {
                file: file.into(),
                id: made.manifest.id.to_string(),
            })
        }
        Err(error) => {
            session.console.warn(
                "the backup before the restore failed, so nothing is replaced; \
                 --no-pre-restore-backup does without it",
            );
            Err(error)
        }
    }
}
