//! A dump that a child prints, seen by a witness as it passes: what pg_dump in
//! plain and custom format and pg_dumpall have in common.
//!
//! Invariant: the stream ends cleanly only if the child exited 0 *and* the
//! witness found the dump whole; a dump that stops early with exit 0 is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use super::pg_dump::Dumped;
use super::{Produced, Source, warned};
use crate::cancel::Cancel;
use crate::checked::SqlName;
use crate::dump::Needs;
use crate::format::manifest::DatabaseContent;
use crate::ledger::Ledger;
use crate::postgres::{PostgresError, Server};
use crate::process::{ChildReader, ProcessError, Said};

/// What a witness saw.
#[derive(Default)]
pub struct Seen {
    pub ledger: Ledger,
    /// Roles that the dump names as owners; `None`: it does not tell.
    pub owners: Option<BTreeSet<String>>,
    /// What of the server's the dump's text names.
    pub needs: Needs,
    /// Statements of a dump of globals that a restore will not run, by kind.
    pub not_understood: BTreeMap<String, u64>,
    /// What the program said that has read an archive beside us.
    pub said: Said,
}

/// What is known before the dump.
pub(super) struct Told {
    /// That makes the dump: "pg_dump".
    pub program: &'static str,
    /// Without the ledger.
    pub content: DatabaseContent,
    pub warnings: Vec<String>,
    /// `None`: there is nothing to ask of it again.
    pub dumped: Option<Dumped>,
}

impl Told {
    /// Adds what is known when the dump is whole.
    pub fn end(&mut self, server: &Server, seen: Seen, said: &Said) -> Result<(), PostgresError> {
        let content = &mut self.content;
        content.ledger = seen.ledger;
        warned::add(&mut content.warned, self.program, said);
        warned::add(&mut content.warned, "pg_restore", &seen.said);
        let statements: u64 = seen.not_understood.values().sum();
        content.left_out.count += statements;
        content.left_out.statements = seen.not_understood;
        name_only(content, &seen.needs);
        match &self.dumped {
            Some(dumped) => dumped.look_again(server, content, seen.owners),
            None => Ok(()),
        }
    }
}

/// A part, or a dump without owners or grants, needs no more than it names.
fn name_only(content: &mut DatabaseContent, needs: &Needs) {
    if content.selection.is_everything() && content.options.is_empty() {
        return;
    }
    let is_named = |name: &SqlName| needs.roles.contains(name.as_str());
    content.roles.retain(is_named);
    let is_named = |name: &SqlName| needs.tablespaces.contains(name.as_str());
    content.tablespaces.retain(is_named);
}

/// Sees the bytes of a dump in order, and says at the end whether it was whole.
pub trait Witness: Send {
    fn feed(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// What a whole dump held; the error says what is missing.
    fn finish(self) -> io::Result<Seen>;
}

/// A running dump. Dropping it ends its programs, the dump's before the witness'.
pub struct ChildDump<W> {
    server: Server,
    dump: ChildReader,
    /// Until the end of the stream.
    witness: Option<W>,
    /// Once the end was seen and good.
    is_whole: bool,
    told: Told,
    cancel: Cancel,
}

impl<W: Witness> ChildDump<W> {
    pub(super) fn new(
        server: &Server,
        dump: ChildReader,
        witness: W,
        told: Told,
        cancel: Cancel,
    ) -> Self {
        Self {
            server: server.clone(),
            dump,
            witness: Some(witness),
            is_whole: false,
            told,
            cancel,
        }
    }

    /// What the operator should know, such as a client newer than the server.
    pub fn warnings(&self) -> &[String] {
        &self.told.warnings
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
            let seen = witness.finish()?;
            let said = self.dump.take_said();
            let ended = self.told.end(&self.server, seen, &said);
            ended.map_err(io::Error::other)?;
            self.is_whole = true;
        }
        match self.is_whole {
            true => Ok(()),
            false => Err(io::Error::other("the dump was not whole")),
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
        Produced::Database(self.told.content)
    }
}

/// pg_dump's own words, as it runs in the locale C: `--strict-names` made it stop.
pub(super) fn of_the_dump(error: ProcessError) -> PostgresError {
    let said = error.stderr();
    match said.contains(": error: no matching ") && said.contains(" for pattern ") {
        true => PostgresError::NothingMatches { source: error },
        false => error.into(),
    }
}

/// A program's failure as a reader gives it. Where its container went away,
/// that is told instead: what the program said of it, if anything, helps little.
pub(super) fn explained(server: &Server, error: io::Error) -> io::Error {
    match ProcessError::from_io(error).map(|error| server.lost(error)) {
        Ok(Ok(lost)) => io::Error::other(lost),
        Ok(Err(error)) => io::Error::other(of_the_dump(error)),
        Err(error) => error,
    }
}
