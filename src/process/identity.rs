//! Who this process is: for records, locks and manifests.

use std::fs;

use crate::format::run_record::RunProcess;

/// This process, told apart from a later one with the same pid. What /proc does
/// not tell is zero or empty: a record is no reason to stop a backup.
pub fn current() -> RunProcess {
    RunProcess {
        pid: std::process::id(),
        start_ticks: start_ticks("self").unwrap_or_default(),
        boot_id: fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map(|id| id.trim().to_owned())
            .unwrap_or_default(),
    }
}

/// Whether the process of a record on this host still runs.
pub fn is_running(process: &RunProcess) -> bool {
    current().boot_id == process.boot_id
        && start_ticks(&process.pid.to_string()) == Some(process.start_ticks)
}

/// Field 22 of proc(5)'s `stat`. The command name before it is in parentheses
/// and may hold blanks and parentheses itself.
fn start_ticks(process: &str) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
}

/// A user of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
}

/// Looks a user up in /etc/passwd. One that only a name service knows is not
/// found.
pub fn user(name: &str) -> Option<User> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then_some(())?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(User { uid, gid })
    })
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The user's number, where the environment names no user.
pub fn uid() -> String {
    format!("uid {}", rustix::process::getuid().as_raw())
}

/// The machine's name.
pub fn host() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}
