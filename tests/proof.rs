//! `verify --restore`: what it proves, what it finds, what it leaves: nothing.
//!
//! A copy is held in the middle by a function that never returns in a copy, and
//! returns at once in the database that was dumped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support;
use crate::support::house::{House, names};
use crate::support::{Cluster, ClusterOptions};

/// A house with a work directory that a server without our rights can get to.
struct Proof {
    house: House,
    work: tempfile::TempDir,
}

impl Proof {
    fn new() -> Self {
        Self::in_house(House::new())
    }

    fn in_house(house: House) -> Self {
        let work = support::open_directory(0o755);
        let config = format!("work_dir = \"{}\"\n", work.path().display());
        fs::write(house.path("kluis.toml"), config).unwrap();
        Self { house, work }
    }

    /// With a backup of the database of this URL.
    fn of(url: &str, flags: &[&str]) -> Self {
        let proof = Self::new();
        let arguments = [&["backup", "db", "--url", url], flags].concat();
        proof.house.run(&arguments);
        proof
    }

    /// The same without a key, so that the manifest can be edited.
    fn unsealed_of(url: &str) -> Self {
        let proof = Self::in_house(House::keyless());
        let arguments = ["backup", "db", "--url", url, "--no-encrypt"];
        proof.house.run(&arguments);
        proof
    }

    fn verify(&self, flags: &[&str]) -> Output {
        let arguments = [&["verify", "--restore", "latest"], flags].concat();
        self.house.kluis().args(arguments).output().unwrap()
    }

