//! What a server's catalogues say: of a database (encoding, locale,
//! extensions, roles, size), of the databases there are, of our rights.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::emptiness::{counts_itself, no_member};
use super::mark::Leftover;
use super::preloads::PRELOADED;
use super::sql::{Sql, literal, sql};
use super::{PostgresError, Server};
use crate::checked::SqlName;
use crate::format::manifest::OutputSettings;

/// The first object id that is not the system's own (`FirstNormalObjectId`).
pub(super) const FIRST_USER_OID: u32 = 16_384;

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
    pub extensions: BTreeMap<SqlName, String>,
    /// Roles that own something or are granted something, sorted.
    pub roles: Vec<SqlName>,
    /// Roles that own something. The database's own owner stands for pg_database_owner.
    pub owners: Vec<SqlName>,
    /// Whom the database belongs to.
    pub database_owner: SqlName,
    /// Those of all of them that are superusers.
    pub superusers: Vec<SqlName>,
    /// Tablespaces other than the database's own that relations lie in, sorted.
    pub tablespaces: Vec<SqlName>,
    /// The session's, which a dump leaves as they are.
    pub output_settings: OutputSettings,
    /// Libraries that the server loads when it starts; none where the role may not see it.
    pub preloads: Vec<String>,
    /// On disk, indexes included.
    pub database_bytes: u64,
}

/// One of a server's databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedDatabase {
    /// A byte that is not UTF-8 stands as `\xNN`.
    pub name: String,
    /// Whether that is its name, and can be said to the server.
    pub is_text: bool,
    /// Its comment calls it what another storage's restore has left: anybody may write
    /// that of what is his.
    pub says_leftover: bool,
    /// Whether the role that we log in as may.
    pub may_connect: bool,
}

