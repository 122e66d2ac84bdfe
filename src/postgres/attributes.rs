//! What belongs to a database but is not in its dump: owner, grants, settings,
//! comment, connection limit. Read from the old database, written as SQL for
//! the one that takes its place.
//!
//! Invariant: that SQL says all of it, so that nothing is left of what code in a dump
//! has made of the new database.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::mark::without_mark;
use super::sql::{Sql, identifier, literal, sql};
use super::{PostgresError, Server};

/// Settings whose value is a list of quoted names: each is a literal of its
/// own in SET, or the list would become one name (pg_dump keeps this list too).
const NAME_LISTS: &[&str] = &[
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// No limit.
const UNLIMITED: i64 = -1;
/// What a new database grants by itself.
const TO_PUBLIC: [&str; 2] = ["CONNECT", "TEMPORARY"];
const TO_OWNER: [&str; 3] = ["CONNECT", "CREATE", "TEMPORARY"];

#[derive(Clone, Debug, Deserialize)]
pub struct DatabaseAttributes {
    /// Which database it is, whatever it is called.
    pub oid: u32,
    pub owner: String,
    pub tablespace: String,
    pub comment: Option<String>,
    pub connection_limit: i64,
    pub is_template: bool,
    pub allows_connections: bool,
    /// `None`: the built-in default was never changed.
    grants: Option<Vec<Grant>>,
    settings: Vec<Settings>,
}

#[derive(Clone, Debug, Deserialize)]
struct Grant {
    /// `None`: PUBLIC.
    grantee: Option<String>,
    /// CONNECT, CREATE or TEMPORARY.
    privilege: String,
    grantable: bool,
}

/// What ALTER DATABASE SET, or ALTER ROLE IN DATABASE SET, has set.
#[derive(Clone, Debug, Deserialize)]
struct Settings {
    /// `None`: for every role.
    role: Option<String>,
    /// Each `name=value`.
    config: Vec<String>,
}

impl DatabaseAttributes {
    /// Reads them, asked in another database.
    pub(super) fn read(server: &Server, ask_in: &str, name: &str) -> Result<Self, PostgresError> {
        let sql = sql!(
            "SELECT json_build_object(
               'oid', d.oid::bigint, 'owner', pg_get_userbyid(d.datdba),
               'tablespace', (SELECT spcname FROM pg_tablespace WHERE oid = d.dattablespace),
               'comment', shobj_description(d.oid, 'pg_database'),
               'connection_limit', d.datconnlimit, 'is_template', d.datistemplate,
               'allows_connections', d.datallowconn,
               'grants', CASE WHEN d.datacl IS NULL THEN NULL ELSE
                 (SELECT coalesce(json_agg(json_build_object(
                    'grantee', CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee) END,
                    'privilege', a.privilege_type, 'grantable', a.is_grantable)), '[]')
                  FROM aclexplode(d.datacl) a) END,
               'settings', (SELECT coalesce(json_agg(json_build_object(
                    'role', CASE WHEN s.setrole <> 0 THEN pg_get_userbyid(s.setrole) END,
                    'config', to_json(s.setconfig))), '[]')
                  FROM pg_db_role_setting s WHERE s.setdatabase = d.oid))
             FROM pg_database d WHERE d.datname = {name};",
            name = literal(name)
        );
        let read: Self = server.query_json(ask_in, "describe the database", &sql)?;
        Ok(Self {
            comment: read
                .comment
                .as_deref()
                .and_then(without_mark)
                .map(str::to_owned),
            // A database whose drop was cut short has a limit that nobody can set.
            connection_limit: read.connection_limit.max(UNLIMITED),
            ..read
        })
    }

    /// Those of a database that was just made, and is open as any new one is.
    pub(super) fn as_new(&self) -> Self {
        Self {
            comment: None,
            connection_limit: UNLIMITED,
            is_template: false,
            allows_connections: true,
            grants: None,
            settings: Vec::new(),
            ..self.clone()
        }
    }

    /// One transaction that gives `database`, which has `now`, all of it but the
    /// comment, which goes with the name, and the tablespace, which it was made in.
    pub(super) fn instead_of(&self, now: &Self, database: &str) -> Sql {
        let name = &identifier(database);
        let owner = &identifier(&self.owner);
        let mut sql = sql!(
            "ALTER DATABASE {name} CONNECTION LIMIT {limit};\n\
             ALTER DATABASE {name} IS_TEMPLATE {is_template};\n\
             ALTER DATABASE {name} RESET ALL;\n",
            name = name,
            limit = self.connection_limit,
            is_template = self.is_template
        );
        for role in now.settings.iter().filter_map(|set| set.role.as_deref()) {
            sql += sql!(
                "ALTER ROLE {role} IN DATABASE {name} RESET ALL;\n",
                role = identifier(role),
                name = name
            );
        }
        for set in &self.settings {
            sql += set.to_sql(name);
        }
        // The owner first: what the grants below say is said by the owner.
        sql += sql!(
            "ALTER DATABASE {name} OWNER TO {owner};\n",
            name = name,
            owner = owner
        );
        // All that there is goes back to a grant of the owner's, and goes with it.
        let granted = now.granted();
        let grantees: BTreeSet<Option<&str>> = granted.keys().map(|(to, _)| *to).collect();
        for grantee in grantees
            .into_iter()
            .chain([None, Some(self.owner.as_str())])
        {
            sql += sql!(
                "REVOKE ALL ON DATABASE {name} FROM {grantee} CASCADE;\n",
                name = name,
                grantee = grantee_sql(grantee)
            );
        }
        for (grantee, privilege, grantable) in self.granted_in_order() {
            sql += grant_sql(name, privilege, grantee, grantable);
        }
        // At last: nobody need enter it from here on.
        sql += sql!(
            "ALTER DATABASE {name} ALLOW_CONNECTIONS {allowed};\n",
            name = name,
            allowed = self.allows_connections
        );
        sql
    }

    /// Each right that is granted, whether it may be passed on; PUBLIC is no role.
    fn granted(&self) -> BTreeMap<(Option<&str>, &'static str), bool> {
        let Some(grants) = &self.grants else {
            let to_public = TO_PUBLIC.map(|right| ((None, right), false));
            let to_owner = TO_OWNER.map(|right| ((Some(self.owner.as_str()), right), false));
            return to_public.into_iter().chain(to_owner).collect();
        };
        let mut granted = BTreeMap::new();
        for Grant {
            grantee,
            privilege,
            grantable,
        } in grants
        {
            // A privilege of a newer server has no name here.
            if let Some(known) = TO_OWNER.into_iter().find(|known| known == privilege) {
                *granted.entry((grantee.as_deref(), known)).or_default() |= grantable;
            }
        }
        granted
    }

    /// The same as they stand there, which is how a dump writes them: grantees in the
    /// order in which they first got something.
    fn granted_in_order(&self) -> Vec<(Option<&str>, &'static str, bool)> {
        let place = |grantee: Option<&str>| {
            let mut grants = self.grants.iter().flatten();
            grants.position(|grant| grant.grantee.as_deref() == grantee)
        };
        let granted = self.granted().into_iter();
        let mut all: Vec<_> = granted
            .map(|((grantee, privilege), grantable)| (grantee, privilege, grantable))
            .collect();
        all.sort_by_key(|(grantee, ..)| place(*grantee));
        all
    }

    /// In what `found` is not so, the comment aside.
    pub(super) fn differences(&self, found: &Self) -> Vec<&'static str> {
        let same = [
            ("owner", self.owner == found.owner),
            ("tablespace", self.tablespace == found.tablespace),
            (
                "connection limit",
                self.connection_limit == found.connection_limit,
            ),
            ("template flag", self.is_template == found.is_template),
            (
                "leave to connect",
                self.allows_connections == found.allows_connections,
            ),
            ("grants", self.granted() == found.granted()),
            ("settings", self.set_to() == found.set_to()),
        ];
        let differs = same.into_iter().filter(|(_, same)| !same);
        differs.map(|(what, _)| what).collect()
    }

    /// By role and name.
    fn set_to(&self) -> BTreeMap<(Option<&str>, &str), Vec<String>> {
        let all = self.settings.iter().flat_map(|set| {
            let role = set.role.as_deref();
            set.pairs().map(move |(name, value)| (role, name, value))
        });
        all.map(|(role, name, value)| ((role, name), values(name, value)))
            .collect()
    }
}