    /// What went wrong, of a run that must end with this code.
    fn problem(&self, code: i32, flags: &[&str]) -> String {
        let output = self.verify(&[flags, &["--json"]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{output:?}: {said}");
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        self.leaves_nothing();
        shown["backups"][0]["problems"][0]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Must be proven; its warnings.
    fn proven(&self, flags: &[&str]) -> Vec<String> {
        let output = self.verify(&[flags, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        let row = &shown["backups"][0];
        assert_eq!(row["level"], "restored", "{row}");
        assert_eq!(self.shown(), "restored");
        self.leaves_nothing();
        let warnings = row["warnings"].as_array().unwrap().iter();
        warnings
            .map(|warning| warning.as_str().unwrap().to_owned())
            .collect()
    }

    /// The proof that `list` shows of the only backup.
    fn shown(&self) -> String {
        let output = self.house.run(&["list", "--json"]);
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        shown["backups"][0]["proof"].as_str().unwrap().to_owned()
    }

    fn leaves_nothing(&self) {
        assert_eq!(names(self.work.path()), [""; 0]);
        assert_eq!(self.processes(), [""; 0]);
    }

    /// Every process of a throwaway server has its data directory as its own.
    fn processes(&self) -> Vec<String> {
        let inside = |pid: &String| {
            let cwd = fs::read_link(format!("/proc/{pid}/cwd"));
            cwd.is_ok_and(|cwd| cwd.starts_with(self.work.path()))
        };
        names(Path::new("/proc"))
            .into_iter()
            .filter(inside)
            .collect()
    }

    /// Starts a proof and waits until its copy hangs in the held function.
    fn start_and_hold(&self, flags: &[&str]) -> Child {
        let mut command = self.house.kluis();
        command.args(["verify", "--restore", "latest"]).args(flags);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        wait_until("the proof did not get there", || {
            assert!(child.try_wait().unwrap().is_none(), "it ended before");
            self.postmaster().is_some_and(|data| is_held(&data))
        });
        child
    }

    /// The throwaway server's data directory, once it is ready.
    fn postmaster(&self) -> Option<PathBuf> {
        let name = names(self.work.path())
            .into_iter()
            .find(|name| !name.ends_with(".lock"))?;
        let data = self.work.path().join(name).join("server/data");
        let status = fs::read_to_string(data.join("postmaster.pid")).ok()?;
        status.contains("ready").then_some(data)
    }

    /// Edits the manifest of an unsealed backup.
    fn edit_manifest(&self, edit: impl FnOnce(&mut Value)) {
        let storage = self.house.storage();
        let name = names(&storage)
            .into_iter()
            .find(|name| name.ends_with(".sql.gz.json"))
            .unwrap();
        let bytes = fs::read(storage.join(&name)).unwrap();
        let mut file: Value = serde_json::from_slice(&bytes).unwrap();
        edit(&mut file["manifest"]["database"]);
        fs::write(storage.join(&name), file.to_string()).unwrap();
    }
}

/// Waits for a condition; the bound only turns a hang into a failure.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let patience = Instant::now();
    while !holds() {
        assert!(patience.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether the held function runs in the copy: it has left its word.
fn is_held(data: &Path) -> bool {
    data.join("held").exists()
}

/// Hangs every copy of the database, and leaves a word in its data directory.
const HOLDING: &str = r#"
    CREATE FUNCTION public.hold() RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN
        IF current_database() LIKE '%\_kluis\_%' THEN
            EXECUTE format('COPY (SELECT 1) TO %L', current_setting('data_directory') || '/held');
            LOOP END LOOP;
        END IF;
        RETURN true;
    END $$;
    CREATE TABLE held (i int CONSTRAINT holds CHECK (public.hold()));
    INSERT INTO held VALUES (1);"#;

fn stop(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), signal).unwrap();
}

/// Whether a System V shared memory segment is left that this process made.
fn has_shared_memory(pid: &str) -> bool {
    let segments = fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let makers = segments
        .lines()
        .filter_map(|row| row.split_whitespace().nth(4));
    makers.skip(1).any(|maker| maker == pid)
}

#[test]
fn a_database_is_proven_with_all_that_its_dump_names() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql(
        "postgres",
        "SET allow_in_place_tablespaces = on; CREATE TABLESPACE \"fast one\" LOCATION ''",
    );
    cluster.psql(
        "shop",
        r#"CREATE ROLE "o'Hara"; CREATE ROLE ann; CREATE EXTENSION pgcrypto;
           CREATE TABLE t (id int PRIMARY KEY, at timestamptz, raw bytea, amount money)
             TABLESPACE "fast one";
           INSERT INTO t SELECT n, '2026-01-18'::timestamptz + n * interval '1 h', '\x00ff',
             n::money FROM generate_series(1, 1000) AS n;
           ALTER TABLE t OWNER TO "o'Hara"; GRANT SELECT ON t TO ann;
           CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM t;
           CREATE FUNCTION on_drop() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
           CREATE EVENT TRIGGER e ON sql_drop EXECUTE FUNCTION on_drop();
           SELECT lo_from_bytea(0, '\x0102');
           CREATE SEQUENCE s; SELECT nextval('s');
           ALTER DATABASE shop SET timezone = 'Asia/Kathmandu';
           ALTER DATABASE shop SET bytea_output = 'escape'"#,
    );
    let proof = Proof::of(&cluster.url("shop"), &[]);
    assert_eq!(proof.shown(), "stored");
    // Nothing of the server that was dumped is needed.
    drop(cluster);
    assert_eq!(proof.proven(&[]), [""; 0]);
    // What is proven is not pending.
    let output = proof
        .house
        .run(&["verify", "--restore", "--pending", "--json"]);
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["backups"], serde_json::json!([]));
}

#[test]
fn every_format_is_proven_and_found_wrong_the_same_way() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql(
        "shop",
        "CREATE ROLE ann; CREATE TABLE t AS SELECT n FROM generate_series(1, 999) AS n;
         ALTER TABLE t OWNER TO ann; SELECT lo_from_bytea(0, '\\x0102')",
    );
    let url = cluster.url("shop");
    for format in ["custom", "directory"] {
        Proof::of(&url, &["--format", format]).proven(&[]);
    }
    cluster.psql("shop", AUDITED);
    for format in ["custom", "directory"] {
        let proof = Proof::of(&url, &["--format", format]);
        let problem = proof.problem(4, &[]);
        assert!(problem.contains("6 rows instead of 3"), "{problem}");
        assert_eq!(proof.shown(), "does-not-restore");
    }
}

#[test]
fn the_configured_server_proves_and_keeps_nothing() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql(
        "shop",
        "CREATE ROLE gone; CREATE TABLE t (i int); ALTER TABLE t OWNER TO gone;
         INSERT INTO t VALUES (1)",
    );
    let proof = Proof::of(&cluster.url("shop"), &[]);
    cluster.psql("postgres", "DROP DATABASE shop");
    cluster.psql("postgres", "DROP ROLE gone");
    let all = "SELECT rolname FROM pg_roles UNION SELECT datname FROM pg_database ORDER BY 1";
    let before = cluster.psql("postgres", all);
    let url = cluster.url("postgres");
    assert_eq!(
        proof.proven(&["--in-server", "--as-superuser", "--url", &url]),
        [""; 0]
    );
    assert_eq!(cluster.psql("postgres", all), before);
}

#[test]
fn the_copy_of_a_database_with_a_subscription_goes_too() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql(
        "shop",
        "SET client_min_messages = error;
         CREATE SUBSCRIPTION \"it's\" CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p
         WITH (connect = false, slot_name = 'its')",
    );
    let proof = Proof::of(&cluster.url("shop"), &[]);
    let url = cluster.url("postgres");
    assert_eq!(
        proof.proven(&["--in-server", "--as-superuser", "--url", &url]),
        [""; 0]
    );
    let databases = "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database";
    let databases = cluster.psql("postgres", databases);
    assert_eq!(databases, "postgres shop template0 template1");
    let kept = "SELECT subname, subslotname FROM pg_subscription";
    assert_eq!(cluster.psql("shop", kept), "it's|its");
}

