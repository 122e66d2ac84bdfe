//! 200 kills of dumps: pg_dump, its backend, the container, kluis itself, each
//! at points spread over the dump. After each: nothing is published that is not
//! whole, no pg_dump and no session runs on; after the next run nothing lies
//! about.
//!
//! A point that the run had passed is a whole backup, verified, and no kill.

use std::fs;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

#[path = "support/docker.rs"]
mod docker;
#[path = "support/house.rs"]
mod house;
mod support;

use docker::{Container, wait_until};
use house::{House, names};
use support::Cluster;

const PATIENCE: Duration = Duration::from_secs(60);

/// Some 4 MB of archive: a fifth of a second of dump.
const FILL: &str = "CREATE TABLE t AS SELECT i, md5(i::text) || md5((i + 1)::text) AS text
                    FROM generate_series(1, 60000) AS i";

/// The sessions of kluis and what it runs, by the name that they all have.
const SESSIONS: &str = "FROM pg_stat_activity WHERE application_name LIKE 'kluis%'";

/// A house, the way to its server, and what was seen of the kills.
struct Trial {
    house: House,
    server: Vec<String>,
    /// Of a whole archive.
    bytes: u64,
    known: Vec<String>,
    kills: usize,
    late: usize,
}

impl Trial {
    fn new(server: &[&str]) -> Self {
        let mut trial = Self {
            house: House::new(),
            server: server.iter().map(|text| (*text).to_owned()).collect(),
            bytes: 0,
            known: Vec::new(),
            kills: 0,
            late: 0,
        };
        assert!(trial.backup().wait().unwrap().success());
        trial.known = trial.house.listed();
        let archive = trial.house.storage().join(&trial.known[0]);
        trial.bytes = fs::metadata(archive).unwrap().len();
        trial
    }

    fn backup(&self) -> Child {
        let mut kluis = self.house.kluis();
        kluis.args(["backup", "db"]).args(&self.server);
        let kluis = kluis.stdout(Stdio::null()).stderr(Stdio::null());
        kluis.spawn().unwrap()
    }

    /// A backup during which `kill` strikes once `part` of the archive is there.
    /// `kill` tells whether it met something.
    fn strike(&mut self, part: f64, mut kill: impl FnMut(&Self, &Child) -> bool) {
        let wanted = (self.bytes as f64 * part) as u64;
        let mut child = self.backup();
        let mut struck = false;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if !struck && self.grown().is_some_and(|bytes| bytes >= wanted) {
                struck = kill(self, &child);
            }
            std::thread::yield_now();
        };
        self.judge(part, status);
    }

    /// How large the archive's temporary is, `None` while there is none.
    fn grown(&self) -> Option<u64> {
        let storage = self.house.storage();
        let is_archive = |name: &&String| name.starts_with(".kluis-tmp") && name.ends_with(".enc");
        let name = names(&storage).iter().find(is_archive)?.clone();
        Some(fs::metadata(storage.join(name)).ok()?.len())
    }

    fn judge(&mut self, part: f64, status: ExitStatus) {
        wait_until("pg_dump runs on", PATIENCE, || self.dumps().is_empty());
        let visible = self.house.listed();
        let new: Vec<String> = (visible.iter())
            .filter(|name| !self.known.contains(name))
            .cloned()
            .collect();
        assert!(self.known.iter().all(|older| visible.contains(older)));
        if status.success() {
            self.late += 1;
            assert_eq!(new.len(), 1, "at {part}: {new:?}");
            self.house.run(&["verify", &new[0]]);
            self.house.run(&["delete", "--yes", &new[0]]);
        } else {
            self.kills += 1;
            assert!(
                new.is_empty(),
                "at {part}: {new:?} of a run that ended with {status}"
            );
            // What kluis lived through, it has tidied up itself.
            let killed = status.code().is_none();
            assert!(killed || self.house.leftovers().is_empty(), "at {part}");
        }
    }

    /// The next run leaves nothing of those before it.
    fn tidy(&mut self) {
        assert!(self.backup().wait().unwrap().success());
        assert!(self.dumps().is_empty());
        assert_eq!(self.house.leftovers(), [""; 0]);
        self.known = self.house.listed();
    }

    /// The processes of pg_dump on this machine that have this house's home.
    fn dumps(&self) -> Vec<String> {
        let home = format!("HOME={}", self.house.path("").display());
        let home = home.trim_end_matches('/').as_bytes().to_vec();
        let is_dump = |pid: &String| {
            // A zombie has neither.
            let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let program = read("cmdline");
            let program = program.split(|byte| *byte == 0).next().unwrap_or_default();
            program.ends_with(b"pg_dump") && read("environ").split(|b| *b == 0).any(|v| v == home)
        };
        names(Path::new("/proc"))
            .into_iter()
            .filter(is_dump)
            .collect()
    }

    fn end(self, what: &str, wanted: usize) {
        self.house.run(&["verify", "--all", "--quick"]);
        let Self { kills, late, .. } = self;
        eprintln!("{what}: {kills} kills, {late} runs were faster");
        assert!(
            kills >= wanted,
            "{what}: only {kills} kills, {late} were faster"
        );
    }
}

