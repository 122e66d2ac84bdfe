//! A crash of kluis writes no core file: its memory has keys in it.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::home::{Home, text};
use rustix::process::{Pid, Signal, kill_process};

/// A shell that lifts the limit as far as it may, then becomes the program.
fn with_cores(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("/bin/sh");
    let script = "ulimit -S -c unlimited 2>/dev/null || ulimit -S -c hard; exec \"$@\"";
    command.args(["-c", script, "sh", program]).args(arguments);
    command
}

/// Again and again: Rust's own handler takes the first one for a full stack, and
/// gives the next one back to the kernel.
fn crash(mut child: Child) -> std::process::ExitStatus {
    let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
    let mut ended = None;
    wait_until("it does not crash", || {
        // Not reaped yet, so the number is still its own.
        kill_process(pid, Signal::SEGV).unwrap();
        ended = child.try_wait().unwrap();
        ended.is_some()
    });
    let status = ended.unwrap();
    assert_eq!(status.signal(), Some(11), "{status}");
    status
}

/// The soft and the hard limit of core files.
fn core_limit(child: &Child) -> String {
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let words: Vec<&str> = line.unwrap().split_whitespace().collect();
    words[4..6].join(" ")
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let patience = Instant::now();
    while !holds() {
        assert!(patience.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_run_that_crashes_with_its_key_loaded_writes_no_core() {
    let home = Home::new();
    fs::create_dir(home.path("tree")).unwrap();
    // The key's program says when kluis waits for it, and then waits itself.
    let waiting = home.path("waiting");
    let made = Command::new("mkfifo").arg(&waiting).status().unwrap();
    assert!(made.success());
    let ask = format!(
        "/bin/sh -c 'touch {}; cat {}'",
        text(&home.path("asked")),
        text(&waiting)
    );
    let kluis = env!("CARGO_BIN_EXE_kluis");
    let mut command = with_cores(kluis, &["backup", "source", text(&home.path("tree"))]);
    command
        .env_clear()
        .env("HOME", home.path(""))
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("BACKUP_LOCAL_PATH", home.storage())
        .env("KLUIS_CONFIG", home.path("kluis.toml"))
        .env("BACKUP_ENCRYPTION_KEY_COMMAND", &ask)
        .current_dir(home.path(""))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let child = command.spawn().unwrap();
    wait_until("kluis did not ask for its key", || {
        home.path("asked").exists()
    });
    assert_eq!(core_limit(&child), "0 0");
    let status = crash(child);
    assert!(!status.core_dumped(), "a core was written");
    let names = fs::read_dir(home.path("")).unwrap();
    let is_core = |name: &String| name.starts_with("core");
    let cores: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(is_core)
        .collect();
    assert_eq!(cores, [""; 0]);
}

#[test]
fn another_program_started_alike_could_write_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = with_cores("/bin/cat", &[]);
    let mut child = command
        .current_dir(directory.path())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let is_cat = |pid: u32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm"));
        name.is_ok_and(|name| name == "cat\n")
    };
    wait_until("cat was not started", || is_cat(child.id()));
    let limit = core_limit(&child);
    // Where the machine itself forbids cores, the other test shows nothing.
    let required = std::env::var("CI").as_deref() == Ok("true");
    if limit.starts_with("0 ") {
        assert!(!required, "this machine allows no core files: {limit}");
        eprintln!("skipped: this machine allows no core files");
        child.kill().unwrap();
        child.wait().unwrap();
        return;
    }
    assert_ne!(limit, "0 0");
    crash(child);
}
