//! Gives a plain dump back to a database where it stands: one transaction empties
//! it, where that is asked for, fills it, and counts what came.
//!
//! For roles that may not create databases. Refuses a database that is not there,
//! and one with content unless it is to be replaced. Invariant: until the commit
//! the database is as it was, for everybody else. What other sessions cannot see
//! cannot be dumped: rows are compared by their number before the commit, by their
//! content only after it.

use std::io::BufRead;

use super::psql::{Around, Filled, PsqlFeed};
use super::{Received, Target, TargetError};
use crate::cancel::Cancel;
use crate::ledger::Ledger;
use crate::postgres::{Destination, PostgresError, Preflight, RestoreNeeds, Server, in_place};

/// A database that is filled in place.
pub struct InPlaceTarget {
    server: Server,
    name: String,
    /// What is run in the transaction before the dump.
    before: String,
    preflight: Preflight,
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
        Ok(Self {
            server,
            name: name.to_owned(),
            before: match replace {
                true => in_place::empty_sql(),
                false => in_place::refuse_unless_empty(),
            },
            preflight,
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
            database: &self.name,
            meant: &self.name,
            cancel: &self.cancel,
        }
    }

    fn around(&self) -> Around<'_> {
        Around {
            before: &self.before,
            durable: true,
        }
    }
}

impl Target for InPlaceTarget {
    fn receive(&mut self, stream: &mut dyn BufRead) -> Result<Received, TargetError> {
        self.cancel.check()?;
        let (filled, received) = self.feed().fill_uncommitted(self.around(), stream)?;
        let ledger = received.database.as_ref().map(|content| &content.ledger);
        self.filled = Some((filled, ledger.cloned().unwrap_or_default()));
        Ok(received)
    }

    fn commit(mut self: Box<Self>) -> Result<(), TargetError> {
        self.cancel.check()?;
        let Some((filled, ledger)) = self.filled.take() else {
            return Err(TargetError::Hostile {
                what: "nothing was received, so nothing can be committed".to_owned(),
            });
        };
        let counts = in_place::count_sql(&ledger);
        let committed = self.feed().commit(filled, &counts, self.around());
        committed.map_err(|error| match error {
            TargetError::Postgres(PostgresError::Statement {
                sqlstate, detail, ..
            }) if sqlstate == in_place::DIFFERS => TargetError::Hostile {
                what: format!("what came is not what is in the dump: {detail}; rolled back"),
            },
            error => error,
        })
    }
}
