//! As the first process of a container we are given whoever lost its parent, such as
//! what a hook or docker's client left running. Somebody has to wait for them, or they
//! stay as zombies until no process can be made any more.
//!
//! Invariant: nobody takes the end of a child that something here waits for: those are
//! waited for at once, so only who has been a zombie for a whole round is.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, WaitOptions, getpid, waitpid};

const ROUND: Duration = Duration::from_secs(5);

/// Begins to wait for them, where they are ours; for as long as this process lives.
pub fn reap_as_first_process() -> io::Result<()> {
    if !getpid().is_init() {
        return Ok(());
    }
    let reap = || {
        let mut before = BTreeSet::new();
        loop {
            thread::sleep(ROUND);
            let now = zombies();
            for pid in now.intersection(&before) {
                // Whoever it was, nobody asks how it ended.
                let pid = Pid::from_raw(*pid);
                let _ = waitpid(pid, WaitOptions::NOHANG);
            }
            before = now;
        }
    };
    let thread = thread::Builder::new().name("orphans".to_owned());
    thread.spawn(reap).map(drop)
}

/// Our own children that have ended and that nobody has waited for.
fn zombies() -> BTreeSet<i32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|it| it.file_name().to_str()?.parse::<i32>().ok());
    numbers
        .filter(|pid| is_our_zombie(*pid).unwrap_or(false))
        .collect()
}

/// Fields 3 and 4 of proc(5)'s `stat`: the state, and the parent.
fn is_our_zombie(pid: i32) -> Option<bool> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace();
    let (state, parent) = (fields.next()?, fields.next()?);
    Some(state == "Z" && parent.parse() == Ok(getpid().as_raw_nonzero().get()))
}
