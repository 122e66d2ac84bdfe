//! Manifests that somebody who can write to the storage plants there: every string
//! of a real one in turn is a hostile value, for every kind of backup. Nothing of it
//! becomes a command, a connection or a file.
//!
//! Succeeds on 861f450: a command or an option of pg_dump made a file (the first is
//! enough to fail).
//!
//! Without a key nothing is foreign: what is planted is read as far as it goes. In a
//! soak all pairs of field and value are read by every command that reads manifests, or
//! else a fourth; they are proven and restored by turns, and the sharpest ones always.

use std::fs;

use crate::support::Cluster;
use crate::support::field::{CUSTOM, DIRECTORY, Field, GLOBALS, Kind, PLAIN, TREE, around};
use crate::support::house::House;
use crate::support::soak::rounds;

const SCHEMA: &str = "CREATE ROLE owner_of_it; CREATE SCHEMA s; CREATE SEQUENCE s.q;
    CREATE TABLE s.t (a int, m money); ALTER TABLE s.t OWNER TO owner_of_it;
    INSERT INTO s.t VALUES (1, 2), (3, 4); SELECT nextval('s.q');";

/// Reads all, and does `restore` with those whose turn it is.
fn hold(field: &Field, kind: &Kind, pairs_min: usize, restore: &dyn Fn(&str)) {
    field.house.run(kind.backup);
    let (archives, file) = field.genuine(kind.archive);
    let genuine = archives.last().unwrap();
    let before = around(field);
    let (pairs, chosen) = field.plant_all(genuine, &file);
    assert!(pairs > rounds(pairs_min), "only {pairs} pairs");
    field.readings();
    field.one_by_one(genuine, &chosen, &|name| {
        field.try_to(&["show", name]);
        field.try_to(&["verify", name]);
        restore(name);
    });
    let (what, restored) = (kind.archive.join(".."), chosen.len());
    eprintln!("{what}: {pairs} planted manifests read, {restored} of them restored");
    assert_eq!(around(field), before, "files beside the storage");
    assert!(
        field.files().contains(genuine),
        "the genuine one is gone from {what}"
    );
}

/// A house without a key, with its server's address in its environment file.
fn field(cluster: &Cluster) -> Field {
    cluster.create_db("shop");
    cluster.psql("shop", SCHEMA);
    let mut house = House::keyless();
    house.set("DATABASE_URL", &cluster.url("shop"));
    Field::new(house)
}

fn dumps_hold(kind: &Kind) {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let field = field(&cluster);
    hold(&field, kind, 2_000, &|name| {
        field.try_to(&["verify", "--restore", name]);
        let in_server = ["--in-server", "--as-superuser", name];
        field.try_to(&[&["verify", "--restore"], &in_server[..]].concat());
        field.try_to(&["restore", name, "--into", "copy", "--yes"]);
        cluster.psql("postgres", "DROP DATABASE IF EXISTS copy");
    });
}

#[test]
fn no_string_of_a_plain_dumps_manifest_becomes_a_command_a_connection_or_a_file() {
    dumps_hold(&PLAIN);
}

#[test]
fn no_string_of_a_custom_dumps_manifest_becomes_a_command_a_connection_or_a_file() {
    dumps_hold(&CUSTOM);
}

#[test]
fn no_string_of_a_directory_dumps_manifest_becomes_a_command_a_connection_or_a_file() {
    dumps_hold(&DIRECTORY);
}

#[test]
fn no_string_of_the_globals_manifest_becomes_a_command_a_connection_or_a_file() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let field = field(&cluster);
    hold(&field, &GLOBALS, 1_500, &|name| {
        field.try_to(&["verify", "--restore", name]);
        // The role that comes back is the one that has to be missing.
        cluster.psql("shop", "ALTER TABLE s.t OWNER TO postgres");
        cluster.psql("shop", "DROP ROLE IF EXISTS owner_of_it");
        field.try_to(&["restore", name, "--in-place", "--yes"]);
    });
}

#[test]
fn no_string_of_a_trees_manifest_becomes_a_command_a_connection_or_a_file() {
    let house = House::keyless();
    fs::create_dir(house.path("tree")).unwrap();
    fs::write(house.path("tree/file"), "content").unwrap();
    let field = Field::new(house);
    hold(&field, &TREE, 1_000, &|name| {
        field.try_to(&["verify", "--restore", name]);
        field.try_to(&["restore", name, "--to", "out", "--yes"]);
        let _ = fs::remove_dir_all(field.house.path("out"));
    });
}
