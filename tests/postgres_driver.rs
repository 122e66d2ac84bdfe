//! The dump source and the database target against a real server.

use std::fs;
use std::io::{self, BufReader, Cursor, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use kluis::cancel::Cancel;
use kluis::checked::SqlName;
use kluis::format::manifest::{DatabaseContent, Selection};
use kluis::postgres::{
    Access, ClientSearch, ConnectionSettings, DumpOptions, PostgresError, RestoreNeeds, Server,
};
use kluis::reached::Reached;
use kluis::source::{PgDumpSource, Produced, Source};
use kluis::target::{DatabaseTarget, Placement, Received, Target, TargetError};

use crate::support::{Cluster, ClusterOptions};

const EVERY_TYPE: &str = include_str!("data/every_type.sql");

fn server(cluster: &Cluster, database: &str, clients: Option<&Path>) -> Server {
    let settings = ConnectionSettings::from_url(&cluster.url(database), &Default::default());
    let clients = ClientSearch::new(clients.map(Path::to_owned), None);
    Server::connect(Access::Direct(settings.unwrap()), clients, database).unwrap()
}

fn dump_source(server: &Server, database: &str) -> PgDumpSource {
    PgDumpSource::start(server, database, &DumpOptions::default(), Cancel::default()).unwrap()
}

/// The dump through kluis, with what the source learned.
fn dumped(server: &Server, database: &str) -> (Vec<u8>, DatabaseContent) {
    let mut source = Box::new(dump_source(server, database));
    let mut dump = Vec::new();
    source.read_to_end(&mut dump).unwrap();
    let Produced::Database(content) = source.finish() else {
        panic!("a database makes a database's content");
    };
    (dump, content)
}

/// What pg_dump itself says, but for the random key of its restriction.
fn plain_dump(cluster: &Cluster, database: &str) -> String {
    let output = cluster.client("pg_dump", database).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.split_inclusive('\n');
    lines
        .filter(|line| !line.starts_with("\\restrict ") && !line.starts_with("\\unrestrict "))
        .collect()
}

/// A dump without a manifest is a superuser's own here.
fn needs(content: Option<&DatabaseContent>) -> RestoreNeeds<'_> {
    RestoreNeeds {
        content,
        as_superuser: content.is_none(),
        ..RestoreNeeds::default()
    }
}

fn restored(
    server: &Server,
    placement: Placement,
    content: Option<&DatabaseContent>,
    dump: &[u8],
) -> Result<Received, TargetError> {
    let needs = needs(content);
    let target = DatabaseTarget::new(server.clone(), placement, needs, Cancel::default())?;
    let mut target = Box::new(target);
    let received = target.receive(&mut BufReader::new(Cursor::new(dump)))?;
    let mut reached = Reached::default();
    target.commit(&mut reached)?;
    assert_eq!(reached, Reached::Swapped);
    Ok(received)
}

fn into(name: &str) -> Placement {
    Placement::Into(name.to_owned())
}

fn replace(name: &str, keep_old: bool) -> Placement {
    Placement::Replace {
        name: name.to_owned(),
        keep_old,
    }
}

/// All databases but the system's, sorted.
fn databases(cluster: &Cluster) -> Vec<String> {
    let sql = "SELECT datname FROM pg_database WHERE datname NOT IN ('postgres', 'template0', \
               'template1') ORDER BY 1";
    cluster
        .psql("postgres", sql)
        .lines()
        .map(str::to_owned)
        .collect()
}

fn round_trip(cluster: &Cluster, name: &str) -> DatabaseContent {
    let server = server(cluster, name, None);
    let (dump, content) = dumped(&server, name);
    let received = restored(&server, into("the copy"), Some(&content), &dump).unwrap();
    assert_eq!(received.warnings, Vec::<String>::new());
    assert_eq!(received.database.unwrap().ledger, content.ledger);
    similar(&plain_dump(cluster, name), &plain_dump(cluster, "the copy"));
    assert_eq!(databases(cluster), [name, "the copy"]);
    content
}