impl Settings {
    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.config.iter().filter_map(|pair| pair.split_once('='))
    }

    fn to_sql(&self, database: &Sql) -> Sql {
        let subject = match &self.role {
            None => sql!("DATABASE {database}", database = database),
            Some(role) => sql!(
                "ROLE {role} IN DATABASE {database}",
                role = identifier(role),
                database = database
            ),
        };
        let mut sql = Sql::default();
        for (setting, value) in self.pairs() {
            sql += sql!(
                "ALTER {subject} SET {setting} TO {value};\n",
                subject = &subject,
                setting = quote_setting(setting),
                value = setting_value(setting, value)
            );
        }
        sql
    }
}

fn grantee_sql(grantee: Option<&str>) -> Sql {
    grantee.map_or_else(|| "PUBLIC".into(), identifier)
}

fn grant_sql(database: &Sql, privilege: &'static str, to: Option<&str>, grantable: bool) -> Sql {
    sql!(
        "GRANT {privilege} ON DATABASE {database} TO {grantee}{option};\n",
        privilege = privilege,
        database = database,
        grantee = grantee_sql(to),
        option = match grantable {
            true => " WITH GRANT OPTION",
            false => "",
        }
    )
}

/// `myapp.tenant` is two names to SET.
fn quote_setting(name: &str) -> Sql {
    let parts: Vec<Sql> = name.split('.').map(identifier).collect();
    Sql::joined(&parts, ".")
}