impl Server {
    /// [`DatabaseFacts`] of `database`.
    pub fn facts(&self, database: &str) -> Result<DatabaseFacts, PostgresError> {
        let (provider, locale) = self.locale_columns();
        let sql = sql!(
            "WITH pinned AS (SELECT DISTINCT owner FROM ({owned_by_pinned_roles}) AS o),
             named AS (
               SELECT s.refobjid AS role, s.deptype = 'o' AS owns FROM pg_shdepend s
                WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
                  AND s.refclassid = 'pg_authid'::regclass
               UNION SELECT owner, true FROM pinned WHERE owner = 10),
             owning AS (
               SELECT role FROM named WHERE owns
               UNION SELECT CASE WHEN r.rolname = 'pg_database_owner' THEN d.datdba ELSE r.oid END
                 FROM pinned JOIN pg_roles r ON r.oid = owner, pg_database d
                WHERE d.datname = current_database())
             SELECT json_build_object(
               'encoding', pg_encoding_to_char(d.encoding),
               'collate', d.datcollate, 'ctype', d.datctype,
               'provider', {provider}, 'provider_locale', {locale},
               'database_bytes', pg_database_size(d.oid),
               'extensions', (SELECT coalesce(json_object_agg(extname, extversion), '{{}}')
                              FROM pg_extension),
               'roles', (SELECT {each_once} FROM named JOIN pg_roles r ON r.oid = role),
               'owners', (SELECT {each_once} FROM owning JOIN pg_roles r ON r.oid = role),
               'database_owner', pg_get_userbyid(d.datdba),
               'superusers', (SELECT {each_once} FROM pg_roles r WHERE rolsuper AND r.oid IN
                  (SELECT role FROM named UNION SELECT role FROM owning)),
               'tablespaces', (SELECT coalesce(json_agg(spcname ORDER BY spcname), '[]')
                               FROM pg_tablespace t WHERE spcname !~ '^pg_' AND EXISTS
                                 (SELECT FROM pg_class WHERE reltablespace = t.oid)),
               'preloads', {preloaded},
               'output_settings', json_build_object(
                  'lc_monetary', current_setting('lc_monetary')))
             FROM pg_database d WHERE d.datname = current_database();",
            owned_by_pinned_roles = owned_by_pinned_roles(),
            each_once = "coalesce(json_agg(DISTINCT rolname ORDER BY rolname), '[]')",
            provider = provider,
            locale = locale,
            preloaded = PRELOADED,
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

    /// A database's.
    pub fn encoding(&self, database: &str) -> Result<String, PostgresError> {
        let sql = "SELECT to_json(current_setting('server_encoding'));";
        self.query_json(database, "tell its encoding", &sql.into())
    }

    /// Whether the server has a setting of this name.
    pub fn knows_setting(&self, ask_in: &str, name: &str) -> Result<bool, PostgresError> {
        let sql = sql!(
            "SELECT to_json(EXISTS (SELECT FROM pg_settings WHERE name = {name}));",
            name = literal(name)
        );
        self.query_json(ask_in, "tell which settings it has", &sql)
    }

    /// The databases of the server, by name, but for the server's own templates and the
    /// leftovers of our restores. Any other template is somebody's: its owner can make
    /// one of it at any time. What refuses connections cannot be dumped.
    pub fn databases(&self, ask_in: &str) -> Result<Vec<ListedDatabase>, PostgresError> {
        #[derive(Deserialize)]
        struct Row {
            name: String,
            bytes: String,
            may_connect: bool,
            comment: Option<String>,
        }
        let sql = "SELECT coalesce(json_agg(json_build_object('name', datname,
                     'bytes', encode(textsend(datname::text), 'hex'), 'may_connect',
                     datallowconn AND has_database_privilege(oid, 'CONNECT'),
                     'comment', shobj_description(oid, 'pg_database')) ORDER BY datname), '[]')
                     FROM pg_database WHERE datname NOT IN ('template0', 'template1');";
        let rows: Vec<Row> = self.query_json(ask_in, "list the databases", &sql.into())?;
        let is_ours = |row: &Row| {
            [Leftover::Staging, Leftover::Kept]
                .into_iter()
                .any(|kind| self.marks().fits(kind, &row.name, row.comment.as_deref()))
        };
        let lasting = rows.into_iter().filter(|row| !is_ours(row));
        let listed = lasting.map(|row| ListedDatabase {
            is_text: hex::encode(&row.name) == row.bytes,
            says_leftover: Leftover::of(&row.name, row.comment.as_deref()).is_some(),
            name: row.name,
            may_connect: row.may_connect,
        });
        Ok(listed.collect())
    }

    /// Whether `role`, or else the one that we log in as, may read the
    /// passwords of roles.
    pub fn can_read_role_passwords(
        &self,
        ask_in: &str,
        role: Option<&str>,
    ) -> Result<bool, PostgresError> {
        let sql = sql!(
            "SELECT to_json(has_table_privilege({role}, 'pg_catalog.pg_authid', 'SELECT'));",
            role = role.map_or_else(|| "current_user".into(), literal)
        );
        self.query_json(ask_in, "tell its roles' rights", &sql)
    }

    /// Whether `name` is there, asked in another database.
    pub fn database_exists(&self, ask_in: &str, name: &str) -> Result<bool, PostgresError> {
        let sql = sql!(
            "SELECT to_json(EXISTS (SELECT FROM pg_database WHERE datname = {name}));",
            name = literal(name)
        );
        self.query_json(ask_in, "look for the database", &sql)
    }

    /// The number of the database `name`, which it keeps under any other name.
    pub(super) fn database_oid(&self, ask_in: &str, name: &str) -> Result<u32, PostgresError> {
        let sql = sql!(
            "SELECT to_json(oid::bigint) FROM pg_database WHERE datname = {name};",
            name = literal(name)
        );
        self.query_json(ask_in, "look for the database", &sql)
    }

    /// What the database of this number is called now; `None`: it is gone.
    pub(super) fn database_of(
        &self,
        ask_in: &str,
        oid: u32,
    ) -> Result<Option<String>, PostgresError> {
        let sql = sql!(
            "SELECT coalesce(to_json((SELECT datname FROM pg_database WHERE oid = {oid})), 'null');",
            oid = oid
        );
        self.query_json(ask_in, "look for the database", &sql)
    }

    /// Whether the role we log in as may create databases.
    pub fn can_create_databases(&self, ask_in: &str) -> Result<bool, PostgresError> {
        let sql = "SELECT to_json(rolcreatedb OR rolsuper) FROM pg_roles
                    WHERE rolname = current_user;";
        self.query_json(ask_in, "tell its roles' rights", &sql.into())
    }

    /// Whether code that runs in a session of ours could come to all rights: the role
    /// we log in as is superuser, or may become one.
    pub fn can_do_everything(&self, ask_in: &str) -> Result<bool, PostgresError> {
        let sql = sql!("SELECT to_json({can});", can = CAN_DO_EVERYTHING);
        self.query_json(ask_in, "tell its roles' rights", &sql)
    }

    /// Those of `roles` that the server does not have, in the given order.
    pub fn missing_roles(
        &self,
        ask_in: &str,
        roles: &[SqlName],
    ) -> Result<Vec<SqlName>, PostgresError> {
        if roles.is_empty() {
            return Ok(Vec::new());
        }
        let sql = "SELECT coalesce(json_agg(rolname), '[]') FROM pg_roles;";
        let present: Vec<SqlName> = self.query_json(ask_in, "list the roles", &sql.into())?;
        let missing = roles.iter().filter(|role| !present.contains(role));
        Ok(missing.cloned().collect())
    }

    /// A database to ask in about one that keeps its name: itself where that can be, as a
    /// role may have the right to connect to no other.
    pub(super) fn database_to_ask(&self, name: &str) -> Result<String, PostgresError> {
        match self.query(name, "answer", &"SELECT 1;".into()) {
            Ok(_) => Ok(name.to_owned()),
            Err(refusal) => self.maintenance_database(name).map_err(|_| refusal),
        }
    }

    /// A database to stand in while another is created, renamed or dropped:
    /// `postgres`, else `template1`; never `except` itself.
    pub fn maintenance_database(&self, except: &str) -> Result<String, PostgresError> {
        let mut refusal = None;
        for name in ["postgres", "template1"] {
            if name == except {
                continue;
            }
            match self.query(name, "answer", &"SELECT 1;".into()) {
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

/// A condition in SQL: the role is a superuser, a member of one, or may have the
/// server run programs or read and write its files. Who may create roles grants
/// itself that on servers before 16.
pub(super) const CAN_DO_EVERYTHING: &str = "EXISTS (SELECT FROM pg_roles
    WHERE pg_has_role(oid, 'MEMBER') AND (rolsuper OR rolname IN ('pg_execute_server_program',
      'pg_write_server_files', 'pg_read_server_files')
      OR rolcreaterole AND current_setting('server_version_num')::int < 160000))";

/// Dependencies on the first superuser and on the predefined roles are never recorded
/// (they are "pinned"), so their ownership has to be looked up where owners stand. What
/// an extension made is not in a dump, and belongs to the first superuser also where
/// another role made a trusted extension; the same holds for what goes with it (its
/// tables' indexes, its types' arrays).
fn owned_by_pinned_roles() -> Sql {
    let owners = [
        ("pg_class", "relowner"),
        ("pg_type", "typowner"),
        ("pg_proc", "proowner"),
        ("pg_namespace", "nspowner"),
        ("pg_largeobject_metadata", "lomowner"),
        ("pg_operator", "oprowner"),
        ("pg_opclass", "opcowner"),
        ("pg_opfamily", "opfowner"),
        ("pg_collation", "collowner"),
        ("pg_conversion", "conowner"),
        ("pg_language", "lanowner"),
        ("pg_statistic_ext", "stxowner"),
        ("pg_ts_config", "cfgowner"),
        ("pg_ts_dict", "dictowner"),
        ("pg_foreign_data_wrapper", "fdwowner"),
        ("pg_foreign_server", "srvowner"),
        ("pg_event_trigger", "evtowner"),
        ("pg_publication", "pubowner"),
        ("pg_default_acl", "defaclrole"),
    ];
    let owns = |(table, owner): (&'static str, &'static str)| {
        sql!(
            "SELECT {owner} AS owner FROM {table} AS t WHERE {owner} < {first} AND oid >= {first}{own}
               AND {no_member}",
            table = table,
            owner = owner,
            first = FIRST_USER_OID,
            own = counts_itself(table),
            no_member = no_member(table)
        )
    };
    Sql::joined(&owners.map(owns), " UNION ALL ")
}
