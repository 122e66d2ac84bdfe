//! kluis, stopped at a system call while somebody else acts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::house::{self, House};
use crate::support::tracing;

const PATIENCE: Duration = Duration::from_secs(60);
/// Nothing on a busy machine is taken for a hang before that.
const POLL: Duration = Duration::from_millis(1);

/// How a run under the tracer ended.
pub struct Ran {
    pub code: Option<i32>,
    pub said: String,
    pub hung: bool,
    /// How often it was stopped.
    pub stops: usize,
}

/// Whether another user can be played here; the reason has been told.
pub fn can_attack() -> bool {
    let reason = if !rustix::process::geteuid().is_root() {
        "only root can become another user"
    } else if Command::new("setpriv").arg("--version").output().is_err() {
        "setpriv is not installed (package util-linux)"
    } else {
        return tracing::can_trace();
    };
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
    eprintln!("skipped: {reason}");
    false
}

/// Runs a script as the user nobody, whatever comes of it.
pub fn as_nobody(directory: &Path, script: &str) {
    let _ = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .args(["sh", "-c", script])
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

fn strace(house: &House, trace: &Path, calls: &[&str]) -> Command {
    let mut command = house.command("strace");
    command.args(["-f", "-qq", "-o"]).arg(trace);
    command.arg(format!("--trace={}", calls.join(",")));
    command
}

/// How often a thread makes each of the calls.
pub fn count(
    house: &House,
    arguments: &[String],
    calls: &[&'static str],
) -> BTreeMap<&'static str, usize> {
    let trace = house.path("count");
    let mut command = strace(house, &trace, calls);
    command.arg(house::program()).args(arguments);
    command.output().unwrap();
    let text = fs::read_to_string(&trace).unwrap();
    let mut of_threads: BTreeMap<(&str, &'static str), usize> = BTreeMap::new();
    for line in text.lines() {
        let Some((thread, rest)) = line.split_once(' ') else {
            continue;
        };
        let name = rest.trim_start().split('(').next().unwrap_or_default();
        let call = calls
            .iter()
            .find(|call| call.split(',').any(|it| it == name));
        if let Some(call) = call {
            *of_threads.entry((thread, call)).or_default() += 1;
        }
    }
    let mut most = BTreeMap::new();
    for ((_, call), number) in of_threads {
        let known = most.entry(call).or_insert(0);
        *known = number.max(*known);
    }
    most
}

/// Runs kluis; at the `number`th `call` of a thread, `step` is told of the trace
/// so far, and acts. `more` are further calls at whose first it stops too.
pub fn run(
    house: &House,
    arguments: &[String],
    (call, number): (&str, usize),
    more: &[&str],
    mut step: impl FnMut(&str),
) -> Ran {
    let trace = house.path("trace");
    let _ = fs::remove_file(&trace);
    let mut all = vec![call];
    all.extend(more);
    let mut command = strace(house, &trace, &all);
    command.arg(format!("--inject={call}:signal=SIGSTOP:when={number}"));
    for call in more {
        command.arg(format!("--inject={call}:signal=SIGSTOP:when=1"));
    }
    let mut child = command
        .arg(house::program())
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(house.path("said")).unwrap())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let (mut seen, mut stops, mut hung) = (0, 0, false);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        let text = fs::read_to_string(&trace).unwrap_or_default();
        if let Some(at) = text[seen..].find("stopped by SIGSTOP ---") {
            let line = text[..seen + at].rfind('\n').map_or(0, |at| at + 1);
            let thread = text[line..].split(' ').next().unwrap_or_default();
            seen += at + 1;
            // Each thread tells that it stopped: one call, one step.
            let injected = text[..seen].matches("--- SIGSTOP {").count();
            if injected > stops {
                stops = injected;
                step(&text[..seen]);
            }
            go_on(thread);
        } else {
            if begun.elapsed() > PATIENCE {
                hung = true;
                end(&text, &mut child);
            }
            thread::sleep(POLL);
        }
    };
    Ran {
        code: status.code(),
        said: fs::read_to_string(house.path("said")).unwrap_or_default(),
        hung,
        stops,
    }
}

fn pid(text: &str) -> Option<Pid> {
    text.parse().ok().and_then(Pid::from_raw)
}

fn go_on(thread: &str) {
    if let Some(pid) = pid(thread) {
        let _ = kill_process(pid, Signal::CONT);
    }
}

/// Ends kluis, and with it the tracer. Its number is believed only while it is
/// the tracer's child: others get the numbers of those that are gone.
fn end(trace: &str, tracer: &mut Child) {
    let of_tracer = |number: &str| {
        let status = fs::read_to_string(format!("/proc/{number}/status")).unwrap_or_default();
        let parent = format!("PPid:\t{}\n", tracer.id());
        status.contains(&parent)
    };
    let leader = trace.lines().find_map(|line| line.split(' ').next());
    match leader.filter(|number| of_tracer(number)).and_then(pid) {
        Some(leader) => {
            let _ = kill_process(leader, Signal::KILL);
        }
        None => {
            let _ = tracer.kill();
        }
    }
}
