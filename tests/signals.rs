//! SIGINT and SIGTERM: children ended, temporaries and staging places removed,
//! the record says why, exit 130 or 143. SIGPIPE: quiet.
//!
//! Each run is held at a point by something that waits for it: a fake client
//! program, or a storage that gives its bytes through a fifo.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support;
use crate::support::house::{House, names};

const SIGNALS: [(Signal, i32, &str); 2] = [
    (Signal::INT, 130, "interrupted by SIGINT"),
    (Signal::TERM, 143, "interrupted by SIGTERM"),
];

fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Waits for a condition; the bound only turns a hang into a failure.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let patience = Instant::now();
    while !holds() {
        assert!(patience.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::yield_now();
    }
}

/// Stops `kluis arguments` once `ready` holds; it must end with the signal's code
/// and say so, also in its record if it has one.
fn stop_when(
    house: &House,
    arguments: &[&str],
    (signal, code, why): (Signal, i32, &str),
    mut ready: impl FnMut() -> bool,
) {
    let before: Vec<String> = house.records().into_iter().map(|(name, _)| name).collect();
    let mut command = house.kluis();
    command.args(arguments).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the run did not get there", || {
        assert!(child.try_wait().unwrap().is_none(), "it ended before");
        ready()
    });
    send(&child, signal);
    let mut said = String::new();
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(code), "{said}");
    assert!(said.contains(why), "{said}");
    let mut new = house.records();
    new.retain(|(name, _)| !before.contains(name));
    let [(_, record)] = &new[..] else {
        panic!("{new:?}");
    };
    assert_eq!(record["status"], "FAILED", "{record}");
    let error = record["error"].as_str().unwrap();
    assert!(error.ends_with(why), "{record}");
    assert_eq!(house.leftovers(), [""; 0]);
}

/// Processes that were started with this house as their home and run a program of
/// this name.
fn running(house: &House, program: &str) -> Vec<String> {
    let storage = house.storage();
    let home = format!("HOME={}", storage.parent().unwrap().display());
    let is_it = |pid: &String| {
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let environment = read("environ");
        let mut variables = environment.split(|byte| *byte == 0);
        String::from_utf8_lossy(&read("cmdline")).contains(program)
            && variables.any(|variable| variable == home.as_bytes())
    };
    names(Path::new("/proc"))
        .into_iter()
        .filter(is_it)
        .collect()
}

/// A client directory whose `program` does what `script` says.
fn fake_client(house: &House, program: &str, script: &str) {
    let bin = house.path("bin");
    fs::create_dir_all(&bin).unwrap();
    let path = bin.join(program);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let config = format!("[database]\nclient_bin_dir = \"{}\"\n", bin.display());
    fs::write(house.path("kluis.toml"), config).unwrap();
}

fn temporary(house: &House) -> bool {
    names(&house.storage())
        .iter()
        .any(|name| name.starts_with(".kluis-tmp"))
}

/// A tree that takes a while: large enough to be met half-way.
fn large_tree(house: &House) {
    fs::create_dir(house.path("tree")).unwrap();
    let file = fs::File::create(house.path("tree/file")).unwrap();
    let mut state = 1_u64;
    let piece: Vec<u8> = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    })
    .take(1 << 20)
    .collect();
    for _ in 0..48 {
        (&file).write_all(&piece).unwrap();
    }
}

#[test]
fn a_stopped_source_backup_leaves_nothing() {
    let house = House::new();
    large_tree(&house);
    for signal in SIGNALS {
        stop_when(&house, &["backup", "source", "tree"], signal, || {
            temporary(&house)
        });
        assert_eq!(house.listed(), [""; 0]);
    }
}

