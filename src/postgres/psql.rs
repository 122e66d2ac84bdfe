//! Every psql of kluis is started here, whatever it is for: a question, a
//! dialog, a watch, a dump that is fed to it.
//!
//! Owns what holds for all of them: no start-up file is read, the first error
//! ends it, and the first line restricts it where that psql can be restricted,
//! so that no command of its own is obeyed, whatever a name or a dump holds.
//! Refuses text that is no [`Sql`].
//!
//! Invariant: in our own sessions no object of a database stands before the
//! server's. Names are looked up in `pg_catalog` alone, and in `pg_temp`, which
//! is named last because it would come first otherwise. It is set inside of a
//! transaction, so that a session of a pooler is as it was after it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::server::Access;
use super::sql::{Sql, sql};
use super::{Client, ClientSearch, PostgresError, Server, ServerVersion, random_hex};
use crate::process::{Tool, run_captured};

/// The program's name.
pub const PSQL: &str = "psql";

const ARGUMENTS: [&str; 7] = [
    "--no-psqlrc",
    "--no-align",
    "--tuples-only",
    "--quiet",
    "--set=ON_ERROR_STOP=1",
    "--set=VERBOSITY=verbose",
    // Standard input is read as a file is: never as a person types.
    "--file=-",
];

/// What a session of ours sets until its transaction ends: no time limit of a role
/// or a database is meant for it, nobody's lock is waited for longer than pg_dump waits
/// for a table's, names are looked up among the server's own, and a role that the
/// database's owner has chosen for its sessions (ALTER DATABASE .. SET role) does not
/// make it blind. One statement a line; the last one is for a limit that servers before
/// 17 do not know.
pub(super) const OUR_SETTINGS: &str = "SET LOCAL ROLE NONE;\nSET LOCAL statement_timeout = 0;\n\
     SET LOCAL lock_timeout = '60s';\nSET LOCAL idle_in_transaction_session_timeout = 0;\n\
     SET LOCAL search_path = pg_catalog, pg_temp;\n\
     SELECT WHERE (SELECT set_config(name, '0', true) FROM pg_settings \
     WHERE name = 'transaction_timeout') = '';\n";

/// The same for a session in which nothing is looked up and each statement is its own
/// transaction: somebody may hold a lock on a database for as long as he likes.
const ALONE: &str = "SET statement_timeout = 0;\nSET lock_timeout = '5s';\n";

/// In one statement that prints nothing: names come as the bytes that they are where they
/// should be UTF-8 or are in no encoding. In UTF-8 the server refuses what is none, and
/// psql leaves it out.
pub(super) const AS_IT_IS: &str = "SELECT WHERE \
     CASE WHEN current_setting('server_encoding') IN ('UTF8', 'SQL_ASCII') \
     THEN set_config('client_encoding', 'SQL_ASCII', true) = '' END;\n";

/// A psql that is to be started.
#[derive(Debug)]
pub struct Psql {
    tool: Tool,
    /// The restriction; empty where this psql knows none.
    first_line: String,
}

impl Psql {
    /// `tool` is `client` on its way to a database. Names come and go in UTF-8.
    pub(super) fn asking(tool: Tool, client: &Client) -> Result<Self, PostgresError> {
        let psql = Self::fed(tool, client)?;
        Ok(Self {
            tool: psql.tool.env("PGCLIENTENCODING", "UTF8"),
            ..psql
        })
    }

    /// One that is fed a dump, which says itself what it is written in.
    fn fed(tool: Tool, client: &Client) -> Result<Self, PostgresError> {
        let first_line = match client.knows_restrict() {
            true => format!("\\restrict {}", random_hex::<16>()?),
            false => String::new(),
        };
        let tool = tool.args(ARGUMENTS);
        Ok(Self { tool, first_line })
    }

    pub fn tool(&self) -> &Tool {
        &self.tool
    }

