//! Who still works on a staging database: a session that holds an advisory lock
//! made of the database's name, for as long as its run lives.
//!
//! Owns that session, and the sweep of staging databases that nobody holds.
//! Refuses to touch what a swap put aside: that may be kept on purpose.
//! Invariant: the lock is taken before the database is made, so one without a
//! holder belongs to a run that died, on whatever host.

use super::quote::{quote_identifier, quote_literal};
use super::staging::{is_in_use, unmark_sql};
use super::{PostgresError, Server};
use crate::process::ChildDialog;

/// One lock per name; the locks' numbers are the server's own hash of it.
const KEY: &str = "pg_catalog.hashtextextended";

/// Holds the locks of a run's databases until it is dropped, or its process dies.
#[derive(Debug)]
pub struct Keeper {
    session: ChildDialog,
    ask_in: String,
}

impl Keeper {
    /// Takes the lock of `database`, which need not be there yet, by a session
    /// in `ask_in`.
    pub(super) fn hold(
        server: &Server,
        ask_in: &str,
        database: &str,
    ) -> Result<Self, PostgresError> {
        let tool = server.tool(server.psql(), ask_in).args([
            "--no-psqlrc",
            "--no-align",
            "--tuples-only",
            "--quiet",
            "--set=ON_ERROR_STOP=1",
            "--set=VERBOSITY=verbose",
        ]);
        let mut keeper = Self {
            session: ChildDialog::spawn(&tool)?,
            ask_in: ask_in.to_owned(),
        };
        keeper.ask(server, idle_for_long(server), database)?;
        Ok(keeper)
    }

    /// Takes the lock of another database too.
    pub(super) fn hold_too(
        &mut self,
        server: &Server,
        database: &str,
    ) -> Result<(), PostgresError> {
        self.ask(server, "", database)
    }

    fn ask(&mut self, server: &Server, first: &str, database: &str) -> Result<(), PostgresError> {
        let question = format!(
            "{first}SELECT 'held' FROM (SELECT pg_catalog.pg_advisory_lock({KEY}({}, 0))) AS held;\n",
            quote_literal(database)
        );
        let action = "hold the staging database";
        match self.session.ask(&question) {
            Ok(answer) if answer == "held" => Ok(()),
            Ok(answer) => Err(PostgresError::Answer {
                action: action.to_owned(),
                detail: answer,
            }),
            Err(error) => Err(server.explain(error, action, &self.ask_in)),
        }
    }
}

/// The session is idle while a database is filled, which may take hours.
fn idle_for_long(server: &Server) -> &'static str {
    match server.version().major() {
        ..=13 => "",
        _ => "SET idle_session_timeout = 0; ",
    }
}

/// Without its slot first: that name is the original's, whose slot would be
/// dropped at the publisher.
const DROP_SUBSCRIPTIONS: &str = "DO $$
DECLARE
    subscription text;
BEGIN
    FOR subscription IN SELECT pg_catalog.quote_ident(subname) FROM pg_catalog.pg_subscription
         WHERE subdbid = (SELECT oid FROM pg_catalog.pg_database
                           WHERE datname = pg_catalog.current_database()) LOOP
        EXECUTE 'ALTER SUBSCRIPTION ' || subscription || ' DISABLE';
        EXECUTE 'ALTER SUBSCRIPTION ' || subscription || ' SET (slot_name = NONE)';
        EXECUTE 'DROP SUBSCRIPTION ' || subscription;
    END LOOP;
END $$;";

/// What [`Server::sweep_staging`] did.
#[derive(Debug, Default)]
pub struct SweptStaging {
    pub dropped: Vec<String>,
    /// Databases that stay, each with the reason.
    pub kept: Vec<String>,
}

impl Server {
    /// Drops the staging databases of runs that died. What cannot be dropped, such
    /// as another role's, stays; the server itself failing is the only error.
    pub fn sweep_staging(&self, ask_in: &str) -> Result<SweptStaging, PostgresError> {
        // One statement: the list of databases is as old as its beginning, and
        // the locks are read after that, so whoever is on the list and alive
        // holds its lock by then.
        let sql = format!(
            "SELECT coalesce(json_agg(d.datname ORDER BY d.datname), '[]') FROM pg_database d
              WHERE d.datname::text ~ '_kluis_[0-9a-f]{{8}}$' AND NOT EXISTS (
                SELECT FROM pg_locks l
                 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
                   AND ((l.classid::bigint << 32) | l.objid::bigint)
                       = {KEY}(d.datname::text, 0));"
        );
        let action = "look for what a run that died has left";
        let names: Vec<String> = self.query_json(ask_in, action, &sql)?;
        let mut swept = SweptStaging::default();
        for name in names {
            let sql = unmark_sql(&name) + &self.drop_database_sql(&name);
            match self.drop_copy(ask_in, &name, "drop what a run that died has left", &sql) {
                Ok(()) => swept.dropped.push(name),
                Err(error) => swept.kept.push(format!("{name}: {error}")),
            }
        }
        Ok(swept)
    }

    /// Drops `copy`, as `sql` says it, asked in another database. The copy of a
    /// database with subscriptions has them too, and cannot be dropped before
    /// they are.
    pub(super) fn drop_copy(
        &self,
        ask_in: &str,
        copy: &str,
        action: &str,
        sql: &str,
    ) -> Result<(), PostgresError> {
        match self.query(ask_in, action, sql) {
            Err(error) if is_in_use(&error) => {
                self.query(copy, "drop the copy's subscriptions", DROP_SUBSCRIPTIONS)?;
                self.query(ask_in, action, sql).map(drop)
            }
            result => result.map(drop),
        }
    }

    /// Ends the sessions in it too, where the server can do both at once.
    pub(super) fn drop_database_sql(&self, database: &str) -> String {
        let force = if self.version().major() >= 13 {
            " WITH (FORCE)"
        } else {
            ""
        };
        let database = quote_identifier(database);
        format!("DROP DATABASE IF EXISTS {database}{force};")
    }
}