#[test]
fn a_stopped_database_backup_ends_pg_dump_and_leaves_nothing() {
    let Some(cluster) = support::Cluster::start() else {
        return;
    };
    let house = House::new();
    let version = "case $1 in --version) echo 'pg_dump (PostgreSQL) 15.18'; exit;; esac";
    // Dumps a little and then for ever, whatever it is told but SIGTERM.
    let script = format!("{version}\necho '-- a dump begins'\nexec sleep 600");
    fake_client(&house, "pg_dump", &script);
    let url = cluster.url("postgres");
    for signal in SIGNALS {
        let backup = ["backup", "db", "--url", &url];
        stop_when(&house, &backup, signal, || {
            temporary(&house) && !running(&house, "sleep").is_empty()
        });
        assert_eq!(running(&house, "sleep"), [""; 0]);
        assert_eq!(house.listed(), [""; 0]);
    }
}

#[test]
fn a_run_that_is_stopped_while_psql_answers_says_so() {
    let Some(cluster) = support::Cluster::start() else {
        return;
    };
    let house = House::new();
    fake_client(&house, "psql", "exec sleep 600");
    let url = cluster.url("postgres");
    for (signal, code, why) in SIGNALS {
        let mut command = house.kluis();
        command
            .args(["backup", "db", "--url", &url])
            .stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        wait_until("psql did not start", || {
            !running(&house, "sleep").is_empty()
        });
        send(&child, signal);
        let mut said = String::new();
        let mut stderr = child.stderr.take().unwrap();
        stderr.read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{said}");
        assert!(said.contains(why), "{said}");
        assert_eq!(running(&house, "sleep"), [""; 0]);
    }
}

#[test]
fn a_stopped_tree_restore_removes_its_staging_directory() {
    let house = House::new();
    large_tree(&house);
    house.run(&["backup", "source", "tree", "--codec", "none"]);
    let parent = house.path("restored");
    fs::create_dir(&parent).unwrap();
    for signal in SIGNALS {
        let restore = ["restore", "latest", "--to", "restored/here"];
        stop_when(&house, &restore, signal, || !names(&parent).is_empty());
        assert_eq!(names(&parent), [""; 0]);
    }
}

#[test]
fn a_stopped_verify_says_so_and_leaves_the_backup_as_it_was() {
    let house = House::new();
    large_tree(&house);
    house.run(&["backup", "source", "tree", "--codec", "none"]);
    let listed = house.listed();
    for signal in SIGNALS {
        let runs = house.records().len();
        let begun = || house.records().len() > runs;
        stop_when(&house, &["verify", "--all"], signal, begun);
        assert_eq!(house.listed(), listed);
    }
}

#[test]
fn a_stopped_database_restore_drops_its_staging_database() {
    let Some(cluster) = support::Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    let fill = "CREATE TABLE t AS SELECT i, repeat(md5(i::text), 4) AS text \
                FROM generate_series(1, 200000) AS i";
    cluster.psql("shop", fill);
    let house = House::new();
    let url = cluster.url("shop");
    house.run(&["backup", "db", "--url", &url]);
    let databases = || cluster.psql("postgres", "SELECT datname FROM pg_database ORDER BY 1");
    let before = databases();
    let sum = "SELECT count(*), sum(i) FROM t";
    let content = cluster.psql("shop", sum);
    for (signal, arguments) in SIGNALS.into_iter().zip([
        vec!["restore", "latest", "--into", "copy", "--url", &url],
        vec![
            "restore",
            "latest",
            "--replace",
            "--no-pre-restore-backup",
            "--yes",
            "--url",
            &url,
        ],
    ]) {
        stop_when(&house, &arguments, signal, || {
            databases().contains("_kluis_")
        });
        assert_eq!(databases(), before);
        assert_eq!(cluster.psql("shop", sum), content);
    }
}

#[test]
fn a_reader_that_has_enough_ends_list_quietly() {
    let house = House::new();
    fs::create_dir(house.path("tree")).unwrap();
    house.run(&["backup", "source", "tree"]);
    for arguments in [
        ["list"].as_slice(),
        &["list", "--json"],
        &["verify", "--all"],
    ] {
        let mut command = house.kluis();
        command.args(arguments).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
}
