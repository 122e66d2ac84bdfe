//! Who is in the way of a change to a database or a role of ours: any role of the server
//! can hold a lock on either, by a setting of its own for that database or a grant to that
//! role in a transaction that it leaves open.
//!
//! Owns how long such a change is tried, and whose sessions are ended for it: those of
//! roles that are neither ours nor a superuser's, where ours may end them. Invariant: a
//! change ends after a number of tries, whatever others do.

use super::sql::{Sql, literal, sql};
use super::{PostgresError, Server};

/// Each waits a few seconds in the server.
const TRIES: u32 = 6;

/// Sessions that the role may end; the server's own workers are nobody's. What kind a
/// session is, not everybody sees.
pub(super) const ENDABLE: &str = "backend_type IS DISTINCT FROM 'autovacuum worker' \
    AND (current_setting('is_superuser')::bool OR usesysid IS NOT NULL \
      AND NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = usesysid AND r.rolsuper) \
      AND (pg_has_role(usesysid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE')))";

/// What is to be changed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Thing<'a> {
    Database(&'a str),
    Role(&'a str),
}

impl Thing<'_> {
    /// Its class and its number, as locks tell them.
    pub(super) fn number(self) -> Sql {
        match self {
            Self::Database(name) => sql!(
                "SELECT 'pg_database'::regclass::oid, oid FROM pg_database WHERE datname = {name}",
                name = literal(name)
            ),
            Self::Role(name) => sql!(
                "SELECT 'pg_authid'::regclass::oid, oid FROM pg_roles WHERE rolname = {name}",
                name = literal(name)
            ),
        }
    }
}

/// Whether somebody's lock or change at the same time is the reason, so that the
/// next try may succeed.
pub(super) fn is_in_the_way(error: &PostgresError) -> bool {
    // A lock, a row that is changed at the same time (XX000 too), a grant made meanwhile.
    let codes = ["55P03", "40001", "40P01", "XX000", "2BP01"];
    error.sqlstate().is_some_and(|code| codes.contains(&code))
}

impl Server {
    /// Does `act`, which changes `thing`, of our making or to be dropped, and ends who is
    /// in its way.
    pub(super) fn past_others<T>(
        &self,
        ask_in: &str,
        thing: Thing<'_>,
        mut act: impl FnMut() -> Result<T, PostgresError>,
    ) -> Result<T, PostgresError> {
        let mut tries = 1;
        loop {
            match act() {
                Err(error) if is_in_the_way(&error) && tries < TRIES => {
                    tries += 1;
                    // Who could not be ended is there at the next try still.
                    let _ = self.end_holders(ask_in, thing);
                    let _ = self.roll_back_prepared(ask_in, thing);
                }
                done => return done,
            }
        }
    }

    /// Ends the sessions of other roles that have a lock on it, or wait for one.
    pub(super) fn end_holders(&self, ask_in: &str, thing: Thing<'_>) -> Result<(), PostgresError> {
        let sql = sql!(
            "SELECT WHERE (SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
              WHERE pid <> pg_backend_pid() AND usename <> session_user AND {endable}
                AND NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = usesysid AND r.rolsuper)
                AND pid IN (SELECT l.pid FROM pg_locks AS l WHERE l.locktype = 'object'
                  AND l.database = 0 AND (l.classid, l.objid) IN ({number}))) IS NULL;",
            endable = ENDABLE,
            number = thing.number()
        );
        self.run_in_transaction(ask_in, "end who is in the way", &sql)
    }
}
