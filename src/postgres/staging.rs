//! A database that is filled under a name of its own and then takes its place
//! under the wanted one, in one transaction. Until then the old database is
//! whole and in use; after it, the new one is.
//!
//! Dropping a [`StagedDatabase`] that did not take its place drops the staging
//! database. What a crash leaves is told by [`leftover`], and swept by the next
//! run: see `keeper`.

use std::collections::BTreeMap;

use super::keeper::Keeper;
use super::quote::{quote_identifier, quote_literal};
use super::{DatabaseAttributes, Locale, PostgresError, Server, random_hex};
use crate::format::manifest::DatabaseContent;

/// PostgreSQL cuts longer names off, in silence (NAMEDATALEN - 1).
const NAME_MAX_BYTES: usize = 63;
const STAGING_MARK: &str = "_kluis_";
const OLD_MARK: &str = "_kluis_old_";
const ID_DIGITS: usize = 8;
/// Each try already waits up to 5 s in the server for sessions to leave.
const SWAP_TRIES: u32 = 10;

/// What a restore that was cut short may leave behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// Half restored, or replaced and about to be dropped: of no use to anybody
    /// when no restore runs.
    Staging,
    /// What a swap put aside: whole, and kept on request.
    Old,
}

/// Tells a restore's own database by its name: `<name>_kluis_<8 hex digits>`
/// or `<name>_kluis_old_<8 hex digits>`.
pub fn leftover(name: &str) -> Option<Leftover> {
    let id = name.len().checked_sub(ID_DIGITS)?;
    let (front, id) = name.split_at_checked(id)?;
    if !id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    if front.ends_with(OLD_MARK) {
        Some(Leftover::Old)
    } else {
        front.ends_with(STAGING_MARK).then_some(Leftover::Staging)
    }
}

/// Refuses what is no name, and what the server would cut.
pub(super) fn check_name(name: &str) -> Result<(), PostgresError> {
    let what = if name.is_empty() {
        "it is empty"
    } else if name.len() > NAME_MAX_BYTES {
        "it is longer than PostgreSQL's 63 bytes"
    } else if name.contains('\0') {
        "it holds a NUL byte"
    } else {
        return Ok(());
    };
    let name = name.to_owned();
    Err(PostgresError::InvalidName { name, what })
}

/// `name`, cut between characters where needed, with mark and id behind it.
fn marked(name: &str, mark: &str, id: &str) -> String {
    let room = NAME_MAX_BYTES - mark.len() - ID_DIGITS;
    let cut = (0..=room.min(name.len()))
        .rev()
        .find(|i| name.is_char_boundary(*i));
    format!("{}{mark}{id}", &name[..cut.unwrap_or(0)])
}

/// A database on its way to its place.
#[derive(Debug)]
pub struct StagedDatabase {
    server: Server,
    /// Where the server is asked to create, rename and drop.
    maintenance: String,
    name: String,
    old: String,
    staging: String,
    /// What the database in its place has, if there is one.
    replaces: Option<DatabaseAttributes>,
    in_place: bool,
    /// Tells the sweeps of other runs that this one lives. Dropped at last, when
    /// the staging database is gone.
    keeper: Keeper,
}

impl StagedDatabase {
    /// Creates the empty staging database for `name`. A database of that name
    /// is only looked at. Without `locale` it gets the server's default.
    pub fn create(
        server: &Server,
        name: &str,
        locale: Option<&Locale>,
    ) -> Result<Self, PostgresError> {
        check_name(name)?;
        let id = random_hex::<{ ID_DIGITS / 2 }>()?;
        let maintenance = server.maintenance_database(name)?;
        let replaces = if server.database_exists(&maintenance, name)? {
            Some(DatabaseAttributes::read(server, &maintenance, name)?)
        } else {
            None
        };
        let staging = marked(name, STAGING_MARK, &id);
        // Naming the default one needs a right on it; leaving it out needs none.
        let tablespace = replaces.as_ref().map(|old| old.tablespace.as_str());
        let tablespace = tablespace.filter(|name| *name != "pg_default");
        let sql = create_sql(server, &staging, locale, tablespace);
        let keeper = Keeper::hold(server, &maintenance, &staging)?;
        // From here on Drop cleans up, also where CREATE was cut short.
        let staged = Self {
            server: server.clone(),
            old: marked(name, OLD_MARK, &id),
            name: name.to_owned(),
            maintenance,
            staging,
            replaces,
            in_place: false,
            keeper,
        };
        staged.run("create the staging database", &sql)?;
        Ok(staged)
    }

