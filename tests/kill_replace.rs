//! `restore --replace` is killed a hundred times, spread over its time and its
//! phases: the database is always the old one or the new one, whole, and lets
//! clients in; the next run leaves nothing of the killed ones.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::Cluster;
use crate::support::house::House;
use crate::support::soak::rounds;

/// In a soak.
const BY_TIME: usize = 60;
const BY_PHASE: usize = 40;
/// Old and new have other rows and other tables, so that a mixture shows.
const ROWS: u32 = 2_000;

fn content(version: &str) -> String {
    format!(
        "CREATE TABLE a (version text); CREATE TABLE only_in_{version} ();
         INSERT INTO a SELECT '{version}' FROM generate_series(1, {ROWS});
         CREATE TABLE b AS SELECT n, '{version}'::text AS version FROM generate_series(1, {ROWS}) n;
         CREATE INDEX ON b (n); CREATE VIEW v AS SELECT 1 AS one;"
    )
}

/// One line: which version it is, by every sign of it.
const WHICH: &str = "SELECT (SELECT string_agg(DISTINCT version, '+') FROM (SELECT version FROM a \
    UNION SELECT version FROM b) AS versions) || ' ' || (SELECT count(*) FROM a) || ' ' || \
    (SELECT count(*) FROM b) || ' ' || (SELECT string_agg(relname, '+') FROM pg_class WHERE \
    relname LIKE 'only_in_%') || ' ' || (SELECT count(*) FROM v);";

fn whole(version: &str) -> String {
    format!("{version} {ROWS} {ROWS} only_in_{version} 1")
}

/// What a client finds that connects now. While the swap commits, the name means
/// one database and then another: libpq is told that it "does not exist", and
/// the next try meets the new one.
fn seen(cluster: &Cluster) -> Result<String, String> {
    let mut said = String::new();
    for _ in 0..3 {
        let mut client = cluster.client("psql", "shop");
        let output = client
            .args(["-X", "-A", "-t", "-c", WHICH])
            .output()
            .unwrap();
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        said = String::from_utf8_lossy(&output.stderr).into_owned();
        // Thrown out by the swap: a pooler would come back too.
        let expected = [
            "does not exist",
            "terminating connection",
            "closed the connection",
        ];
        if !expected.iter().any(|text| said.contains(text)) {
            break;
        }
    }
    Err(said)
}

/// One session that is asked again and again, without a process each time.
struct Watcher {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Watcher {
    fn new(cluster: &Cluster) -> Self {
        let mut client = cluster.client("psql", "postgres");
        client.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
        client.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = client.spawn().unwrap();
        Self {
            stdin: child.stdin.take().unwrap(),
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    fn ask(&mut self, sql: &str) -> String {
        writeln!(self.stdin, "{sql}").unwrap();
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }

    fn wait_for(&mut self, sql: &str, mut and_not: impl FnMut() -> bool) -> bool {
        let begun = Instant::now();
        while self.ask(sql) != "t" {
            if and_not() {
                return false;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{sql}");
        }
        true
    }

    /// Sessions of a killed run end by themselves, as soon as the server sees it.
    fn wait_for_silence(&mut self) {
        self.wait_for(
            "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name IN ('kluis', \
             'pg_dump') OR query ~ '_kluis_' AND pid <> pg_backend_pid();",
            || false,
        );
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Conditions that hold while a restore is at a place, in their order.
const PHASES: [&str; 8] = [
    "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory');",
    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'CREATE DATABASE%');",
    "SELECT EXISTS (SELECT FROM pg_database WHERE datname ~ 'shop_kluis_[0-9a-f]{8}$');",
    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname ~ '_kluis_' AND query ~ 'COPY|INDEX');",
    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname ~ '_kluis_' AND query ~ 'COMMIT|LOCK');",
    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query ~ 'terminate_backend' AND pid <> pg_backend_pid());",
    "SELECT EXISTS (SELECT FROM pg_database WHERE datname ~ '_kluis_old_');",
    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'DROP DATABASE%');",
];

struct Site {
    cluster: Cluster,
    house: House,
    archives: [String; 2],
}

impl Site {
    fn new() -> Option<Self> {
        let cluster = Cluster::start()?;
        let house = House::new();
        let archives = ["one", "two"].map(|version| {
            cluster.psql("postgres", "DROP DATABASE IF EXISTS shop");
            cluster.create_db("shop");
            cluster.psql("shop", &content(version));
            let mut command = house.kluis();
            command.args(["backup", "db", "--json", "--url", &cluster.url("shop")]);
            let output = command.output().unwrap();
            let made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            made["backups"][0]["file"].as_str().unwrap().to_owned()
        });
        Some(Self {
            cluster,
            house,
            archives,
        })
    }

