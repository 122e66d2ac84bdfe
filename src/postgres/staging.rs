//! A database that is filled under a name of its own and then takes its place
//! under the wanted one, in one transaction. Until then the old database is
//! whole and in use; after it, the new one is.
//!
//! Dropping a [`StagedDatabase`] that did not take its place drops the staging
//! database. What a crash leaves is known by its mark (`mark`), and swept by the
//! next run (`keeper`). Until it is in its place, nobody else enters it: a role
//! that could make something in it could have us run that. Only the role that owns
//! everything in it can, while it is filled with that role's rights (`fill_role`).

mod create;
mod swap;

use create::{create_sql, mark_sql};

use super::in_the_way::Thing;
use super::keeper::Keeper;
use super::mark::{Leftover, NAME_MAX_BYTES};
use super::public_schema::OWNERS_PUBLIC_MAJOR;
use super::sql::{Sql, identifier, literal, sql};
use super::{DatabaseAttributes, Locale, PostgresError, Server, random_hex};
use crate::checked::SqlName;
use crate::format::manifest::{DatabaseContent, OutputSettings};
use crate::ledger::PublicSchema;
use crate::reached::Reached;

/// In hex: the 8 digits at the end of a name.
const ID_BYTES: usize = 4;

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

/// A database on its way to its place.
#[derive(Debug)]
pub struct StagedDatabase {
    server: Server,
    /// Where the server is asked to create, rename and drop.
    maintenance: String,
    name: String,
    old: String,
    /// Its name before it has its mark.
    making: String,
    staging: String,
    /// What it had when it was made; `None`: it is not made yet.
    made: Option<DatabaseAttributes>,
    /// What the database in its place has, if there is one.
    replaces: Option<DatabaseAttributes>,
    in_place: bool,
    /// The old database is to be dropped, and is not yet.
    old_stays: bool,
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
        let id = random_hex::<ID_BYTES>()?;
        let maintenance = server.maintenance_database(name)?;
        let replaces = if server.database_exists(&maintenance, name)? {
            Some(DatabaseAttributes::read(server, &maintenance, name)?)
        } else {
            None
        };
        let staging = Leftover::Staging.name_of(name, &id);
        // Naming the default one needs a right on it; leaving it out needs none.
        let tablespace = replaces.as_ref().map(|old| old.tablespace.as_str());
        let tablespace = tablespace.filter(|name| *name != "pg_default");
        let making = server.marks().making_name(&id);
        let create = create_sql(server, &making, locale, tablespace);
        let mark = mark_sql(server, [&making, &staging]);
        let mut keeper = Keeper::hold(server, &maintenance, &staging)?;
        keeper.hold_too(server, &making)?;
        // From here on Drop cleans up, also where CREATE was cut short.
        let mut staged = Self {
            server: server.clone(),
            old: Leftover::Kept.name_of(name, &id),
            name: name.to_owned(),
            maintenance,
            making,
            staging,
            made: None,
            replaces,
            in_place: false,
            old_stays: false,
            keeper,
        };
        let action = "create the staging database";
        staged.run(action, &create)?;
        let making = Thing::Database(&staged.making);
        server.past_others(&staged.maintenance, making, || {
            server.run_in_transaction(&staged.maintenance, action, &mark)
        })?;
        staged.made = Some(staged.attributes(&staged.staging)?);
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

    /// Whether the database in its place is the one of this number, or there is none.
    /// Whoever makes databases could have put his own there meanwhile.
    pub fn replaces_only(&self, standing: Option<u32>) -> Result<(), PostgresError> {
        let there = self.replaces.as_ref().map(|old| old.oid);
        match there == standing {
            true => Ok(()),
            false => Err(PostgresError::Obstacle {
                what: format!(
                    "the database {:?} is not the one that was there when this began",
                    self.name
                ),
                remedy: "look who has made or dropped it, and restore again".to_owned(),
            }),
        }
    }

    /// Makes sessions in it write values as they were written when `settings` were
    /// read. Tells what this server does not know.
    pub fn set_output(&self, settings: &OutputSettings) -> Result<Vec<String>, PostgresError> {
        let mut unknown = Vec::new();
        if let Some(value) = &settings.lc_monetary {
            let sql = sql!(
                "ALTER DATABASE {database} SET lc_monetary = {value};",
                database = identifier(&self.staging),
                value = literal(value)
            );
            match self.run("set how values are written", &sql) {
                Err(PostgresError::Query { detail, .. }) => unknown.push(detail),
                done => done?,
            }
        }
        Ok(unknown)
    }

    /// Makes what a dump of a part leaves out and may build on: the database's
    /// extensions, and the schemas of single tables. Tells which extensions could not
    /// be made: where one is needed, the dump itself says so.
    pub fn make_context(&self, content: &DatabaseContent) -> Result<Vec<String>, PostgresError> {
        let mut unmade = Vec::new();
        if content.selection.is_everything() {
            return Ok(unmade);
        }
        for extension in content.extensions.keys() {
            match self.make_extension(extension) {
                Err(error) if is_refusal(&error) => unmade.push(format!(
                    "the extension {extension} could not be made: {error}; what needs it is \
                     refused"
                )),
                made => made?,
            }
        }
        if content.selection.tables.is_empty() {
            return Ok(unmade);
        }
        let mut sql = Sql::default();
        for table in &content.ledger.tables {
            let name = identifier(&table.schema);
            sql += sql!("CREATE SCHEMA IF NOT EXISTS {name};\n", name = name);
        }
        let action = "make the dump's context";
        self.server
            .run_in_transaction(&self.staging, action, &sql)?;
        Ok(unmade)
    }

