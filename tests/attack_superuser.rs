//! A database's owner writes a function that a superuser's session runs: a CHECK is
//! run for each row that a restore copies in. Those of a proof on the server and of a
//! restore succeed on 861f450: the owner is superuser after them.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::house::House;
use crate::support::{Cluster, ClusterOptions};

const PATIENCE: Duration = Duration::from_secs(60);

/// What mallory has written. In a copy it also tries to be whoever has logged in; in
/// a database called `held` it waits first until the role `go` is there.
const WRITTEN: &str = "ALTER DATABASE shop OWNER TO mallory;
     SET ROLE mallory;
     CREATE SCHEMA m;
     CREATE FUNCTION m.rise(i int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
       IF pg_catalog.current_database() = 'shop' THEN RETURN true; END IF;
       WHILE pg_catalog.current_database() ~ '^held'
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'go') LOOP
         PERFORM pg_catalog.pg_sleep(0.05);
       END LOOP;
       RESET ROLE;
       IF (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN
         ALTER ROLE mallory SUPERUSER;
       END IF;
       SET LOCAL ROLE mallory;
       RETURN true; END $$;
     CREATE TABLE m.t (i int CHECK (m.rise(i)));
     INSERT INTO m.t VALUES (1), (2);
     CREATE SEQUENCE m.s; SELECT pg_catalog.nextval('m.s');
     CREATE TABLE public.u AS SELECT 7 AS i; CREATE INDEX ON public.u (i);
     COMMENT ON TABLE public.u IS 'hers';
     GRANT ALL ON SCHEMA public TO mallory;
     GRANT SELECT ON public.u TO reader;
     SELECT pg_catalog.lo_from_bytea(0, 'large');";

/// A database of mallory, who is nobody, and its backup.
fn mallorys() -> Option<(Cluster, House)> {
    mallorys_on(Cluster::start()?, "")
}

/// `more` is said by the superuser.
fn mallorys_on(cluster: Cluster, more: &str) -> Option<(Cluster, House)> {
    let roles = "CREATE ROLE mallory LOGIN CREATEDB; CREATE ROLE reader";
    cluster.psql("postgres", roles);
    cluster.create_db("shop");
    cluster.psql("shop", WRITTEN);
    cluster.psql("shop", more);
    let house = House::new();
    let output = kluis(&house, &cluster.url("shop"), &["backup", "db", "shop"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    Some((cluster, house))
}

fn kluis(house: &House, url: &str, arguments: &[&str]) -> Output {
    let mut command = house.kluis();
    command.args(arguments).env("DATABASE_URL", url);
    command.output().unwrap()
}

fn is_superuser(cluster: &Cluster) -> bool {
    let sql = "SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'";
    cluster.psql("postgres", sql) == "t"
}

#[test]
fn a_proof_on_the_server_runs_no_code_as_superuser_unless_that_is_said() {
    let Some((cluster, house)) = mallorys() else {
        return;
    };
    let prove = ["verify", "--restore", "--in-server", "latest"];
    let output = kluis(&house, &cluster.url("shop"), &prove);
    assert!(!is_superuser(&cluster), "mallory is superuser");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--as-superuser"), "{said}");
    // A member of a superuser's role can become one.
    cluster.psql(
        "postgres",
        "CREATE ROLE admin LOGIN CREATEDB CREATEROLE; GRANT postgres TO admin;
         CREATE ROLE programs LOGIN CREATEDB; GRANT pg_execute_server_program TO programs",
    );
    for login in ["admin", "programs"] {
        let url = cluster
            .url("shop")
            .replace("postgres@", &format!("{login}@"));
        assert_eq!(
            kluis(&house, &url, &prove).status.code(),
            Some(2),
            "{login}"
        );
    }
    // The way out: a role with CREATEDB and no more.
    let url = cluster.url("shop").replace("postgres@", "mallory@");
    let output = kluis(&house, &url, &prove);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(!is_superuser(&cluster), "mallory is superuser");
}

/// The owners in a database, what is in it, and who may do what with it.
fn content(cluster: &Cluster, database: &str) -> String {
    let sql = "SELECT string_agg(x, ' ' ORDER BY x) FROM (
            SELECT relname || '=' || relowner::regrole || coalesce(obj_description(oid), '')
              FROM pg_class WHERE oid >= 16384 AND relnamespace::regnamespace::text !~ '^pg_'
            UNION ALL SELECT proname || '=' || proowner::regrole FROM pg_proc WHERE oid >= 16384
            UNION ALL SELECT nspname || '=' || nspowner::regrole || nspacl::text
              FROM pg_namespace WHERE nspname = 'public'
            UNION ALL SELECT nspname || '=' || nspowner::regrole FROM pg_namespace
              WHERE nspname = 'm'
            UNION ALL SELECT 'large=' || lomowner::regrole FROM pg_largeobject_metadata
            UNION ALL SELECT 't' || i FROM m.t UNION ALL SELECT 'u' || i FROM public.u
            UNION ALL SELECT 's' || last_value FROM m.s) AS found (x)";
    cluster.psql(database, sql)
}

/// The database's owner and its access list.
fn database(cluster: &Cluster, name: &str) -> String {
    let sql = "SELECT datdba::regrole || (SELECT string_agg(' ' || a, '' ORDER BY a::text)
                 FROM unnest(coalesce(datacl, acldefault('d', datdba))) AS a)
                 FROM pg_database WHERE datname = ";
    cluster.psql("postgres", &format!("{sql}'{name}'"))
}

/// Roles and databases that a restore has made for itself.
fn leftovers(cluster: &Cluster) -> String {
    let sql = "SELECT coalesce(string_agg(name, ' '), '') FROM (
        SELECT rolname FROM pg_roles UNION ALL SELECT datname FROM pg_database) AS f (name)
        WHERE name ~ 'kluis'";
    cluster.psql("postgres", sql)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_restore_as_superuser_gives_the_owner_of_all_no_right_that_it_had_not() {
    let Some((cluster, house)) = mallorys() else {
        return;
    };
    let url = cluster.url("shop");
    let before = content(&cluster, "shop");
    assert!(before.contains("large=mallory"), "{before}");
    let owned = database(&cluster, "shop");
    for (restore, name) in [
        (&["restore", "latest", "--into", "copy"][..], "copy"),
        (&["restore", "latest", "--replace", "--yes"], "shop"),
    ] {
        let output = kluis(&house, &url, restore);
        assert!(
            !is_superuser(&cluster),
            "mallory is superuser by {restore:?}"
        );
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(
            !said(&output).contains("runs with its rights"),
            "{output:?}"
        );
        assert_eq!(content(&cluster, name), before);
        assert_eq!(leftovers(&cluster), "");
    }
    assert_eq!(database(&cluster, "shop"), owned);
    // As any new one is.
    cluster.create_db("new");
    assert_eq!(database(&cluster, "copy"), database(&cluster, "new"));
    // Who trusts her says so.
    let trusted = ["restore", "latest", "--into", "trusted", "--as-superuser"];
    let output = kluis(&house, &url, &trusted);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(is_superuser(&cluster));
}

#[test]
fn an_extension_that_its_owner_may_make_is_made_with_its_rights() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    if cluster.psql("postgres", TRUSTED) != "2" {
        let reason = "no hstore and citext (install the package postgresql-contrib)";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
        eprintln!("skipped: {reason}");
        return;
    }
    let more = "CREATE EXTENSION hstore; COMMENT ON EXTENSION hstore IS 'pairs';
         SET ROLE mallory;
         CREATE SCHEMA e; CREATE EXTENSION citext SCHEMA e;
         CREATE TABLE m.texts AS SELECT 'a=>1'::hstore AS pair, 'A'::e.citext AS text";
    let Some((cluster, house)) = mallorys_on(cluster, more) else {
        return;
    };
    let restore = ["restore", "latest", "--into", "copy"];
    let output = kluis(&house, &cluster.url("shop"), &restore);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        !said(&output).contains("runs with its rights"),
        "{output:?}"
    );
    assert!(!is_superuser(&cluster), "mallory is superuser");
    let texts = "SELECT pair->'a' || text FROM m.texts";
    assert_eq!(cluster.psql("copy", texts), "1A");
}