fn kill(pid: &str) -> bool {
    let pid = pid.parse().ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok())
}

/// Parts of a dump, evenly spread, none of them its very end.
fn parts(count: usize) -> impl Iterator<Item = f64> {
    (0..count).map(move |point| point as f64 / count as f64 * 0.9)
}

fn cluster() -> Option<Cluster> {
    let cluster = Cluster::start()?;
    cluster.create_db("shop");
    cluster.psql("shop", FILL);
    Some(cluster)
}

#[test]
fn pg_dump_killed_publishes_nothing() {
    let Some(cluster) = cluster() else { return };
    let mut trial = Trial::new(&["--url", &cluster.url("shop")]);
    for part in parts(66) {
        trial.strike(part, |trial, _| trial.dumps().iter().any(|pid| kill(pid)));
    }
    assert_eq!(
        cluster.psql("shop", &format!("SELECT count(*) {SESSIONS}")),
        "0"
    );
    trial.tidy();
    trial.end("pg_dump", 60);
}

#[test]
fn its_backend_ended_or_killed_publishes_nothing() {
    let Some(cluster) = cluster() else { return };
    let mut trial = Trial::new(&["--url", &cluster.url("shop")]);
    let ended = format!(
        "SELECT count(*) FROM (SELECT pg_terminate_backend(pid) {SESSIONS} AND query LIKE 'COPY%') t"
    );
    for part in parts(50) {
        trial.strike(part, |_, _| cluster.psql("postgres", &ended) != "0");
    }
    // A backend that is killed takes the server down with it, which starts again.
    let pid = format!("SELECT pid {SESSIONS} AND query LIKE 'COPY%'");
    for part in parts(8) {
        trial.strike(part, |_, _| {
            let pid = cluster.psql("postgres", &pid);
            kill(&pid)
        });
        wait_until("the server stays down", PATIENCE, || {
            let answer = cluster
                .client("psql", "postgres")
                .args(["-Xqc", "SELECT 1"])
                .output();
            answer.is_ok_and(|output| output.status.success())
        });
    }
    trial.tidy();
    trial.end("backend", 50);
}

#[test]
fn kluis_killed_publishes_nothing_and_the_next_run_tidies_up() {
    let Some(cluster) = cluster() else { return };
    let mut trial = Trial::new(&["--url", &cluster.url("shop")]);
    for (number, part) in parts(50).enumerate() {
        trial.strike(part, |_, child| kill(&child.id().to_string()));
        if number % 5 == 4 {
            trial.tidy();
        }
    }
    trial.tidy();
    trial.end("kluis", 45);
}

#[test]
fn in_a_container_whoever_is_killed_nothing_is_published_and_nothing_runs_on() {
    let Some(container) = Container::start() else {
        return;
    };
    container.psql("postgres", FILL);
    let mut trial = Trial::new(&["--container", &container.name]);
    let idle = |what: &str| {
        wait_until(what, PATIENCE, || container.clients_running().is_empty());
    };
    // By the number that the process has on this machine.
    for part in parts(18) {
        trial.strike(part, |_, _| {
            let running = container.clients_running();
            let dump = running.iter().find(|line| line.contains("pg_dump"));
            dump.and_then(|line| line.split_whitespace().next())
                .is_some_and(kill)
        });
    }
    idle("pg_dump was killed, and runs on");
    for part in parts(18) {
        trial.strike(part, |_, child| kill(&child.id().to_string()));
        idle("kluis was killed, and pg_dump runs on");
    }
    trial.tidy();
    trial.end("in a container", 30);
}

#[test]
fn a_container_that_is_killed_publishes_nothing() {
    let mut kills = 0;
    for part in parts(8) {
        let Some(container) = Container::start() else {
            return;
        };
        container.psql("postgres", FILL);
        let mut trial = Trial::new(&["--container", &container.name]);
        trial.strike(part, |_, _| {
            container.kill();
            true
        });
        kills += trial.kills;
    }
    eprintln!("container: {kills} kills");
    assert!(kills >= 6, "only {kills}");
}
