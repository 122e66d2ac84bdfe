//! Gives a plain dump back to a database where it stands: one transaction empties
//! it, where that is asked for, fills it, and counts what came.
//!
//! For roles that may not create databases. Refuses a database that is not there,
//! and one with content unless it is to be replaced. Invariant: until the commit
//! the database is as it was, for everybody else. What other sessions cannot see
//! cannot be dumped: rows are compared by their number before the commit, by their
//! content only after it.

use std::io::BufRead;

use super::psql::{Around, Filled, PsqlFeed, Uncommitted};
use super::{Received, Target, TargetError};
use crate::cancel::Cancel;
use crate::ledger::Ledger;
use crate::postgres::default_privileges::{self, DefaultPrivileges};
use crate::postgres::{
    DEFAULT_PRIVILEGE_TYPE, Destination, Outcome, PostgresError, Preflight, RestoreNeeds, Server,
    SessionOptions, Sql, TransactionMark, in_place,
};
use crate::reached::Reached;

/// Less than what is kept of a client's words.
const SAID_BYTES: usize = 4000;

/// A database that is filled in place.
pub struct InPlaceTarget {
    server: Server,
    name: String,
    /// What is run in the transaction before the dump.
    before: Sql,
    preflight: Preflight,
    session: SessionOptions,
    /// Those of the database, which are none of the dump's.
    default_privileges: DefaultPrivileges,
    filled: Option<(Filled, Ledger)>,
    cancel: Cancel,
}

impl InPlaceTarget {
    /// Looks before anything changes. `replace`: what is in the database goes.
    pub fn new(
        server: Server,
        name: &str,
        replace: bool,
        needs: RestoreNeeds<'_>,
        cancel: Cancel,
    ) -> Result<Self, PostgresError> {
        let preflight = server.preflight(Destination::InPlace { name, replace }, needs)?;
        let kept_extensions = server.extensions_of_others(name)?;
        let default_privileges = server.default_privileges(name)?;
        Ok(Self {
            server,
            name: name.to_owned(),
            before: in_place::before_sql(replace),
            default_privileges,
            preflight,
            session: SessionOptions {
                kept_extensions,
                ..needs.session.cloned().unwrap_or_default()
            },
            filled: None,
            cancel,
        })
    }

    /// What was found beforehand and should be known.
    pub fn preflight(&self) -> &Preflight {
        &self.preflight
    }

    fn feed(&self) -> PsqlFeed<'_> {
        PsqlFeed {
            server: &self.server,
            asked: &self.server,
            database: &self.name,
            session: &self.session,
            cancel: &self.cancel,
        }
    }

    /// What became of the transaction that ended with `error`. Without its number
    /// the commit was not yet sent, unless all that was said is more than was kept: then the
    /// client's word counts that it never came so far.
    fn outcome(&self, error: &Uncommitted, mark: &TransactionMark) -> Outcome {
        match (&error.said, mark) {
            (None, _) => Outcome::NotDone,
            (Some(said), mark) => match mark.read(said) {
                Some(number) => self.server.outcome_of(&self.name, number),
                None if said.len() < SAID_BYTES || error.is_before_dump => Outcome::NotDone,
                None => Outcome::Unknown,
            },
        }
    }

    /// What became of those that were there, told behind the commit.
    fn other_default_privileges(&self) -> Vec<String> {
        let before = &self.default_privileges;
        if before.is_empty() {
            return Vec::new();
        }
        match self.server.default_privileges(&self.name) {
            Ok(now) => default_privileges::changed(before, &now),
            Err(error) => vec![format!(
                "whether its default privileges are as before is not known: {error}"
            )],
        }
    }

    fn around(&self) -> Around<'_> {
        Around {
            before: Some(&self.before),
            durable: true,
            ..Around::default()
        }
    }
}

impl Target for InPlaceTarget {
    fn receive(&mut self, stream: &mut dyn BufRead) -> Result<Received, TargetError> {
        self.cancel.check()?;
        let (filled, mut received) = self.feed().fill_uncommitted(self.around(), stream)?;
        if received.types_left_out.is_empty() && !self.default_privileges.is_empty() {
            // They are there with the dump's.
            received.types_left_out = &[DEFAULT_PRIVILEGE_TYPE];
        }
        let ledger = received.database.as_ref().map(|content| &content.ledger);
        self.filled = Some((filled, ledger.cloned().unwrap_or_default()));
        Ok(received)
    }

    fn commit(&mut self, reached: &mut Reached) -> Result<Vec<String>, TargetError> {
        self.cancel.check()?;
        let Some((filled, ledger)) = self.filled.take() else {
            return Err(TargetError::Hostile {
                what: "nothing was received, so nothing can be committed".to_owned(),
            });
        };
        let mark = TransactionMark::new()?;
        let mut last = in_place::behind_sql(&ledger);
        last += mark.sql();
        let before = std::mem::replace(reached, unknown());
        let error = match self.feed().commit(filled, &last, self.around()) {
            Ok(_) => {
                *reached = Reached::Committed;
                return Ok(self.other_default_privileges());
            }
            Err(error) => error,
        };
        match self.outcome(&error, &mark) {
            // Cut off after the server had done it: done is done.
            Outcome::Done => {
                *reached = Reached::Committed;
                return Ok(self.other_default_privileges());
            }
            Outcome::NotDone => *reached = before,
            Outcome::Unknown => {}
        }
        Err(differs(error.error))
    }
}

fn unknown() -> Reached {
    Reached::Unknown {
        look: "it was all or nothing, so look whether a table of the dump is there".to_owned(),
    }
}

/// The counts' own refusal.
fn differs(error: TargetError) -> TargetError {
    match error {
        TargetError::Postgres(PostgresError::Statement {
            sqlstate, detail, ..
        }) if sqlstate == in_place::DIFFERS => TargetError::Hostile {
            what: format!("what came is not what is in the dump: {detail}"),
        },
        error => error,
    }
}