const TRUSTED: &str = "SELECT count(*) FROM pg_available_extensions
    WHERE name IN ('hstore', 'citext')";

#[test]
fn the_role_that_fills_logs_in_where_passwords_are_asked_for() {
    let options = ClusterOptions {
        password: Some("the superuser's".to_owned()),
        ..ClusterOptions::default()
    };
    let Some(cluster) = Cluster::start_with(options) else {
        return;
    };
    let Some((cluster, house)) = mallorys_on(cluster, "") else {
        return;
    };
    let output = kluis(
        &house,
        &cluster.url("shop"),
        &["restore", "latest", "--into", "copy"],
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        !said(&output).contains("runs with its rights"),
        "{output:?}"
    );
    assert!(!is_superuser(&cluster), "mallory is superuser");
    assert_eq!(content(&cluster, "copy"), content(&cluster, "shop"));
    assert_eq!(leftovers(&cluster), "");
}

#[test]
fn what_its_owner_may_not_do_changes_nothing_and_says_the_way() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    // The server only warns of it, and goes on.
    let more = "REVOKE EXECUTE ON FUNCTION pg_catalog.pg_sleep(float8) FROM PUBLIC";
    let Some((cluster, house)) = mallorys_on(cluster, more) else {
        return;
    };
    let restore = ["restore", "latest", "--into", "copy"];
    let output = kluis(&house, &cluster.url("shop"), &restore);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(said(&output).contains("--as-superuser"), "{output:?}");
    assert!(!is_superuser(&cluster), "mallory is superuser");
    assert_eq!(leftovers(&cluster), "");
    let copies = "SELECT count(*) FROM pg_database WHERE datname = 'copy'";
    assert_eq!(cluster.psql("postgres", copies), "0");
    let trusted = [&restore[..], &["--as-superuser"]].concat();
    let output = kluis(&house, &cluster.url("shop"), &trusted);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