#[test]
fn roles_that_may_not_be_made_are_named_with_the_way_out() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql(
        "shop",
        "CREATE ROLE gone; CREATE TABLE t (i int); ALTER TABLE t OWNER TO gone;
         CREATE ROLE weak LOGIN CREATEDB",
    );
    let proof = Proof::of(&cluster.url("shop"), &[]);
    cluster.psql("postgres", "DROP DATABASE shop");
    cluster.psql("postgres", "DROP ROLE gone");
    let url = cluster.url("postgres").replace("postgres@", "weak@");
    let problem = proof.problem(1, &["--in-server", "--as-superuser", "--url", &url]);
    assert!(problem.contains("the roles gone are missing"), "{problem}");
    assert!(problem.contains("CREATEROLE"), "{problem}");
    assert_eq!(proof.shown(), "stored");
}

#[test]
fn a_role_that_may_make_roles_proves_in_the_server() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql(
        "shop",
        "CREATE ROLE gone; CREATE SCHEMA AUTHORIZATION gone; CREATE TABLE gone.t (i int);
         ALTER TABLE gone.t OWNER TO gone; CREATE ROLE maker LOGIN CREATEDB CREATEROLE",
    );
    let proof = Proof::of(&cluster.url("shop"), &[]);
    cluster.psql("postgres", "DROP DATABASE shop");
    cluster.psql("postgres", "DROP ROLE gone");
    let url = cluster.url("postgres").replace("postgres@", "maker@");
    proof.proven(&["--in-server", "--as-superuser", "--url", &url]);
    let roles = cluster.psql("postgres", "SELECT rolname FROM pg_roles");
    assert!(!roles.contains("gone"), "{roles}");
}

/// An audit table that a CHECK constraint writes to: the rows that the dump
/// brings are checked again, so the copy has more of them.
const AUDITED: &str = "CREATE TABLE audit (at timestamptz);
    CREATE FUNCTION public.noted() RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO public.audit VALUES (now()); RETURN true; END $$;
    CREATE TABLE checked (i int CHECK (public.noted()));
    INSERT INTO checked VALUES (1), (2), (3)";

