//! What a restore came to, as its report tells it.

use super::Restoring;
use crate::catalog::Backup;
use crate::exit::{Exit, exit_of};
use crate::format::manifest::Kind;
use crate::format::manifest::Trigger;
use crate::operations::{Comparison, Depth, OperationError, Reporter, RestoreDone, verify};
use crate::render::{Compared, ComparedTable, RestoreReport};
use crate::wiring;

impl Restoring<'_> {
    /// Prints what came of it; `backed_up` is the file that was made before.
    pub(super) fn finish(
        &self,
        done: Result<RestoreDone, OperationError>,
        backed_up: Option<String>,
    ) -> anyhow::Result<Exit> {
        let session = self.session;
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                if let OperationError::NotAsDumped {
                    comparison,
                    committed,
                    ..
                } = &error
                {
                    session.print(&RestoreReport {
                        content_ok: false,
                        restored: *committed,
                        pre_restore_backup: backed_up,
                        ..self.with_comparison(comparison)
                    })?;
                }
                return Err(self.not_restored(error));
            }
        };
        session.warn_of_copy(&self.backup.archive, done.report.unused_copy.as_ref());
        let left_out = done.received.left_out;
        if left_out > 0 {
            session.console.warn(&format!(
                "{left_out} entries were left out, named above or with --json under warnings"
            ));
        }
        session.print(&RestoreReport {
            pre_restore_backup: backed_up,
            ..self.done(done)
        })?;
        Ok(match left_out {
            0 => Exit::Done,
            _ => Exit::Incomplete,
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
            kept_old: done.received.kept_old,
            left_out: done.received.left_out,
            warnings: done.received.warnings,
            ..report
        }
    }

    fn with_comparison(&self, comparison: &Comparison) -> RestoreReport {
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

    /// Tells what a failure means for the data, before its reason.
    fn not_restored(&self, error: OperationError) -> anyhow::Error {
        let committed = matches!(
            error,
            OperationError::NotAsDumped {
                committed: true,
                ..
            }
        );
        let error = anyhow::Error::from(error);
        match exit_of(&error) {
            Exit::Failed | Exit::Integrity if !committed => error.context(format!(
                "nothing was restored; {} is as it was before",
                self.destination
            )),
            _ => error,
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
    fn empty(&self) -> RestoreReport {
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
            left_out: 0,
            kept_old: None,
            pre_restore_backup: None,
            warnings: Vec::new(),
        }
    }
}