    /// What it reads first: the restriction, on a line of its own even if there is
    /// none, and then `sql`.
    pub fn opening(&self, sql: &Sql) -> Result<String, PostgresError> {
        Ok(format!("{}\n{}", self.first_line, sql.text()?))
    }

    /// Adds what it does when its input has ended.
    pub(super) fn then(self, sql: &Sql) -> Result<Self, PostgresError> {
        let command = format!("--command={}", sql.text()?);
        let tool = self.tool.arg(command);
        Ok(Self { tool, ..self })
    }

    /// Goes on behind a statement that fails, as if it had not been there: each has a
    /// savepoint of its own.
    pub fn going_on(self) -> Self {
        let tool = self
            .tool
            .args(["--set=ON_ERROR_STOP=0", "--set=ON_ERROR_ROLLBACK=on"]);
        Self { tool, ..self }
    }

    pub fn is_restricted(&self) -> bool {
        !self.first_line.is_empty()
    }
}

impl Server {
    /// A psql to be fed a dump for `database`.
    pub fn feed(&self, database: &str) -> Result<Psql, PostgresError> {
        Psql::fed(self.tool(self.psql(), database), self.psql())
    }

    /// A psql that is told one thing after the other.
    pub(super) fn dialog(&self, database: &str) -> Result<Psql, PostgresError> {
        Psql::asking(self.tool(self.psql(), database), self.psql())
    }

    /// Runs SQL in one transaction and gives what it prints, unaligned and
    /// without headers. `action` names it in errors: "list the databases".
    pub(super) fn query(
        &self,
        database: &str,
        action: &str,
        sql: &Sql,
    ) -> Result<String, PostgresError> {
        let whole = sql!(
            "BEGIN;\n{settings}{sql}\nCOMMIT;\n",
            settings = OUR_SETTINGS,
            sql = sql
        );
        self.run(database, action, &whole)
    }

    /// Statements that a server runs outside of a transaction only, such as CREATE
    /// DATABASE. Nothing in them may be looked up by a name without its schema.
    pub(super) fn run_alone(
        &self,
        database: &str,
        action: &str,
        sql: &Sql,
    ) -> Result<(), PostgresError> {
        let whole = sql!(
            "{alone}{sql}\nRESET lock_timeout;\nRESET statement_timeout;\n",
            alone = ALONE,
            sql = sql
        );
        self.run(database, action, &whole).map(drop)
    }

    /// Runs `sql` whole or not at all.
    pub fn run_in_transaction(
        &self,
        database: &str,
        action: &str,
        sql: &Sql,
    ) -> Result<(), PostgresError> {
        self.query(database, action, sql).map(drop)
    }

    /// A statement that gives one JSON value and changes nothing: whatever stands
    /// in a name, its quoting is the server's work.
    pub(super) fn query_json<T: DeserializeOwned>(
        &self,
        database: &str,
        action: &str,
        sql: &Sql,
    ) -> Result<T, PostgresError> {
        let whole = sql!(
            "BEGIN READ ONLY;\n{settings}{as_it_is}{sql}\nCOMMIT;\n",
            settings = OUR_SETTINGS,
            as_it_is = AS_IT_IS,
            sql = sql
        );
        let answer = ask(self.access(), self.psql(), database, action, &whole, None);
        let answer = answer.map_err(|error| self.refused_by(database, error))?;
        parse_json(&json_text(&answer), action)
    }

    fn run(&self, database: &str, action: &str, sql: &Sql) -> Result<String, PostgresError> {
        let answer = self.query_once(database, action, sql);
        answer.map_err(|error| self.refused_by(database, error))
    }

    /// [`Server::query_once`] in a session that is begun with these options.
    pub(super) fn query_with_options(
        &self,
        database: &str,
        action: &str,
        options: &str,
        sql: &Sql,
    ) -> Result<String, PostgresError> {
        let client = self.psql();
        let tool = self.access().tool(&client.path, database);
        let psql = Psql::asking(tool.env("PGOPTIONS", options), client)?;
        let answer = captured(self.access(), psql.tool(), action, &psql.opening(sql)?);
        text(answer?, action)
    }

