//! `kluis restore`: into a new directory or database, or in place of one.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::catalog::Backup;
use crate::checked::shell_word;
use crate::cli::Restore;
use crate::dump::Needs;
use crate::event::{Event, EventBackup, EventKind};
use crate::exit::{Exit, exit_of};
use crate::format::manifest::{DatabaseContent, Kind, Manifest, Trigger};
use crate::ledger::Columns;
use crate::operations::{Accepted, OperationError, Reporter, RestoreSteps, accept, restore};
use crate::postgres::{Preflight, RestoreNeeds, Server};
use crate::reached::Goal;
use crate::series::left_out_by_options;
use crate::storage::{LocalStorage, Storage};
use crate::target::{
    DatabaseTarget, DirectoryTarget, InPlaceTarget, Placement, RestoreTreeOptions, Target,
    dumped_again,
};
use crate::wiring::{self, Database};

use super::around::problem;
use super::session::{Opened, Session};

mod before;
mod confirm;
mod globals;
mod report;
mod salvage;
mod select;
mod wizard;

pub fn run(session: &Session<'_>, wanted: &Restore) -> anyhow::Result<Exit> {
    session.ring()?;
    let wanted = wizard::completed(session, wanted)?;
    let (opened, key) = session.open_for(wizard::backup(&wanted)?)?;
    let named = opened.find(&key)?;
    if wanted.destination.list && !named.backup().holds_globals() {
        return select::list(session, &opened, named.backup(), &wanted);
    }
    let accepted = accept(
        &opened.storage,
        session.ring()?,
        named,
        wanted.accept_unsealed,
    )?;
    tell_unsealed(session, &opened.storage, &accepted);
    let backup: &Backup = &accepted.backup;
    let begun = Instant::now();
    let result = carry_out(session, &wanted, &opened, &accepted);
    // What was only looked at, or asked for wrongly, is nobody else's business.
    let is_news = match &result {
        Ok(_) => true,
        Err(error) => exit_of(error) != Exit::Usage,
    };
    if is_news && !wanted.dry_run {
        happened(session, backup, result.as_ref(), begun.elapsed());
    }
    let exit = result?;
    if let Cow::Owned(answered) = &wanted {
        wizard::tell_command(session, answered);
    }
    Ok(exit)
}

/// What an operator must know of a backup that no key of ours vouches for.
fn tell_unsealed(session: &Session<'_>, storage: &LocalStorage, accepted: &Accepted<'_>) {
    let archive = &accepted.backup.archive;
    if let Some(why) = &accepted.without_manifest {
        let named = format!("{}/{archive}", storage.location());
        session.console.warn(&format!(
            "{archive}: its manifest is passed over ({why}); only what the archive itself shows \
             counts. kluis adopt {} writes one that is sealed",
            shell_word(&named)
        ));
    }
    if accepted.unsealed {
        session.console.warn(&format!(
            "{archive} is not sealed by a key of ours: what it restores may be anybody's work"
        ));
    }
}

/// Keeps what came of the restore for those who are told of it.
fn happened(
    session: &Session<'_>,
    backup: &Backup,
    result: Result<&Exit, &anyhow::Error>,
    took: Duration,
) {
    let kind = match result {
        Ok(_) => EventKind::RestoreCompleted,
        Err(_) => EventKind::RestoreFailed,
    };
    let manifest = backup.file.as_ref().map(|file| &file.manifest);
    session.happened.add(Event {
        subject: backup.kind(),
        name: Some(backup.name().to_owned()),
        backup: manifest.map(EventBackup::of),
        duration_ms: u64::try_from(took.as_millis()).ok(),
        problem: match result {
            Ok(Exit::Incomplete) => {
                Some("incomplete: entries are left out, lack something or differ".to_owned())
            }
            Ok(_) => None,
            Err(error) => Some(problem(error)),
        },
        ..session.event(kind, "restore", Trigger::Manual)
    });
}

