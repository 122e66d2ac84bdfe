//! Who still works on a staging database: a session that holds an advisory lock
//! made of the database's name, for as long as its run lives.
//!
//! Owns that session, and the sweep of staging databases that nobody holds.
//! Refuses to touch what a swap put aside, which may be kept on purpose, and any
//! database without the mark of this storage, whatever its name.
//! Invariant: the lock is taken before the database is made, so one without a
//! holder that counts (`hold`) belongs to a run that died, on whatever host.

use serde::Deserialize;

use super::hold::{self, Holder, KEY};
use super::in_the_way::Thing;
use super::mark::Leftover;
use super::psql::Psql;
use super::sql::{Sql, identifier, literal, sql};
use super::staging::{is_in_use, unmark_sql};
use super::{PostgresError, Server};
use crate::process::ChildDialog;

const HOLD: &str = "hold the staging database";

/// Holds the locks of a run's databases until it is dropped, or its process dies.
#[derive(Debug)]
pub struct Keeper {
    session: ChildDialog,
    psql: Psql,
}

impl Keeper {
    /// Takes the lock of `database`, or of a role of that name, which need not be
    /// there yet, by a session in `ask_in`.
    pub(super) fn hold(
        server: &Server,
        ask_in: &str,
        database: &str,
    ) -> Result<Self, PostgresError> {
        let psql = server.dialog(ask_in)?;
        let mut keeper = Self {
            session: ChildDialog::spawn(psql.tool())?,
            psql,
        };
        let first = sql!(
            "{awake}{hold}",
            awake = idle_for_long(server),
            hold = hold(database)
        );
        let opening = keeper.psql.opening(&first)?;
        keeper.ask(server, &opening)?;
        Ok(keeper)
    }

    /// Takes the lock of another database too.
    pub(super) fn hold_too(
        &mut self,
        server: &Server,
        database: &str,
    ) -> Result<(), PostgresError> {
        let question = hold(database).text()?.to_owned();
        self.ask(server, &question)
    }

    fn ask(&mut self, server: &Server, question: &str) -> Result<(), PostgresError> {
        match self.session.ask(question) {
            Ok(answer) if answer == "held" => Ok(()),
            Ok(answer) => Err(PostgresError::Answer {
                action: HOLD.to_owned(),
                detail: answer,
            }),
            Err(error) => Err(server.explain(error, HOLD)),
        }
    }
}

/// The lock is the session's, so no transaction is around it: each name in here
/// stands with its schema.
fn hold(database: &str) -> Sql {
    sql!(
        "SELECT 'held' FROM (SELECT pg_catalog.pg_advisory_lock({key}({database}, 0))) AS held;\n",
        key = KEY,
        database = literal(database)
    )
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
    /// What stays, each with the reason.
    pub kept: Vec<String>,
    /// Locks on what was dropped that were no run's.
    pub strange: Vec<String>,
}

impl SweptStaging {
    /// Drops `name` with `end`, unless a run may still be at work on it.
    pub(super) fn sweep(
        &mut self,
        name: String,
        holders: &[Holder],
        end: impl FnOnce(&str) -> Result<(), PostgresError>,
    ) {
        if let Some(holder) = hold::of_a_run(holders) {
            let why = "holds its lock, as a run does that is at work";
            self.kept.push(format!("{name}: {holder} {why}"));
            return;
        }
        match end(&name) {
            Ok(()) => {
                self.strange.extend(holders.iter().map(|holder| {
                    format!(
                        "{holder} holds the lock by which a run at work on {name} would be \
                         known, and may not act for what it belongs to: it was not heeded"
                    )
                }));
                self.dropped.push(name);
            }
            Err(error) => self.kept.push(format!("{name}: {error}")),
        }
    }
}

/// A database that may be of our making.
#[derive(Debug, Deserialize)]
struct Candidate {
    name: String,
    comment: Option<String>,
    #[serde(default)]
    holders: Vec<Holder>,
}

impl Server {
    /// Drops the staging databases of runs that died, known by this storage's mark.
    /// What cannot be dropped, such as another role's, stays; the server itself
    /// failing is the only error.
    pub fn sweep_staging(&self, ask_in: &str) -> Result<SweptStaging, PostgresError> {
        let mut swept = SweptStaging::default();
        for it in self.candidates(ask_in)? {
            if self.is_staging(&it.name, it.comment.as_deref()) {
                swept.sweep(it.name, &it.holders, |name| {
                    self.drop_copy(ask_in, name, "drop what a run that died has left")
                });
            }
        }
        // After the databases that they may still have a right on.
        self.sweep_fill_roles(ask_in, &mut swept)?;
        Ok(swept)
    }

