//! Which backup stands for a database: never a part of it, nor what a restore
//! was about to replace.

use serde_json::Value;

use crate::support::Cluster;
use crate::support::home::Home;
use crate::support::rules::KEEP_LAST_1;

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
        let restored = home.run(&["restore", "latest:shop", "--replace", "--yes"]);
        let said = String::from_utf8(restored.stderr).unwrap();
        let newest = home.json(&["list"])["backups"][0]["id"].clone();
        let undo = format!(
            "to undo: kluis restore {} --replace",
            newest.as_str().unwrap()
        );
        assert!(said.contains(&undo), "{said}");
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
    // Of the four attempts the first holds what was there before them all.
    let original = kept.iter().filter(|(before, _)| before.is_null()).count();
    assert_eq!((kept.len(), original), (5, 1), "{kept:?}");
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
    let replace = ["restore", "latest:shop", "--replace", "--yes"];
    let refused = String::from_utf8(home.ends(2, &replace).stderr).unwrap();
    assert!(refused.contains("--part"), "{refused}");
    let restored = home.run(&[&replace[..], &["--part"]].concat());
    let said = String::from_utf8(restored.stderr).unwrap();
    assert!(
        said.contains("only a part of the database (pg_dump -t a)"),
        "{said}"
    );
    assert_eq!(cluster.psql("shop", "SELECT to_regclass('b') IS NULL"), "t");
}

#[test]
fn the_latest_is_no_part_unless_that_is_said() {
    let Some((_cluster, home)) = shop() else {
        return;
    };
    let whole = home.json(&["backup", "db"]);
    let part = home.json(&["backup", "db", "-t", "a"]);
    let id = |made: &Value| made["backups"][0]["id"].clone();
    for latest in ["latest", "latest:db", "latest:shop"] {
        assert_eq!(
            home.json(&["show", latest])["manifest"]["id"],
            id(&whole),
            "{latest}"
        );
    }
    let shown = home.json(&["show", "latest:part/shop"]);
    assert_eq!(shown["manifest"]["id"], id(&part));
}

#[test]
fn an_option_that_leaves_rows_out_makes_a_part() {
    let Some((_cluster, home)) = shop() else {
        return;
    };
    home.run(&["backup", "db"]);
    let home = home.configure("[database]\ndump_options = [\"--exclude-table-data=a\"]\n");
    home.run(&["backup", "db"]);
    assert_eq!(marks(&home)[0].1, true);
    home.ends(2, &["restore", "latest:part/shop", "--replace", "--yes"]);
    let shown = home.json(&["show", "latest:shop"]);
    assert!(shown["manifest"]["database"].get("options").is_none());
}

/// `pg_dump -t a` of the shop, as it is `left` rows later, adopted.
fn adopt_a_part(cluster: &Cluster, home: &Home, left: u32) -> String {
    cluster.psql("shop", &format!("DELETE FROM a WHERE i > {left}"));
    let name = format!("other{left}.sql");
    let mut pg_dump = cluster.client("pg_dump", "shop");
    pg_dump.args(["-t", "a", "-f"]).arg(home.path(&name));
    assert!(pg_dump.status().unwrap().success());
    home.run(&["adopt", &name, "--name", "shop"]);
    name
}

/// Before, what was adopted counted as whole: `latest` took it, prune removed the only
/// whole backup for it, and it replaced the database.
#[test]
fn an_adopted_dump_that_may_be_a_part_stands_for_no_whole_backup() {
    let Some((cluster, home)) = shop() else {
        return;
    };
    let whole = home.json(&["backup", "db"])["backups"][0]["id"].clone();
    for left in [8, 7, 6, 5] {
        adopt_a_part(&cluster, &home, left);
    }
    for latest in ["latest", "latest:db", "latest:shop"] {
        let shown = home.run(&["show", latest, "--json"]);
        let told = String::from_utf8(shown.stderr).unwrap();
        assert!(told.contains("other5.sql"), "{told}");
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(shown["manifest"]["id"], whole, "{latest}");
    }
    home.run(&KEEP_LAST_1);
    let listed = home.json(&["list"]);
    let rows = listed["backups"].as_array().unwrap();
    let kept = rows.iter().filter(|row| row["adopted"] == false);
    assert_eq!(kept.map(|row| &row["id"]).collect::<Vec<_>>(), [&whole]);
    let status = home.json(&["status"]);
    let names = status["names"].as_array().unwrap();
    assert_eq!(names.len(), 1, "{status}");
}

#[test]
fn an_adopted_dump_replaces_what_is_there_by_an_explicit_word_only() {
    let Some((cluster, home)) = shop() else {
        return;
    };
    let name = adopt_a_part(&cluster, &home, 8);
    // The dump does not tell whom it belongs to either: another word.
    const AS: &str = "--as-superuser";
    let replace = ["restore", "latest:shop", "--replace", "--yes", AS];
    // A file can be taken by its path without being adopted.
    let path = home.path("shop.sql");
    std::fs::copy(home.path(&name), &path).unwrap();
    let path = path.to_str().unwrap();
    let unsealed = "--accept-unsealed";
    let of_file = ["restore", path, "--replace", "--yes", AS, unsealed];
    for restore in [&replace[..], &of_file[..]] {
        let said = String::from_utf8(home.ends(2, restore).stderr).unwrap();
        assert!(said.contains("--part"), "{said}");
    }
    let said = home.run(&["restore", "latest:shop", "--into", "beside", AS]);
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("adopted"), "{said}");
    cluster.create_db("empty");
    cluster.psql("postgres", "DROP DATABASE shop");
    cluster.psql("postgres", "ALTER DATABASE empty RENAME TO shop");
    home.run(&replace);
    cluster.psql("shop", "CREATE TABLE c (i int)");
    home.ends(2, &replace);
    home.run(&[&replace[..], &["--part"]].concat());
    assert_eq!(cluster.psql("shop", "SELECT to_regclass('c') IS NULL"), "t");
}