/// Equal texts, or the first line in which they differ: a whole dump in a
/// panic message helps nobody.
fn similar(before: &str, after: &str) {
    if let Some((b, a)) = before.lines().zip(after.lines()).find(|(b, a)| b != a) {
        panic!("before: {b}\nafter:  {a}");
    }
    assert_eq!(before.len(), after.len());
}

#[test]
fn every_type_comes_back_as_it_was() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("every \"type\" ü=x");
    cluster.psql("every \"type\" ü=x", EVERY_TYPE);
    let content = round_trip(&cluster, "every \"type\" ü=x");
    assert_eq!(content.encoding, "UTF8");
    assert_eq!(content.locale, "C.UTF-8");
    assert_eq!(content.roles, ["postgres"]);
    assert!(
        content.extensions.contains_key("plpgsql"),
        "{:?}",
        content.extensions
    );
}

#[test]
fn pgbench_comes_back_as_it_was() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("bench");
    let output = cluster
        .client("pgbench", "bench")
        .args(["-i", "-q", "-s", "1"])
        .output();
    assert!(output.unwrap().status.success());
    round_trip(&cluster, "bench");
}

#[test]
fn an_empty_database_comes_back_as_it_was() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("empty");
    let content = round_trip(&cluster, "empty");
    assert_eq!(content.roles, Vec::<String>::new());
}

#[test]
fn an_icu_database_keeps_its_locale() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.psql(
        "postgres",
        "CREATE DATABASE icu TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de-AT' \
         LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'",
    );
    let server = server(&cluster, "icu", None);
    let (dump, content) = dumped(&server, "icu");
    restored(&server, into("copy"), Some(&content), &dump).unwrap();
    let copy = server.facts("copy").unwrap().locale;
    assert_eq!(copy, server.facts("icu").unwrap().locale);
    assert_eq!(copy.provider_locale.as_deref(), Some("de-AT"));
}

#[test]
fn a_selection_dumps_only_what_it_names() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("db");
    cluster.psql("db", EVERY_TYPE);
    let server = server(&cluster, "db", None);
    let options = DumpOptions {
        selection: Selection {
            tables: vec!["büro.\"Kind\"".to_owned()],
            ..Selection::default()
        },
        ..DumpOptions::default()
    };
    let mut source = PgDumpSource::start(&server, "db", &options, Cancel::default()).unwrap();
    let mut dump = String::new();
    source.read_to_string(&mut dump).unwrap();
    assert!(dump.contains("COPY \"büro\".\"Kind\""));
    assert!(!dump.contains("every_type"));
}

/// A directory with a `pg_dump` that says it fits and then runs `script`.
fn fake_pg_dump(server: &Server, script: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("pg_dump");
    let version = format!("pg_dump (PostgreSQL) {}", server.version().text);
    let text = format!(
        "#!/bin/sh\nif [ \"$1\" = --version ]; then echo '{version}'; exit; fi\n{script}\n"
    );
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

fn read_error(script: &str) -> Option<String> {
    let cluster = Cluster::start()?;
    let fake = fake_pg_dump(&server(&cluster, "postgres", None), script);
    let server = server(&cluster, "postgres", Some(fake.path()));
    let mut source = dump_source(&server, "postgres");
    let error = io::copy(&mut source, &mut io::sink()).unwrap_err();
    assert!(source.read(&mut [0; 16]).is_err(), "the failure must last");
    Some(error.to_string())
}

const WHOLE: &str = "printf -- '--\\n-- PostgreSQL database dump\\n--\\n\\n\\n--\\n\
                     -- PostgreSQL database dump complete\\n--\\n\\n'";

#[test]
fn a_pg_dump_that_exits_1_at_the_end_is_a_read_error_with_its_words() {
    let Some(error) = read_error(&format!("{WHOLE}; echo 'pg_dump: error: late' >&2; exit 1"))
    else {
        return;
    };
    assert!(
        error.contains("exit status: 1") && error.contains("error: late"),
        "{error}"
    );
}

#[test]
fn a_pg_dump_that_prints_nothing_is_a_read_error() {
    read_error("exit 0");
}

#[test]
fn a_truncated_dump_with_exit_0_is_a_read_error() {
    read_error("printf -- '--\\n-- PostgreSQL database dump\\n--\\n\\nCOPY t FROM stdin;\\n1\\n'");
}

#[test]
fn a_pg_dump_that_is_killed_is_a_read_error() {
    let Some(error) = read_error(&format!("{WHOLE}; kill -9 $$")) else {
        return;
    };
    assert!(error.contains("signal: 9"), "{error}");
}

#[test]
fn a_stop_request_ends_the_dump_as_a_stop() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let server = server(&cluster, "postgres", None);
    let cancel = Cancel::default();
    let options = DumpOptions::default();
    let mut source = PgDumpSource::start(&server, "postgres", &options, cancel.clone()).unwrap();
    cancel.request(15);
    let error = source.read(&mut [0; 16]).unwrap_err();
    assert_eq!(error.to_string(), "interrupted by SIGTERM");
}

