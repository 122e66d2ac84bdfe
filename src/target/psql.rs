//! Fills a database with a plain dump: one psql, one transaction. Whoever gives
//! a dump to a server goes through here.
//!
//! The dump is untrusted: psql runs restricted, so that no meta-command of it
//! is obeyed. Its SQL runs with the rights of the role that restores.
//! Invariant: nothing is committed before the stream's clean end and the dump's
//! own trailer.

use std::io::{self, BufRead, Write};

use super::{Received, TargetError};
use crate::cancel::Cancel;
use crate::format::manifest::DatabaseContent;
use crate::ledger::{DumpReader, Ledger};
use crate::postgres::{LargeObjectFilter, PostgresError, RestrictFilter, Server};
use crate::process::{ChildWriter, ProcessError, Tool};

/// Where a dump goes.
pub(super) struct PsqlFeed<'a> {
    pub server: &'a Server,
    /// The database that is filled.
    pub database: &'a str,
    /// The name that the operator knows it by.
    pub meant: &'a str,
    pub cancel: &'a Cancel,
}

/// What surrounds the dump in its transaction.
#[derive(Clone, Copy, Default)]
pub(super) struct Around<'a> {
    /// Run before the dump's first line.
    pub before: &'a str,
    /// The commit waits for the disk. Not needed where a later commit of ours
    /// does, such as that of a swap.
    pub durable: bool,
}

impl Around<'_> {
    /// Lines that we send before the dump's first.
    fn lines(&self) -> u64 {
        PREAMBLE_LINES + self.before.lines().count() as u64
    }
}

/// A database that holds the dump, but for the commit. Dropping it rolls back.
pub(super) struct Filled {
    psql: ChildWriter,
}

impl PsqlFeed<'_> {
    /// Reads `stream` to its end and commits. Of the content it tells the
    /// ledger of the stream alone.
    pub fn fill(&self, stream: &mut dyn BufRead) -> Result<Received, TargetError> {
        let (filled, received) = self.fill_uncommitted(Around::default(), stream)?;
        self.commit(filled, "", Around::default())?;
        Ok(received)
    }

    /// [`PsqlFeed::fill`] without the commit.
    pub fn fill_uncommitted(
        &self,
        around: Around<'_>,
        stream: &mut dyn BufRead,
    ) -> Result<(Filled, Received), TargetError> {
        let restricted = self.server.psql().knows_restrict();
        let mut warnings = Vec::new();
        if !restricted {
            warnings.push(unrestricted(self.server));
        }
        let tool = psql_tool(self.server, self.database);
        let mut psql = ChildWriter::spawn(&tool).map_err(PostgresError::from)?;
        let preamble = preamble(restricted, around)?;
        psql.write_all(preamble.as_bytes())
            .map_err(|e| self.refusal(e, around))?;
        let ledger = self.feed(&mut psql, stream, around)?;
        let database = DatabaseContent {
            ledger,
            ..DatabaseContent::default()
        };
        let received = Received {
            database: Some(database),
            warnings,
            ..Received::default()
        };
        Ok((Filled { psql }, received))
    }

    /// Runs `last` in the dump's transaction and commits it.
    pub fn commit(
        &self,
        filled: Filled,
        last: &str,
        around: Around<'_>,
    ) -> Result<(), TargetError> {
        let Filled { mut psql } = filled;
        psql.write_all(format!("\n{last}\nCOMMIT;\n").as_bytes())
            .map_err(|e| self.refusal(e, around))?;
        psql.finish().map_err(|error| self.failure(error, around))
    }

    fn feed(
        &self,
        psql: &mut ChildWriter,
        stream: &mut dyn BufRead,
        around: Around<'_>,
    ) -> Result<Ledger, TargetError> {
        let mut reader = DumpReader::new();
        let mut passage = Passage::default();
        loop {
            self.cancel.check()?;
            let piece = stream.fill_buf().map_err(TargetError::Stream)?;
            if piece.is_empty() {
                break;
            }
            let passed = passage.push(piece, psql);
            passed.map_err(|e| self.refusal(e, around))?;
            reader.feed(piece);
            let piece_bytes = piece.len();
            stream.consume(piece_bytes);
        }
        let ledger = reader.finish().map_err(|error| TargetError::Hostile {
            what: error.to_string(),
        })?;
        let passed = passage.finish(psql);
        passed.map_err(|e| self.refusal(e, around))?;
        Ok(ledger)
    }

    /// What psql said as it went away while we wrote.
    fn refusal(&self, error: io::Error, around: Around<'_>) -> TargetError {
        match ProcessError::from_io(error) {
            Ok(error) => self.failure(error, around),
            Err(source) => TargetError::Place {
                action: "write to",
                place: "psql".to_owned(),
                source,
            },
        }
    }

    /// A stop ends psql, and then the stop is the reason.
    fn failure(&self, error: ProcessError, around: Around<'_>) -> TargetError {
        if let Err(cancelled) = self.cancel.check() {
            return cancelled.into();
        }
        if let ProcessError::Failed(failure) = &error
            && let Some(refused) = statement(&failure.stderr, around.lines())
        {
            return refused.into();
        }
        let error = self.server.explain(error, "restore the dump", self.meant);
        error.into()
    }
}

