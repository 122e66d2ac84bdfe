//! What a dump needs beside its database: extensions, tablespaces, roles. Tells
//! what a server lacks; makes stand-ins where the copy is thrown away.
//!
//! Owns the mark of a stub role, its comment: `kluis stub for <database>`.
//! Refuses to drop a role without the mark, or whose database is still there.
//! Invariant: a stub never logs in, and outside of a throwaway server it has no
//! right that the dump does not give it.

use std::collections::BTreeMap;

use super::quote::{quote_identifier, quote_literal};
use super::{PostgresError, Server};
use crate::format::manifest::DatabaseContent;

const MARK: &str = "kluis stub for ";
/// Another proof may drop or mark a stub between our look and our mark.
const TRIES: u32 = 10;

impl Server {
    /// Those of `extensions` (name to version) that the server could not make.
    pub fn missing_extensions(
        &self,
        ask_in: &str,
        extensions: &BTreeMap<String, String>,
    ) -> Result<Vec<String>, PostgresError> {
        let sql = "SELECT coalesce(json_agg(name), '[]') FROM pg_available_extensions;";
        let present: Vec<String> = self.query_json(ask_in, "list the extensions", sql)?;
        let missing = extensions.keys().filter(|name| !present.contains(name));
        Ok(missing.cloned().collect())
    }

    /// Those of `tablespaces` that the server does not have.
    pub fn missing_tablespaces(
        &self,
        ask_in: &str,
        tablespaces: &[String],
    ) -> Result<Vec<String>, PostgresError> {
        let sql = "SELECT coalesce(json_agg(spcname), '[]') FROM pg_tablespace;";
        let present: Vec<String> = self.query_json(ask_in, "list the tablespaces", sql)?;
        let missing = tablespaces.iter().filter(|name| !present.contains(name));
        Ok(missing.cloned().collect())
    }

    /// Makes the roles and tablespaces that a dump needs on a throwaway server.
    /// Superusers are superusers here too: what only they may own must be theirs.
    pub fn stand_in(&self, ask_in: &str, content: &DatabaseContent) -> Result<(), PostgresError> {
        let mut sql = String::new();
        for role in self.missing_roles(ask_in, &content.roles)? {
            let superuser = match content.superusers.contains(&role) {
                true => " SUPERUSER",
                false => "",
            };
            sql += &format!("CREATE ROLE {}{superuser};\n", quote_identifier(&role));
        }
        let tablespaces = self.missing_tablespaces(ask_in, &content.tablespaces)?;
        if !tablespaces.is_empty() {
            sql += "SET allow_in_place_tablespaces = on;\n";
        }
        for tablespace in tablespaces {
            let name = quote_identifier(&tablespace);
            sql += &format!("CREATE TABLESPACE {name} LOCATION '';\n");
        }
        self.query(ask_in, "make the dump's roles and tablespaces", &sql)
            .map(drop)
    }

    /// Drops the stub roles whose database is gone. One that something depends
    /// on, such as another proof's copy, is left to that one's sweep.
    pub fn sweep_stubs(&self, ask_in: &str) -> Result<(), PostgresError> {
        let sql = format!(
            "SELECT coalesce(json_agg(rolname), '[]') FROM pg_roles r
              WHERE starts_with(shobj_description(r.oid, 'pg_authid'), {mark})
                AND NOT EXISTS (SELECT FROM pg_database WHERE
                      datname = substr(shobj_description(r.oid, 'pg_authid'), {after}));",
            mark = quote_literal(MARK),
            after = MARK.len() + 1,
        );
        let stubs: Vec<String> = self.query_json(ask_in, "list stub roles", &sql)?;
        for stub in stubs {
            let sql = format!("DROP ROLE IF EXISTS {};", quote_identifier(&stub));
            // In use, or gone already.
            let _ = self.query(ask_in, "drop a stub role", &sql);
        }
        Ok(())
    }
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
        roles: &[String],
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

    fn try_make(&self, roles: &[String], database: &str) -> Result<(), PostgresError> {
        let missing = self.server.missing_roles(&self.ask_in, roles)?;
        let sql = format!(
            "SELECT coalesce(json_agg(rolname), '[]') FROM pg_roles r
              WHERE starts_with(shobj_description(r.oid, 'pg_authid'), {});",
            quote_literal(MARK)
        );
        let stubs: Vec<String> = self
            .server
            .query_json(&self.ask_in, "list stub roles", &sql)?;
        let borrowed = roles.iter().filter(|role| stubs.contains(role));
        let mark = quote_literal(&format!("{MARK}{database}"));
        let mut sql = "BEGIN;\n".to_owned();
        for role in missing.iter().chain(borrowed) {
            let name = quote_identifier(role);
            if missing.contains(role) {
                sql += &format!("CREATE ROLE {name};\n");
            }
            // The owner to be must be one of ours, unless we are superuser.
            sql += &format!("GRANT {name} TO CURRENT_USER;\nCOMMENT ON ROLE {name} IS {mark};\n");
        }
        sql += "COMMIT;";
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

fn may_not(server: &Server, ask_in: &str, roles: &[String], detail: &str) -> PostgresError {
    let missing = server.missing_roles(ask_in, roles).unwrap_or_default();
    PostgresError::NotProvable {
        what: format!(
            "the roles {} are missing on the server, and stand-ins may not be made ({detail})",
            missing.join(", ")
        ),
        remedy: "create them, use a role with CREATEROLE, or leave --in-server out".to_owned(),
    }
}
