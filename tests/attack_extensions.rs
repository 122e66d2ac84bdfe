//! A database's owner adds what it owns to an extension that it made: pg_dump holds
//! none of that any more, and a backup that looked whole would lose it.

use std::process::Output;

use crate::support::Cluster;
use crate::support::house::House;

/// `shop` is mallory's, who is nobody; hstore is hers too.
const WRITTEN: &str = "ALTER DATABASE shop OWNER TO mallory;
     SET ROLE mallory;
     CREATE EXTENSION hstore;
     CREATE SCHEMA m; CREATE TABLE m.kept AS SELECT 1 AS i;
     CREATE TABLE m.\"hid\nden\" AS SELECT 2 AS i;
     CREATE TABLE m.empty (i int);
     CREATE SEQUENCE m.numbers; SELECT pg_catalog.nextval('m.numbers');
     CREATE FUNCTION m.made() RETURNS int LANGUAGE sql AS 'SELECT 1'";

fn mallorys() -> Option<(Cluster, House)> {
    let cluster = Cluster::start()?;
    let there = "SELECT count(*) FROM pg_available_extensions WHERE name IN ('hstore', 'citext')";
    if cluster.psql("postgres", there) != "2" {
        let reason = "no hstore and citext (install the package postgresql-contrib)";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
        eprintln!("skipped: {reason}");
        return None;
    }
    cluster.psql("postgres", "CREATE ROLE mallory LOGIN");
    cluster.create_db("shop");
    cluster.psql("shop", WRITTEN);
    Some((cluster, House::new()))
}

fn back_up(cluster: &Cluster, house: &House, more: &[&str]) -> Output {
    let mut command = house.kluis();
    command.args(["backup", "db", "shop"]).args(more);
    command.env("DATABASE_URL", cluster.url("shop"));
    command.output().unwrap()
}

/// What a backup ends with, and what it says.
fn said(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout[..], &output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn what_an_owner_adds_to_an_extension_is_named_and_the_backup_incomplete() {
    let Some((cluster, house)) = mallorys() else {
        return;
    };
    let (code, text) = said(&back_up(&cluster, &house, &[]));
    assert_eq!(code, Some(0), "{text}");
    for (added, name) in [
        ("TABLE m.\"hid\nden\"", r#"table m."hid\nden""#),
        ("SEQUENCE m.numbers", "sequence m.numbers"),
        ("FUNCTION m.made()", "function m.made()"),
        ("SCHEMA m", "schema m"),
    ] {
        let alter = |how| format!("SET ROLE mallory; ALTER EXTENSION hstore {how} {added}");
        cluster.psql("shop", &alter("ADD"));
        for format in ["plain", "custom", "directory"] {
            let (code, text) = said(&back_up(&cluster, &house, &["--format", format]));
            assert_eq!(code, Some(3), "{added}: {text}");
            assert!(text.contains(name), "{name}: {text}");
        }
        let (code, text) = said(&house.run(&["show", "latest"]));
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains(name), "{name}: {text}");
        cluster.psql("shop", &alter("DROP"));
    }
    let (code, text) = said(&back_up(&cluster, &house, &[]));
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn what_extensions_made_themselves_leaves_a_backup_whole() {
    let Some((cluster, house)) = mallorys() else {
        return;
    };
    // Rows of a script's own, as PostGIS has them, and an empty table that was added;
    // what a superuser's script has made is the extension's.
    cluster.psql(
        "shop",
        "CREATE EXTENSION citext;
         CREATE SCHEMA own; CREATE TABLE own.fixed AS SELECT 1 AS i;
         CREATE TABLE own.config AS SELECT 1 AS i;
         ALTER TABLE own.config OWNER TO mallory;
         ALTER EXTENSION citext ADD SCHEMA own; ALTER EXTENSION citext ADD TABLE own.fixed;
         ALTER EXTENSION citext ADD TABLE own.config;
         UPDATE pg_extension SET extconfig = ARRAY['own.config'::regclass], extcondition = '{\"\"}'
          WHERE extname = 'citext';
         SET ROLE mallory; ALTER EXTENSION hstore ADD TABLE m.empty",
    );
    let (code, text) = said(&back_up(&cluster, &house, &[]));
    assert_eq!(code, Some(0), "{text}");
}