    /// It goes to `public`, which is as template0 has it: nobody else has been here.
    fn make_extension(&self, extension: &SqlName) -> Result<(), PostgresError> {
        let sql = sql!(
            "SET LOCAL search_path = public, pg_temp;\n\
             CREATE EXTENSION IF NOT EXISTS {name} CASCADE;\n",
            name = identifier(extension)
        );
        let action = "make an extension of the database";
        self.server.run_in_transaction(&self.staging, action, &sql)
    }

    /// Lets `role` make things in it, until [`StagedDatabase::set_public`].
    pub fn open_to(&self, role: &str) -> Result<(), PostgresError> {
        let role = &identifier(role);
        let mut sql = sql!(
            "GRANT CREATE, TEMPORARY ON DATABASE {database} TO {role};\n",
            database = identifier(&self.staging),
            role = role
        );
        if self.server.version().major() >= OWNERS_PUBLIC_MAJOR {
            sql += sql!(
                "GRANT USAGE, CREATE ON SCHEMA public TO {role};\n",
                role = role
            );
        }
        let action = "let the role of --role fill the database";
        self.server.run_in_transaction(&self.staging, action, &sql)
    }

    /// The schema `public` as the dump says, whatever was made of it. Before it is the
    /// owner's, nobody needs a right on it to fill it.
    pub fn set_public(&self, public: &PublicSchema) -> Result<(), PostgresError> {
        if self.server.version().major() < OWNERS_PUBLIC_MAJOR {
            return Ok(());
        }
        self.server.set_public(&self.staging, public)
    }

    /// Puts it in its place, and says so to `reached`. `only_over_empty`: what stands
    /// there now must still be empty. The old database is dropped unless `keep_old`.
    /// Gives what should be known of it.
    pub fn take_place(
        &mut self,
        only_over_empty: bool,
        keep_old: bool,
        reached: &mut Reached,
    ) -> Result<Vec<String>, PostgresError> {
        if self.replaces.is_some()
            && only_over_empty
            && !self.server.database_is_empty(&self.name)?
        {
            let name = self.name.clone();
            return Err(PostgresError::DatabaseExists { name });
        }
        if self.replaces.is_some() && !keep_old {
            // By this name it is swept if we die between the swap and its end.
            let id = random_hex::<ID_BYTES>()?;
            self.old = Leftover::Staging.name_of(&self.name, &id);
            self.keeper.hold_too(&self.server, &self.old)?;
        }
        let swapped = self.swap(keep_old, reached);
        // Where that is not known, what is there tells people which it was.
        self.in_place = !reached.is_unchanged();
        let told = swapped?;
        if self.replaces.is_some() && !keep_old {
            self.old_stays = true;
            self.drop_old()?;
            self.old_stays = false;
        }
        Ok(told)
    }

    fn attributes(&self, name: &str) -> Result<DatabaseAttributes, PostgresError> {
        DatabaseAttributes::read(&self.server, &self.maintenance, name)
    }

    fn drop_old(&self) -> Result<(), PostgresError> {
        let action = "drop the old database";
        self.server
            .drop_database(&self.maintenance, &self.old, action)
            .map_err(|source| PostgresError::OldDatabaseKept {
                name: self.old.clone(),
                source: Box::new(source),
            })
    }

    fn run(&self, action: &str, sql: &Sql) -> Result<(), PostgresError> {
        self.server.run_alone(&self.maintenance, action, sql)
    }

    /// Drops it unless it is in its place; gives the name of what stays.
    pub fn abandon(&mut self) -> Option<String> {
        if std::mem::replace(&mut self.in_place, true) {
            return self.old_stays.then(|| self.old.clone());
        }
        match &self.made {
            // Whatever it is called and marked by now: who owned it could change that.
            Some(made) => self.drop_made(made.oid),
            None => {
                let dropped = [&self.making, &self.staging]
                    .map(|name| self.server.drop_ours(&self.maintenance, name));
                let stays = dropped.iter().any(Result::is_err);
                stays.then(|| self.staging.clone())
            }
        }
    }

    /// Gives its name where it stays, or may.
    fn drop_made(&self, oid: u32) -> Option<String> {
        let (server, ask_in) = (&self.server, &self.maintenance);
        let name = match server.database_of(ask_in, oid) {
            Ok(name) => name?,
            Err(_) => return Some(self.staging.clone()),
        };
        if name == self.name {
            // It took its place after all, though no answer told so.
            return Some(name);
        }
        let dropped = server.drop_copy(ask_in, &name, "drop the staging database");
        dropped.is_err().then_some(name)
    }
}

impl Drop for StagedDatabase {
    fn drop(&mut self) {
        // What cannot be dropped now is swept by a later run.
        let _ = self.abandon();
    }
}

/// The server's answer to the statement, and no end of the session.
fn is_refusal(error: &PostgresError) -> bool {
    matches!(
        error,
        PostgresError::Query { .. } | PostgresError::PermissionDenied { .. }
    )
}

/// A template cannot be dropped.
pub(super) fn unmark_sql(database: &str) -> Sql {
    sql!(
        "ALTER DATABASE {database} IS_TEMPLATE false;\n",
        database = identifier(database)
    )
}

fn comment_sql(database: &str, comment: Option<&str>) -> Sql {
    sql!(
        "COMMENT ON DATABASE {database} IS {comment}",
        database = identifier(database),
        comment = comment.map_or_else(|| "NULL".into(), literal)
    )
}

pub(super) fn is_in_use(error: &PostgresError) -> bool {
    error.sqlstate() == Some("55006")
}

#[cfg(test)]
mod tests {
    use super::check_name;

    #[test]
    fn names_that_the_server_would_cut_are_refused() {
        assert!(check_name(&"a".repeat(63)).is_ok());
        for bad in ["", &"a".repeat(64), "a\0b"] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
