//! A dump that a child prints, seen by a witness as it passes: what pg_dump in
//! plain and custom format and pg_dumpall have in common.
//!
//! Invariant: the stream ends cleanly only if the child exited 0 *and* the
//! witness found the dump whole; a dump that stops early with exit 0 is refused.

use std::io::{self, Read};

use super::{Produced, Source};
use crate::cancel::Cancel;
use crate::format::manifest::DatabaseContent;
use crate::ledger::Ledger;
use crate::postgres::Server;
use crate::process::{ChildReader, ProcessError};

/// Sees the bytes of a dump in order, and says at the end whether it was whole.
pub trait Witness: Send {
    fn feed(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// The ledger of a whole dump; the error says what is missing.
    fn finish(self) -> io::Result<Ledger>;
}

/// A running dump. Dropping it ends its programs, the dump's before the witness'.
pub struct ChildDump<W> {
    server: Server,
    dump: ChildReader,
    /// Until the end of the stream.
    witness: Option<W>,
    /// Once the end was seen and good.
    ledger: Option<Ledger>,
    content: DatabaseContent,
    warnings: Vec<String>,
    cancel: Cancel,
}

impl<W: Witness> ChildDump<W> {
    /// `content` is what is known before the dump, without the ledger.
    pub(super) fn new(
        server: &Server,
        dump: ChildReader,
        witness: W,
        (content, warnings): (DatabaseContent, Vec<String>),
        cancel: Cancel,
    ) -> Self {
        Self {
            server: server.clone(),
            dump,
            witness: Some(witness),
            ledger: None,
            content,
            warnings,
            cancel,
        }
    }

    /// What the operator should know, such as a client newer than the server.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn witnessed(&mut self, bytes: &[u8], ends: bool) -> io::Result<()> {
        match &mut self.witness {
            _ if ends => self.end(),
            Some(witness) => witness.feed(bytes),
            None => Ok(()),
        }
    }

    /// The end of the child's output: now the dump itself must be whole. A dump
    /// that was not stays so, however often it is read on.
    fn end(&mut self) -> io::Result<()> {
        if let Some(witness) = self.witness.take() {
            self.ledger = Some(witness.finish()?);
        }
        match self.ledger {
            Some(_) => Ok(()),
            None => Err(io::Error::other("the dump was not whole")),
        }
    }
}

impl<W: Witness> Read for ChildDump<W> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.cancel.check_io()?;
        let read = self.dump.read(buf).and_then(|count| {
            let ends = count == 0 && !buf.is_empty();
            self.witnessed(&buf[..count], ends)?;
            Ok(count)
        });
        // A stop kills the programs: then the stop is the reason, not the kill.
        self.cancel.check_io()?;
        read.map_err(|error| explained(&self.server, error))
    }
}

impl<W: Witness> Source for ChildDump<W> {
    fn finish(self: Box<Self>) -> Produced {
        Produced::Database(DatabaseContent {
            ledger: self.ledger.unwrap_or_default(),
            ..self.content
        })
    }
}

/// A program's failure as a reader gives it. Where its container went away,
/// that is told instead: what the program said of it, if anything, helps little.
pub(super) fn explained(server: &Server, error: io::Error) -> io::Error {
    match ProcessError::from_io(error).map(|error| server.lost(error)) {
        Ok(Ok(lost)) => io::Error::other(lost),
        Ok(Err(error)) => io::Error::other(error),
        Err(error) => error,
    }
}
