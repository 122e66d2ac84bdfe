//! Databases of somebody's that have the name of a restore's own. The first two
//! succeed on 861f450: the databases are dropped.

use std::process::{Child, Output, Stdio};

use serde_json::Value;

use crate::support::Cluster;
use crate::support::house::House;
use kluis::postgres::{Leftover, Marks};

fn kluis(house: &House, cluster: &Cluster, arguments: &[&str]) -> Output {
    let mut command = house.kluis();
    command
        .args(arguments)
        .env("DATABASE_URL", cluster.url("shop"));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
    output
}

fn databases(cluster: &Cluster) -> Vec<String> {
    let sql = "SELECT datname FROM pg_database WHERE datname ~ 'shop|kluis' ORDER BY 1";
    let told = cluster.psql("postgres", sql);
    told.lines().map(str::to_owned).collect()
}

#[test]
fn a_database_of_somebodys_is_not_swept_for_its_name() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let names = ["shop", "shop_kluis_20251121", "shop_kluis_old_20251121"];
    names.iter().for_each(|name| cluster.create_db(name));
    cluster.psql(names[1], "CREATE TABLE precious AS SELECT 7 AS i");
    let house = House::new();
    kluis(&house, &cluster, &["backup", "db", "shop"]);
    kluis(
        &house,
        &cluster,
        &["restore", "latest", "--into", "shop_copy"],
    );
    kluis(
        &house,
        &cluster,
        &["restore", "latest", "--replace", "--yes"],
    );
    let mut wanted = names.to_vec();
    wanted.insert(1, "shop_copy");
    assert_eq!(databases(&cluster), wanted);
    assert_eq!(cluster.psql(names[1], "SELECT i FROM precious"), "7");
    // What is somebody's is also backed up with all the others.
    let output = kluis(&house, &cluster, &["backup", "db", "--all", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let backed_up = report["backups"].as_array().unwrap().iter();
    let backed_up: Vec<&str> = backed_up.filter_map(|row| row["name"].as_str()).collect();
    for name in names {
        assert!(backed_up.contains(&name), "{name}: {backed_up:?}");
    }
}

#[test]
fn only_the_mark_of_this_storage_and_of_this_name_is_taken_for_ours() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    let house = House::new();
    kluis(&house, &cluster, &["backup", "db", "shop"]);
    let marker = std::fs::read(house.storage().join("kluis.json")).unwrap();
    let marker: Value = serde_json::from_slice(&marker).unwrap();
    let ours = Marks::of_storage(marker["storage_id"].as_str().unwrap());
    let staging = "shop_kluis_0123abcd";
    let mark = ours.comment(Leftover::Staging, staging, None);
    let foreign = Marks::of_storage("another's").comment(Leftover::Staging, "shop_kluis_1", None);
    for (name, comment) in [
        (staging, mark.as_str()),
        ("shop_kluis_11111111", &mark),
        ("shop_kluis_22222222", &foreign),
        ("shop_kluis_33333333", "kluis staging database"),
        ("shop_kluis_backup", &mark),
    ] {
        cluster.create_db(name);
        let comment = format!("COMMENT ON DATABASE {name} IS '{comment}'");
        cluster.psql("postgres", &comment);
    }
    kluis(&house, &cluster, &["backup", "db", "shop"]);
    let left = databases(&cluster);
    assert_eq!(
        left,
        [
            "shop",
            "shop_kluis_11111111",
            "shop_kluis_22222222",
            "shop_kluis_33333333",
            "shop_kluis_backup",
        ]
    );
}

#[test]
fn the_comment_of_a_replaced_database_is_its_own_again() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql("shop", "COMMENT ON DATABASE shop IS 'the shop''s'");
    let house = House::new();
    kluis(&house, &cluster, &["backup", "db", "shop"]);
    let replace = ["restore", "latest:shop", "--replace", "--yes"];
    let comments = "SELECT concat_ws('|', regexp_replace(datname, '_[0-9a-f]{8}$', ''), \
                    regexp_replace(shobj_description(oid, 'pg_database'), '\\[.*\\]', '')) \
                    FROM pg_database WHERE datname ~ 'shop' ORDER BY datname";
    kluis(&house, &cluster, &replace);
    assert_eq!(cluster.psql("postgres", comments), "shop|the shop's");
    kluis(&house, &cluster, &[&replace[..], &["--keep-old"]].concat());
    assert_eq!(
        cluster.psql("postgres", comments),
        "shop|the shop's\nshop_kluis_old|the shop's\nkept by kluis from before a restore"
    );
    // Renamed back by hand, as the manual says, it has its comment again.
    let old = "SELECT datname FROM pg_database WHERE datname ~ 'old'";
    let old = cluster.psql("postgres", old);
    cluster.psql("postgres", "DROP DATABASE shop");
    let rename = format!("ALTER DATABASE {old} RENAME TO shop");
    cluster.psql("postgres", &rename);
    kluis(&house, &cluster, &replace);
    assert_eq!(cluster.psql("postgres", comments), "shop|the shop's");
}

