//! Which backup stands for a database: never a part of it, nor what a restore
//! was about to replace.

use serde_json::Value;

#[path = "support/home.rs"]
mod home;
mod support;

use home::Home;
use support::Cluster;

const KEEP_LAST_1: [&str; 7] = [
    "prune",
    "--keep-last=1",
    "--keep-hourly=0",
    "--keep-daily=0",
    "--keep-weekly=0",
    "--keep-monthly=0",
    "--keep-yearly=0",
];

fn shop() -> Option<(Cluster, Home)> {
    let cluster = Cluster::start()?;
    cluster.create_db("shop");
    let fill = "CREATE TABLE a AS SELECT generate_series(1, 9) AS i; CREATE TABLE b (i int)";
    cluster.psql("shop", fill);
    let home = Home::new().set("DATABASE_URL", &cluster.url("shop"));
    Some((cluster, home))
}

fn marks(home: &Home) -> Vec<(Value, Value)> {
    let listed = home.json(&["list"]);
    let rows = listed["backups"].as_array().unwrap().iter();
    rows.map(|row| (row["before_restore_of"].clone(), row["partial"].clone()))
        .collect()
}

#[test]
fn the_same_restore_twice_gives_the_same_database() {
    let Some((cluster, home)) = shop() else {
        return;
    };
    let made = home.json(&["backup", "db"]);
    let archive = &made["backups"][0]["file"];
    cluster.psql("shop", "DELETE FROM a");
    for _ in 0..2 {
        home.run(&["restore", "latest:shop", "--replace", "--yes"]);
        assert_eq!(cluster.psql("shop", "SELECT count(*) FROM a"), "9");
        cluster.psql("shop", "DELETE FROM a");
    }
    let replaced = (archive.clone(), Value::Bool(false));
    let original = (Value::Null, Value::Bool(false));
    assert_eq!(marks(&home), [replaced.clone(), replaced, original]);
}

#[test]
fn what_was_replaced_pushes_no_nightly_backup_out() {
    let Some((_cluster, home)) = shop() else {
        return;
    };
    home.run(&["backup", "db"]);
    for _ in 0..4 {
        home.run(&["restore", "latest:shop", "--replace", "--yes"]);
    }
    home.run(&KEEP_LAST_1);
    let kept = marks(&home);
    // The floor of three holds for each by itself.
    let original = kept.iter().filter(|(before, _)| before.is_null()).count();
    assert_eq!((kept.len(), original), (4, 1), "{kept:?}");
}

#[test]
fn a_part_of_a_database_pushes_no_whole_one_out() {
    let Some((_cluster, home)) = shop() else {
        return;
    };
    home.run(&["backup", "db"]);
    for _ in 0..4 {
        home.run(&["backup", "db", "-t", "a"]);
    }
    home.run(&KEEP_LAST_1);
    let whole = marks(&home)
        .iter()
        .filter(|(_, part)| part == false)
        .count();
    assert_eq!(whole, 1, "{:?}", marks(&home));
}

#[test]
fn a_part_that_is_to_replace_the_whole_says_what_will_be_gone() {
    let Some((cluster, home)) = shop() else {
        return;
    };
    home.run(&["backup", "db", "-t", "a"]);
    let restored = home.run(&["restore", "latest:shop", "--replace", "--yes"]);
    let said = String::from_utf8(restored.stderr).unwrap();
    assert!(
        said.contains("only a part of the database (pg_dump -t a)"),
        "{said}"
    );
    assert_eq!(cluster.psql("shop", "SELECT to_regclass('b') IS NULL"), "t");
}
