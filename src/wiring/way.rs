//! The way to the configured server: directly, or in its container.
//!
//! Invariant: with `auto` the second way is tried only before anything is
//! asked of a server. A server that answers and refuses is an error: behind the
//! other way may be another server, with other data. Where something is to
//! change, no other way stands in for the configured server at all.

use zeroize::Zeroizing;

use super::{Database, as_text, client_search};
use crate::config::{DatabaseSettings, DockerSettings, PgMode, Settings, Sourced};
use crate::postgres::{
    Access, ConnectionSettings, Container, DockerError, Login, PostgresError, Server, Wanted,
    find_container,
};
use crate::process::Runner;
use crate::series::{Place, server_label};

/// Those of libpq's variables that say where a server is.
const PLACES: [&str; 4] = ["PGHOST", "PGHOSTADDR", "PGPORT", "PGSERVICE"];

/// What a server is wanted for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It is asked; what is made on it goes again.
    Read,
    /// Databases or roles on it change: it has to be the one that was meant.
    Change,
}

/// What the ways are chosen by.
struct Ways<'a> {
    settings: &'a Settings,
    purpose: Purpose,
    /// The database that the command names.
    name: Option<&'a str>,
    /// PATH.
    path: Option<&'a str>,
}

pub(super) fn reach(
    settings: &Settings,
    purpose: Purpose,
    name: Option<&str>,
    path: Option<&str>,
) -> Result<Database, PostgresError> {
    let ways = Ways {
        settings,
        purpose,
        name,
        path,
    };
    match settings.database.mode.value {
        PgMode::Direct => ways.direct(&ways.connection()?),
        PgMode::Docker => ways.container(None),
        PgMode::Auto if says_where(&settings.database) => ways.direct_first(),
        PgMode::Auto => ways.container_first(),
    }
}

/// Whether the operator said which server is meant directly.
pub fn says_where(database: &DatabaseSettings) -> bool {
    let set = |name: &&str| database.libpq.get(*name).is_some_and(|v| !v.is_empty());
    database.url.is_some() || PLACES.iter().any(set)
}

impl Ways<'_> {
    fn direct_first(&self) -> Result<Database, PostgresError> {
        let connection = self.connection()?;
        let refusal = match self.direct(&connection) {
            Ok(database) => return Ok(because(database, "auto: the configured server answered")),
            Err(error) if nobody_answered(&error) => error,
            Err(error) => return Err(error),
        };
        if self.purpose == Purpose::Change {
            let direct = Box::new(refusal);
            return Err(PostgresError::NoStandIn { direct });
        }
        match self.container(connection.database()) {
            Ok(database) => {
                let reason = format!("auto: {}", first_line(&refusal));
                Ok(because(database, &reason))
            }
            Err(docker) => Err(no_way(refusal, docker)),
        }
    }

    fn container_first(&self) -> Result<Database, PostgresError> {
        let docker = match self.container(None) {
            Ok(database) => {
                return Ok(because(
                    database,
                    "auto: no server's URL or host is configured",
                ));
            }
            Err(error) if is_named(&self.settings.database.docker) || !is_not_there(&error) => {
                return Err(error);
            }
            Err(error) => error,
        };
        match self.direct(&self.connection()?) {
            Ok(database) => {
                let reason = "auto: no container is configured or found, and the server that \
                              libpq takes by itself answered";
                Ok(because(database, reason))
            }
            Err(direct) if nobody_answered(&direct) => Err(no_way(direct, docker)),
            Err(direct) => Err(direct),
        }
    }

    fn connection(&self) -> Result<ConnectionSettings, PostgresError> {
        let configured = &self.settings.database;
        let libpq = as_text(&configured.libpq)?;
        match &configured.url {
            Some(url) => ConnectionSettings::from_url(url.value.expose(), &libpq),
            None => Ok(ConnectionSettings::from_environment(&libpq)),
        }
    }

    /// The database that was said, before what a way itself says.
    fn said(&self) -> Option<&str> {
        let configured = self.settings.database.name.as_ref();
        self.name.or(configured.map(|name| name.value.as_str()))
    }

    fn direct(&self, connection: &ConnectionSettings) -> Result<Database, PostgresError> {
        let name = self.said().or(connection.url_database());
        let is_named = name.or(connection.database()).is_some();
        self.connect(Access::Direct(connection.clone()), name, is_named)
    }

    /// `of_url`: the database that the URL names which did not answer.
    fn container(&self, of_url: Option<&str>) -> Result<Database, PostgresError> {
        let docker = &self.settings.database.docker;
        let text =
            |value: &Option<Sourced<String>>| value.as_ref().map(|setting| setting.value.clone());
        let password = self.settings.database.libpq.get("PGPASSWORD");
        let password = password.and_then(|password| password.to_str());
        let (container, stand_in) = self.search(docker)?;
        let container = container.logging_in(Login {
            user: text(&docker.user),
            password: password.map(|text| Zeroizing::new(text.to_owned())),
            port: docker.port.as_ref().map(|port| port.value),
            socket: text(&docker.socket),
        })?;
        let configured = text(&docker.database);
        let name = self.said().or(configured.as_deref()).or(of_url);
        let is_named = name.is_some() || container.names_database();
        let name = match name {
            Some(name) => name.to_owned(),
            None => container.database()?.to_owned(),
        };
        let database = self.connect(Access::Docker(container), Some(&name), is_named)?;
        Ok(match stand_in {
            Some(reason) => Database {
                server: database.server.standing_in(reason),
                ..database
            },
            None => database,
        })
    }

    /// The container, and why it stands in for the one that is named: that may have
    /// another name by now. Where something is to change, nothing stands in.
    fn search(
        &self,
        docker: &DockerSettings,
    ) -> Result<(Container, Option<String>), PostgresError> {
        let not_there = match ContainerSearch::of(docker).find() {
            Err(error @ PostgresError::Docker(DockerError::NotRunning { .. })) => error,
            found => return Ok((found?, None)),
        };
        let by_flag = |name: &Sourced<String>| name.origin.is_flag();
        let may_be_another = docker.container.as_ref().is_some_and(|it| !by_flag(it));
        let other = unnamed(docker);
        if self.purpose == Purpose::Change || !may_be_another || other == Wanted::Default {
            return Err(not_there);
        }
        let reason = format!(
            "no container {} is running, but one {other}",
            wanted(docker)
        );
        let search = ContainerSearch {
            wanted: other,
            ..ContainerSearch::of(docker)
        };
        Ok((search.find()?, Some(reason)))
    }

    /// `name`: `None` is the database that libpq takes.
    fn connect(
        &self,
        access: Access,
        name: Option<&str>,
        is_named: bool,
    ) -> Result<Database, PostgresError> {
        let label = self.label(&access);
        let clients = client_search(self.settings, self.path);
        let (server, name) = Server::connect_to(access, clients, name)?;
        let server = server.marking(super::marks(self.settings));
        Ok(Database {
            server,
            name,
            is_named,
            label,
        })
    }

    /// By the way that was taken, as it was configured: a container's generated name
    /// says nothing, and another way may lead to another server.
    fn label(&self, access: &Access) -> String {
        let configured = &self.settings.database;
        if let Some(label) = &configured.server {
            return label.value.clone();
        }
        let wanted = wanted(&configured.docker);
        let place = match access {
            Access::Direct(connection) => connection.configured_place(),
            Access::Docker(_) => Place::Container(wanted.text()),
        };
        server_label(&place, &self.settings.host.value)
    }
}