/// A session of `role` that holds the lock of each name, until it is killed.
fn holding(cluster: &Cluster, role: &str, names: &[&str]) -> Child {
    let mut psql = cluster.client("psql", "template1");
    psql.env("PGUSER", role).args(["-X", "-q"]);
    for name in names {
        let lock = format!("SELECT pg_advisory_lock(hashtextextended('{name}', 0))");
        psql.args(["-c", &lock]);
    }
    psql.args(["-c", "SELECT pg_sleep(600)"]);
    psql.stdout(Stdio::null()).spawn().unwrap()
}

/// Anybody who may connect takes a lock, and in the moment in which a run dies.
#[test]
fn a_lock_of_a_stranger_keeps_nothing_that_a_dead_run_has_left() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql(
        "postgres",
        "CREATE ROLE mallory LOGIN; CREATE ROLE owner; CREATE ROLE clerk LOGIN IN ROLE owner;
         CREATE ROLE chief LOGIN SUPERUSER; CREATE ROLE kluis_fill_0123abcd;
         CREATE ROLE kluis_fill_0123abce",
    );
    let house = House::new();
    kluis(&house, &cluster, &["backup", "db", "shop"]);
    let marker = std::fs::read(house.storage().join("kluis.json")).unwrap();
    let marker: Value = serde_json::from_slice(&marker).unwrap();
    let id = marker["storage_id"].as_str().unwrap();
    let [strangers, owners, superusers] =
        ["0123abcd", "0123abce", "0123abcf"].map(|id| format!("shop_kluis_{id}"));
    for name in [&strangers, &owners, &superusers] {
        cluster.create_db(name);
        let mark = Marks::of_storage(id).comment(Leftover::Staging, name, None);
        let sql =
            format!("COMMENT ON DATABASE {name} IS '{mark}'; ALTER DATABASE {name} OWNER TO owner");
        cluster.psql("postgres", &sql);
    }
    let roles = ["kluis_fill_0123abcd", "kluis_fill_0123abce"];
    for name in roles {
        let comment = fill_role_comment(id, name);
        cluster.psql(
            "postgres",
            &format!("COMMENT ON ROLE {name} IS '{comment}'"),
        );
    }
    let mut holders = [
        holding(&cluster, "mallory", &[&strangers, roles[0]]),
        holding(&cluster, "clerk", &[&owners]),
        holding(&cluster, "chief", &[&superusers, roles[1]]),
    ];
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted";
    while cluster.psql("postgres", held) != "5" {}
    let output = kluis(&house, &cluster, &["-v", "backup", "db", "shop"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        databases(&cluster),
        ["shop", &owners, &superusers],
        "{said}"
    );
    let fills = "SELECT string_agg(rolname, ' ') FROM pg_roles WHERE rolname ~ '^kluis_fill'";
    assert_eq!(cluster.psql("postgres", fills), roles[1], "{said}");
    for told in [
        format!("the lock by which a run at work on {strangers} would be known"),
        format!("{owners}: the role \"clerk\" (its process "),
        format!("{superusers}: the role \"chief\" (its process "),
    ] {
        assert!(said.contains(&told), "{told}: {said}");
    }
    for holder in &mut holders {
        holder.kill().unwrap();
        holder.wait().unwrap();
    }
}

/// As `kluis::postgres::mark` makes it.
fn fill_role_comment(storage_id: &str, name: &str) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let words = "fills a database for kluis, dropped by a later run";
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(storage_id.as_bytes()).unwrap();
    for part in [words, name] {
        mac.update(part.as_bytes());
        mac.update(b"\0");
    }
    format!(
        "{words} [{}]",
        hex::encode(&mac.finalize().into_bytes()[..16])
    )
}
