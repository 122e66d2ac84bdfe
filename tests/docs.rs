//! The committed man pages and completions are those that the code makes.
//!
//! To renew them: `cargo run -- man man`, and `cargo run -- completions SHELL`
//! for each file under `completions/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::programs;
use clap::Parser;
use clap_complete::Shell;
use kluis::cli::Cli;
use kluis::commands::{completions, man};

const COMPLETIONS: [(&str, Shell); 3] = [
    ("kluis.bash", Shell::Bash),
    ("_kluis", Shell::Zsh),
    ("kluis.fish", Shell::Fish),
];

fn committed(directory: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)
}

fn names_in(directory: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(committed(directory)).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    entries.map(|e| name(e).into_string().unwrap()).collect()
}

#[test]
fn the_man_pages_are_those_of_the_code() {
    let pages = man::pages().unwrap();
    for (name, page) in &pages {
        let kept = fs::read(committed("man").join(name)).unwrap_or_default();
        assert!(kept == *page, "man/{name} is stale: cargo run -- man man");
    }
    let names = pages.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names_in("man"), names);
}

#[test]
fn the_completions_are_those_of_the_code() {
    for (name, shell) in COMPLETIONS {
        let kept = fs::read(committed("completions").join(name)).unwrap_or_default();
        let stale = format!("completions/{name} is stale: cargo run -- completions {shell}");
        assert!(kept == completions::script(shell), "{stale}");
    }
    let names = COMPLETIONS.map(|(name, _)| name.to_owned());
    assert_eq!(names_in("completions"), BTreeSet::from(names));
}

/// Whoever copies it as it stands gets encrypted backups, every night.
#[test]
fn the_readmes_configuration_is_complete() {
    let text = readme();
    let (_, rest) = text.split_once("    [storage]\n").unwrap();
    let lines = rest
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with("    "));
    let lines: Vec<_> = lines.map(str::trim_start).collect();
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("kluis.toml");
    fs::write(&file, format!("[storage]\n{}\n", lines.join("\n"))).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kluis"));
    command
        .env_clear()
        .env("HOME", home.path())
        .arg("-c")
        .arg(&file);
    let shown = command.args(["--json", "config", "show"]).output().unwrap();
    let rows: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    for key in [
        "storage.path",
        "encryption.key",
        "encryption.required",
        "database.url",
    ] {
        let rows = rows["settings"].as_array().unwrap().iter();
        let mut of_key = rows.filter(|row| row["key"].as_str().unwrap().starts_with(key));
        assert!(of_key.any(|row| row["from"] != "default"), "{key}");
    }
}

/// Whoever comes from the old service finds each of its variables, and the example
/// is read as it stands.
#[test]
fn the_page_for_who_migrates_has_every_variable_and_its_example_is_read() {
    let page = fs::read_to_string(committed("man/kluis-migrating.7")).unwrap();
    let example = committed("examples/kanbu.env");
    let text = fs::read_to_string(&example).unwrap();
    let lines = text.lines().map(|line| line.trim_start_matches('#'));
    let set = lines.filter_map(|line| line.split_once('='));
    let names: Vec<&str> = set
        .map(|(name, _)| name)
        .filter(|it| !it.contains(' '))
        .collect();
    assert!(names.len() > 12, "{names:?}");
    for name in names {
        let name = name.strip_suffix("_FILE").unwrap_or(name);
        assert!(page.contains(name), "{name}");
    }
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kluis"));
    command
        .env_clear()
        .env("HOME", home.path())
        .arg("--env-file")
        .arg(example);
    let shown = command.args(["--json", "config", "show"]).output().unwrap();
    assert!(shown.status.success(), "{shown:?}");
}

#[test]
fn man_page_checkers_have_nothing_to_say() {
    if !programs::are_here(&["mandoc"]) {
        return;
    }
    for name in names_in("man") {
        let mut mandoc = Command::new("mandoc");
        mandoc.args(["-Tlint", "-Wwarning"]);
        let output = mandoc.arg(committed("man").join(&name)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.is_empty() && output.status.success(), "{said}");
    }
}

#[test]
fn the_bash_completion_is_bash() {
    if !programs::are_here(&["bash"]) {
        return;
    }
    let script = committed("completions").join("kluis.bash");
    let output = Command::new("bash").arg("-n").arg(script).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn every_command_has_examples_and_every_flag_a_help_text() {
    fn check(command: &clap::Command, faults: &mut Vec<String>) {
        let name = command.get_display_name().unwrap_or_default().to_owned();
        let leaf = !command.has_subcommands();
        let notes = command.get_after_help().map(ToString::to_string);
        if leaf && !notes.is_some_and(|notes| notes.starts_with("Examples:\n")) {
            faults.push(format!("{name} has no examples"));
        }
        if command.get_about().is_none() {
            faults.push(format!("{name} says nothing about itself"));
        }
        for argument in command.get_arguments() {
            if argument.get_help().is_none() {
                faults.push(format!("{name} {} has no help", argument.get_id()));
            }
        }
        for below in command.get_subcommands() {
            check(below, faults);
        }
    }
    let mut command = <kluis::cli::Cli as clap::CommandFactory>::command();
    command.build();
    command.clone().debug_assert();
    let mut faults = Vec::new();
    check(&command, &mut faults);
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn help_fits_80_columns() {
    fn check(command: &mut clap::Command) {
        for text in [command.render_help(), command.render_long_help()] {
            for line in text.to_string().lines() {
                assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
            }
        }
        for below in command.get_subcommands_mut() {
            check(below);
        }
    }
    let mut command = <kluis::cli::Cli as clap::CommandFactory>::command();
    command.build();
    check(&mut command);
}

fn readme() -> String {
    fs::read_to_string(committed("README.md")).unwrap()
}

#[test]
fn every_command_line_in_the_readme_is_one_that_kluis_takes() {
    let readme = readme();
    let indented = readme.lines().filter_map(|line| line.strip_prefix("    "));
    let mut tried = 0;
    for line in indented {
        let starts = ["$ kluis ", "root kluis ", "/bin/kluis "];
        let Some(at) = starts.iter().find_map(|start| line.find(start)) else {
            continue;
        };
        let Some((_, command)) = line[at..].split_once("kluis ") else {
            continue;
        };
        let end = command.find([';', '>', '|', '&']).unwrap_or(command.len());
        let words = ["kluis"]
            .into_iter()
            .chain(command[..end].split_whitespace());
        assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        tried += 1;
    }
    assert!(tried > 10, "{tried}");
}

#[test]
fn every_variable_in_the_readme_is_one_that_kluis_reads() {
    let code: String = [
        "database.rs",
        "encryption.rs",
        "environment.rs",
        "mod.rs",
        "notify.rs",
        "resolve.rs",
        "retention.rs",
        "secret_files.rs",
        "serve.rs",
    ]
    .map(|file| fs::read_to_string(committed("src/config").join(file)).unwrap())
    .concat();
    let readme = readme();
    let words = readme.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
    let names = words.filter(|word| word.starts_with("BACKUP_") || word.starts_with("KANBU_"));
    let names: BTreeSet<&str> = names.collect();
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        assert!(code.contains(&format!("\"{name}\"")), "{name}");
    }
}

#[test]
fn every_file_in_the_readme_is_there() {
    let readme = readme();
    let quoted = readme.split('`').skip(1).step_by(2);
    let places = ["src/", "tests/", "examples/", "benches/"];
    for path in quoted.filter(|text| places.iter().any(|place| text.starts_with(place))) {
        assert!(committed(path).exists(), "{path}");
    }
}
