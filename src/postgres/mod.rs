//! PostgreSQL servers and their client programs: how to reach a server, which
//! binaries match it, what its catalogues say, and how a database is staged
//! and swapped.
//!
//! Refuses passwords in arguments and clients older than the server. Every
//! question goes through `psql`: no protocol of our own. Reads no environment;
//! the settings are handed in.

mod archive_walls;
mod attributes;
mod catalogue;
mod clients;
mod connection;
mod container_directory;
mod container_environment;
mod converter;
pub mod default_privileges;
mod dialog;
mod discovery;
mod docker;
mod dump;
mod dump_options;
mod emptiness;
mod enclosure;
mod extensions;
mod fill_role;
mod hidden;
mod hold;
pub mod in_place;
mod in_the_way;
mod in_use;
mod keeper;
mod limits;
mod mark;
mod outcome;
mod pooler;
mod preflight;
pub mod preloads;
mod prepared;
mod psql;
mod public_schema;
mod reach;
mod read_only;
mod refusal;
mod restrict;
mod rights;
mod role_end;
mod roles;
mod room_watch;
mod server;
mod session_options;
mod sql;
mod staging;
mod stubs;
mod throwaway;
mod triggers;
mod watch;

use crate::checked::{SqlName, shell_word};
use crate::process::{Failure, ProcessError};

pub use attributes::DatabaseAttributes;
pub use catalogue::{DatabaseFacts, ListedDatabase, Locale};
pub use clients::{Client, ClientSearch};
pub use connection::ConnectionSettings;
pub use container_directory::ContainerDirectory;
pub use converter::Converter;
pub use discovery::{Engine, Wanted, find_container, look_at_engine};
pub use docker::{Container, DockerError, Login};
pub use dump::{DumpOptions, LedgerDumpError, dump_ledger};
pub use dump_options::DumpOption;
pub use fill_role::{FillRole, Filler};
pub use in_use::{Clients, InUse};
pub use keeper::SweptStaging;
pub use mark::{Leftover, Marks};
pub use outcome::{Outcome, TransactionMark};
pub use preflight::{Destination, Preflight, RestoreNeeds};
pub use psql::{PSQL, Psql};
pub use read_only::ReadOnly;
use refusal::Attempt;
pub(crate) use refusal::{failures, last_message, sqlstate, stopped_at};
pub use restrict::RestrictFilter;
pub use rights::Rights;
pub use roles::role_sql;
pub use server::{Access, Server, ServerVersion};
pub use session_options::{
    DEFAULT_PRIVILEGE_TYPE, PRIVILEGE_TYPES, SessionOptions, SessionSetting,
};
pub use sql::Sql;
pub use staging::StagedDatabase;
pub use stubs::StubRoles;
pub use throwaway::{ThrowawayCluster, ThrowawayOptions, missing_walls};

