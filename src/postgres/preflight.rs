//! What must hold before a restore changes anything: asked all at once, told all
//! at once, each with what to do about it.
//!
//! Owns those questions and their remedies. Changes nothing that stays. What cannot
//! be known, such as the free space of a server elsewhere, is told as such and stops
//! nobody.

use std::collections::BTreeSet;

use super::extensions::{NEED_PRELOADING, package_of};
use super::prepared;
use super::staging::check_name;
use super::{DumpOptions, Filler, PostgresError, Server};
use crate::checked::{SqlName, listed};
use crate::dump::Needs;
use crate::format::manifest::DatabaseContent;

mod facts;
mod needs;
mod owners;

use facts::Facts;
pub use needs::RestoreNeeds;

/// The server's own databases: a copy of something else is not meant for them.
const SYSTEM_DATABASES: [&str; 3] = ["postgres", "template0", "template1"];

/// Where a dump is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination<'a> {
    /// A new database, or one that is there and empty.
    Into(&'a str),
    /// In the place of a database, if it is there.
    Replace(&'a str),
    /// A database that is there; with `replace` its content goes.
    InPlace { name: &'a str, replace: bool },
}

impl<'a> Destination<'a> {
    fn name(self) -> &'a str {
        match self {
            Self::Into(name) | Self::Replace(name) | Self::InPlace { name, .. } => name,
        }
    }
}

/// What was found and stands in nobody's way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preflight {
    pub warnings: Vec<String>,
    /// Worth knowing with `-v`.
    pub details: Vec<String>,
    /// The number of the database, where it is there now.
    pub standing: Option<u32>,
    /// The role whose rights are enough to fill it, where ours are a superuser's.
    pub fill_as: Option<Filler>,
}

impl Server {
    /// Looks at everything that a restore to `destination` needs.
    pub fn preflight(
        &self,
        destination: Destination<'_>,
        needs: RestoreNeeds<'_>,
    ) -> Result<Preflight, PostgresError> {
        let name = destination.name();
        check_name(name)?;
        let ask_in = match destination {
            Destination::InPlace { .. } => self.database_to_ask(name)?,
            Destination::Into(_) | Destination::Replace(_) => self.maintenance_database(name)?,
        };
        let facts = self.restore_facts(&ask_in, name)?;
        let mut looking = Looking {
            server: self,
            facts: &facts,
            obstacles: Vec::new(),
            preflight: Preflight {
                standing: facts.database.as_ref().map(|standing| standing.oid),
                ..Preflight::default()
            },
        };
        if let Some(read_only) = self.read_only(&ask_in)? {
            looking.in_the_way(read_only.what, read_only.remedy);
        }
        looking.at_destination(destination, needs.content)?;
        looking.at_room(needs);
        if let Some(content) = needs.content {
            looking.at_content(content, destination, needs);
        }
        if looking.obstacles.is_empty() && !needs.as_superuser {
            looking.at_owners(needs, destination, &ask_in);
        }
        let Looking {
            mut obstacles,
            preflight,
            ..
        } = looking;
        match (obstacles.pop(), obstacles.is_empty()) {
            (None, _) => Ok(preflight),
            (Some(only), true) => Err(only),
            (Some(last), false) => {
                obstacles.push(last);
                Err(PostgresError::NotReady { obstacles })
            }
        }
    }
}

/// Collects while it looks.
struct Looking<'a> {
    server: &'a Server,
    facts: &'a Facts,
    obstacles: Vec<PostgresError>,
    preflight: Preflight,
}