#[test]
fn an_odd_password_works_and_is_in_no_command_line() {
    let password = "h'un\"t er%2\\&=@:/ü$(id)";
    let options = ClusterOptions {
        password: Some(password.to_owned()),
        ..ClusterOptions::default()
    };
    let Some(cluster) = Cluster::start_with(options) else {
        return;
    };
    let server = server(&cluster, "postgres", None);
    let mut source = dump_source(&server, "postgres");
    // The first bytes are here, so pg_dump runs now or is a zombie.
    source.read_exact(&mut [0; 1]).unwrap();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        // A process may end while we look.
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        assert!(!line.contains(password), "{line}");
    }
    io::copy(&mut source, &mut io::sink()).unwrap();
    assert!(!format!("{server:?}").contains(password));
}

#[test]
fn a_wrong_password_is_told_as_such_and_not_shown() {
    let options = ClusterOptions {
        password: Some("right".to_owned()),
        ..ClusterOptions::default()
    };
    let Some(cluster) = Cluster::start_with(options) else {
        return;
    };
    let url = cluster
        .url("postgres")
        .replace("%72%69%67%68%74", "hunter2");
    let settings = ConnectionSettings::from_url(&url, &Default::default()).unwrap();
    let clients = ClientSearch::new(None, None);
    let error = Server::connect(Access::Direct(settings), clients, "postgres").unwrap_err();
    assert!(matches!(error, PostgresError::Refused { .. }), "{error}");
    assert!(
        !format!("{error} {error:?}").contains("hunter2"),
        "{error:?}"
    );
}

#[test]
fn a_server_that_is_not_there_is_told_with_a_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("postgres:///x?host={}", directory.path().display());
    let settings = ConnectionSettings::from_url(&url, &Default::default()).unwrap();
    let clients = ClientSearch::new(None, None);
    let error = Server::connect(Access::Direct(settings), clients, "x").unwrap_err();
    if !matches!(error, PostgresError::ClientMissing { .. }) {
        assert!(
            matches!(error, PostgresError::NotReachable { .. }),
            "{error:?}"
        );
        assert!(
            error
                .hint()
                .is_some_and(|hint| hint.contains("is the server running")),
            "{error}"
        );
    }
}

#[test]
fn a_database_that_is_not_there_is_named() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let server = server(&cluster, "gone", None);
    let options = DumpOptions::default();
    let error = PgDumpSource::start(&server, "gone", &options, Cancel::default()).err();
    assert!(matches!(error, Some(PostgresError::NoSuchDatabase { name, .. }) if name == "gone"));
}

