//! Settings of a database, for all roles or for one, as SQL that sets them. Pure.

use serde::Deserialize;

use super::role::Role;
use crate::postgres::sql::{Sql, identifier, literal, sql};

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

/// What ALTER DATABASE SET, or ALTER ROLE IN DATABASE SET, has set.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Settings {
    /// `None`: for every role.
    pub role: Option<Role>,
    /// Each `name=value`.
    pub config: Vec<String>,
}

impl Settings {
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.config.iter().filter_map(|pair| pair.split_once('='))
    }

    /// Each as the end of an ALTER.
    pub fn to_sql(&self) -> impl Iterator<Item = Sql> {
        self.pairs().map(|(setting, value)| {
            sql!(
                " SET {setting} TO {value}",
                setting = quote_setting(setting),
                value = setting_value(setting, value)
            )
        })
    }
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
pub(super) fn values(name: &str, value: &str) -> Vec<String> {
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