fn setting_value(name: &str, value: &str) -> Sql {
    let values: Vec<Sql> = values(name, value).iter().map(|v| literal(v)).collect();
    if values.is_empty() {
        return "''".into();
    }
    Sql::joined(&values, ", ")
}

/// The names of a list; else the value as it is.
fn values(name: &str, value: &str) -> Vec<String> {
    if !NAME_LISTS.contains(&name) {
        return vec![value.to_owned()];
    }
    let names = split_names(value).into_iter();
    names.filter(|name| !name.is_empty()).collect()
}

/// `"$user", public` as its names, quotes undone.
fn split_names(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = list.trim();
    while !rest.is_empty() {
        let (name, after) = match rest.strip_prefix('"') {
            Some(quoted) => unquoted(quoted),
            None => {
                let (name, after) = rest.split_once(',').unwrap_or((rest, ""));
                (name.trim().to_owned(), after)
            }
        };
        names.push(name);
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
    names
}

/// The name up to its closing quote, and what follows that.
fn unquoted(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut rest = text;
    while let Some((piece, after)) = rest.split_once('"') {
        name += piece;
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return (name, after),
        }
    }
    (name + rest, "")
}

#[cfg(test)]
mod tests {
    use super::{setting_value, split_names};

    #[test]
    fn name_lists_are_split_at_commas_outside_quotes() {
        assert_eq!(
            split_names("\"$user\", public,\"a, \"\"b\"\"\" , c"),
            ["$user", "public", "a, \"b\"", "c"]
        );
    }

    #[test]
    fn a_list_is_several_literals_and_other_values_are_one() {
        for (setting, value, wanted) in [
            ("search_path", "\"$user\", x", "'$user', 'x'"),
            ("search_path", "", "''"),
            ("DateStyle", "ISO, DMY", "'ISO, DMY'"),
        ] {
            let sql = setting_value(setting, value);
            assert_eq!(sql.text().unwrap(), wanted);
        }
    }
}
