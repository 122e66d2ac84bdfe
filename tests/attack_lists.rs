//! Whoever may make databases chooses their names and flags: that takes no database out
//! of the backups without a word, and none is taken for another.

use std::io::Write;
use std::process::{Output, Stdio};

use crate::support::Cluster;
use crate::support::house::House;
use serde_json::Value;

fn server() -> Option<(Cluster, House)> {
    let cluster = Cluster::start()?;
    cluster.psql("postgres", "CREATE ROLE eve LOGIN CREATEDB CREATEROLE");
    cluster.create_db("shop");
    cluster.psql("shop", "CREATE TABLE t AS SELECT 1 AS i");
    Some((cluster, House::new()))
}

fn kluis(house: &House, cluster: &Cluster, arguments: &[&str]) -> (Output, String) {
    let mut command = house.kluis();
    command
        .args(arguments)
        .env("DATABASE_URL", cluster.url("postgres"));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said)
}

/// Names in a list of the report of `backup db --all`.
fn backed_up(house: &House, cluster: &Cluster, code: i32, list: &str) -> (Vec<String>, String) {
    let all = ["--json", "backup", "db", "--all", "--globals"];
    let (output, said) = kluis(house, cluster, &all);
    assert_eq!(output.status.code(), Some(code), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let made = report[list].as_array().into_iter().flatten();
    let names = made.map(|backup| backup["name"].as_str().unwrap().to_owned());
    (names.collect(), said)
}

#[test]
fn a_flag_takes_no_database_out_of_the_backups() {
    let Some((cluster, house)) = server() else {
        return;
    };
    cluster.psql("postgres", "ALTER DATABASE shop IS_TEMPLATE true");
    let (output, said) = kluis(&house, &cluster, &["backup", "db", "postgres"]);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let (output, said) = kluis(&house, &cluster, &["check"]);
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains("shop"), "{said}");
    let (made, _) = backed_up(&house, &cluster, 0, "backups");
    assert_eq!(made, ["postgres", "shop", "pg_globals"]);
    let (output, said) = kluis(&house, &cluster, &["check"]);
    assert_eq!(output.status.code(), Some(0), "{said}");
}

#[test]
fn what_calls_itself_a_leftover_is_told() {
    let Some((cluster, house)) = server() else {
        return;
    };
    cluster.psql(
        "postgres",
        "ALTER DATABASE shop RENAME TO shop_kluis_0123abcd;
         COMMENT ON DATABASE shop_kluis_0123abcd IS
           'kluis staging database, dropped by a later run [0123456789abcdef0123456789abcdef]'",
    );
    let (made, said) = backed_up(&house, &cluster, 0, "backups");
    assert_eq!(made, ["postgres", "pg_globals"]);
    assert!(said.contains("shop_kluis_0123abcd is left out"), "{said}");
}

/// A database without an encoding takes any bytes for a name; `\xff` stands for one.
fn odd(cluster: &Cluster, sql: &str) {
    let any = "CREATE DATABASE \"any\" TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'";
    cluster.psql("postgres", any);
    let mut psql = cluster.client("psql", "any");
    psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-"]);
    let mut psql = psql.stdin(Stdio::piped()).spawn().unwrap();
    let (before, after) = sql.split_once("\\xff").unwrap();
    let bytes = [before.as_bytes(), b"\xff", after.as_bytes()].concat();
    psql.stdin.take().unwrap().write_all(&bytes).unwrap();
    assert!(psql.wait().unwrap().success());
}

#[test]
fn a_name_with_other_bytes_is_no_other_database() {
    let Some((cluster, house)) = server() else {
        return;
    };
    odd(
        &cluster,
        "CREATE DATABASE \"sho\\xffp\" TEMPLATE template0;",
    );
    let (made, said) = backed_up(&house, &cluster, 3, "backups");
    assert_eq!(made, ["any", "postgres", "shop", "pg_globals"]);
    assert!(said.contains("sho\\xffp"), "{said}");
    let (failed, _) = backed_up(&house, &cluster, 3, "failed");
    assert_eq!(failed, ["sho\\xffp"]);
    let (output, said) = kluis(&house, &cluster, &["check"]);
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains("sho\\xffp"), "{said}");
    // A text that reads the same is another name.
    cluster.psql(
        "postgres",
        "CREATE DATABASE \"sho\\xffp\" TEMPLATE template0",
    );
    let (made, _) = backed_up(&house, &cluster, 3, "backups");
    assert_eq!(made.iter().filter(|name| *name == "sho\\xffp").count(), 1);
    let exclude = ["backup", "db", "--all", "--exclude-db", "sho\\\\xffp"];
    let (output, said) = kluis(&house, &cluster, &exclude);
    assert_eq!(output.status.code(), Some(0), "{said}");
}

/// Whose code may run as superuser is told by names: `postgr\xffes` is not `postgres`.
#[test]
fn a_role_with_other_bytes_is_no_other_role() {
    let Some((cluster, house)) = server() else {
        return;
    };
    odd(&cluster, "CREATE ROLE \"postgr\\xffes\";");
    cluster.psql(
        "shop",
        "DO $$ DECLARE r text; BEGIN
           FOR r IN SELECT rolname::text FROM pg_roles WHERE rolname::text ~ '^postgr.es$' LOOP
             EXECUTE pg_catalog.format('CREATE SCHEMA s AUTHORIZATION %I', r);
           END LOOP; END $$",
    );
    let (output, said) = kluis(&house, &cluster, &["backup", "db", "shop"]);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let (output, _) = kluis(&house, &cluster, &["--json", "show", "latest:shop"]);
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    let owners = shown["manifest"]["database"]["roles"].to_string();
    assert!(owners.contains("postgr\\\\xffes"), "{owners}");
}
