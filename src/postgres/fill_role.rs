//! A role that fills a database in a superuser's stead. It logs in, becomes the one
//! role that owns what is filled in, and has no right of its own: whatever code it is
//! made to run cannot take back more than that.
//!
//! That role may make schemas in the database, and owns its schema `public`. The
//! database itself becomes its own only where the dump gives things to the database's
//! owner: a database's owner can do anything with it.
//!
//! Owns that role: its name, its mark, its end. Refuses to drop a role without the
//! mark. Invariant: its password is in no statement, only a verifier of it is; and it
//! has its mark from the moment on that it is there. Dropping a [`FillRole`] drops the
//! role; what a crash leaves is swept by the next run.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::catalogue::CAN_DO_EVERYTHING;
use super::hold::{self, Holder};
use super::in_the_way::Thing;
use super::keeper::{Keeper, SweptStaging};
use super::sql::{Sql, identifier, literal, sql};
use super::triggers::without_triggers_as;
use super::{DatabaseAttributes, PostgresError, Server, random_hex};

const PASSWORD_BYTES: usize = 32;
const SALT_BYTES: usize = 16;
/// The server's own number. The password is random: more would add nothing.
const ITERATIONS: u32 = 4096;

/// Whose rights are enough to fill a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filler {
    /// Owns all that is in the dump.
    pub owner: String,
    /// The dump gives things to `pg_database_owner`, so whoever makes them must be that.
    pub owns_database: bool,
}

/// The role that fills one database.
#[derive(Debug)]
pub struct FillRole {
    server: Server,
    /// The server as this role logs in.
    login: Server,
    name: String,
    filler: Filler,
    /// Where it has rights and may have made something; `None`: nowhere.
    filled: Option<Filled>,
    ask_in: String,
    is_gone: bool,
    /// Tells the sweeps of other runs that this one lives. Dropped at last.
    _keeper: Keeper,
}

/// The staging database. Who owns it for a while could give it another name.
#[derive(Debug)]
struct Filled {
    oid: u32,
    name: String,
}

impl FillRole {
    /// Whether a role that could fill for `owner` can log in: makes one, tries it in
    /// `ask_in`, and drops it.
    pub(super) fn try_login(
        server: &Server,
        ask_in: &str,
        filler: &Filler,
    ) -> Result<(), PostgresError> {
        let mut role = Self::make(server, ask_in, filler, None)?;
        // One session: the role may have no second one beside it.
        let sql = sql!(
            "{become_owner}SELECT json_build_array(session_user = {name}::name, {can});",
            become_owner = role.become_owner(),
            name = literal(&role.name),
            can = CAN_DO_EVERYTHING
        );
        let action = "log in as a role that only fills";
        let told: [bool; 2] = role.login.query_json(ask_in, action, &sql)?;
        match told {
            // One that stays is in nobody's way, and a later run tells of it.
            [true, false] => role.leave().map(drop),
            [true, true] => Err(PostgresError::Obstacle {
                what: format!("{:?} may come to all rights on this server", filler.owner),
                remedy: "a role with its rights would be no wall".to_owned(),
            }),
            [false, _] => Err(no_login()),
        }
    }

    /// A role that fills `database`, as whose owner or not, until [`FillRole::leave`].
    pub fn enter(server: &Server, database: &str, filler: &Filler) -> Result<Self, PostgresError> {
        let ask_in = server.maintenance_database(database)?;
        let filled = Filled {
            oid: server.database_oid(&ask_in, database)?,
            name: database.to_owned(),
        };
        Self::make(server, &ask_in, filler, Some(filled))
    }