/// A dump as pg_dump would write it, around `body`.
fn dump_of(body: &str) -> String {
    format!(
        "--\n-- PostgreSQL database dump\n--\n\n\\restrict key\n\n{body}\n\n--\n\
         -- PostgreSQL database dump complete\n--\n\n\\unrestrict key\n\n"
    )
}

#[test]
fn a_meta_command_planted_in_a_dump_does_not_run() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let server = server(&cluster, "postgres", None);
    let directory = tempfile::tempdir().unwrap();
    let witness = directory.path().join("witness");
    for body in [
        format!("\\! touch {}", witness.display()),
        format!("\\unrestrict key\n\\! touch {}", witness.display()),
        format!("\\o |touch {}\nSELECT 1;", witness.display()),
        format!("SELECT 1 \\g {}", witness.display()),
        format!("SELECT 1 \\g |touch {}", witness.display()),
        format!("\\copy (SELECT 1) TO PROGRAM 'touch {}'", witness.display()),
        format!("\\copy (SELECT 1) TO {}", witness.display()),
        format!("\\setenv PAGER 'touch {}'", witness.display()),
        format!("\\i {}", witness.display()),
        format!("\\set x `touch {}`", witness.display()),
    ] {
        // More than the pipe holds: psql has to come past the planted line.
        let dump = dump_of(&(body.clone() + &"\n-- more".repeat(500_000)));
        let result = restored(&server, into("victim"), None, dump.as_bytes());
        // psql is not even given what comes behind it.
        assert!(
            matches!(
                result,
                Err(TargetError::Postgres(_) | TargetError::Hostile { .. })
            ),
            "{body}: {result:?}"
        );
        assert!(!witness.exists(), "{body}");
        assert_eq!(databases(&cluster), Vec::<String>::new());
    }
}

#[test]
fn a_failing_statement_is_named_and_the_old_database_stays() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("db");
    cluster.psql("db", "CREATE TABLE precious AS SELECT 42 AS answer");
    let server = server(&cluster, "db", None);
    let dump =
        dump_of("CREATE TABLE public.a (b integer);\nCOPY public.a (b) FROM stdin;\n1\nx\n\\.\n");
    let error = restored(&server, replace("db", false), None, dump.as_bytes()).unwrap_err();
    let TargetError::Postgres(PostgresError::Statement { line, detail, .. }) = error else {
        panic!("{error:?}");
    };
    assert!(
        detail.contains("invalid input syntax for type integer: \"x\""),
        "{detail}"
    );
    assert_eq!(
        dump.lines().nth(line as usize - 1),
        Some("\\."),
        "line {line}"
    );
    assert_eq!(databases(&cluster), ["db"]);
    assert_eq!(cluster.psql("db", "SELECT answer FROM precious"), "42");
}

#[test]
fn a_stream_that_breaks_or_lacks_its_trailer_changes_nothing() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("digest differs"))
        }
    }
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("db");
    let server = server(&cluster, "db", None);
    let whole = dump_of("CREATE TABLE a (b integer);");
    let cut = &whole[..whole.find("-- PostgreSQL database dump complete").unwrap()];
    let result = restored(&server, replace("db", false), None, cut.as_bytes());
    assert!(
        matches!(result, Err(TargetError::Hostile { .. })),
        "{result:?}"
    );
    let target = DatabaseTarget::new(server, replace("db", false), needs(None), Cancel::default());
    let mut stream = BufReader::new(Cursor::new(whole).chain(Broken));
    let result = target.unwrap().receive(&mut stream);
    assert!(matches!(result, Err(TargetError::Stream(_))), "{result:?}");
    assert_eq!(databases(&cluster), ["db"]);
}

#[test]
fn a_target_without_commit_leaves_nothing() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let server = server(&cluster, "postgres", None);
    let mut target =
        DatabaseTarget::new(server, into("new"), needs(None), Cancel::default()).unwrap();
    let dump = dump_of("CREATE TABLE a (b integer);");
    target.receive(&mut Cursor::new(dump)).unwrap();
    assert_eq!(databases(&cluster).len(), 1, "the staging database");
    drop(target);
    assert_eq!(databases(&cluster), Vec::<String>::new());
}

