//! How pg_dump is asked, and the dump that is only read: for its ledger.

use std::io::{ErrorKind, Read};
use std::time::Duration;

use super::dump_options::changes_content;
use super::{PostgresError, Server};
use crate::cancel::{Cancel, Cancelled};
use crate::format::manifest::Selection;
use crate::ledger::{DumpReader, Ledger, LedgerError};
use crate::process::{ChildReader, ProcessError};

/// As large as a pipe gets.
const READ_BYTES: usize = 1 << 20;

/// How pg_dump is asked.
#[derive(Clone, Debug)]
pub struct DumpOptions {
    /// What of the database; empty means all.
    pub selection: Selection,
    /// How long pg_dump may wait for its table locks. Without a limit it
    /// stands in a queue behind a migration, and everybody behind it.
    pub lock_wait_timeout: Duration,
    /// Further options, each `--name` or `--name=value`.
    pub options: Vec<String>,
}

impl Default for DumpOptions {
    fn default() -> Self {
        Self {
            selection: Selection::default(),
            lock_wait_timeout: Duration::from_secs(60),
            options: Vec::new(),
        }
    }
}

impl DumpOptions {
    /// pg_dump's arguments, but for the format and the connection.
    pub fn arguments(&self) -> Vec<String> {
        let selection = &self.selection;
        let timeout = self.lock_wait_timeout.as_millis();
        let mut arguments = vec![format!("--lock-wait-timeout={timeout}ms")];
        for (flag, patterns) in [
            ("schema", &selection.schemas),
            ("exclude-schema", &selection.exclude_schemas),
            ("table", &selection.tables),
            ("exclude-table", &selection.exclude_tables),
        ] {
            arguments.extend(patterns.iter().map(|pattern| format!("--{flag}={pattern}")));
        }
        arguments.extend(self.options.iter().cloned());
        arguments
    }

    /// The options that a dump to compare with is made with, too.
    pub fn recorded(&self) -> Vec<String> {
        let options = self.options.iter();
        options
            .filter(|option| changes_content(option))
            .cloned()
            .collect()
    }
}

/// Why a database gave no ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerDumpError {
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error("the dump of {database:?} that was made to compare it is not whole: {source}")]
    Dump {
        database: String,
        source: LedgerError,
    },
}

/// Dumps `database` as `options` say and keeps the ledger only: what stands in
/// it now, to be compared with what stood in the dump that filled it.
pub fn dump_ledger(
    server: &Server,
    database: &str,
    options: &DumpOptions,
    cancel: &Cancel,
) -> Result<Ledger, LedgerDumpError> {
    let client = server.client("pg_dump")?;
    let tool = server
        .tool(&client, database)
        .arg("--format=plain")
        .args(options.arguments());
    let mut dump = ChildReader::spawn(&tool).map_err(PostgresError::from)?;
    let mut reader = DumpReader::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        cancel.check()?;
        match dump.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => reader.feed(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                // A stop ends pg_dump: then the stop is the reason.
                cancel.check()?;
                return Err(refused(server, database, error).into());
            }
        }
    }
    reader.finish().map_err(|source| LedgerDumpError::Dump {
        database: database.to_owned(),
        source,
    })
}

fn refused(server: &Server, database: &str, error: std::io::Error) -> PostgresError {
    let action = "dump the database";
    match ProcessError::from_io(error) {
        Ok(error) => server.explain(error, action, database),
        Err(error) => PostgresError::Answer {
            action: action.to_owned(),
            detail: error.to_string(),
        },
    }
}
