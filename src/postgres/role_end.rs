//! The end of a role that we have made: first it can log in no more, then all that it has
//! and was given goes, in whatever database, and then the role itself.
//!
//! Owns that order. Anybody may grant it something of his, which keeps a role from being
//! dropped. Invariant: what stays cannot log in, and a role that stays is no failure of
//! what it was made for.

use super::in_the_way::Thing;
use super::sql::{identifier, literal, sql};
use super::{PostgresError, Server};

const DROP: &str = "drop a role of ours";

/// Somebody may have granted it very many things of his.
const GRANTS_LIMIT: &str = "SET LOCAL statement_timeout = '60s';\nSET LOCAL lock_timeout = '5s';\n";

impl Server {
    /// Why it stays, if it does.
    pub(super) fn end_role(&self, ask_in: &str, name: &str) -> Result<(), PostgresError> {
        let disarmed = self.past_others(ask_in, Thing::Role(name), || self.disarm(ask_in, name));
        let dropped = self.past_others(ask_in, Thing::Role(name), || {
            if !self.has_role(ask_in, name)? {
                return Ok(());
            }
            self.take_grants(ask_in, name)?;
            let sql = sql!("DROP ROLE IF EXISTS {name};", name = identifier(name));
            self.run_alone(ask_in, DROP, &sql)
        });
        dropped.map_err(|error| disarmed.err().unwrap_or(error))
    }

    /// Nobody logs in as it from here on, and nobody is.
    fn disarm(&self, ask_in: &str, name: &str) -> Result<(), PostgresError> {
        if !self.has_role(ask_in, name)? {
            return Ok(());
        }
        let sql = sql!(
            "ALTER ROLE {name} NOLOGIN PASSWORD NULL;\n\
             SELECT WHERE (SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE usename = {text}) IS NULL;",
            name = identifier(name),
            text = literal(name)
        );
        self.run_in_transaction(ask_in, "take the login of a role of ours", &sql)
    }

    /// All that it was given, and what it made outside of the database that it filled.
    fn take_grants(&self, ask_in: &str, name: &str) -> Result<(), PostgresError> {
        let sql = sql!(
            "SELECT coalesce(json_agg(DISTINCT d.datname), '[]') FROM pg_shdepend AS s
               JOIN pg_database AS d ON d.oid = s.dbid
              WHERE s.refclassid = 'pg_authid'::regclass AND d.datallowconn
                AND s.refobjid = (SELECT oid FROM pg_roles WHERE rolname = {name});",
            name = literal(name)
        );
        let mut databases: Vec<String> = self.query_json(ask_in, DROP, &sql)?;
        // What belongs to no database is taken in any.
        databases.push(ask_in.to_owned());
        let sql = sql!(
            "{limit}DROP OWNED BY {name};",
            limit = GRANTS_LIMIT,
            name = identifier(name)
        );
        let mut failed = None;
        for database in databases {
            // The others' are taken all the same: the next try has less to do.
            failed = self
                .run_in_transaction(&database, DROP, &sql)
                .err()
                .or(failed);
        }
        failed.map_or(Ok(()), Err)
    }

    fn has_role(&self, ask_in: &str, name: &str) -> Result<bool, PostgresError> {
        let sql = sql!(
            "SELECT to_json(EXISTS (SELECT FROM pg_roles WHERE rolname = {name}));",
            name = literal(name)
        );
        self.query_json(ask_in, "look for a role of ours", &sql)
    }
}
