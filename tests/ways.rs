//! The way to the database that is meant: by services, users and URLs, and through
//! poolers.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support;
use crate::support::Cluster;
use crate::support::house::House;

fn ends(code: i32, command: &mut Command) -> String {
    let output: Output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{command:?}: {said}");
    said
}

/// The name and the tables of the newest backup.
fn newest(house: &House) -> (String, usize) {
    let output = house.run(&["show", "latest", "--json"]);
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    let manifest = ["manifest", "backup"].iter().find_map(|key| shown.get(key));
    let manifest = manifest.unwrap_or(&shown);
    let tables = manifest["database"]["tables"].as_array().unwrap().len();
    (manifest["name"].as_str().unwrap().to_owned(), tables)
}

/// A house in auto mode that looks for no container.
fn direct() -> House {
    let mut house = House::new();
    house.set("BACKUP_PG_MODE", "direct");
    house
}

fn directory_of(cluster: &Cluster) -> String {
    cluster
        .socket()
        .parent()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned()
}

fn shop_and_wiki() -> Option<Cluster> {
    let cluster = Cluster::start()?;
    cluster.psql("postgres", "CREATE ROLE wiki LOGIN SUPERUSER");
    for (name, tables) in [("nc", 2), ("wiki", 3)] {
        cluster.create_db(name);
        for number in 0..tables {
            cluster.psql(name, &format!("CREATE TABLE t{number} (i int)"));
        }
    }
    Some(cluster)
}

#[test]
fn the_database_that_nobody_names_is_the_one_that_libpq_takes() {
    let Some(cluster) = shop_and_wiki() else {
        return;
    };
    let directory = directory_of(&cluster);
    let house = direct();
    let services = house.path("services");
    let text = format!("[prod]\nhost={directory}\nuser=wiki\ndbname=nc\n");
    fs::write(&services, text).unwrap();
    let service = [
        ("PGSERVICEFILE", services.to_str().unwrap().to_owned()),
        ("PGSERVICE", "prod".to_owned()),
    ];
    let mut backup = house.kluis();
    ends(0, backup.envs(service.clone()).args(["backup", "db"]));
    assert_eq!(newest(&house), ("nc".to_owned(), 2));
    // A service goes before a variable, as in libpq; a URL's own name before both.
    let mut backup = house.kluis();
    backup.envs(service.clone()).env("PGDATABASE", "wiki");
    ends(0, backup.args(["backup", "db"]));
    assert_eq!(newest(&house), ("nc".to_owned(), 2));
    let mut backup = house.kluis();
    backup
        .envs(service)
        .args(["backup", "db", "--url", "postgres:///wiki?service=prod"]);
    ends(0, &mut backup);
    assert_eq!(newest(&house), ("wiki".to_owned(), 3));

    let user = [("PGHOST", directory.clone()), ("PGUSER", "wiki".to_owned())];
    ends(0, house.kluis().envs(user).args(["backup", "db"]));
    assert_eq!(newest(&house), ("wiki".to_owned(), 3));
    let url = format!("postgres://wiki@/?host={directory}");
    ends(0, house.kluis().args(["backup", "db", "--url", &url]));
    assert_eq!(newest(&house), ("wiki".to_owned(), 3));
}

#[test]
fn where_libpqs_own_database_is_not_there_nothing_stands_in_for_it() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.psql(
        "postgres",
        "CREATE ROLE wiki LOGIN SUPERUSER; CREATE TABLE t (i int)",
    );
    let url = format!("postgres://wiki@/?host={}", directory_of(&cluster));
    let house = direct();
    let backup = ["backup", "db", "--url", &url];
    let said = ends(1, house.kluis().args(backup));
    assert!(said.contains("there is no database \"wiki\""), "{said}");
    // The server itself is reached all the same.
    house.run(&[&backup[..], &["--all"]].concat());
    assert_eq!(newest(&house), ("postgres".to_owned(), 1));
}

#[test]
fn an_empty_database_that_nobody_named_is_told() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let house = direct();
    let url = format!("postgres://postgres@/?host={}", directory_of(&cluster));
    let said = ends(0, house.kluis().args(["backup", "db", "--url", &url]));
    assert!(said.contains("has no table at all"), "{said}");
    for named in [
        &["backup", "db", "postgres", "--url", &url][..],
        &["backup", "db", "--url", &cluster.url("postgres")],
    ] {
        let said = ends(0, house.kluis().args(named));
        assert!(!said.contains("no table"), "{said}");
    }
}

/// pgbouncer in front of a cluster, on loopback. Ends when dropped.
struct Pooler {
    child: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Pooler {
    /// `None`: no pgbouncer here; the reason has been told.
    fn start(cluster: &Cluster, settings: &str) -> Option<Self> {
        let program = Path::new("/usr/sbin/pgbouncer");
        if !program.is_file() {
            let reason = "no pgbouncer (install the package pgbouncer)";
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
            eprintln!("skipped: {reason}");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let directory = support::open_directory(0o755);
        let users = directory.path().join("users");
        fs::write(&users, "\"postgres\" \"\"\n").unwrap();
        let config = directory.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host={} port=5432\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\n{settings}",
            directory_of(cluster),
            users.display()
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new(program);
        if rustix::process::geteuid().is_root() {
            command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
            command.args(["--pdeathsig=KILL", "/usr/sbin/pgbouncer"]);
        }
        command
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let patience = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(patience.elapsed() < Duration::from_secs(30), "pgbouncer");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self {
            child,
            port,
            _directory: directory,
        })
    }

    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/shop", self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_pooler_that_shares_sessions_is_refused_and_one_that_does_not_is_taken() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql("shop", "CREATE TABLE t (f float8)");
    for (settings, code) in [
        ("pool_mode = transaction\n", 1),
        (
            "pool_mode = transaction\nignore_startup_parameters = options\n",
            1,
        ),
        (
            "pool_mode = transaction\nserver_round_robin = 1\nmin_pool_size = 4\n",
            1,
        ),
        ("pool_mode = session\n", 0),
        (
            "pool_mode = session\nignore_startup_parameters = options\n",
            0,
        ),
    ] {
        let Some(pooler) = Pooler::start(&cluster, settings) else {
            return;
        };
        let house = direct();
        let said = ends(
            code,
            house.kluis().args(["backup", "db", "--url", &pooler.url()]),
        );
        assert_eq!(
            said.contains("pool_mode=session"),
            code == 1,
            "{settings}: {said}"
        );
        assert_eq!(house.listed().len(), usize::from(code == 0), "{settings}");
    }
}

#[test]
fn a_pool_that_others_work_in_is_refused() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    let settings = "pool_mode = transaction\nignore_startup_parameters = options\n";
    let Some(pooler) = Pooler::start(&cluster, settings) else {
        return;
    };
    // Each holds a session of the server's in the middle of a transaction.
    let hold = |_| {
        let mut psql = cluster.client("psql", "shop");
        psql.args([
            "-X",
            "-d",
            &pooler.url(),
            "-c",
            "BEGIN; SELECT pg_sleep(600)",
        ]);
        psql.stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut busy: Vec<Child> = (0..4).map(hold).collect();
    let house = direct();
    let said = ends(
        1,
        house.kluis().args(["backup", "db", "--url", &pooler.url()]),
    );
    for child in &mut busy {
        let _ = child.kill();
        let _ = child.wait();
    }
    assert!(said.contains("pool_mode=session"), "{said}");
}