#[test]
fn a_dump_that_restores_to_something_else_is_found() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql("shop", AUDITED);
    let proof = Proof::of(&cluster.url("shop"), &[]);
    let problem = proof.problem(4, &[]);
    let wanted = "the restored copy differs from its manifest in 1 places: \
                  table public.audit has 6 rows instead of 3";
    assert_eq!(problem, wanted);
    assert_eq!(proof.shown(), "does-not-restore");
}

/// A CHECK constraint that looks into another table, which is filled later.
#[test]
fn a_dump_that_does_not_restore_is_found_with_its_line() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql(
        "shop",
        "CREATE TABLE z (i int); INSERT INTO z VALUES (1);
         CREATE FUNCTION public.known(int) RETURNS boolean LANGUAGE sql
           AS 'SELECT EXISTS (SELECT FROM public.z WHERE i = $1)';
         CREATE TABLE a (i int CHECK (public.known(i))); INSERT INTO a VALUES (1)",
    );
    let proof = Proof::of(&cluster.url("shop"), &[]);
    let problem = proof.problem(4, &[]);
    assert!(
        problem.starts_with("it does not restore: the dump stopped at its line "),
        "{problem}"
    );
    assert!(problem.contains("violates check constraint"), "{problem}");
    assert_eq!(proof.shown(), "does-not-restore");
    // It is whole, and that takes nothing back of what was found.
    let shown = proof.house.run(&["verify", "latest"]);
    let said = String::from_utf8(shown.stdout).unwrap();
    assert!(said.contains("kluis verify --restore"), "{said}");
    assert_eq!(proof.shown(), "does-not-restore");
    let checked = proof
        .house
        .kluis()
        .args(["check", "--no-server", "--json"])
        .output();
    let checked: Value = serde_json::from_slice(&checked.unwrap().stdout).unwrap();
    let findings = checked["findings"].as_array().unwrap();
    let of = |check: &str| findings.iter().find(|it| it["check"] == check).unwrap();
    assert_eq!(of("restores")["level"], "critical");
    assert_eq!(of("damaged")["level"], "ok");
    let remedy = of("restores")["remedy"].as_str().unwrap();
    assert!(!remedy.contains("delete"), "{remedy}");
}

#[test]
fn a_damaged_archive_is_told_as_damaged_though_it_does_not_restore_either() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql(
        "shop",
        "CREATE TABLE t AS SELECT n FROM generate_series(1, 9999) AS n",
    );
    let proof = Proof::of(&cluster.url("shop"), &["--no-encrypt", "--codec", "none"]);
    let storage = proof.house.storage();
    let archive = names(&storage)
        .into_iter()
        .find(|name| name.ends_with(".sql"))
        .unwrap();
    let mut bytes = fs::read(storage.join(&archive)).unwrap();
    // "CREATE TABLE" becomes no SQL; what follows it is whole.
    let at = bytes
        .windows(12)
        .position(|w| w == b"CREATE TABLE")
        .unwrap();
    bytes[at] = b'X';
    fs::write(storage.join(&archive), bytes).unwrap();
    let problem = proof.problem(4, &[]);
    assert!(problem.contains("checksum"), "{problem}");
}

#[test]
fn what_is_missing_here_is_named_and_the_state_stays() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql("shop", "CREATE TABLE t (i int)");
    let url = cluster.url("shop");
    let proof = Proof::unsealed_of(&url);
    proof.edit_manifest(|database| database["extensions"]["odd_ext"] = "1.0".into());
    for flags in [vec![], vec!["--in-server", "--as-superuser", "--url", &url]] {
        let problem = proof.problem(1, &flags);
        assert!(problem.contains("the extensions odd_ext"), "{problem}");
        assert!(problem.contains("-odd-ext"), "{problem}");
        assert_eq!(proof.shown(), "stored");
    }
    proof.edit_manifest(|database| {
        database["extensions"] = serde_json::json!({});
        database["tablespaces"] = serde_json::json!(["elsewhere"]);
    });
    let problem = proof.problem(1, &["--in-server", "--as-superuser", "--url", &url]);
    assert!(problem.contains("tablespaces elsewhere"), "{problem}");
    proof.edit_manifest(|database| database["database_bytes"] = (1_u64 << 60).into());
    let problem = proof.problem(1, &[]);
    assert!(problem.contains("MiB free"), "{problem}");
    assert_eq!(proof.shown(), "stored");
}

