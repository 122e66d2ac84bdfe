//! Makes the dump of one database in custom format. `pg_restore` reads the
//! same bytes as they pass, and the ledger reads its text: so an archive that
//! is made here was seen to become a whole dump again.

use std::io::{self, ErrorKind, Read, Write};

use super::text_ledger::TextLedger;
use super::{Produced, Source, Started, explained};
use crate::cancel::Cancel;
use crate::format::manifest::DatabaseContent;
use crate::postgres::{DumpOptions, PostgresError, Server};
use crate::process::{ChildReader, FilterInput, spawn_filter};

/// A running dump in custom format. Dropping it ends both programs, in the
/// order of the fields: pg_restore's input has to end before its text is
/// waited for.
pub struct CustomDumpSource {
    server: Server,
    dump: ChildReader,
    /// `None` once pg_restore has all, or wants no more.
    copy: Option<FilterInput>,
    text: TextLedger,
    content: DatabaseContent,
    warnings: Vec<String>,
    cancel: Cancel,
}

impl CustomDumpSource {
    /// Asks the catalogues, finds the programs and starts them.
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
        } = Started::new(server, database, "custom", options)?;
        let converter = server.converter(&client, &options.options)?;
        let (copy, text) = spawn_filter(&converter.of_stream())?;
        // Uncompressed: the archive's own codec is better at it.
        let tool = server
            .dump_tool(&client, database, options)?
            .args(["--format=custom", "--compress=0"]);
        Ok(Self {
            server: server.clone(),
            dump: ChildReader::spawn(&tool)?,
            copy: Some(copy),
            text: TextLedger::start(text),
            content,
            warnings,
            cancel,
        })
    }

    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Gives pg_restore its copy. One that reads no more has ended: badly, or
    /// because it has all that it wants.
    fn copy(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(copy) = &mut self.copy else {
            return Ok(());
        };
        match copy.write_all(bytes) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.end(),
            written => written,
        }
    }

    fn end(&mut self) -> io::Result<()> {
        self.copy = None;
        self.text.finish()
    }
}

impl Read for CustomDumpSource {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.cancel.check_io()?;
        let read = self.dump.read(buf).and_then(|count| {
            match count {
                0 if buf.is_empty() => {}
                0 => self.end()?,
                _ => self.copy(&buf[..count])?,
            }
            Ok(count)
        });
        // A stop kills both programs: then the stop is the reason.
        self.cancel.check_io()?;
        read.map_err(|error| explained(&self.server, error))
    }
}

impl Source for CustomDumpSource {
    fn finish(mut self: Box<Self>) -> Produced {
        Produced::Database(DatabaseContent {
            ledger: self.text.take(),
            ..self.content
        })
    }
}
