//! A server that answered: the way to it, its version, and the `psql` that
//! asks it. Every other program is built by [`Server::tool`], so a new way of
//! access is one more arm of [`Access`].

use std::path::Path;

use serde::de::DeserializeOwned;

use super::quote::quote_conninfo;
use super::{Client, ClientSearch, ConnectionSettings, PostgresError};
use crate::process::{Tool, run_captured};

/// Variables that would change what a client says or connects to, or that are
/// nobody else's business; children do not inherit them from us.
const NOT_INHERITED: &[&str] = &[
    "BACKUP_ENCRYPTION_KEY",
    "BACKUP_TRIGGER_API_KEY",
    "BACKUP_WEBHOOK_SECRET",
    "DATABASE_URL",
    "PGAPPNAME",
    "PGCLIENTENCODING",
    "PGDATABASE",
    "PGDATESTYLE",
    "PGHOST",
    "PGHOSTADDR",
    "PGOPTIONS",
    "PGPASSFILE",
    "PGPASSWORD",
    "PGPORT",
    "PGSERVICE",
    "PGSSLMODE",
    "PGTZ",
    "PGUSER",
];

/// The way to a server.
#[derive(Clone, Debug)]
pub enum Access {
    /// The client programs run here and connect over a socket or TCP.
    Direct(ConnectionSettings),
}

impl Access {
    /// Where the server is, for messages.
    pub fn place(&self) -> String {
        match self {
            Self::Direct(settings) => settings.place(),
        }
    }

    /// "direct", as the manifest's `mode` says it.
    pub fn mode(&self) -> &'static str {
        match self {
            Self::Direct(_) => "direct",
        }
    }

    /// Whether paths that the server tells are paths of this machine, as far as
    /// its address tells.
    pub(super) fn is_local(&self) -> bool {
        match self {
            Self::Direct(settings) => settings.is_local(),
        }
    }

    /// What the connection settings already ask of a session: `-c name=value`.
    pub(super) fn session_options(&self) -> &str {
        match self {
            Self::Direct(settings) => {
                let options = settings.variables().get("PGOPTIONS");
                options.map_or("", String::as_str)
            }
        }
    }

    fn tool(&self, program: &Path, database: &str) -> Tool {
        match self {
            Self::Direct(settings) => direct_tool(settings, program, database),
        }
    }
}

fn direct_tool(settings: &ConnectionSettings, program: &Path, database: &str) -> Tool {
    let mut tool = Tool::new(program)
        .arg("--no-password")
        // As a connection string, so that no database name is taken for one.
        .arg(format!("--dbname=dbname={}", quote_conninfo(database)));
    for name in NOT_INHERITED {
        tool = tool.env_remove(*name);
    }
    // What is meant of these stands in the settings; ours may mean another server.
    for name in ConnectionSettings::known_variables() {
        tool = tool.env_remove(name);
    }
    // English messages: they are read to tell a refused login from a server
    // that is down. Data is not touched by this.
    tool = tool.env("LC_ALL", "C").env("PGAPPNAME", "kluis");
    for (name, value) in settings.variables() {
        tool = tool.env(name, value);
    }
    match settings.password() {
        Some(password) => tool.secret_env("PGPASSWORD", password.clone()),
        None => tool,
    }
}

/// As `server_version_num` and `server_version` say it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct ServerVersion {
    /// 150018 for 15.18.
    pub number: u32,
    /// "15.18 (Debian 15.18-0+deb12u1)".
    pub text: String,
}

impl ServerVersion {
    pub fn major(&self) -> u32 {
        self.number / 10_000
    }
}

/// A server that was reached once and told its version.
#[derive(Clone, Debug)]
pub struct Server {
    access: Access,
    version: ServerVersion,
    clients: ClientSearch,
    psql: Client,
}

