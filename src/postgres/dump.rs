//! How pg_dump is asked, and the dump that is only read: for its ledger.
//!
//! Invariant: what a dump says depends on the content of the database alone,
//! or a copy that stands elsewhere would look different.

use std::io::{ErrorKind, Read};
use std::time::Duration;

use serde::Deserialize;

use super::dump_options::{DumpOption, changes_content};
use super::{Client, PostgresError, Server};
use crate::cancel::{Cancel, Cancelled};
use crate::checked::RecordedOption;
use crate::format::manifest::{DatabaseContent, Selection};
use crate::ledger::{Columns, DumpReader, Ledger, LedgerError};
use crate::process::{ChildReader, ProcessError, Tool};

/// As large as a pipe gets.
const READ_BYTES: usize = 1 << 20;

/// How pg_dump is asked.
#[derive(Clone, Debug)]
pub struct DumpOptions {
    /// What of the database; empty means all.
    pub selection: Selection,
    /// A pattern that finds nothing is an error. Not of a dump to compare with: there
    /// the rows tell.
    pub must_match: bool,
    /// How long pg_dump may wait for its table locks. Without a limit it
    /// stands in a queue behind a migration, and everybody behind it.
    pub lock_wait_timeout: Duration,
    pub options: Vec<DumpOption>,
}

impl Default for DumpOptions {
    fn default() -> Self {
        Self {
            selection: Selection::default(),
            must_match: false,
            lock_wait_timeout: Duration::from_secs(60),
            options: Vec::new(),
        }
    }
}

impl DumpOptions {
    /// pg_dump's arguments, but for the format, the encoding and the connection.
    fn arguments(&self) -> Vec<String> {
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
        if self.must_match {
            arguments.push("--strict-names".to_owned());
        }
        let options = self.options.iter();
        arguments.extend(options.map(|option| option.as_str().to_owned()));
        arguments
    }

    /// As the dump was made that `content`, a manifest's, tells of.
    pub fn again(content: &DatabaseContent) -> Result<Self, PostgresError> {
        let options = content.options.iter().map(DumpOption::again);
        Ok(Self {
            selection: content.selection.clone(),
            options: options.collect::<Result<_, _>>()?,
            ..Self::default()
        })
    }

    /// The options that a dump to compare with is made with, too.
    pub fn recorded(&self) -> Vec<RecordedOption> {
        let options = self.options.iter().map(DumpOption::as_str);
        options
            .filter(|option| changes_content(option))
            .map(RecordedOption::new)
            .collect()
    }
}

/// How a session of ours would print, by the settings of database and role.
#[derive(Deserialize)]
struct Printing {
    /// The database's own: "UTF8".
    encoding: String,
    /// "hex" or "escape".
    bytea_output: String,
    /// Whom we log in as, where the database chooses another role for its sessions.
    own_role: Option<String>,
}

impl Server {
    /// [`Server::tool`] for a pg_dump of `database`. pg_dump itself fixes how
    /// dates and floats are printed, but neither the time zone of timestamps,
    /// nor the form of bytea, nor the encoding: those of a database's or role's
    /// settings a copy would not have.
    pub fn dump_tool(
        &self,
        client: &Client,
        database: &str,
        options: &DumpOptions,
    ) -> Result<Tool, PostgresError> {
        let sql = "SELECT json_build_object('encoding', current_setting('server_encoding'),
                     'bytea_output', current_setting('bytea_output'), 'own_role',
                     (SELECT session_user FROM pg_database d WHERE datname = current_database()
                        AND EXISTS (SELECT FROM pg_db_role_setting, unnest(setconfig) AS s
                          WHERE setdatabase = d.oid AND left(s, 5) = 'role=')));";
        let printing: Printing = self.query_json(database, "tell how it prints", &sql.into())?;
        let mut tool = self.tool(client, database).env("PGTZ", "UTC");
        // Only where it is needed: some poolers refuse a session with options.
        if printing.bytea_output != "hex" {
            let given = self.access().session_options();
            let ours = format!("{given} -c bytea_output=hex");
            tool = tool.env("PGOPTIONS", ours.trim_start());
        }
        // Before the operator's own options: a role that they name is the last.
        let own_role = printing.own_role.map(|role| format!("--role={role}"));
        Ok(tool
            .arg(format!("--encoding={}", printing.encoding))
            .args(own_role)
            .args(options.arguments()))
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
/// it now, to be compared with what stood in the dump that filled it, whose columns are
/// `like`. `advance` hears of each piece's bytes.
pub fn dump_ledger(
    server: &Server,
    database: &str,
    options: &DumpOptions,
    like: &Columns,
    cancel: &Cancel,
    advance: &dyn Fn(u64),
) -> Result<Ledger, LedgerDumpError> {
    let client = server.client("pg_dump")?;
    let tool = server
        .dump_tool(&client, database, options)?
        .arg("--format=plain");
    let mut dump = ChildReader::spawn(&tool).map_err(PostgresError::from)?;
    let mut reader = DumpReader::like(like);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        cancel.check()?;
        match dump.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                reader.feed(&buffer[..count]);
                advance(count as u64);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                // A stop ends pg_dump: then the stop is the reason.
                cancel.check()?;
                return Err(refused(server, error).into());
            }
        }
    }
    reader.finish().map_err(|source| LedgerDumpError::Dump {
        database: database.to_owned(),
        source,
    })
}

fn refused(server: &Server, error: std::io::Error) -> PostgresError {
    let action = "dump the database";
    match ProcessError::from_io(error) {
        Ok(error) => server.explain(error, action),
        Err(error) => PostgresError::Answer {
            action: action.to_owned(),
            detail: error.to_string(),
        },
    }
}
