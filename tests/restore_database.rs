//! `kluis restore` of databases by the real binary against a real server: what is
//! looked at before, what is backed up, how the copy is compared, and what is
//! there after a failure.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::Cluster;
use crate::support::house::House;
use crate::support::programs;
use kluis::postgres::{Leftover, Marks};

const SHOP: &str = "
    CREATE TABLE item (id serial PRIMARY KEY, name text);
    INSERT INTO item (name) SELECT 'item ' || n FROM generate_series(1, 100) AS n;
    CREATE TABLE empty (id integer);
    CREATE VIEW named AS SELECT name FROM item;";

/// Ends the session that a test holds something with.
const RELEASE: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                       WHERE query LIKE '%sleep(600)%' AND pid <> pg_backend_pid()";

/// A server with the database `shop`, and a house with one backup of it.
struct Site {
    house: House,
    cluster: Cluster,
}

impl Site {
    fn new() -> Option<Self> {
        let site = Self {
            cluster: Cluster::start()?,
            house: House::new(),
        };
        site.cluster.create_db("shop");
        site.cluster.psql("shop", SHOP);
        site.ends(0, &["backup", "db", "shop"]);
        Some(site)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.house.kluis();
        let url = self.cluster.url("shop");
        command.args(arguments).env("DATABASE_URL", url);
        command
    }

    /// Runs kluis and expects this exit code; gives what it said on both.
    fn ends(&self, code: i32, arguments: &[&str]) -> String {
        ended(code, &self.command(arguments).output().unwrap())
    }

    fn json(&self, code: i32, arguments: &[&str]) -> Value {
        let mut command = self.command(&["--json"]);
        let output = command.args(arguments).output().unwrap();
        ended(code, &output);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// All databases but the system's, sorted.
    fn databases(&self) -> Vec<String> {
        let sql = "SELECT datname FROM pg_database WHERE datname NOT IN ('postgres', \
                   'template0', 'template1') ORDER BY 1";
        let told = self.cluster.psql("postgres", sql);
        told.lines().map(str::to_owned).collect()
    }

    /// A psql that puts `line` before each line `at` of a dump that it is fed, or
    /// after it.
    fn meddle(&self, at: &str, line: &str) {
        let directory = self.house.path("clients");
        fs::create_dir_all(&directory).unwrap();
        let real = "/usr/lib/postgresql/15/bin/psql";
        let real = std::env::var("KLUIS_TEST_PG_BIN").map_or(real.to_owned(), |d| d + "/psql");
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] && exec {real} --version\n\
             sed -u '/^-- PostgreSQL database dump/,$ s/^{at}$/{line} &/' | {real} \"$@\"\n"
        );
        let program = directory.join("psql");
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let text = format!("[database]\nclient_bin_dir = {:?}\n", directory.display());
        fs::write(self.house.path("kluis.toml"), text).unwrap();
    }
}

