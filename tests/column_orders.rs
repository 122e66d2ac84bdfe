//! Tables whose columns pg_dump gives back in another order, on every major: proof
//! and restore must say of them what is so. Inheritance trees, dropped columns,
//! attached partitions, odd names, tables without columns.

use crate::support::Cluster;
use crate::support::home::{Home, text};
use crate::support::majors;
use crate::support::soak::by_turns;

const ORDERS: &str = include_str!("data/column_orders.sql");

/// As a tree's tables have them; large and odd names apart.
const COLUMNS: &str = "SELECT string_agg(attrelid::regclass || ':' || columns, ' ' ORDER BY 1)
    FROM (SELECT attrelid, string_agg(attname, ',' ORDER BY attnum) AS columns
            FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
           WHERE attnum > 0 AND NOT attisdropped AND relkind = 'r'
             AND relnamespace = 'public'::regnamespace GROUP BY attrelid) AS tables";

fn furnished(major: u32) -> Option<(Cluster, Home)> {
    let cluster = Cluster::of_major(major)?;
    cluster.create_db("tree");
    cluster.psql("tree", ORDERS);
    let config = format!(
        "[database]\nclient_bin_dir = {:?}\n",
        text(&majors::programs(major)?)
    );
    let home = Home::new()
        .configure(&config)
        .set("DATABASE_URL", &cluster.url("tree"));
    Some((cluster, home))
}

/// In every format, in a soak, or else one: proven, restored beside itself, in its own place and within one
/// transaction, a part of it, and once more as a copy of the copy.
fn comes_back(major: u32) {
    let Some((cluster, home)) = furnished(major) else {
        return;
    };
    let columns = cluster.psql("tree", COLUMNS);
    for format in by_turns(&["plain", "custom", "directory"], major as usize) {
        home.run(&["backup", "db", "tree", "--format", format]);
        home.run(&["verify", "latest", "--restore"]);
        home.run(&["restore", "latest", "--into", "copy"]);
        assert_ne!(cluster.psql("copy", COLUMNS), columns, "the order was kept");
        cluster.psql("postgres", "CREATE DATABASE empty TEMPLATE template0");
        home.run(&["restore", "latest", "--into", "empty", "--in-place"]);
        home.run(&[
            "restore",
            "latest",
            "--into",
            "part",
            "-t",
            "late_child",
            "-t",
            "parent",
        ]);
        for made in ["copy", "empty", "part"] {
            cluster.psql("postgres", &format!("DROP DATABASE {made}"));
        }
    }
    home.run(&["restore", "latest", "--replace", "--yes"]);
    assert_ne!(cluster.psql("tree", COLUMNS), columns);
}

#[test]
fn trees_of_14_come_back() {
    comes_back(14);
}

#[test]
fn trees_of_15_come_back() {
    comes_back(15);
}

#[test]
fn trees_of_16_come_back() {
    comes_back(16);
}

#[test]
fn trees_of_17_come_back() {
    comes_back(17);
}

#[test]
fn trees_of_18_come_back() {
    comes_back(18);
}

/// Other ways to write the rows: a partition's under its root, and as `INSERT`s.
#[test]
fn trees_come_back_from_dumps_with_other_options() {
    for option in [
        "--load-via-partition-root",
        "--column-inserts",
        "--rows-per-insert=7",
    ] {
        let Some(cluster) = Cluster::start() else {
            return;
        };
        cluster.create_db("tree");
        cluster.psql("tree", ORDERS);
        // Values without names fit no other order: pg_dump says so itself.
        if option.starts_with("--rows") {
            cluster.psql("tree", "DROP TABLE parent, dropped_parent, generated_parent, large_parent, \"odd \"\" schema\".\"parent\n\" CASCADE");
        }
        let config = format!("[database]\ndump_options = [{option:?}]\n");
        let home = Home::new()
            .configure(&config)
            .set("DATABASE_URL", &cluster.url("tree"));
        home.run(&["backup", "db", "tree"]);
        home.run(&["verify", "latest", "--restore"]);
        home.run(&["restore", "latest", "--into", "copy"]);
    }
}
