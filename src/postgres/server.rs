//! A server that answered: the way to it, its version, and the `psql` that
//! asks it. Every other program is built by [`Server::tool`], so a way of
//! access is an arm of [`Access`], and nobody else needs to know it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::docker::{Container, DockerError};
use super::quote::quote_conninfo;
use super::watch::Watch;
use super::{Client, ClientSearch, ConnectionSettings, Converter, PostgresError};
use crate::process::{ProcessError, Tool, run_captured};

/// Variables that would change what a client says or connects to, or that are
/// nobody else's business; children do not inherit them from us.
pub(super) const NOT_INHERITED: &[&str] = &[
    "BACKUP_ENCRYPTION_KEY",
    "BACKUP_TRIGGER_API_KEY",
    "BACKUP_WEBHOOK_SECRET",
    "BACKUP_WEBHOOK_URL",
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
    /// The client programs run in the server's container, over its socket.
    Docker(Container),
}

impl Access {
    /// Where the server is, for messages.
    pub fn place(&self) -> String {
        match self {
            Self::Direct(settings) => settings.place(),
            Self::Docker(container) => format!("the container {}", container.name()),
        }
    }

    /// "direct" or "docker", as the manifest's `mode` says it.
    pub fn mode(&self) -> &'static str {
        match self {
            Self::Direct(_) => "direct",
            Self::Docker(_) => "docker",
        }
    }

    /// The container's name, where the server is reached in one.
    pub fn container(&self) -> Option<&str> {
        match self {
            Self::Direct(_) => None,
            Self::Docker(container) => Some(container.name()),
        }
    }

    /// Whether paths that the server tells are paths of this machine, as far as
    /// its address tells.
    pub(super) fn is_local(&self) -> bool {
        match self {
            Self::Direct(settings) => settings.is_local(),
            Self::Docker(_) => false,
        }
    }

    /// What the connection settings already ask of a session: `-c name=value`.
    pub(super) fn session_options(&self) -> &str {
        match self {
            Self::Direct(settings) => {
                let options = settings.variables().get("PGOPTIONS");
                options.map_or("", String::as_str)
            }
            Self::Docker(_) => "",
        }
    }

    fn tool(&self, program: &Path, database: &str) -> Tool {
        match self {
            Self::Direct(settings) => direct_tool(settings, program, database),
            Self::Docker(container) => container.tool(program, database),
        }
    }

    fn client(
        &self,
        clients: &ClientSearch,
        program: &str,
        major: u32,
    ) -> Result<Client, PostgresError> {
        match self {
            Self::Direct(_) => clients.find(program, major),
            Self::Docker(container) => container.client(program, major),
        }
    }

    /// Any psql at all, to ask the server what it is.
    fn any_psql(&self, clients: &ClientSearch) -> Result<PathBuf, PostgresError> {
        let psql = match self {
            Self::Direct(_) => clients.find_any("psql"),
            Self::Docker(_) => Some(PathBuf::from("psql")),
        };
        psql.ok_or_else(|| PostgresError::ClientMissing {
            program: "psql".to_owned(),
            major: 0,
            package: "postgresql-client".to_owned(),
            looked: "none at all".to_owned(),
        })
    }

    fn explain(&self, error: ProcessError, action: &str, database: &str) -> PostgresError {
        let error = match self {
            Self::Direct(_) => error,
            Self::Docker(container) => match container.explain(error) {
                Ok(error) => return error.into(),
                Err(error) => error,
            },
        };
        PostgresError::from_failure(error, action, database, &self.place())
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
    /// Where sessions could outlive us: in a container.
    watch: Option<Arc<Watch>>,
    way_reason: Option<String>,
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
        let psql = access.any_psql(&clients)?;
        let mut version = Err(no_database(&access, database));
        for candidate in [database, "postgres", "template1"] {
            version = ask_version(&access, &psql, candidate);
            if !matches!(version, Err(PostgresError::NoSuchDatabase { .. })) {
                break;
            }
        }
        let version = version?;
        let psql = access.client(&clients, "psql", version.major())?;
        let mut server = Self {
            access,
            version,
            clients,
            psql,
            watch: None,
            way_reason: None,
        };
        server.watch = server.start_watch(database)?;
        Ok(server)
    }

    /// Not in `database` itself if it can be helped: nobody could rename it.
    fn start_watch(&self, database: &str) -> Result<Option<Arc<Watch>>, PostgresError> {
        let Access::Docker(container) = &self.access else {
            return Ok(None);
        };
        let maintenance = self.maintenance_database(database)?;
        Watch::start(container, &self.psql, &maintenance).map(Some)
    }

    /// What tells our keeper in the container; `None` where there is none.
    pub(super) fn watch_token(&self) -> Option<&str> {
        self.watch.as_ref().map(|watch| watch.token())
    }

    /// Says why this way to the server was taken, where nobody had said it.
    #[must_use]
    pub fn taken_because(mut self, reason: impl Into<String>) -> Self {
        self.way_reason = Some(reason.into());
        self
    }

    /// Why this way was taken; `None` where it was said.
    pub fn way_reason(&self) -> Option<&str> {
        self.way_reason.as_deref()
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
        self.access
            .client(&self.clients, program, self.version.major())
    }

    /// A client program on its way to `database` of this server; its own
    /// arguments are still to be added.
    pub fn tool(&self, client: &Client, database: &str) -> Tool {
        let tool = self.access.tool(&client.path, database);
        let major = self.version.major();
        match &self.watch {
            Some(watch) => watch.over(tool),
            None => tool.install_hint(format!("install the package postgresql-client-{major}")),
        }
    }

    /// Runs SQL and gives what it prints, unaligned and without headers.
    /// `action` names it in errors: "list the databases".
    pub(super) fn query(
        &self,
        database: &str,
        action: &str,
        sql: &str,
    ) -> Result<String, PostgresError> {
        // Not watched: short, and also what tidies up after a stop.
        let tool = query_tool(self.access.tool(&self.psql.path, database));
        run_query(&self.access, &tool, database, action, sql)
    }

    /// The `pg_restore` that reads what `pg_dump`, a client of this server,
    /// writes; `options` are those that the dump was made with.
    pub fn converter(
        &self,
        pg_dump: &Client,
        options: &[String],
    ) -> Result<Converter, PostgresError> {
        let major = pg_dump.major;
        match &self.access {
            Access::Direct(_) => Converter::find(&self.clients, Some(major), options),
            Access::Docker(container) => Converter::of_container(container, major, options),
        }
    }

    /// Runs `sql` whole or not at all.
    pub fn run_in_transaction(
        &self,
        database: &str,
        action: &str,
        sql: &str,
    ) -> Result<(), PostgresError> {
        let script = format!("BEGIN;\n{sql}\nCOMMIT;");
        self.query(database, action, &script).map(|_| ())
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

    /// What became of the server's container, where that is what ended a
    /// program of this server; any other failure is given back.
    pub fn lost(&self, error: ProcessError) -> Result<DockerError, ProcessError> {
        match &self.access {
            Access::Direct(_) => Err(error),
            Access::Docker(container) => container.explain(error),
        }
    }

    /// Names the failure of a program of this server.
    pub fn explain(&self, error: ProcessError, action: &str, database: &str) -> PostgresError {
        self.access.explain(error, action, database)
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
    let answer = run_query(access, &tool, database, action, sql)?;
    parse_json(&answer, action)
}

fn query_tool(tool: Tool) -> Tool {
    tool.args(["--no-psqlrc", "--no-align", "--tuples-only", "--quiet"])
        .args(["--set=ON_ERROR_STOP=1", "--set=VERBOSITY=verbose"])
        .args(["--file=-"])
        .env("PGCLIENTENCODING", "UTF8")
}

fn run_query(
    access: &Access,
    tool: &Tool,
    database: &str,
    action: &str,
    sql: &str,
) -> Result<String, PostgresError> {
    // A database can put its own functions before the system's; not for us.
    let script = format!("SET search_path = '';\n{sql}\n");
    let output = run_captured(tool, script.as_bytes())
        .map_err(|error| access.explain(error, action, database))?;
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
