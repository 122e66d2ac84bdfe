//! kill -9 at 300 points spread over a backup. After each: nothing partial is
//! shown, nothing older is lost. After the next run: no temporary, no archive
//! without manifest, no RUNNING record, no pg_dump.
//!
//! Points by progress: how far the temporary has grown, and each system call of
//! the run by number. A point that the run had passed counts as a whole backup.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support;
use crate::support::house::{House, names};
use crate::support::noise::noise;
use crate::support::soak::{rounds, step};
use crate::support::tracing::{can_trace, kluis_meeting};

/// In a soak.
const GROWTH_POINTS: usize = 130;
const CALL_POINTS: usize = 140;
const DUMP_POINTS: usize = 30;
const SIGKILL: i32 = 9;

/// Older backups that must survive, and what was seen of the kills.
struct Trial {
    house: House,
    known: Vec<String>,
    kills: usize,
    completed: usize,
    /// Kills that left an archive without a manifest, temporaries, a record.
    left: BTreeSet<String>,
    left_archive: usize,
}

impl Trial {
    fn new() -> Self {
        let house = House::new();
        fs::create_dir(house.path("small")).unwrap();
        fs::write(house.path("small/file"), "small").unwrap();
        for _ in 0..3 {
            house.run(&["backup", "source", "small", "--keep"]);
        }
        let known = house.listed();
        assert_eq!(known.len(), 3);
        Self {
            house,
            known,
            kills: 0,
            completed: 0,
            left: BTreeSet::new(),
            left_archive: 0,
        }
    }

    /// After a run that was killed at `point`, or had ended before it.
    fn judge(&mut self, point: &str, killed: bool) {
        if killed {
            self.kills += 1;
        } else {
            self.completed += 1;
        }
        let visible = self.house.listed();
        for older in &self.known {
            assert!(visible.contains(older), "{point}: {older} is lost");
        }
        let new: Vec<&String> = visible.iter().filter(|v| !self.known.contains(v)).collect();
        assert!(new.len() <= 1, "{point}: {new:?}");
        for archive in &new {
            self.house.run(&["verify", archive]);
        }
        let left = self.house.leftovers();
        self.left_archive += usize::from(left.iter().any(|name| kind_of(name) == "archive"));
        self.left.extend(left.iter().map(|name| kind_of(name)));
        // The next run clears up.
        self.house.run(&["backup", "source", "small"]);
        assert_eq!(self.house.leftovers(), [""; 0], "{point}");
        self.known = self.house.listed();
    }

    fn finish(self, what: &str) {
        self.house.run(&["verify", "--all", "--quick"]);
        let Self {
            kills,
            completed,
            left,
            left_archive,
            ..
        } = self;
        eprintln!(
            "{what}: {kills} kills, {completed} runs were faster; 0 partial, 0 lost; swept \
             {left:?}, {left_archive} of them archives without manifest"
        );
    }
}

fn kind_of(name: &str) -> String {
    let kinds = [
        (
            name.contains("kluis-tmp") && name.contains(".enc.json"),
            "manifest's temporary",
        ),
        (
            name.contains("kluis-tmp") && name.contains(".enc"),
            "archive's temporary",
        ),
        (name.contains("kluis-tmp"), "record's temporary"),
        (name.ends_with(".enc"), "archive"),
    ];
    let kind = kinds.iter().find(|(is, _)| *is).map_or("record", |k| k.1);
    kind.to_owned()
}

/// How many bytes the archive's temporary has, `None` while there is none.
fn growth(storage: &Path) -> Option<u64> {
    let entries = fs::read_dir(storage).ok()?.flatten();
    let is_archive = |name: &str| name.starts_with(".kluis-tmp") && name.ends_with(".enc.part");
    let mut sizes = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(is_archive))
        .filter_map(|entry| Some(entry.metadata().ok()?.len()));
    sizes.next()
}

/// Kills `command` once its temporary has `bytes` bytes; returns how many it had
/// then, or `None` if the run ended before.
fn kill_at_growth(command: &mut Command, storage: &Path, bytes: u64) -> Option<u64> {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    loop {
        let grown = growth(storage).filter(|grown| *grown >= bytes);
        if let Some(grown) = grown {
            child.kill().unwrap();
            let status = child.wait().unwrap();
            return (status.signal() == Some(SIGKILL)).then_some(grown);
        }
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return None;
        }
        // The run needs the processor more than we do.
        std::thread::yield_now();
    }
}

#[test]
fn killed_while_the_archive_grows_nothing_partial_is_seen_and_nothing_lost() {
    let mut trial = Trial::new();
    let big: u64 = 12 << 20;
    fs::create_dir(trial.house.path("big")).unwrap();
    fs::write(trial.house.path("big/file"), noise(big as usize)).unwrap();
    let mut sizes = BTreeSet::new();
    let points = rounds(GROWTH_POINTS) as u64;
    for point in 0..points {
        let bytes = point * big / points;
        let mut command = trial.house.kluis();
        command.args(["backup", "source", "big", "--codec", "none"]);
        let grown = kill_at_growth(&mut command, &trial.house.storage(), bytes);
        sizes.extend(grown);
        trial.judge(&format!("at {bytes} bytes"), grown.is_some());
        // Whole ones of this size would fill the disk.
        forget_big_ones(&mut trial);
    }
    assert!(trial.kills as u64 > points * 9 / 10);
    assert!(sizes.len() > rounds(24), "not spread: {sizes:?}");
    eprintln!("{} different sizes", sizes.len());
    trial.finish("growth");
}