/// Rows of this view come of a library that the server has loaded when it started.
const OF_A_PRELOAD: &str = "CREATE EXTENSION pg_stat_statements;
     CREATE MATERIALIZED VIEW seen AS SELECT count(*) >= 0 AS some FROM pg_stat_statements";

#[test]
fn what_the_server_preloads_is_preloaded_where_it_is_proven() {
    let preload = "shared_preload_libraries=pg_stat_statements";
    let Some(cluster) = Cluster::start_with(ClusterOptions {
        settings: vec![preload.to_owned()],
        ..ClusterOptions::default()
    }) else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql("shop", OF_A_PRELOAD);
    let proof = Proof::unsealed_of(&cluster.url("shop"));
    assert_eq!(proof.proven(&[]), [""; 0]);
    // As a manifest tells it where the setting is hidden from the role.
    proof.edit_manifest(|database| {
        assert_eq!(
            database["preloads"],
            serde_json::json!(["pg_stat_statements"])
        );
        database.as_object_mut().unwrap().remove("preloads");
    });
    let problem = proof.problem(1, &[]);
    assert!(problem.contains("shared_preload_libraries"), "{problem}");
}

#[test]
fn what_fails_for_want_of_a_preload_is_no_damage() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql(
        "shop",
        "CREATE FUNCTION loaded() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
           IF current_database() <> 'shop' THEN RAISE EXCEPTION 'load me first'; END IF;
           RETURN true; END $$;
         CREATE TABLE t (i int CHECK (public.loaded())); INSERT INTO t VALUES (1)",
    );
    let proof = Proof::unsealed_of(&cluster.url("shop"));
    assert!(proof.problem(4, &[]).contains("load me first"));
    for name in ["kluis_none", "/tmp/kluis_none", "../kluis_none"] {
        proof.edit_manifest(|database| database["preloads"] = serde_json::json!([name]));
        let problem = proof.problem(1, &[]);
        assert!(problem.contains(name), "{problem}");
        assert!(problem.contains("load me first"), "{problem}");
    }
}

#[test]
fn a_major_that_is_not_here_is_named_with_its_package() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let proof = Proof::unsealed_of(&cluster.url("postgres"));
    proof.edit_manifest(|database| database["server_version"] = "99.1".into());
    let problem = proof.problem(1, &[]);
    assert!(problem.contains("postgresql-99"), "{problem}");
    assert!(!problem.contains("client-99"), "{problem}");
    // A newer one than the dump's does, and says so.
    proof.edit_manifest(|database| database["server_version"] = "9.6".into());
    let warnings = proof.proven(&[]).join("\n");
    assert!(warnings.contains("install postgresql-9"), "{warnings}");
}

#[test]
fn a_locale_that_is_not_here_is_replaced_and_told() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.psql(
        "postgres",
        "CREATE DATABASE old TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'",
    );
    cluster.psql(
        "old",
        "SET client_encoding = 'UTF8'; CREATE TABLE t AS SELECT 'é' AS é",
    );
    let proof = Proof::unsealed_of(&cluster.url("old"));
    assert_eq!(proof.proven(&[]), [""; 0]);
    proof.edit_manifest(|database| database["locale"] = "nl_XX.ISO-8859-1".into());
    let warnings = proof.proven(&[]).join("\n");
    assert!(warnings.contains("for want of nl_XX"), "{warnings}");
}