fn carry_out(
    session: &Session<'_>,
    wanted: &Restore,
    opened: &Opened,
    accepted: &Accepted<'_>,
) -> anyhow::Result<Exit> {
    let backup: &Backup = &accepted.backup;
    if backup.holds_globals() {
        return globals::run(session, opened, backup, wanted);
    }
    select::check_flags(wanted)?;
    let restoring = Restoring {
        session,
        opened,
        backup,
        destination: destination(backup, wanted)?,
        wanted,
        unsealed: accepted.unsealed,
    };
    match (&restoring.destination, wanted.dry_run) {
        _ if wanted.keep_going => restoring.salvage(),
        (Destination::Directory(to), false) => restoring.tree(to),
        (Destination::Directory(to), true) => {
            // Dropping the target leaves nothing: it has only looked.
            drop(restoring.open_directory(to, accepted.unsealed)?);
            restoring.dry_run()
        }
        (Destination::Database(to), _) => restoring.database(to),
    }
}

enum Destination {
    Directory(PathBuf),
    Database(DatabaseDestination),
}

/// A database to be made, or one that changes.
struct DatabaseDestination {
    name: String,
    /// What is there goes.
    replace: bool,
    in_place: bool,
    keep_old: bool,
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Database(to) => write!(f, "database {}", to.name),
        }
    }
}

/// The flags fit the kind of backup, or the error says which would.
fn destination(backup: &Backup, wanted: &Restore) -> Result<Destination, OperationError> {
    let usage = |what: &str| OperationError::Usage {
        what: format!("{} is a {what}", backup.archive),
    };
    let flags = &wanted.destination;
    if backup.kind() == Some(Kind::Source) {
        let to = flags
            .to
            .clone()
            .ok_or_else(|| usage("source tree: restore it into a directory, with --to DIR"))?;
        return Ok(Destination::Directory(to));
    }
    let name = match (&flags.into, flags.replace) {
        (Some(into), _) => into.clone(),
        (None, true) => backup.name().to_owned(),
        (None, false) => {
            return Err(usage("database: restore it with --into NAME or --replace"));
        }
    };
    Ok(Destination::Database(DatabaseDestination {
        name,
        replace: flags.replace,
        in_place: wanted.in_place,
        keep_old: wanted.keep_old,
    }))
}

/// One restore and everything it is made of.
struct Restoring<'a> {
    session: &'a Session<'a>,
    opened: &'a Opened,
    backup: &'a Backup,
    destination: Destination,
    wanted: &'a Restore,
    /// Nobody's rights come of it.
    unsealed: bool,
}

