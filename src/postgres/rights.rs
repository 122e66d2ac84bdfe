//! What the role we log in as may do, and what would make a dump fail or a
//! restore impossible.

use serde::Deserialize;

use super::sql::{Sql, sql};
use super::{PostgresError, Server};

/// The rights of the current role, asked in one database.
#[derive(Clone, Debug, Deserialize)]
pub struct Rights {
    pub role: String,
    pub superuser: bool,
    pub create_databases: bool,
    pub create_roles: bool,
    /// May read role passwords, which a dump of the globals holds.
    pub read_passwords: bool,
    /// Tables and sequences that the role may not read, at most ten of them:
    /// pg_dump stops at the first.
    pub unreadable: Vec<String>,
    /// All of them.
    pub unreadable_count: u64,
    /// Tables whose row-level security holds for this role: pg_dump refuses
    /// them rather than dump some of their rows. At most ten are named.
    pub row_security: Vec<String>,
    pub row_security_count: u64,
}

const USER_RELATIONS: &str = "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

impl Server {
    /// [`Rights`] in `database`.
    pub fn rights(&self, database: &str) -> Result<Rights, PostgresError> {
        let unreadable = sql!(
            "{relations} AND (c.relkind IN ('r', 'p', 'm') AND NOT has_table_privilege(c.oid, 'SELECT')
              OR c.relkind = 'S' AND NOT has_sequence_privilege(c.oid, 'SELECT'))",
            relations = USER_RELATIONS
        );
        let row_security = sql!(
            "{relations} AND c.relkind IN ('r', 'p') AND row_security_active(c.oid)",
            relations = USER_RELATIONS
        );
        let named = |relations: &Sql| {
            sql!(
                "(SELECT coalesce(json_agg(name), '[]') FROM
                  (SELECT format('%I.%I', n.nspname, c.relname) AS name
                     FROM {relations} ORDER BY 1 LIMIT 10) AS found)",
                relations = relations
            )
        };
        let sql = sql!(
            "SELECT json_build_object(
               'role', current_user, 'superuser', r.rolsuper,
               'create_databases', r.rolcreatedb OR r.rolsuper,
               'create_roles', r.rolcreaterole OR r.rolsuper,
               'read_passwords', has_table_privilege('pg_authid', 'SELECT'),
               'unreadable', {named_unreadable},
               'unreadable_count', (SELECT count(*) FROM {unreadable}),
               'row_security', {named_secured}, 'row_security_count', (SELECT count(*) FROM {row_security}))
             FROM pg_roles r WHERE r.rolname = current_user;",
            named_unreadable = named(&unreadable),
            unreadable = &unreadable,
            named_secured = named(&row_security),
            row_security = &row_security,
        );
        self.query_json(database, "tell its roles' rights", &sql)
    }
}
