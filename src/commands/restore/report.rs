//! What a restore came to, as its report tells it.

use super::Restoring;
use super::before::SafetyCopy;
use crate::catalog::Backup;
use crate::exit::{Exit, exit_of};
use crate::format::manifest::Kind;
use crate::format::manifest::Trigger;
use crate::operations::{
    Comparison, Depth, NotRestored, OperationError, Reporter, RestoreDone, verify,
};
use crate::render::{Compared, ComparedTable, RestoreReport, counted};
use crate::wiring;

impl Restoring<'_> {
    /// Prints what came of it; `backed_up` was made before.
    pub(super) fn finish(
        &self,
        done: Result<RestoreDone, NotRestored>,
        backed_up: Option<SafetyCopy>,
    ) -> anyhow::Result<Exit> {
        let session = self.session;
        let pre_restore_backup = backed_up.as_ref().map(|copy| copy.file.clone());
        let done = match done {
            Ok(done) => done,
            Err(failed) => {
                if let OperationError::NotAsDumped { comparison, .. } = &failed.error {
                    session.print(&RestoreReport {
                        content_ok: false,
                        restored: failed.reached.is_in_place(),
                        pre_restore_backup,
                        ..self.with_comparison(comparison)
                    })?;
                }
                return Err(not_restored(failed));
            }
        };
        session.warn_of_copy(&self.backup.archive, done.report.unused_copy.as_ref());
        let left_out = done.received.left_out;
        let differs = done.comparison.as_ref().is_some_and(|it| !it.is_same());
        if left_out > 0 {
            session.console.warn(&format!(
                "{} left out, named above or with --json under warnings",
                counted(left_out, "entry was", "entries were")
            ));
        }
        let not_set = done.received.not_set;
        if not_set > 0 {
            session.console.warn(&format!(
                "{} could not be given all that was theirs, named above or with --json under \
                 warnings",
                counted(not_set, "entry", "entries")
            ));
        }
        session.print(&RestoreReport {
            pre_restore_backup,
            content_ok: !differs,
            ..self.done(done)
        })?;
        if let Some(copy) = backed_up {
            let undo = format!("to undo: kluis restore {} --replace", copy.id);
            session.console.info(&undo);
        }
        Ok(match left_out + not_set == 0 && !differs {
            true => Exit::Done,
            false => Exit::Incomplete,
        })
    }

    fn done(&self, done: RestoreDone) -> RestoreReport {
        let report = match &done.comparison {
            Some(comparison) => self.with_comparison(comparison),
            None => self.empty(),
        };
        let tables = done.received.database.as_ref().map(|db| &db.ledger.tables);
        RestoreReport {
            restored: true,
            raw_bytes: done.report.unsealed.raw_bytes,
            duration_ms: u64::try_from(done.took.as_millis()).unwrap_or(u64::MAX),
            tables: tables.map_or(0, |tables| tables.len() as u64),
            rows: tables.map_or(0, |tables| tables.iter().map(|table| table.rows).sum()),
            files: done.received.tree.as_ref().map_or(0, |tree| tree.files),
            chosen: done.received.chosen,
            kept_old: done.received.kept_old,
            left_out: done.received.left_out,
            not_set: done.received.not_set,
            warnings: done.received.warnings,
            ..report
        }
    }

    pub(super) fn with_comparison(&self, comparison: &Comparison) -> RestoreReport {
        let tables: Vec<ComparedTable> = comparison
            .tables
            .iter()
            .map(|table| ComparedTable {
                table: format!("{}.{}", table.schema, table.name),
                expected_rows: table.expected_rows,
                found_rows: table.found_rows,
                same: table.same,
            })
            .collect();
        RestoreReport {
            differences: tables.iter().filter(|table| !table.same).cloned().collect(),
            compared: Some(Compared {
                tables,
                sequences: comparison.sequences,
                large_objects: comparison.large_objects,
                objects: comparison.objects,
                other_differences: comparison.others.clone(),
            }),
            ..self.empty()
        }
    }

    /// Everything was looked at but the archive; now that is read.
    pub(super) fn dry_run(&self) -> anyhow::Result<Exit> {
        let session = self.session;
        let vault = session.vault(&self.opened.storage, "restore --dry-run", Trigger::Manual)?;
        let programs = wiring::archive_programs(&session.settings, session.path.as_deref());
        let check = |backup: &Backup| wiring::check_target(backup, &programs, session.cancel);
        let done = verify(&vault, self.backup, Depth::Full, session.now, &check)?;
        session.warn_of_copy(&self.backup.archive, done.unused_copy.as_ref());
        session.print(&RestoreReport {
            dry_run: true,
            raw_bytes: done.raw_bytes.unwrap_or_default(),
            duration_ms: u64::try_from(done.took.as_millis()).unwrap_or(u64::MAX),
            warnings: done.warnings,
            ..self.empty()
        })?;
        Ok(Exit::Done)
    }

    /// What the manifest says was in it; a restore fills in what came.
    pub(super) fn empty(&self) -> RestoreReport {
        let manifest = self.manifest();
        let tables = self.content().map(|content| &content.ledger.tables);
        let tree = manifest.and_then(|manifest| manifest.source.as_ref());
        RestoreReport {
            id: manifest.map_or_else(|| "-".to_owned(), |manifest| manifest.id.to_string()),
            kind: self.backup.kind().unwrap_or(Kind::Db),
            name: self.backup.name().to_owned(),
            destination: self.destination.to_string(),
            dry_run: false,
            restored: false,
            has_manifest: manifest.is_some(),
            raw_bytes: 0,
            duration_ms: 0,
            content_ok: true,
            differences: Vec::new(),
            compared: None,
            tables: tables.map_or(0, |tables| tables.len() as u64),
            rows: tables.map_or(0, |tables| tables.iter().map(|table| table.rows).sum()),
            files: tree.map_or(0, |tree| tree.files),
            chosen: None,
            left_out: 0,
            not_set: 0,
            kept_old: None,
            pre_restore_backup: None,
            not_whole: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

/// Wrong usage, or a lock that others hold, has changed nothing and says so by
/// itself; all else is told by what it means for the destination.
pub(super) fn not_restored(failed: NotRestored) -> anyhow::Error {
    let error = anyhow::Error::from(failed);
    match exit_of(&error) {
        Exit::Usage | Exit::Locked => match error.downcast::<NotRestored>() {
            Ok(failed) => failed.error.into(),
            Err(error) => error,
        },
        _ => error,
    }
}
