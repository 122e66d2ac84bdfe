//! What a server's catalogues say: of a database (encoding, locale,
//! extensions, roles, size), of the databases there are, of our rights.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::quote::quote_literal;
use super::{PostgresError, Server, leftover};

/// The first object id that is not the system's own (`FirstNormalObjectId`).
const FIRST_USER_OID: u32 = 16_384;

/// How a database compares and classifies text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Locale {
    /// "UTF8".
    pub encoding: String,
    /// LC_COLLATE.
    pub collate: String,
    /// LC_CTYPE.
    pub ctype: String,
    /// "libc", "icu" or "builtin".
    pub provider: String,
    /// The ICU or built-in locale; libc has none.
    pub provider_locale: Option<String>,
}

/// What the manifest tells of a database besides its ledger.
#[derive(Clone, Debug, Deserialize)]
pub struct DatabaseFacts {
    #[serde(flatten)]
    pub locale: Locale,
    /// Name to version.
    pub extensions: BTreeMap<String, String>,
    /// Roles that own something or are granted something, sorted.
    pub roles: Vec<String>,
    /// Those of them that are superusers.
    pub superusers: Vec<String>,
    /// Tablespaces other than the database's own that relations lie in, sorted.
    pub tablespaces: Vec<String>,
    /// The session's settings that shape how values are written, and that a dump
    /// leaves as they are: lc_monetary.
    pub output_settings: BTreeMap<String, String>,
    /// On disk, indexes included.
    pub database_bytes: u64,
}

/// One of a server's databases.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ListedDatabase {
    pub name: String,
    /// Whether the role that we log in as may.
    pub may_connect: bool,
}

impl Server {
    /// [`DatabaseFacts`] of `database`.
    pub fn facts(&self, database: &str) -> Result<DatabaseFacts, PostgresError> {
        let (provider, locale) = self.locale_columns();
        let sql = format!(
            "WITH named AS (
               SELECT r.rolname, r.rolsuper FROM pg_shdepend s
                 JOIN pg_roles r ON r.oid = s.refobjid
                WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
                  AND s.refclassid = 'pg_authid'::regclass
               UNION {owned_by_bootstrap_superuser})
             SELECT json_build_object(
               'encoding', pg_encoding_to_char(d.encoding),
               'collate', d.datcollate, 'ctype', d.datctype,
               'provider', {provider}, 'provider_locale', {locale},
               'database_bytes', pg_database_size(d.oid),
               'extensions', (SELECT coalesce(json_object_agg(extname, extversion), '{{}}')
                              FROM pg_extension),
               'roles', (SELECT coalesce(json_agg(rolname ORDER BY rolname), '[]') FROM named),
               'superusers', (SELECT coalesce(json_agg(rolname ORDER BY rolname), '[]')
                              FROM named WHERE rolsuper),
               'tablespaces', (SELECT coalesce(json_agg(spcname ORDER BY spcname), '[]')
                               FROM pg_tablespace t WHERE spcname !~ '^pg_' AND EXISTS
                                 (SELECT FROM pg_class WHERE reltablespace = t.oid)),
               'output_settings', json_build_object(
                  'lc_monetary', current_setting('lc_monetary')))
             FROM pg_database d WHERE d.datname = current_database();",
            owned_by_bootstrap_superuser = bootstrap_superuser_if_owner(),
        );
        self.query_json(database, "describe the database", &sql)
    }

    /// The catalogue's columns for the locale provider, by server version.
    fn locale_columns(&self) -> (&'static str, &'static str) {
        let provider = "CASE d.datlocprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' \
                        ELSE 'libc' END";
        match self.version().major() {
            ..=14 => ("'libc'", "NULL"),
            15..=16 => (provider, "d.daticulocale"),
            _ => (provider, "d.datlocale"),
        }
    }

    /// The databases of the server, by name: no templates, no leftovers of
    /// restores. What refuses connections cannot be dumped.
    pub fn databases(&self, ask_in: &str) -> Result<Vec<ListedDatabase>, PostgresError> {
        let sql = "SELECT coalesce(json_agg(json_build_object('name', datname, 'may_connect',
                     datallowconn AND has_database_privilege(oid, 'CONNECT')) ORDER BY datname), '[]')
                     FROM pg_database WHERE NOT datistemplate;";
        let databases: Vec<ListedDatabase> = self.query_json(ask_in, "list the databases", sql)?;
        let lasting = |database: &ListedDatabase| leftover(&database.name).is_none();
        Ok(databases.into_iter().filter(lasting).collect())
    }

    /// Whether `role`, or else the one that we log in as, may read the
    /// passwords of roles.
    pub fn can_read_role_passwords(
        &self,
        ask_in: &str,
        role: Option<&str>,
    ) -> Result<bool, PostgresError> {
        let role = role.map_or_else(|| "current_user".to_owned(), quote_literal);
        let sql = format!(
            "SELECT to_json(has_table_privilege({role}, 'pg_catalog.pg_authid', 'SELECT'));"
        );
        self.query_json(ask_in, "tell its roles' rights", &sql)
    }

    /// Whether `name` is there, asked in another database.
    pub fn database_exists(&self, ask_in: &str, name: &str) -> Result<bool, PostgresError> {
        let sql = format!(
            "SELECT to_json(EXISTS (SELECT FROM pg_database WHERE datname = {}));",
            quote_literal(name)
        );
        self.query_json(ask_in, "look for the database", &sql)
    }

    /// Whether `database` holds nothing that a user made: no relation, type,
    /// function, schema, extension or large object.
    pub fn database_is_empty(&self, database: &str) -> Result<bool, PostgresError> {
        let sql = format!("SELECT to_json({});", emptiness());
        self.query_json(database, "look into the database", &sql)
    }

    /// Whether the role we log in as may create databases.
    pub fn can_create_databases(&self, ask_in: &str) -> Result<bool, PostgresError> {
        let sql = "SELECT to_json(rolcreatedb OR rolsuper) FROM pg_roles
                    WHERE rolname = current_user;";
        self.query_json(ask_in, "tell its roles' rights", sql)
    }

    /// Those of `roles` that the server does not have, in the given order.
    pub fn missing_roles(
        &self,
        ask_in: &str,
        roles: &[String],
    ) -> Result<Vec<String>, PostgresError> {
        if roles.is_empty() {
            return Ok(Vec::new());
        }
        let sql = "SELECT coalesce(json_agg(rolname), '[]') FROM pg_roles;";
        let present: Vec<String> = self.query_json(ask_in, "list the roles", sql)?;
        let missing = roles.iter().filter(|role| !present.contains(role));
        Ok(missing.cloned().collect())
    }

    /// A database to stand in while another is created, renamed or dropped:
    /// `postgres`, else `template1`; never `except` itself.
    pub fn maintenance_database(&self, except: &str) -> Result<String, PostgresError> {
        let mut refusal = None;
        for name in ["postgres", "template1"] {
            if name == except {
                continue;
            }
            match self.query(name, "answer", "SELECT 1;") {
                Ok(_) => return Ok(name.to_owned()),
                Err(error) => refusal = Some(error),
            }
        }
        Err(refusal.unwrap_or_else(|| PostgresError::NoSuchDatabase {
            name: "template1".to_owned(),
            place: self.place(),
        }))
    }
}

