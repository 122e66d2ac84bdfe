//! A server that answered: the way to it, its version, and the `psql` that
//! asks it. Every other program is built by [`Server::tool`], so a way of
//! access is an arm of [`Access`], and nobody else needs to know it.

use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::docker::{Container, DockerError};
use super::mark::Marks;
use super::psql::{self, PSQL};
use super::reach::Contact;
use super::sql::quote_conninfo;
use super::watch::Watch;
use super::{Client, ClientSearch, ConnectionSettings, Converter, PostgresError};
use crate::checked::RecordedOption;
use crate::process::{ProcessError, Tool};

/// What libpq's own libraries read: tickets, and the authorities of
/// `sslrootcert=system`. All else that a connection depends on stands in its
/// settings, and comes from nowhere else.
const LIBPQS_LIBRARIES: &[&str] = &[
    "KRB5CCNAME",
    "KRB5_CLIENT_KTNAME",
    "KRB5_CONFIG",
    "KRB5_KTNAME",
    "OPENSSL_CONF",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
];

/// Where nothing else is said, a server that accepts and stays silent is given up.
/// One that is very busy has answered by then.
const CONNECT_SECONDS_MAX: &str = "60";

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

    /// What to tell of a way that anybody between could read, and its remedy.
    pub fn in_clear(&self) -> Option<(String, &'static str)> {
        let Self::Direct(settings) = self else {
            return None;
        };
        settings.may_go_in_clear().then(|| {
            let place = settings.place();
            let what = format!("the connection to {place} may go without TLS, password and all");
            let remedy = "add sslmode=require or verify-full to its URL (PGSSLMODE); \
                          sslmode=disable says that it is meant";
            (what, remedy)
        })
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

    pub(super) fn tool(&self, program: &Path, database: &str) -> Tool {
        let tool = self.bare_tool(program);
        match self {
            Self::Direct(settings) => {
                let tool = tool.arg("--no-password");
                tool.args(settings.argument(Some(database)))
            }
            Self::Docker(_) => to_database(tool, database),
        }
    }

    /// A client on its way to the database that libpq takes by itself.
    pub(super) fn tool_to_default(&self, program: &Path) -> Tool {
        let tool = self.bare_tool(program).arg("--no-password");
        match self {
            Self::Direct(settings) => tool.args(settings.argument(None)),
            Self::Docker(_) => tool,
        }
    }

    /// Parameters of the URL that are another driver's.
    pub fn left_out_parameters(&self) -> &[String] {
        match self {
            Self::Direct(settings) => settings.ignored_parameters(),
            Self::Docker(_) => &[],
        }
    }

    /// A program on its way to the server, and to no database.
    pub(super) fn bare_tool(&self, program: &Path) -> Tool {
        match self {
            Self::Direct(settings) => direct_tool(settings, program),
            Self::Docker(container) => container.client_tool(program),
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

    pub(super) fn explain(&self, error: ProcessError, action: &str) -> PostgresError {
        let error = match self {
            Self::Direct(_) => error,
            Self::Docker(container) => match container.explain(error) {
                Ok(error) => return error.into(),
                Err(error) => error,
            },
        };
        PostgresError::from_failure(error, action, &self.place())
    }
}

/// As a connection string, so that no database name is taken for one.
pub(super) fn to_database(tool: Tool, database: &str) -> Tool {
    tool.arg("--no-password")
        .arg(format!("--dbname=dbname={}", quote_conninfo(database)))
}

fn direct_tool(settings: &ConnectionSettings, program: &Path) -> Tool {
    let mut tool = Tool::new(program).pass_env(LIBPQS_LIBRARIES);
    // libpq's own words are read to tell an answer from a server that is down.
    // Data is not touched by this.
    tool = tool.env("LC_ALL", "C").env("PGAPPNAME", "kluis");
    // Below a service's own, which libpq prefers.
    tool = tool.env("PGCONNECT_TIMEOUT", CONNECT_SECONDS_MAX);
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
    stands_in: bool,
    marks: Marks,
}

impl Server {
    /// Asks the server who it is and finds the `psql` that fits. `database` is
    /// where to ask; where it does not exist, another one is asked, so that a
    /// server can be reached before a restore.
    pub fn connect(
        access: Access,
        clients: ClientSearch,
        database: &str,
    ) -> Result<Self, PostgresError> {
        Self::connect_to(access, clients, Some(database)).map(|(server, _)| server)
    }

    /// The same; gives the database too: the one that libpq takes by itself where
    /// nobody names one.
    pub fn connect_to(
        access: Access,
        clients: ClientSearch,
        database: Option<&str>,
    ) -> Result<(Self, String), PostgresError> {
        let psql = psql::any(&access, &clients)?;
        let contact = Contact::make(&access, &psql, database)?;
        let taken = database
            .map(str::to_owned)
            .or_else(|| contact.taken(&access));
        let Contact {
            introduction,
            refusal,
        } = contact;
        let psql = access.client(&clients, PSQL, introduction.version.major())?;
        let mut server = Self {
            access,
            version: introduction.version,
            clients,
            psql,
            watch: None,
            way_reason: None,
            stands_in: false,
            marks: Marks::default(),
        };
        let asked_in = &introduction.database;
        let database = match (refusal, taken) {
            (None, Some(taken)) => taken,
            (Some(_), Some(taken)) if server.lacks(asked_in, &taken)? => taken,
            (Some(refusal), _) => return Err(refusal),
            (None, None) => asked_in.clone(),
        };
        server.refuse_shared_sessions(asked_in)?;
        server.watch = server.start_watch(&database)?;
        Ok((server, database))
    }

    /// Not in `database` itself if it can be helped: nobody could rename it.
    fn start_watch(&self, database: &str) -> Result<Option<Arc<Watch>>, PostgresError> {
        let Access::Docker(container) = &self.access else {
            return Ok(None);
        };
        let maintenance = self.maintenance_database(database)?;
        Watch::start(container, &self.psql, &maintenance).map(Some)
    }

    /// The same server for a login of another role; `None` where there is no way to
    /// log in as one.
    pub(super) fn as_role(&self, role: &str, password: Zeroizing<String>) -> Option<Self> {
        let Access::Direct(settings) = &self.access else {
            return None;
        };
        Some(Self {
            access: Access::Direct(settings.as_role(role, password)?),
            ..self.clone()
        })
    }

    /// What tells our keeper in the container; `None` where there is none.
    pub(super) fn watch_token(&self) -> Option<&str> {
        self.watch.as_ref().map(|watch| watch.token())
    }

    /// The databases that are made here are marked so, and those that are marked so
    /// are swept.
    #[must_use]
    pub fn marking(mut self, marks: Marks) -> Self {
        self.marks = marks;
        self
    }

    pub(super) fn marks(&self) -> &Marks {
        &self.marks
    }

    /// Says why this way to the server was taken, where nobody had said it.
    #[must_use]
    pub fn taken_because(mut self, reason: impl Into<String>) -> Self {
        self.way_reason = Some(reason.into());
        self
    }

    /// Says that it is not the server that was named, and why.
    #[must_use]
    pub fn standing_in(mut self, reason: impl Into<String>) -> Self {
        self.stands_in = true;
        self.taken_because(reason)
    }

    pub fn stands_in(&self) -> bool {
        self.stands_in
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

    /// The `pg_restore` that reads what `pg_dump`, a client of this server,
    /// writes; `options` are those that the dump was made with.
    pub fn converter(
        &self,
        pg_dump: &Client,
        options: &[RecordedOption],
    ) -> Result<Converter, PostgresError> {
        let major = pg_dump.major;
        match &self.access {
            Access::Direct(_) => Converter::find(&self.clients, Some(major), options),
            Access::Docker(container) => Converter::of_container(container, major, options),
        }
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
    pub fn explain(&self, error: ProcessError, action: &str) -> PostgresError {
        self.access.explain(error, action)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_connection_has_a_time_limit_and_the_operators_wins() {
        for (url, limit) in [
            ("postgres://h/x", "60"),
            ("postgres://h/x?connect_timeout=5", "5"),
            ("postgres://h/x?connect_timeout=0", "0"),
        ] {
            let settings = ConnectionSettings::from_url(url, &BTreeMap::new()).unwrap();
            let tool = Access::Direct(settings).tool(Path::new("psql"), "x");
            let wanted = format!("\"PGCONNECT_TIMEOUT\": \"{limit}\"");
            assert!(format!("{tool:?}").contains(&wanted), "{tool:?}");
        }
    }
}