    /// What is called like a staging database or a making of ours, and who holds it.
    fn candidates(&self, ask_in: &str) -> Result<Vec<Candidate>, PostgresError> {
        // One statement: the list of databases is as old as its beginning, and
        // the locks are read after that, so whoever is on the list and alive
        // holds its lock by then.
        let sql = sql!(
            "SELECT coalesce(json_agg(json_build_object('name', d.datname,
                'comment', shobj_description(d.oid, 'pg_database'),
                'holders', {holders}) ORDER BY d.datname), '[]')
               FROM pg_database d
              WHERE d.datname::text ~ '_kluis_[0-9a-f]{{8}}$|^kluis_making_';",
            holders = hold::holders("d.datname", "d.datdba")
        );
        let action = "look for what a run that died has left";
        self.query_json(ask_in, action, &sql)
    }

    /// Databases that are called like ours and bear no mark, as versions before
    /// there were marks left them; each with the statement that drops it. For people,
    /// who look first: they may be anybody's.
    pub fn unmarked(&self, ask_in: &str) -> Result<Vec<(String, String)>, PostgresError> {
        let found = self.candidates(ask_in)?.into_iter();
        let unmarked = found.filter(|it| {
            hold::of_a_run(&it.holders).is_none()
                && Leftover::is_unmarked(&it.name, it.comment.as_deref())
        });
        let told = unmarked.filter_map(|it| {
            let sql = sql!("DROP DATABASE {name};", name = identifier(&it.name));
            let sql = sql.text().ok()?.to_owned();
            Some((it.name, sql))
        });
        Ok(told.collect())
    }

    fn is_staging(&self, name: &str, comment: Option<&str>) -> bool {
        let marks = self.marks();
        marks.fits(Leftover::Staging, name, comment) || marks.is_making(name)
    }

    /// [`Server::drop_copy`] of a database that this run has made, whatever became of
    /// it; one without the mark is another's.
    pub(super) fn drop_ours(&self, ask_in: &str, name: &str) -> Result<(), PostgresError> {
        let sql = sql!(
            "SELECT coalesce(json_agg(json_build_object('name', datname,
                'comment', shobj_description(oid, 'pg_database'))), '[]')
               FROM pg_database WHERE datname = {name};",
            name = literal(name)
        );
        let action = "look for the staging database";
        let found: Vec<Candidate> = self.query_json(ask_in, action, &sql)?;
        match &found[..] {
            [it] if self.is_staging(&it.name, it.comment.as_deref()) => {
                self.drop_copy(ask_in, name, "drop the staging database")
            }
            _ => Ok(()),
        }
    }

    /// Drops the staging database `copy`, asked in another database. The copy of a
    /// database with subscriptions has them too, and cannot be dropped before
    /// they are.
    pub(super) fn drop_copy(
        &self,
        ask_in: &str,
        copy: &str,
        action: &str,
    ) -> Result<(), PostgresError> {
        match self.drop_database(ask_in, copy, action) {
            Err(error) if is_in_use(&error) => {
                self.roll_back_prepared(ask_in, Thing::Database(copy))?;
                let subscriptions = &DROP_SUBSCRIPTIONS.into();
                self.query(copy, "drop the copy's subscriptions", subscriptions)?;
                self.drop_database(ask_in, copy, action)
            }
            result => result,
        }
    }

    /// Drops it, whoever is in it or has a lock on it.
    pub(super) fn drop_database(
        &self,
        ask_in: &str,
        database: &str,
        action: &str,
    ) -> Result<(), PostgresError> {
        let sql = self.drop_database_sql(database);
        self.past_others(ask_in, Thing::Database(database), || {
            self.run_alone(ask_in, action, &sql)
        })
    }

    /// Also if it is a template. Ends the sessions in it too, where the server can
    /// do both at once.
    fn drop_database_sql(&self, database: &str) -> Sql {
        sql!(
            "{unmark}DROP DATABASE IF EXISTS {database}{force};",
            unmark = unmark_sql(database),
            database = identifier(database),
            force = match self.version().major() {
                ..=12 => "",
                _ => " WITH (FORCE)",
            }
        )
    }
}
