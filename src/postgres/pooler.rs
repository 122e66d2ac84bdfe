//! Finds a pooler that gives one session of the server to several clients, as
//! pgbouncer does with pool_mode=transaction, and refuses it: what another client
//! set, such as `extra_float_digits`, would be in our dump, and what we set in
//! theirs.
//!
//! A session that was begun with our word in its options is our own. Where the word
//! does not come through there is something between, and two sessions show what
//! it does.

use std::collections::BTreeSet;

use super::sql::{Sql, sql};
use super::{Access, PostgresError, Server, random_hex};
use crate::process::ChildDialog;

const ACTION: &str = "look at its sessions";

/// A setting of nobody's: every role may have it.
const OUR_WORD: &str = "kluis.session";

/// A pool gives out its sessions by turns, at the worst: so often is asked.
const TURNS: usize = 24;

impl Server {
    /// Must be asked before anything else is.
    pub(super) fn refuse_shared_sessions(&self, database: &str) -> Result<(), PostgresError> {
        let Access::Direct(_) = self.access() else {
            return Ok(());
        };
        if self.sessions_are_ours(database)? || !self.sessions_are_shared(database)? {
            return Ok(());
        }
        Err(PostgresError::Obstacle {
            what: format!(
                "the pooler at {} gives one session to several clients (as pgbouncer does with \
                 pool_mode=transaction): what one of them sets would change what is dumped",
                self.place()
            ),
            remedy: "connect to the server itself, or to a pool with pool_mode=session".to_owned(),
        })
    }

    /// Whether our word comes through. A pooler may refuse it, or drop it.
    fn sessions_are_ours(&self, database: &str) -> Result<bool, PostgresError> {
        let word = random_hex::<8>()?;
        let options = self.access().session_options();
        let options = format!("{options} -c {OUR_WORD}={word}");
        let question = sql!(
            "SELECT pg_catalog.current_setting('{name}', true);\n",
            name = OUR_WORD
        );
        match self.query_with_options(database, ACTION, options.trim_start(), &question) {
            Ok(answer) => Ok(answer.trim() == word),
            Err(PostgresError::Refused { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// While one session is ours and idle, another must not get its backend, nor be
    /// given several, nor find that somebody else works in it.
    fn sessions_are_shared(&self, database: &str) -> Result<bool, PostgresError> {
        let psql = self.dialog(database)?;
        let mut idle = ChildDialog::spawn(psql.tool())?;
        let opening = psql.opening(&"SELECT pg_catalog.pg_backend_pid();\n".into())?;
        let answer = idle.ask(&opening).map_err(|e| self.explain(e, ACTION))?;
        let not_understood = |answer: &str| PostgresError::Answer {
            action: ACTION.to_owned(),
            detail: answer.to_owned(),
        };
        let ours: u32 = answer.parse().map_err(|_| not_understood(&answer))?;
        let turn = sql!(
            "SELECT pg_catalog.pg_backend_pid(), (SELECT pg_catalog.count(*)
               FROM pg_catalog.pg_stat_activity WHERE pid OPERATOR(pg_catalog.=) {ours}
                AND state OPERATOR(pg_catalog.=) 'idle');\n",
            ours = ours
        );
        let turns = Sql::joined(&vec![turn; TURNS], "");
        let told = self.query_once(database, ACTION, &turns)?;
        let mut backends = BTreeSet::new();
        let mut left_alone = true;
        for line in told.lines() {
            let (backend, idle) = line.split_once('|').ok_or_else(|| not_understood(line))?;
            backends.insert(backend.to_owned());
            left_alone &= idle == "1";
        }
        Ok(!left_alone || backends.len() > 1 || backends.contains(&ours.to_string()))
    }
}
