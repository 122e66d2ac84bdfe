//! Fills a database with a plain dump: one psql, one transaction. Whoever gives
//! a dump to a server goes through here.
//!
//! The dump is untrusted: psql runs restricted, so that no meta-command of it
//! is obeyed. Its SQL runs with the rights of the role that restores. What is ours
//! before and after it finds its names in `pg_catalog`.
//! Invariant: nothing is committed before the stream's clean end and the dump's
//! own trailer.

use std::io::{self, BufRead, Write};

use super::passage::{Passage, Passed, Unpassed};
use super::{Received, TargetError};
use crate::cancel::Cancel;
use crate::format::manifest::DatabaseContent;
use crate::format::mended::{NotWhole, PartKind};
use crate::postgres::{
    PRIVILEGE_TYPES, PSQL, PostgresError, Server, SessionOptions, Sql, failures, last_message,
    stopped_at,
};
use crate::process::{ChildWriter, ProcessError, Said};

/// Where a dump goes.
pub(super) struct PsqlFeed<'a> {
    pub server: &'a Server,
    /// The same for questions meanwhile: who fills may have one session only.
    pub asked: &'a Server,
    /// The database that is filled.
    pub database: &'a str,
    pub session: &'a SessionOptions,
    pub cancel: &'a Cancel,
}

/// What surrounds the dump in its transaction.
#[derive(Clone, Copy, Default)]
pub(super) struct Around<'a> {
    /// Run before the dump's first line.
    pub before: Option<&'a Sql>,
    /// The commit waits for the disk. Not needed where a later commit of ours
    /// does, such as that of a swap.
    pub durable: bool,
    /// A grant that the server only warns of, and does not make, is a failure.
    pub every_grant: bool,
    /// Statements that fail are passed over, and told.
    pub goes_on: bool,
}

/// A database that holds the dump, but for the commit. Dropping it rolls back.
pub(super) struct Filled {
    child: ChildWriter,
}

/// Why a commit was not answered.
pub(super) struct Uncommitted {
    pub error: TargetError,
    /// The end of what the client said, where the commit may have been sent.
    pub said: Option<Box<str>>,
    /// By its own word the client got no further than to what comes before the dump.
    pub is_before_dump: bool,
}

impl From<TargetError> for Uncommitted {
    /// Before that.
    fn from(error: TargetError) -> Self {
        Self {
            error,
            said: None,
            is_before_dump: false,
        }
    }
}

