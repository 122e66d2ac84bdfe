//! What belongs to a database but is not in its dump: owner, grants, settings,
//! comment, connection limit. Read from the old database, written as SQL for
//! the one that takes its place.
//!
//! Invariant: that SQL says all of it, so that nothing is left of what code in a dump
//! has made of the new database.

mod role;
mod settings;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use role::{Role, naming, said_together};
use settings::{Settings, values};

use super::dialog::Dialog;
use super::mark::without_mark;
use super::sql::{Sql, identifier, literal, sql};
use super::{PostgresError, Server};

const DESCRIBE: &str = "describe the database";
/// The number that stands for PUBLIC.
const PUBLIC: u32 = 0;
/// No limit.
const UNLIMITED: i64 = -1;
/// What a new database grants by itself.
const TO_PUBLIC: [&str; 2] = ["CONNECT", "TEMPORARY"];
const TO_OWNER: [&str; 3] = ["CONNECT", "CREATE", "TEMPORARY"];

#[derive(Clone, Debug, Deserialize)]
pub struct DatabaseAttributes {
    /// Which database it is, whatever it is called.
    pub oid: u32,
    owner: Role,
    pub tablespace: String,
    pub comment: Option<String>,
    pub connection_limit: i64,
    pub is_template: bool,
    pub allows_connections: bool,
    /// `None`: the built-in default was never changed.
    grants: Option<Vec<Grant>>,
    settings: Vec<Settings>,
}

#[derive(Clone, Debug, Deserialize)]
struct Grant {
    /// A role's number, or [`PUBLIC`].
    grantee: u32,
    /// CONNECT, CREATE or TEMPORARY.
    privilege: String,
    grantable: bool,
}

impl DatabaseAttributes {
    /// Reads them, asked in another database.
    pub(super) fn read(server: &Server, ask_in: &str, name: &str) -> Result<Self, PostgresError> {
        let sql = sql!("{question};", question = Self::question(name));
        let read: Self = server.query_json(ask_in, DESCRIBE, &sql)?;
        Ok(read.without_ours())
    }

    /// The same, asked in a transaction that is under way.
    pub(super) fn read_in(session: &mut Dialog, name: &str) -> Result<Self, PostgresError> {
        let read: Self = session.ask_json(DESCRIBE, &Self::question(name))?;
        Ok(read.without_ours())
    }

