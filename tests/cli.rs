//! What kluis says to wrong flags, wrong configurations and closed pipes: the
//! words and the exit code, each as a snapshot.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use snapbox::cmd::Command;
use snapbox::str;

/// kluis with nothing around it that this machine could have set; with an empty
/// configuration, so that none of the machine's is found.
fn kluis(home: &Path) -> Command {
    let config = home.join("empty.toml");
    fs::write(&config, "").unwrap();
    Command::new(snapbox::cmd::cargo_bin!("kluis"))
        .env_clear()
        .env("HOME", home)
        .env("KLUIS_CONFIG", config)
        .env("TZ", "UTC")
        .current_dir(home)
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

macro_rules! refused {
    ($($name:ident: $arguments:expr => $said:expr;)*) => {$(
        #[test]
        fn $name() {
            kluis(home().path()).args($arguments).assert().code(2).stdout_eq("").stderr_eq($said);
        }
    )*};
}

refused! {
    an_unknown_flag_is_refused_with_the_nearest: ["list", "--revers"] => str![[r#"
error: unexpected argument '--revers' found

  tip: a similar argument exists: '--reverse'

Usage: kluis list --reverse

For more information, try '--help'.

"#]];
    an_unknown_command_is_refused_with_the_nearest: ["verfy"] => str![[r#"
error: unrecognized subcommand 'verfy'

  tip: a similar subcommand exists: 'verify'

Usage: kluis [OPTIONS] <COMMAND>

For more information, try '--help'.

"#]];
    verbose_and_quiet_exclude_each_other: ["-v", "-q", "list"] => str![[r#"
error: the argument '--verbose...' cannot be used with '--quiet'

Usage: kluis --verbose... <COMMAND>

For more information, try '--help'.

"#]];
    restore_needs_a_destination: ["restore", "latest"] => str![[r#"
error: where to? say --to DIR for a source tree, --into DB or --replace for a database, --in-place for roles

"#]];
    restore_takes_one_destination_only: ["restore", "x", "--to", "d", "--into", "db"] => str![[r#"
error: the argument '--to <DIR>' cannot be used with '--into <DB>'

Usage: kluis restore [OPTIONS] [BACKUP] [--to DIR|--into DB|--replace|--list]

For more information, try '--help'.

"#]];
    keep_old_belongs_to_replace: ["restore", "x", "--into", "db", "--keep-old"] => str![[r#"
error: the argument '--into <DB>' cannot be used with '--keep-old'

Usage: kluis restore [OPTIONS] [BACKUP] [--to DIR|--into DB|--replace|--list]

For more information, try '--help'.

"#]];
    no_links_outside_belongs_to_a_directory: ["restore", "x", "--into", "db", "--no-links-outside"] => str![[r#"
error: the argument '--into <DB>' cannot be used with '--no-links-outside'

Usage: kluis restore [OPTIONS] [BACKUP] [--to DIR|--into DB|--replace|--list]

For more information, try '--help'.

"#]];
    a_server_makes_no_sense_for_a_directory: ["restore", "x", "--to", "d", "--url", "postgres://h"] => str![[r#"
error: the argument '--to <DIR>' cannot be used with '--url <URL>'

Usage: kluis restore [OPTIONS] [BACKUP] [--to DIR|--into DB|--replace|--list]

For more information, try '--help'.

"#]];
    verify_needs_to_know_which: ["verify"] => str![[r#"
error: the following required arguments were not provided:
  <BACKUP|--all|--pending>

Usage: kluis verify <BACKUP|--all|--pending>

For more information, try '--help'.

"#]];
    verify_takes_backups_or_all: ["verify", "x", "--all"] => str![[r#"
error: the argument '[BACKUP]...' cannot be used with '--all'

Usage: kluis verify <BACKUP|--all|--pending>

For more information, try '--help'.

"#]];
    delete_needs_to_know_which: ["delete"] => str![[r#"
error: the following required arguments were not provided:
  <BACKUP>...

Usage: kluis delete <BACKUP>...

For more information, try '--help'.

"#]];
    a_codec_that_is_not_known_is_refused: ["backup", "db", "--codec", "lzma"] => str![[r#"
error: invalid value 'lzma' for '--codec <CODEC>'
  [possible values: gzip, zstd, none]

For more information, try '--help'.

"#]];
    a_wait_without_a_unit_is_refused: ["--lock-wait", "10", "list"] => str![[r#"
error: invalid value '10' for '--lock-wait <DURATION>': not a duration; write a number and a unit, such as 30s, 10m, 2h or 1d

For more information, try '--help'.

"#]];
    a_period_with_an_unknown_unit_is_refused: ["prune", "--max-age", "3 fortnights"] => str![[r#"
error: invalid value '3 fortnights' for '--max-age <D>': not an age; write a number and a unit, such as 12h, 30d, 2w, 6m (months) or 1y

For more information, try '--help'.

"#]];
    a_negative_count_is_refused: ["prune", "--keep-last", "-1"] => str![[r#"
error: unexpected argument '-1' found

Usage: kluis prune [OPTIONS]

For more information, try '--help'.

"#]];
    a_level_that_the_codec_does_not_have_is_refused: ["backup", "db", "x", "--level", "13"] => str![[r#"
error: --level: gzip has levels 1 to 12, not 13
hint: the command's --help explains its flags

"#]];
    a_level_without_compression_is_refused:
        ["backup", "source", "/x", "--codec", "none", "--level", "1"] => str![[r#"
error: --level: without compression there is no level
hint: the command's --help explains its flags

"#]];
    a_configuration_that_is_not_there_is_refused: ["-c", "missing.toml", "config", "show"] => str![[r#"
error: cannot read the configuration missing.toml: No such file or directory (os error 2)
hint: check the path, and that this user may read it

"#]];
    an_env_file_that_is_not_there_is_refused: ["--env-file", "missing.env", "config", "show"] => str![[r#"
error: cannot read the env file missing.env: No such file or directory (os error 2)
hint: check the path, and that this user may read it

"#]];
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_and_its_place() {
    let home = home();
    fs::write(home.path().join("k.toml"), "[storage]\npaht = \"/b\"\n").unwrap();
    let run = kluis(home.path()).args(["-c", "k.toml", "config", "show"]);
    run.assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: k.toml:2: unknown key `paht`; did you mean `path`?
hint: correct that line; examples/kluis.toml explains every key

"#]]);
}

#[test]
fn a_configuration_that_is_no_toml_is_refused_with_its_line() {
    let home = home();
    fs::write(home.path().join("k.toml"), "[storage]\npath = /b\n").unwrap();
    let run = kluis(home.path()).args(["-c", "k.toml", "config", "show"]);
    run.assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: k.toml:2: string values must be quoted, expected literal string
hint: correct that line; examples/kluis.toml explains every key

"#]]);
}

#[test]
fn a_directory_as_configuration_is_refused() {
    let home = home();
    let run = kluis(home.path()).args(["-c", ".", "config", "show"]);
    run.assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: cannot read the configuration .: Is a directory (os error 21)
hint: check the path, and that this user may read it

"#]]);
}

#[test]
fn an_env_file_that_is_wrong_is_refused_with_its_line() {
    let home = home();
    fs::write(home.path().join("x.env"), "A=1\nrm -rf\n").unwrap();
    let run = kluis(home.path()).args(["--env-file", "x.env", "config", "show"]);
    run.assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: x.env:2: expected KEY=VALUE
hint: an env file has lines of KEY=VALUE and # comments

"#]]);
}

#[test]
fn a_bad_number_in_the_environment_is_refused_with_its_name() {
    let home = home();
    let run = kluis(home.path()).env("BACKUP_KEEP_DAILY", "seven");
    run.args(["config", "show"])
        .assert()
        .code(2)
        .stdout_eq("")
        .stderr_eq(str![[r#"
error: BACKUP_KEEP_DAILY: "seven": not a whole number from 0 to 4294967295
hint: correct or unset the variable

"#]]);
}

#[test]
fn a_key_from_two_places_is_refused() {
    let home = home();
    let run = kluis(home.path())
        .env("BACKUP_ENCRYPTION_KEY", "planted secret")
        .env("BACKUP_ENCRYPTION_KEY_FILE", "/run/key");
    run.args(["config", "show"])
        .assert()
        .code(2)
        .stdout_eq("")
        .stderr_eq(str![[r#"
error: BACKUP_ENCRYPTION_KEY: BACKUP_ENCRYPTION_KEY_FILE is set too; unset one of them
hint: correct or unset the variable

"#]]);
}

/// A file that looks encrypted, and the run that would decrypt it.
fn decrypting(home: &Path) -> Command {
    fs::write(home.join("x.sql.gz.enc"), [0u8; 64]).unwrap();
    kluis(home).args(["decrypt", "x.sql.gz.enc"])
}

fn write_key(home: &Path, text: &str, mode: u32) {
    let path = home.join("key");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_key_with_a_trailing_newline_is_refused() {
    let home = home();
    let run = decrypting(home.path()).env("BACKUP_ENCRYPTION_KEY", "planted secret\n");
    run.assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: the key in BACKUP_ENCRYPTION_KEY ends with a newline
hint: remove it: taken as it is, it would be a different passphrase

"#]]);
    assert!(!home.path().join("x.sql.gz").exists());
}

#[test]
fn an_empty_key_is_refused() {
    let home = home();
    let run = decrypting(home.path()).env("BACKUP_ENCRYPTION_KEY", "");
    run.assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: the key in BACKUP_ENCRYPTION_KEY is empty
hint: set BACKUP_ENCRYPTION_KEY to 64 hex digits or a passphrase, or unset it

"#]]);
}

#[test]
fn a_key_file_that_is_not_there_is_refused() {
    let home = home();
    let run = decrypting(home.path()).env("BACKUP_ENCRYPTION_KEY_FILE", "key");
    run.assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: cannot read the key file key: No such file or directory (os error 2)
hint: check the path and who owns the file

"#]]);
}

#[test]
fn a_key_file_that_others_can_write_is_refused() {
    let home = home();
    write_key(home.path(), "planted secret\n", 0o622);
    let run = decrypting(home.path()).env("BACKUP_ENCRYPTION_KEY_FILE", "key");
    run.assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: the key file key is not taken: [..]/key can be written by others (mode 0622)
hint: chmod go-w [..]/key

"#]]);
}

#[test]
fn a_key_file_with_two_newlines_is_refused() {
    let home = home();
    write_key(home.path(), "planted secret\n\n", 0o600);
    let run = decrypting(home.path()).env("BACKUP_ENCRYPTION_KEY_FILE", "key");
    run.assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: the key in key ends with a newline
hint: remove it: taken as it is, it would be a different passphrase

"#]]);
}

#[test]
fn no_storage_is_refused_with_the_ways_to_name_one() {
    kluis(home().path())
        .arg("list")
        .assert()
        .code(2)
        .stdout_eq("")
        .stderr_eq(str![[r#"
error: no storage is configured
hint: say where the backups are: -s DIR, BACKUP_LOCAL_PATH, or path under [storage] in kluis.toml

"#]]);
}

#[test]
fn a_remote_storage_is_refused_in_this_version() {
    let home = home();
    let run = kluis(home.path())
        .env("BACKUP_STORAGE", "gdrive")
        .arg("list");
    run.assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: BACKUP_STORAGE: the storage "gdrive" is not supported in this version of kluis
hint: use a local directory: -s DIR or BACKUP_LOCAL_PATH

"#]]);
}

#[test]
fn deleting_without_a_terminal_needs_yes() {
    let home = home();
    let tree = home.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("a"), "a").unwrap();
    let backup = ["-s", "vault", "--json", "backup", "source", "tree"];
    kluis(home.path()).args(backup).assert().success();
    let run = kluis(home.path()).args(["-s", "vault", "delete", "latest"]);
    run.assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: this needs a confirmation, and there is no terminal to ask on
hint: say --yes to go on without being asked

"#]]);
}

fn key_file(home: &Path, name: &str, text: &str) -> String {
    let path = home.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The proof that `list` shows of the only backup.
fn listed_proof(home: &Path) -> serde_json::Value {
    let list = kluis(home).args(["-s", "vault", "--json", "list"]);
    let output = list.assert().success().get_output().clone();
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    listed["backups"][0]["proof"].clone()
}

#[test]
fn a_wrong_key_is_told_and_takes_no_proof_away() {
    const KEY: &str = "BACKUP_ENCRYPTION_KEY_FILE";
    for format in ["kluis1", "kanbu"] {
        let home = home();
        let right = key_file(home.path(), "right", &"ab".repeat(32));
        let wrong = key_file(home.path(), "wrong", "another one");
        fs::create_dir(home.path().join("tree")).unwrap();
        let config = format!("[encryption]\nformat = \"{format}\"\n");
        fs::write(home.path().join("k.toml"), config).unwrap();
        let vault = ["-c", "k.toml", "-s", "vault"];
        let run = |key: &str, arguments: &[&str]| {
            let kluis = kluis(home.path()).args(vault).env(KEY, key);
            kluis.args(arguments).assert()
        };
        run(&right, &["backup", "source", "tree"]).success();
        run(&right, &["verify", "latest"]).success();
        let said = run(&wrong, &["verify", "latest"]).code(4);
        let said = String::from_utf8(said.get_output().stderr.clone()).unwrap();
        assert!(
            said.contains("no configured key opens or vouches"),
            "{said}"
        );
        assert_eq!(listed_proof(home.path()), "verified");
        let said = run(&wrong, &["restore", "latest", "--to", "out"]).code(4);
        let said = String::from_utf8(said.get_output().stderr.clone()).unwrap();
        assert!(said.contains("point BACKUP_ENCRYPTION_KEY_FILE"), "{said}");
        assert!(!home.path().join("out").exists());
    }
}

#[test]
fn config_show_tells_each_value_and_its_place_and_no_secret() {
    let home = home();
    fs::write(
        home.path().join("k.toml"),
        "[storage]\npath = \"/var/backups/kluis\"\n[retention]\nkeep_daily = 14\n",
    )
    .unwrap();
    fs::write(
        home.path().join("x.env"),
        "DATABASE_URL='postgres://app:planted@db/shop'\n",
    )
    .unwrap();
    let run = kluis(home.path())
        .env("BACKUP_ENCRYPTION_KEY", "planted")
        .args(["-c", "k.toml", "--env-file", "x.env", "config", "show"]);
    let output = run.assert().success().stderr_eq("").get_output().clone();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(!shown.contains("planted"), "{shown}");
    for row in [
        ["storage.path", "/var/backups/kluis", "k.toml:2"],
        [
            "database.url",
            "postgres://app:***@db/shop",
            "DATABASE_URL in the env file x.env",
        ],
        ["encryption.key", "set", "BACKUP_ENCRYPTION_KEY"],
        ["retention.keep_daily", "14", "k.toml:4"],
        ["retention.keep_weekly", "4", "default"],
    ] {
        let line = shown.lines().find(|line| line.starts_with(row[0])).unwrap();
        let cells: Vec<_> = line
            .split("  ")
            .map(str::trim)
            .filter(|c| !c.is_empty())
            .collect();
        assert_eq!(cells, row);
    }
}

#[test]
fn config_show_as_json_is_one_document() {
    let home = home();
    let run = kluis(home.path()).args(["config", "show", "--json", "-s", "/b"]);
    let output = run.assert().success().get_output().clone();
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = shown["settings"].as_array().unwrap();
    let row = rows
        .iter()
        .find(|row| row["key"] == "storage.path")
        .unwrap();
    assert_eq!(
        (&row["value"], &row["from"]),
        (&"/b".into(), &"--storage".into())
    );
}

#[test]
fn a_password_that_others_can_read_is_warned_of() {
    let home = home();
    fs::write(
        home.path().join("k.toml"),
        "[database]\nurl = \"postgres://u:planted@h/d\"\n",
    )
    .unwrap();
    let run = kluis(home.path()).args(["-c", "k.toml", "config", "show"]);
    run.assert().success().stderr_eq(str![[r#"
warning: k.toml holds a password and can be read by others; chmod 600 k.toml

"#]]);
}

#[test]
fn without_a_terminal_nothing_is_coloured_and_color_always_colours() {
    let home = home();
    let run = |color| {
        let run = kluis(home.path()).args(["--color", color, "config", "show"]);
        run.assert().success().get_output().stdout.contains(&0x1b)
    };
    assert_eq!(["auto", "always", "never"].map(run), [false, true, false]);
}

#[test]
fn a_closed_stdout_is_quiet() {
    let home = home();
    let mut child = std::process::Command::new(snapbox::cmd::cargo_bin!("kluis"))
        .env_clear()
        .env("HOME", home.path())
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

#[test]
fn help_and_version_are_results() {
    let home = home();
    let run = kluis(home.path()).arg("--help").assert().success();
    run.stderr_eq("");
    let version = format!("kluis {}\n", env!("CARGO_PKG_VERSION"));
    kluis(home.path())
        .arg("-V")
        .assert()
        .success()
        .stdout_eq(version);
}

#[test]
fn man_writes_a_page_for_each_command() {
    let home = home();
    kluis(home.path())
        .args(["man", "a/b"])
        .assert()
        .success()
        .stdout_eq("")
        .stderr_eq("");
    assert!(home.path().join("a/b/kluis-backup-db.1").exists());
    assert!(home.path().join("a/b/kluis-archive.5").exists());
    kluis(home.path())
        .args(["man", "empty.toml/x"])
        .assert()
        .code(1)
        .stderr_eq(str![[r#"
error: cannot create empty.toml/x
  because: Not a directory (os error 20)

"#]]);
}

#[test]
fn man_puts_pages_of_other_sections_into_their_directories_beside_a_man1() {
    let home = home();
    for (asked, commands, format) in [
        ("share/man1", "share/man1", "share/man5"),
        ("slash/man1/", "slash/man1", "slash/man5"),
        ("man1", "man1", "man5"),
    ] {
        // The second time both directories are there.
        for _ in 0..2 {
            kluis(home.path()).args(["man", asked]).assert().success();
        }
        let at = |directory: &str, page: &str| home.path().join(directory).join(page);
        let written = std::fs::read_to_string(at(format, "kluis-archive.5")).unwrap();
        assert_eq!(written, include_str!("../man/kluis-archive.5"), "{asked}");
        assert!(!at(commands, "kluis-archive.5").exists(), "{asked}");
        assert!(at(commands, "kluis.1").exists(), "{asked}");
        assert!(!at(format, "kluis.1").exists(), "{asked}");
        let security = format.replace("man5", "man7");
        assert!(at(&security, "kluis-security.7").exists(), "{asked}");
    }
}

#[test]
fn a_database_whose_name_begins_with_latest_is_found_by_its_file_name() {
    let home = home();
    fs::create_dir(home.path().join("latest_app")).unwrap();
    let vault = ["-s", "vault", "--json"];
    let backup = kluis(home.path()).args(vault).args(["backup", "source"]);
    backup.arg("latest_app").assert().success();
    let show = |wanted| {
        let show = kluis(home.path()).args(vault).args(["show", wanted]);
        show.assert()
    };
    show("latest_app_source").success();
    show("latest:latest_app").success();
    show("latest:other").code(2).stderr_eq(str![[r#"
error: there is no backup of other in [..]/vault yet; `kluis backup` makes one

"#]]);
}
