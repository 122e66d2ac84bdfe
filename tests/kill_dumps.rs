//! 200 kills of dumps, in a soak: pg_dump, its backend, the container, kluis itself, each
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

use crate::support::Cluster;
use crate::support::docker::{Container, wait_until};
use crate::support::house::{House, names};
use crate::support::soak::rounds;

const PATIENCE: Duration = Duration::from_secs(60);

/// More than all the buffers between pg_dump and the archive hold.
const FILL: &str = "CREATE TABLE t AS SELECT i, md5(i::text) || md5((i + 1)::text) AS text
                    FROM generate_series(1, 200000) AS i";
/// What pg_dump writes of it, nearly.
const DUMP_BYTES: f64 = 14e6;

/// The sessions of kluis and of what it runs, by the name that they all have.
const SESSIONS: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'kluis%'";

/// A house, the way to its server, and what was seen of the kills.
struct Trial {
    house: House,
    server: Vec<String>,
    /// By what its processes are known in /proc: the file and what stands in it.
    mark: (&'static str, String),
    known: Vec<String>,
    kills: usize,
    late: usize,
}

impl Trial {
    /// Dumps over a URL are known by their home.
    fn direct(cluster: &Cluster) -> Self {
        let house = House::new();
        let home = house.path("").display().to_string();
        let mark = ("environ", format!("HOME={}", home.trim_end_matches('/')));
        Self::new(house, &["--url", &cluster.url("shop")], mark)
    }

    /// Dumps in a container are known by its control group.
    fn docker(container: &Container) -> Self {
        let mark = ("cgroup", container.id());
        Self::new(House::new(), &["--container", &container.name], mark)
    }

