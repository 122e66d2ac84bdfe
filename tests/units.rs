//! The examples for systemd and cron: the service manager finds nothing to say
//! about the units, and every command line in them is one that kluis takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::programs;
use clap::Parser;
use jiff::tz::TimeZone;
use kluis::cli::Cli;
use kluis::schedule::Recurrence;

const INSTALLED: &str = "/usr/local/bin/kluis";

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(name)
}

/// The units by name, sorted.
fn units() -> Vec<(String, String)> {
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    let mut units: Vec<_> = fs::read_dir(example("systemd"))
        .unwrap()
        .map(read)
        .collect();
    units.sort();
    assert!(units.len() >= 6, "{units:?}");
    units
}

fn parses(command: &str) {
    let words = shlex::split(command).unwrap();
    assert_eq!(words[0], INSTALLED);
    if let Err(error) = Cli::try_parse_from(&words) {
        panic!("{command}: {error}");
    }
}

#[test]
fn systemd_finds_nothing_to_say_about_the_units() {
    if !programs::are_here(&["systemd-analyze"]) {
        return;
    }
    // As they would be installed, but with the kluis that was just built.
    let directory = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for (name, text) in units() {
        let path = directory.path().join(name);
        fs::write(&path, text.replace(INSTALLED, env!("CARGO_BIN_EXE_kluis"))).unwrap();
        paths.push(path);
    }
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(&paths)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn the_units_that_run_kluis_are_hardened() {
    if !programs::are_here(&["systemd-analyze"]) {
        return;
    }
    for (name, text) in units() {
        if !text.contains(&format!("ExecStart={INSTALLED}")) {
            continue;
        }
        // Tenths of the exposure level; 10 is none at all, 100 everything.
        let output = Command::new("systemd-analyze")
            .args(["security", "--offline=yes", "--threshold=20"])
            .arg(example("systemd").join(&name))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{name}: {said}");
    }
}

#[test]
fn every_command_of_the_units_is_one_that_kluis_takes() {
    let mut tried = 0;
    for (_, text) in units() {
        let commands = text
            .lines()
            .filter_map(|line| line.strip_prefix("ExecStart="));
        for command in commands.filter(|command| command.starts_with(INSTALLED)) {
            parses(command);
            tried += 1;
        }
    }
    assert!(tried >= 4, "{tried}");
}

#[test]
fn a_unit_that_fails_tells_somebody_and_a_timer_makes_up_for_a_night() {
    for (name, text) in units() {
        match name.rsplit_once('.').unwrap().1 {
            "timer" => assert!(text.contains("\nPersistent=true\n"), "{name}"),
            "service" if !name.contains('@') => {
                assert!(
                    text.contains("\nOnFailure=kluis-failed@%n.service\n"),
                    "{name}"
                );
                assert!(text.contains("\nKillMode=mixed\n"), "{name}");
            }
            _ => {}
        }
    }
}

#[test]
fn every_line_of_the_crontab_has_its_time_user_and_command() {
    let text = fs::read_to_string(example("crontab")).unwrap();
    let mut tried = 0;
    let is_job = |line: &&str| line.starts_with(|c: char| c.is_ascii_digit() || c == '*');
    for line in text.lines().filter(is_job) {
        let fields: Vec<&str> = line.splitn(7, ' ').collect();
        let [time @ .., user, command] = &fields[..] else {
            panic!("{line}");
        };
        Recurrence::parse(&time.join(" "), TimeZone::UTC).unwrap();
        assert_eq!(*user, "root", "{line}");
        let (command, redirection) = command.split_once(" >").unwrap();
        assert_eq!(redirection, "/dev/null");
        parses(command);
        tried += 1;
    }
    assert!(tried >= 4, "{tried}");
}