impl PsqlFeed<'_> {
    /// Reads `stream` to its end and commits. Of the content it tells the
    /// ledger of the stream alone.
    pub fn fill(
        &self,
        around: Around<'_>,
        stream: &mut dyn BufRead,
    ) -> Result<Received, TargetError> {
        let (filled, mut received) = self.fill_uncommitted(around, stream)?;
        let committed = self.commit(filled, &Sql::default(), around);
        let said = committed.map_err(|uncommitted| uncommitted.error)?;
        if around.goes_on {
            received.not_whole = failed_statements(&said, 1 + self.opening(around).lines())?;
        }
        Ok(received)
    }

    /// [`PsqlFeed::fill`] without the commit.
    pub fn fill_uncommitted(
        &self,
        around: Around<'_>,
        stream: &mut dyn BufRead,
    ) -> Result<(Filled, Received), TargetError> {
        let mut psql = self.server.feed(self.database)?;
        if around.goes_on {
            psql = psql.going_on();
        }
        let mut warnings = Vec::new();
        if !psql.is_restricted() {
            warnings.push(unrestricted(self.server));
        }
        let opening = psql.opening(&self.opening(around))?;
        let mut child = ChildWriter::spawn(psql.tool()).map_err(PostgresError::from)?;
        child
            .write_all(opening.as_bytes())
            .map_err(|e| self.refusal(e, around))?;
        let (passed, told) = self.feed(&mut child, stream, around)?;
        warnings.extend(told);
        let database = DatabaseContent {
            ledger: passed.ledger,
            ..DatabaseContent::default()
        };
        let received = Received {
            database: Some(database),
            public: passed.public,
            types_left_out: match self.session.no_privileges {
                true => &PRIVILEGE_TYPES,
                false => &[],
            },
            warnings,
            ..Received::default()
        };
        Ok((Filled { child }, received))
    }

    /// Runs `last` in the dump's transaction and commits it.
    pub fn commit(
        &self,
        filled: Filled,
        last: &Sql,
        around: Around<'_>,
    ) -> Result<Said, Uncommitted> {
        let Filled { mut child } = filled;
        let last = last.text().map_err(TargetError::from)?;
        child
            .write_all(format!("\n{last}\nCOMMIT;\n").as_bytes())
            .map_err(|e| self.refusal(e, around))?;
        let before_dump = 1 + self.opening(around).lines();
        let said = child.finish().map_err(|error| Uncommitted {
            said: Some(error.stderr().into()),
            is_before_dump: ended_before(error.stderr(), before_dump),
            error: self.failure(error, around),
        })?;
        match passed_over(&said.text).filter(|_| around.every_grant && !around.goes_on) {
            None => Ok(said),
            Some(detail) => {
                let action = "grant or revoke what the dump does".to_owned();
                let detail = detail.to_owned();
                Err(TargetError::from(PostgresError::PermissionDenied { action, detail }).into())
            }
        }
    }

    fn feed(
        &self,
        psql: &mut ChildWriter,
        stream: &mut dyn BufRead,
        around: Around<'_>,
    ) -> Result<(Passed, Vec<String>), TargetError> {
        let mut passage = Passage::new(self.session);
        loop {
            self.cancel.check()?;
            let piece = stream.fill_buf().map_err(TargetError::Stream)?;
            if piece.is_empty() {
                break;
            }
            passage.read(piece);
            for name in passage.asked() {
                let is_known = self.asked.knows_setting(self.database, &name)?;
                passage.answer(name, is_known);
            }
            let passed = passage.pass(piece, psql);
            passed.map_err(|e| self.refusal(e, around))?;
            let piece_bytes = piece.len();
            stream.consume(piece_bytes);
        }
        let passed = passage
            .finish(psql)
            .map_err(|error| self.unpassed(error, around))?;
        let major = self.server.version().major();
        let unknown = passed.left_out.iter();
        let told = unknown
            .map(|name| format!("left out: SET {name}, which PostgreSQL {major} does not know"));
        let told = told.collect();
        Ok((passed, told))
    }

    fn unpassed(&self, error: Unpassed, around: Around<'_>) -> TargetError {
        match error {
            Unpassed::Dump(error) => TargetError::Hostile {
                what: error.to_string(),
            },
            Unpassed::Write(error) => self.refusal(error, around),
        }
    }

    /// What psql said as it went away while we wrote.
    fn refusal(&self, error: io::Error, around: Around<'_>) -> TargetError {
        match ProcessError::from_io(error) {
            Ok(error) => self.failure(error, around),
            Err(source) => TargetError::Place {
                action: "write to",
                place: PSQL.to_owned(),
                source,
            },
        }
    }

    /// What we send behind the restriction's line: one transaction, room for index builds,
    /// what is to come before the dump, and how its session differs.
    fn opening(&self, around: Around<'_>) -> Sql {
        let mut sql = Sql::from(match around.durable {
            true => "BEGIN; SET LOCAL synchronous_commit = on; ",
            false => "BEGIN; SET LOCAL synchronous_commit = off; ",
        });
        sql += "SET LOCAL maintenance_work_mem = '256MB';\n".into();
        sql += self.server.without_limits();
        if let Some(before) = around.before {
            sql += before.clone();
        }
        // Behind what has a trigger of its own that must run.
        sql += self.server.before_dump(self.session);
        sql
    }

    /// A stop ends psql, and then the stop is the reason.
    fn failure(&self, error: ProcessError, around: Around<'_>) -> TargetError {
        if let Err(cancelled) = self.cancel.check() {
            return cancelled.into();
        }
        if let ProcessError::Failed(failure) = &error
            && let Some(refused) = statement(&failure.stderr, 1 + self.opening(around).lines())
        {
            return refused.into();
        }
        let error = self.server.explain(error, "restore the dump");
        error.into()
    }
}

fn unrestricted(server: &Server) -> String {
    format!(
        "psql {} cannot be kept from running commands that stand in a dump (CVE-2025-8714); \
         restore only dumps you trust, and install the current postgresql-client-{}",
        server.psql().version,
        server.version().major()
    )
}

/// Reads the message that psql ended with. psql's own refusals, such as that of a
/// meta-command, have no SQLSTATE.
///
/// `before_dump`: lines that are ours; what is refused there is no statement of
/// the dump.
fn statement(stderr: &str, before_dump: u64) -> Option<PostgresError> {
    let told = last_message(stderr)?;
    let line = told.line?;
    let (mut detail, location) = told.without_location();
    let sqlstate = told.sqlstate.unwrap_or_default().to_owned();
    if !sqlstate.is_empty() {
        detail = detail.replacen(&format!("{sqlstate}: "), "", 1);
    }
    Some(match line.checked_sub(before_dump) {
        Some(line @ 1..) => PostgresError::Statement {
            line,
            sqlstate,
            detail,
            location: location.to_owned(),
        },
        _ => PostgresError::Query {
            action: "make room for the dump".to_owned(),
            sqlstate,
            detail,
        },
    })
}

