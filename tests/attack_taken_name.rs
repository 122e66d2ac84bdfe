//! A stranger holds the name that a restore is to go to: what comes into a database
//! belongs to whoever owns it.

use std::process::Output;

use crate::support::Cluster;
use crate::support::house::House;

/// A backup of the database `bobs`, and eve, who may make databases.
fn bobs() -> Option<(Cluster, House)> {
    let cluster = Cluster::start()?;
    let roles = "CREATE ROLE bob LOGIN CREATEDB; CREATE ROLE eve LOGIN CREATEDB; CREATE ROLE other";
    cluster.psql("postgres", roles);
    cluster.create_db("bobs");
    let bobs =
        "ALTER DATABASE bobs OWNER TO bob; SET ROLE bob; CREATE TABLE public.t AS SELECT 1 AS i";
    cluster.psql("bobs", bobs);
    let house = House::new();
    let (output, said) = kluis(&house, &cluster.url("bobs"), &["backup", "db", "bobs"]);
    assert_eq!(output.status.code(), Some(0), "{said}");
    Some((cluster, house))
}

fn kluis(house: &House, url: &str, arguments: &[&str]) -> (Output, String) {
    let mut command = house.kluis();
    command.args(arguments).env("DATABASE_URL", url);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said)
}

fn into(house: &House, url: &str, name: &str) -> (Option<i32>, String) {
    let restore = ["restore", "latest:bobs", "--into", name, "--yes"];
    let (output, said) = kluis(house, url, &restore);
    (output.status.code(), said)
}

fn make(cluster: &Cluster, role: &str, name: &str) {
    let sql = format!("CREATE DATABASE {name} TEMPLATE template0 OWNER {role}");
    cluster.psql("postgres", &sql);
}

fn tables(cluster: &Cluster, name: &str) -> String {
    let sql = "SELECT count(*) FROM pg_class WHERE relname = 't' AND relkind = 'r'";
    cluster.psql(name, sql)
}

#[test]
fn an_empty_database_of_a_stranger_is_not_taken() {
    let Some((cluster, house)) = bobs() else {
        return;
    };
    make(&cluster, "eve", "bobs_copy");
    let (code, said) = into(&house, &cluster.url("bobs"), "bobs_copy");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("\"eve\""), "{said}");
    assert!(said.contains("another name"), "{said}");
    assert_eq!(tables(&cluster, "bobs_copy"), "0");
    // Nor is it filled where it stands.
    let in_place = [
        "restore",
        "latest:bobs",
        "--into",
        "bobs_copy",
        "--in-place",
        "--yes",
    ];
    let (output, said) = kluis(&house, &cluster.url("bobs"), &in_place);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("\"eve\""), "{said}");
}

#[test]
fn an_empty_database_of_ours_or_of_the_dumps_owner_is_taken() {
    let Some((cluster, house)) = bobs() else {
        return;
    };
    for (owner, name) in [("postgres", "ours"), ("bob", "his")] {
        make(&cluster, owner, name);
        let (code, said) = into(&house, &cluster.url("bobs"), name);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(tables(&cluster, name), "1");
        let sql = format!("SELECT datdba::regrole FROM pg_database WHERE datname = '{name}'");
        assert_eq!(cluster.psql("postgres", &sql), owner);
    }
    // Who restores as himself owns it.
    make(&cluster, "bob", "his_own");
    let url = cluster.url("bobs").replace("postgres@", "bob@");
    let (code, said) = into(&house, &url, "his_own");
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn what_somebody_has_set_or_granted_in_it_is_not_taken_over() {
    let Some((cluster, house)) = bobs() else {
        return;
    };
    for (name, change) in [
        ("set", "ALTER DATABASE set SET search_path = eve"),
        ("granted", "GRANT CREATE ON DATABASE granted TO eve"),
        ("opened", "GRANT CREATE ON DATABASE opened TO PUBLIC"),
    ] {
        let name = &format!("\"{name}\"");
        make(&cluster, "bob", name);
        let change = change.replace("DATABASE set", "DATABASE \"set\"");
        cluster.psql("postgres", &change);
        let name = name.trim_matches('"');
        let (code, said) = into(&house, &cluster.url("bobs"), name);
        assert_eq!(code, Some(1), "{said}");
        assert_eq!(tables(&cluster, name), "0");
    }
}

/// As the database may be eve's that gives others what bob's has.
#[test]
fn one_that_owns_a_part_of_the_dump_is_a_stranger_to_the_rest() {
    let Some((cluster, house)) = bobs() else {
        return;
    };
    cluster.psql("bobs", "CREATE SCHEMA e AUTHORIZATION eve");
    let (output, said) = kluis(&house, &cluster.url("bobs"), &["backup", "db", "bobs"]);
    assert_eq!(output.status.code(), Some(0), "{said}");
    make(&cluster, "eve", "bobs_copy");
    let (code, said) = into(&house, &cluster.url("bobs"), "bobs_copy");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("\"eve\""), "{said}");
}
