//! Limits of time that a role or a database sets for its sessions, and clients that do not
//! lift them as pg_dump does.

use super::{PostgresError, Server};
use crate::process::Tool;

/// As OUR_SETTINGS have it, with the major that each came with. Nobody's lock is waited
/// for longer than pg_dump waits for a table's.
const LIMITS: [(&str, u32); 5] = [
    ("statement_timeout=0", 0),
    ("lock_timeout=60s", 0),
    ("idle_in_transaction_session_timeout=0", 0),
    ("idle_session_timeout=0", 14),
    ("transaction_timeout=0", 17),
];

impl Server {
    /// `tool`, which asks in `database`, without the limits of its role. Where a pooler
    /// refuses a session with options, it stays as it is.
    pub fn unlimited(&self, tool: Tool, database: &str) -> Result<Tool, PostgresError> {
        let major = self.version().major();
        let known = LIMITS.iter().filter(|(_, since)| *since <= major);
        let limits: String = known.map(|(limit, _)| format!(" -c {limit}")).collect();
        let options = format!("{}{limits}", self.access().session_options());
        let options = options.trim_start();
        let action = "begin a session without limits";
        match self.query_with_options(database, action, options, &"SELECT 1;\n".into()) {
            Ok(_) => Ok(tool.env("PGOPTIONS", options)),
            Err(PostgresError::Refused { .. }) => Ok(tool),
            Err(error) => Err(error),
        }
    }
}
