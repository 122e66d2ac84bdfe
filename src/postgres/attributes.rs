//! What belongs to a database but is not in its dump: owner, grants, settings,
//! comment, connection limit. Read from the old database, written as SQL for
//! the one that takes its place.

use serde::Deserialize;

use super::quote::{quote_identifier, quote_literal};
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

#[derive(Clone, Debug, Deserialize)]
pub struct DatabaseAttributes {
    pub owner: String,
    pub tablespace: String,
    pub comment: Option<String>,
    /// -1: no limit.
    pub connection_limit: i64,
    pub is_template: bool,
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
        let sql = format!(
            "SELECT json_build_object(
               'owner', pg_get_userbyid(d.datdba),
               'tablespace', (SELECT spcname FROM pg_tablespace WHERE oid = d.dattablespace),
               'comment', shobj_description(d.oid, 'pg_database'),
               'connection_limit', d.datconnlimit, 'is_template', d.datistemplate,
               'grants', CASE WHEN d.datacl IS NULL THEN NULL ELSE
                 (SELECT coalesce(json_agg(json_build_object(
                    'grantee', CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee) END,
                    'privilege', a.privilege_type, 'grantable', a.is_grantable)), '[]')
                  FROM aclexplode(d.datacl) a) END,
               'settings', (SELECT coalesce(json_agg(json_build_object(
                    'role', CASE WHEN s.setrole <> 0 THEN pg_get_userbyid(s.setrole) END,
                    'config', to_json(s.setconfig))), '[]')
                  FROM pg_db_role_setting s WHERE s.setdatabase = d.oid))
             FROM pg_database d WHERE d.datname = {};",
            quote_literal(name)
        );
        server.query_json(ask_in, "describe the database", &sql)
    }

    /// One transaction that gives `database` all of it.
    pub(super) fn to_sql(&self, database: &str) -> String {
        let name = quote_identifier(database);
        let owner = quote_identifier(&self.owner);
        let mut sql = format!(
            "BEGIN;\nALTER DATABASE {name} CONNECTION LIMIT {};\n",
            self.connection_limit
        );
        if let Some(comment) = &self.comment {
            let text = quote_literal(comment);
            sql += &format!("COMMENT ON DATABASE {name} IS {text};\n");
        }
        for set in &self.settings {
            let subject = match &set.role {
                None => format!("DATABASE {name}"),
                Some(role) => format!("ROLE {} IN DATABASE {name}", quote_identifier(role)),
            };
            for (setting, value) in set.config.iter().filter_map(|pair| pair.split_once('=')) {
                let (setting, value) = (quote_setting(setting), setting_value(setting, value));
                sql += &format!("ALTER {subject} SET {setting} TO {value};\n");
            }
        }
        // The owner first: what the grants below say is said by the owner.
        sql += &format!("ALTER DATABASE {name} OWNER TO {owner};\n");
        if let Some(grants) = &self.grants {
            sql += &format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC, {owner};\n");
            sql.extend(grants.iter().map(|grant| grant.to_sql(&name)));
        }
        if self.is_template {
            sql += &format!("ALTER DATABASE {name} IS_TEMPLATE true;\n");
        }
        sql + "COMMIT;\n"
    }
}

impl Grant {
    fn to_sql(&self, database: &str) -> String {
        let grantee = match &self.grantee {
            None => "PUBLIC".to_owned(),
            Some(role) => quote_identifier(role),
        };
        let option = if self.grantable {
            " WITH GRANT OPTION"
        } else {
            ""
        };
        let privilege = &self.privilege;
        format!("GRANT {privilege} ON DATABASE {database} TO {grantee}{option};\n")
    }
}

/// `myapp.tenant` is two names to SET.
fn quote_setting(name: &str) -> String {
    let parts: Vec<String> = name.split('.').map(quote_identifier).collect();
    parts.join(".")
}

fn setting_value(name: &str, value: &str) -> String {
    if !NAME_LISTS.contains(&name) {
        return quote_literal(value);
    }
    let names: Vec<String> = split_names(value)
        .iter()
        .map(|n| quote_literal(n))
        .collect();
    if names.is_empty() {
        return "''".to_owned();
    }
    names.join(", ")
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
        assert_eq!(setting_value("search_path", "\"$user\", x"), "'$user', 'x'");
        assert_eq!(setting_value("search_path", ""), "''");
        assert_eq!(setting_value("DateStyle", "ISO, DMY"), "'ISO, DMY'");
    }
}
