//! Puts a staging database in its place: the one transaction in which names change, and
//! in which it gets what the database before it had.

use super::{StagedDatabase, comment_sql, is_in_use};
use crate::postgres::dialog::Dialog;
use crate::postgres::in_the_way::{ENDABLE, Thing, is_in_the_way};
use crate::postgres::mark::Leftover;
use crate::postgres::outcome::Outcome;
use crate::postgres::prepared;
use crate::postgres::sql::{Sql, identifier, literal, sql};
use crate::postgres::{DatabaseAttributes, PostgresError};
use crate::reached::Reached;

const ACTION: &str = "put the restored database in its place";
/// Each already waits up to 5 s in the server for sessions to leave.
const TRIES: u32 = 10;

impl StagedDatabase {
    /// Gives what should be known of what it did.
    pub(super) fn swap(
        &mut self,
        keep_old: bool,
        reached: &mut Reached,
    ) -> Result<Vec<String>, PostgresError> {
        let mut tries = 1;
        loop {
            *reached = Reached::Staged;
            let error = match self.try_swap(keep_old, reached) {
                Ok(told) => {
                    *reached = Reached::Swapped;
                    return Ok(told);
                }
                Err(error) => error,
            };
            if !reached.is_unchanged() {
                return self.cut_off(error, reached).map(|()| Vec::new());
            }
            if error.sqlstate() == Some("42P04") {
                let name = self.name.clone();
                return Err(PostgresError::DatabaseExists { name });
            }
            let may_succeed = is_in_use(&error) || is_in_the_way(&error);
            if !may_succeed {
                return Err(error);
            }
            // None of them goes by itself, nor with a session.
            if let Some(prepared) = self.prepared()? {
                return Err(prepared);
            }
            if tries == TRIES {
                return Err(error);
            }
            tries += 1;
            for name in [&self.name, &self.staging] {
                // Who could not be ended is there at the next try still.
                let thing = Thing::Database(name);
                let _ = self.server.end_holders(&self.maintenance, thing);
            }
        }
    }

    /// The renames take the exclusive locks that every new connection waits for, and every
    /// setting for these databases: nobody comes in between and changes what is given here
    /// and looked at again. Only who is there already must go. Nothing is switched off for
    /// it beforehand, so there is no moment at which our death would leave a database that
    /// refuses connections.
    fn try_swap(
        &mut self,
        keep_old: bool,
        reached: &mut Reached,
    ) -> Result<Vec<String>, PostgresError> {
        let mut session = Dialog::start(&self.server, &self.maintenance)?;
        session.begin(ACTION, &self.renames())?;
        let there = match &self.replaces {
            Some(_) => Some(DatabaseAttributes::read_in(&mut session, &self.old)?),
            None => None,
        };
        self.replaces_only(there.as_ref().map(|old| old.oid))?;
        let now = DatabaseAttributes::read_in(&mut session, &self.name)?;
        let Some(made) = self.made.as_ref().filter(|made| made.oid == now.oid) else {
            let what = "name".to_owned();
            return Err(PostgresError::NotAsSaid { what });
        };
        let wanted = there.clone().unwrap_or_else(|| made.as_new());
        let mut given = wanted.instead_of(&now, &self.name);
        given += wanted.of_roles(&now, &self.name);
        given += self.marks(there.as_ref(), keep_old);
        session.tell("carry over the database's settings", &given)?;
        let found = DatabaseAttributes::read_in(&mut session, &self.name)?;
        let differences = wanted.differences(&found);
        if !differences.is_empty() {
            let what = differences.join(", ");
            return Err(PostgresError::NotAsSaid { what });
        }
        *reached = Reached::Unknown { look: self.look() };
        session.commit(ACTION)?;
        let roles = wanted.roles_that_differ(&found).into_iter();
        Ok(roles.map(|role| of_role(&role, &self.name)).collect())
    }

    /// Prepared transactions that use the database in its place. What somebody has
    /// prepared in ours is undone.
    fn prepared(&self) -> Result<Option<PostgresError>, PostgresError> {
        let (server, ask_in) = (&self.server, &self.maintenance);
        let undone = server.roll_back_prepared(ask_in, Thing::Database(&self.staging));
        let mut told = None;
        for name in [&self.name, &self.staging] {
            let found = server.prepared(ask_in, name)?;
            told = told.or(prepared::obstacle(name, &found));
        }
        // Why it was not undone, another role's for one, is no more than what is left.
        match told {
            None => undone.map(|()| None),
            told => Ok(told),
        }
    }

    /// Cut off after the server had done it: done is done.
    fn cut_off(&self, error: PostgresError, reached: &mut Reached) -> Result<(), PostgresError> {
        let Some(made) = &self.made else {
            return Err(error);
        };
        let (server, ask_in) = (&self.server, &self.maintenance);
        match server.outcome_of_rename(ask_in, made.oid, [&self.staging, &self.name]) {
            Outcome::Done => {
                *reached = Reached::Swapped;
                return Ok(());
            }
            Outcome::NotDone => *reached = Reached::Staged,
            Outcome::Unknown => {}
        }
        Err(error)
    }

    fn look(&self) -> String {
        format!(
            "`psql -l` tells: while the server has a database {:?}, it does not",
            self.staging
        )
    }

    /// All in one message: between ending the sessions and the lock is no round trip in
    /// which a pooler could come back.
    fn renames(&self) -> Vec<Sql> {
        let [name, staging] = &[&self.name, &self.staging].map(|n| identifier(n));
        let mut steps = vec![
            "SET LOCAL lock_timeout = '5s'".into(),
            sql!(
                "SELECT WHERE (SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                 WHERE datname IN ({name}, {staging}) AND {endable}) IS NULL",
                name = literal(&self.name),
                staging = literal(&self.staging),
                endable = ENDABLE
            ),
        ];
        if self.replaces.is_some() {
            steps.push(sql!(
                "ALTER DATABASE {name} RENAME TO {old}",
                name = name,
                old = identifier(&self.old)
            ));
        }
        steps.push(sql!(
            "ALTER DATABASE {staging} RENAME TO {name}",
            staging = staging,
            name = name
        ));
        steps
    }

    /// The marks change with the names: the old database's comment goes to the new one,
    /// and whatever is to be dropped is marked at every moment, and nobody enters it.
    fn marks(&self, there: Option<&DatabaseAttributes>, keep_old: bool) -> Sql {
        let comment = there.and_then(|old| old.comment.as_deref());
        let mut sql = sql!("{comment};\n", comment = comment_sql(&self.name, comment));
        if there.is_none() {
            return sql;
        }
        let (kind, before) = match keep_old {
            true => (Leftover::Kept, comment),
            false => (Leftover::Staging, None),
        };
        let mark = self.server.marks().comment(kind, &self.old, before);
        sql += sql!(
            "{comment};\n",
            comment = comment_sql(&self.old, Some(&mark))
        );
        if !keep_old {
            sql += sql!(
                "ALTER DATABASE {old} ALLOW_CONNECTIONS false;\n",
                old = identifier(&self.old)
            );
        }
        sql
    }
}

fn of_role(role: &str, database: &str) -> String {
    format!(
        "the settings of the role {role:?} in the database {database:?} are not as they were \
         before: each role may change its own, and yours may not (\\drds in psql tells them)"
    )
}