fn ended(code: i32, output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let said = said + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

#[test]
fn a_restored_database_is_compared_table_by_table() {
    let Some(site) = Site::new() else { return };
    let report = site.json(0, &["restore", "latest:shop", "--into", "copy"]);
    let tables = report["compared"]["tables"].as_array().unwrap();
    let told: Vec<(&str, u64, bool)> = tables
        .iter()
        .map(|t| {
            let rows = t["found_rows"].as_u64().unwrap();
            (t["table"].as_str().unwrap(), rows, t["same"] == true)
        })
        .collect();
    assert_eq!(
        told,
        [("public.empty", 0, true), ("public.item", 100, true)]
    );
    assert_eq!(report["compared"]["sequences"], 1);
    assert!(report["compared"]["objects"].as_u64() > Some(3), "{report}");
    assert_eq!(
        (&report["restored"], &report["content_ok"]),
        (&true.into(), &true.into())
    );
    assert_eq!(site.databases(), ["copy", "shop"]);
}

#[test]
fn what_came_otherwise_than_it_was_dumped_is_found_and_nothing_is_swapped() {
    let Some(site) = Site::new() else { return };
    for (change, told) in [
        (
            "UPDATE public.item SET name = 'x' WHERE id = 7;",
            "public.item has 100 rows, but not",
        ),
        (
            "DELETE FROM public.item WHERE id = 7;",
            "public.item has 99 rows instead of 100",
        ),
        (
            "INSERT INTO public.empty VALUES (1), (1);",
            "public.empty has 2 rows instead of 0",
        ),
        (
            "SELECT setval('public.item_id_seq', 7);",
            "sequence public.item_id_seq is at 7",
        ),
        ("DROP TABLE public.empty;", "public.empty is missing"),
        (
            "DROP VIEW public.named;",
            "0 objects of type VIEW instead of 1",
        ),
        ("SELECT lo_create(7);", "large objects: 1 with 0 bytes"),
    ] {
        // Within the script's own quotes.
        let change = change.replace('\'', "'\\''");
        site.meddle("COMMIT;", &change);
        let said = site.ends(4, &["restore", "latest:shop", "--into", "copy"]);
        assert!(said.contains(told), "{change}: {said}");
        assert!(said.contains("nothing was restored"), "{said}");
        assert!(said.contains("copy was not created"), "{said}");
        assert_eq!(site.databases(), ["shop"], "{change}");
    }
    site.meddle("COMMIT;", "DELETE FROM public.item WHERE id = 7;");
    let report = site.json(4, &["restore", "latest:shop", "--into", "copy"]);
    assert_eq!(report["content_ok"], false);
    assert_eq!(report["restored"], false);
    assert_eq!(report["differences"][0]["found_rows"], 99);
    let records = site.house.records();
    assert_eq!(records.last().unwrap().1["status"], "FAILED");
}

#[test]
fn what_is_replaced_is_backed_up_first() {
    let Some(site) = Site::new() else { return };
    site.cluster
        .psql("shop", "CREATE TABLE later AS SELECT 42 AS answer");
    let report = site.json(0, &["restore", "latest:shop", "--replace", "--yes"]);
    let made = report["pre_restore_backup"].as_str().unwrap();
    let tables = site
        .cluster
        .psql("shop", "SELECT to_regclass('later') IS NULL");
    assert_eq!((&*tables, site.house.listed().len()), ("t", 2));
    let shown = site.json(0, &["show", made]);
    let note = shown.to_string();
    assert!(
        note.contains("before the restore of shop_backup_"),
        "{note}"
    );
    // And it brings back what was there.
    site.ends(
        0,
        &[
            "restore",
            made,
            "--replace",
            "--yes",
            "--no-pre-restore-backup",
        ],
    );
    assert_eq!(site.cluster.psql("shop", "SELECT answer FROM later"), "42");
    assert_eq!(site.house.listed().len(), 2);
    assert_eq!(site.house.leftovers(), [""; 0]);
    for (_, record) in site.house.records() {
        assert_eq!(record["status"], "COMPLETED", "{record}");
    }
}

/// It is filled up to the damage, and nobody sees that.
#[test]
fn a_damaged_archive_leaves_nothing_wherever_it_breaks() {
    let Some(site) = Site::new() else { return };
    site.cluster.psql(
        "shop",
        "CREATE TABLE noise AS SELECT n, md5(n::text) || md5((n + 1)::text) AS text FROM \
         generate_series(1, 20000) AS n",
    );
    for format in ["plain", "custom", "directory"] {
        let before = site.house.listed();
        let made = [
            "backup", "db", "shop", "--format", format, "--codec", "none",
        ];
        site.ends(0, &made);
        let listed = site.house.listed();
        let made = listed.iter().find(|file| !before.contains(file)).unwrap();
        let file = site.house.storage().join(made);
        let whole = fs::read(&file).unwrap();
        let payload = whole.len() - 8192;
        let cut = |part: usize| whole[..8192 + payload * part / 4].to_vec();
        let changed = |part: usize| {
            let mut bytes = whole.clone();
            bytes[8192 + (payload * part / 4).min(payload - 1)] ^= 1;
            bytes
        };
        let damages = [cut(3), changed(0), changed(4)];
        let count = site.house.listed().len();
        for (at, damage) in damages.iter().enumerate() {
            fs::write(&file, damage).unwrap();
            for to in [&["--into", "copy"][..], &["--replace", "--yes"]] {
                let arguments = [&["restore", file.to_str().unwrap()], to].concat();
                let said = site.ends(4, &arguments);
                assert!(
                    said.contains("nothing was restored"),
                    "{format} {at}: {said}"
                );
                assert_eq!(site.databases(), ["shop"], "{format} {at}: {said}");
            }
        }
        // What was not replaced needed no backup either.
        fs::write(&file, &whole).unwrap();
        site.ends(0, &["verify", file.to_str().unwrap()]);
        assert_eq!(site.house.listed().len(), count);
        let said = site.ends(0, &["restore", file.to_str().unwrap(), "--into", "copy"]);
        assert_eq!(site.databases(), ["copy", "shop"], "{said}");
        site.cluster.psql("postgres", "DROP DATABASE copy");
    }
}

#[test]
fn nothing_is_replaced_when_the_backup_of_it_fails() {
    let Some(site) = Site::new() else { return };
    site.cluster.psql("shop", "CREATE TABLE precious ()");
    // pg_dump waits for the table in vain.
    let mut holder = site.cluster.client("psql", "shop");
    let mut holder = holder
        .args(["-X", "-c"])
        .arg("BEGIN; LOCK TABLE precious; SELECT pg_sleep(600)");
    holder = holder.stdout(Stdio::null()).stderr(Stdio::null());
    let mut holder = holder.spawn().unwrap();
    let locked = "SELECT count(*) FROM pg_locks WHERE relation = 'precious'::regclass AND \
                  mode = 'AccessExclusiveLock' AND granted";
    while site.cluster.psql("shop", locked) == "0" {}
    let text = "[database]\nlock_wait_timeout = \"1s\"\n";
    fs::write(site.house.path("kluis.toml"), text).unwrap();
    let said = site.ends(1, &["restore", "latest:shop", "--replace", "--yes"]);
    site.cluster.psql("postgres", RELEASE);
    holder.wait().unwrap();
    assert!(said.contains("--no-pre-restore-backup"), "{said}");
    assert!(said.contains("nothing was restored"), "{said}");
    assert_eq!(
        site.cluster.psql("shop", "SELECT count(*) FROM precious"),
        "0"
    );
    assert_eq!(site.databases(), ["shop"]);
}

#[test]
fn a_file_from_elsewhere_replaces_nothing_unless_the_backup_is_refused() {
    let Some(site) = Site::new() else { return };
    let file = site.house.storage().join(&site.house.listed()[0]);
    let restore = |more: &[&str]| {
        let mut command = site.command(&["restore", file.to_str().unwrap()]);
        command.args(["--replace", "--yes"]).args(more);
        command.env_remove("BACKUP_LOCAL_PATH").output().unwrap()
    };
    let said = ended(2, &restore(&[]));
    assert!(said.contains("--no-pre-restore-backup"), "{said}");
    ended(0, &restore(&["--no-pre-restore-backup"]));
}

#[test]
fn everything_that_stands_in_the_way_is_told_at_once() {
    let Some(site) = Site::new() else { return };
    site.cluster.psql(
        "shop",
        "CREATE ROLE seller; GRANT SELECT ON item TO seller; CREATE ROLE weak LOGIN;",
    );
    site.ends(0, &["backup", "db", "shop"]);
    site.cluster
        .psql("shop", "DROP OWNED BY seller; DROP ROLE seller");
    let url = site.cluster.url("shop").replace("postgres@", "weak@");
    let before = site.house.records().len();
    for more in [&["--dry-run"][..], &["--yes"]] {
        let mut command = site.command(&["restore", "latest:shop", "--replace", "--url", &url]);
        let said = ended(1, &command.args(more).output().unwrap());
        for told in [
            "3 things are in the way",
            "the role \"weak\" may not create databases",
            "ALTER ROLE \"weak\" CREATEDB",
            "belongs to the role \"postgres\"",
            "roles that the dump needs are missing on the server: seller",
            "kluis backup db --globals",
        ] {
            assert!(said.contains(told), "{told}: {said}");
        }
    }
    // Nothing had begun.
    assert_eq!(site.house.records().len(), before);
    let said = site.ends(1, &["restore", "latest:shop", "--into", "template1"]);
    assert!(said.contains("the server's own"), "{said}");
}

#[test]
fn a_database_that_something_holds_is_not_replaced() {
    let Some(site) = Site::new() else { return };
    site.cluster.psql(
        "shop",
        "CREATE SUBSCRIPTION news CONNECTION 'dbname=none' PUBLICATION p
           WITH (connect = false, slot_name = NONE)",
    );
    let said = site.ends(1, &["restore", "latest:shop", "--replace", "--yes"]);
    assert!(
        said.contains("while it has the subscription news"),
        "{said}"
    );
    assert_eq!(site.databases(), ["shop"]);
}

#[test]
fn what_a_dead_restore_left_is_swept_and_what_a_living_one_fills_is_not() {
    let Some(site) = Site::new() else { return };
    for name in [
        "shop_kluis_0123abcd",
        "shop_kluis_89abcdef",
        "shop_kluis_old_01234567",
    ] {
        site.cluster.create_db(name);
    }
    let marker = fs::read(site.house.storage().join("kluis.json")).unwrap();
    let marker: Value = serde_json::from_slice(&marker).unwrap();
    let marks = Marks::of_storage(marker["storage_id"].as_str().unwrap());
    for (kind, name) in [
        (Leftover::Staging, "shop_kluis_0123abcd"),
        (Leftover::Staging, "shop_kluis_89abcdef"),
        (Leftover::Kept, "shop_kluis_old_01234567"),
    ] {
        let mark = marks.comment(kind, name, None);
        let sql = format!("COMMENT ON DATABASE {name} IS '{mark}'");
        site.cluster.psql("postgres", &sql);
    }
    site.cluster.psql(
        "postgres",
        "ALTER DATABASE shop_kluis_0123abcd IS_TEMPLATE true",
    );
    // As a restore on another host holds it.
    let mut holder = site.cluster.client("psql", "template1");
    let mut holder = holder
        .args([
            "-X",
            "-q",
            "-c",
            "SELECT pg_advisory_lock(hashtextextended('shop_kluis_89abcdef', 0))",
        ])
        .args(["-c", "SELECT pg_sleep(600)"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted";
    while site.cluster.psql("postgres", held) == "0" {}
    site.ends(0, &["restore", "latest:shop", "--into", "copy"]);
    let kept = [
        "copy",
        "shop",
        "shop_kluis_89abcdef",
        "shop_kluis_old_01234567",
    ];
    assert_eq!(site.databases(), kept);
    site.cluster.psql("postgres", RELEASE);
    holder.wait().unwrap();
    while site.cluster.psql("postgres", held) != "0" {}
    site.ends(0, &["backup", "db", "shop"]);
    assert_eq!(
        site.databases(),
        ["copy", "shop", "shop_kluis_old_01234567"]
    );
}

/// A role that owns the database `mine` and may make none.
fn owner(site: &Site) -> String {
    site.cluster.psql(
        "postgres",
        "CREATE ROLE weak LOGIN; CREATE DATABASE mine TEMPLATE template0 OWNER weak",
    );
    site.cluster.url("mine").replace("postgres@", "weak@")
}

/// Everything a role can own in a database of its own.
const MINE: &str = "
    CREATE SCHEMA own; CREATE TABLE own.part (id integer) PARTITION BY RANGE (id);
    CREATE TABLE own.part_1 PARTITION OF own.part FOR VALUES FROM (0) TO (10);
    INSERT INTO own.part VALUES (1), (2);
    CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
    CREATE TYPE pair AS (a integer, b integer); CREATE TYPE span AS RANGE (subtype = float8);
    CREATE TABLE public.\"odd 'na$kluis$me\" (id serial, m mood, p positive);
    INSERT INTO public.\"odd 'na$kluis$me\" (m, p) VALUES ('good', 1), ('bad', 2);
    CREATE VIEW seen AS SELECT * FROM public.\"odd 'na$kluis$me\";
    CREATE MATERIALIZED VIEW kept AS SELECT count(*) FROM seen;
    CREATE FUNCTION twice(p positive) RETURNS integer LANGUAGE sql AS 'SELECT 2 * p';
    CREATE PROCEDURE nothing() LANGUAGE sql AS 'SELECT 1';
    CREATE AGGREGATE total(integer) (SFUNC = int4pl, STYPE = integer);
    CREATE FUNCTION add(pair, pair) RETURNS integer LANGUAGE sql AS 'SELECT $1.a + $2.b';
    CREATE OPERATOR @@+@ (LEFTARG = pair, RIGHTARG = pair, FUNCTION = add);
    CREATE COLLATION german FROM \"C\"; CREATE STATISTICS st ON id, p FROM public.\"odd 'na$kluis$me\";
    CREATE TEXT SEARCH CONFIGURATION ts (COPY = pg_catalog.simple);
    CREATE CAST (pair AS text) WITH INOUT; CREATE PUBLICATION pub FOR TABLE own.part_1;
    CREATE EXTENSION hstore; CREATE TABLE h (h hstore); COMMENT ON SCHEMA public IS 'ours';
    GRANT ALL ON SCHEMA public TO PUBLIC; SELECT lo_from_bytea(4711, 'large');";

fn dump(site: &Site, database: &str) -> String {
    let output = site.cluster.client("pg_dump", database).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let keyless =
        |line: &&str| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict");
    text.split_inclusive('\n').filter(keyless).collect()
}

/// Equal, or the first line in which they differ.
fn similar(one: &str, other: &str) {
    if let Some((a, b)) = one.lines().zip(other.lines()).find(|(a, b)| a != b) {
        panic!("{a}\n{b}");
    }
    assert_eq!(one.len(), other.len());
}

#[test]
fn in_place_a_role_that_may_make_no_database_restores_its_own() {
    let Some(site) = Site::new() else { return };
    let url = owner(&site);
    let psql = |sql: &str| {
        let script = format!("SET SESSION AUTHORIZATION weak; {sql}");
        site.cluster.psql("mine", &script)
    };
    psql(MINE);
    let before = dump(&site, "mine");
    let kluis = |code: i32, arguments: &[&str]| {
        let mut command = site.command(arguments);
        ended(code, &command.args(["--url", &url]).output().unwrap())
    };
    kluis(0, &["backup", "db"]);
    let whole = site.house.listed().remove(0);
    assert!(whole.starts_with("mine_backup_"), "{whole}");
    // Over itself, after changes that the dump does not know.
    psql(
        "CREATE SCHEMA more; CREATE TABLE more.t AS SELECT 1; DROP TABLE h; CREATE TYPE x AS ENUM ()",
    );
    let said = kluis(0, &["restore", &whole, "--replace", "--in-place", "--yes"]);
    assert!(said.contains("all the same"), "{said}");
    similar(&dump(&site, "mine"), &before);
    assert_eq!(site.house.listed().len(), 3);
    // Without emptying it, it is refused.
    let said = kluis(1, &["restore", &whole, "--into", "mine", "--in-place"]);
    assert!(said.contains("is not empty"), "{said}");
    // Into one that is empty again.
    site.cluster.psql(
        "postgres",
        "CREATE DATABASE bare TEMPLATE template0 OWNER weak",
    );
    site.cluster.psql("bare", "CREATE TEMPORARY TABLE gone ()");
    kluis(0, &["restore", &whole, "--into", "bare", "--in-place"]);
    similar(&dump(&site, "bare"), &before);
    let said = kluis(1, &["restore", &whole, "--into", "none", "--in-place"]);
    assert!(said.contains("there is no database \"none\""), "{said}");
}

#[test]
fn in_place_a_role_needs_no_database_but_its_own() {
    let Some(site) = Site::new() else { return };
    let url = owner(&site);
    site.cluster.psql(
        "postgres",
        "REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC",
    );
    let mine = "SET SESSION AUTHORIZATION weak; CREATE TABLE t AS SELECT 7 AS i";
    site.cluster.psql("mine", mine);
    let kluis = |code: i32, arguments: &[&str]| {
        let mut command = site.command(arguments);
        ended(code, &command.args(["--url", &url]).output().unwrap())
    };
    kluis(0, &["backup", "db"]);
    site.cluster.psql("mine", "UPDATE t SET i = 8");
    kluis(
        0,
        &["restore", "latest:mine", "--replace", "--in-place", "--yes"],
    );
    assert_eq!(site.cluster.psql("mine", "SELECT i FROM t"), "7");
    site.cluster.psql("mine", "DROP TABLE t");
    kluis(
        0,
        &["restore", "latest:mine", "--into", "mine", "--in-place"],
    );
    assert_eq!(site.cluster.psql("mine", "SELECT i FROM t"), "7");
}

#[test]
fn no_time_limit_of_a_role_stops_what_it_restores() {
    let Some(site) = Site::new() else { return };
    let url = owner(&site);
    site.cluster.psql(
        "postgres",
        "ALTER ROLE weak CREATEDB; ALTER ROLE weak SET statement_timeout = '20ms';
         ALTER ROLE weak SET lock_timeout = '1ms';
         ALTER ROLE weak SET idle_in_transaction_session_timeout = '500ms'",
    );
    let major: u32 = site
        .cluster
        .psql(
            "postgres",
            "SELECT current_setting('server_version_num')::int / 10000",
        )
        .parse()
        .unwrap();
    for (since, limit) in [(14, "idle_session_timeout"), (17, "transaction_timeout")] {
        if major >= since {
            let sql = format!("ALTER ROLE weak SET {limit} = '500ms'");
            site.cluster.psql("postgres", &sql);
        }
    }
    // Filling it and looking at it takes longer than any of them.
    let mine = "SET SESSION AUTHORIZATION weak;
         CREATE FUNCTION slow() RETURNS boolean LANGUAGE sql AS
           'SELECT pg_catalog.pg_sleep(0.7) IS NOT NULL';
         CREATE TABLE t (i int CHECK (public.slow())); INSERT INTO t VALUES (7)";
    site.cluster.psql("mine", mine);
    let kluis = |arguments: &[&str]| {
        let mut command = site.command(arguments);
        ended(0, &command.args(["--url", &url]).output().unwrap());
    };
    kluis(&["backup", "db"]);
    kluis(&["restore", "latest:mine", "--into", "copy"]);
    kluis(&["restore", "latest:mine", "--replace", "--yes"]);
    kluis(&["restore", "latest:mine", "--replace", "--in-place", "--yes"]);
    assert_eq!(site.cluster.psql("copy", "SELECT i FROM t"), "7");
}

#[test]
fn in_place_names_that_are_no_utf_8_come_back() {
    let Some(site) = Site::new() else { return };
    for (name, encoding) in [("latin", "LATIN1"), ("bytes", "SQL_ASCII")] {
        site.cluster.psql(
            "postgres",
            &format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'"),
        );
        let made = "DO $$ DECLARE n text := convert_from('\\xe9', 'CODE'); BEGIN
             EXECUTE format('CREATE SCHEMA %I', n);
             EXECUTE format('CREATE TABLE %I.%I (%I serial)', n, n, n);
             EXECUTE format('INSERT INTO %I.%I DEFAULT VALUES', n, n);
             EXECUTE format('CREATE SEQUENCE %I', n);
             PERFORM nextval(format('%I', n)); END $$";
        site.cluster.psql(name, &made.replace("CODE", encoding));
        site.ends(0, &["backup", "db", name]);
        let latest = format!("latest:{name}");
        let replace = [
            "restore",
            &latest,
            "--replace",
            "--in-place",
            "--yes",
            "--as-superuser",
        ];
        site.ends(
            0,
            &[&replace[..], &["--url", &site.cluster.url(name)]].concat(),
        );
        let found = "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'S')
             AND encode(convert_to(relname::text, 'CODE'), 'hex') ~ '^e9'";
        let found = site.cluster.psql(name, &found.replace("CODE", encoding));
        assert_eq!(found, "3", "{encoding}");
    }
}

/// A provider makes them, as a superuser.
#[test]
fn in_place_another_roles_extension_stays_and_is_no_content() {
    let Some(site) = Site::new() else { return };
    let url = owner(&site);
    let provided = "CREATE EXTENSION pageinspect; CREATE EXTENSION hstore SCHEMA public";
    site.cluster.psql("mine", provided);
    let mine =
        "SET SESSION AUTHORIZATION weak; CREATE TABLE t AS SELECT 7 AS a, 'a=>1'::hstore AS h";
    site.cluster.psql("mine", mine);
    let kluis = |code: i32, arguments: &[&str]| {
        let mut command = site.command(arguments);
        ended(code, &command.args(["--url", &url]).output().unwrap())
    };
    kluis(0, &["backup", "db"]);
    let before = dump(&site, "mine");
    site.cluster.psql(
        "postgres",
        "CREATE DATABASE bare TEMPLATE template0 OWNER weak",
    );
    site.cluster.psql("bare", provided);
    kluis(
        0,
        &["restore", "latest:mine", "--into", "bare", "--in-place"],
    );
    similar(&dump(&site, "bare"), &before);
    site.cluster.psql("mine", "UPDATE t SET a = 8");
    kluis(
        0,
        &["restore", "latest:mine", "--replace", "--in-place", "--yes"],
    );
    similar(&dump(&site, "mine"), &before);
    // What is no extension's counts as ever.
    let said = kluis(
        1,
        &["restore", "latest:mine", "--into", "bare", "--in-place"],
    );
    assert!(said.contains("is not empty"), "{said}");
}

#[test]
fn in_place_what_cannot_be_dropped_or_filled_leaves_all_as_it_was() {
    let Some(site) = Site::new() else { return };
    let url = owner(&site);
    let mine = "SET SESSION AUTHORIZATION weak; CREATE TABLE t AS SELECT 7 AS a";
    site.cluster.psql("mine", mine);
    let restore = |code: i32| {
        let mut command = site.command(&["restore", "latest:mine", "--replace", "--in-place"]);
        command.args(["--yes", "--no-pre-restore-backup", "--url", &url]);
        ended(code, &command.output().unwrap())
    };
    let mut backup = site.command(&["backup", "db", "--url", &url]);
    ended(0, &backup.output().unwrap());
    site.cluster.psql(
        "mine",
        "CREATE SCHEMA theirs; CREATE TABLE theirs.t AS SELECT 8 AS a",
    );
    let before = dump(&site, "mine");
    let said = restore(1);
    assert!(said.contains("must be owner of schema theirs"), "{said}");
    assert_eq!(dump(&site, "mine"), before);
    // Another number of rows is seen before the commit, other rows only after it.
    site.cluster.psql("mine", "DROP SCHEMA theirs CASCADE");
    let before = dump(&site, "mine");
    site.meddle(
        "-- PostgreSQL database dump complete",
        "INSERT INTO public.t VALUES (8);\\n",
    );
    let said = restore(4);
    assert!(said.contains("has 2 rows instead of 1"), "{said}");
    assert_eq!(dump(&site, "mine"), before);
    site.meddle(
        "-- PostgreSQL database dump complete",
        "COMMIT; DROP TABLE public.t;\\n",
    );
    let said = restore(1);
    assert!(said.contains("ends its transaction by itself"), "{said}");
    assert_eq!(dump(&site, "mine"), before);
    site.meddle("COMMIT;", "UPDATE public.t SET a = 8;");
    let said = restore(4);
    assert!(said.contains("IS IN PLACE in database mine"), "{said}");
    assert!(!said.contains("nothing was restored"), "{said}");
    assert_eq!(site.cluster.psql("mine", "SELECT a FROM t"), "8");
}

#[test]
fn the_working_directory_itself_is_no_destination() {
    let house = House::new();
    fs::create_dir(house.path("tree")).unwrap();
    fs::write(house.path("tree/file"), "x").unwrap();
    house.run(&["backup", "source", "tree"]);
    fs::create_dir(house.path("here")).unwrap();
    for to in [".", "../here"] {
        let mut command = house.kluis();
        command.args(["restore", "latest:source", "--to", to]);
        let output = command.current_dir(house.path("here")).output().unwrap();
        let said = ended(2, &output);
        assert!(said.contains("working directory"), "{said}");
    }
}

#[test]
fn without_a_terminal_nothing_is_asked() {
    let house = House::new();
    let output = house.kluis().arg("restore").output().unwrap();
    let said = ended(2, &output);
    assert!(said.contains("which backup?"), "{said}");
    let output = house.kluis().args(["restore", "latest"]).output().unwrap();
    let said = ended(2, &output);
    assert!(said.contains("--into DB or --replace"), "{said}");
}

/// Runs kluis on a terminal of 80 columns, where `answers` are typed.
fn on_terminal(site: &Site, arguments: &str, answers: &str) -> String {
    let mut command = site.house.command("script");
    command.env("DATABASE_URL", site.cluster.url("shop"));
    let line = format!(
        "stty cols 80; exec {} {arguments}",
        env!("CARGO_BIN_EXE_kluis")
    );
    command.args(["-q", "-e", "-c", &line, "/dev/null"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, answers.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    ended(0, &output)
}

#[test]
fn where_nothing_can_be_written_that_is_told_before_the_archive_is_read() {
    let Some(site) = Site::new() else { return };
    let role = "ALTER ROLE postgres SET default_transaction_read_only";
    site.cluster.psql("postgres", &format!("{role} = on"));
    let mut restore = site.house.kluis();
    restore.env("DATABASE_URL", site.cluster.url("shop"));
    let output = restore
        .args(["restore", "latest:shop", "--into", "copy"])
        .output()
        .unwrap();
    let said = ended(1, &output);
    assert!(
        said.contains("default_transaction_read_only is on"),
        "{said}"
    );
    assert!(said.contains("PGOPTIONS"), "{said}");
    site.cluster.psql(
        "postgres",
        &format!("BEGIN READ WRITE; {role} = off; COMMIT"),
    );
}

/// A session of a program called "tired" in the shop.
fn connected(site: &Site) -> std::process::Child {
    let mut client = site.cluster.client("psql", "shop");
    client.env("PGAPPNAME", "tired");
    let mut client = client
        .args(["-AtX"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdin = client.stdin.as_mut().unwrap();
    std::io::Write::write_all(stdin, b"SELECT 'here';\n").unwrap();
    let mut line = String::new();
    let stdout = client.stdout.as_mut().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
    assert_eq!(line, "here\n");
    client
}

#[test]
fn on_a_terminal_the_missing_is_asked_for() {
    if !programs::are_here(&["script"]) {
        return;
    }
    let Some(site) = Site::new() else { return };
    let said = on_terminal(&site, "restore", "1\n1\n\n");
    assert!(said.contains("shop_restored"), "{said}");
    assert!(said.contains("--into shop_restored"), "{said}");
    assert_eq!(site.databases(), ["shop", "shop_restored"]);
    site.cluster.psql("shop", "DROP TABLE empty");
    let mut client = connected(&site);
    let said = on_terminal(&site, "restore latest:shop", "3\n2\nshop\n");
    client.kill().unwrap();
    client.wait().unwrap();
    assert!(said.contains("neither 1 nor 2"), "{said}");
    assert!(said.contains("--replace --yes"), "{said}");
    // All that tells the wrong database from the right one, before its name is typed.
    let (question, _) = said.split_once("Type shop to go on").unwrap();
    let socket = site.cluster.socket();
    let socket = socket.parent().unwrap();
    for part in [
        socket.to_str().unwrap(),
        "shop, ",
        " MiB: is backed up",
        "just now",
        "tired of",
    ] {
        let flat = question.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(part), "no {part:?} in {flat}");
    }
    assert!(
        question.contains("1 session WILL BE DISCONNECTED"),
        "{question}"
    );
    assert_eq!(site.cluster.psql("shop", "SELECT count(*) FROM empty"), "0");
}

/// A database of one role, and the session of another one in it.
fn visited(rights: &str) -> Option<(Site, std::process::Child)> {
    let site = Site::new()?;
    let roles = format!(
        "CREATE ROLE app LOGIN CREATEDB {rights}; CREATE ROLE other LOGIN;
         ALTER DATABASE shop OWNER TO app; ALTER TABLE item OWNER TO app;
         ALTER TABLE empty OWNER TO app; ALTER VIEW named OWNER TO app"
    );
    site.cluster.psql("shop", &roles);
    site.ends(0, &["backup", "db", "shop"]);
    let mut other = site.cluster.client("psql", "shop");
    let mut other = other
        .env("PGUSER", "other")
        .args(["-XAtq", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdin = other.stdin.as_mut().unwrap();
    stdin.write_all(b"SELECT 1;\n").unwrap();
    let mut answer = [0; 1];
    other
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut answer)
        .unwrap();
    Some((site, other))
}

fn replaced_by_app(site: &Site) -> Output {
    let url = site
        .cluster
        .url("shop")
        .replace("postgres://postgres@", "postgres://app@");
    let mut command = site.command(&["restore", "latest", "--replace", "--yes"]);
    command.env("DATABASE_URL", url).output().unwrap()
}

#[test]
fn the_sessions_of_others_are_ended_by_a_role_that_may_end_them() {
    let Some((site, mut other)) = visited("IN ROLE pg_signal_backend") else {
        return;
    };
    ended(0, &replaced_by_app(&site));
    drop(other.stdin.take());
    other.wait().unwrap();
}