impl Looking<'_> {
    fn in_the_way(&mut self, what: impl Into<String>, remedy: impl Into<String>) {
        self.obstacles.push(PostgresError::Obstacle {
            what: what.into(),
            remedy: remedy.into(),
        });
    }

    fn at_destination(
        &mut self,
        destination: Destination<'_>,
        content: Option<&DatabaseContent>,
    ) -> Result<(), PostgresError> {
        let name = destination.name();
        let owned_name = || name.to_owned();
        let exists = self.facts.database.is_some();
        match destination {
            Destination::Into(_) if SYSTEM_DATABASES.contains(&name) => {
                self.obstacles.push(PostgresError::InvalidName {
                    name: owned_name(),
                    what: "it is the server's own; choose a new name",
                });
                return Ok(());
            }
            Destination::Into(_) | Destination::InPlace { replace: false, .. } => {
                let takes_it = match destination {
                    _ if !exists => true,
                    // It is swapped away, with its extensions and what is in their tables.
                    Destination::Into(_) => {
                        self.at_prepared(name);
                        self.server.database_is_empty(name)?
                    }
                    _ => self.server.database_has_room(name)?,
                };
                if !takes_it {
                    let name = owned_name();
                    self.obstacles.push(PostgresError::DatabaseExists { name });
                }
                self.at_stranger(name, content);
            }
            Destination::Replace(_) | Destination::InPlace { replace: true, .. } => {
                self.at_holders(name);
            }
        }
        match destination {
            Destination::InPlace { .. } if !exists => {
                self.obstacles.push(PostgresError::NoSuchDatabase {
                    name: owned_name(),
                    place: self.server.place(),
                });
            }
            Destination::InPlace { .. } => {}
            Destination::Into(_) | Destination::Replace(_) => self.at_rights(name),
        }
        Ok(())
    }

    fn at_holders(&mut self, name: &str) {
        let Some(standing) = &self.facts.database else {
            return;
        };
        if !standing.holders.is_empty() {
            let holders = listed(&standing.holders);
            self.in_the_way(
                format!("the database {name:?} cannot be replaced while it has {holders}"),
                "drop them first (DROP SUBSCRIPTION, pg_drop_replication_slot), or restore --into \
                 another name",
            );
        }
        self.at_prepared(name);
    }

    /// Only the swap would meet them, behind the whole restore.
    fn at_prepared(&mut self, name: &str) {
        let found = self.facts.database.as_ref();
        let found = found.and_then(|standing| prepared::obstacle(name, &standing.prepared));
        self.obstacles.extend(found);
    }

    fn at_rights(&mut self, name: &str) {
        let facts = self.facts;
        let role = &facts.role;
        if !facts.create_databases {
            self.in_the_way(
                format!("the role {role:?} may not create databases"),
                format!(
                    "let a superuser say ALTER ROLE {role:?} CREATEDB, or restore into an existing \
                     database with --in-place"
                ),
            );
        }
        if let Some(standing) = facts.database.as_ref().filter(|standing| !standing.owned) {
            self.in_the_way(
                format!(
                    "the database {name:?} belongs to the role {:?}, and {role:?} may not act for it",
                    standing.owner
                ),
                "restore as its owner or a superuser, or --into another name",
            );
        }
    }

    /// Of the two sizes the smaller is needed in any case: the database's own has
    /// its dead rows in it, the dump's has no indexes.
    fn at_room(&mut self, needs: RestoreNeeds<'_>) {
        let on_disk = needs.content.and_then(|content| content.database_bytes);
        let sizes = [on_disk, needs.raw_bytes];
        let (Some(least), Some(most)) = (
            sizes.into_iter().flatten().min(),
            sizes.into_iter().flatten().max(),
        ) else {
            return;
        };
        let Some((directory, free)) = self.room() else {
            let detail = "how much room the server has is not known: it is elsewhere, or keeps \
                          its directory to itself";
            self.preflight.details.push(detail.to_owned());
            return;
        };
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let says = format!(
            "the restore takes {} to {} MiB, and {directory} has {} MiB free",
            mib(least),
            mib(most),
            mib(free)
        );
        if free < least {
            self.in_the_way(says, "make room there first");
        } else if free < most {
            self.preflight.warnings.push(says);
        } else {
            self.preflight.details.push(says);
        }
    }

    /// Where the server keeps its data, and how much is free there.
    fn room(&self) -> Option<(&str, u64)> {
        let directory = self.facts.data_directory.as_deref()?;
        if !self.server.access().is_local() {
            return None;
        }
        let told = rustix::fs::statvfs(directory).ok()?;
        Some((directory, told.f_bavail.saturating_mul(told.f_frsize)))
    }

    fn at_content(
        &mut self,
        content: &DatabaseContent,
        destination: Destination<'_>,
        needs: RestoreNeeds<'_>,
    ) {
        let missing = |wanted: Vec<SqlName>, there: &[SqlName]| -> Vec<SqlName> {
            let missing = wanted.into_iter().filter(|name| !there.contains(name));
            missing.collect()
        };
        let chosen = |all: &[SqlName], chosen: fn(&Needs) -> &BTreeSet<String>| {
            let names = needs.chosen.map(chosen);
            let is_chosen = |it: &&SqlName| names.is_none_or(|names| names.contains(it.as_str()));
            all.iter().filter(is_chosen).cloned().collect::<Vec<_>>()
        };
        let globals = needs.globals;
        self.obstacles.extend(DumpOptions::again(content).err());
        let needed = needs.roles(&content.roles, content.owners.as_deref());
        let mut roles = chosen(needed, |it| &it.roles);
        roles.extend(needs.role().and_then(|role| SqlName::new(role).ok()));
        let roles = missing(roles, &self.facts.roles);
        if !roles.is_empty() {
            let globals = globals.map(str::to_owned);
            let error = PostgresError::MissingRoles { roles, globals };
            self.obstacles.push(error);
        }
        let tablespaces = chosen(&content.tablespaces, |it| &it.tablespaces);
        let tablespaces = missing(tablespaces, &self.facts.tablespaces);
        if !tablespaces.is_empty() {
            self.in_the_way(
                format!("the server lacks the tablespaces {}", listed(&tablespaces)),
                "make them first with CREATE TABLESPACE",
            );
        }
        // A part makes them where it can: what needs one tells if it is not there.
        if content.selection.is_everything() {
            let extensions: Vec<SqlName> = content.extensions.keys().cloned().collect();
            self.at_extensions(&chosen(&extensions, |it| &it.extensions));
        }
        self.at_versions(content);
        if let (Destination::InPlace { .. }, Some(standing)) = (destination, &self.facts.database)
            && !content.encoding.is_empty()
            && standing.encoding != content.encoding
        {
            self.preflight.warnings.push(format!(
                "the database has the encoding {} and the dump had {}: what cannot be written in \
                 it will stop the restore",
                standing.encoding, content.encoding
            ));
        }
    }

    fn at_extensions(&mut self, wanted: &[SqlName]) {
        let major = self.server.version().major();
        let is_there = |name: &&SqlName| self.facts.available.contains(name);
        let missing: Vec<&SqlName> = wanted.iter().filter(|name| !is_there(name)).collect();
        if !missing.is_empty() {
            let names: Vec<&str> = missing.iter().map(|name| name.as_str()).collect();
            let packages: Vec<String> = names.iter().map(|name| package_of(name, major)).collect();
            self.in_the_way(
                format!(
                    "extensions that the dump needs are not installed on the server: {}",
                    listed(&names)
                ),
                format!(
                    "install them there; likely packages: {}",
                    packages.join(", ")
                ),
            );
        }
        let Some(preloaded) = &self.facts.preloaded else {
            return;
        };
        let loaded = |name: &str| {
            preloaded
                .split(',')
                .any(|l| l.trim().trim_matches('"') == name)
        };
        let unloaded: Vec<&str> = wanted
            .iter()
            .filter(is_there)
            .map(SqlName::as_str)
            .filter(|name| NEED_PRELOADING.contains(name) && !loaded(name))
            .collect();
        if !unloaded.is_empty() {
            self.in_the_way(
                format!("the server has not preloaded {}", unloaded.join(", ")),
                "add it to shared_preload_libraries in postgresql.conf, and restart the server",
            );
        }
    }

    fn at_versions(&mut self, content: &DatabaseContent) {
        let major = |version: &str| {
            let digits = version.split(|c: char| !c.is_ascii_digit()).next();
            digits
                .and_then(|digits| digits.parse::<u32>().ok())
                .unwrap_or(0)
        };
        let dumped = major(&content.server_version).max(major(&content.client_version));
        let here = self.server.version().major();
        if dumped > here {
            self.preflight.warnings.push(format!(
                "the dump was made by PostgreSQL {dumped} and the server is {here}: it may hold \
                 settings and syntax that the older one refuses; then nothing is changed"
            ));
        }
        if !self.facts.superuser && content.roles.len() > 1 {
            self.preflight.details.push(format!(
                "the role {:?} is no superuser: it must be a member of every role that owns \
                 something in the dump",
                self.facts.role
            ));
        }
    }
}