    /// The name it is filled under.
    pub fn staging_name(&self) -> &str {
        &self.staging
    }

    /// The name that the old database gets where it is kept, if there is one.
    pub fn old_name(&self) -> Option<&str> {
        self.replaces.as_ref().map(|_| self.old.as_str())
    }

    /// Makes sessions in it write values as they were written when `settings` were
    /// read. Tells what this server does not know.
    pub fn set_output(
        &self,
        settings: &BTreeMap<String, String>,
    ) -> Result<Vec<String>, PostgresError> {
        let database = quote_identifier(&self.staging);
        let mut unknown = Vec::new();
        for (name, value) in settings {
            let sql = format!(
                "ALTER DATABASE {database} SET {} = {};",
                quote_identifier(name),
                quote_literal(value)
            );
            match self.run("set how values are written", &sql) {
                Err(PostgresError::Query { detail, .. }) => unknown.push(detail),
                done => done?,
            }
        }
        Ok(unknown)
    }

    /// Makes what a dump of a part leaves out and yet builds on: the database's
    /// extensions, and the schemas of single tables.
    pub fn make_context(&self, content: &DatabaseContent) -> Result<(), PostgresError> {
        if content.selection.is_everything() {
            return Ok(());
        }
        let mut sql = "SET search_path = public;\n".to_owned();
        for extension in content.extensions.keys() {
            let name = quote_identifier(extension);
            sql += &format!("CREATE EXTENSION IF NOT EXISTS {name} CASCADE;\n");
        }
        if !content.selection.tables.is_empty() {
            for table in &content.ledger.tables {
                let name = quote_identifier(&table.schema);
                sql += &format!("CREATE SCHEMA IF NOT EXISTS {name};\n");
            }
        }
        let made = self
            .server
            .query(&self.staging, "make the dump's context", &sql);
        made.map(drop)
    }

    /// Puts it in its place. `only_over_empty`: what stands there now must
    /// still be empty. The old database is dropped unless `keep_old`.
    pub fn take_place(
        mut self,
        only_over_empty: bool,
        keep_old: bool,
    ) -> Result<(), PostgresError> {
        // What only the comparison needed.
        let reset = format!(
            "ALTER DATABASE {} RESET ALL;",
            quote_identifier(&self.staging)
        );
        self.run("take back how values are written", &reset)?;
        if let Some(old) = &self.replaces {
            if only_over_empty && !self.server.database_is_empty(&self.name)? {
                let name = self.name.clone();
                return Err(PostgresError::DatabaseExists { name });
            }
            let sql = old.to_sql(&self.staging);
            self.run("carry over the database's settings", &sql)?;
        }
        if self.replaces.is_some() && !keep_old {
            // By this name it is swept if we die between the swap and its end.
            let id = random_hex::<{ ID_DIGITS / 2 }>()?;
            self.old = marked(&self.name, STAGING_MARK, &id);
            self.keeper.hold_too(&self.server, &self.old)?;
        }
        self.swap()?;
        self.in_place = true;
        if self.replaces.is_some() && !keep_old {
            return self.drop_old();
        }
        Ok(())
    }

