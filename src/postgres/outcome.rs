//! What became of a change whose answer was lost: asked of the server afterwards.
//!
//! Never guesses: what cannot be told is [`Outcome::Unknown`]. A session whose
//! client is gone may still be at work, so its end is waited for.

use std::thread;
use std::time::{Duration, Instant};

use super::sql::{Sql, literal, sql};
use super::{PostgresError, Server};

/// The server may be starting again, or still at work on it.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(100);

/// Whether a change was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    NotDone,
    Unknown,
}

impl Server {
    /// What became of the transaction of this number, as `txid_current` told it.
    pub fn outcome_of(&self, database: &str, transaction: u64) -> Outcome {
        let sql = sql!(
            "SELECT to_json(txid_status({transaction}));",
            transaction = transaction
        );
        ask_until(|| {
            let action = "tell what became of a transaction";
            let status: Option<String> = self.query_json(database, action, &sql)?;
            Ok(match status.as_deref() {
                Some("committed") => Some(Outcome::Done),
                Some("aborted") => Some(Outcome::NotDone),
                Some("in progress") => None,
                // Too long ago for this server, which cannot be.
                _ => Some(Outcome::Unknown),
            })
        })
    }

    /// Whether the database of this number is called `to` by now, and nobody is at it: who
    /// renames it has it locked until the end of the transaction.
    pub(super) fn outcome_of_rename(
        &self,
        ask_in: &str,
        oid: u32,
        [from, to]: [&str; 2],
    ) -> Outcome {
        let action = "tell whether the restored database is in its place";
        let at_work = sql!(
            "SELECT to_json(EXISTS (SELECT FROM pg_locks WHERE locktype = 'object'
                AND classid = 'pg_database'::regclass AND objid = {oid}
                AND mode = 'AccessExclusiveLock'));",
            oid = oid
        );
        ask_until(|| {
            if self.query_json(ask_in, action, &at_work)? {
                return Ok(None);
            }
            let called = self.database_of(ask_in, oid)?;
            Ok(Some(match called.as_deref() {
                Some(name) if name == to => Outcome::Done,
                Some(name) if name == from => Outcome::NotDone,
                _ => Outcome::Unknown,
            }))
        })
    }
}

/// Asks until there is an answer, for a while.
fn ask_until(mut ask: impl FnMut() -> Result<Option<Outcome>, PostgresError>) -> Outcome {
    let begun = Instant::now();
    loop {
        if let Ok(Some(outcome)) = ask() {
            return outcome;
        }
        if begun.elapsed() > PATIENCE {
            return Outcome::Unknown;
        }
        thread::sleep(PAUSE);
    }
}

/// What a server told of its transaction before the commit.
#[derive(Debug)]
pub struct TransactionMark(String);

impl TransactionMark {
    pub fn new() -> Result<Self, PostgresError> {
        let token = super::random_hex::<16>()?;
        Ok(Self(format!("kluis transaction {token} is ")))
    }

    /// Has the server say the transaction's number on the client's stderr.
    pub fn sql(&self) -> Sql {
        sql!(
            "SET LOCAL client_min_messages = notice;\n\
             DO $kluis$ BEGIN RAISE NOTICE '%', {text} || txid_current(); END $kluis$;\n",
            text = literal(&self.0)
        )
    }

    /// The number, where it was said.
    pub fn read(&self, stderr: &str) -> Option<u64> {
        let (_, after) = stderr.split_once(&self.0)?;
        let digits = after.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::TransactionMark;

    #[test]
    fn a_transactions_number_is_read_from_what_was_said() {
        let mark = TransactionMark::new().unwrap();
        let said = format!(
            "psql:<stdin>:9: NOTICE:  00000: {}778\nLOCATION: x\n",
            mark.0
        );
        assert_eq!(mark.read(&said), Some(778));
        assert_eq!(mark.read("kluis transaction 00 is 7"), None);
    }
}
