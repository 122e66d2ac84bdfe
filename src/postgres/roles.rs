//! Roles of a dump as SQL of ours: each statement is made of the parts that were
//! understood, and nothing of the dump's own text is in it. Pure.

use super::sql::{Sql, identifier, literal, sql};
use crate::ledger::{Attribute, Global};

/// The statement; nothing for what is never run.
pub fn role_sql(statement: &Global) -> Sql {
    match statement {
        Global::Role(role) => sql!("CREATE ROLE {role};\n", role = identifier(role)),
        Global::Attributes { role, attributes } => {
            let attributes: Vec<Sql> = attributes.iter().map(attribute_sql).collect();
            sql!(
                "ALTER ROLE {role} WITH{attributes};\n",
                role = identifier(role),
                attributes = Sql::joined(&attributes, "")
            )
        }
        Global::Setting { role, name, values } => {
            let values: Vec<Sql> = values.iter().map(|value| literal(value)).collect();
            sql!(
                "ALTER ROLE {role} SET {name} TO {values};\n",
                role = identifier(role),
                name = identifier(name),
                values = Sql::joined(&values, ", ")
            )
        }
        Global::Comment { role, text } => sql!(
            "COMMENT ON ROLE {role} IS {text};\n",
            role = identifier(role),
            text = literal(text)
        ),
        Global::Membership {
            role,
            member,
            options,
        } => {
            let with = if options.is_empty() { "" } else { " WITH " };
            let options: Vec<Sql> = options.iter().map(|option| Sql::from(*option)).collect();
            sql!(
                "GRANT {role} TO {member}{with}{options};\n",
                role = identifier(role),
                member = identifier(member),
                with = with,
                options = Sql::joined(&options, ", ")
            )
        }
        Global::Tablespace(_) | Global::OfTablespace | Global::Session | Global::Other(_) => {
            Sql::default()
        }
    }
}

fn attribute_sql(attribute: &Attribute) -> Sql {
    match attribute {
        Attribute::Flag(flag) => sql!(" {flag}", flag = *flag),
        Attribute::ConnectionLimit(limit) => {
            sql!(" CONNECTION LIMIT {limit}", limit = i64::from(*limit))
        }
        Attribute::Password(verifier) => sql!(" PASSWORD {text}", text = literal(verifier)),
        Attribute::ValidUntil(moment) => sql!(" VALID UNTIL {text}", text = literal(moment)),
    }
}