#[test]
fn into_takes_an_empty_database_and_refuses_one_with_content() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("empty");
    cluster.create_db("full");
    cluster.psql("full", "CREATE TABLE t ()");
    cluster.psql("postgres", "COMMENT ON DATABASE empty IS 'kept'");
    let server = server(&cluster, "postgres", None);
    let dump = dump_of("CREATE TABLE a (b integer);");
    restored(&server, into("empty"), None, dump.as_bytes()).unwrap();
    assert_eq!(cluster.psql("empty", "SELECT count(*) FROM a"), "0");
    let error = restored(&server, into("full"), None, dump.as_bytes()).unwrap_err();
    assert!(
        matches!(
            error,
            TargetError::Postgres(PostgresError::DatabaseExists { .. })
        ),
        "{error:?}"
    );
    assert_eq!(databases(&cluster), ["empty", "full"]);
}

#[test]
fn into_refuses_what_was_filled_while_it_restored() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let server = server(&cluster, "postgres", None);
    for prepared in [false, true] {
        if prepared {
            cluster.create_db("raced");
        }
        let target = DatabaseTarget::new(
            server.clone(),
            into("raced"),
            needs(None),
            Cancel::default(),
        );
        let mut target = Box::new(target.unwrap());
        target
            .receive(&mut Cursor::new(dump_of("SELECT 1;")))
            .unwrap();
        if !prepared {
            cluster.create_db("raced");
        }
        cluster.psql("raced", "CREATE TABLE precious ()");
        let mut reached = Reached::Staged;
        let error = target.commit(&mut reached).unwrap_err();
        assert_eq!(reached, Reached::Staged);
        assert_eq!(target.abandon(), [""; 0]);
        assert!(
            matches!(
                error,
                TargetError::Postgres(PostgresError::DatabaseExists { .. })
            ),
            "{error:?}"
        );
        cluster.psql("raced", "DROP TABLE precious");
        assert_eq!(databases(&cluster), ["raced"]);
        cluster.psql("postgres", "DROP DATABASE raced");
    }
}

#[test]
fn missing_roles_are_named_before_anything_happens() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let server = server(&cluster, "postgres", None);
    let content = DatabaseContent {
        roles: ["postgres", "App \"Owner\""]
            .map(|name| SqlName::new(name).unwrap())
            .to_vec(),
        ..DatabaseContent::default()
    };
    let error = DatabaseTarget::new(server, into("x"), Some(&content), Cancel::default());
    let Err(PostgresError::MissingRoles { roles, .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(roles, ["App \"Owner\""]);
}

#[test]
fn owners_and_grantees_are_among_the_roles() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("db");
    cluster.psql(
        "db",
        "CREATE ROLE \"ow'ner\"; CREATE ROLE reader; CREATE ROLE stranger;
         CREATE TABLE t (); ALTER TABLE t OWNER TO \"ow'ner\"; GRANT SELECT ON t TO reader;",
    );
    let facts = server(&cluster, "db", None).facts("db").unwrap();
    assert_eq!(facts.roles, ["ow'ner", "reader"]);
}

/// Everything about a database that is not in its dump.
fn attributes(cluster: &Cluster, name: &str) -> String {
    cluster.psql(
        "postgres",
        &format!(
            "SELECT pg_get_userbyid(datdba), datacl, datconnlimit, datistemplate,
                    shobj_description(oid, 'pg_database'),
                    (SELECT string_agg(setrole::regrole || ':' || setconfig::text, ';'
                                       ORDER BY setrole)
                       FROM pg_db_role_setting WHERE setdatabase = d.oid)
               FROM pg_database d WHERE datname = '{name}'"
        ),
    )
}

