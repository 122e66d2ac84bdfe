//! Reads a restored database back: it is dumped again, as its dump was made.

use super::{Received, TargetError};
use crate::cancel::Cancel;
use crate::format::manifest::DatabaseContent;
use crate::ledger::Columns;
use crate::postgres::{DumpOptions, Server, dump_ledger};

/// What `database` holds now, by the selection and the options of `content`, the
/// manifest's. `like`: the columns of the dump that filled it. Tells the ledger and who made
/// the dump.
pub fn dumped_again(
    server: &Server,
    database: &str,
    content: Option<&DatabaseContent>,
    like: &Columns,
    cancel: &Cancel,
    advance: &dyn Fn(u64),
) -> Result<Received, TargetError> {
    let options = match content {
        Some(content) => DumpOptions::again(content)?,
        None => DumpOptions::default(),
    };
    let client = server.client("pg_dump")?;
    let found = DatabaseContent {
        server_version: server.version().text.clone(),
        client_version: client.version,
        ledger: dump_ledger(server, database, &options, like, cancel, advance)?,
        ..DatabaseContent::default()
    };
    Ok(Received {
        database: Some(found),
        ..Received::default()
    })
}
