//! Damaged dumps with `restore --keep-going`: every table that the damage did not meet
//! comes back as it was, and none comes back otherwise without being named.
//! A soak has 100 damages.

use serde_json::Value;

use crate::support::dice::Dice;
use crate::support::salvaged::{Site, TABLES, fifty_tables, meets, named_tables, rounds};

#[test]
fn of_a_damaged_dump_every_whole_table_comes_back() {
    let Some(site) = Site::new(&fifty_tables()) else {
        return;
    };
    let archive = site.back_up(&[]);
    let text = String::from_utf8(archive.raw.clone()).unwrap();
    let before = site.tables("shop");
    assert_eq!(before.len(), TABLES);
    let mut dice = Dice(5);
    for _ in 0..rounds() {
        let hit = archive.hurt(&mut dice);
        let done = site.salvage(&archive);
        let said = format!("{hit:?}: {}", String::from_utf8_lossy(&done.stderr));
        assert_eq!(done.status.code(), Some(3), "{said}");
        let report: Value = serde_json::from_slice(&done.stdout).unwrap();
        let named = named_tables(&report);
        let lost = archive.lost(&hit);
        let is_hit = |title: &str, end: &str| {
            let from = text.find(title).unwrap() - 8;
            let to = from + text[from..].find(end).unwrap();
            meets(&lost, &(from..to + 8))
        };
        let after = site.tables("saved");
        for (name, hash) in &before {
            let is_hit = is_hit(&format!("-- Name: {name}; Type: TABLE;"), ");\n")
                || is_hit(&format!("-- Data for Name: {name}; "), "\n\\.\n");
            let is_same = after.get(name) == Some(hash);
            assert!(is_same || is_hit, "{said}: {name} was not hit\n{report:#}");
            let is_named = named.contains(name);
            assert!(
                is_same || is_named,
                "{said}: {name} is not named\n{report:#}"
            );
        }
        assert!(after.len() <= TABLES, "{said}: {after:?}");
        site.drop_saved();
        archive.heal();
    }
}

#[test]
fn of_a_whole_dump_all_comes_but_the_statements_that_fail() {
    let sql =
        "CREATE ROLE clerk; CREATE TABLE a (n integer PRIMARY KEY); INSERT INTO a VALUES (1), (2);
        CREATE TABLE b (n integer REFERENCES a); INSERT INTO b VALUES (2);
        GRANT SELECT ON a TO clerk; ALTER TABLE b OWNER TO clerk";
    let Some(site) = Site::new(sql) else { return };
    for format in ["plain", "custom", "directory"] {
        let backup = ["backup", "db", "--format", format];
        assert!(site.run(&backup).status.success());
    }
    site.cluster.psql(
        "shop",
        "REASSIGN OWNED BY clerk TO postgres; DROP OWNED BY clerk; DROP ROLE clerk",
    );
    for file in site.house.listed() {
        let restore = [
            "--json",
            "restore",
            &file,
            "--into",
            "saved",
            "--keep-going",
        ];
        let done = site.run(&restore);
        assert_eq!(done.status.code(), Some(3), "{file}: {done:?}");
        let report: Value = serde_json::from_slice(&done.stdout).unwrap();
        let not_whole = report["not_whole"].as_array().unwrap().iter();
        let failed: Vec<&Value> = not_whole.filter(|it| it["kind"] == "statement").collect();
        assert_eq!(failed.len(), 2, "{file}: {failed:#?}");
        for statement in failed {
            assert_eq!(statement["kind"], "statement");
            assert_eq!(statement["name"], "42704");
            assert!(statement["line"].as_u64().unwrap() > 10, "{statement}");
            assert!(
                statement["why"].as_str().unwrap().contains("clerk"),
                "{statement}"
            );
        }
        let rows = "SELECT (SELECT count(*) FROM a), (SELECT sum(n) FROM b)";
        assert_eq!(site.cluster.psql("saved", rows), "2|2", "{file}");
        site.cluster.psql("postgres", "DROP DATABASE saved");
    }
}
