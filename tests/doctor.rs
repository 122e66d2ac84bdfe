//! `kluis doctor`: what it finds, how bad it is, and the way out that it names.

use std::fs;

use serde_json::Value;

use crate::support::Cluster;
use crate::support::home::{Home, text};

/// The report, and the exit code that came with it.
fn report(home: &Home, arguments: &[&str]) -> (Value, Option<i32>) {
    let output = home
        .kluis(&[&["--json", "doctor"], arguments].concat())
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap();
    (report, output.status.code())
}

/// The check whose text holds `found`, as health and remedy.
fn check<'a>(report: &'a Value, found: &str) -> (&'a str, &'a str) {
    let checks = report["checks"].as_array().unwrap();
    let check = checks
        .iter()
        .find(|check| check["found"].as_str().unwrap().contains(found));
    let check = check.unwrap_or_else(|| panic!("no {found:?} in {report:#}"));
    let remedy = check["remedy"].as_str().unwrap_or_default();
    (check["health"].as_str().unwrap(), remedy)
}

#[test]
fn a_superuser_with_a_key_and_a_backup_is_well() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    let home = Home::new().set("DATABASE_URL", &cluster.url("postgres"));
    home.run(&["backup", "db", "shop"]);
    let report = home.json(&["doctor", "shop"]);
    assert_eq!(report["health"], "ok", "{report:#}");
    for found in [
        "holds 1 backup,",
        "database shop:",
        "database shop",
        "it opens shop_backup_",
        "may read every table",
        "plpgsql",
    ] {
        assert_eq!(check(&report, found).0, "ok", "{found}");
    }
}

#[test]
fn a_role_without_rights_is_told_what_a_backup_would_stop_at() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.psql(
        "postgres",
        "CREATE ROLE low LOGIN; CREATE TABLE secret (a int); CREATE TABLE \"Odd\"\"T\" (a int);
         GRANT SELECT ON \"Odd\"\"T\" TO low; ALTER TABLE \"Odd\"\"T\" ENABLE ROW LEVEL SECURITY",
    );
    let url = cluster.url("postgres").replacen("postgres@", "low@", 1);
    let home = Home::new().set("DATABASE_URL", &url);
    let (report, code) = report(&home, &[]);
    assert_eq!(code, Some(2), "{report:#}");
    let (health, remedy) = check(&report, "may not read public.secret");
    assert_eq!(health, "fail");
    assert!(remedy.contains("pg_read_all_data"), "{remedy}");
    let (health, remedy) = check(&report, "hides rows of public.\"Odd\"\"T\"");
    assert_eq!(health, "fail");
    assert!(remedy.contains("BYPASSRLS"), "{remedy}");
    assert_eq!(check(&report, "may not create databases").0, "warn");
    assert_eq!(check(&report, "may not read role passwords").0, "warn");
    // And the backup does stop there, with nothing left.
    home.ends(1, &["backup", "db"]);
}

#[test]
fn a_server_that_does_not_answer_is_a_failure_without_its_password() {
    let home = Home::new().set("DATABASE_URL", "postgres://u:hunter22@127.0.0.1:1/shop");
    let (report, code) = report(&home, &["--mode", "direct"]);
    assert_eq!(code, Some(2));
    assert_eq!(check(&report, "cannot reach PostgreSQL").0, "fail");
    assert!(!report.to_string().contains("hunter22"), "{report:#}");
}

#[test]
fn a_machine_that_keeps_source_trees_only_is_usable() {
    let home = Home::new();
    fs::create_dir(home.path("tree")).unwrap();
    home.run(&["backup", "source", "tree"]);
    let (report, code) = report(&home, &[]);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(check(&report, "no database server is configured").0, "warn");
}

#[test]
fn a_key_that_does_not_open_the_newest_backup_is_a_failure() {
    let home = Home::new();
    fs::create_dir(home.path("tree")).unwrap();
    home.run(&["backup", "source", "tree"]);
    fs::write(home.path("key"), "6b".repeat(32)).unwrap();
    let (report, code) = report(&home, &[]);
    assert_eq!(code, Some(2), "{report:#}");
    assert_eq!(check(&report, "it does not open tree_source_").0, "fail");
}

#[test]
fn a_broken_manifest_and_a_missing_storage_are_told_apart() {
    let home = Home::new();
    let (fresh, code) = report(&home, &[]);
    assert_eq!(code, Some(0), "{fresh:#}");
    assert_eq!(check(&fresh, "is not there yet").0, "warn");
    fs::create_dir(home.storage()).unwrap();
    let manifest = home
        .storage()
        .join("a_backup_2026-01-18T10-30-00.sql.gz.json");
    fs::write(&manifest, "{").unwrap();
    let (broken, code) = report(&home, &[]);
    assert_eq!(code, Some(2), "{broken:#}");
    assert_eq!(check(&broken, "cannot be read").0, "fail");
}