#[test]
fn a_part_of_a_database_is_proven_and_what_it_lacks_is_no_damage() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql(
        "shop",
        "CREATE SCHEMA app; CREATE TABLE app.a (i int PRIMARY KEY); INSERT INTO app.a VALUES (1);
         CREATE TABLE app.b (i int REFERENCES app.a); INSERT INTO app.b VALUES (1);
         CREATE EXTENSION citext; CREATE TABLE app.c (t citext); INSERT INTO app.c VALUES ('x')",
    );
    let url = cluster.url("shop");
    for flags in [["-n", "app"], ["-t", "app.c"]] {
        Proof::of(&url, &flags).proven(&[]);
    }
    let alone = Proof::of(&url, &["-t", "app.b"]);
    let problem = alone.problem(1, &[]);
    assert!(problem.contains("a part of a database"), "{problem}");
    assert_eq!(alone.shown(), "stored");
}

#[test]
fn two_proofs_at_once_do_not_meet() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql(
        "shop",
        "CREATE ROLE gone; CREATE TABLE t AS SELECT n FROM generate_series(1, 9999) AS n;
         ALTER TABLE t OWNER TO gone",
    );
    let proof = Proof::of(&cluster.url("shop"), &[]);
    cluster.psql("postgres", "DROP DATABASE shop");
    cluster.psql("postgres", "DROP ROLE gone");
    let url = cluster.url("postgres");
    for flags in [vec![], vec!["--in-server", "--as-superuser", "--url", &url]] {
        let mut runs: Vec<Child> = (0..3)
            .map(|_| {
                let mut command = proof.house.kluis();
                command.args(["verify", "--restore", "latest"]).args(&flags);
                command.stdout(Stdio::null()).spawn().unwrap()
            })
            .collect();
        for run in &mut runs {
            assert_eq!(run.wait().unwrap().code(), Some(0), "{flags:?}");
        }
        proof.leaves_nothing();
    }
    let left = "SELECT rolname FROM pg_roles WHERE rolname = 'gone'
                UNION SELECT datname FROM pg_database WHERE datname ~ 'kluis'";
    assert_eq!(cluster.psql("postgres", left), "");
}

#[test]
fn a_stopped_proof_leaves_nothing() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql("shop", HOLDING);
    let proof = Proof::of(&cluster.url("shop"), &[]);
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut child = proof.start_and_hold(&[]);
        stop(&child, signal);
        assert_eq!(child.wait().unwrap().code(), Some(code));
        proof.leaves_nothing();
        assert_eq!(proof.shown(), "stored");
    }
}

#[test]
fn after_kill_nine_nothing_runs_and_the_next_run_sweeps() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql("shop", HOLDING);
    let proof = Proof::of(&cluster.url("shop"), &[]);
    let mut child = proof.start_and_hold(&[]);
    // Its own file has its number in a namespace of processes; this one is ours.
    let pid = proof.processes().remove(0);
    // In a namespace of its own nobody else sees it, and it goes with it.
    let ipc = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/ipc")).unwrap();
    assert!(has_shared_memory(&pid) || ipc(&pid) != ipc("self"));
    stop(&child, Signal::KILL);
    child.wait().unwrap();
    wait_until("its processes stay", || proof.processes().is_empty());
    assert!(!has_shared_memory(&pid));
    let left = names(proof.work.path());
    assert_eq!(left.len(), 2, "{left:?}");
    cluster.psql("shop", "ALTER TABLE held DROP CONSTRAINT holds");
    proof
        .house
        .run(&["backup", "db", "--url", &cluster.url("shop")]);
    proof.proven(&[]);
}

