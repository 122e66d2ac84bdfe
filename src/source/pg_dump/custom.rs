//! Makes the dump of one database in custom format. `pg_restore` reads the
//! same bytes as they pass, and the ledger reads its text: so an archive that
//! is made here was seen to become a whole dump again.

use std::io::{self, ErrorKind, Write};

use super::text_ledger::TextLedger;
use super::{ChildDump, Seen, Started, Witness};
use crate::cancel::Cancel;
use crate::postgres::{DumpOptions, PostgresError, Server};
use crate::process::{ChildReader, FilterInput, spawn_filter};

/// A running dump in custom format.
pub type CustomDumpSource = ChildDump<ReadBeside>;

impl CustomDumpSource {
    /// Asks the catalogues, finds the programs and starts them.
    pub fn start(
        server: &Server,
        database: &str,
        options: &DumpOptions,
        cancel: Cancel,
    ) -> Result<Self, PostgresError> {
        let Started { client, told } = Started::new(server, database, "custom", options)?;
        let converter = server.converter(&client, &options.recorded())?;
        let (copy, text) = spawn_filter(&converter.of_stream())?;
        let beside = ReadBeside {
            copy: Some(copy),
            text: TextLedger::start(text)?,
        };
        // Uncompressed: the archive's own codec is better at it.
        let tool = server
            .dump_tool(&client, database, options)?
            .args(["--format=custom", "--compress=0"]);
        let dump = ChildReader::spawn(&tool)?;
        Ok(Self::new(server, dump, beside, told, cancel))
    }
}

/// pg_restore, which reads the same bytes and prints their text. Dropped in the
/// order of the fields: its input has to end before its text is waited for.
pub struct ReadBeside {
    /// `None` once pg_restore has all, or wants no more.
    copy: Option<FilterInput>,
    text: TextLedger,
}

impl Witness for ReadBeside {
    /// One that reads no more has ended: badly, or because it has all that it
    /// wants.
    fn feed(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(copy) = &mut self.copy else {
            return Ok(());
        };
        match copy.write_all(bytes) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.copy = None;
                self.text.finish()
            }
            written => written,
        }
    }

    fn finish(mut self) -> io::Result<Seen> {
        self.copy = None;
        self.text.finish()?;
        Ok(self.text.take())
    }
}