/// The server's container, looked for when it is needed, and only for the
/// programs in it.
pub(super) struct ContainerSearch {
    command: Vec<String>,
    wanted: Wanted,
}

impl ContainerSearch {
    /// `None` where no container is meant.
    pub fn new(settings: &Settings) -> Option<Self> {
        let database = &settings.database;
        let is_meant = match database.mode.value {
            PgMode::Direct => false,
            PgMode::Docker => true,
            PgMode::Auto => is_named(&database.docker) || !says_where(database),
        };
        is_meant.then(|| Self::of(&database.docker))
    }

    fn of(docker: &DockerSettings) -> Self {
        Self {
            command: docker.command.value.clone(),
            wanted: wanted(docker),
        }
    }

    pub fn find(&self) -> Result<Container, PostgresError> {
        let runner = Runner::new(&self.command).ok_or_else(|| PostgresError::Settings {
            what: "docker_command names no program".to_owned(),
        })?;
        Ok(find_container(&runner, &self.wanted)?)
    }
}

fn wanted(docker: &DockerSettings) -> Wanted {
    match &docker.container {
        Some(name) => Wanted::Name(name.value.clone()),
        None => unnamed(docker),
    }
}

/// What is wanted where no name is said, or the one that is said is not there.
fn unnamed(docker: &DockerSettings) -> Wanted {
    match (&docker.label, &docker.pattern) {
        (Some(label), _) => Wanted::Label(label.value.clone()),
        (None, Some(pattern)) => Wanted::Pattern(pattern.value.clone()),
        (None, None) => Wanted::Default,
    }
}

fn is_named(docker: &DockerSettings) -> bool {
    wanted(docker) != Wanted::Default
}

/// Nothing listens there, or there is no program to ask with. A refused login
/// is an answer.
fn nobody_answered(error: &PostgresError) -> bool {
    matches!(
        error,
        PostgresError::NotReachable { .. } | PostgresError::ClientMissing { .. }
    )
}

/// No docker to ask, or no container to be found by it.
fn is_not_there(error: &PostgresError) -> bool {
    matches!(
        error,
        PostgresError::Docker(
            DockerError::NoProgram { .. }
                | DockerError::NoDaemon { .. }
                | DockerError::NotAllowed { .. }
                | DockerError::Failed { .. }
                | DockerError::NotRunning { .. }
        )
    )
}

fn no_way(direct: PostgresError, docker: PostgresError) -> PostgresError {
    PostgresError::NoWay {
        direct: Box::new(direct),
        docker: Box::new(docker),
    }
}

fn because(database: Database, reason: &str) -> Database {
    // A container that stands in for the one that was named says why itself.
    if database.server.stands_in() {
        return database;
    }
    Database {
        server: database.server.taken_because(reason),
        ..database
    }
}

/// libpq tells one line per address that it tried.
fn first_line(error: &PostgresError) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}
