//! Other roles of the server, who have no right on what a restore makes: a setting of
//! their own for its database, a grant to its role, a transaction that they leave open, a
//! session where somebody let them in. None of it keeps a restore from ending.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::Cluster;
use crate::support::house::House;

const PATIENCE: Duration = Duration::from_secs(120);

/// Eve owns the database, something in it belongs to whoever does, and so it is hers while
/// it is filled, and she can let others in: her CHECK waits in `held` until the role `go`
/// is there.
const WRITTEN: &str = "ALTER DATABASE shop OWNER TO eve;
     CREATE TABLE public.owners (i int); ALTER TABLE public.owners OWNER TO pg_database_owner;
     SET ROLE eve;
     CREATE SCHEMA e;
     CREATE FUNCTION e.hold(i int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
       IF pg_catalog.current_database() !~ '^held' THEN RETURN true; END IF;
       WHILE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'go') LOOP
         PERFORM pg_catalog.pg_sleep(0.05);
       END LOOP;
       RETURN true; END $$;
     CREATE TABLE e.t (i int CHECK (e.hold(i)));
     INSERT INTO e.t VALUES (1);";

const IN_A_LOOP: &str = "DO $$ DECLARE d text; BEGIN
     LOOP
       FOR d IN SELECT datname FROM pg_database WHERE datname ~ 'kluis' OR datname = 'held' LOOP
         BEGIN
           EXECUTE format('ALTER ROLE mallory IN DATABASE %I SET work_mem = %s', d,
             64 + (random() * 1000)::int);
         EXCEPTION WHEN OTHERS THEN NULL; END;
       END LOOP;
       COMMIT;
     END LOOP; END $$";

struct Scene {
    cluster: Cluster,
    house: House,
}

impl Scene {
    fn new() -> Option<Self> {
        let cluster = Cluster::start()?;
        let roles = "CREATE ROLE eve LOGIN; CREATE ROLE mallory LOGIN; CREATE ROLE trudy LOGIN;
             CREATE ROLE app LOGIN CREATEDB";
        cluster.psql("postgres", roles);
        cluster.psql("postgres", "CREATE DATABASE hers OWNER mallory");
        cluster.create_db("shop");
        let house = House::new();
        Some(Self { cluster, house })
    }

    fn ask(&self, sql: &str) -> String {
        self.cluster.psql("postgres", sql)
    }

    fn kluis(&self, role: &str, database: &str, arguments: &[&str]) -> Command {
        let url = self.cluster.url(database);
        let mut command = self.house.kluis();
        command.args(arguments).env(
            "DATABASE_URL",
            url.replace("postgres@", &format!("{role}@")),
        );
        command
    }

    fn run(&self, role: &str, database: &str, arguments: &[&str]) -> (Option<i32>, String) {
        ended(self.kluis(role, database, arguments).output().unwrap())
    }

    fn mallory(&self, database: &str) -> Command {
        self.psql("mallory", database)
    }

    fn psql(&self, role: &str, database: &str) -> Command {
        let mut psql = self.cluster.client("psql", database);
        psql.args(["-qAtX"]).env("PGUSER", role);
        psql.stdout(Stdio::piped()).stderr(Stdio::null());
        psql
    }

    /// A session of trudy's that has done `sql` and stands.
    fn open(&self, sql: &str) -> Child {
        let mut psql = self.psql("trudy", "hers");
        let mut psql = psql.stdin(Stdio::piped()).spawn().unwrap();
        let said = format!("{sql}\nSELECT 'done';\n");
        psql.stdin
            .as_mut()
            .unwrap()
            .write_all(said.as_bytes())
            .unwrap();
        let mut line = String::new();
        BufReader::new(psql.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "done\n", "{sql}");
        psql
    }

    /// A restore that waits in eve's CHECK; with its database and its role.
    fn held(&self) -> (Child, String, String) {
        let mut restore = self.kluis("postgres", "shop", &["restore", "latest", "--into", "held"]);
        let mut restore = restore
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let fills = "SELECT coalesce(max(datname || ' ' || usename), '') FROM pg_stat_activity
              WHERE usename ~ '^kluis_fill_' AND wait_event = 'PgSleep'";
        let begun = Instant::now();
        let told = loop {
            let told = self.ask(fills);
            if !told.is_empty() {
                break told;
            }
            assert!(restore.try_wait().unwrap().is_none(), "it ended before");
            assert!(begun.elapsed() < PATIENCE, "nothing is filled");
        };
        let (database, role) = told.split_once(' ').unwrap();
        (restore, database.to_owned(), role.to_owned())
    }

    fn leftovers(&self) -> String {
        self.ask(
            "SELECT coalesce(string_agg(name, ' '), '') FROM (
               SELECT rolname FROM pg_roles UNION ALL SELECT datname FROM pg_database) AS f (name)
             WHERE name ~ 'kluis'",
        )
    }
}

fn ended(output: Output) -> (Option<i32>, String) {
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.code(), said)
}

fn end(child: Child) {
    let mut child = child;
    // It may be gone: kluis ends who is in its way.
    let _ = child.kill();
    child.wait().unwrap();
}

