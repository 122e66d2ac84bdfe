//! Several databases in one run, and what they share: one archive each, one time
//! for all, and one that fails does not stop the others.

use std::fs;
use std::process::Output;

use crate::support::home::Home;
use crate::support::{Cluster, ClusterOptions};
use kluis::postgres::{Leftover, Marks};
use serde_json::Value;

struct Bench {
    home: Home,
    cluster: Cluster,
}

impl Bench {
    fn start(databases: &[&str]) -> Option<Self> {
        let cluster = Cluster::start()?;
        for name in databases {
            cluster.create_db(name);
            cluster.psql(name, "CREATE TABLE t AS SELECT 1 AS a");
        }
        let home = Home::new().set("DATABASE_URL", &cluster.url("postgres"));
        Some(Self { home, cluster })
    }

    fn back_up(&self, arguments: &[&str]) -> Value {
        self.home.json(&[&["backup", "db"], arguments].concat())
    }

    fn ends(&self, code: i32, arguments: &[&str]) -> Output {
        let all = [&["--json", "backup", "db"], arguments].concat();
        self.home.ends(code, &all)
    }

    /// Status and archive of every run's record.
    fn records(&self) -> Vec<(String, String)> {
        let entries = fs::read_dir(self.home.storage().join("runs")).unwrap();
        let mut records: Vec<(String, String)> = entries
            .map(|entry| {
                let bytes = fs::read(entry.unwrap().path()).unwrap();
                let record: Value = serde_json::from_slice(&bytes).unwrap();
                let word = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
                (word("status"), word("backup"))
            })
            .collect();
        records.sort();
        records
    }
}