    fn make(
        server: &Server,
        ask_in: &str,
        filler: &Filler,
        filled: Option<Filled>,
    ) -> Result<Self, PostgresError> {
        let (name, comment) = server.marks().fill_role(&random_hex::<4>()?);
        let password = Zeroizing::new(random_hex::<PASSWORD_BYTES>()?);
        let verifier = verifier(&password, &random_bytes()?);
        let login = server.as_role(&name, password).ok_or_else(no_login)?;
        let mut sql = sql!(
            "CREATE ROLE {name} LOGIN NOINHERIT CONNECTION LIMIT 1 PASSWORD {verifier}
               IN ROLE {owner};\nCOMMENT ON ROLE {name} IS {comment};\n",
            name = identifier(&name),
            verifier = literal(&verifier),
            owner = identifier(&filler.owner),
            comment = literal(&comment)
        );
        sql += without_triggers_as(&name);
        if let Some(filled) = &filled {
            sql += rights_sql(&filled.name, &name, filler);
        }
        let make_in = filled.as_ref().map_or(ask_in, |filled| &filled.name);
        let make_in = make_in.to_owned();
        // From here on Drop cleans up, also where this is cut short.
        let role = Self {
            _keeper: Keeper::hold(server, ask_in, &name)?,
            server: server.clone(),
            login,
            name,
            filler: filler.clone(),
            filled,
            ask_in: ask_in.to_owned(),
            is_gone: false,
        };
        server.run_in_transaction(&make_in, "make the role that fills", &sql)?;
        Ok(role)
    }

    /// The server as this role logs in.
    pub fn login(&self) -> &Server {
        &self.login
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn owner(&self) -> &str {
        &self.filler.owner
    }

    /// What comes first in its transaction: from there on all that is made is the
    /// owner's.
    pub fn become_owner(&self) -> Sql {
        sql!(
            "SET LOCAL ROLE {owner};\n",
            owner = identifier(&self.filler.owner)
        )
    }

    /// Gives the database back to us, lets nobody else in, and ends the role. What it made
    /// as itself, which is nothing unless the dump has tried, becomes the owner's. Tells why
    /// the role stays, if it does: that is no failure. After one the role may still be
    /// there; dropping this tries again.
    pub fn leave(&mut self) -> Result<Option<String>, PostgresError> {
        self.take_back()?;
        self.is_gone = true;
        let ended = self.server.end_role(&self.ask_in, &self.name);
        Ok(ended.err().map(|error| {
            format!(
                "the role {:?} stays and cannot log in: {error}; a later restore or backup drops \
                 it",
                self.name
            )
        }))
    }

    /// Its owner could let anybody in, and nobody may be in it when it takes its place.
    fn take_back(&self) -> Result<(), PostgresError> {
        let Some(filled) = &self.filled else {
            return Ok(());
        };
        let (server, ask_in) = (&self.server, &self.ask_in);
        let Some(called) = server.database_of(ask_in, filled.oid)? else {
            return Ok(());
        };
        let thing = Thing::Database(&called);
        let closed = server.past_others(ask_in, thing, || self.close(&called))?;
        if !closed {
            return Err(PostgresError::NotAsSaid {
                what: "grants".to_owned(),
            });
        }
        let sql = sql!(
            "REASSIGN OWNED BY {name} TO {owner};\nDROP OWNED BY {name};",
            name = identifier(&self.name),
            owner = identifier(&self.filler.owner)
        );
        let action = "take back what the role that filled has made";
        server.past_others(ask_in, thing, || {
            server.run_in_transaction(&called, action, &sql)
        })
    }

    /// Tells whether nobody but us was given anything on it. Once it is ours, nobody's own
    /// grant can be made any more, and all others go with those that there are.
    fn close(&self, database: &str) -> Result<bool, PostgresError> {
        let (server, ask_in) = (&self.server, &self.ask_in);
        let action = "take the staging database back";
        let name = &identifier(database);
        let sql = sql!(
            "ALTER DATABASE {name} OWNER TO CURRENT_USER;\n\
             ALTER DATABASE {name} ALLOW_CONNECTIONS true;",
            name = name
        );
        server.run_in_transaction(ask_in, action, &sql)?;
        let now = DatabaseAttributes::read(server, ask_in, database)?;
        let sql = now.closing(database);
        server.run_in_transaction(ask_in, action, &sql)?;
        let sql = sql!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE datname = {name} AND usename <> session_user;",
            name = literal(database)
        );
        server.run_in_transaction(ask_in, "end the sessions in the staging database", &sql)?;
        Ok(DatabaseAttributes::read(server, ask_in, database)?.is_closed())
    }
}