    fn new(house: House, server: &[&str], mark: (&'static str, String)) -> Self {
        let mut trial = Self {
            house,
            server: server.iter().map(|text| (*text).to_owned()).collect(),
            mark,
            known: Vec::new(),
            kills: 0,
            late: 0,
        };
        assert!(trial.backup().wait().unwrap().success());
        trial.known = trial.house.listed();
        trial
    }

    fn backup(&self) -> Child {
        let mut kluis = self.house.kluis();
        kluis.args(["backup", "db"]).args(&self.server);
        let kluis = kluis.stdout(Stdio::null()).stderr(Stdio::null());
        kluis.spawn().unwrap()
    }

    /// A backup during which `kill` strikes once pg_dump, whose number it is
    /// given, has written `part` of the dump. `kill` tells whether it met
    /// something.
    fn strike(&mut self, part: f64, mut kill: impl FnMut(&str, &Child) -> bool) {
        let wanted = (DUMP_BYTES * part) as u64;
        let mut child = self.backup();
        let mut struck = false;
        let mut dump = None;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            dump = dump.or_else(|| self.dumps().pop());
            let written = dump.as_deref().and_then(written);
            if !struck && written.is_some_and(|bytes| bytes >= wanted) {
                struck = kill(dump.as_deref().unwrap_or_default(), &child);
            }
            // The run needs the processor more than we do.
            std::thread::sleep(Duration::from_millis(1));
        };
        self.judge(part, status);
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
            self.house.run(&["delete", "--yes", "--force", &new[0]]);
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

    /// The processes of pg_dump on this machine that are this trial's.
    fn dumps(&self) -> Vec<String> {
        let (file, mark) = &self.mark;
        let holds_mark = |bytes: Vec<u8>| {
            let mut windows = bytes.windows(mark.len());
            windows.any(|window| window == mark.as_bytes())
        };
        let is_dump = |pid: &String| {
            // A zombie has neither.
            let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let program = read("cmdline");
            let program = program.split(|byte| *byte == 0).next().unwrap_or_default();
            let is_asking = read("cmdline").windows(9).any(|text| text == b"--version");
            program.ends_with(b"pg_dump") && !is_asking && holds_mark(read(file))
        };
        names(Path::new("/proc"))
            .into_iter()
            .filter(is_dump)
            .collect()
    }

    fn end(self, what: &str, wanted: usize) {
        let wanted = rounds(wanted) - 1;
        self.house.run(&["verify", "--all", "--quick"]);
        let Self { kills, late, .. } = self;
        eprintln!("{what}: {kills} kills, {late} runs were faster");
        assert!(
            kills >= wanted,
            "{what}: only {kills} kills, {late} were faster"
        );
    }
}

/// Bytes that the process has written so far.
fn written(pid: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("wchar: "))?;
    line.parse().ok()
}

/// The server's process that serves a dump of `shop`, whatever it is doing.
fn backend(data: &str) -> Option<String> {
    let serves = |pid: &String| {
        let title = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let directory = fs::read_link(format!("/proc/{pid}/cwd"));
        title.starts_with(b"postgres: postgres shop [local]")
            && directory.is_ok_and(|directory| directory == Path::new(data))
    };
    names(Path::new("/proc")).into_iter().find(serves)
}

fn signal(pid: &str, signal: Signal) -> bool {
    let pid = pid.parse().ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
}

fn kill(pid: &str) -> bool {
    signal(pid, Signal::KILL)
}

/// Parts of a dump, evenly spread, none of them its very end: so many in a soak.
fn parts(count: usize) -> impl Iterator<Item = f64> {
    let count = rounds(count);
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
    let mut trial = Trial::direct(&cluster);
    for part in parts(66) {
        trial.strike(part, |dump, _| kill(dump));
    }
    wait_until("its session stays", PATIENCE, || {
        cluster.psql("postgres", SESSIONS) == "0"
    });
    trial.tidy();
    trial.end("pg_dump", 60);
}

#[test]
fn its_backend_ended_or_killed_publishes_nothing() {
    let Some(cluster) = cluster() else { return };
    let data = cluster.psql("postgres", "SHOW data_directory");
    let mut trial = Trial::direct(&cluster);
    // As pg_terminate_backend does it.
    for part in parts(50) {
        trial.strike(part, |_, _| {
            backend(&data).is_some_and(|pid| signal(&pid, Signal::TERM))
        });
    }
    // One that is killed takes the server down with it, which starts again.
    for part in parts(8) {
        trial.strike(part, |_, _| backend(&data).is_some_and(|pid| kill(&pid)));
        wait_until("the server stays down", PATIENCE, || {
            let mut asked = cluster.client("psql", "postgres");
            let answer = asked.args(["-Xqc", "SELECT 1"]).output();
            answer.is_ok_and(|output| output.status.success())
        });
    }
    trial.tidy();
    trial.end("backend", 50);
}

#[test]
fn kluis_killed_publishes_nothing_and_the_next_run_tidies_up() {
    let Some(cluster) = cluster() else { return };
    let mut trial = Trial::direct(&cluster);
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
    let mut trial = Trial::docker(&container);
    for part in parts(18) {
        trial.strike(part, |dump, _| kill(dump));
    }
    // judge() waits for pg_dump in the container to end, which takes some seconds.
    for part in parts(8) {
        trial.strike(part, |_, child| kill(&child.id().to_string()));
    }
    trial.tidy();
    wait_until("clients run on", PATIENCE, || {
        container.clients_running().is_empty()
    });
    trial.end("in a container", 22);
}

#[test]
fn a_container_that_is_killed_publishes_nothing() {
    let mut kills = 0;
    for part in parts(8) {
        let Some(container) = Container::start() else {
            return;
        };
        container.psql("postgres", FILL);
        let mut trial = Trial::docker(&container);
        // Docker takes its time: the dump must not be over before.
        let slowly = ["--codec", "zstd", "--level", "16"];
        trial.server.extend(slowly.map(str::to_owned));
        trial.strike(part, |_, _| {
            container.kill();
            true
        });
        kills += trial.kills;
    }
    eprintln!("container: {kills} kills");
    assert!(kills >= rounds(6) - 1, "only {kills}");
}