/// A condition in SQL: nothing in the database was made by a user.
pub(super) fn emptiness() -> String {
    let catalogues = [
        "pg_class",
        "pg_type",
        "pg_proc",
        "pg_namespace",
        "pg_extension",
        "pg_largeobject_metadata",
        "pg_collation",
        "pg_conversion",
        "pg_cast",
        "pg_operator",
        "pg_opclass",
        "pg_opfamily",
        "pg_am",
        "pg_language",
        "pg_transform",
        "pg_ts_config",
        "pg_ts_dict",
        "pg_ts_parser",
        "pg_ts_template",
        "pg_foreign_data_wrapper",
        "pg_foreign_server",
        "pg_publication",
        "pg_event_trigger",
    ];
    // Schemas of temporary tables stay when the tables are gone.
    let none_in = |table| {
        let lasting = match table {
            "pg_namespace" => " AND nspname !~ '^pg_(toast_)?temp_'",
            _ => "",
        };
        format!("NOT EXISTS (SELECT FROM {table} WHERE oid >= {FIRST_USER_OID}{lasting})")
    };
    catalogues.map(none_in).join(" AND ")
}

/// The first superuser's dependencies are never recorded (it is "pinned"), so
/// its ownership has to be looked up where owners stand.
fn bootstrap_superuser_if_owner() -> String {
    let owners = [
        ("pg_class", "relowner"),
        ("pg_type", "typowner"),
        ("pg_proc", "proowner"),
        ("pg_namespace", "nspowner"),
        ("pg_largeobject_metadata", "lomowner"),
        ("pg_foreign_server", "srvowner"),
        ("pg_event_trigger", "evtowner"),
        ("pg_publication", "pubowner"),
        ("pg_default_acl", "defaclrole"),
    ];
    let owns = |(table, owner)| {
        format!("EXISTS (SELECT FROM {table} WHERE {owner} = 10 AND oid >= {FIRST_USER_OID})")
    };
    format!(
        "SELECT rolname, rolsuper FROM pg_roles WHERE oid = 10 AND ({})",
        owners.map(owns).join(" OR ")
    )
}
