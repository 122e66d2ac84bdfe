//! PostgreSQL servers and their client programs: how to reach a server, which
//! binaries match it, what its catalogues say, and how a database is staged
//! and swapped.
//!
//! Refuses passwords in arguments and clients older than the server. Every
//! question goes through `psql`: no protocol of our own. Reads no environment;
//! the settings are handed in.

mod attributes;
mod catalogue;
mod clients;
mod connection;
mod container_directory;
mod converter;
mod discovery;
mod docker;
mod dump;
mod dump_options;
mod extensions;
pub mod in_place;
mod keeper;
mod large_objects;
mod preflight;
mod quote;
mod restrict;
mod rights;
mod server;
mod staging;
mod stubs;
mod throwaway;
mod watch;

use crate::process::{Failure, ProcessError};

pub use attributes::DatabaseAttributes;
pub use catalogue::{DatabaseFacts, ListedDatabase, Locale};
pub use clients::{Client, ClientSearch};
pub use connection::ConnectionSettings;
pub use container_directory::ContainerDirectory;
pub use converter::Converter;
pub use discovery::{Engine, Wanted, find_container, look_at_engine};
pub use docker::{Container, DockerError};
pub use dump::{DumpOptions, LedgerDumpError, dump_ledger};
pub use dump_options::check_dump_option;
pub use keeper::SweptStaging;
pub use large_objects::LargeObjectFilter;
pub use preflight::{Destination, Preflight, RestoreNeeds};
pub use quote::{quote_identifier, quote_literal};
pub use restrict::RestrictFilter;
pub use rights::Rights;
pub use server::{Access, Server, ServerVersion};
pub use staging::{Leftover, StagedDatabase, leftover};
pub use stubs::StubRoles;
pub use throwaway::{ThrowawayCluster, ThrowawayOptions};

/// What a server or its client programs answered instead of doing it.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    #[error("the connection settings are not usable: {what}")]
    Settings { what: String },
    #[error("cannot reach PostgreSQL at {place}: {detail}")]
    NotReachable { place: String, detail: String },
    #[error("PostgreSQL at {place} refused the login: {detail}")]
    AuthenticationFailed { place: String, detail: String },
    #[error("there is no database {name:?} at {place}; `psql -l` lists what is there")]
    NoSuchDatabase { name: String, place: String },
    #[error("the database {name:?} exists and is not empty; choose a new name or --replace it")]
    DatabaseExists { name: String },
    #[error("the database name {name:?} is not usable: {what}")]
    InvalidName { name: String, what: &'static str },
    #[error("the server refused to {action}: {detail}; grant the right or use another role")]
    PermissionDenied { action: String, detail: String },
    #[error(
        "no `{program}` of PostgreSQL {major} or newer was found ({looked}); install the Debian \
         package {package}, or set the directory of the client programs"
    )]
    ClientMissing {
        program: String,
        major: u32,
        package: String,
        looked: String,
    },
    #[error(
        "roles that the dump needs are missing on the server: {}; {}",
        .roles.join(", "),
        remedy_for_roles(.globals.as_deref())
    )]
    MissingRoles {
        roles: Vec<String>,
        /// The newest backup of the server's roles, if there is one.
        globals: Option<String>,
    },
    /// Something that a restore needs and the server does not have.
    #[error("{what}; {remedy}")]
    Obstacle { what: String, remedy: String },
    #[error("{} things are in the way of the restore:{}", .obstacles.len(), listed(.obstacles))]
    NotReady { obstacles: Vec<PostgresError> },
    #[error("the server could not {action}: {detail}")]
    Query {
        action: String,
        /// Five characters; empty where the client told none.
        sqlstate: String,
        detail: String,
    },
    #[error("the server's answer to \"{action}\" was not understood: {detail}")]
    Answer { action: String, detail: String },
    #[error(
        "the dump stopped at its line {line}: {detail}; nothing was changed, the half-restored \
         copy is removed"
    )]
    Statement {
        line: u64,
        /// Five characters; empty where psql itself refused.
        sqlstate: String,
        detail: String,
    },
    #[error(
        "the restored database is in place, but the old one could not be dropped; it stays as \
         {name:?} until the next restore or backup drops it: {source}"
    )]
    OldDatabaseKept {
        name: String,
        #[source]
        source: Box<PostgresError>,
    },
    #[error("the throwaway server could not be started: {what}")]
    Throwaway { what: String },
    #[error("it cannot be proven here: {what}; {remedy}")]
    NotProvable { what: String, remedy: String },
    #[error(transparent)]
    Scratch(#[from] crate::scratch::ScratchError),
    #[error(transparent)]
    Docker(#[from] DockerError),
    #[error("neither way to a server leads to one; directly: {direct}; in a container: {docker}")]
    NoWay {
        direct: Box<PostgresError>,
        #[source]
        docker: Box<PostgresError>,
    },
    /// The configured server, and that one only, is to change.
    #[error(
        "{direct}; a restore goes to no other server instead: make this one reachable, or say \
         --mode docker if the container's server is meant"
    )]
    NoStandIn { direct: Box<PostgresError> },
    #[error(transparent)]
    Process(#[from] ProcessError),
}

