//! One transaction that is said bit by bit, so that what it does next can depend on what
//! the server has told in it.
//!
//! Invariant: it is undone where this is dropped before [`Dialog::commit`], and where we
//! die: its psql ends with us.

use serde::de::DeserializeOwned;

use super::psql::{AS_IT_IS, OUR_SETTINGS, Psql, json_text, parse_json};
use super::sql::{Sql, sql};
use super::{PostgresError, Server};
use crate::process::ChildDialog;

/// What is printed behind statements that print nothing.
const DONE: &str = "done";

pub(super) struct Dialog {
    server: Server,
    session: ChildDialog,
    psql: Psql,
    is_begun: bool,
}

impl Dialog {
    pub fn start(server: &Server, database: &str) -> Result<Self, PostgresError> {
        let psql = server.dialog(database)?;
        Ok(Self {
            server: server.clone(),
            session: ChildDialog::spawn(psql.tool())?,
            psql,
            is_begun: false,
        })
    }

    /// The transaction's first message: these steps without a way back and forth between
    /// them.
    pub fn begin(&mut self, action: &str, steps: &[Sql]) -> Result<(), PostgresError> {
        let settings = OUR_SETTINGS.lines().chain(AS_IT_IS.lines());
        let settings = settings.map(|line| line.trim_end_matches(';').into());
        let mut message: Vec<Sql> = vec!["BEGIN".into()];
        message.extend(settings);
        message.extend(steps.iter().cloned());
        let message = sql!("{steps};", steps = Sql::joined(&message, " \\; "));
        self.tell(action, &message)
    }

    /// Statements that print nothing.
    pub fn tell(&mut self, action: &str, sql: &Sql) -> Result<(), PostgresError> {
        let sql = sql!("{sql}\nSELECT 'done';\n", sql = sql);
        match self.ask(action, &sql)? {
            answer if answer == DONE.as_bytes() => Ok(()),
            answer => Err(PostgresError::Answer {
                action: action.to_owned(),
                detail: String::from_utf8_lossy(&answer).into_owned(),
            }),
        }
    }

    /// A query, without its semicolon, that gives one JSON value.
    pub fn ask_json<T: DeserializeOwned>(
        &mut self,
        action: &str,
        sql: &Sql,
    ) -> Result<T, PostgresError> {
        // On one line: inside of its strings JSON has no line's end.
        let sql = sql!(
            "SELECT translate(({sql})::text, chr(10), ' ');\n",
            sql = sql
        );
        let answer = self.ask(action, &sql)?;
        parse_json(&json_text(&answer), action)
    }

    pub fn commit(mut self, action: &str) -> Result<(), PostgresError> {
        self.tell(action, &"COMMIT;".into())
    }

    fn ask(&mut self, action: &str, sql: &Sql) -> Result<Vec<u8>, PostgresError> {
        let text = match std::mem::replace(&mut self.is_begun, true) {
            true => sql.text()?.to_owned(),
            false => self.psql.opening(sql)?,
        };
        let answer = self.session.ask_bytes(&text);
        answer.map_err(|error| self.server.explain(error, action))
    }
}
