//! Default privileges of a database that is filled where it stands: what the dump makes
//! must not get them, or its grants would not be the dump's.
//!
//! Owns how they are put aside before the dump and put back behind it, in its
//! transaction, and what is said of those that are not there again. Invariant: what the
//! dump itself says of a role, a schema and a kind of object counts.

use std::collections::BTreeMap;

use super::sql::{Sql, sql};
use super::{PostgresError, Server};

/// What they are for ("tables that app makes in the schema own"), and what they grant.
pub type DefaultPrivileges = BTreeMap<String, String>;

/// Comes before what is in the database goes: a schema takes those that are in it along.
/// They are told to a setting of the transaction, as the database must stay empty.
///
/// Those of a role that may make nothing in a schema cannot be changed there, and count for
/// nothing that is made.
pub(super) fn put_aside_sql() -> Sql {
    sql!(
        "SELECT WHERE (SELECT set_config('kluis.default_privileges', (SELECT \
           coalesce(json_agg(json_build_object('role', d.defaclrole, 'schema', n.nspname, \
             'kind', d.defaclobjtype, 'given', d.defaclacl::text)), '[]')::text \
           FROM pg_default_acl AS d LEFT JOIN pg_namespace AS n ON n.oid = d.defaclnamespace \
          WHERE pg_has_role(d.defaclrole, 'USAGE') \
            AND d.defaclobjtype IN ('r', 'S', 'f', 'T', 'n', 'L') \
            AND (n.oid IS NULL OR has_schema_privilege(d.defaclrole, n.oid, 'CREATE'))), \
         true)) IS NULL;\n{change}",
        change = change("given", "bare", "true")
    )
}

/// Puts those back that the dump says nothing of, where the schema is there again and the
/// role may make something in it.
pub(super) fn put_back_sql() -> Sql {
    change(
        "bare",
        "given",
        "(p.schema IS NULL OR has_schema_privilege(p.role, p.number, 'CREATE')) \
         AND NOT EXISTS (SELECT FROM pg_default_acl AS d WHERE d.defaclrole = p.role \
           AND d.defaclobjtype = p.kind AND d.defaclnamespace = coalesce(p.number, 0))",
    )
}

/// Makes `to` of `from`: what was put aside, and what there is without it. Whatever the
/// setting holds by then, it is read as names and rights, and not as SQL.
fn change(from: &'static str, to: &'static str, which: &'static str) -> Sql {
    sql!(
        "DO $kluis$ DECLARE step text; BEGIN FOR step IN
           SELECT format('ALTER DEFAULT PRIVILEGES FOR ROLE %I %s%s', pg_get_userbyid(p.role),
               coalesce('IN SCHEMA ' || quote_ident(p.schema) || ' ', ''), s.step)
             FROM (SELECT t.role, t.schema, t.kind, n.oid AS number, nullif(t.given, '{{}}')::aclitem[] AS given,
                 CASE WHEN t.schema IS NULL THEN acldefault(
                   CASE t.kind WHEN 'S' THEN 's' ELSE t.kind END::\"char\", t.role) END AS bare,
                 CASE t.kind WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES'
                   WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS'
                   WHEN 'L' THEN 'LARGE OBJECTS' END AS things
               FROM json_to_recordset(current_setting('kluis.default_privileges')::json)
                 AS t (role oid, schema name, kind \"char\", given text)
               LEFT JOIN pg_namespace AS n ON n.nspname = t.schema) AS p,
             LATERAL (SELECT 1 AS turn, format('REVOKE ALL ON %s FROM %s', p.things, {grantee})
                 FROM aclexplode(p.{from}) AS a
               UNION ALL SELECT 2, format('GRANT %s ON %s TO %s', a.privilege_type, p.things,
                   {grantee}) || CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
                 FROM aclexplode(p.{to}) AS a) AS s (turn, step)
            WHERE {which} ORDER BY s.turn
         LOOP EXECUTE step; END LOOP; END $kluis$;\n",
        grantee = "CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE \
                   quote_ident(pg_get_userbyid(a.grantee)) END",
        from = from,
        to = to,
        which = which
    )
}

impl Server {
    /// All that there are in `database`.
    pub fn default_privileges(&self, database: &str) -> Result<DefaultPrivileges, PostgresError> {
        let sql = "SELECT coalesce(json_object_agg(what, given), '{}') FROM (
             SELECT format('%s that %s makes%s', CASE d.defaclobjtype WHEN 'r' THEN 'tables'
                      WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions' WHEN 'T' THEN 'types'
                      WHEN 'n' THEN 'schemas' WHEN 'L' THEN 'large objects'
                      ELSE format('objects of the kind %s', d.defaclobjtype) END,
                    quote_ident(pg_get_userbyid(d.defaclrole)),
                    ' in the schema ' || quote_ident(n.nspname)) AS what,
                    d.defaclacl::text AS given
               FROM pg_default_acl AS d LEFT JOIN pg_namespace AS n ON n.oid = d.defaclnamespace)
             AS p;";
        self.query_json(database, "look at its default privileges", &sql.into())
    }
}

/// Tells those of `before` that are not in `now` as they were.
pub fn changed(before: &DefaultPrivileges, now: &DefaultPrivileges) -> Vec<String> {
    let changed = before
        .iter()
        .filter(|(what, given)| now.get(*what) != Some(given));
    let told = changed.map(|(what, given)| {
        let became = match now.contains_key(what) {
            true => "are as the dump says",
            false => "are gone, as such a role can make nothing there any more",
        };
        format!("the default privileges of {what} {became}; they were {given}")
    });
    told.collect()
}
