//! The first contact with a server: whose answer counts, and for how long one that
//! is starting up is waited for.
//!
//! A client does not tell the SQLSTATE of a refused login, and the words are the
//! server's own: what is meant is asked, in another database or of `pg_isready`.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::psql::{self, Introduction};
use super::sql::{literal, sql};
use super::{Access, PostgresError, Server};
use crate::process::{ProcessError, is_stopping, run_captured};

/// Where to ask where the database that is meant lets nobody in.
const ELSEWHERE: [&str; 2] = ["postgres", "template1"];

/// How long a server that is starting up, or down, is waited for.
const STARTING_MAX: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(500);

const PG_ISREADY: &str = "pg_isready";
/// Its exit status where the server answers 57P03, `cannot_connect_now`.
const REJECTING: i32 = 1;

/// What the server says in the database that is meant, or elsewhere.
pub(super) struct Contact {
    pub introduction: Introduction,
    /// The refusal of the database that was meant, where it answered elsewhere.
    pub refusal: Option<PostgresError>,
}

impl Contact {
    /// `None`: the database that libpq takes by itself.
    pub fn make(
        access: &Access,
        psql: &Path,
        database: Option<&str>,
    ) -> Result<Self, PostgresError> {
        let refusal = match patiently(access, psql, database) {
            Ok(introduction) => {
                return Ok(Self {
                    introduction,
                    refusal: None,
                });
            }
            Err(refusal @ PostgresError::Refused { .. }) => refusal,
            Err(error) => return Err(error),
        };
        let elsewhere = ELSEWHERE.into_iter().filter(|name| Some(*name) != database);
        let mut told = elsewhere.map(|name| psql::introduce(access, psql, Some(name)));
        match told.find_map(Result::ok) {
            Some(introduction) => Ok(Self {
                introduction,
                refusal: Some(refusal),
            }),
            None => Err(refusal),
        }
    }

    /// The database that libpq took, by its own rule where that let nobody in;
    /// `None` where a file says it that only libpq reads.
    pub fn taken(&self, access: &Access) -> Option<String> {
        if self.refusal.is_none() {
            return Some(self.introduction.database.clone());
        }
        let Access::Direct(settings) = access else {
            return None;
        };
        settings.taken_database(&self.introduction.user)
    }
}

fn patiently(
    access: &Access,
    psql: &Path,
    database: Option<&str>,
) -> Result<Introduction, PostgresError> {
    let begun = Instant::now();
    let mut was_starting = false;
    loop {
        let answer = psql::introduce(access, psql, database);
        let refused = matches!(answer, Err(PostgresError::Refused { .. }));
        let patient = begun.elapsed() < STARTING_MAX && !is_stopping();
        if !refused || !patient {
            return answer;
        }
        let starts = is_starting(access, psql);
        // It may have come up between the two questions: then the first is asked again.
        if !starts && !was_starting {
            return answer;
        }
        was_starting = starts;
        thread::sleep(PAUSE);
    }
}

/// Without a `pg_isready` beside psql nobody knows, and nobody waits.
fn is_starting(access: &Access, psql: &Path) -> bool {
    let tool = access
        .bare_tool(&psql.with_file_name(PG_ISREADY))
        .arg("--quiet");
    let Err(ProcessError::Failed(failure)) = run_captured(&tool, b"") else {
        return false;
    };
    failure.status.code() == Some(REJECTING)
}

impl Server {
    /// Whether the server, asked in `ask_in`, has no such database.
    pub(super) fn lacks(&self, ask_in: &str, database: &str) -> Result<bool, PostgresError> {
        let sql = sql!(
            "SELECT pg_catalog.count(*) FROM pg_catalog.pg_database
              WHERE datname OPERATOR(pg_catalog.=) {name};\n",
            name = literal(database)
        );
        let answer = self.query_once(ask_in, "look for the database", &sql)?;
        Ok(answer.trim() == "0")
    }

    /// A refusal, as what it means: the database may not be there.
    pub(super) fn refused_by(&self, database: &str, error: PostgresError) -> PostgresError {
        if !matches!(error, PostgresError::Refused { .. }) {
            return error;
        }
        let elsewhere = ELSEWHERE.into_iter().filter(|name| *name != database);
        let mut told = elsewhere.map(|ask_in| self.lacks(ask_in, database));
        match told.find_map(Result::ok) {
            Some(true) => PostgresError::NoSuchDatabase {
                name: database.to_owned(),
                place: self.place(),
            },
            _ => error,
        }
    }
}
