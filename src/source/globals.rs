//! Makes the dump of what all databases of a server share: roles and
//! tablespaces, by `pg_dumpall --globals-only`.
//!
//! Role passwords (their verifiers) are in it where they may be read.

use std::io;

use super::child_dump::{ChildDump, Witness};
use crate::cancel::Cancel;
use crate::format::manifest::{DatabaseContent, GLOBALS};
use crate::ledger::{GlobalsReader, Ledger};
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
            options.push(NO_PASSWORDS.to_owned());
            warnings.push(
                "the roles are backed up without their passwords, which only a superuser may \
                 read: set them anew after a restore"
                    .to_owned(),
            );
        }
        let tool = server
            .tool(&client, database)
            .args(["--globals-only", "--encoding=UTF8"])
            .args(role.map(|role| format!("--role={role}")))
            .args(options.iter().cloned());
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
        let (dump, told) = (ChildReader::spawn(&tool)?, (content, warnings));
        Ok(Self::new(
            server,
            dump,
            GlobalsReader::default(),
            told,
            cancel,
        ))
    }
}

impl Witness for GlobalsReader {
    fn feed(&mut self, bytes: &[u8]) -> io::Result<()> {
        Self::feed(self, bytes);
        Ok(())
    }

    fn finish(self) -> io::Result<Ledger> {
        let globals = Self::finish(self).map_err(io::Error::other)?;
        Ok(globals.ledger())
    }
}
