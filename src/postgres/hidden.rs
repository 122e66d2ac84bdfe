//! What pg_dump leaves out of a database: subscriptions, where its role is no
//! superuser, and what belongs to an extension, although the extension's script did
//! not make it.
//!
//! Who owns an extension and a table says ALTER EXTENSION .. ADD TABLE, and no
//! dump holds the table any more: neither its rows nor that it was there. The
//! script of an extension that only a superuser makes, or that is trusted, makes
//! its objects with a superuser's rights, so a member that belongs to anybody else
//! was added, or given away. Of a script that runs with anybody's rights only what
//! holds data is told. No row is read, so no code of the database's owner runs.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::sql::{Sql, sql};
use super::{PostgresError, Server};
use crate::checked::SqlName;
use crate::format::manifest::{LeftOut, LeftOutObject};

/// As many are named in a manifest.
const NAMED: usize = 1_000;

/// Classes of objects that have an owner and may be an extension's. Languages are
/// not among them: their scripts give them to who makes them.
const OWNED: [(&str, &str); 13] = [
    ("pg_class", "relowner"),
    ("pg_type", "typowner"),
    ("pg_proc", "proowner"),
    ("pg_namespace", "nspowner"),
    ("pg_operator", "oprowner"),
    ("pg_opclass", "opcowner"),
    ("pg_opfamily", "opfowner"),
    ("pg_collation", "collowner"),
    ("pg_conversion", "conowner"),
    ("pg_ts_config", "cfgowner"),
    ("pg_ts_dict", "dictowner"),
    ("pg_foreign_server", "srvowner"),
    ("pg_foreign_data_wrapper", "fdwowner"),
];

#[derive(Deserialize)]
struct Member {
    /// "table public.t".
    object: String,
    extension: SqlName,
    /// It holds rows, a sequence's value, or what belongs to no extension; `None`
    /// where nothing is lost.
    holds: Option<bool>,
}

impl Server {
    /// What a dump of `database` will not hold and no extension brings back.
    pub fn left_out(&self, database: &str) -> Result<LeftOut, PostgresError> {
        let sql = given_members();
        let members: Vec<Member> =
            self.query_json(database, "tell what its extensions have", &sql)?;
        let only_made = |member: &Member| member.holds == Some(false);
        let made_by_superusers = match members.iter().any(only_made) {
            true => self.made_by_superusers(database),
            false => BTreeSet::new(),
        };
        let missing = members.into_iter().filter(|member| match member.holds {
            Some(holds) => holds || made_by_superusers.contains(&member.extension),
            None => false,
        });
        let missing: Vec<Member> = missing.collect();
        Ok(LeftOut {
            count: missing.len() as u64,
            objects: missing.into_iter().take(NAMED).map(named).collect(),
            ..LeftOut::default()
        })
    }

    /// The database's subscriptions. Every role may read their names.
    pub fn subscriptions(&self, database: &str) -> Result<Vec<String>, PostgresError> {
        let sql = "SELECT coalesce(json_agg(subname ORDER BY subname), '[]') FROM pg_subscription
                    WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = \
                          current_database());";
        self.query_json(database, "list its subscriptions", &sql.into())
    }

    /// Extensions whose scripts run with a superuser's rights. A server whose control
    /// files cannot all be read tells of none; a backup does not end for that.
    fn made_by_superusers(&self, database: &str) -> BTreeSet<SqlName> {
        let sql = "SELECT coalesce(json_agg(e.extname), '[]') FROM pg_extension e
                     JOIN pg_available_extension_versions v
                       ON v.name = e.extname AND v.version = e.extversion
                    WHERE v.superuser;";
        self.query_json(database, "describe its extensions", &sql.into())
            .unwrap_or_default()
    }
}

fn named(member: Member) -> LeftOutObject {
    LeftOutObject {
        object: member.object,
        extension: member.extension,
    }
}

/// Members that belong to no superuser, by extension and name.
fn given_members() -> Sql {
    let owned = OWNED.map(|(table, owner)| {
        sql!(
            "SELECT '{table}'::regclass AS classid, t.oid, {owner} AS owner FROM {table} AS t
               JOIN pg_depend d ON d.classid = '{table}'::regclass AND d.objid = t.oid
                AND d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass",
            table = table,
            owner = owner
        )
    });
    sql!(
        "WITH owned AS ({owned})
         SELECT coalesce(json_agg(json_build_object('object', i.type || ' ' || i.identity,
                  'extension', e.extname, 'holds', {holds})
                  ORDER BY e.extname, i.type, i.identity), '[]')
           FROM owned o JOIN pg_roles r ON r.oid = o.owner AND NOT r.rolsuper
           JOIN pg_depend d ON d.classid = o.classid AND d.objid = o.oid AND d.deptype = 'e'
            AND d.refclassid = 'pg_extension'::regclass
           JOIN pg_extension e ON e.oid = d.refobjid
           LEFT JOIN pg_class c ON o.classid = 'pg_class'::regclass AND c.oid = o.oid,
           LATERAL pg_identify_object(o.classid, o.oid, 0) AS i;",
        owned = Sql::joined(&owned, " UNION ALL "),
        holds = HOLDS
    )
}

/// Whether a dump misses the content of `o`, which is `c` where it is a relation. A
/// relation's size tells of rows without a look at them; the rows of one that the
/// extension's script has named are in the dump. False is for what can hold nothing,
/// such as a function or a view.
const HOLDS: &str = "CASE
    WHEN c.oid = ANY (e.extconfig) OR c.relkind IN ('i', 'I', 't') THEN NULL
    WHEN c.relkind IN ('r', 'm') THEN nullif(pg_relation_size(c.oid) > 0, false)
    WHEN c.relkind = 'p'
      THEN nullif(EXISTS (SELECT FROM pg_inherits WHERE inhparent = c.oid), false)
    WHEN c.relkind = 'S' AND NOT has_sequence_privilege(c.oid, 'USAGE, SELECT') THEN NULL
    WHEN c.relkind = 'S' THEN nullif(pg_sequence_last_value(c.oid) IS NOT NULL, false)
    WHEN o.classid = 'pg_namespace'::regclass THEN nullif(EXISTS (
      SELECT FROM pg_depend s WHERE s.refclassid = o.classid AND s.refobjid = o.oid
         AND s.deptype = 'n' AND NOT EXISTS (SELECT FROM pg_depend m
           WHERE m.classid = s.classid AND m.objid = s.objid AND m.deptype = 'e')), false)
    ELSE false END";
