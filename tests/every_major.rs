//! The round trip on every major of PostgreSQL: a database of 200 tables with
//! everything that a dump has to carry is backed up, restored beside itself and
//! in its own place, and must dump as before.

use std::path::Path;
use std::process::Command;

use crate::support::Cluster;
use crate::support::home::{Home, text};
use crate::support::majors;
use crate::support::soak::by_turns;

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
fn furnished(major: u32, locale: &str, content: &[&str]) -> Option<(Cluster, Home)> {
    let cluster = Cluster::of_major(major)?;
    cluster.psql("postgres", ROLES);
    let name = quoted(NAME);
    let create = format!("CREATE DATABASE {name} TEMPLATE template0 {locale}");
    cluster.psql("postgres", &create);
    for sql in content {
        cluster.psql(NAME, sql);
    }
    let attributes = ATTRIBUTES.replace("DATABASE name", &format!("DATABASE {name}"));
    cluster.psql("postgres", &attributes);
    let home = home_at(&cluster, major)?;
    Some((cluster, home))
}

fn home_at(cluster: &Cluster, major: u32) -> Option<Home> {
    let programs = majors::programs(major)?;
    let home = Home::new().configure(&client_bin_dir(&programs));
    Some(home.set("DATABASE_URL", &cluster.url("postgres")))
}

fn client_bin_dir(programs: &Path) -> String {
    format!("[database]\nclient_bin_dir = {:?}\n", text(programs))
}

/// What pg_dump says of a database.
fn dump(cluster: &Cluster, database: &str, arguments: &[&str]) -> String {
    said_by(cluster.client("pg_dump", database).args(arguments))
}

/// A pg_dump's output in a session whose settings are not the database's own,
/// without the random key of its restriction and the versions.
fn said_by(pg_dump: &mut Command) -> String {
    pg_dump.env("PGOPTIONS", "-c timezone=UTC -c bytea_output=hex");
    let output = pg_dump.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "pg_dump: {said}");
    let text = String::from_utf8(output.stdout).unwrap();
    let varies = ["\\restrict ", "\\unrestrict ", "-- Dumped "];
    let stays = |line: &&str| !varies.iter().any(|start| line.starts_with(start));
    text.lines().filter(stays).collect::<Vec<_>>().join("\n")
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

/// In each format, in a soak, or else one: into a throwaway server, into a new database, then in place
/// of the old one after that was spoilt.
fn comes_back(major: u32) {
    let content = [EVERY_TYPE, EVERYTHING];
    let Some((cluster, home)) = furnished(major, locale(major), &content) else {
        return;
    };
    let tables = "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p', 'f') AND oid >= 16384";
    assert_eq!(cluster.psql(NAME, tables), "200");
    let before = dump(&cluster, NAME, &[]);
    let before_whole = dump(&cluster, NAME, &["--create"]);
    for format in by_turns(&["plain", "custom", "directory"], major as usize) {
        home.run(&["backup", "db", NAME, "--format", format]);
        home.run(&["verify", "latest:db", "--restore"]);
        assert_eq!(home.json(&["list"])["backups"][0]["proof"], "restored");
        let copy = format!("a \"copy\" of {format}");
        home.run(&["restore", "latest:db", "--into", &copy]);
        assert_same(
            &before,
            &dump(&cluster, &copy, &[]),
            &format!("{format} --into"),
        );
        let spoil =
            "SET default_transaction_read_only = off; DROP SCHEMA büro CASCADE; TRUNCATE bytes;";
        cluster.psql(NAME, spoil);
        home.run(&["restore", "latest:db", "--replace", "--yes"]);
        let after = dump(&cluster, NAME, &["--create"]);
        assert_same(&before_whole, &after, &format!("{format} --replace"));
        let others =
            "SELECT string_agg(datname, ' ') FROM pg_database WHERE datname LIKE '%kluis%'";
        assert_eq!(cluster.psql("postgres", others), "", "left behind");
    }
}

#[test]
fn everything_comes_back_in_every_format_on_14() {
    comes_back(14);
}

#[test]
fn everything_comes_back_in_every_format_on_15() {
    comes_back(15);
}

#[test]
fn everything_comes_back_in_every_format_on_16() {
    comes_back(16);
}

#[test]
fn everything_comes_back_in_every_format_on_17() {
    comes_back(17);
}

#[test]
fn everything_comes_back_in_every_format_on_18() {
    comes_back(18);
}

/// Backed up on one major, restored on a newer one, whose pg_dump must name the
/// same objects and print the same rows of both. (Definitions are not printed
/// alike by two majors, and the schema `public` is another one since 15.)
fn moves_up(from: u32, newer: &Cluster, to: u32, content: &[&str]) {
    let Some((older, home)) = furnished(from, "", content) else {
        return;
    };
    home.run(&["backup", "db", NAME]);
    newer.psql("postgres", ROLES);
    newer.create_db("moved");
    let Some(programs) = majors::programs(to) else {
        return;
    };
    let home = home
        .configure(&client_bin_dir(&programs))
        .set("DATABASE_URL", &newer.url("postgres"));
    home.run(&["restore", "latest:db", "--into", "moved"]);
    let before = |argument: &str| {
        let mut pg_dump = newer.client("pg_dump", "moved");
        said_by(pg_dump.args([argument, "--dbname", &older.url(NAME)]))
    };
    let [schema, data] = ["--schema-only", "--data-only"];
    assert_same(&before(data), &dump(newer, "moved", &[data]), "rows");
    let moved = dump(newer, "moved", &[schema]);
    assert_eq!(objects(&before(schema)), objects(&moved), "objects");
}

/// The titles that pg_dump gives the objects, sorted.
fn objects(dump: &str) -> Vec<&str> {
    let is_public = |title: &str| {
        ["public; ", "SCHEMA public; "]
            .iter()
            .any(|name| title.starts_with(name))
    };
    let titles = dump
        .lines()
        .filter_map(|line| line.strip_prefix("-- Name: "));
    let mut titles: Vec<&str> = titles.filter(|title| !is_public(title)).collect();
    titles.sort_unstable();
    titles
}

#[test]
fn everything_moves_from_14_to_15() {
    if let Some(newer) = Cluster::start() {
        moves_up(14, &newer, 15, &[EVERY_TYPE, EVERYTHING]);
    }
}

#[test]
fn everything_moves_from_14_to_18() {
    if let Some(newer) = Cluster::of_major(18) {
        moves_up(14, &newer, 18, &[EVERY_TYPE, EVERYTHING]);
    }
}

/// Debian's 15 has ICU collations in everything.sql, our 18 knows no ICU.
#[test]
fn every_type_moves_from_15_to_18() {
    if let Some(newer) = Cluster::of_major(18) {
        moves_up(15, &newer, 18, &[EVERY_TYPE]);
    }
}
