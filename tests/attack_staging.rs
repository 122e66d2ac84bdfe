//! Another role of the server in a database that is being filled: what it makes
//! there, a superuser's session would find. Succeeds on 861f450: everybody may enter.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::Cluster;
use crate::support::house::House;

const PATIENCE: Duration = Duration::from_secs(60);

/// A copy waits in its first row until the role `go` is there.
const HELD: &str = "CREATE ROLE mallory LOGIN;
    CREATE FUNCTION hold() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
      WHILE pg_catalog.current_database() <> 'shop'
          AND NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'go') LOOP
        PERFORM pg_catalog.pg_sleep(0.05);
      END LOOP;
      RETURN true; END $$;
    CREATE TABLE t (i int CHECK (hold()));
    INSERT INTO t VALUES (1);";

#[test]
fn nobody_else_enters_a_database_before_it_is_in_its_place() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql("shop", HELD);
    let house = House::new();
    let kluis = |arguments: &[&str]| {
        let mut command = house.kluis();
        command
            .args(arguments)
            .env("DATABASE_URL", cluster.url("shop"))
            .stderr(Stdio::null());
        command
    };
    assert!(kluis(&["backup", "db", "shop"]).status().unwrap().success());
    let ask = |sql: &str| cluster.psql("postgres", sql);
    let begun = Instant::now();
    let mut restore = kluis(&["restore", "latest", "--into", "copy"]);
    let mut restore = restore.stdout(Stdio::null()).spawn().unwrap();
    let waits = "SELECT coalesce(max(datname), '') FROM pg_stat_activity
                  WHERE datname ~ '_kluis_' AND wait_event = 'PgSleep'";
    while ask(waits).is_empty() {
        assert!(restore.try_wait().unwrap().is_none(), "it ended before");
        assert!(begun.elapsed() < PATIENCE, "no copy");
    }
    let enter = |database: &str| {
        let mut psql = cluster.client("psql", database);
        psql.env("PGUSER", "mallory").args(["-X", "-c", "SELECT 1"]);
        psql.output().unwrap().status.success()
    };
    let staging = "SELECT datname FROM pg_database WHERE datname ~ '_kluis_'";
    let entered = enter(&ask(staging));
    ask("CREATE ROLE go");
    assert!(restore.wait().unwrap().success());
    assert!(!entered, "mallory was in the staging database");
    // In its place it is as open as any new one.
    assert!(enter("copy"));
}