#[test]
fn a_replaced_database_keeps_what_is_not_in_its_dump() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("db");
    cluster.psql(
        "postgres",
        r#"CREATE ROLE "app ""owner"""; CREATE ROLE reader;
           ALTER DATABASE db OWNER TO "app ""owner""";
           REVOKE ALL ON DATABASE db FROM PUBLIC;
           GRANT CONNECT ON DATABASE db TO reader WITH GRANT OPTION;
           ALTER DATABASE db CONNECTION LIMIT 50;
           COMMENT ON DATABASE db IS E'it''s\n\\ours';
           ALTER DATABASE db SET search_path = "$user", public, "odd, ""one""";
           ALTER DATABASE db SET work_mem = '7MB';
           ALTER DATABASE db SET myapp.tenant = E'it''s\\';
           ALTER ROLE reader IN DATABASE db SET statement_timeout = '3s';
           ALTER DATABASE db IS_TEMPLATE true;"#,
    );
    let before = attributes(&cluster, "db");
    let server = server(&cluster, "db", None);
    let (dump, content) = dumped(&server, "db");
    restored(&server, replace("db", false), Some(&content), &dump).unwrap();
    assert_eq!(attributes(&cluster, "db"), before);
    assert_eq!(databases(&cluster), ["db"]);
}

#[test]
fn keep_old_keeps_the_old_database_under_the_told_name() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let name = "ü\"n'ame ".repeat(7);
    assert_eq!(name.len(), 63);
    cluster.create_db(&name);
    cluster.psql(&name, "CREATE TABLE old ()");
    let server = server(&cluster, "postgres", None);
    let dump = dump_of("CREATE TABLE new ();");
    let received = restored(&server, replace(&name, true), None, dump.as_bytes()).unwrap();
    let tables = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(cluster.psql(&name, tables), "new");
    let kept = databases(&cluster)
        .into_iter()
        .find(|n| *n != name)
        .unwrap();
    assert_eq!(cluster.psql(&kept, tables), "old");
    assert_eq!(received.kept_old.as_ref(), Some(&kept));
    let listed = server.databases("postgres").unwrap();
    assert!(listed.iter().all(|database| database.name != kept));
}

#[test]
fn a_database_that_is_gone_is_made_again_by_replace() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let server = server(&cluster, "gone", None);
    let dump = dump_of("CREATE TABLE new ();");
    restored(&server, replace("gone", false), None, dump.as_bytes()).unwrap();
    assert_eq!(databases(&cluster), ["gone"]);
}

#[test]
fn the_maintenance_database_itself_can_be_replaced() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let server = server(&cluster, "postgres", None);
    let dump = dump_of("CREATE TABLE new ();");
    restored(&server, replace("postgres", false), None, dump.as_bytes()).unwrap();
    assert_eq!(cluster.psql("postgres", "SELECT count(*) FROM new"), "0");
    assert_eq!(databases(&cluster), Vec::<String>::new());
}

#[test]
fn the_swap_succeeds_while_clients_keep_reconnecting() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("busy");
    let server = server(&cluster, "postgres", None);
    let dump = dump_of("CREATE TABLE new ();");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    // Sits in the database until it is thrown out, then returns.
                    let mut client = cluster.client("psql", "busy");
                    client.args(["-X", "-c", "SELECT pg_sleep(600)"]);
                    // Being thrown out is what is expected.
                    let _ = client.output().unwrap();
                }
            });
        }
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'busy'";
        while cluster.psql("postgres", sessions) == "0" {}
        let result = restored(&server, replace("busy", false), None, dump.as_bytes());
        stop.store(true, Ordering::Relaxed);
        let release = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                       WHERE datname = 'busy' AND query LIKE '%600%'";
        while cluster.psql("postgres", sessions) != "0" {
            cluster.psql("postgres", release);
        }
        result.unwrap();
    });
    assert_eq!(cluster.psql("busy", "SELECT count(*) FROM new"), "0");
    assert_eq!(databases(&cluster), ["busy"]);
}