    fn question(name: &str) -> Sql {
        sql!(
            "SELECT json_build_object(
               'oid', d.oid::bigint,
               'owner', json_build_object('number', d.datdba::bigint,
                  'name', pg_get_userbyid(d.datdba)),
               'tablespace', (SELECT spcname FROM pg_tablespace WHERE oid = d.dattablespace),
               'comment', shobj_description(d.oid, 'pg_database'),
               'connection_limit', d.datconnlimit, 'is_template', d.datistemplate,
               'allows_connections', d.datallowconn,
               'grants', CASE WHEN d.datacl IS NULL THEN NULL ELSE
                 (SELECT coalesce(json_agg(json_build_object(
                    'grantee', a.grantee::bigint, 'privilege', a.privilege_type,
                    'grantable', a.is_grantable)), '[]')
                  FROM aclexplode(d.datacl) a) END,
               'settings', (SELECT coalesce(json_agg(json_build_object(
                    'role', CASE WHEN s.setrole <> 0 THEN json_build_object(
                       'number', s.setrole::bigint, 'name', pg_get_userbyid(s.setrole)) END,
                    'config', to_json(s.setconfig))), '[]')
                  FROM pg_db_role_setting s WHERE s.setdatabase = d.oid))
             FROM pg_database d WHERE d.datname = {name}",
            name = literal(name)
        )
    }

    /// Without our mark.
    fn without_ours(self) -> Self {
        Self {
            comment: self
                .comment
                .as_deref()
                .and_then(without_mark)
                .map(str::to_owned),
            // A database whose drop was cut short has a limit that nobody can set.
            connection_limit: self.connection_limit.max(UNLIMITED),
            ..self
        }
    }

    /// Those of a database that was just made, and is open as any new one is.
    pub(super) fn as_new(&self) -> Self {
        Self {
            comment: None,
            connection_limit: UNLIMITED,
            is_template: false,
            allows_connections: true,
            grants: None,
            settings: Vec::new(),
            ..self.clone()
        }
    }

    /// Gives `database`, which has `now`, all of it but the comment, which goes with the
    /// name, the tablespace, which it was made in, and [`DatabaseAttributes::of_roles`].
    pub(super) fn instead_of(&self, now: &Self, database: &str) -> Sql {
        let name = &identifier(database);
        let mut sql = sql!(
            "ALTER DATABASE {name} CONNECTION LIMIT {limit};\n\
             ALTER DATABASE {name} IS_TEMPLATE {is_template};\n\
             ALTER DATABASE {name} RESET ALL;\n",
            name = name,
            limit = self.connection_limit,
            is_template = self.is_template
        );
        let set = self.settings.iter().filter(|set| set.role.is_none());
        for set in set.flat_map(Settings::to_sql) {
            sql += sql!("ALTER DATABASE {name}{set};\n", name = name, set = set);
        }
        // The owner first: what the grants below say is said by the owner.
        let owner = sql!("ALTER DATABASE {name} OWNER TO ", name = name);
        let mut rights = vec![naming(&owner, self.owner.number, &"".into())];
        // All that there is goes back to a grant of the owner's, and goes with it.
        let granted = now.granted();
        let grantees: BTreeSet<u32> = granted.keys().map(|(to, _)| *to).collect();
        let grantees = grantees.into_iter().chain([PUBLIC, self.owner.number]);
        rights.extend(grantees.map(|grantee| revoke_sql(name, grantee)));
        let grants = self.granted_in_order().into_iter();
        rights.extend(
            grants.map(|(to, privilege, grantable)| grant_sql(name, privilege, to, grantable)),
        );
        sql += said_together(&rights);
        // At last: nobody need enter it from here on.
        sql += sql!(
            "ALTER DATABASE {name} ALLOW_CONNECTIONS {allowed};\n",
            name = name,
            allowed = self.allows_connections
        );
        sql
    }

    /// What roles have set for themselves: each may at any time, in any database, and
    /// ours may not say so of all of them. So each statement stands for itself, and one
    /// that fails undoes nothing.
    pub(super) fn of_roles(&self, now: &Self, database: &str) -> Sql {
        let alter = &"ALTER ROLE ".into();
        let name = &identifier(database);
        let of = |role: &Role, change: &Sql| {
            let behind = sql!(" IN DATABASE {name}{change}", name = name, change = change);
            sql!(
                "BEGIN {statement} EXCEPTION WHEN OTHERS THEN NULL; END;\n",
                statement = naming(alter, role.number, &behind)
            )
        };
        let resets = now.settings.iter().filter_map(|set| set.role.as_ref());
        let resets = resets.map(|role| of(role, &" RESET ALL".into()));
        let mut statements: Vec<Sql> = resets.collect();
        for set in &self.settings {
            if let Some(role) = &set.role {
                statements.extend(set.to_sql().map(|change| of(role, &change)));
            }
        }
        said_together(&statements)
    }

    /// Takes what the owner or others have granted on `database`; it is ours by then.
    pub(super) fn closing(&self, database: &str) -> Sql {
        let granted = self.granted();
        let grantees: BTreeSet<u32> = granted.keys().map(|(to, _)| *to).collect();
        let others = grantees
            .into_iter()
            .filter(|to| *to != self.owner.number)
            .map(|to| revoke_sql(&identifier(database), to));
        said_together(&others.collect::<Vec<_>>())
    }

    /// Nobody but its owner was given anything.
    pub(super) fn is_closed(&self) -> bool {
        let granted = self.granted();
        granted.keys().all(|(to, _)| *to == self.owner.number)
    }

    /// Each right that is granted, whether it may be passed on.
    fn granted(&self) -> BTreeMap<(u32, &'static str), bool> {
        let Some(grants) = &self.grants else {
            let to_public = TO_PUBLIC.map(|right| ((PUBLIC, right), false));
            let to_owner = TO_OWNER.map(|right| ((self.owner.number, right), false));
            return to_public.into_iter().chain(to_owner).collect();
        };
        let mut granted = BTreeMap::new();
        for Grant {
            grantee,
            privilege,
            grantable,
        } in grants
        {
            // A privilege of a newer server has no name here.
            if let Some(known) = TO_OWNER.into_iter().find(|known| known == privilege) {
                *granted.entry((*grantee, known)).or_default() |= grantable;
            }
        }
        granted
    }

    /// The same as they stand there, which is how a dump writes them: grantees in the
    /// order in which they first got something.
    fn granted_in_order(&self) -> Vec<(u32, &'static str, bool)> {
        let place = |grantee: u32| {
            let mut grants = self.grants.iter().flatten();
            grants.position(|grant| grant.grantee == grantee)
        };
        let granted = self.granted().into_iter();
        let mut all: Vec<_> = granted
            .map(|((grantee, privilege), grantable)| (grantee, privilege, grantable))
            .collect();
        all.sort_by_key(|(grantee, ..)| place(*grantee));
        all
    }

    /// In what `found` is not so, the comment aside, and what roles have set for
    /// themselves.
    pub(super) fn differences(&self, found: &Self) -> Vec<&'static str> {
        let same = [
            ("owner", self.owner.number == found.owner.number),
            ("tablespace", self.tablespace == found.tablespace),
            (
                "connection limit",
                self.connection_limit == found.connection_limit,
            ),
            ("template flag", self.is_template == found.is_template),
            (
                "leave to connect",
                self.allows_connections == found.allows_connections,
            ),
            ("grants", self.granted() == found.granted()),
            ("settings", self.set_for(None) == found.set_for(None)),
        ];
        let differs = same.into_iter().filter(|(_, same)| !same);
        differs.map(|(what, _)| what).collect()
    }

    /// Roles whose settings are not in `found` as they are here.
    pub(super) fn roles_that_differ(&self, found: &Self) -> BTreeSet<String> {
        let roles = self.settings.iter().chain(&found.settings);
        let differ = roles
            .filter_map(|set| set.role.as_ref())
            .filter(|role| self.set_for(Some(role)) != found.set_for(Some(role)));
        differ.map(|role| role.name.clone()).collect()
    }

    /// By name; `None`: for every role.
    fn set_for(&self, role: Option<&Role>) -> BTreeMap<&str, Vec<String>> {
        let number = |role: &Role| role.number;
        let all = self
            .settings
            .iter()
            .filter(|set| set.role.as_ref().map(number) == role.map(number));
        let pairs = all.flat_map(Settings::pairs);
        pairs
            .map(|(name, value)| (name, values(name, value)))
            .collect()
    }
}

fn revoke_sql(database: &Sql, grantee: u32) -> Sql {
    let revoke = sql!("REVOKE ALL ON DATABASE {name} FROM ", name = database);
    match grantee {
        PUBLIC => sql!("{revoke}PUBLIC CASCADE;\n", revoke = revoke),
        role => naming(&revoke, role, &" CASCADE".into()),
    }
}

fn grant_sql(database: &Sql, privilege: &'static str, to: u32, grantable: bool) -> Sql {
    let grant = sql!(
        "GRANT {privilege} ON DATABASE {database} TO ",
        privilege = privilege,
        database = database
    );
    let option = match grantable {
        true => " WITH GRANT OPTION",
        false => "",
    };
    match to {
        PUBLIC => sql!("{grant}PUBLIC{option};\n", grant = grant, option = option),
        role => naming(&grant, role, &option.into()),
    }
}
