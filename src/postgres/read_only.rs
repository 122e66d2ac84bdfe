//! Whether a server takes writes from us: a standby takes none, and a setting may
//! forbid them.

use serde::Deserialize;

use super::{PostgresError, Server};

/// Why nothing can be restored there, and what to do.
#[derive(Debug)]
pub struct ReadOnly {
    pub what: String,
    pub remedy: &'static str,
}

impl Server {
    /// Asked in a database whose own settings count; `None` where it takes writes.
    pub fn read_only(&self, ask_in: &str) -> Result<Option<ReadOnly>, PostgresError> {
        #[derive(Deserialize)]
        struct Answer {
            standby: bool,
            read_only: bool,
        }
        let sql = "SELECT json_build_object('standby', pg_is_in_recovery(), 'read_only',
                     (SELECT setting = 'on' FROM pg_settings
                       WHERE name = 'default_transaction_read_only'));";
        let answer: Answer =
            self.query_json(ask_in, "tell whether it takes writes", &sql.into())?;
        let place = self.place();
        Ok(match answer {
            Answer { standby: true, .. } => Some(ReadOnly {
                what: format!("the server at {place} is a standby, which takes no writes"),
                remedy: "restore to its primary, or promote it (SELECT pg_promote())",
            }),
            Answer {
                read_only: true, ..
            } => Some(ReadOnly {
                what: format!(
                    "default_transaction_read_only is on at {place}, so nothing can be written"
                ),
                remedy: "turn it off for the role (ALTER ROLE .. SET default_transaction_read_only \
                         = off), or for this restore (PGOPTIONS='-c \
                         default_transaction_read_only=off')",
            }),
            _ => None,
        })
    }
}
