//! How a restore is to differ from what the dump says: without its owners or its grants,
//! as another role, with other settings. Pure.
//!
//! Owns which settings may be set for the session that a dump fills. Refuses those by
//! which the dump's text would mean something else than was read in it, and those that
//! have options of their own.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::Server;
use super::sql::{Sql, identifier, literal, sql};

/// What an operator asks for a restoring session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionOptions {
    /// Everything is the restoring role's.
    pub no_owner: bool,
    /// Nothing is granted or revoked.
    pub no_privileges: bool,
    /// The session becomes this role.
    pub role: Option<String>,
    pub settings: Vec<SessionSetting>,
    /// Extensions that are there and another role's: what a dump says of them is theirs.
    pub kept_extensions: BTreeSet<String>,
}

/// Types of objects, as dumps name them, that come to nothing without privileges.
pub const PRIVILEGE_TYPES: [&str; 2] = ["ACL", DEFAULT_PRIVILEGE_TYPE];

/// The type of default privileges, as dumps name it.
pub const DEFAULT_PRIVILEGE_TYPE: &str = "DEFAULT ACL";

/// Refused settings, and why.
const REFUSED: &[(&str, &str)] = &[
    (
        "backslash_quote",
        "the dump is written for the server's own",
    ),
    (
        "client_encoding",
        "the dump says itself what it is written in",
    ),
    ("role", "use --role"),
    ("session_authorization", "use --role"),
    ("session_replication_role", "triggers stay still anyway"),
    (
        "standard_conforming_strings",
        "the dump says itself how its strings are written",
    ),
    ("transaction_deferrable", "it is the transaction's own"),
    ("transaction_isolation", "it is the transaction's own"),
    ("transaction_read_only", "it is the transaction's own"),
];

/// Since then whole transactions have a time limit.
const TRANSACTION_TIMEOUT_MAJOR: u32 = 17;

/// `NAME=VALUE`, looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSetting {
    name: String,
    value: String,
}

impl FromStr for SessionSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((name, value)) = text.split_once('=') else {
            return Err("write NAME=VALUE".to_owned());
        };
        let name = name.to_ascii_lowercase();
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.".contains(c);
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(format!("{name:?} is no name of a setting"));
        }
        if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
            return Err(format!("{name} is not set for a restore: {why}"));
        }
        let value = value.to_owned();
        Ok(Self { name, value })
    }
}

impl fmt::Display for SessionSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

impl SessionOptions {
    /// Whether the dump's own `SET name = ..` does not count.
    pub fn sets(&self, name: &str) -> bool {
        self.settings.iter().any(|setting| setting.name == name)
    }

    /// For the rest of the transaction. Nothing in it is looked up but by its whole name.
    fn sql(&self) -> Sql {
        let mut sql = Sql::default();
        for SessionSetting { name, value } in &self.settings {
            sql += sql!(
                "SELECT WHERE pg_catalog.set_config({name}, {value}, true) IS NULL;\n",
                name = literal(name),
                value = literal(value)
            );
        }
        if let Some(role) = &self.role {
            sql += sql!("SET LOCAL ROLE {role};\n", role = identifier(role));
        }
        sql
    }
}

impl Server {
    /// No time limit of a role or a database is meant for what we restore; a dump sets
    /// those that its own pg_dump knew. By the server's version, and not by what it has:
    /// where this is said, a database's owner may still have chosen where names are found.
    pub fn without_limits(&self) -> Sql {
        let mut sql = Sql::from(
            "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
             SET LOCAL idle_in_transaction_session_timeout = 0;\n",
        );
        if self.version().major() >= TRANSACTION_TIMEOUT_MAJOR {
            sql += "SET LOCAL transaction_timeout = 0;\n".into();
        }
        sql
    }

    /// What comes right before a dump, for the rest of its transaction.
    pub fn before_dump(&self, options: &SessionOptions) -> Sql {
        let mut sql = self.without_triggers();
        sql += options.sql();
        sql
    }
}

#[cfg(test)]
mod tests {
    use super::SessionSetting;

    #[test]
    fn settings_that_change_what_the_text_means_are_refused() {
        for text in [
            "client_encoding=GBK",
            "Standard_Conforming_Strings=off",
            "role=postgres",
            "session_authorization=x",
            "transaction_read_only=on",
            "search_path",
            "=x",
            "a b=x",
            "search_path'=x",
        ] {
            assert!(text.parse::<SessionSetting>().is_err(), "{text}");
        }
        let setting: SessionSetting = "Search_Path=public, a=b".parse().unwrap();
        assert_eq!(setting.to_string(), "search_path=public, a=b");
        assert!("my_app.tenant=".parse::<SessionSetting>().is_ok());
    }
}