impl Restoring<'_> {
    fn manifest(&self) -> Option<&Manifest> {
        self.backup.file.as_ref().map(|file| &file.manifest)
    }

    fn content(&self) -> Option<&DatabaseContent> {
        self.manifest()?.database.as_ref()
    }

    fn open_directory(
        &self,
        to: &Path,
        without_rights: bool,
    ) -> Result<Box<dyn Target>, OperationError> {
        // It would be swapped away from under whoever stands in it.
        if to.canonicalize().ok() == Path::new(".").canonicalize().ok() {
            let what = format!(
                "{} is the working directory itself; name a directory in it, or go elsewhere",
                to.display()
            );
            return Err(OperationError::Usage { what });
        }
        let options = RestoreTreeOptions {
            links_outside: !self.wanted.no_links_outside,
            without_rights,
            paths: select::paths(self.wanted)?,
            is_throwaway: false,
        };
        let target = DirectoryTarget::new(to, options, self.session.cancel.clone())?;
        Ok(Box::new(target))
    }

    fn tree(&self, to: &Path) -> anyhow::Result<Exit> {
        let session = self.session;
        let target = self.open_directory(to, self.unsealed)?;
        let goal = self.goal(to.exists(), false);
        let steps = RestoreSteps::staged(goal, move || Ok(target));
        let vault = session.vault(&self.opened.storage, "restore", Trigger::Manual)?;
        self.finish(restore(&vault, self.backup, session.now, steps), None)
    }

    fn database(&self, to: &DatabaseDestination) -> anyhow::Result<Exit> {
        let session = self.session;
        if to.replace && !self.wanted.part {
            select::refuse_part(self.backup, self.content(), &to.name)?;
        }
        let database = session.database_to_change();
        let database = database.map_err(OperationError::from)?;
        let server = &database.server;
        wiring::sweep_staging(server, session.console);
        let choice = select::choice(session, self.opened, self.backup, self.wanted, || {
            // What stands in the way of any part is told before the dump is read for it.
            self.open_database(server, to, Some(&Needs::default()))
        })?;
        let needs = choice.as_ref().map(|choice| &choice.needs);
        let (target, preflight) = self.open_database(server, to, needs)?;
        self.tell(to, &preflight);
        before::weigh_wholeness(self, server, to, &preflight)?;
        let target = select::only_chosen(session, choice, target);
        // Whatever the format, the targets of databases receive SQL text.
        let programs = wiring::archive_programs(&session.settings, session.path.as_deref());
        let target = wiring::text_target(self.backup, target, &programs, session.cancel)?;
        if self.wanted.dry_run {
            drop(target);
            return self.dry_run();
        }
        let storage = before::storage(self, server, to, &preflight)?;
        if to.replace && !self.wanted.yes {
            let is_there = preflight.standing.is_some();
            self.confirm_replacing(server, to, is_there, storage.is_some())?;
        }
        let check = wiring::check_target(self.backup, &programs, session.cancel)?;
        let goal = self.goal(preflight.standing.is_some(), to.in_place);
        self.carry_out(&database, to, storage.as_ref(), goal, [check, target])
    }

    fn goal(&self, existed: bool, in_place: bool) -> Goal {
        Goal {
            shown: self.destination.to_string(),
            existed,
            in_place,
        }
    }

    /// What was found on the way, and what the operator may not think of.
    fn tell(&self, to: &DatabaseDestination, preflight: &Preflight) {
        let console = self.session.console;
        for text in &preflight.details {
            console.detail(text);
        }
        for text in &preflight.warnings {
            console.warn(text);
        }
        let part = self.content().map(left_out_by_options);
        if let Some(part) = part.filter(|part| to.replace && !part.is_empty()) {
            console.warn(&format!(
                "this backup holds only a part of the database (pg_dump{part}); all else in {} \
                 will be gone, --into brings the part back beside it",
                to.name
            ));
        }
    }

    /// Everything that changes something. `storage`: for a backup of what is
    /// replaced.
    fn carry_out(
        &self,
        database: &Database,
        to: &DatabaseDestination,
        storage: Option<&LocalStorage>,
        goal: Goal,
        [check, target]: [Box<dyn Target>; 2],
    ) -> anyhow::Result<Exit> {
        let session = self.session;
        let back_up_in = match storage {
            Some(storage) => Some(session.vault(storage, "backup db", Trigger::Manual)?),
            None => None,
        };
        let mut backed_up = None;
        let before_change = || {
            if let Some(vault) = &back_up_in {
                backed_up = Some(before::back_up(self, vault, database, to)?);
            }
            Ok(backed_up
                .as_ref()
                .map(|copy: &before::SafetyCopy| copy.file.clone()))
        };
        let read_back = |like: &Columns, advance: &dyn Fn(u64)| {
            dumped_again(
                &database.server,
                &to.name,
                self.content(),
                like,
                session.cancel,
                advance,
            )
        };
        let vault = session.vault(&self.opened.storage, "restore", Trigger::Manual)?;
        let steps = RestoreSteps {
            goal,
            check: Some(check),
            before_change: Box::new(before_change),
            start: Box::new(move || Ok(target)),
            read_back: to.in_place.then_some(Box::new(read_back)),
            accept_differences: self.wanted.accept_differences,
        };
        let done = restore(&vault, self.backup, session.now, steps);
        self.finish(done, backed_up)
    }

    /// The target and what was found on the way to it; nothing is changed yet.
    fn open_database(
        &self,
        server: &Server,
        to: &DatabaseDestination,
        chosen: Option<&Needs>,
    ) -> Result<(Box<dyn Target>, Preflight), OperationError> {
        let globals = before::newest_globals(&self.opened.catalog, self.backup);
        let session = self.wanted.session();
        let needs = RestoreNeeds {
            content: self.content(),
            chosen,
            raw_bytes: self.manifest().map(|manifest| manifest.content.raw_bytes),
            globals: globals.as_deref(),
            session: Some(&session),
            unvouched: self.unsealed,
            as_superuser: self.wanted.as_superuser,
        };
        let cancel = self.session.cancel.clone();
        if to.in_place {
            let target = InPlaceTarget::new(server.clone(), &to.name, to.replace, needs, cancel)?;
            let preflight = target.preflight().clone();
            return Ok((Box::new(target), preflight));
        }
        let name = to.name.clone();
        let placement = match to.replace {
            true => Placement::Replace {
                name,
                keep_old: to.keep_old,
            },
            false => Placement::Into(name),
        };
        let target = DatabaseTarget::new(server.clone(), placement, needs, cancel)?;
        let preflight = target.preflight().clone();
        Ok((Box::new(target), preflight))
    }
}
