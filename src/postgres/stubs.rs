//! What a dump needs beside its database: extensions, tablespaces, roles. Tells
//! what a server lacks; makes stand-ins where the copy is thrown away.
//!
//! Owns the mark of a stub role, its comment: `kluis stub for <database>`.
//! Refuses to drop a role without the mark, or whose database is still there.
//! Invariant: a stub never logs in, and outside of a throwaway server it has no
//! right that the dump does not give it.

use std::collections::BTreeMap;

use super::sql::{Sql, identifier, literal, sql};
use super::{PostgresError, Server};
use crate::checked::{SqlName, listed};
use crate::format::manifest::DatabaseContent;

const MARK: &str = "kluis stub for ";
/// Another proof may drop or mark a stub between our look and our mark.
const TRIES: u32 = 10;

impl Server {
    /// Those of `extensions` (name to version) that the server could not make.
    pub fn missing_extensions(
        &self,
        ask_in: &str,
        extensions: &BTreeMap<SqlName, String>,
    ) -> Result<Vec<SqlName>, PostgresError> {
        let sql = "SELECT coalesce(json_agg(name), '[]') FROM pg_available_extensions;";
        let present: Vec<SqlName> = self.query_json(ask_in, "list the extensions", &sql.into())?;
        let missing = extensions.keys().filter(|name| !present.contains(name));
        Ok(missing.cloned().collect())
    }

    /// Those of `tablespaces` that the server does not have.
    pub fn missing_tablespaces(
        &self,
        ask_in: &str,
        tablespaces: &[SqlName],
    ) -> Result<Vec<SqlName>, PostgresError> {
        let sql = "SELECT coalesce(json_agg(spcname), '[]') FROM pg_tablespace;";
        let present: Vec<SqlName> = self.query_json(ask_in, "list the tablespaces", &sql.into())?;
        let missing = tablespaces.iter().filter(|name| !present.contains(name));
        Ok(missing.cloned().collect())
    }

    /// Makes the roles and tablespaces that a dump needs on a throwaway server.
    /// Superusers are superusers here too: what only they may own must be theirs.
    pub fn stand_in(&self, ask_in: &str, content: &DatabaseContent) -> Result<(), PostgresError> {
        let mut sql = Sql::default();
        let missing = self.missing_roles(ask_in, &content.roles)?;
        let of_any_encoding = |role: &&SqlName| raw_name(content, role).is_none();
        for role in missing.iter().filter(of_any_encoding) {
            let superuser = match content.superusers.contains(role) {
                true => " SUPERUSER",
                false => "",
            };
            sql += sql!(
                "CREATE ROLE {role}{superuser};\n",
                role = identifier(role),
                superuser = superuser
            );
        }
        let tablespaces = self.missing_tablespaces(ask_in, &content.tablespaces)?;
        if !tablespaces.is_empty() {
            sql += "SET allow_in_place_tablespaces = on;\n".into();
        }
        for tablespace in tablespaces {
            let name = identifier(&tablespace);
            sql += sql!("CREATE TABLESPACE {name} LOCATION '';\n", name = name);
        }
        // CREATE TABLESPACE runs in no transaction.
        self.run_alone(ask_in, "make the dump's roles and tablespaces", &sql)
    }

    /// [`Server::stand_in`] for roles whose names are bytes in no encoding: only a
    /// database without one takes them.
    pub fn stand_in_raw(
        &self,
        database: &str,
        content: &DatabaseContent,
    ) -> Result<(), PostgresError> {
        let mut sql = Sql::default();
        for role in self.missing_raw(database, content)? {
            let bytes = raw_name(content, &role).unwrap_or_default();
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            sql += sql!(
                "DO $kluis$ BEGIN EXECUTE format('CREATE ROLE %I', \
                 convert_from(decode({hex}, 'hex'), 'SQL_ASCII')); END $kluis$;\n",
                hex = literal(&hex)
            );
        }
        let action = "make the dump's roles";
        self.run_in_transaction(database, action, &sql)
    }

    /// Those of them that are not there.
    pub fn missing_raw(
        &self,
        ask_in: &str,
        content: &DatabaseContent,
    ) -> Result<Vec<SqlName>, PostgresError> {
        let missing = self.missing_roles(ask_in, &content.roles)?.into_iter();
        let raw = missing.filter(|role| raw_name(content, role).is_some());
        Ok(raw.collect())
    }

