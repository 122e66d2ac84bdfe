//! Who this process is: for records, locks and manifests.

use std::fs;

use crate::format::run_record::RunProcess;

/// This process, told apart from a later one with the same pid. What /proc does
/// not tell is zero or empty: a record is no reason to stop a backup.
pub fn current() -> RunProcess {
    RunProcess {
        pid: std::process::id(),
        start_ticks: start_ticks().unwrap_or_default(),
        boot_id: fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map(|id| id.trim().to_owned())
            .unwrap_or_default(),
    }
}

/// Field 22 of proc(5)'s `stat`. The command name before it is in parentheses
/// and may hold blanks and parentheses itself.
fn start_ticks() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
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
