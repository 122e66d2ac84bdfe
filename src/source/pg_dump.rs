//! Makes the dump of one database. Here the plain one: `pg_dump`'s stdout, read
//! by the ledger as it passes; the archive formats stand in files of their own.

use std::io;

use super::child_dump::{ChildDump, Witness, explained};
use super::{Produced, Source};
use crate::cancel::{Cancel, Cancelled};
use crate::format::manifest::DatabaseContent;
use crate::ledger::{DumpReader, Ledger};
use crate::postgres::{Client, DatabaseFacts, DumpOptions, PostgresError, Server};
use crate::process::ChildReader;
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

/// A running plain dump.
pub type PgDumpSource = ChildDump<DumpReader>;

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
        let (dump, told) = (ChildReader::spawn(&tool)?, (content, warnings));
        Ok(Self::new(server, dump, DumpReader::new(), told, cancel))
    }
}

impl Witness for DumpReader {
    fn feed(&mut self, bytes: &[u8]) -> io::Result<()> {
        Self::feed(self, bytes);
        Ok(())
    }

    fn finish(self) -> io::Result<Ledger> {
        Self::finish(self).map_err(io::Error::other)
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
