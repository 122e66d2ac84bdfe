//! The kernel's answers, changed on the way: strace's fault injection.

use std::process::Command;

use crate::support::house::{self, House};

/// Whether strace is there and may trace; the reason has been told.
pub fn can_trace() -> bool {
    let probe = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .output();
    if probe.is_ok_and(|output| output.status.success()) {
        return true;
    }
    let reason = "strace is missing or may not trace here (install the package strace)";
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
    eprintln!("skipped: {reason}");
    false
}

/// kluis, whose system call `call` meets `fault` at its `number`th occurrence in
/// a thread. The trace goes to the house's `trace`.
pub fn kluis_meeting(house: &House, call: &str, fault: &str, number: usize) -> Command {
    let mut command = house.command("strace");
    command.args(["-f", "-qq", "-o"]).arg(house.path("trace"));
    command
        .arg(format!("--trace={call}"))
        .arg(format!("--inject={call}:{fault}:when={number}"))
        .arg(house::program());
    command
}