    /// Drops the stub roles whose database is gone. One that something depends
    /// on, such as another proof's copy, is left to that one's sweep.
    pub fn sweep_stubs(&self, ask_in: &str) -> Result<(), PostgresError> {
        let sql = sql!(
            "SELECT coalesce(json_agg(rolname), '[]') FROM pg_roles r
              WHERE starts_with(shobj_description(r.oid, 'pg_authid'), {mark})
                AND NOT EXISTS (SELECT FROM pg_database WHERE
                      datname = substr(shobj_description(r.oid, 'pg_authid'), {after}));",
            mark = literal(MARK),
            after = MARK.len() + 1,
        );
        let stubs: Vec<String> = self.query_json(ask_in, "list stub roles", &sql)?;
        for stub in stubs {
            let sql = sql!("DROP ROLE IF EXISTS {stub};", stub = identifier(&stub));
            // In use, or gone already.
            let _ = self.query(ask_in, "drop a stub role", &sql);
        }
        Ok(())
    }
}

/// The bytes of a name that is in no encoding, which a manifest has as `caf\xe9`.
fn raw_name(content: &DatabaseContent, role: &str) -> Option<Vec<u8>> {
    if content.encoding != "SQL_ASCII" || !role.contains("\\x") {
        return None;
    }
    let mut parts = role.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (hex, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(hex, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    Some(bytes)
}

/// The stub roles of one throwaway database on a server that stays. Dropping
/// this drops them; the database must be gone before.
#[derive(Debug)]
pub struct StubRoles {
    server: Server,
    ask_in: String,
}

impl StubRoles {
    /// Makes those of `roles` that the server lacks, marked with `database`. One
    /// that another proof has made is marked anew: whoever is last drops it.
    pub fn make(
        server: &Server,
        ask_in: &str,
        roles: &[SqlName],
        database: &str,
    ) -> Result<Self, PostgresError> {
        let stubs = Self {
            server: server.clone(),
            ask_in: ask_in.to_owned(),
        };
        let mut tries = 1;
        loop {
            match stubs.try_make(roles, database) {
                Ok(()) => return Ok(stubs),
                Err(error) if is_race(&error) && tries < TRIES => tries += 1,
                Err(PostgresError::PermissionDenied { detail, .. }) => {
                    return Err(may_not(server, ask_in, roles, &detail));
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn try_make(&self, roles: &[SqlName], database: &str) -> Result<(), PostgresError> {
        let missing = self.server.missing_roles(&self.ask_in, roles)?;
        let sql = sql!(
            "SELECT coalesce(json_agg(rolname), '[]') FROM pg_roles r
              WHERE starts_with(shobj_description(r.oid, 'pg_authid'), {mark});",
            mark = literal(MARK)
        );
        let stubs: Vec<SqlName> = self
            .server
            .query_json(&self.ask_in, "list stub roles", &sql)?;
        let borrowed = roles.iter().filter(|role| stubs.contains(role));
        let mark = literal(&format!("{MARK}{database}"));
        let mut sql = Sql::default();
        for role in missing.iter().chain(borrowed) {
            let name = &identifier(role);
            if missing.contains(role) {
                sql += sql!("CREATE ROLE {name};\n", name = name);
            }
            // The owner to be must be one of ours, unless we are superuser.
            sql += sql!(
                "GRANT {name} TO CURRENT_USER;\nCOMMENT ON ROLE {name} IS {mark};\n",
                name = name,
                mark = &mark
            );
        }
        self.server
            .query(&self.ask_in, "make stub roles", &sql)
            .map(drop)
    }
}

impl Drop for StubRoles {
    fn drop(&mut self) {
        // What cannot be dropped now is known by its mark later.
        let _ = self.server.sweep_stubs(&self.ask_in);
    }
}

/// The role came, went, or is being marked by another since it was looked for.
/// XX000 is how the server says `tuple concurrently updated`.
fn is_race(error: &PostgresError) -> bool {
    matches!(
        error.sqlstate(),
        Some("42710" | "42704" | "23505" | "XX000")
    )
}

fn may_not(server: &Server, ask_in: &str, roles: &[SqlName], detail: &str) -> PostgresError {
    let missing = server.missing_roles(ask_in, roles).unwrap_or_default();
    PostgresError::NotProvable {
        what: format!(
            "the roles {} are missing on the server, and stand-ins may not be made ({detail})",
            listed(&missing)
        ),
        remedy: "create them, use a role with CREATEROLE, or leave --in-server out".to_owned(),
    }
}