#[test]
fn what_strangers_set_grant_and_hold_keeps_no_restore_from_ending() {
    let Some(scene) = Scene::new() else {
        return;
    };
    scene.cluster.psql("shop", WRITTEN);
    let backup = scene.run("postgres", "shop", &["backup", "db", "shop"]);
    assert_eq!(backup.0, Some(0), "{}", backup.1);
    let looping = scene
        .mallory("postgres")
        .args(["-c", IN_A_LOOP])
        .spawn()
        .unwrap();
    let (restore, database, role) = scene.held();
    let grants = format!(
        "CREATE TABLE t (i int); GRANT SELECT ON t TO {role};
         SELECT lo_create(4242) IS NULL; GRANT SELECT ON LARGE OBJECT 4242 TO {role};
         ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {role};
         GRANT CONNECT ON DATABASE hers TO {role};"
    );
    let granting = scene.mallory("hers").args(["-c", &grants]).status();
    assert!(granting.unwrap().success());
    let holding = scene.open(&format!(
        "BEGIN; CREATE TEMPORARY TABLE u (i int); GRANT SELECT ON u TO {role};
         ALTER ROLE trudy IN DATABASE {database} SET work_mem = 64;"
    ));
    let lets = format!("GRANT CONNECT ON DATABASE {database} TO mallory WITH GRANT OPTION");
    let let_in = scene.psql("eve", "postgres").args(["-c", &lets]).status();
    assert!(let_in.unwrap().success());
    // There she comes back as often as she is sent away.
    let stop = AtomicBool::new(false);
    let (code, said) = thread::scope(|scope| {
        let entering = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let mut psql = scene.mallory(&database);
                let _ = psql.args(["-c", "SELECT pg_sleep(1000)"]).status();
            }
        });
        let inside = format!(
            "SELECT count(*) FROM pg_stat_activity
              WHERE datname = '{database}' AND usename = 'mallory'"
        );
        let begun = Instant::now();
        let came = loop {
            match scene.ask(&inside) == "0" {
                true if begun.elapsed() < PATIENCE => {}
                is_out => break !is_out,
            }
        };
        scene.ask("CREATE ROLE go");
        let ended = ended(restore.wait_with_output().unwrap());
        stop.store(true, Ordering::Relaxed);
        while !entering.is_finished() {
            scene.ask(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                  WHERE usename = 'mallory' AND query ~ '^SELECT pg_sleep'",
            );
        }
        assert!(came, "mallory was not in: {}", ended.1);
        ended
    });
    assert_eq!(code, Some(0), "{said}");
    end(looping);
    end(holding);
    assert_eq!(scene.cluster.psql("held", "SELECT i FROM e.t"), "1");
    assert_eq!(scene.leftovers(), "", "{said}");
    let may = "SELECT has_database_privilege('mallory', 'held', 'CREATE')
         OR coalesce(datacl::text ~ 'mallory', false) FROM pg_database WHERE datname = 'held'";
    assert_eq!(scene.ask(may), "f");
}

#[test]
fn a_role_that_cannot_be_dropped_stays_without_login_until_it_can() {
    let Some(scene) = Scene::new() else {
        return;
    };
    scene.cluster.psql("shop", WRITTEN);
    let backup = ["backup", "db", "shop"];
    assert_eq!(scene.run("postgres", "shop", &backup).0, Some(0));
    let (restore, _, role) = scene.held();
    let grant = format!("SELECT lo_create(4242); GRANT SELECT ON LARGE OBJECT 4242 TO {role}");
    let granted = scene.mallory("hers").args(["-c", &grant]).status();
    assert!(granted.unwrap().success());
    let allow = |allowed: bool| {
        let sql = format!("ALTER DATABASE hers ALLOW_CONNECTIONS {allowed}");
        let done = scene.mallory("postgres").args(["-c", &sql]).status();
        assert!(done.unwrap().success());
    };
    allow(false);
    scene.ask("CREATE ROLE go");
    let (code, said) = ended(restore.wait_with_output().unwrap());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&role), "{said}");
    assert_eq!(scene.leftovers(), role);
    let login = format!("SELECT rolcanlogin FROM pg_roles WHERE rolname = '{role}'");
    assert_eq!(scene.ask(&login), "f");
    let (code, said) = scene.run("postgres", "shop", &backup);
    assert!(matches!(code, Some(0 | 3)), "{said}");
    assert_eq!(scene.leftovers(), role);
    allow(true);
    let (code, said) = scene.run("postgres", "shop", &backup);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(scene.leftovers(), "");
}

/// No superuser: what others set for themselves is not its to change.
#[test]
fn an_owners_restore_ends_whatever_others_have_set_for_themselves() {
    let Some(scene) = Scene::new() else {
        return;
    };
    scene.ask("ALTER DATABASE shop OWNER TO app");
    scene
        .cluster
        .psql("shop", "SET ROLE app; CREATE TABLE t AS SELECT 7 AS i");
    scene.ask(
        "ALTER ROLE mallory IN DATABASE shop SET work_mem = 64;
         ALTER ROLE app IN DATABASE shop SET work_mem = 128; ALTER DATABASE shop SET geqo = off",
    );
    let (code, said) = scene.run("app", "shop", &["backup", "db", "shop"]);
    assert_eq!(code, Some(0), "{said}");
    let looping = scene
        .mallory("postgres")
        .args(["-c", IN_A_LOOP])
        .spawn()
        .unwrap();
    let replace = ["restore", "latest", "--replace", "--yes"];
    let (code, said) = scene.run("app", "shop", &replace);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("\"mallory\""), "{said}");
    end(looping);
    let set = "SELECT string_agg(setrole::regrole || setconfig::text, ' ' ORDER BY setrole)
         FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase
        WHERE datname = 'shop' AND setrole <> 'mallory'::regrole";
    assert_eq!(scene.ask(set), "-{geqo=off} app{work_mem=128}");
    assert_eq!(scene.leftovers(), "");
}
