//! A database's owner writes a check that never ends. It is run where the backup is
//! proven: the backups of everybody else must be made meanwhile, and the one that is
//! proven must stay.

use std::fs;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support;
use crate::support::Cluster;
use crate::support::house;
use crate::support::house::House;

const PATIENCE: Duration = Duration::from_secs(120);

/// The setting is the database's own and in no dump of it.
const WRITTEN: &str = "ALTER DATABASE shop SET m.here = 'yes';
     CREATE SCHEMA m;
     CREATE FUNCTION m.slow(i int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
       IF pg_catalog.current_setting('m.here', true) IS DISTINCT FROM 'yes' THEN
         PERFORM pg_catalog.pg_sleep(1e6);
       END IF; RETURN true; END $$;
     CREATE TABLE m.t (i int CHECK (m.slow(i)))";

/// One alone is kept of each database.
const LAST_ONE: &str = "[retention]\nkeep_last = 1\nkeep_daily = 0\nkeep_weekly = 0\n\
     keep_monthly = 0\nkeep_at_least = 1\n";

struct Bench {
    cluster: Cluster,
    house: House,
    work: tempfile::TempDir,
}

impl Bench {
    fn new() -> Option<Self> {
        let cluster = Cluster::start()?;
        cluster.create_db("shop");
        cluster.create_db("other");
        cluster.psql("shop", WRITTEN);
        cluster.psql("shop", "INSERT INTO m.t VALUES (1)");
        let work = support::open_directory(0o755);
        let house = House::new();
        let config = format!("work_dir = \"{}\"\n{LAST_ONE}", work.path().display());
        fs::write(house.path("kluis.toml"), config).unwrap();
        let bench = Self {
            cluster,
            house,
            work,
        };
        Some(bench)
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.house.kluis();
        command
            .args(arguments)
            .env("DATABASE_URL", self.cluster.url("shop"));
        command
    }

    fn ends(&self, code: i32, arguments: &[&str]) -> String {
        let output: Output = self.command(arguments).output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {output:?}"
        );
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    /// `archive` is being proven when this is back.
    fn proving(&self, archive: &str, more: &[&str]) -> Child {
        let mut command = self.command(&["verify", "--restore", archive]);
        let quiet = command.args(more).stdout(Stdio::null());
        let mut proof = quiet.stderr(Stdio::piped()).spawn().unwrap();
        let begun = Instant::now();
        let runs = |(_, record): &(String, serde_json::Value)| record["status"] == "RUNNING";
        while !self.house.records().iter().any(runs) {
            assert!(proof.try_wait().unwrap().is_none(), "it ended before");
            assert!(begun.elapsed() < PATIENCE, "waited in vain");
        }
        proof
    }

    /// Backs `shop` up; gives the archive.
    fn backed_up(&self) -> String {
        let command = self.command(&["backup", "db", "shop", "--json"]).output();
        let output: Output = command.unwrap();
        assert!(output.status.success(), "{output:?}");
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        said["backups"][0]["file"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_proof_that_hangs_stops_no_backup_and_keeps_its_own_archive() {
    let Some(bench) = Bench::new() else {
        return;
    };
    let oldest = bench.backed_up();
    // A backup's time has seconds, and the newest is to be another one.
    let second = || jiff::Timestamp::now().as_second();
    let first = second();
    while second() == first {
        std::thread::yield_now();
    }
    bench.backed_up();
    let mut proof = bench.proving(&oldest, &[]);
    bench.ends(0, &["--lock-wait=60s", "backup", "db", "other"]);
    assert!(proof.try_wait().unwrap().is_none(), "it ended before");
    let refused = bench.ends(6, &["delete", "--yes", &oldest]);
    assert!(refused.contains("proven"), "{refused}");
    let pruned = bench.ends(3, &["prune"]);
    assert!(pruned.contains("until the next prune"), "{pruned}");
    assert!(bench.house.storage().join(&oldest).exists());
    let pid = Pid::from_child(&proof);
    kill_process(pid, Signal::TERM).unwrap();
    let output = proof.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(143), "{output:?}");
    bench.ends(0, &["delete", "--yes", &oldest]);
    assert!(!bench.house.storage().join(&oldest).exists());
}

#[test]
fn a_run_beyond_its_limit_is_stopped_and_leaves_nothing() {
    let Some(bench) = Bench::new() else {
        return;
    };
    let archive = bench.backed_up();
    let said = bench.ends(142, &["verify", "--restore", &archive, "--run-limit=3s"]);
    assert!(said.contains("run_limit"), "{said}");
    // A lock of hers, for which a dump waits.
    let held = "BEGIN; LOCK TABLE m.t IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(1000000)";
    let mut holder = bench.cluster.client("psql", "shop");
    let holder = holder.args(["-c", held]).stdout(Stdio::null());
    let mut holder = holder.spawn().unwrap();
    let waits = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted";
    while bench.cluster.psql("other", waits) == "0" {
        assert!(holder.try_wait().unwrap().is_none(), "it holds no lock");
    }
    bench.ends(142, &["backup", "db", "shop", "--run-limit=3s"]);
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(bench.house.leftovers(), Vec::<String>::new());
    assert_eq!(house::names(bench.work.path()), Vec::<String>::new());
    let failed = |(_, record): &&(String, serde_json::Value)| record["status"] == "FAILED";
    assert_eq!(bench.house.records().iter().filter(failed).count(), 2);
}
