//! Puts a staging database in its place: the one transaction in which names change.

use super::{SWAP_TRIES, StagedDatabase, comment_sql, is_in_use};
use crate::postgres::PostgresError;
use crate::postgres::mark::Leftover;
use crate::postgres::outcome::Outcome;
use crate::postgres::psql::OUR_SETTINGS;
use crate::postgres::sql::{Sql, identifier, literal, sql};
use crate::reached::Reached;

/// Sessions that the role may end; the server's own workers are nobody's. What kind a
/// session is, not everybody sees.
const ENDABLE: &str = "backend_type IS DISTINCT FROM 'autovacuum worker' \
    AND (current_setting('is_superuser')::bool OR usesysid IS NOT NULL \
      AND NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = usesysid AND r.rolsuper) \
      AND (pg_has_role(usesysid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE')))";

impl StagedDatabase {
    /// The rename takes the exclusive lock that every new connection waits for,
    /// so nobody comes in between; only who is there already must go. Nothing
    /// is switched off for it beforehand, so there is no moment at which our
    /// death would leave a database that refuses connections.
    pub(super) fn swap(&self, keep_old: bool, reached: &mut Reached) -> Result<(), PostgresError> {
        let sql = self.swap_sql(keep_old);
        let mut tries = 1;
        loop {
            *reached = Reached::Unknown { look: self.look() };
            let swapped = self.run("put the restored database in its place", &sql);
            let error = match swapped {
                Ok(()) => {
                    *reached = Reached::Swapped;
                    return Ok(());
                }
                Err(error) => error,
            };
            if !is_in_use(&error) {
                return self.cut_off(error, reached);
            }
            *reached = Reached::Staged;
            if tries == SWAP_TRIES {
                return Err(error);
            }
            tries += 1;
        }
    }

    /// Cut off after the server had done it: done is done.
    fn cut_off(&self, error: PostgresError, reached: &mut Reached) -> Result<(), PostgresError> {
        let server = &self.server;
        match server.outcome_of_rename(&self.maintenance, &self.staging, &self.name) {
            Outcome::Done => {
                *reached = Reached::Swapped;
                return Ok(());
            }
            Outcome::NotDone => *reached = Reached::Staged,
            Outcome::Unknown => {}
        }
        if error.sqlstate() == Some("42P04") {
            let name = self.name.clone();
            return Err(PostgresError::DatabaseExists { name });
        }
        Err(error)
    }

    fn look(&self) -> String {
        format!(
            "`psql -l` tells: while the server has a database {:?}, it does not",
            self.staging
        )
    }

    /// `\;` sends it as one message: between ending the sessions and the lock
    /// is no round trip in which a pooler could come back. The marks change with the
    /// names: the old database's comment goes to the new one, and whatever is to be
    /// dropped is marked at every moment.
    fn swap_sql(&self, keep_old: bool) -> Sql {
        let [name, staging] = &[&self.name, &self.staging].map(|n| identifier(n));
        let mut steps = vec!["BEGIN".into()];
        steps.extend(
            OUR_SETTINGS
                .lines()
                .map(|line| line.trim_end_matches(';').into()),
        );
        if self.replaces.is_some() {
            steps.push(sql!(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                 WHERE datname = {name} AND {endable}",
                name = literal(&self.name),
                endable = ENDABLE
            ));
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
        let comment = self
            .replaces
            .as_ref()
            .and_then(|old| old.comment.as_deref());
        steps.push(comment_sql(&self.name, comment));
        if self.replaces.is_some() {
            let (kind, before) = match keep_old {
                true => (Leftover::Kept, comment),
                false => (Leftover::Staging, None),
            };
            let mark = self.server.marks().comment(kind, &self.old, before);
            steps.push(comment_sql(&self.old, Some(&mark)));
        }
        steps.push("COMMIT".into());
        sql!("{steps};", steps = Sql::joined(&steps, " \\; "))
    }
}