impl Server {
    /// Asks the server who it is and finds the `psql` that fits. `database` is
    /// where to ask; where it does not exist, `postgres` and `template1` are
    /// tried, so that a server can be reached before a restore.
    pub fn connect(
        access: Access,
        clients: ClientSearch,
        database: &str,
    ) -> Result<Self, PostgresError> {
        let psql = clients
            .find_any("psql")
            .ok_or_else(|| PostgresError::ClientMissing {
                program: "psql".to_owned(),
                major: 0,
                package: "postgresql-client".to_owned(),
                looked: "none at all".to_owned(),
            })?;
        let mut version = Err(no_database(&access, database));
        for candidate in [database, "postgres", "template1"] {
            version = ask_version(&access, &psql, candidate);
            if !matches!(version, Err(PostgresError::NoSuchDatabase { .. })) {
                break;
            }
        }
        let version = version?;
        let psql = clients.find("psql", version.major())?;
        Ok(Self {
            access,
            version,
            clients,
            psql,
        })
    }

    pub fn version(&self) -> &ServerVersion {
        &self.version
    }

    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Where the server is, for messages.
    pub fn place(&self) -> String {
        self.access.place()
    }

    pub fn psql(&self) -> &Client {
        &self.psql
    }

    /// The client program that fits this server: `pg_dump`, `pg_restore`, ...
    pub fn client(&self, program: &str) -> Result<Client, PostgresError> {
        self.clients.find(program, self.version.major())
    }

    /// A client program on its way to `database` of this server; its own
    /// arguments are still to be added.
    pub fn tool(&self, client: &Client, database: &str) -> Tool {
        let major = self.version.major();
        self.access
            .tool(&client.path, database)
            .install_hint(format!("install the package postgresql-client-{major}"))
    }

    /// Runs SQL and gives what it prints, unaligned and without headers.
    /// `action` names it in errors: "list the databases".
    pub(super) fn query(
        &self,
        database: &str,
        action: &str,
        sql: &str,
    ) -> Result<String, PostgresError> {
        let tool = query_tool(self.tool(&self.psql, database));
        run_query(&tool, database, action, sql, &self.place())
    }

    /// [`Server::query`] of a statement that gives one JSON value: whatever
    /// stands in a name, its quoting is the server's work.
    pub(super) fn query_json<T: DeserializeOwned>(
        &self,
        database: &str,
        action: &str,
        sql: &str,
    ) -> Result<T, PostgresError> {
        parse_json(&self.query(database, action, sql)?, action)
    }

    /// Names the failure of a program of this server.
    pub fn explain(
        &self,
        error: crate::process::ProcessError,
        action: &str,
        database: &str,
    ) -> PostgresError {
        PostgresError::from_failure(error, action, database, &self.place())
    }
}

fn no_database(access: &Access, name: &str) -> PostgresError {
    PostgresError::NoSuchDatabase {
        name: name.to_owned(),
        place: access.place(),
    }
}

fn ask_version(
    access: &Access,
    psql: &Path,
    database: &str,
) -> Result<ServerVersion, PostgresError> {
    let action = "tell its version";
    let tool = query_tool(access.tool(psql, database));
    let sql = "SELECT json_build_object('number', current_setting('server_version_num')::int, \
               'text', current_setting('server_version'));";
    let answer = run_query(&tool, database, action, sql, &access.place())?;
    parse_json(&answer, action)
}

fn query_tool(tool: Tool) -> Tool {
    tool.args(["--no-psqlrc", "--no-align", "--tuples-only", "--quiet"])
        .args(["--set=ON_ERROR_STOP=1", "--set=VERBOSITY=verbose"])
        .args(["--file=-"])
        .env("PGCLIENTENCODING", "UTF8")
}

fn run_query(
    tool: &Tool,
    database: &str,
    action: &str,
    sql: &str,
    place: &str,
) -> Result<String, PostgresError> {
    // A database can put its own functions before the system's; not for us.
    let script = format!("SET search_path = '';\n{sql}\n");
    let output = run_captured(tool, script.as_bytes())
        .map_err(|error| PostgresError::from_failure(error, action, database, place))?;
    String::from_utf8(output).map_err(|error| PostgresError::Answer {
        action: action.to_owned(),
        detail: error.to_string(),
    })
}

fn parse_json<T: DeserializeOwned>(answer: &str, action: &str) -> Result<T, PostgresError> {
    serde_json::from_str(answer).map_err(|error| PostgresError::Answer {
        action: action.to_owned(),
        detail: error.to_string(),
    })
}
