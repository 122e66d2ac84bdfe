//! Makes the dump of what all databases of a server share: roles and
//! tablespaces, by `pg_dumpall --globals-only`.
//!
//! Invariant: the stream ends cleanly only if pg_dumpall exited 0 and its text
//! was whole. Role passwords (their verifiers) are in it where they may be read.

use std::io::{self, Read};

use super::{Produced, Source};
use crate::cancel::Cancel;
use crate::format::manifest::{DatabaseContent, GLOBALS};
use crate::ledger::{GlobalsReader, Ledger};
use crate::postgres::{PostgresError, Server};
use crate::process::ChildReader;

const NO_PASSWORDS: &str = "--no-role-passwords";

/// A running dump of a server's roles.
pub struct GlobalsSource {
    dump: ChildReader,
    /// Until the end of the stream.
    reader: Option<GlobalsReader>,
    /// Once the end was seen and good.
    ledger: Option<Ledger>,
    content: DatabaseContent,
    warnings: Vec<String>,
    cancel: Cancel,
}

impl GlobalsSource {
    /// Asks in `database`; pg_dumpall itself finds one to connect to. `role`: the one to take before dumping.
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
        Ok(Self {
            dump: ChildReader::spawn(&tool)?,
            reader: Some(GlobalsReader::default()),
            ledger: None,
            content: DatabaseContent {
                server_version: server.version().text.clone(),
                client_version: client.version,
                mode: server.access().mode().to_owned(),
                format: GLOBALS.to_owned(),
                options,
                ..DatabaseContent::default()
            },
            warnings,
            cancel,
        })
    }

    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn end(&mut self) -> io::Result<()> {
        if let Some(reader) = self.reader.take() {
            let globals = reader.finish().map_err(io::Error::other)?;
            self.ledger = Some(globals.ledger());
        }
        match self.ledger {
            Some(_) => Ok(()),
            None => Err(io::Error::other("the dump was not whole")),
        }
    }
}

impl Read for GlobalsSource {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.cancel.check_io()?;
        let read = self.dump.read(buf);
        self.cancel.check_io()?;
        let count = read?;
        if count == 0 && !buf.is_empty() {
            self.end()?;
        } else if let Some(reader) = &mut self.reader {
            reader.feed(&buf[..count]);
        }
        Ok(count)
    }
}

impl Source for GlobalsSource {
    fn finish(self: Box<Self>) -> Produced {
        Produced::Database(DatabaseContent {
            ledger: self.ledger.unwrap_or_default(),
            ..self.content
        })
    }
}
