//! Triggers stay still while a dump fills a database: what they wrote is in the dump.
//! An event trigger that notes each command would else see the views refreshed that a
//! dump refreshes last of all.
//!
//! Owns how that is said. Where the role may not say it, they run, and what they write
//! shows when the copy is compared. Invariant: foreign keys are still looked at as they
//! are made, for no trigger does that.

use super::Server;
use super::sql::{Sql, identifier, sql};

/// Since then the right to a setting can be given.
const GRANTED_SETTINGS_MAJOR: u32 = 15;

impl Server {
    /// For the rest of the transaction, where the role may. One line, in which nothing is
    /// looked up but by its whole name.
    pub(super) fn without_triggers(&self) -> Sql {
        let may = match self.version().major() {
            ..GRANTED_SETTINGS_MAJOR => {
                "pg_catalog.current_setting('is_superuser')::pg_catalog.bool"
            }
            GRANTED_SETTINGS_MAJOR.. => {
                "pg_catalog.has_parameter_privilege('session_replication_role', 'SET')"
            }
        };
        sql!(
            "SELECT WHERE CASE WHEN {may} THEN \
             pg_catalog.set_config('session_replication_role', 'replica', true) IS NULL END;\n",
            may = may
        )
    }
}

/// For all sessions of a role that may not say it itself.
pub(super) fn without_triggers_as(role: &str) -> Sql {
    sql!(
        "ALTER ROLE {role} SET session_replication_role = replica;\n",
        role = identifier(role)
    )
}
