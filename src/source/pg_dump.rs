//! Makes the dump of one database. Here the plain one: `pg_dump`'s stdout, read
//! by the ledger as it passes; the archive formats stand in files of their own.
//!
//! Invariant: the stream ends cleanly only if pg_dump exited 0 *and* the dump
//! is whole by its own words; a dump that stops early with exit 0 is refused.

use std::io::{self, Read};

use super::{Produced, Source};
use crate::cancel::{Cancel, Cancelled};
use crate::format::manifest::DatabaseContent;
use crate::ledger::{DumpReader, Ledger};
use crate::postgres::{Client, DatabaseFacts, DumpOptions, PostgresError, Server};
use crate::process::{ChildReader, ProcessError};
use crate::scratch::{ScratchError, UnpackError};

mod custom;
mod directory;
mod flat_tar;
mod text_ledger;

pub use custom::CustomDumpSource;
pub use directory::{DirectoryDump, DirectoryDumpSource};

/// Why there is no dump.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    #[error(transparent)]
    Fetch(#[from] UnpackError),
}

/// What every format begins with: the catalogues asked, the program found.
struct Started {
    client: Client,
    /// Without the ledger.
    content: DatabaseContent,
    warnings: Vec<String>,
}

impl Started {
    fn new(
        server: &Server,
        database: &str,
        format: &str,
        options: &DumpOptions,
    ) -> Result<Self, PostgresError> {
        let facts = server.facts(database)?;
        let client = server.client("pg_dump")?;
        let warning = client.warning("pg_dump", server.version().major());
        Ok(Self {
            content: DatabaseContent {
                format: format.to_owned(),
                ..content(server, &client, facts, options)
            },
            client,
            warnings: warning.into_iter().collect(),
        })
    }
}

/// A program's failure as a reader gives it. Where its container went away,
/// that is told instead: what the program said of it, if anything, helps little.
fn explained(server: &Server, error: io::Error) -> io::Error {
    match ProcessError::from_io(error).map(|error| server.lost(error)) {
        Ok(Ok(lost)) => io::Error::other(lost),
        Ok(Err(error)) => io::Error::other(error),
        Err(error) => error,
    }
}

/// A running plain dump.
pub struct PgDumpSource {
    server: Server,
    dump: ChildReader,
    /// Until the end of the stream.
    reader: Option<DumpReader>,
    /// Once the end was seen and good.
    ledger: Option<Ledger>,
    content: DatabaseContent,
    warnings: Vec<String>,
    cancel: Cancel,
}

impl PgDumpSource {
    /// Asks the catalogues, finds the matching pg_dump and starts it.
    pub fn start(
        server: &Server,
        database: &str,
        options: &DumpOptions,
        cancel: Cancel,
    ) -> Result<Self, PostgresError> {
        let Started {
            client,
            content,
            warnings,
        } = Started::new(server, database, "plain", options)?;
        let tool = server
            .dump_tool(&client, database, options)?
            .arg("--format=plain");
        Ok(Self {
            server: server.clone(),
            dump: ChildReader::spawn(&tool)?,
            reader: Some(DumpReader::new()),
            ledger: None,
            content,
            warnings,
            cancel,
        })
    }

    /// What the operator should know, such as a client newer than the server.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The end of pg_dump's output: now the dump itself must be whole. A dump
    /// that was not stays so, however often it is read on.
    fn end(&mut self) -> io::Result<()> {
        if let Some(reader) = self.reader.take() {
            self.ledger = Some(reader.finish().map_err(io::Error::other)?);
        }
        match self.ledger {
            Some(_) => Ok(()),
            None => Err(io::Error::other("the dump was not whole")),
        }
    }
}

impl Read for PgDumpSource {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.cancel.check_io()?;
        let read = self.dump.read(buf);
        // A stop kills pg_dump: then the stop is the reason, not the kill.
        self.cancel.check_io()?;
        let n = read.map_err(|error| explained(&self.server, error))?;
        if n == 0 && !buf.is_empty() {
            self.end()?;
        } else if let Some(reader) = &mut self.reader {
            reader.feed(&buf[..n]);
        }
        Ok(n)
    }
}

impl Source for PgDumpSource {
    fn finish(self: Box<Self>) -> Produced {
        Produced::Database(DatabaseContent {
            ledger: self.ledger.unwrap_or_default(),
            ..self.content
        })
    }
}

fn content(
    server: &Server,
    client: &Client,
    facts: DatabaseFacts,
    options: &DumpOptions,
) -> DatabaseContent {
    let locale = facts.locale;
    DatabaseContent {
        server_version: server.version().text.clone(),
        client_version: client.version.clone(),
        mode: server.access().mode().to_owned(),
        mode_reason: server.way_reason().map(str::to_owned),
        container: server.access().container().map(str::to_owned),
        format: String::new(),
        selection: options.selection.clone(),
        options: options.recorded(),
        database_bytes: Some(facts.database_bytes),
        encoding: locale.encoding,
        ctype: (locale.ctype != locale.collate).then_some(locale.ctype),
        locale: locale.collate,
        locale_provider: (locale.provider != "libc").then_some(locale.provider),
        provider_locale: locale.provider_locale,
        extensions: facts.extensions,
        roles: facts.roles,
        superusers: facts.superusers,
        tablespaces: facts.tablespaces,
        output_settings: facts.output_settings,
        ledger: Ledger::default(),
    }
}
