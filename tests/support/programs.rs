//! Programs that a test needs beside kluis.

use std::process::{Command, Stdio};

/// Whether all of them are here. Where not, a test says so and is skipped; with
/// CI=true it fails instead.
pub fn are_here(programs: &[&str]) -> bool {
    programs.iter().all(|program| is_here(program))
}

fn is_here(program: &str) -> bool {
    let started = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    if started.is_ok() {
        return true;
    }
    let required = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!required, "{program} is not installed");
    eprintln!("skipped: {program} is not installed");
    false
}
