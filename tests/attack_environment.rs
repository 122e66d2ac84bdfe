//! What a child of kluis finds in its environment, and where its programs come
//! from. Each attack succeeds on 861f450: hooks and the key's command had the
//! database's password and a cloud's credentials, and a program of the current
//! directory was run where PATH has an empty entry.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::house::House;

const SECRETS: [&str; 6] = [
    "DATABASE_URL",
    "PGPASSWORD",
    "BACKUP_WEBHOOK_SECRET",
    "AWS_SECRET_ACCESS_KEY",
    "VAULT_TOKEN",
    "KLUIS_TEST_STRANGER",
];

fn house() -> House {
    let house = House::new();
    fs::create_dir(house.path("app")).unwrap();
    fs::write(house.path("app/file"), "content").unwrap();
    house
}

fn program(path: &Path, script: &str) {
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The variables that a program wrote down.
fn noted(house: &House) -> String {
    fs::read_to_string(house.path("noted")).unwrap()
}

fn back_up(house: &House) {
    let mut kluis = house.kluis();
    for name in SECRETS {
        kluis.env(name, "postgres://u:hunter2@127.0.0.1:1/x");
    }
    let output = kluis.args(["backup", "source", "app"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_hook_sees_no_secret_but_those_that_it_is_given_by_name() {
    let house = house();
    program(
        &house.path("hook"),
        &format!("env > {}", house.path("noted").display()),
    );
    let hook = format!("before = [[\"{}\"]]\n", house.path("hook").display());
    fs::write(house.path("kluis.toml"), format!("[hooks]\n{hook}")).unwrap();
    back_up(&house);
    assert!(!noted(&house).contains("hunter2"), "{}", noted(&house));
    assert!(noted(&house).contains("PATH="));
    let pass = "pass_env = [\"VAULT_TOKEN\"]\n";
    fs::write(house.path("kluis.toml"), format!("[hooks]\n{hook}{pass}")).unwrap();
    back_up(&house);
    assert_eq!(noted(&house).matches("hunter2").count(), 1);
    assert!(noted(&house).contains("VAULT_TOKEN=postgres"));
}

#[test]
fn the_keys_command_sees_no_secret_but_those_that_it_is_given_by_name() {
    let house = house();
    let script = format!("env > {}; echo passphrase", house.path("noted").display());
    program(&house.path("vault"), &script);
    let run = |names: &str| {
        let mut kluis = house.kluis();
        kluis
            .env_remove("BACKUP_ENCRYPTION_KEY")
            .env("BACKUP_ENCRYPTION_KEY_COMMAND", house.path("vault"))
            .env("BACKUP_ENCRYPTION_KEY_COMMAND_ENV", names);
        for name in SECRETS {
            kluis.env(name, "postgres://u:hunter2@127.0.0.1:1/x");
        }
        let output = kluis.args(["backup", "source", "app"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    run("");
    assert!(!noted(&house).contains("hunter2"), "{}", noted(&house));
    run("VAULT_ADDR,VAULT_TOKEN");
    assert_eq!(noted(&house).matches("hunter2").count(), 1);
}

#[test]
fn a_program_of_the_current_directory_is_not_found() {
    let house = house();
    let planted = format!("touch {}", house.path("planted").display());
    program(&house.path("freeze-shop"), &planted);
    let config = "[hooks]\nfinally = [[\"freeze-shop\"]]\n";
    fs::write(house.path("kluis.toml"), config).unwrap();
    let mut path = std::ffi::OsString::from(":.:");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut kluis = house.kluis();
    let output = kluis.env("PATH", path).args(["backup", "source", "app"]);
    let output = output.output().unwrap();
    assert!(!house.path("planted").exists());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("`freeze-shop` was not found"), "{said}");
}
