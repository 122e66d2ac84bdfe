//! Prepared transactions (PREPARE TRANSACTION): they outlive their sessions, and while a
//! database has one, or one holds a lock on it, it can be neither renamed nor dropped.
//!
//! Owns how they are found and what is said of them. What somebody has prepared is never
//! ended, but for what is in the way of something of our own making: nobody else has any
//! business there.

use std::fmt;

use serde::Deserialize;

use super::in_the_way::Thing;
use super::sql::{Sql, literal, literal_of_hex, sql};
use super::{PostgresError, Server};

const UNDO: &str = "undo what was prepared in something of ours";

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Prepared {
    /// As a literal of SQL.
    gid: String,
    owner: String,
    /// Where it can be ended.
    database: String,
    since: String,
    /// "1 day 02:03:04".
    age: String,
}

/// In SQL: whether the row `p` of pg_prepared_xacts is in the way of a change to the
/// database that `name` gives, or to one of the things of `numbers`: it is in that database,
/// or has a lock on one of them.
fn is_in_the_way(name: Sql, numbers: Sql) -> Sql {
    sql!(
        "(p.database = {name} OR EXISTS (
           SELECT FROM pg_locks AS own JOIN pg_locks AS l USING (virtualtransaction)
            WHERE own.locktype = 'transactionid' AND own.transactionid = p.transaction
              AND own.mode = 'ExclusiveLock' AND own.pid IS NULL AND l.pid IS NULL
              AND l.locktype = 'object' AND l.database = 0
              AND (l.classid, l.objid) IN ({numbers})))",
        name = name,
        numbers = numbers
    )
}

/// In SQL: those in the way of a change to the database of the row `d`.
pub(super) fn of_row() -> Sql {
    let numbers = "SELECT 'pg_database'::regclass::oid, d.oid";
    sql!(
        "(SELECT coalesce(json_agg(json_build_object(
             'gid', quote_literal(p.gid), 'owner', p.owner, 'database', p.database,
             'since', date_trunc('second', p.prepared)::text,
             'age', date_trunc('second', now() - p.prepared)::text) ORDER BY p.prepared), '[]')
           FROM pg_prepared_xacts AS p WHERE {in_the_way})",
        in_the_way = is_in_the_way("d.datname".into(), numbers.into())
    )
}

/// What keeps `database` from being replaced, and what to type.
pub(super) fn obstacle(database: &str, prepared: &[Prepared]) -> Option<PostgresError> {
    let first = prepared.first()?;
    let all: Vec<String> = prepared.iter().map(ToString::to_string).collect();
    Some(PostgresError::Obstacle {
        what: format!(
            "the database {database:?} cannot be replaced or renamed while prepared transactions use it: {}",
            all.join("; ")
        ),
        remedy: format!(
            "end each, in psql in its database, as its role or a superuser: COMMIT PREPARED \
             {gid}; or ROLLBACK PREPARED {gid};",
            gid = first.gid
        ),
    })
}

impl fmt::Display for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            gid,
            owner,
            database,
            since,
            age,
        } = self;
        write!(
            f,
            "{gid} in the database {database:?}, of the role {owner:?}, since {since} ({age})"
        )
    }
}

impl Server {
    /// Those in the way of a change to `database`.
    pub(super) fn prepared(
        &self,
        ask_in: &str,
        database: &str,
    ) -> Result<Vec<Prepared>, PostgresError> {
        let sql = sql!(
            "SELECT coalesce((SELECT {prepared} FROM pg_database AS d WHERE d.datname = {name}), \
             '[]');",
            prepared = of_row(),
            name = literal(database)
        );
        self.query_json(ask_in, "look for prepared transactions", &sql)
    }

    /// Undoes what was prepared in `ours`, which is of our making, or with a lock on it.
    pub(super) fn roll_back_prepared(
        &self,
        ask_in: &str,
        ours: Thing<'_>,
    ) -> Result<(), PostgresError> {
        let name = match ours {
            Thing::Database(name) => literal(name),
            Thing::Role(_) => "NULL".into(),
        };
        let in_the_way = &is_in_the_way(name, ours.number());
        let sql = sql!(
            "SELECT coalesce(json_agg(DISTINCT p.database), '[]') FROM pg_prepared_xacts AS p
              WHERE {in_the_way};",
            in_the_way = in_the_way
        );
        let databases: Vec<String> = self.query_json(ask_in, UNDO, &sql)?;
        for database in databases {
            // Only there, and by the bytes of its name, whatever the encoding.
            let sql = sql!(
                "SELECT coalesce(json_agg(encode(convert_to(p.gid, 'SQL_ASCII'), 'hex')), '[]')
                   FROM pg_prepared_xacts AS p
                  WHERE p.database = current_database() AND {in_the_way};",
                in_the_way = in_the_way
            );
            let gids: Vec<String> = self.query_json(&database, UNDO, &sql)?;
            let undo: Vec<Sql> = gids
                .iter()
                .map(|gid| sql!("ROLLBACK PREPARED {gid};\n", gid = literal_of_hex(gid)))
                .collect();
            self.run_alone(&database, UNDO, &Sql::joined(&undo, ""))?;
        }
        Ok(())
    }
}