/// What a dump passes on its way: its own restriction and its own transactions
/// are taken out, as it runs in ours.
#[derive(Default)]
struct Passage {
    restrict: RestrictFilter,
    large_objects: LargeObjectFilter,
    /// Between the two.
    unrestricted: Vec<u8>,
}

impl Passage {
    fn push(&mut self, piece: &[u8], out: &mut impl Write) -> io::Result<()> {
        self.unrestricted.clear();
        self.restrict.push(piece, &mut self.unrestricted)?;
        self.large_objects.push(&self.unrestricted, out)
    }

    fn finish(mut self, out: &mut impl Write) -> io::Result<()> {
        self.unrestricted.clear();
        self.restrict.finish(&mut self.unrestricted)?;
        self.large_objects.push(&self.unrestricted, out)?;
        self.large_objects.finish(out)
    }
}

fn psql_tool(server: &Server, database: &str) -> Tool {
    server
        .tool(server.psql(), database)
        .args(["--no-psqlrc", "--quiet", "--file=-"])
        .args(["--set=ON_ERROR_STOP=1", "--set=VERBOSITY=verbose"])
}

/// The restriction, one transaction, room for index builds, and what is to come
/// before the dump.
fn preamble(restricted: bool, around: Around<'_>) -> Result<String, PostgresError> {
    let restrict = if restricted {
        format!("\\restrict {}", crate::postgres::random_hex::<16>()?)
    } else {
        String::new()
    };
    let commit = if around.durable { "on" } else { "off" };
    let before = around.before;
    Ok(format!(
        "{restrict}\nSET synchronous_commit = {commit}; SET maintenance_work_mem = '256MB';\n\
         BEGIN;\n{before}"
    ))
}

/// How many lines [`preamble`] has of its own.
const PREAMBLE_LINES: u64 = 3;

fn unrestricted(server: &Server) -> String {
    format!(
        "psql {} cannot be kept from running commands that stand in a dump (CVE-2025-8714); \
         restore only dumps you trust, and install the current postgresql-client-{}",
        server.psql().version,
        server.version().major()
    )
}

/// Reads `psql:<stdin>:12: ERROR:  42P01: ...`, which notices may precede, and
/// which the place in the server's source follows. psql's own refusals, such as
/// that of a meta-command, have no SQLSTATE.
///
/// `before_dump`: lines that are ours; what is refused there is no statement of
/// the dump.
fn statement(stderr: &str, before_dump: u64) -> Option<PostgresError> {
    let told = stderr.split("psql:<stdin>:").skip(1);
    let (line, detail) = told
        .filter_map(|message| message.split_once(": "))
        .find(|(_, detail)| !is_notice(detail))?;
    let line: u64 = line.parse().ok()?;
    let detail = detail.lines().filter(|line| !line.starts_with("LOCATION:"));
    let mut detail = detail.collect::<Vec<_>>().join("\n").trim().to_owned();
    let sqlstate = crate::postgres::sqlstate(&detail).map(str::to_owned);
    if let Some(code) = &sqlstate {
        detail = detail.replacen(&format!("{code}: "), "", 1);
    }
    let sqlstate = sqlstate.unwrap_or_default();
    Some(match line.checked_sub(before_dump) {
        Some(line @ 1..) => PostgresError::Statement {
            line,
            sqlstate,
            detail,
        },
        _ => PostgresError::Query {
            action: "make room for the dump".to_owned(),
            sqlstate,
            detail,
        },
    })
}

fn is_notice(detail: &str) -> bool {
    ["NOTICE:", "WARNING:", "INFO:", "LOG:", "DEBUG:"]
        .iter()
        .any(|severity| detail.starts_with(severity))
}

#[cfg(test)]
mod tests {
    use super::{PREAMBLE_LINES, PostgresError, statement};

    fn told(stderr: &str) -> Option<(u64, String, String)> {
        match statement(stderr, PREAMBLE_LINES)? {
            PostgresError::Statement {
                line,
                sqlstate,
                detail,
            } => Some((line, sqlstate, detail)),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_refused_statement_is_told_by_its_line_of_the_dump() {
        let stderr = "psql:<stdin>:15: ERROR:  42P01: relation \"x\" does not exist\n\
                      LINE 1: SELECT x\nLOCATION:  parserOpenTable, parse_relation.c:1452\n";
        let detail = "ERROR:  relation \"x\" does not exist\nLINE 1: SELECT x";
        assert_eq!(
            told(stderr),
            Some((12, "42P01".to_owned(), detail.to_owned()))
        );
    }

    #[test]
    fn notices_before_it_are_passed_over() {
        let stderr = "psql:<stdin>:4: WARNING:  01000: odd\nLOCATION:  a, b.c:1\n\
                      psql:<stdin>:9: error: \\! is not allowed\n";
        let detail = "error: \\! is not allowed".to_owned();
        assert_eq!(told(stderr), Some((6, String::new(), detail)));
        assert_eq!(told("psql: error: connection to server failed"), None);
    }
}