    /// Starts a restore of the version that is not there now.
    fn start(&self, number: u32) -> Child {
        let mut command = self.house.kluis();
        let archive = &self.archives[number as usize % 2];
        command.args(["-q", "restore", archive, "--replace", "--yes"]);
        command.args([
            "--no-pre-restore-backup",
            "--url",
            &self.cluster.url("shop"),
        ]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }
}

fn signal_of(number: u32) -> Signal {
    match number % 4 {
        3 => Signal::TERM,
        _ => Signal::KILL,
    }
}

fn kill(child: &Child, signal: Signal) {
    // It may have ended just now: then there is nothing to kill.
    let _ = kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), signal);
}

#[test]
fn a_kill_leaves_the_old_database_or_the_new_one() {
    let Some(site) = Site::new() else { return };
    let mut watcher = Watcher::new(&site.cluster);
    let begun = Instant::now();
    assert!(site.start(0).wait().unwrap().success());
    let whole_run = begun.elapsed();
    let stop = AtomicBool::new(false);
    let visits = AtomicU32::new(0);
    let [by_time, by_phase] = [BY_TIME, BY_PHASE].map(|full| rounds(full) as u32);
    let [mut killed, mut too_late, mut old, mut new] = [0; 4];
    thread::scope(|scope| {
        let visitor = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let found = seen(&site.cluster).unwrap();
                assert!(["one", "two"].map(whole).contains(&found), "{found}");
                visits.fetch_add(1, Ordering::Relaxed);
                // The killed runs need the processor too.
                thread::sleep(Duration::from_millis(20));
            }
        });
        for number in 1..=by_time + by_phase {
            let before = seen(&site.cluster).unwrap();
            let mut child = site.start(number);
            if number <= by_time {
                // A moment of the run is meant, not a condition.
                thread::sleep(whole_run * number / by_time);
            } else {
                let phase = PHASES[number as usize % PHASES.len()];
                watcher.wait_for(phase, || child.try_wait().unwrap().is_some());
            }
            kill(&child, signal_of(number));
            match child.wait().unwrap().success() {
                true => too_late += 1,
                false => killed += 1,
            }
            watcher.wait_for_silence();
            let after = seen(&site.cluster).unwrap();
            assert!(
                ["one", "two"].map(whole).contains(&after),
                "kill {number}: {after}"
            );
            match after == before {
                true => old += 1,
                false => new += 1,
            }
        }
        stop.store(true, Ordering::Relaxed);
        visitor.join().unwrap();
    });
    eprintln!(
        "{killed} killed, {too_late} had ended before; {old} times the old database was there, \
         {new} times the new one; {} visits in between; {:.1?}",
        visits.load(Ordering::Relaxed),
        begun.elapsed()
    );
    assert!(killed >= (by_time + by_phase) * 3 / 4, "{killed} kills");
    // The next run clears up.
    assert!(site.start(0).wait().unwrap().success());
    watcher.wait_for_silence();
    let left = "SELECT coalesce(string_agg(datname, ' '), '') FROM pg_database WHERE datname ~ \
                '_kluis_[0-9a-f]{8}$';";
    assert_eq!(watcher.ask(left), "");
    assert_eq!(
        watcher.ask("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory';"),
        "0"
    );
    assert_eq!(seen(&site.cluster).unwrap(), whole("one"));
}