#[test]
fn after_kill_nine_the_servers_stubs_go_with_the_next_run() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql("shop", HOLDING);
    cluster.psql("shop", "CREATE ROLE gone; ALTER TABLE held OWNER TO gone");
    let proof = Proof::of(&cluster.url("shop"), &[]);
    let [needs_gone] = &proof.house.listed()[..] else {
        panic!("one backup was made")
    };
    cluster.psql("postgres", "DROP DATABASE shop");
    cluster.psql("postgres", "DROP ROLE gone");
    // The next run's backup: a backup would sweep, too, so it is made before.
    cluster.create_db("other");
    proof
        .house
        .run(&["backup", "db", "--url", &cluster.url("other")]);
    let url = cluster.url("postgres");
    let mut command = proof.house.kluis();
    command.args([
        "verify",
        "--restore",
        needs_gone,
        "--in-server",
        "--as-superuser",
        "--url",
        &url,
    ]);
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let copies = "SELECT datname FROM pg_stat_activity WHERE datname ~ '_kluis_'
                   AND query ~ '^COPY'";
    wait_until("the proof did not get there", || {
        assert!(child.try_wait().unwrap().is_none(), "it ended before");
        !cluster.psql("postgres", copies).is_empty()
    });
    stop(&child, Signal::KILL);
    child.wait().unwrap();
    let left = "SELECT rolname FROM pg_roles WHERE rolname = 'gone'
                UNION SELECT datname FROM pg_database WHERE datname ~ '_kluis_'";
    assert!(cluster.psql("postgres", left).contains("gone"));
    let holders = "SELECT pid FROM pg_locks WHERE locktype = 'advisory'";
    wait_until("the dead proof holds its copy", || {
        cluster.psql("postgres", holders).is_empty()
    });
    proof.proven(&["--in-server", "--as-superuser", "--url", &url]);
    assert_eq!(cluster.psql("postgres", left), "");
}

#[test]
fn a_tree_is_proven_with_links_that_leave_it() {
    let proof = Proof::new();
    let tree = proof.house.path("tree");
    fs::create_dir_all(tree.join("deep/empty")).unwrap();
    fs::write(tree.join("deep/file"), vec![7; 3_000_000]).unwrap();
    fs::hard_link(tree.join("deep/file"), tree.join("hard")).unwrap();
    fs::write(tree.join("a.log"), "left out of every backup").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", tree.join("outside")).unwrap();
    proof.house.run(&["backup", "source", "tree"]);
    assert_eq!(proof.proven(&[]), [""; 0]);
}

/// kluis need not be root, and then its servers are its own.
#[test]
fn a_user_without_rights_proves_too() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql(
        "shop",
        "CREATE ROLE ann; CREATE TABLE t (i int); ALTER TABLE t OWNER TO ann",
    );
    let proof = Proof::of(&cluster.url("shop"), &[]);
    if !rustix::process::geteuid().is_root() {
        // Then the other tests are of such a user already.
        proof.proven(&[]);
        return;
    }
    let own = tempfile::Builder::new()
        .prefix("kluis")
        .tempdir_in("/tmp")
        .unwrap();
    fs::copy(env!("CARGO_BIN_EXE_kluis"), own.path().join("kluis")).unwrap();
    let copy = std::process::Command::new("cp")
        .arg("-r")
        .arg(proof.house.storage())
        .arg(own.path().join("storage"))
        .status();
    assert!(copy.unwrap().success());
    let give = std::process::Command::new("chown")
        .args(["-R", "postgres"])
        .arg(own.path())
        .status();
    assert!(give.unwrap().success());
    let mut command = proof.house.command("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .arg(own.path().join("kluis"))
        .args(["verify", "--restore", "latest"])
        .env_remove("KLUIS_CONFIG")
        .env("HOME", own.path())
        .env("TMPDIR", own.path())
        .env("BACKUP_LOCAL_PATH", own.path().join("storage"))
        .current_dir("/");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(names(own.path()), ["kluis", "storage"]);
}

/// The way to the work directory may be too long for a socket.
#[test]
fn a_deep_work_directory_is_no_obstacle() {
    let Some(cluster) = Cluster::start_with(ClusterOptions::default()) else {
        return;
    };
    let proof = Proof::of(&cluster.url("postgres"), &[]);
    let deep = proof.work.path().join("deep".repeat(30));
    fs::create_dir(&deep).unwrap();
    let mut command = proof.house.kluis();
    fs::write(proof.house.path("kluis.toml"), "").unwrap();
    command.env("TMPDIR", &deep);
    let output = command
        .args(["verify", "--restore", "latest"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(names(&deep), [""; 0]);
}