    /// The rename takes the exclusive lock that every new connection waits for,
    /// so nobody comes in between; only who is there already must go. Nothing
    /// is switched off for it beforehand, so there is no moment at which our
    /// death would leave a database that refuses connections.
    fn swap(&self) -> Result<(), PostgresError> {
        let sql = self.swap_sql();
        let mut tries = 1;
        loop {
            match self.run("put the restored database in its place", &sql) {
                Ok(()) => return Ok(()),
                // Cut off after the server had done it: done is done.
                Err(_) if self.has_swapped() => return Ok(()),
                Err(error) if is_in_use(&error) && tries < SWAP_TRIES => tries += 1,
                Err(error) if error.sqlstate() == Some("42P04") => {
                    let name = self.name.clone();
                    return Err(PostgresError::DatabaseExists { name });
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// `\;` sends it as one message: between ending the sessions and the lock
    /// is no round trip in which a pooler could come back.
    fn swap_sql(&self) -> String {
        let [name, staging] = [&self.name, &self.staging].map(|n| quote_identifier(n));
        let mut steps = vec!["BEGIN".to_owned()];
        if self.replaces.is_some() {
            steps.push(format!(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                 WHERE datname = {} AND backend_type <> 'autovacuum worker'",
                quote_literal(&self.name)
            ));
            let old = quote_identifier(&self.old);
            steps.push(format!("ALTER DATABASE {name} RENAME TO {old}"));
        }
        steps.push(format!("ALTER DATABASE {staging} RENAME TO {name}"));
        steps.push("COMMIT".to_owned());
        steps.join(" \\; ") + ";"
    }

    fn has_swapped(&self) -> bool {
        let staging = self
            .server
            .database_exists(&self.maintenance, &self.staging);
        let wanted = self.server.database_exists(&self.maintenance, &self.name);
        matches!((staging, wanted), (Ok(false), Ok(true)))
    }

    fn drop_old(&self) -> Result<(), PostgresError> {
        let sql = unmark_sql(&self.old) + &self.server.drop_database_sql(&self.old);
        self.run("drop the old database", &sql)
            .map_err(|source| PostgresError::OldDatabaseKept {
                name: self.old.clone(),
                source: Box::new(source),
            })
    }

    fn run(&self, action: &str, sql: &str) -> Result<(), PostgresError> {
        self.server.query(&self.maintenance, action, sql).map(drop)
    }
}

impl Drop for StagedDatabase {
    fn drop(&mut self) {
        if !self.in_place {
            // What cannot be dropped now is swept by a later run.
            if self.replaces.as_ref().is_some_and(|old| old.is_template) {
                let _ = self.run("unmark the template", &unmark_sql(&self.staging));
            }
            let sql = self.server.drop_database_sql(&self.staging);
            let action = "drop the staging database";
            let _ = self
                .server
                .drop_copy(&self.maintenance, &self.staging, action, &sql);
        }
    }
}

/// A template cannot be dropped.
pub(super) fn unmark_sql(database: &str) -> String {
    let database = quote_identifier(database);
    format!("ALTER DATABASE {database} IS_TEMPLATE false;\n")
}

pub(super) fn is_in_use(error: &PostgresError) -> bool {
    error.sqlstate() == Some("55006")
}

fn create_sql(
    server: &Server,
    staging: &str,
    locale: Option<&Locale>,
    tablespace: Option<&str>,
) -> String {
    let mut sql = format!(
        "CREATE DATABASE {} TEMPLATE template0",
        quote_identifier(staging)
    );
    if let Some(locale) = locale {
        let options = [
            ("ENCODING", &locale.encoding),
            ("LC_COLLATE", &locale.collate),
            ("LC_CTYPE", &locale.ctype),
        ];
        for (option, value) in options.iter().filter(|(_, value)| !value.is_empty()) {
            sql += &format!(" {option} {}", quote_literal(value));
        }
        if server.version().major() >= 15 {
            sql += &provider_sql(locale);
        }
    }
    if let Some(tablespace) = tablespace {
        sql += &format!(" TABLESPACE {}", quote_identifier(tablespace));
    }
    sql + ";"
}

fn provider_sql(locale: &Locale) -> String {
    let name = locale.provider_locale.as_deref().map(quote_literal);
    match (locale.provider.as_str(), name) {
        ("icu", Some(name)) => format!(" LOCALE_PROVIDER icu ICU_LOCALE {name}"),
        ("builtin", Some(name)) => format!(" LOCALE_PROVIDER builtin BUILTIN_LOCALE {name}"),
        _ => " LOCALE_PROVIDER libc".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Leftover, OLD_MARK, STAGING_MARK, check_name, leftover, marked};

    #[test]
    fn long_names_are_cut_between_characters() {
        let name = "ü".repeat(31);
        for mark in [STAGING_MARK, OLD_MARK] {
            let staged = marked(&name, mark, "0123abcd");
            assert!(staged.len() <= 63, "{staged}");
            assert!(staged.starts_with("üüüüüüüüüü"), "{staged}");
        }
    }

    #[test]
    fn own_databases_are_told_by_their_names() {
        assert_eq!(leftover("shop_kluis_0123abcd"), Some(Leftover::Staging));
        assert_eq!(leftover("shop_kluis_old_0123abcd"), Some(Leftover::Old));
        for other in [
            "shop",
            "shop_kluis_",
            "shop_kluis_0123abcX",
            "0123abcd",
            "üüüü",
        ] {
            assert_eq!(leftover(other), None, "{other}");
        }
    }

    #[test]
    fn names_that_the_server_would_cut_are_refused() {
        assert!(check_name(&"a".repeat(63)).is_ok());
        for bad in ["", &"a".repeat(64), "a\0b"] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
