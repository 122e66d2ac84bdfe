//! What a server tells of itself before a restore, all by one question.

use serde::Deserialize;

use crate::checked::SqlName;
use crate::postgres::catalogue::CAN_DO_EVERYTHING;
use crate::postgres::prepared::{self, Prepared};
use crate::postgres::sql::{literal, sql};
use crate::postgres::{PostgresError, Server};

/// The server's answers.
#[derive(Debug, Deserialize)]
pub(super) struct Facts {
    pub role: String,
    pub superuser: bool,
    /// Whether it is superuser or can become one.
    pub can_do_everything: bool,
    pub create_databases: bool,
    pub roles: Vec<SqlName>,
    /// Those of them that are superusers.
    pub superusers: Vec<SqlName>,
    /// Extensions that can be made.
    pub available: Vec<SqlName>,
    /// Those of them that a database's owner may make.
    pub trusted: Vec<SqlName>,
    pub tablespaces: Vec<SqlName>,
    /// `None`: the role may not see it.
    pub preloaded: Option<String>,
    pub data_directory: Option<String>,
    /// The database that stands at the destination.
    pub database: Option<Standing>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Standing {
    /// Which database it is, whatever becomes of its name.
    pub oid: u32,
    pub owner: String,
    /// Roles other than the owner that have a right on it, and PUBLIC, where that may
    /// do more than in a new one.
    pub given_to: Vec<String>,
    /// It has settings of its own.
    pub has_settings: bool,
    /// Whether the role may act as its owner.
    pub owned: bool,
    pub encoding: String,
    /// What would keep it from being renamed or dropped.
    pub holders: Vec<String>,
    /// The same, of which nothing is seen in sessions.
    pub prepared: Vec<Prepared>,
}

const TRUSTED: &str = "(SELECT coalesce(json_agg(name), '[]') FROM
    (SELECT name FROM pg_available_extension_versions
      GROUP BY name HAVING bool_and(trusted)) AS t)";

impl Server {
    pub(super) fn restore_facts(&self, ask_in: &str, name: &str) -> Result<Facts, PostgresError> {
        let sql = sql!(
            "SELECT json_build_object(
               'role', current_user, 'superuser', r.rolsuper,
               'can_do_everything', {can_do_everything},
               'create_databases', r.rolcreatedb OR r.rolsuper,
               'roles', (SELECT json_agg(rolname) FROM pg_roles),
               'superusers', (SELECT coalesce(json_agg(rolname), '[]') FROM pg_roles
                               WHERE rolsuper),
               'available', (SELECT coalesce(json_agg(name), '[]') FROM pg_available_extensions),
               'trusted', {trusted},
               'tablespaces', (SELECT json_agg(spcname) FROM pg_tablespace),
               'preloaded', (SELECT setting FROM pg_settings
                              WHERE name = 'shared_preload_libraries'),
               'data_directory', (SELECT setting FROM pg_settings
                                   WHERE name = 'data_directory'),
               'database', (SELECT json_build_object(
                  'oid', d.oid::bigint,
                  'given_to', (SELECT coalesce(json_agg(DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC'
                      ELSE pg_get_userbyid(a.grantee) END), '[]') FROM aclexplode(d.datacl) AS a
                      WHERE a.grantee NOT IN (0, d.datdba)
                        OR a.grantee = 0 AND a.privilege_type = 'CREATE'),
                  'has_settings', EXISTS (SELECT FROM pg_db_role_setting
                      WHERE setdatabase = d.oid),
                  'owner', pg_get_userbyid(d.datdba), 'owned', pg_has_role(d.datdba, 'MEMBER'),
                  'encoding', pg_encoding_to_char(d.encoding),
                  'holders', (SELECT coalesce(json_agg(h.holder), '[]') FROM (
                     SELECT 'the subscription ' || quote_ident(subname) AS holder
                       FROM pg_subscription WHERE subdbid = d.oid
                     UNION ALL SELECT 'the replication slot ' || quote_ident(slot_name)
                       FROM pg_replication_slots WHERE database = d.datname) AS h),
                  'prepared', {prepared})
                FROM pg_database d WHERE d.datname = {name}))
             FROM pg_roles r WHERE r.rolname = current_user;",
            can_do_everything = CAN_DO_EVERYTHING,
            prepared = prepared::of_row(),
            trusted = match self.version().major() {
                ..=12 => "'[]'::json",
                _ => TRUSTED,
            },
            name = literal(name)
        );
        self.query_json(ask_in, "tell what a restore needs", &sql)
    }
}
