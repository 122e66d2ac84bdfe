//! Whether a database is empty: what of it a user made, and what extensions did.
//!
//! What is swapped away must hold nothing at all, not even extensions: there may be rows
//! of a user's in their tables. What is filled in place keeps them.

use std::collections::BTreeSet;

use super::catalogue::FIRST_USER_OID;
use super::sql::{Sql, sql};
use super::{PostgresError, Server};

impl Server {
    /// Whether `database` holds nothing that a user made: no relation, type,
    /// function, schema, extension or large object.
    pub fn database_is_empty(&self, database: &str) -> Result<bool, PostgresError> {
        let sql = sql!("SELECT to_json({empty});", empty = emptiness());
        self.query_json(database, "look into the database", &sql)
    }

    /// Whether a dump may be filled into `database`: it holds nothing but extensions.
    pub(super) fn database_has_room(&self, database: &str) -> Result<bool, PostgresError> {
        let empty = emptiness_but_extensions();
        let sql = sql!("SELECT to_json({empty});", empty = empty);
        self.query_json(database, "look into the database", &sql)
    }

    /// The extensions of `database` that are another role's.
    pub fn extensions_of_others(&self, database: &str) -> Result<BTreeSet<String>, PostgresError> {
        let sql = "SELECT coalesce(json_agg(extname), '[]') FROM pg_extension
                    WHERE NOT pg_has_role(extowner, 'USAGE');";
        self.query_json(database, "look at its extensions", &sql.into())
    }
}

/// A condition in SQL: nothing in the database was made by a user.
fn emptiness() -> Sql {
    none_in_catalogues(|_| Sql::default())
}

/// The same where extensions stay: neither they count nor what belongs to them.
pub(super) fn emptiness_but_extensions() -> Sql {
    none_in_catalogues(|table| match table {
        "pg_extension" => " AND false".into(),
        table => sql!(
            " AND {no_member}{goes_with}",
            no_member = no_member(table),
            goes_with = counts_itself(table)
        ),
    })
}

fn none_in_catalogues(but: impl Fn(&'static str) -> Sql) -> Sql {
    let catalogues = [
        "pg_class",
        "pg_type",
        "pg_proc",
        "pg_namespace",
        "pg_extension",
        "pg_largeobject_metadata",
        "pg_collation",
        "pg_conversion",
        "pg_cast",
        "pg_operator",
        "pg_opclass",
        "pg_opfamily",
        "pg_am",
        "pg_language",
        "pg_transform",
        "pg_ts_config",
        "pg_ts_dict",
        "pg_ts_parser",
        "pg_ts_template",
        "pg_foreign_data_wrapper",
        "pg_foreign_server",
        "pg_publication",
        "pg_event_trigger",
    ];
    // Schemas of temporary tables stay when the tables are gone.
    let none_in = |table: &'static str| {
        let lasting = match table {
            "pg_namespace" => " AND nspname !~ '^pg_(toast_)?temp_'",
            _ => "",
        };
        sql!(
            "NOT EXISTS (SELECT FROM {table} AS t WHERE oid >= {first}{lasting}{but})",
            table = table,
            first = FIRST_USER_OID,
            lasting = lasting,
            but = but(table)
        )
    };
    Sql::joined(&catalogues.map(none_in), " AND ")
}

/// A condition: the row `t` belongs to no extension.
pub(super) fn no_member(table: &'static str) -> Sql {
    sql!(
        "NOT EXISTS (SELECT FROM pg_depend WHERE classid = '{table}'::regclass
           AND objid = t.oid AND deptype = 'e')",
        table = table
    )
}

/// A condition: the row `t` does not only go with another one, as a table's index and a
/// type's array do.
pub(super) fn counts_itself(table: &str) -> &'static str {
    match table {
        "pg_class" => " AND relkind NOT IN ('i', 'I', 't')",
        "pg_type" => {
            " AND typrelid = 0 AND typtype <> 'm' \
             AND NOT EXISTS (SELECT FROM pg_type WHERE typarray = t.oid)"
        }
        _ => "",
    }
}
