//! What comes before a database is replaced: a backup of it, unless refused.

use jiff::Timestamp;

use super::{DatabaseDestination, Restoring};
use crate::catalog::Catalog;
use crate::cli::{RecordFlags, TriggerArg};
use crate::commands::backup;
use crate::format::names::ArchiveFormat;
use crate::operations::{self, BackupPlan, OperationError, Reporter, Vault};
use crate::postgres::{DumpOptions, Preflight, Server};
use crate::storage::LocalStorage;
use crate::wiring::{self, DumpForm};

/// The newest backup of a server's roles, by its id.
pub fn newest_globals(catalog: &Catalog) -> Option<String> {
    let mut globals = catalog.backups.iter().filter_map(|backup| {
        let file = backup.file.as_ref().filter(|_| backup.holds_globals())?;
        Some(file.manifest.id.to_string())
    });
    globals.next()
}

/// The storage for a backup of what stands at the destination; `None` where there
/// is nothing, or where it was refused.
pub fn storage(
    restoring: &Restoring<'_>,
    server: &Server,
    to: &DatabaseDestination,
    preflight: &Preflight,
) -> anyhow::Result<Option<LocalStorage>> {
    let settings = &restoring.session.settings;
    let refused =
        restoring.wanted.no_pre_restore_backup || !settings.database.pre_restore_backup.value;
    if refused || !to.replace || !preflight.exists {
        return Ok(None);
    }
    let is_empty = server.database_is_empty(&to.name);
    if is_empty.map_err(OperationError::from)? {
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

/// Makes the backup, and gives its file's name.
pub fn back_up(
    restoring: &Restoring<'_>,
    vault: &Vault<'_>,
    server: &Server,
    to: &DatabaseDestination,
) -> Result<String, OperationError> {
    let session = restoring.session;
    let record = RecordFlags {
        note: Some(format!(
            "before the restore of {}",
            restoring.backup.archive
        )),
        keep: false,
        trigger: TriggerArg::Manual,
        schedule: None,
    };
    let encryption = backup::encryption(session, vault);
    let plan = BackupPlan {
        before_restore_of: Some(restoring.backup.archive.clone()),
        ..backup::plan(session, encryption, &to.name, ArchiveFormat::Plain, &record)
    };
    let settings = &session.settings.database.dump;
    let options = DumpOptions {
        lock_wait_timeout: settings.lock_wait_timeout.value,
        ..DumpOptions::default()
    };
    let made = operations::backup(vault, &plan, Timestamp::now(), || {
        let (source, warnings) =
            wiring::dump_source(server, &to.name, &options, &DumpForm::Plain, session.cancel)?;
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
            Ok(file)
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