/// Whether psql got no further than to what comes before the dump. Whatever else it said
/// may be more than is kept of it.
fn ended_before(stderr: &str, dump: u64) -> bool {
    stopped_at(stderr).is_some_and(|line| line <= dump)
}

/// What a psql that went on tells of. That one of our own lines failed is an error.
fn failed_statements(said: &Said, before_dump: u64) -> Result<Vec<NotWhole>, PostgresError> {
    let mut failed = Vec::new();
    for message in failures(&said.text) {
        let line = message.line.and_then(|line| line.checked_sub(before_dump));
        let (detail, _) = message.without_location();
        let sqlstate = message.sqlstate.unwrap_or(PSQL);
        let detail = detail.replacen(&format!("{sqlstate}: "), "", 1);
        let Some(line @ 1..) = line else {
            return Err(PostgresError::Query {
                action: "make room for the dump".to_owned(),
                sqlstate: sqlstate.to_owned(),
                detail,
            });
        };
        failed.push(NotWhole {
            line: Some(line),
            ..NotWhole::new(PartKind::Statement, sqlstate, detail)
        });
    }
    if said.is_cut {
        let why = "more statements failed than psql's words are kept of; `kluis decrypt` and psql \
                   tell each";
        failed.push(NotWhole::new(PartKind::Statement, "others", why));
    }
    Ok(failed)
}

/// The warning of a GRANT or REVOKE that did nothing, for want of a right: the
/// server takes that for done. The SQLSTATEs are `privilege_not_granted` and
/// `privilege_not_revoked`.
fn passed_over(stderr: &str) -> Option<&str> {
    let is_meant = |line: &&str| {
        [":  01007: ", ":  01006: "]
            .iter()
            .any(|code| line.contains(code))
    };
    stderr.lines().find(is_meant)
}

#[cfg(test)]
mod tests {
    use super::{PostgresError, ended_before, passed_over, statement};

    fn told(stderr: &str) -> Option<(u64, String, String)> {
        match statement(stderr, 2)? {
            PostgresError::Statement {
                line,
                sqlstate,
                detail,
                ..
            } => Some((line, sqlstate, detail)),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_refused_statement_is_told_by_its_line_of_the_dump() {
        let stderr = "psql:<stdin>:14: ERROR:  42P01: relation \"x\" does not exist\n\
                      LINE 1: SELECT x\nLOCATION:  parserOpenTable, parse_relation.c:1452\n";
        let detail = "ERROR:  relation \"x\" does not exist\nLINE 1: SELECT x";
        assert_eq!(
            told(stderr),
            Some((12, "42P01".to_owned(), detail.to_owned()))
        );
    }

    #[test]
    fn a_client_that_was_lost_before_the_dump_has_committed_nothing() {
        let long = "CONTEXT:  SQL statement\n".repeat(400);
        let lost = |line: u64| {
            format!(
                "psql:<stdin>:2: FATAL:  57P01: terminating connection\n{long}\
                 psql:<stdin>:{line}: error: connection to server was lost\n"
            )
        };
        assert!(ended_before(&lost(2), 2));
        assert!(!ended_before(&lost(3), 2));
        // Of one that was killed nothing is known.
        for said in ["psql:<stdin>:2: NOTICE:  00000: x\n", "psql: error: y", ""] {
            assert!(!ended_before(said, 2), "{said}");
        }
    }

    #[test]
    fn a_grant_that_was_not_made_is_known_by_its_code() {
        let stderr = "psql:<stdin>:4: WARNING:  01000: odd\n\
                      psql:<stdin>:9: WARNUNG:  01006: no privileges could be revoked\n";
        let told = "psql:<stdin>:9: WARNUNG:  01006: no privileges could be revoked";
        assert_eq!(passed_over(stderr), Some(told));
        assert_eq!(passed_over("psql:<stdin>:4: WARNING:  01000: odd\n"), None);
    }

    #[test]
    fn notices_before_it_are_passed_over() {
        let stderr = "psql:<stdin>:4: WARNING:  01000: odd\nLOCATION:  a, b.c:1\n\
                      psql:<stdin>:8: error: \\! is not allowed\n";
        let detail = "error: \\! is not allowed".to_owned();
        assert_eq!(told(stderr), Some((6, String::new(), detail)));
        let stderr = "psql:<stdin>:4: WARNUNG:  01000: odd\nLOCATION:  a, b.c:1\n\
                      psql:<stdin>:8: FEHLER:  42P01: »x«\nLOCATION:  a, b.c:1\n";
        let detail = "FEHLER:  »x«".to_owned();
        assert_eq!(told(stderr), Some((6, "42P01".to_owned(), detail)));
        assert_eq!(told("psql: error: connection to server failed"), None);
    }
}
