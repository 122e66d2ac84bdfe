//! `kluis restore` of roles: `--in-place`, and only those that are missing.

use crate::catalog::Backup;
use crate::cli::Restore;
use crate::exit::Exit;
use crate::format::manifest::{GLOBALS_NAME, Trigger};
use crate::operations::{Depth, OperationError, Reporter, RestoreSteps, restore, verify};
use crate::render::{self, RolesReport};
use crate::target::GlobalsTarget;
use crate::wiring;

use super::report::not_restored;
use crate::commands::session::{Opened, Session};
use crate::reached::Goal;

pub fn run(
    session: &Session<'_>,
    opened: &Opened,
    backup: &Backup,
    wanted: &Restore,
) -> anyhow::Result<Exit> {
    let flags = &wanted.destination;
    let elsewhere = flags.to.is_some() || flags.into.is_some() || flags.list;
    if !wanted.in_place || elsewhere {
        return Err(OperationError::Usage {
            what: format!(
                "{} holds roles, no database: restore it with --in-place, which makes those \
                 that the server does not have",
                backup.archive
            ),
        }
        .into());
    }
    let database = session.database_to_change()?;
    let place = database.server.place();
    if !wanted.yes && !wanted.dry_run {
        let made = render::when(backup.created_at(), &session.view);
        let question = format!(
            "This makes the roles of {}, made {made}, that {place} does not have. Those that \
             are there stay as they are.",
            backup.archive
        );
        session
            .console
            .confirm(&question, GLOBALS_NAME, session.cancel)?;
    }
    let target = GlobalsTarget::new(database.server, session.cancel.clone())?;
    let mut report = RolesReport {
        file: backup.archive.clone(),
        server: place,
        dry_run: wanted.dry_run,
        roles: Vec::new(),
        warnings: Vec::new(),
    };
    if wanted.dry_run {
        let vault = session.vault(&opened.storage, "restore --dry-run", Trigger::Manual)?;
        let programs = wiring::archive_programs(&session.settings, session.path.as_deref());
        let check = |backup: &Backup| wiring::check_target(backup, &programs, session.cancel);
        let done = verify(&vault, backup, Depth::Full, session.now, &check)?;
        session.warn_of_copy(&backup.archive, done.unused_copy.as_ref());
        session.print(&report)?;
        return Ok(Exit::Done);
    }
    let vault = session.vault(&opened.storage, "restore", Trigger::Manual)?;
    let goal = Goal {
        shown: format!("the roles of {}", report.server),
        existed: true,
        in_place: true,
    };
    let steps = RestoreSteps::staged(goal, move || Ok(Box::new(target)));
    let done = restore(&vault, backup, session.now, steps).map_err(not_restored)?;
    session.warn_of_copy(&backup.archive, done.report.unused_copy.as_ref());
    for warning in &done.received.warnings {
        session.console.warn(warning);
    }
    report.roles = done.received.roles;
    report.warnings = done.received.warnings;
    session.print(&report)?;
    Ok(Exit::Done)
}
