//! Roles by their numbers: a role's name may be bytes that are no text in the database
//! where a statement is said, and its number is the same in all of them. Pure.

use serde::Deserialize;

use crate::postgres::sql::{Sql, literal_of, sql};

/// A role of this server, with its name for people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) struct Role {
    pub number: u32,
    pub name: String,
}

/// Statements, each whole, that stand in a DO.
pub(super) fn said_together(statements: &[Sql]) -> Sql {
    if statements.is_empty() {
        return Sql::default();
    }
    let body = sql!(
        "BEGIN\n{statements}END",
        statements = Sql::joined(statements, "")
    );
    sql!("DO {body};\n", body = literal_of(&body))
}

/// A statement for [`said_together`] in which the server itself puts the role's name
/// between the two.
pub(super) fn naming(before: &Sql, role: u32, behind: &Sql) -> Sql {
    sql!(
        "EXECUTE {before} || pg_catalog.quote_ident(pg_catalog.pg_get_userbyid({role})) || \
         {behind};\n",
        before = literal_of(before),
        role = role,
        behind = literal_of(behind)
    )
}