#[test]
fn it_changes_nothing() {
    let home = Home::new();
    home.kluis(&["doctor"]).output().unwrap();
    assert!(!home.storage().exists(), "{}", text(&home.storage()));
}

#[test]
fn a_docker_that_cannot_be_used_matters_where_a_container_is_meant() {
    let home = Home::new();
    let config = "[database]\ndocker_command = [\"/nonexistent/docker\"]\n";
    fs::write(home.path("kluis.toml"), config).unwrap();
    let (unused, _) = report(&home, &[]);
    assert_eq!(check(&unused, "is not used, and not usable here").0, "ok");
    for meant in [["--mode", "docker"], ["--container", "shop-db"]] {
        let (report, _) = report(&home, &meant);
        let (health, remedy) = check(&report, "install docker, set docker_command");
        assert_eq!(health, "warn");
        assert!(remedy.contains("--mode direct"), "{remedy}");
    }
}

#[test]
fn a_key_without_which_backups_are_refused_is_a_failure() {
    let home = Home::new().configure("[encryption]\nrequired = true\n");
    fs::create_dir(home.path("tree")).unwrap();
    home.run(&["backup", "source", "tree"]);
    let keyless = |home: &Home| {
        let mut kluis = home.kluis(&["--json", "doctor"]);
        let output = kluis.env_remove("BACKUP_ENCRYPTION_KEY_FILE").output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let report = keyless(&home);
    let (health, remedy) = check(&report, "encryption.required is set, and no key");
    assert_eq!(health, "fail");
    assert!(remedy.contains("BACKUP_ENCRYPTION_KEY_FILE"), "{remedy}");
    let home = home.configure("");
    let report = keyless(&home);
    assert_eq!(check(&report, "are encrypted, and no key is").0, "fail");
    let home = home.configure("[encryption]\nrequired = true\nenabled = false\n");
    let report = keyless(&home);
    assert_eq!(check(&report, "turns encryption off").0, "fail");
}

#[test]
fn what_is_wrong_with_a_key_is_said_once() {
    let home = Home::new().set("BACKUP_ENCRYPTION_KEY_FILE", "/nonexistent/key");
    let (report, code) = report(&home, &[]);
    assert_eq!(code, Some(2), "{report:#}");
    let told = report.to_string();
    assert_eq!(told.matches("No such file").count(), 1, "{report:#}");
}

#[test]
fn a_work_directory_that_a_run_refuses_is_a_failure() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root refuses what others can write");
        return;
    }
    let home = Home::new();
    let mode = |name: &str, mode| {
        use std::os::unix::fs::PermissionsExt;
        let path = home.path(name);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let with = |path: &std::path::Path| {
        let mut kluis = home.kluis(&["--json", "doctor"]);
        let output = kluis.env("TMPDIR", path).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        (report, output.status.code())
    };
    let open = mode("open", 0o777);
    let (refused, code) = with(&open);
    assert_eq!(code, Some(2), "{refused:#}");
    let (health, remedy) = check(&refused, "others than root can write to it");
    assert_eq!(health, "fail");
    assert!(remedy.contains("TMPDIR"), "{remedy}");
    let servers = std::path::Path::new("/usr/lib/postgresql").is_dir();
    if servers {
        assert_eq!(check(&refused, "held in could not be judged").0, "warn");
    }
    let closed = mode("closed/inner", 0o755);
    mode("closed", 0o700);
    let (refused, code) = with(&closed);
    if servers {
        assert_eq!(code, Some(2), "{refused:#}");
        let (health, remedy) = check(&refused, "is closed to uid");
        assert_eq!(health, "fail");
        assert!(remedy.contains("/var/tmp"), "{remedy}");
    }
    assert_eq!(fs::read_dir(&open).unwrap().count(), 0);
    assert_eq!(fs::read_dir(&closed).unwrap().count(), 0);
}

#[test]
fn a_database_that_is_called_like_ours_and_has_no_mark_is_told_and_stays() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop_kluis_0123abcd");
    cluster.create_db("shop_kluis_20");
    let home = Home::new().set("DATABASE_URL", &cluster.url("postgres"));
    let report = home.json(&["doctor"]);
    let (health, remedy) = check(&report, "database shop_kluis_0123abcd is called like");
    assert_eq!(health, "warn");
    assert!(
        remedy.ends_with("DROP DATABASE \"shop_kluis_0123abcd\";"),
        "{remedy}"
    );
    assert!(!report.to_string().contains("shop_kluis_20"), "{report:#}");
    cluster.psql("shop_kluis_0123abcd", "SELECT 1");
}