fn forget_big_ones(trial: &mut Trial) {
    let is_big = |name: &&String| name.starts_with("big_source");
    let big: Vec<String> = trial.known.iter().filter(is_big).cloned().collect();
    for name in big {
        trial.house.run(&["delete", "--yes", "--force", &name]);
        trial.known.retain(|known| *known != name);
    }
}

#[test]
fn killed_at_each_system_call_nothing_partial_is_seen_and_nothing_lost() {
    if !can_trace() {
        return;
    }
    let mut trial = Trial::new();
    fs::create_dir(trial.house.path("tree")).unwrap();
    fs::write(trial.house.path("tree/file"), noise(300_000)).unwrap();
    // Those that change the storage first, each at its every occurrence.
    let calls = [
        ("renameat2", 1),
        ("renameat", 1),
        ("fsync", 1),
        ("flock", 1),
        ("write", step()),
        ("openat", step()),
    ];
    let mut points = 0;
    for (call, step) in calls {
        for number in (1..).step_by(step) {
            let mut command = kluis_meeting(&trial.house, call, "signal=KILL", number);
            command.args(["backup", "source", "tree"]);
            let output = command.output().unwrap();
            let killed = output.status.signal() == Some(SIGKILL);
            assert!(killed || output.status.success(), "{output:?}");
            trial.judge(&format!("{call} {number}"), killed);
            points += usize::from(killed);
            if !killed {
                break;
            }
        }
    }
    assert!(points >= rounds(CALL_POINTS), "only {points} points");
    assert!(trial.left_archive > 0, "never between archive and manifest");
    trial.finish("system calls");
}

#[test]
fn killed_while_a_database_is_dumped_nothing_is_left_nor_runs_on() {
    let Some(cluster) = support::Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    let fill = "CREATE TABLE t AS SELECT i, md5(i::text) || md5((i+1)::text) AS text \
                FROM generate_series(1, 60000) AS i";
    cluster.psql("shop", fill);
    let url = cluster.url("shop");
    let mut trial = Trial::new();
    let run = trial.house.run(&["backup", "db", "--url", &url, "--json"]);
    let made: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    let whole = made["backups"][0]["stored_bytes"].as_u64().unwrap();
    trial.known = trial.house.listed();
    let points = rounds(DUMP_POINTS) as u64;
    for point in 0..points {
        let bytes = point * whole / points;
        let mut command = trial.house.kluis();
        command.args(["backup", "db", "--url", &url]);
        let killed = kill_at_growth(&mut command, &trial.house.storage(), bytes);
        wait_until_no_dump_runs(&trial.house);
        trial.judge(&format!("dump at {bytes} bytes"), killed.is_some());
    }
    assert!(trial.kills as u64 > points * 2 / 3);
    trial.finish("dump");
}

/// The kernel ends pg_dump at once; the bound only turns a hang into a failure.
fn wait_until_no_dump_runs(house: &House) {
    let home = format!("HOME={}", house.path("").display());
    let home = home.trim_end_matches('/').as_bytes().to_vec();
    let patience = Instant::now();
    while let Some(pid) = names(Path::new("/proc")).into_iter().find(|pid| {
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        // A zombie has neither.
        read("cmdline").windows(7).any(|w| w == b"pg_dump")
            && read("environ").split(|b| *b == 0).any(|v| v == home)
    }) {
        let waited = patience.elapsed();
        assert!(waited < Duration::from_secs(30), "pg_dump {pid} runs on");
        std::thread::yield_now();
    }
}

#[test]
fn what_a_killed_restore_left_goes_with_the_next_one_beside_it() {
    let house = House::new();
    fs::create_dir(house.path("tree")).unwrap();
    let content = noise(24 << 20);
    fs::write(house.path("tree/file"), &content).unwrap();
    house.run(&["backup", "source", "tree", "--codec", "none"]);
    let parent = house.path("restored");
    fs::create_dir(&parent).unwrap();
    // What runs now is locked, what only looks like one is no directory of ours.
    let living = parent.join(".other.kluis-00112233aabbccdd");
    fs::create_dir(&living).unwrap();
    let lock = fs::File::open(&living).unwrap();
    lock.lock().unwrap();
    let others = [".other.kluis-0011", ".kluis-0011223344556677", "kept"];
    for name in others {
        fs::create_dir(parent.join(name)).unwrap();
    }
    let before = names(&parent);
    let restore = ["restore", "latest", "--to", "restored/here"];
    let mut child = house
        .kluis()
        .args(restore)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let staged = || {
        names(&parent).into_iter().find(|name| {
            name.starts_with(".here.kluis-") && parent.join(name).join("tree/file").exists()
        })
    };
    while staged().is_none() {
        assert!(child.try_wait().unwrap().is_none(), "it was too fast");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(SIGKILL));
    assert!(staged().is_some());
    assert!(!parent.join("here").exists());

    house.run(&restore);
    let mut expected = before;
    expected.push("here".to_owned());
    expected.sort();
    assert_eq!(names(&parent), expected);
    assert_eq!(fs::read(parent.join("here/file")).unwrap(), content);
    // A restore leaves its record to the next run that changes the storage.
    house.run(&["prune"]);
    assert_eq!(house.leftovers(), [""; 0]);
}