impl Drop for FillRole {
    fn drop(&mut self) {
        if !self.is_gone {
            // What cannot be dropped now is swept by a later run.
            let _ = self.take_back();
            let _ = self.server.end_role(&self.ask_in, &self.name);
        }
    }
}

/// What the owner of all that is in the dump may do with `database`, which nobody else
/// may enter: `role` can, and becomes that owner there.
fn rights_sql(database: &str, role: &str, filler: &Filler) -> Sql {
    let owner = &identifier(&filler.owner);
    let database = &identifier(database);
    let mut sql = sql!(
        "GRANT CONNECT ON DATABASE {database} TO {role};\n",
        database = database,
        role = identifier(role)
    );
    sql += match filler.owns_database {
        true => sql!(
            "ALTER DATABASE {database} OWNER TO {owner};\n",
            database = database,
            owner = owner
        ),
        false => sql!(
            "GRANT CREATE, TEMPORARY ON DATABASE {database} TO {owner};\n\
             ALTER SCHEMA public OWNER TO {owner};\n",
            database = database,
            owner = owner
        ),
    };
    sql
}

impl Server {
    /// Drops the roles of runs that died, known by this storage's mark.
    pub(super) fn sweep_fill_roles(
        &self,
        ask_in: &str,
        swept: &mut SweptStaging,
    ) -> Result<(), PostgresError> {
        #[derive(Deserialize)]
        struct Candidate {
            name: String,
            comment: String,
            holders: Vec<Holder>,
        }
        // Only a superuser makes them.
        let sql = sql!(
            "SELECT coalesce(json_agg(json_build_object('name', r.rolname,
                'comment', shobj_description(r.oid, 'pg_authid'), 'holders', {holders})
                ORDER BY r.rolname), '[]')
               FROM pg_roles r
              WHERE r.rolname::text ~ '^kluis_fill_[0-9a-f]{{8}}$'
                AND shobj_description(r.oid, 'pg_authid') IS NOT NULL;",
            holders = hold::holders("r.rolname", "NULL")
        );
        let action = "look for roles that a run that died has left";
        let found: Vec<Candidate> = self.query_json(ask_in, action, &sql)?;
        for it in found {
            if self.marks().is_fill_role(&it.name, &it.comment) {
                swept.sweep(it.name, &it.holders, |name| self.end_role(ask_in, name));
            }
        }
        Ok(())
    }
}

fn no_login() -> PostgresError {
    PostgresError::Settings {
        what: "they lead to no login of another role".to_owned(),
    }
}

fn random_bytes() -> Result<[u8; SALT_BYTES], PostgresError> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(|error| PostgresError::Settings {
        what: format!("the system gives no random numbers: {error}"),
    })?;
    Ok(salt)
}

/// What the server keeps of a password (RFC 5803): it tells whether somebody knows it,
/// and nobody can log in with it. `password` is ASCII, so SASLprep leaves it as it is.
fn verifier(password: &str, salt: &[u8; SALT_BYTES]) -> String {
    let mut salted = Zeroizing::new([0; 32]);
    pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, ITERATIONS, salted.as_mut());
    let keyed = |text: &str| {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&*salted) else {
            unreachable!("HMAC takes keys of any length")
        };
        mac.update(text.as_bytes());
        mac.finalize().into_bytes()
    };
    format!(
        "SCRAM-SHA-256${ITERATIONS}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(Sha256::digest(keyed("Client Key"))),
        STANDARD.encode(keyed("Server Key"))
    )
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::verifier;

    #[test]
    fn a_verifier_is_that_of_the_standards_example() {
        // RFC 7677, section 3.
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        assert_eq!(
            verifier("pencil", &salt.try_into().unwrap()),
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
             WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
             wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
    }
}
