//! Makes the dump of what all databases of a server share: roles and
//! tablespaces, by `pg_dumpall --globals-only`.
//!
//! Role passwords (their verifiers) are in it where they may be read.

use std::io;

use super::child_dump::{ChildDump, Seen, Told, Witness};
use crate::cancel::Cancel;
use crate::checked::RecordedOption;
use crate::format::manifest::{DatabaseContent, GLOBALS};
use crate::ledger::GlobalsReader;
use crate::postgres::{PostgresError, Server};
use crate::process::ChildReader;

const NO_PASSWORDS: &str = "--no-role-passwords";

/// A running dump of a server's roles.
pub type GlobalsSource = ChildDump<GlobalsReader>;

impl GlobalsSource {
    /// Asks in `database`; pg_dumpall itself finds one to connect to. `role`: the
    /// one to take before dumping.
    pub fn start(
        server: &Server,
        database: &str,
        role: Option<&str>,
        cancel: Cancel,
    ) -> Result<Self, PostgresError> {
        let client = server.client("pg_dumpall")?;
        let mut warnings: Vec<String> = Vec::new();
        let mut options = Vec::new();
        if !server.can_read_role_passwords(database, role)? {
            options.push(RecordedOption::new(NO_PASSWORDS));
            warnings.push(
                "the roles are backed up without their passwords, which only a superuser may \
                 read: set them anew after a restore"
                    .to_owned(),
            );
        }
        let tool = server
            .tool(&client, database)
            .arg("--globals-only")
            .arg(format!("--encoding={}", encoding(server)?))
            .args(role.map(|role| format!("--role={role}")))
            .args((!options.is_empty()).then_some(NO_PASSWORDS));
        let tool = server.unlimited(tool, database)?;
        let content = DatabaseContent {
            server_version: server.version().text.clone(),
            client_version: client.version,
            mode: server.access().mode().to_owned(),
            mode_reason: server.way_reason().map(str::to_owned),
            container: server.access().container().map(str::to_owned),
            format: GLOBALS.to_owned(),
            options,
            ..DatabaseContent::default()
        };
        let dump = ChildReader::spawn(&tool)?;
        let told = Told {
            program: "pg_dumpall",
            content,
            warnings,
            dumped: None,
        };
        Ok(Self::new(
            server,
            dump,
            GlobalsReader::default(),
            told,
            cancel,
        ))
    }
}

/// What is written in it where that is no encoding, too: a name in another is then a
/// statement that is not understood, and not the end of the dump.
fn encoding(server: &Server) -> Result<&'static str, PostgresError> {
    let asked_in = server.maintenance_database("")?;
    Ok(match server.encoding(&asked_in)?.as_str() {
        "SQL_ASCII" => "SQL_ASCII",
        _ => "UTF8",
    })
}

impl Witness for GlobalsReader {
    fn feed(&mut self, bytes: &[u8]) -> io::Result<()> {
        Self::feed(self, bytes);
        Ok(())
    }

    fn finish(self) -> io::Result<Seen> {
        let globals = Self::finish(self).map_err(io::Error::other)?;
        Ok(Seen {
            ledger: globals.ledger(),
            not_understood: globals.not_understood(),
            ..Seen::default()
        })
    }
}