fn names(report: &Value, list: &str) -> Vec<String> {
    let made = report[list].as_array().into_iter().flatten();
    made.map(|backup| backup["name"].as_str().unwrap().to_owned())
        .collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn each_has_an_archive_and_all_have_one_time() {
    let Some(bench) = Bench::start(&["shop", "wiki"]) else {
        return;
    };
    let report = bench.back_up(&["shop", "wiki", "shop"]);
    assert_eq!(names(&report, "backups"), ["shop", "wiki"]);
    let times = report["backups"].as_array().unwrap().iter();
    let times: Vec<&Value> = times.map(|backup| &backup["created_at"]).collect();
    assert_eq!(times[0], times[1]);
}

#[test]
fn one_that_fails_does_not_stop_the_others() {
    let Some(bench) = Bench::start(&["shop", "wiki"]) else {
        return;
    };
    let output = bench.ends(3, &["shop", "gone", "wiki"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(names(&report, "backups"), ["shop", "wiki"]);
    assert_eq!(names(&report, "failed"), ["gone"]);
    assert!(said(&output).contains("no backup of gone was made"));
    let records = bench.records();
    let status: Vec<&str> = records.iter().map(|(status, _)| status.as_str()).collect();
    assert_eq!(status, ["COMPLETED", "COMPLETED", "FAILED"]);
    assert!(records[2].1.starts_with("gone_backup_"), "{records:?}");
    let text = bench.home.ends(3, &["backup", "db", "shop", "gone"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("db gone: FAILED"), "{text}");
}

#[test]
fn where_all_fail_the_failure_is_the_runs() {
    let Some(bench) = Bench::start(&[]) else {
        return;
    };
    let output = bench.ends(1, &["gone", "lost"]);
    let said = said(&output);
    assert!(said.contains("gone") && said.contains("lost"), "{said}");
}

#[test]
fn all_means_every_database_but_the_servers_templates_leftovers_and_what_is_excluded() {
    let Some(bench) = Bench::start(&["shop", "wiki", "test_1", "test_2"]) else {
        return;
    };
    // Only its mark makes it a restore's own.
    let [staging, somebodys] = ["shop_kluis_0123abcd", "shop_kluis_20251121"];
    bench.cluster.create_db(staging);
    bench.cluster.create_db(somebodys);
    let mark = Marks::of_storage("of another").comment(Leftover::Staging, staging, None);
    let mark = format!("COMMENT ON DATABASE {staging} IS '{mark}'");
    bench.cluster.psql("postgres", &mark);
    bench.cluster.create_db("closed");
    bench
        .cluster
        .psql("postgres", "ALTER DATABASE closed ALLOW_CONNECTIONS false");
    let report = bench.back_up(&["--all", "--exclude-db", "test_*"]);
    assert_eq!(
        names(&report, "backups"),
        ["postgres", "shop", somebodys, "wiki"]
    );
    let output = bench.ends(2, &["--all", "--exclude-db", "*"]);
    assert!(said(&output).contains("no database to back up"));
    let output = bench.ends(2, &["--all", "--exclude-db", "[x"]);
    assert!(said(&output).contains("no glob"));
}

const ROLES: &str = "CREATE ROLE \"odd; role\" LOGIN PASSWORD 'secret'; \
    COMMENT ON ROLE \"odd; role\" IS 'it''s; odd'; ALTER ROLE \"odd; role\" SET work_mem = '7MB'; \
    CREATE ROLE readers; GRANT readers TO \"odd; role\";";

fn roles(cluster: &Cluster) -> String {
    let sql = "SELECT string_agg(concat_ws('|', rolname, rolcanlogin, rolpassword, rolconfig, \
               shobj_description(oid, 'pg_authid'), (SELECT string_agg(roleid::regrole::text, ',') \
               FROM pg_auth_members m WHERE m.member = a.oid)), E'\\n' ORDER BY rolname) \
               FROM (SELECT a.*, s.setconfig AS rolconfig FROM pg_authid a LEFT JOIN \
               pg_db_role_setting s ON s.setrole = a.oid) a WHERE rolname !~ '^pg_'";
    cluster.psql("postgres", sql)
}

#[test]
fn roles_come_back_to_a_server_that_does_not_have_them() {
    let Some(bench) = Bench::start(&["shop"]) else {
        return;
    };
    bench.cluster.psql("postgres", ROLES);
    let before = roles(&bench.cluster);
    let report = bench.back_up(&["shop", "--globals"]);
    assert_eq!(names(&report, "backups"), ["shop", "pg_globals"]);
    let manifest = bench.home.json(&["show", "latest:pg_globals"])["manifest"].clone();
    assert_eq!(manifest["database"]["format"], "globals");
    assert_eq!(manifest["database"]["objects"]["ROLE"], 3);
    assert_eq!(manifest["database"]["objects"]["ROLE MEMBERSHIP"], 1);
    bench.home.run(&["verify", "latest:pg_globals"]);
    // One of them is there already, and another than it was.
    let sql = "DROP ROLE \"odd; role\"; ALTER ROLE readers LOGIN";
    bench.cluster.psql("postgres", sql);
    let back = ["restore", "latest:pg_globals", "--in-place", "--yes"];
    let made = bench.home.json(&back);
    assert_eq!(made["roles"].as_array().unwrap(), &["odd; role"]);
    let after = roles(&bench.cluster);
    assert_eq!(after, before.replace("readers|f", "readers|t"));
    let again = bench.home.json(&back);
    assert_eq!(again["roles"].as_array().unwrap().len(), 0);
}

#[test]
fn roles_do_not_go_anywhere_else() {
    let Some(bench) = Bench::start(&[]) else {
        return;
    };
    bench.back_up(&["--globals"]);
    for place in [&["--into", "x"][..], &["--replace", "--yes"], &[]] {
        let arguments = [&["restore", "latest:pg_globals"], place].concat();
        let output = bench.home.ends(2, &arguments);
        assert!(said(&output).contains("--in-place"), "{}", said(&output));
    }
}

#[test]
fn a_damaged_backup_of_roles_makes_none() {
    let Some(bench) = Bench::start(&[]) else {
        return;
    };
    bench.cluster.psql("postgres", ROLES);
    let report = bench.back_up(&["--globals"]);
    let file = report["backups"][1]["file"].as_str().unwrap();
    bench
        .cluster
        .psql("postgres", "DROP ROLE \"odd; role\"; DROP ROLE readers");
    let before = roles(&bench.cluster);
    let path = bench.home.storage().join(file);
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, bytes).unwrap();
    let back = ["restore", "latest:pg_globals", "--in-place", "--yes"];
    bench.home.ends(4, &back);
    assert_eq!(roles(&bench.cluster), before);
}

#[test]
fn without_rights_the_passwords_are_left_out_and_that_is_said() {
    let Some(cluster) = Cluster::start_with(ClusterOptions {
        password: Some("right".to_owned()),
        ..ClusterOptions::default()
    }) else {
        return;
    };
    cluster.psql("postgres", ROLES);
    cluster.psql("postgres", "CREATE ROLE backup LOGIN PASSWORD 'pw'");
    let url = cluster.url("postgres");
    let (_, place) = url.split_once('@').unwrap();
    let home = Home::new().set("DATABASE_URL", &format!("postgres://backup:pw@{place}"));
    let output = home.run(&["--json", "backup", "db", "--globals"]);
    assert!(said(&output).contains("without their passwords"));
    let manifest = home.json(&["show", "latest:pg_globals"])["manifest"].clone();
    let options = &manifest["database"]["options"];
    assert_eq!(options.as_array().unwrap(), &["--no-role-passwords"]);
}

#[test]
fn a_database_with_the_name_of_the_globals_is_refused_beside_them() {
    let Some(bench) = Bench::start(&["pg_globals"]) else {
        return;
    };
    bench.back_up(&["pg_globals"]);
    bench.home.run(&["verify", "latest:pg_globals"]);
    // The others are made, whoever has made it.
    for which in [&["pg_globals", "postgres"][..], &["--all"]] {
        let output = bench.ends(3, &[which, &["--globals"]].concat());
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(names(&report, "backups"), ["postgres", "pg_globals"]);
        assert_eq!(names(&report, "failed"), ["pg_globals"]);
        assert!(said(&output).contains("another name"), "{output:?}");
    }
    let roles = bench.home.json(&["show", "latest:pg_globals"])["manifest"].clone();
    assert_eq!(roles["database"]["format"], "globals");
    // Also without the roles: theirs is called so.
    bench.ends(3, &["--all"]);
    let failed = bench.records();
    let failed = failed.iter().filter(|(status, _)| status == "FAILED");
    assert_eq!(failed.count(), 3);
    let only = bench
        .home
        .ends(2, &["backup", "db", "--all", "--exclude-db", "postgres"]);
    assert!(said(&only).contains("another name"), "{only:?}");
}
