//! `kluis restore --keep-going`: what is left of a backup, and a list of the rest.

use super::report::not_restored;
use super::{DatabaseDestination, Destination, Restoring};
use crate::dump::Needs;
use crate::exit::Exit;
use crate::format::manifest::Trigger;
use crate::operations::{Damage, OperationError, Reporter, SalvageDone, SalvageSteps, salvage};
use crate::postgres::{RestoreNeeds, Server};
use crate::render::RestoreReport;
use crate::target::{DatabaseTarget, Placement, Target};
use crate::wiring;

impl Restoring<'_> {
    pub(super) fn salvage(&self) -> anyhow::Result<Exit> {
        match &self.destination {
            Destination::Directory(to) => {
                // What stands in the way is told before the archive is read.
                drop(self.open_directory(to, true)?);
                let start =
                    |damage: &Damage| self.open_directory(to, self.unsealed || damage.is_doubtful);
                self.salvage_into(to.exists(), start)
            }
            Destination::Database(to) => {
                let database = self.session.database_to_change();
                let database = database.map_err(OperationError::from)?;
                let server = &database.server;
                wiring::sweep_staging(server, self.session.console);
                self.database_to_salvage(server, to, None)?;
                let start = |damage: &Damage| self.database_to_salvage(server, to, Some(damage));
                self.salvage_into(false, start)
            }
        }
    }

    /// `damage`: `None` where it is only looked at what stands in the way, and told.
    /// Whatever the dump needs and the server lacks fails by itself, and is told then.
    fn database_to_salvage(
        &self,
        server: &Server,
        to: &DatabaseDestination,
        damage: Option<&Damage>,
    ) -> Result<Box<dyn Target>, OperationError> {
        let session = self.session;
        let options = self.wanted.session();
        let needs = RestoreNeeds {
            content: self.content(),
            chosen: Some(&Needs::default()),
            raw_bytes: self.manifest().map(|manifest| manifest.content.raw_bytes),
            session: Some(&options),
            ..RestoreNeeds::default()
        };
        let placement = Placement::Into(to.name.clone());
        let target = DatabaseTarget::new(server.clone(), placement, needs, session.cancel.clone())?;
        let preflight = target.preflight();
        if damage.is_some_and(|damage| damage.is_doubtful) && preflight.fill_as.is_none() {
            let ask_in = server.maintenance_database(&to.name)?;
            if server.can_do_everything(&ask_in)? {
                return Err(OperationError::Refused {
                    what: format!(
                        "{} is damaged, and behind that place nothing shows whether a text is a \
                         statement or somebody's row: it is not run with a superuser's rights; log \
                         in as a role with CREATEDB and no more",
                        self.backup.archive
                    ),
                });
            }
        }
        let warnings = preflight.warnings.iter().filter(|_| damage.is_none());
        warnings.for_each(|text| session.console.warn(text));
        let target: Box<dyn Target> = Box::new(target.keeping_going());
        let programs = wiring::archive_programs(&session.settings, session.path.as_deref());
        wiring::text_target(self.backup, target, &programs, session.cancel)
    }

    fn salvage_into(
        &self,
        existed: bool,
        start: impl FnOnce(&Damage) -> Result<Box<dyn Target>, OperationError>,
    ) -> anyhow::Result<Exit> {
        let session = self.session;
        let steps = SalvageSteps {
            goal: self.goal(existed, false),
            start: Box::new(start),
        };
        let vault = session.vault(&self.opened.storage, "restore", Trigger::Manual)?;
        let done = salvage(&vault, self.backup, session.now, steps).map_err(not_restored)?;
        self.tell_salvaged(done)
    }

    fn tell_salvaged(&self, done: SalvageDone) -> anyhow::Result<Exit> {
        let SalvageDone {
            received,
            not_whole,
            raw_bytes,
            took,
        } = done;
        let is_whole = not_whole.is_empty() && received.left_out + received.not_set == 0;
        let tables = received.database.as_ref().map(|db| &db.ledger.tables);
        self.session.print(&RestoreReport {
            restored: true,
            raw_bytes,
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            content_ok: true,
            tables: tables.map_or(0, |tables| tables.len() as u64),
            rows: tables.map_or(0, |tables| tables.iter().map(|table| table.rows).sum()),
            files: received.tree.as_ref().map_or(0, |tree| tree.files),
            left_out: received.left_out,
            not_set: received.not_set,
            not_whole,
            warnings: received.warnings,
            ..self.empty()
        })?;
        Ok(match is_whole {
            true => Exit::Done,
            false => Exit::Incomplete,
        })
    }
}
