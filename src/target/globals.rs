//! Gives roles back to a server: those that it does not have, with their
//! settings, comments and memberships, in one transaction.
//!
//! Refuses to touch what is there: no role that exists is altered, and no
//! tablespace is made, which would want a directory on the server. Only
//! statements that were understood are run.

use std::io::BufRead;

use super::dump_check::feed_all;
use super::{Received, Target, TargetError};
use crate::cancel::Cancel;
use crate::format::manifest::DatabaseContent;
use crate::ledger::{About, Global, Globals, GlobalsReader};
use crate::postgres::{PostgresError, Server};

/// Roles that come back.
pub struct GlobalsTarget {
    server: Server,
    /// Where the server is asked and told.
    database: String,
    /// What [`Target::commit`] runs; no `Debug`, for passwords are in it.
    script: Option<String>,
    cancel: Cancel,
}

impl GlobalsTarget {
    pub fn new(server: Server, cancel: Cancel) -> Result<Self, PostgresError> {
        let database = server.maintenance_database("")?;
        Ok(Self {
            server,
            database,
            script: None,
            cancel,
        })
    }

    fn missing(&self, names: &[String]) -> Result<Vec<String>, PostgresError> {
        self.server.missing_roles(&self.database, names)
    }
}

impl Target for GlobalsTarget {
    fn receive(&mut self, stream: &mut dyn BufRead) -> Result<Received, TargetError> {
        let mut reader = GlobalsReader::default();
        feed_all(stream, &self.cancel, |block| reader.feed(block))?;
        let globals = reader.finish()?;
        let absent = self.missing(&mentioned(&globals))?;
        let made: Vec<String> = globals
            .statements
            .iter()
            .filter_map(|statement| match &statement.about {
                About::Role(name) if absent.contains(name) => Some(name.clone()),
                _ => None,
            })
            .collect();
        let unknown = |name: &String| absent.contains(name) && !made.contains(name);
        let mut script = "SET LOCAL standard_conforming_strings = on;\n".to_owned();
        for statement in &globals.statements {
            if let Some(sql) = wanted(statement, &made, unknown) {
                script.push_str(sql);
                script.push_str(";\n");
            }
        }
        self.script = (!made.is_empty()).then_some(script);
        let tablespaces = globals.ledger().objects.get("TABLESPACE").copied();
        let left = |count| format!("{count} tablespaces are not made: each wants a directory");
        Ok(Received {
            database: Some(DatabaseContent {
                ledger: globals.ledger(),
                ..DatabaseContent::default()
            }),
            roles: made,
            warnings: tablespaces.map(left).into_iter().collect(),
            ..Received::default()
        })
    }

    fn commit(self: Box<Self>) -> Result<(), TargetError> {
        self.cancel.check()?;
        match &self.script {
            Some(script) => {
                let action = "make the roles";
                Ok(self
                    .server
                    .run_in_transaction(&self.database, action, script)?)
            }
            None => Ok(()),
        }
    }
}

/// Every role that is made or takes part in a membership.
fn mentioned(globals: &Globals) -> Vec<String> {
    let mut names = Vec::new();
    for statement in &globals.statements {
        match &statement.about {
            About::Role(name) => names.push(name.clone()),
            About::Membership { role, member } => {
                names.extend([role.clone(), member.clone()]);
            }
            _ => {}
        }
    }
    names
}

/// What is to be run of a statement: all that belongs to a role of `made`, and
/// memberships with such a role, if the other one is there.
fn wanted<'a>(
    statement: &'a Global,
    made: &[String],
    unknown: impl Fn(&String) -> bool,
) -> Option<&'a str> {
    let is_made = |name: &String| made.contains(name);
    match &statement.about {
        About::Role(name)
        | About::RoleAttributes(name)
        | About::RoleSetting(name)
        | About::RoleComment(name) => is_made(name).then_some(statement.text.as_str()),
        About::Membership { role, member } => {
            let concerns = is_made(role) || is_made(member);
            // The grantor may be nobody here.
            (concerns && !unknown(role) && !unknown(member)).then(|| statement.without_grantor())
        }
        About::Tablespace(_) | About::Other => None,
    }
}
