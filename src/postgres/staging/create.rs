//! SQL that makes a staging database: marked, and closed to everybody else.

use super::comment_sql;
use crate::postgres::mark::Leftover;
use crate::postgres::sql::{Sql, identifier, literal, sql};
use crate::postgres::{Locale, Server};

/// Its name is its mark until its comment is: there is no moment in which what we
/// have made could be somebody's. Nobody may enter it.
pub(super) fn create_sql(
    server: &Server,
    making: &str,
    locale: Option<&Locale>,
    tablespace: Option<&str>,
) -> Sql {
    let name = &identifier(making);
    let mut sql = sql!(
        "CREATE DATABASE {name} TEMPLATE template0 ALLOW_CONNECTIONS false",
        name = name
    );
    if let Some(locale) = locale {
        let options = [
            (" ENCODING ", &locale.encoding),
            (" LC_COLLATE ", &locale.collate),
            (" LC_CTYPE ", &locale.ctype),
        ];
        for (option, value) in options.iter().filter(|(_, value)| !value.is_empty()) {
            sql += Sql::from(*option);
            sql += literal(value);
        }
        if server.version().major() >= 15 {
            sql += provider_sql(locale);
        }
    }
    if let Some(tablespace) = tablespace {
        sql += sql!(" TABLESPACE {name}", name = identifier(tablespace));
    }
    sql += sql!(";\nREVOKE ALL ON DATABASE {name} FROM PUBLIC;", name = name);
    sql
}

/// Its own name, its mark, and entry for nobody but its owner, all at once.
pub(super) fn mark_sql(server: &Server, [making, staging]: [&str; 2]) -> Sql {
    let mark = server.marks().comment(Leftover::Staging, staging, None);
    sql!(
        "SET LOCAL lock_timeout = '5s';\nALTER DATABASE {making} RENAME TO {staging};\n\
         {comment};\nALTER DATABASE {staging} ALLOW_CONNECTIONS true;",
        making = identifier(making),
        staging = identifier(staging),
        comment = comment_sql(staging, Some(&mark))
    )
}

fn provider_sql(locale: &Locale) -> Sql {
    let name = locale.provider_locale.as_deref().map(literal);
    match (locale.provider.as_str(), name) {
        ("icu", Some(name)) => sql!(" LOCALE_PROVIDER icu ICU_LOCALE {name}", name = name),
        ("builtin", Some(name)) => {
            sql!(
                " LOCALE_PROVIDER builtin BUILTIN_LOCALE {name}",
                name = name
            )
        }
        _ => " LOCALE_PROVIDER libc".into(),
    }
}
