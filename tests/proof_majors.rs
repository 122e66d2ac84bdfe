//! `verify --restore` on every major of PostgreSQL, of a database of 200 tables
//! with everything that a dump has to carry: in a throwaway server, and in the
//! server that it came from, which has lost its roles since.

use std::fs;

use crate::support;
use crate::support::Cluster;
use crate::support::home::{Home, text};
use crate::support::majors;

const ROLES: [&str; 3] = ["kluis_reader", "kluis_writer", r#""kluis ""odd"" rôle""#];
const EVERY_TYPE: &str = include_str!("data/every_type.sql");
const EVERYTHING: &str = include_str!("data/everything.sql");

/// Settings that change what a dump looks like, and stay behind in its server.
const SETTINGS: &str = "ALTER DATABASE every SET timezone TO 'Asia/Kathmandu';
    ALTER DATABASE every SET bytea_output TO 'escape';
    ALTER DATABASE every SET datestyle TO 'SQL, DMY';
    ALTER DATABASE every SET default_transaction_read_only TO on;";

fn is_proven(major: u32) {
    let (Some(cluster), Some(programs)) = (Cluster::of_major(major), majors::programs(major))
    else {
        return;
    };
    for role in ROLES {
        cluster.psql("postgres", &format!("CREATE ROLE {role}"));
    }
    cluster.create_db("every");
    cluster.psql("every", EVERY_TYPE);
    cluster.psql("every", EVERYTHING);
    cluster.psql("postgres", SETTINGS);
    let work = support::open_directory(0o755);
    let config = format!(
        "work_dir = {:?}\n[database]\nclient_bin_dir = {:?}\n",
        text(work.path()),
        text(&programs)
    );
    let home = Home::new()
        .configure(&config)
        .set("DATABASE_URL", &cluster.url("postgres"));
    home.run(&["backup", "db", "every"]);
    cluster.psql("postgres", "DROP DATABASE every");
    for role in ROLES {
        cluster.psql("postgres", &format!("DROP ROLE {role}"));
    }
    let everything = "SELECT datname FROM pg_database UNION SELECT rolname FROM pg_roles";
    let before = cluster.psql("postgres", everything);
    for flags in [[].as_slice(), &["--in-server", "--as-superuser"]] {
        let shown = home.json(&[&["verify", "latest", "--restore"], flags].concat());
        let row = &shown["backups"][0];
        assert_eq!(row["level"], "restored", "{row}");
        assert_eq!(row["warnings"], serde_json::json!([]), "{row}");
        assert_eq!(fs::read_dir(work.path()).unwrap().count(), 0);
        assert_eq!(cluster.psql("postgres", everything), before);
    }
}

#[test]
fn a_database_of_14_is_proven() {
    is_proven(14);
}

#[test]
fn a_database_of_15_is_proven() {
    is_proven(15);
}

#[test]
fn a_database_of_16_is_proven() {
    is_proven(16);
}

#[test]
fn a_database_of_17_is_proven() {
    is_proven(17);
}

#[test]
fn a_database_of_18_is_proven() {
    is_proven(18);
}