/// What a server or its client programs answered instead of doing it.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    #[error("the connection settings are not usable: {what}")]
    Settings { what: String },
    #[error("cannot reach PostgreSQL at {place}: {detail}")]
    NotReachable { place: String, detail: String },
    /// There may be a server: a time limit passed, or the connection broke.
    #[error("nothing more was heard from PostgreSQL at {place}: {detail}")]
    Silent { place: String, detail: String },
    /// A server, a pooler or a TLS library answered.
    #[error("PostgreSQL at {place} refused the login: {detail}")]
    Refused { place: String, detail: String },
    #[error("there is no database {name:?} at {place}; `psql -l` lists what is there")]
    NoSuchDatabase { name: String, place: String },
    #[error("the database {name:?} exists and is not empty; choose a new name or --replace it")]
    DatabaseExists { name: String },
    #[error("the database name {name:?} is not usable: {what}")]
    InvalidName { name: String, what: &'static str },
    #[error(
        "the name {name:?} is not used: {what}; the backup's manifest or the server holds what no \
         PostgreSQL would take, and nothing was run"
    )]
    UnfitName { name: String, what: &'static str },
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
        crate::checked::listed(.roles),
        remedy_for_roles(.globals.as_deref())
    )]
    MissingRoles {
        roles: Vec<SqlName>,
        /// The newest backup of the server's roles, if there is one.
        globals: Option<String>,
    },
    /// Something that a restore needs and the server does not have.
    #[error("{what}; {remedy}")]
    Obstacle { what: String, remedy: String },
    #[error("{source}; correct the pattern, or say --ignore-missing")]
    NothingMatches {
        #[source]
        source: ProcessError,
    },
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
    #[error("the dump stopped at its line {line}: {detail}")]
    Statement {
        line: u64,
        /// Five characters; empty where psql itself refused.
        sqlstate: String,
        detail: String,
        /// `routine, file.c:7` of the server's source, or empty.
        location: String,
    },
    #[error(
        "the old database could not be dropped; it stays as {name:?} until the next restore or \
         backup drops it: {source}"
    )]
    OldDatabaseKept {
        name: String,
        #[source]
        source: Box<PostgresError>,
    },
    #[error(
        "the restored database is not as it should be, by something that ran in it or beside it: \
         its {what}; look who changed it, and restore again"
    )]
    NotAsSaid { what: String },
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
    /// Reads a client's failure: by its SQLSTATE, else by libpq's own words.
    fn from_failure(error: ProcessError, action: &str, place: &str) -> Self {
        let ProcessError::Failed(failure) = error else {
            return Self::Process(error);
        };
        let place = place.to_owned();
        let detail = message(&failure);
        if let Some(sqlstate) = sqlstate(&failure.stderr) {
            return Self::from_sqlstate(sqlstate.to_owned(), action, detail);
        }
        // psql's own status for a connection that failed or broke.
        if failure.status.code() != Some(2) && !refusal::is_of_connecting(&failure.stderr) {
            return Self::Process(ProcessError::Failed(failure));
        }
        match refusal::attempt(&failure.stderr) {
            Attempt::Nobody => Self::NotReachable { place, detail },
            Attempt::Silent => Self::Silent { place, detail },
            Attempt::Answered => Self::Refused { place, detail },
        }
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
            // As pg_dump leaves the search path empty.
            Self::Statement { .. } if self.is_undefined_object() => Some(
                "does a function that it calls (a generated column's, an index's, a CHECK's) use \
                 names without their schema? `--set search_path=public` lets it find them while \
                 it is restored; for good: ALTER FUNCTION .. SET search_path",
            ),
            Self::Statement { sqlstate, .. } if sqlstate == "23514" => Some(
                "does the CHECK look into a table that comes later? Make it NOT VALID (ALTER \
                 TABLE .. DROP CONSTRAINT, ADD CONSTRAINT .. NOT VALID), and back up again: such \
                 a one is made behind the rows",
            ),
            Self::NotReachable { .. } => Some(
                "is the server running, and do host, port and TLS settings fit? \
                 `kluis config show` tells where they come from",
            ),
            Self::Silent { .. } => Some("is the server overloaded, or a firewall between?"),
            Self::Refused { .. } => Some(
                "by what it says: check user, password (URL, PGPASSWORD or a passfile), database, \
                 TLS settings, the server's pg_hba.conf and its connection limits",
            ),
            Self::Query { sqlstate, .. } if sqlstate == "55006" => Some(
                "sessions of roles whose sessions yours may not end are in it: end them, or GRANT \
                 pg_signal_backend to your role (no superuser's are ended by it)",
            ),
            Self::Query { sqlstate, .. } if sqlstate == "55P03" => Some(
                "a session of another role holds a lock on it for so long (pg_locks and \
                 pg_prepared_xacts tell whose): end it, or GRANT pg_signal_backend to your role",
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
            sqlstate,
            detail,
            location,
            ..
        } = self
        else {
            return !matches!(self, Self::Query { sqlstate, .. } if !is_class_of_place(sqlstate));
        };
        match sqlstate.as_str() {
            // psql's own words.
            "" => refusal::is_lost(detail),
            // The name of a setting is the same in every language.
            "55000" => detail.contains("shared_preload_libraries"),
            code => is_class_of_place(code) || refusal::is_of_the_server(code, location),
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
            "bring them back first with `kluis restore {} --in-place`, or make them with \
             CREATE ROLE",
            shell_word(backup)
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

/// `N` random bytes in hex: a name or a key that nobody could foresee.
pub(crate) fn random_hex<const N: usize>() -> Result<String, PostgresError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| PostgresError::Settings {
        what: format!("the system gives no random numbers: {error}"),
    })?;
    Ok(hex::encode(bytes))
}
