//! The round trip on every major of PostgreSQL: a database of 200 tables with
//! everything that a dump has to carry is backed up, restored beside itself and
//! in its own place, and must dump as before.

#[path = "support/home.rs"]
mod home;
#[path = "support/majors.rs"]
mod majors;
mod support;

use home::{Home, text};
use support::Cluster;

const ROLES: &str =
    r#"CREATE ROLE kluis_reader; CREATE ROLE kluis_writer; CREATE ROLE "kluis ""odd"" rôle";"#;
const EVERY_TYPE: &str = include_str!("data/every_type.sql");
const EVERYTHING: &str = include_str!("data/everything.sql");

/// Quotes, a dot, a blank, a letter of two bytes.
const NAME: &str = "every.\"thing\" it's ü";

/// What belongs to a database and is not in its dump.
const ATTRIBUTES: &str = r#"
COMMENT ON DATABASE name IS E'it''s\nthe \\ comment';
ALTER DATABASE name CONNECTION LIMIT 50;
ALTER DATABASE name SET search_path TO "$user", public, "odd, ""path""";
ALTER DATABASE name SET timezone TO 'Asia/Kathmandu';
ALTER DATABASE name SET datestyle TO 'SQL, DMY';
ALTER DATABASE name SET intervalstyle TO 'iso_8601';
ALTER DATABASE name SET bytea_output TO 'escape';
ALTER DATABASE name SET extra_float_digits TO 0;
ALTER DATABASE name SET default_transaction_read_only TO on;
ALTER DATABASE name SET my_app.tenant TO E'it''s; \\ "one"';
ALTER ROLE kluis_reader IN DATABASE name SET work_mem TO '7MB';
ALTER ROLE "kluis ""odd"" rôle" IN DATABASE name SET temp_tablespaces TO '';
REVOKE ALL ON DATABASE name FROM PUBLIC;
GRANT CONNECT ON DATABASE name TO PUBLIC;
GRANT CREATE, TEMPORARY ON DATABASE name TO kluis_reader WITH GRANT OPTION;
GRANT CREATE ON DATABASE name TO "kluis ""odd"" rôle";
ALTER DATABASE name OWNER TO kluis_writer;
"#;

/// What each major's build can be asked for.
fn locale(major: u32) -> &'static str {
    match major {
        15 => "LOCALE_PROVIDER icu ICU_LOCALE 'sv-SE'",
        17.. => "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'",
        _ => "LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'",
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The cluster with its database, and a home whose kluis goes there.
fn furnished(major: u32) -> Option<(Cluster, Home)> {
    let cluster = Cluster::of_major(major)?;
    cluster.psql("postgres", ROLES);
    let name = quoted(NAME);
    let create = format!(
        "CREATE DATABASE {name} TEMPLATE template0 {};",
        locale(major)
    );
    cluster.psql("postgres", &create);
    cluster.psql(NAME, EVERY_TYPE);
    cluster.psql(NAME, EVERYTHING);
    let attributes = ATTRIBUTES.replace("DATABASE name", &format!("DATABASE {name}"));
    cluster.psql("postgres", &attributes);
    let home = home_at(&cluster, major)?;
    Some((cluster, home))
}

fn home_at(cluster: &Cluster, major: u32) -> Option<Home> {
    let programs = majors::programs(major)?;
    let client_bin_dir = format!("[database]\nclient_bin_dir = {:?}\n", text(&programs));
    let home = Home::new().configure(&client_bin_dir);
    Some(home.set("DATABASE_URL", &cluster.url("postgres")))
}

/// What pg_dump says of a database, in settings that do not depend on the
/// database's own, but for the random key of its restriction.
fn dump(cluster: &Cluster, database: &str, arguments: &[&str]) -> String {
    let mut pg_dump = cluster.client("pg_dump", database);
    pg_dump
        .args(arguments)
        .env("PGOPTIONS", "-c timezone=UTC -c bytea_output=hex");
    let output = pg_dump.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "pg_dump: {said}");
    let text = String::from_utf8(output.stdout).unwrap();
    let is_random =
        |line: &&str| line.starts_with("\\restrict ") || line.starts_with("\\unrestrict ");
    text.lines()
        .filter(|line| !is_random(line))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Shows the first line that differs: the whole dumps would fill the screen.
fn assert_same(before: &str, after: &str, what: &str) {
    let differs = |(number, (one, other)): (usize, (&str, &str))| {
        (one != other).then(|| format!("line {}:\n  {one}\n  {other}", number + 1))
    };
    let lines = before.lines().zip(after.lines()).enumerate();
    let first = lines.filter_map(differs).next();
    assert!(first.is_none(), "{what}: {}", first.unwrap_or_default());
    assert_eq!(before.len(), after.len(), "{what}: one goes on");
}

/// Into a new database, then in place of the old one after that was spoilt.
fn comes_back(major: u32, format: &str) {
    let Some((cluster, home)) = furnished(major) else {
        return;
    };
    let tables = "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p', 'f') AND oid >= 16384";
    assert_eq!(cluster.psql(NAME, tables), "200");
    let before = dump(&cluster, NAME, &[]);
    let before_whole = dump(&cluster, NAME, &["--create"]);
    home.run(&["backup", "db", NAME, "--format", format]);
    home.run(&["verify", "latest:db"]);
    home.run(&["restore", "latest:db", "--into", "a \"copy\""]);
    assert_same(&before, &dump(&cluster, "a \"copy\"", &[]), "--into");
    cluster.psql("postgres", "DROP DATABASE \"a \"\"copy\"\"\"");
    let spoil =
        "SET default_transaction_read_only = off; DROP SCHEMA büro CASCADE; TRUNCATE bytes;";
    cluster.psql(NAME, spoil);
    home.run(&["restore", "latest:db", "--replace", "--yes"]);
    assert_same(
        &before_whole,
        &dump(&cluster, NAME, &["--create"]),
        "--replace",
    );
    let others = "SELECT string_agg(datname, ' ') FROM pg_database WHERE datname LIKE '%kluis%'";
    assert_eq!(cluster.psql("postgres", others), "", "left behind");
}

#[test]
fn plain_comes_back_on_14() {
    comes_back(14, "plain");
}

#[test]
fn plain_comes_back_on_15() {
    comes_back(15, "plain");
}

#[test]
fn plain_comes_back_on_16() {
    comes_back(16, "plain");
}

#[test]
fn plain_comes_back_on_17() {
    comes_back(17, "plain");
}

#[test]
fn plain_comes_back_on_18() {
    comes_back(18, "plain");
}
