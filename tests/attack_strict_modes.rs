//! A configuration, an env file or a key file that another user owns or can
//! write decides what root runs. Each attack succeeds on 861f450: the planted
//! hook runs, the planted key seals.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support::house::House;

/// Who is neither root nor whoever runs the test.
const STRANGER: u32 = 54_321;

struct Attack {
    house: House,
}

impl Attack {
    /// `None`: only root can give a file to somebody else.
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root may give a file away");
            return None;
        }
        let house = House::new();
        fs::create_dir(house.path("app")).unwrap();
        fs::write(house.path("app/file"), "content").unwrap();
        fs::create_dir(house.path("etc")).unwrap();
        Some(Self { house })
    }

    /// A configuration whose hook leaves a mark.
    fn config(&self) -> PathBuf {
        let path = self.house.path("etc/kluis.toml");
        let mark = self.mark();
        let hook = format!(
            "[hooks]\nbefore = [[\"/usr/bin/touch\", \"{}\"]]\n",
            mark.display()
        );
        fs::write(&path, hook).unwrap();
        mode(&path, 0o600);
        path
    }

    fn mark(&self) -> PathBuf {
        self.house.path("mark")
    }

    fn back_up(&self, arguments: &[&str]) -> Output {
        let mut kluis = self.house.kluis();
        kluis.args(arguments).args(["backup", "source", "app"]);
        kluis.output().unwrap()
    }

    /// It must end with 2, name the offender and the remedy, and run no hook.
    fn is_refused(&self, arguments: &[&str], offender: &Path, remedy: &str) {
        let output = self.back_up(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!self.mark().exists(), "the planted hook ran: {said}");
        assert_eq!(output.status.code(), Some(2), "{said}");
        let mended = match remedy.starts_with("ch") {
            true => format!("{remedy} {}", offender.display()),
            false => remedy.to_owned(),
        };
        assert!(said.contains(&mended), "{said}");
        assert!(said.contains(offender.to_str().unwrap()), "{said}");
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn give(path: &Path) {
    chown(path, Some(STRANGER), Some(STRANGER)).unwrap();
}

#[test]
fn a_configuration_that_a_stranger_owns_or_can_write_runs_nothing() {
    let Some(attack) = Attack::new() else { return };
    let config = attack.config();
    let given = ["--config", config.to_str().unwrap()];
    // A group of somebody else's: root's own may be root's alone.
    chown(&config, Some(0), Some(STRANGER)).unwrap();
    for open in [0o620, 0o602, 0o666] {
        mode(&config, open);
        attack.is_refused(&given, &config, "chmod go-w");
    }
    mode(&config, 0o600);
    give(&config);
    attack.is_refused(&given, &config, "chown root");
}

#[test]
fn a_directory_above_it_counts_as_the_file_does() {
    let Some(attack) = Attack::new() else { return };
    let config = attack.config();
    let given = ["--config", config.to_str().unwrap()];
    let above = attack.house.path("etc");
    mode(&above, 0o777);
    attack.is_refused(&given, &above, "chmod go-w");
    mode(&above, 0o755);
    give(&above);
    // Whose directory it is, stays as it is.
    attack.is_refused(&given, &above, "copy the file to a place that only root");
}

#[test]
fn a_link_of_a_strangers_is_not_followed_in_a_sticky_directory() {
    let Some(attack) = Attack::new() else { return };
    let config = attack.config();
    let shared = attack.house.path("shared");
    fs::create_dir(&shared).unwrap();
    mode(&shared, 0o1777);
    let link = shared.join("kluis.toml");
    symlink(&config, &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(STRANGER), Some(STRANGER)).unwrap();
    attack.is_refused(
        &["--config", link.to_str().unwrap()],
        &link,
        "chown -h root",
    );
    // What is ours there, nobody else can move away.
    fs::remove_file(&link).unwrap();
    fs::rename(&config, &link).unwrap();
    let output = attack.back_up(&["--config", link.to_str().unwrap()]);
    assert!(
        output.status.success() && attack.mark().exists(),
        "{output:?}"
    );
}

#[test]
fn an_env_file_of_a_strangers_names_no_key_command() {
    let Some(attack) = Attack::new() else { return };
    let file = attack.house.path("etc/env");
    let lines = format!(
        "KANBU_SOURCE_PATH={}\nBACKUP_WEBHOOK_URL=http://127.0.0.1:1/\n",
        attack.house.path("app").display()
    );
    fs::write(&file, lines).unwrap();
    mode(&file, 0o600);
    give(&file);
    attack.is_refused(&["--env-file", file.to_str().unwrap()], &file, "chown root");
}

#[test]
fn a_key_file_of_a_strangers_seals_nothing() {
    let Some(attack) = Attack::new() else { return };
    let key = attack.house.path("etc/key");
    fs::write(&key, "known to the stranger").unwrap();
    mode(&key, 0o600);
    give(&key);
    let back_up = || {
        let mut kluis = attack.house.kluis();
        kluis
            .env_remove("BACKUP_ENCRYPTION_KEY")
            .env("BACKUP_ENCRYPTION_KEY_FILE", &key)
            .args(["backup", "source", "app"]);
        kluis.output().unwrap()
    };
    let output = back_up();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains(&format!("chown root {}", key.display())),
        "{said}"
    );
    // As a container has its secrets: taken, and told.
    chown(&key, Some(0), Some(0)).unwrap();
    mode(&key, 0o444);
    let output = back_up();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("can be read by others"), "{said}");
    let allowed = "allow_readable_secrets = true\n";
    fs::write(attack.house.path("kluis.toml"), allowed).unwrap();
    let output = back_up();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
}

#[test]
fn a_hooks_program_that_others_can_write_is_not_run_by_root() {
    let Some(attack) = Attack::new() else { return };
    let program = attack.house.path("etc/freeze");
    let mark = attack.mark();
    fs::write(&program, format!("#!/bin/sh\n: > {}\n", mark.display())).unwrap();
    let config = attack.house.path("kluis.toml");
    let hook = format!("[hooks]\nfinally = [[\"{}\"]]\n", program.display());
    fs::write(&config, hook).unwrap();
    mode(&program, 0o757);
    attack.is_refused(&[], &program, "chmod go-w");
    mode(&program, 0o755);
    give(&program);
    attack.is_refused(&[], &program, "chown root");
    chown(&program, Some(0), Some(0)).unwrap();
    let output = attack.back_up(&[]);
    assert!(output.status.success() && mark.exists(), "{output:?}");
}

#[test]
fn a_strangers_list_of_excludes_and_certificates_are_not_taken() {
    let Some(attack) = Attack::new() else { return };
    let list = attack.house.path("list");
    fs::write(&list, "*").unwrap();
    let config = attack.config();
    let text = format!("[source]\nexclude_from = [\"{}\"]\n", list.display());
    fs::write(&config, text).unwrap();
    let arguments = ["--config", config.to_str().unwrap()];
    mode(&list, 0o666);
    attack.is_refused(&arguments, &list, "chmod go-w");
    give(&list);
    attack.is_refused(&arguments, &list, "chown root");
    let error = kluis::notify::HttpClient::with_ca_file(&list)
        .err()
        .unwrap();
    assert!(error.to_string().contains("chown root"), "{error}");
}
