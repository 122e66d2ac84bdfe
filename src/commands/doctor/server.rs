//! The server, the database, and what the role may do there.

use super::failed;
use crate::commands::session::Session;
use crate::config::DatabaseSettings;
use crate::postgres::{PostgresError, Rights};
use crate::render::{Check, size};
use crate::wiring::Database;

const AREA: &str = "server";
const SAY_WHERE: &str = "set DATABASE_URL, or --container for a server in a container";

pub fn checks(session: &Session<'_>, name: Option<&str>) -> Vec<Check> {
    let reached = session.database(name);
    let database = match reached {
        Ok(database) => database,
        Err(error) => {
            if !is_configured(&session.settings.database) && name.is_none() {
                return vec![not_configured()];
            }
            return vec![failed(AREA, &error.into(), SAY_WHERE)];
        }
    };
    let server = &database.server;
    let mut checks = vec![Check::ok(
        AREA,
        format!(
            "PostgreSQL {} at {}, {}",
            server.version().text,
            server.place(),
            server.access().mode()
        ),
    )];
    if let Some((what, remedy)) = server.access().in_clear() {
        checks.push(Check::warn(AREA, what, remedy));
    }
    checks.push(dump_client(&database));
    match inside(&database) {
        Ok(found) => checks.extend(found),
        Err(error) => checks.push(failed(
            AREA,
            &error.into(),
            "name another database: kluis doctor NAME",
        )),
    }
    checks
}

/// Whether anything says that there is a server.
fn is_configured(database: &DatabaseSettings) -> bool {
    let docker = &database.docker;
    database.url.is_some()
        || !database.libpq.is_empty()
        || docker.container.is_some()
        || docker.label.is_some()
        || docker.pattern.is_some()
}

fn not_configured() -> Check {
    let found = "no database server is configured, and none answers here";
    let remedy = format!("where only source trees are backed up, that is fine; else {SAY_WHERE}");
    Check::warn(AREA, found, remedy)
}

/// The pg_dump that a backup would run.
fn dump_client(database: &Database) -> Check {
    let major = database.server.version().major();
    match database.server.client("pg_dump") {
        Err(error) => failed(AREA, &error.into(), "install the client programs"),
        Ok(client) => match client.warning("pg_dump", major) {
            Some(warning) => {
                Check::warn(AREA, warning, format!("install postgresql-client-{major}"))
            }
            None => Check::ok(AREA, format!("pg_dump {} fits it", client.version)),
        },
    }
}

fn inside(database: &Database) -> Result<Vec<Check>, PostgresError> {
    let server = &database.server;
    let facts = server.facts(&database.name)?;
    let rights = server.rights(&database.name)?;
    let extensions = match facts.extensions.len() {
        0 => "no extensions".to_owned(),
        _ => facts
            .extensions
            .iter()
            .map(|(name, version)| format!("{name} {version}"))
            .collect::<Vec<_>>()
            .join(", "),
    };
    let mut checks = vec![Check::ok(
        AREA,
        format!(
            "database {}: {}, {}, {extensions}",
            database.name,
            size(facts.database_bytes),
            facts.locale.encoding
        ),
    )];
    checks.push(readable(&rights));
    checks.push(row_security(&rights));
    checks.extend(restoring(&rights));
    // A backup of a standby is as good as any.
    let read_only = server.read_only(&database.name)?;
    checks.extend(read_only.map(|it| {
        let found = format!("{}: it can be backed up, and not restored to", it.what);
        Check::warn(AREA, found, it.remedy)
    }));
    let unmarked = server.unmarked(&database.name)?;
    checks.extend(unmarked.into_iter().map(|(name, statement)| {
        Check::warn(
            AREA,
            format!(
                "database {name} is called like one that a restore left, and bears no mark: of \
                 an earlier version, or somebody's"
            ),
            format!("look into it; if nobody wants it: {statement}"),
        )
    }));
    Ok(checks)
}

fn readable(rights: &Rights) -> Check {
    let role = &rights.role;
    if rights.unreadable_count == 0 {
        let how = if rights.superuser {
            ", a superuser,"
        } else {
            ""
        };
        return Check::ok(AREA, format!("role {role}{how} may read every table"));
    }
    Check::fail(
        AREA,
        format!(
            "role {role} may not read {}: a backup will stop there",
            named(&rights.unreadable, rights.unreadable_count)
        ),
        format!("GRANT pg_read_all_data TO \"{role}\" (PostgreSQL 14 and newer)"),
    )
}

fn row_security(rights: &Rights) -> Check {
    if rights.row_security_count == 0 {
        return Check::ok(AREA, "row-level security hides no rows from it");
    }
    let role = &rights.role;
    Check::fail(
        AREA,
        format!(
            "row-level security hides rows of {} from role {role}: a backup will stop there",
            named(&rights.row_security, rights.row_security_count)
        ),
        format!("ALTER ROLE \"{role}\" BYPASSRLS"),
    )
}

fn restoring(rights: &Rights) -> Vec<Check> {
    let role = &rights.role;
    let mut checks = Vec::new();
    if !rights.create_databases {
        checks.push(Check::warn(
            AREA,
            format!("role {role} may not create databases: restores need that, backups do not"),
            format!(
                "ALTER ROLE \"{role}\" CREATEDB, or restore as another role or with --in-place"
            ),
        ));
    }
    if !rights.read_passwords {
        checks.push(Check::warn(
            AREA,
            format!("role {role} may not read role passwords: --globals goes without them"),
            "take the globals as a superuser, if their passwords must come back",
        ));
    }
    if checks.is_empty() {
        checks.push(Check::ok(
            AREA,
            "it may create databases and read role passwords",
        ));
    }
    checks
}

fn named(names: &[String], count: u64) -> String {
    let listed = names.join(", ");
    match count.saturating_sub(names.len() as u64) {
        0 => listed,
        more => format!("{listed} and {more} more"),
    }
}