    /// Nothing else is asked where `database` lets nobody in.
    pub(super) fn query_once(
        &self,
        database: &str,
        action: &str,
        sql: &Sql,
    ) -> Result<String, PostgresError> {
        text(
            ask(self.access(), self.psql(), database, action, sql, None)?,
            action,
        )
    }
}

/// The first question tells whether a server answers at all. Each host of a list has
/// a time limit of its own below this.
const FIRST_ANSWER_MAX: Duration = Duration::from_secs(300);

/// Not watched: short, and also what tidies up after a stop.
pub(super) fn ask(
    access: &Access,
    client: &Client,
    database: &str,
    action: &str,
    sql: &Sql,
    limit: Option<Duration>,
) -> Result<Vec<u8>, PostgresError> {
    let tool = access.tool(&client.path, database);
    let tool = match limit {
        Some(limit) => tool.answers_within(limit),
        None => tool,
    };
    let psql = Psql::asking(tool, client)?;
    let script = psql.opening(sql)?;
    captured(access, psql.tool(), action, &script)
}

fn captured(
    access: &Access,
    tool: &Tool,
    action: &str,
    script: &str,
) -> Result<Vec<u8>, PostgresError> {
    run_captured(tool, script.as_bytes()).map_err(|error| access.explain(error, action))
}

pub(super) fn text(answer: Vec<u8>, action: &str) -> Result<String, PostgresError> {
    String::from_utf8(answer).map_err(|error| PostgresError::Answer {
        action: action.to_owned(),
        detail: error.to_string(),
    })
}

/// JSON whose strings may hold bytes that are not UTF-8: each stands as `\xNN`, as in
/// names of the ledger.
pub(super) fn json_text(answer: &[u8]) -> String {
    let mut text = String::with_capacity(answer.len());
    for chunk in answer.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\\\x{byte:02x}"));
        }
    }
    text
}

/// Any psql at all, to ask the server what it is.
pub(super) fn any(access: &Access, clients: &ClientSearch) -> Result<PathBuf, PostgresError> {
    let psql = match access {
        Access::Direct(_) => clients.find_any(PSQL),
        Access::Docker(_) => Some(PathBuf::from(PSQL)),
    };
    psql.ok_or_else(|| PostgresError::ClientMissing {
        program: PSQL.to_owned(),
        major: 0,
        package: "postgresql-client".to_owned(),
        looked: "none at all".to_owned(),
    })
}

/// What a server says of itself at the first contact.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Introduction {
    pub version: ServerVersion,
    /// Where we are, and who.
    pub database: String,
    pub user: String,
}

/// Asked before it is known what `psql` knows. Nothing but text of this program
/// is sent. `None`: in the database that libpq takes by itself.
pub(super) fn introduce(
    access: &Access,
    psql: &Path,
    database: Option<&str>,
) -> Result<Introduction, PostgresError> {
    let action = "tell its version";
    let tool = match database {
        Some(database) => access.tool(psql, database),
        None => access.tool_to_default(psql),
    };
    let tool = tool
        .args(ARGUMENTS)
        .env("PGCLIENTENCODING", "UTF8")
        .answers_within(FIRST_ANSWER_MAX);
    let script = format!(
        "BEGIN READ ONLY;\n{OUR_SETTINGS}\
         SELECT json_build_object('version', json_build_object( \
         'number', current_setting('server_version_num')::int, \
         'text', current_setting('server_version')), \
         'database', current_database(), 'user', session_user);\nCOMMIT;\n"
    );
    let answer = captured(access, &tool, action, &script)?;
    parse_json(&json_text(&answer), action)
}

pub(super) fn parse_json<T: DeserializeOwned>(
    answer: &str,
    action: &str,
) -> Result<T, PostgresError> {
    serde_json::from_str(answer).map_err(|error| PostgresError::Answer {
        action: action.to_owned(),
        detail: error.to_string(),
    })
}