/// Waits for `it`; `restore` must not end before.
fn wait_for(restore: &mut Child, it: impl Fn() -> bool) {
    let begun = Instant::now();
    while !it() {
        assert!(restore.try_wait().unwrap().is_none(), "it ended before");
        assert!(begun.elapsed() < PATIENCE, "waited in vain");
    }
}

#[test]
fn a_role_that_a_killed_restore_leaves_is_swept_and_no_other() {
    let Some((cluster, house)) = mallorys() else {
        return;
    };
    let ask = |sql: &str| cluster.psql("postgres", sql);
    // By its name it could be ours.
    ask(
        "CREATE ROLE kluis_fill_0123abcd; CREATE ROLE kluis_fill_0123abce;
         COMMENT ON ROLE kluis_fill_0123abce IS 'fills a database for kluis'",
    );
    let others = leftovers(&cluster);
    let url = cluster.url("shop");
    let mut restore = house.kluis();
    restore
        .args(["restore", "latest", "--into", "held"])
        .env("DATABASE_URL", &url)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut restore = restore.spawn().unwrap();
    let fills = "SELECT count(*) FROM pg_stat_activity
                  WHERE usename ~ '^kluis_fill_' AND wait_event = 'PgSleep'";
    wait_for(&mut restore, || ask(fills) == "1");
    // It lives: another run leaves it alone.
    let look = ["restore", "latest", "--into", "other", "--dry-run"];
    assert_eq!(kluis(&house, &url, &look).status.code(), Some(0));
    assert_eq!(ask(fills), "1");
    restore.kill().unwrap();
    restore.wait().unwrap();
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    let begun = Instant::now();
    while ask(held) != "0" {
        assert!(begun.elapsed() < PATIENCE, "its locks stay");
    }
    assert_ne!(leftovers(&cluster), others);
    let output = kluis(&house, &url, &["backup", "db", "shop"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(leftovers(&cluster), others);
    assert!(!is_superuser(&cluster), "mallory is superuser");
}

#[test]
fn a_server_that_lets_no_other_role_in_runs_no_code_as_superuser_unless_that_is_said() {
    let mut hba = tempfile::NamedTempFile::new_in("/tmp").unwrap();
    let rules = "local all postgres,mallory trust\nlocal all all reject\n";
    hba.write_all(rules.as_bytes()).unwrap();
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    hba.as_file().set_permissions(readable).unwrap();
    let options = ClusterOptions {
        settings: vec![format!("hba_file={}", hba.path().display())],
        ..ClusterOptions::default()
    };
    let Some(cluster) = Cluster::start_with(options) else {
        return;
    };
    let Some((cluster, house)) = mallorys_on(cluster, "") else {
        return;
    };
    is_refused(&cluster, &house, "pg_hba.conf");
    let trusted = ["restore", "latest", "--into", "copy", "--as-superuser"];
    let output = kluis(&house, &cluster.url("shop"), &trusted);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

/// A restore that cannot try the role that fills changes nothing and says the way.
fn is_refused(cluster: &Cluster, house: &House, why: &str) {
    for flag in ["--yes", "--dry-run"] {
        let restore = ["restore", "latest", "--into", "copy", flag];
        let output = kluis(house, &cluster.url("shop"), &restore);
        assert!(!is_superuser(cluster), "mallory is superuser: {output:?}");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(said(&output).contains(why), "{output:?}");
        assert!(said(&output).contains("--as-superuser"), "{output:?}");
        assert_eq!(leftovers(cluster), "");
    }
}

#[test]
fn whoever_holds_all_connections_gains_no_rights_by_it() {
    let settings = ["max_connections=8", "superuser_reserved_connections=5"];
    let options = ClusterOptions {
        settings: settings.map(str::to_owned).to_vec(),
        ..ClusterOptions::default()
    };
    let Some(cluster) = Cluster::start_with(options) else {
        return;
    };
    let Some((cluster, house)) = mallorys_on(cluster, "") else {
        return;
    };
    let held: Vec<Child> = (0..3).map(|_| held_open(&cluster)).collect();
    is_refused(&cluster, &house, "connection");
    for mut child in held {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// A session of mallory's that stands. While another one ends it may not come in.
fn held_open(cluster: &Cluster) -> Child {
    let begun = Instant::now();
    loop {
        let mut psql = cluster.client("psql", "shop");
        psql.args(["-qAtX"]).env("PGUSER", "mallory");
        let mut psql = psql
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Of one that was not let in the input is closed.
        let _ = psql.stdin.as_mut().unwrap().write_all(b"SELECT 'in';\n");
        let mut line = String::new();
        let answers = psql.stdout.as_mut().unwrap();
        BufReader::new(answers).read_line(&mut line).unwrap();
        if line == "in\n" {
            return psql;
        }
        psql.wait().unwrap();
        assert!(begun.elapsed() < PATIENCE, "it is not let in");
    }
}

#[test]
fn a_restore_as_superuser_names_whose_code_it_runs() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    // Two owners: no one role's rights are enough.
    let more = "CREATE ROLE other; CREATE TABLE public.v (i int);
         ALTER TABLE public.v OWNER TO other";
    let Some((cluster, house)) = mallorys_on(cluster, more) else {
        return;
    };
    let restore = ["restore", "latest", "--into", "copy"];
    let output = kluis(
        &house,
        &cluster.url("shop"),
        &[&restore[..], &["--dry-run"]].concat(),
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("runs with its rights"), "{said}");
    assert!(said.contains("mallory, other"), "{said}");
}

#[test]
fn a_restore_as_the_owner_warns_of_nothing() {
    let Some((cluster, house)) = mallorys() else {
        return;
    };
    let url = cluster.url("shop").replace("postgres@", "mallory@");
    let output = kluis(&house, &url, &["restore", "latest", "--into", "copy"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("runs with its rights"), "{said}");
    assert!(!is_superuser(&cluster), "mallory is superuser");
}
