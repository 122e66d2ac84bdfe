//! Gives roles back to a server: those that it does not have, with their
//! settings, comments and memberships, in one transaction.
//!
//! Refuses to touch what is there: no role that exists is altered, and no
//! tablespace is made, which would want a directory on the server. Only
//! statements that were understood are run, made anew of their parts: no text of
//! the dump is. The others are named.

use std::io::BufRead;

use super::dump_check::feed_all;
use super::{Received, Target, TargetError};
use crate::cancel::Cancel;
use crate::checked::SqlName;
use crate::format::manifest::DatabaseContent;
use crate::ledger::{Global, Globals, GlobalsReader};
use crate::postgres::{PostgresError, Server, Sql, role_sql};
use crate::reached::Reached;

/// Roles that come back.
pub struct GlobalsTarget {
    server: Server,
    /// Where the server is asked and told.
    database: String,
    /// What [`Target::commit`] runs; no `Debug`, for passwords are in it.
    script: Option<Sql>,
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

    fn missing(&self, names: &[SqlName]) -> Result<Vec<SqlName>, PostgresError> {
        self.server.missing_roles(&self.database, names)
    }
}

impl Target for GlobalsTarget {
    fn receive(&mut self, stream: &mut dyn BufRead) -> Result<Received, TargetError> {
        let mut reader = GlobalsReader::default();
        feed_all(stream, &self.cancel, |block| reader.feed(block))?;
        let globals = reader.finish()?;
        let absent = self.missing(&mentioned(&globals))?;
        let made: Vec<SqlName> = globals
            .statements
            .iter()
            .filter_map(|statement| match statement {
                Global::Role(name) if absent.contains(name) => Some(name.clone()),
                _ => None,
            })
            .collect();
        let unknown = |name: &SqlName| absent.contains(name) && !made.contains(name);
        let mut script = Sql::from("SET LOCAL standard_conforming_strings = on;\n");
        for statement in &globals.statements {
            if is_wanted(statement, &made, unknown) {
                script += role_sql(statement);
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
            roles: made.into_iter().map(String::from).collect(),
            warnings: tablespaces
                .map(left)
                .into_iter()
                .chain(left_out(&globals))
                .collect(),
            ..Received::default()
        })
    }

    fn commit(&mut self, reached: &mut Reached) -> Result<Vec<String>, TargetError> {
        self.cancel.check()?;
        if let Some(script) = &self.script {
            let before = std::mem::replace(reached, Reached::Unknown { look: look() });
            let action = "make the roles";
            let server = &self.server;
            let made = server.run_in_transaction(&self.database, action, script);
            // What the server refuses is rolled back; an end of its session is no refusal.
            let refused = made.as_ref().err().and_then(PostgresError::sqlstate);
            if refused.is_some_and(|code| !code.starts_with("57P") && !code.starts_with("08")) {
                *reached = before;
            }
            made?;
        }
        *reached = Reached::Swapped;
        Ok(Vec::new())
    }
}

fn look() -> String {
    "`psql -c '\\du'` tells; what is there is not made again, so restore once more".to_owned()
}

/// Every role that is made or takes part in a membership.
fn mentioned(globals: &Globals) -> Vec<SqlName> {
    let mut names = Vec::new();
    for statement in &globals.statements {
        match statement {
            Global::Role(name) => names.push(name.clone()),
            Global::Membership { role, member, .. } => {
                names.extend([role.clone(), member.clone()]);
            }
            _ => {}
        }
    }
    names
}

/// What was not understood, for people.
fn left_out(globals: &Globals) -> Option<String> {
    const NAMED: usize = 5;
    let others = globals.statements.iter().filter_map(|it| match it {
        Global::Other(other) => Some(format!("{:?}", other.beginning)),
        _ => None,
    });
    let others: Vec<String> = others.collect();
    let more = match others.len().checked_sub(NAMED) {
        None | Some(0) => String::new(),
        Some(more) => format!(" and {more} more"),
    };
    let named = others.get(..NAMED).unwrap_or(&others).join(", ");
    (!others.is_empty())
        .then(|| format!("statements that are not understood are left out: {named}{more}"))
}

/// Whether it is to be run: all that belongs to a role of `made`, and memberships
/// with such a role, if the other one is there.
fn is_wanted(statement: &Global, made: &[SqlName], unknown: impl Fn(&SqlName) -> bool) -> bool {
    let is_made = |name: &SqlName| made.contains(name);
    match statement {
        Global::Role(role)
        | Global::Attributes { role, .. }
        | Global::Setting { role, .. }
        | Global::Comment { role, .. } => is_made(role),
        Global::Membership { role, member, .. } => {
            (is_made(role) || is_made(member)) && !unknown(role) && !unknown(member)
        }
        Global::Tablespace(_) | Global::OfTablespace | Global::Session | Global::Other(_) => false,
    }
}
