//! Makes the dump of one database. Here the plain one: `pg_dump`'s stdout, read
//! by the ledger as it passes; the archive formats stand in files of their own.

use std::io;

use super::child_dump::{ChildDump, Seen, Told, Witness, explained};
use super::{Produced, Source};
use crate::cancel::{Cancel, Cancelled};
use crate::dump::Needs;
use crate::format::manifest::{DatabaseContent, LeftOut, Warned};
use crate::ledger::{DumpReader, Ledger, Owners};
use crate::postgres::{Client, DatabaseFacts, DumpOption, DumpOptions, PostgresError, Server};
use crate::process::ChildReader;
use crate::scratch::{ScratchError, UnpackError};

mod custom;
mod directory;
mod flat_tar;
mod look_again;
mod text_ledger;

pub use custom::CustomDumpSource;
pub use directory::{DirectoryDump, DirectoryDumpSource};
pub(super) use look_again::Dumped;

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
    told: Told,
}

impl Started {
    fn new(
        server: &Server,
        database: &str,
        format: &str,
        options: &DumpOptions,
    ) -> Result<Self, PostgresError> {
        let facts = server.facts(database)?;
        let left_out = server.left_out(database)?;
        let client = server.client("pg_dump")?;
        let warning = client.warning("pg_dump", server.version().major());
        let dumped = Dumped {
            database: database.to_owned(),
            owner: facts.database_owner.clone(),
            subscriptions: subscriptions(server, database, options)?,
        };
        let told = Told {
            program: "pg_dump",
            content: DatabaseContent {
                format: format.to_owned(),
                left_out,
                ..content(server, &client, facts, options)
            },
            warnings: warning.into_iter().collect(),
            dumped: Some(dumped),
        };
        Ok(Self { client, told })
    }
}

/// A running plain dump.
pub type PgDumpSource = ChildDump<DumpReader<(Owners, Needs)>>;

impl PgDumpSource {
    /// Asks the catalogues, finds the matching pg_dump and starts it.
    pub fn start(
        server: &Server,
        database: &str,
        options: &DumpOptions,
        cancel: Cancel,
    ) -> Result<Self, PostgresError> {
        let Started { client, told } = Started::new(server, database, "plain", options)?;
        let tool = server
            .dump_tool(&client, database, options)?
            .arg("--format=plain");
        let dump = ChildReader::spawn(&tool)?;
        let reader = DumpReader::watched(<(Owners, Needs)>::default());
        Ok(Self::new(server, dump, reader, told, cancel))
    }
}

impl Witness for DumpReader<(Owners, Needs)> {
    fn feed(&mut self, bytes: &[u8]) -> io::Result<()> {
        Self::feed(self, bytes);
        Ok(())
    }

    fn finish(self) -> io::Result<Seen> {
        seen(self)
    }
}

/// What a reader that has all of a dump saw.
fn seen(reader: DumpReader<(Owners, Needs)>) -> io::Result<Seen> {
    let (ledger, (owners, needs), _) = reader.finish_watched().map_err(io::Error::other)?;
    let owners = owners.into_names(&needs.roles);
    Ok(Seen {
        ledger,
        owners,
        needs,
        ..Seen::default()
    })
}

/// Those that belong into the dump: as pg_dump, that of a whole database.
fn subscriptions(
    server: &Server,
    database: &str,
    options: &DumpOptions,
) -> Result<Vec<String>, PostgresError> {
    let is_wanted = |option: &DumpOption| option.as_str() != "--no-subscriptions";
    match options.selection.is_everything() && options.options.iter().all(is_wanted) {
        true => server.subscriptions(database),
        false => Ok(Vec::new()),
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
        owners: Some(facts.owners),
        superusers: facts.superusers,
        tablespaces: facts.tablespaces,
        preloads: facts.preloads,
        output_settings: facts.output_settings,
        left_out: LeftOut::default(),
        warned: Warned::default(),
        ledger: Ledger::default(),
    }
}
