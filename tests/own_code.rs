//! Code of a database's own that writes while a dump fills it: what stays still, and
//! what may be taken all the same.

use crate::support::Cluster;
use crate::support::home::{Home, text};
use crate::support::majors;

/// Notes each command. The view is refreshed behind the trigger, last of all.
const NOTED: &str = "
    CREATE TABLE audit (tag text, at timestamptz DEFAULT now());
    CREATE TABLE item (id int, name text);
    INSERT INTO item SELECT g, g::text FROM generate_series(1, 10) g;
    CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS
        $$ BEGIN INSERT INTO public.audit VALUES (tg_tag); END $$;
    CREATE EVENT TRIGGER noting ON ddl_command_end EXECUTE FUNCTION note();
    CREATE MATERIALIZED VIEW sums AS SELECT sum(id) FROM item;
    ALTER TABLE item ADD PRIMARY KEY (id);
    CREATE TABLE sold (item int REFERENCES item);";

/// A constraint of a table that is filled writes into another one.
const WRITING: &str = "
    CREATE TABLE audit (at timestamptz);
    CREATE FUNCTION public.noted() RETURNS boolean LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.audit VALUES (now()); RETURN true; END $$;
    CREATE TABLE checked (i int CHECK (public.noted()));
    INSERT INTO checked VALUES (1), (2), (3);";

fn furnished(major: u32, sql: &str) -> Option<(Cluster, Home)> {
    let cluster = Cluster::of_major(major)?;
    cluster.create_db("shop");
    cluster.psql("shop", sql);
    let programs = majors::programs(major)?;
    let config = format!("[database]\nclient_bin_dir = {:?}\n", text(&programs));
    let home = Home::new()
        .configure(&config)
        .set("DATABASE_URL", &cluster.url("shop"));
    Some((cluster, home))
}

fn notes(cluster: &Cluster, database: &str) -> String {
    let sql = "SELECT string_agg(tag || at, ' ' ORDER BY tag, at) FROM audit";
    cluster.psql(database, sql)
}

fn stays_still(major: u32) {
    let Some((cluster, home)) = furnished(major, NOTED) else {
        return;
    };
    let before = notes(&cluster, "shop");
    for format in ["plain", "custom", "directory"] {
        home.run(&["backup", "db", "shop", "--format", format]);
        home.run(&["verify", "latest", "--restore"]);
        home.run(&["restore", "latest", "--into", "copy"]);
        assert_eq!(notes(&cluster, "copy"), before);
        cluster.psql("postgres", "DROP DATABASE copy");
    }
    home.run(&["restore", "latest", "--replace", "--yes", "--in-place"]);
    assert_eq!(notes(&cluster, "shop"), before);
    // It runs again for everybody, and so do the foreign keys.
    cluster.psql("shop", "DROP MATERIALIZED VIEW sums");
    assert_ne!(notes(&cluster, "shop"), before);
    let refused = "DO $$ BEGIN INSERT INTO sold VALUES (11); RAISE 'taken';
        EXCEPTION WHEN foreign_key_violation THEN NULL; END $$";
    cluster.psql("shop", refused);
}

#[test]
fn what_an_event_trigger_noted_in_14_stays_as_it_was() {
    stays_still(14);
}

#[test]
fn what_an_event_trigger_noted_in_15_stays_as_it_was() {
    stays_still(15);
}

#[test]
fn what_an_event_trigger_noted_in_18_stays_as_it_was() {
    stays_still(18);
}

/// What the dump says of a foreign key is looked at: triggers that stay still do not
/// let wrong rows in.
#[test]
fn rows_without_their_referenced_row_are_refused() {
    let sql = "CREATE TABLE item (id int PRIMARY KEY);
        CREATE TABLE sold (item int REFERENCES item);
        SET session_replication_role = replica;
        INSERT INTO sold VALUES (11);";
    let Some((cluster, home)) = furnished(15, sql) else {
        return;
    };
    home.run(&["backup", "db", "shop"]);
    let restored = home
        .kluis(&["restore", "latest", "--into", "copy"])
        .output();
    let output = restored.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("sold_item_fkey"), "{said}");
    let there = "SELECT count(*) FROM pg_database WHERE datname = 'copy'";
    assert_eq!(cluster.psql("postgres", there), "0");
}

#[test]
fn a_copy_that_differs_is_taken_only_where_that_is_said_and_is_named() {
    let Some((cluster, home)) = furnished(15, WRITING) else {
        return;
    };
    home.run(&["backup", "db", "shop"]);
    for ways in [&["--into", "copy"][..], &["--replace", "--yes"]] {
        let arguments = [&["restore", "latest"], ways].concat();
        let output = home.ends(4, &arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("public.audit has 6 rows instead of 3"),
            "{said}"
        );
        assert!(said.contains("--accept-differences"), "{said}");
    }
    let rows = |database| cluster.psql(database, "SELECT count(*) FROM audit");
    assert_eq!(rows("shop"), "3");
    for (name, ways) in [
        ("copy", &["--into", "copy"][..]),
        ("shop", &["--replace", "--yes"]),
    ] {
        let arguments = [&["restore", "latest", "--accept-differences"], ways].concat();
        let output = home.ends(3, &arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("public.audit has 6 rows instead of 3"),
            "{said}"
        );
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(shown.contains("AND DIFFERS"), "{shown}");
        assert_eq!(rows(name), "6");
    }
}
