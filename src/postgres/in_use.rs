//! How large a database is, and who is in it: what an operator should know before it
//! is replaced.

use serde::Deserialize;

use super::sql::{literal, sql};
use super::{PostgresError, Server};

/// Of a database that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct InUse {
    /// `None`: the role may not ask for it.
    pub bytes: Option<u64>,
    /// Sessions of clients by role and program, the most first.
    pub clients: Vec<Clients>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Clients {
    pub role: String,
    /// As the program calls itself; may be empty.
    pub program: String,
    pub sessions: u64,
}

impl Server {
    /// What a swap ends: sessions of which nothing is told (another role's) count too.
    pub fn in_use(&self, database: &str) -> Result<InUse, PostgresError> {
        let ask_in = self.database_to_ask(database)?;
        let sql = sql!(
            "SELECT json_build_object(
               'bytes', (SELECT CASE WHEN has_database_privilege(oid, 'CONNECT')
                                     THEN pg_database_size(oid) END
                           FROM pg_database WHERE datname = {name}),
               'clients', (SELECT coalesce(json_agg(c ORDER BY c.sessions DESC, c.role, c.program),
                                           '[]') FROM
                 (SELECT coalesce(usename, '?') AS role, coalesce(application_name, '') AS program,
                         count(*) AS sessions
                    FROM pg_stat_activity
                   WHERE datname = {name} AND pid <> pg_backend_pid()
                     AND coalesce(backend_type, 'client backend') = 'client backend'
                   GROUP BY 1, 2) AS c));",
            name = literal(database)
        );
        self.query_json(&ask_in, "tell who uses the database", &sql)
    }
}