impl PostgresError {
    /// Reads a client's failure. The clients run with LC_ALL=C, so what they
    /// say themselves is English; what the server says may not be, and then
    /// the general kinds below carry its words.
    fn from_failure(error: ProcessError, action: &str, database: &str, place: &str) -> Self {
        let ProcessError::Failed(failure) = error else {
            return Self::Process(error);
        };
        let place = place.to_owned();
        let detail = message(&failure);
        if let Some(sqlstate) = sqlstate(&detail) {
            return Self::from_sqlstate(sqlstate.to_owned(), action, detail);
        }
        if ["password", "pg_hba.conf", "authentication", "role \""]
            .iter()
            .any(|sign| detail.contains(sign))
        {
            return Self::AuthenticationFailed { place, detail };
        }
        if detail.contains("FATAL:  database \"") && detail.contains("does not exist") {
            let name = database.to_owned();
            return Self::NoSuchDatabase { name, place };
        }
        if detail.contains("permission denied for database") {
            let action = action.to_owned();
            return Self::PermissionDenied { action, detail };
        }
        // psql's own status for a connection that failed or broke.
        if failure.status.code() == Some(2) || detail.contains("connection to server") {
            return Self::NotReachable { place, detail };
        }
        Self::Process(ProcessError::Failed(failure))
    }

    fn from_sqlstate(sqlstate: String, action: &str, detail: String) -> Self {
        let action = action.to_owned();
        match sqlstate.as_str() {
            "42501" => Self::PermissionDenied { action, detail },
            _ => Self::Query {
                action,
                sqlstate,
                detail,
            },
        }
    }

    /// What the operator can do about it, where the message does not say it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotReachable { .. } => Some(
                "is the server running, and do host, port and TLS settings fit? \
                 `kluis config show` tells where they come from",
            ),
            Self::AuthenticationFailed { .. } => Some(
                "check user, password (URL, PGPASSWORD or a passfile) and the server's \
                 pg_hba.conf",
            ),
            Self::NoWay { direct, .. } | Self::NoStandIn { direct } => direct.hint(),
            _ => None,
        }
    }

    /// Whether the server's situation is the reason: no room, no right, an
    /// extension or a locale that is not installed, an end of the connection.
    /// What was to be done may be fine elsewhere.
    pub fn is_of_the_place(&self) -> bool {
        let Self::Statement {
            sqlstate, detail, ..
        } = self
        else {
            return !matches!(self, Self::Query { sqlstate, .. } if !is_class_of_place(sqlstate));
        };
        let names = |signs: &[&str]| signs.iter().any(|sign| detail.contains(sign));
        match sqlstate.as_str() {
            // psql's own words.
            "" => names(&["connection"]),
            "22023" => names(&["locale"]),
            "42704" => names(&["role \"", "tablespace \"", "collation \""]),
            "55000" => names(&["shared_preload_libraries"]),
            code => is_class_of_place(code),
        }
    }

    /// Whether something is missing that the statement refers to: a relation,
    /// a schema, a type, a function.
    pub fn is_undefined_object(&self) -> bool {
        matches!(self.sqlstate(), Some("42P01" | "3F000" | "42704" | "42883"))
    }

    /// The SQLSTATE of a refused statement, where there is one.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Query { sqlstate, .. } | Self::Statement { sqlstate, .. } => Some(sqlstate),
            _ => None,
        }
    }
}

/// By SQLSTATE: connections, resources, an operator's stop, the system, bugs of
/// the server; features it does not have, rights.
fn is_class_of_place(sqlstate: &str) -> bool {
    let classes = ["08", "53", "57", "58", "XX"];
    classes.iter().any(|class| sqlstate.starts_with(class)) || matches!(sqlstate, "0A000" | "42501")
}

fn remedy_for_roles(globals: Option<&str>) -> String {
    match globals {
        Some(backup) => format!(
            "bring them back first with `kluis restore {backup} --in-place`, or make them with \
             CREATE ROLE"
        ),
        None => "make them first with CREATE ROLE (there is no backup of the server's roles; \
                 `kluis backup db --globals` makes one)"
            .to_owned(),
    }
}

fn listed(errors: &[PostgresError]) -> String {
    errors.iter().map(|error| format!("\n- {error}")).collect()
}

fn message(failure: &Failure) -> String {
    match failure.stderr.trim() {
        "" => format!("`{}` ended with {}", failure.program, failure.status),
        text => text.to_owned(),
    }
}

/// The code in `ERROR:  42P01: ...`, as psql prints it with VERBOSITY=verbose.
pub(crate) fn sqlstate(stderr: &str) -> Option<&str> {
    let (_, after) = stderr.split_once("ERROR:  ")?;
    let (code, _) = after.split_once(": ")?;
    let plausible = code.len() == 5 && code.bytes().all(|b| b.is_ascii_alphanumeric());
    plausible.then_some(code)
}

/// `N` random bytes in hex: a name or a key that nobody could foresee.
pub(crate) fn random_hex<const N: usize>() -> Result<String, PostgresError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| PostgresError::Settings {
        what: format!("the system gives no random numbers: {error}"),
    })?;
    Ok(hex::encode(bytes))
}
