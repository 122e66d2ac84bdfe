//! What becomes of children when kluis is told to stop, or is killed. Each
//! test runs a copy of this program that plays kluis, because stopping reaches
//! all children of a process, those of other tests too.

use std::env;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::only;
use kluis::process::{ChildReader, ProcessError, Tool, terminate_all};

const PLAY: &str = "KLUIS_TEST_PLAY";

/// This program again, with only the test `name`, which then plays its part.
fn played(name: &str) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(only(module_path!(), name))
        .arg("--nocapture")
        .env(PLAY, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Whether a process is there and not a zombie.
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
}

#[test]
fn a_killed_kluis_leaves_no_child_running() {
    if env::var_os(PLAY).is_some() {
        // The thread that asked for the child is gone: only our death counts.
        let tool = Tool::new("/bin/sh").args(["-c", "echo pid $$; exec sleep 600"]);
        let spawned = std::thread::spawn(move || ChildReader::spawn(&tool).unwrap());
        let mut line = String::new();
        let mut reader = BufReader::new(spawned.join().unwrap());
        reader.read_line(&mut line).unwrap();
        println!("\n{line}");
        reader.read_to_end(&mut Vec::new()).unwrap();
        return;
    }
    let mut kluis = played("a_killed_kluis_leaves_no_child_running");
    let said = BufReader::new(kluis.stdout.take().unwrap());
    let mut lines = said.lines().map(Result::unwrap);
    let pid = lines.find_map(|line| Some(line.strip_prefix("pid ")?.to_owned()));
    let pid = pid.expect("the child told its process id");
    assert!(runs(&pid));
    kluis.kill().unwrap();
    kluis.wait().unwrap();
    // The kernel does it at once; the bound only turns a hang into a failure.
    let patience = Instant::now();
    while runs(&pid) {
        assert!(
            patience.elapsed() < Duration::from_secs(30),
            "{pid} lives on"
        );
        std::thread::yield_now();
    }
}

#[test]
fn a_stop_ends_a_child_that_ignores_it_and_one_that_obeys() {
    if env::var_os(PLAY).is_some() {
        for (script, wanted) in [
            ("trap '' TERM; echo ready; exec sleep 600", "signal: 9"),
            ("echo ready; exec sleep 600", "signal: 15"),
        ] {
            let tool = Tool::new("/bin/sh").args(["-c", script]);
            let mut reader = ChildReader::spawn(&tool).unwrap();
            reader.read_exact(&mut [0; 6]).unwrap();
            let stop = std::thread::spawn(|| terminate_all(Duration::from_secs(1)));
            let error = reader.read(&mut [0; 1]).unwrap_err();
            let error = ProcessError::from_io(error).unwrap().to_string();
            assert!(error.contains(wanted), "{error}");
            stop.join().unwrap();
        }
        return;
    }
    let mut kluis = played("a_stop_ends_a_child_that_ignores_it_and_one_that_obeys");
    let mut said = String::new();
    kluis
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert!(kluis.wait().unwrap().success(), "{said}");
}
