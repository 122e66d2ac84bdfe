//! Retention through the binary: policies by name, pruning behind a backup, and
//! the simulation.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

fn kluis(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kluis"));
    command.current_dir(home).env_clear().env("HOME", home);
    command.args(["-s", "vault", "-c", "kluis.toml", "--json"]);
    command.args(arguments);
    command
}

fn json(home: &Path, arguments: &[&str]) -> Value {
    let output = kluis(home, arguments).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn home(configuration: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("kluis.toml"), configuration).unwrap();
    for tree in ["app", "wiki"] {
        fs::create_dir(home.path().join(tree)).unwrap();
        fs::write(home.path().join(tree).join("file"), tree).unwrap();
    }
    home
}

fn back_up(home: &Path, tree: &str) -> Value {
    json(home, &["backup", "source", "--no-encrypt", tree])["backups"][0].clone()
}

fn count(home: &Path, name: &str) -> usize {
    let listed = json(home, &["list", "--name", name]);
    listed["backups"].as_array().unwrap().len()
}

/// As the service that kluis replaces cleaned up by itself.
#[test]
fn the_old_services_variables_prune_behind_each_backup_and_the_first_one_says_so() {
    let floor = "[retention]\nkeep_at_least = 1\n";
    let home = home(floor);
    let said = || {
        let mut backup = kluis(home.path(), &["backup", "source", "--no-encrypt", "app"]);
        for (rule, keep) in [
            ("LAST", "1"),
            ("DAILY", "0"),
            ("WEEKLY", "0"),
            ("MONTHLY", "0"),
        ] {
            backup.env(format!("BACKUP_KEEP_{rule}"), keep);
        }
        String::from_utf8(backup.output().unwrap().stderr).unwrap()
    };
    let first = said();
    assert!(first.contains("prune_after_backup = false"), "{first}");
    let second = said();
    assert!(!second.contains("prune_after_backup"), "{second}");
    assert_eq!(count(home.path(), "app"), 1);
    let off = format!("{floor}prune_after_backup = false\n");
    fs::write(home.path().join("kluis.toml"), off).unwrap();
    assert!(!said().contains("prune_after_backup"));
    assert_eq!(count(home.path(), "app"), 2);
}

const LAST_ONE: &str = "[retention]\nkeep_last = 1\nkeep_daily = 0\nkeep_weekly = 0\n\
     keep_monthly = 0\nkeep_at_least = 1\n";

#[test]
fn a_backup_prunes_the_older_ones_of_its_own_name_and_no_others() {
    let home = home(&format!("{LAST_ONE}prune_after_backup = true\n"));
    back_up(home.path(), "wiki");
    let first = back_up(home.path(), "app");
    assert_eq!(first["pruned"]["backups"], 0);
    let second = back_up(home.path(), "app");
    assert_eq!(second["pruned"]["backups"], 1);
    assert_eq!(
        (count(home.path(), "app"), count(home.path(), "wiki")),
        (1, 1)
    );
    let history = json(home.path(), &["history", "--command", "prune"]);
    assert_eq!(history["totals"]["completed"], 3);
}

#[test]
fn without_being_told_a_backup_prunes_nothing() {
    let home = home(LAST_ONE);
    let said = || {
        let mut backup = kluis(home.path(), &["backup", "source", "--no-encrypt", "app"]);
        let output = backup.output().unwrap();
        let made: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(made["backups"][0].get("pruned").is_none(), "{made}");
        String::from_utf8(output.stderr).unwrap()
    };
    // Whoever wrote rules may think that something goes by them.
    let first = said();
    assert!(first.contains("kluis.toml:2"), "{first}");
    assert!(first.contains("prune_after_backup = true"), "{first}");
    let second = said();
    assert!(!second.contains("prune_after_backup"), "{second}");
    said();
    assert_eq!(count(home.path(), "app"), 3);
    let shown = |more: &str| {
        fs::write(home.path().join("kluis.toml"), format!("{LAST_ONE}{more}")).unwrap();
        json(home.path(), &["config", "show"])
    };
    let note = &shown("")["note"];
    assert!(
        note.as_str().unwrap().contains("kluis prune removes"),
        "{note}"
    );
    for carried_out in [
        "prune_after_backup = false\n",
        "[[schedule]]\nname = \"n\"\nwhat = \"prune\"\ncron = \"1 3 * * *\"\n",
    ] {
        assert_eq!(shown(carried_out).get("note"), None, "{carried_out}");
    }
}

#[test]
fn a_backup_that_fails_prunes_nothing() {
    let home = home(&format!("{LAST_ONE}prune_after_backup = true\n"));
    // Two from before the policy.
    fs::write(home.path().join("kluis.toml"), LAST_ONE).unwrap();
    back_up(home.path(), "app");
    back_up(home.path(), "app");
    let pruning = format!("{LAST_ONE}prune_after_backup = true\n");
    fs::write(home.path().join("kluis.toml"), pruning).unwrap();
    let closed = [
        "backup",
        "db",
        "app",
        "--url",
        "postgres://x@127.0.0.1:1/app",
    ];
    kluis(home.path(), &closed).assert().failure();
    assert_eq!(count(home.path(), "app"), 2);
}

#[test]
fn a_policy_of_the_file_holds_for_its_name_only() {
    let policy = "[[retention.policy]]\nname = \"wiki\"\nkeep_last = 3\n";
    let home = home(&format!("{LAST_ONE}{policy}"));
    for _ in 0..4 {
        back_up(home.path(), "app");
        back_up(home.path(), "wiki");
    }
    kluis(home.path(), &["prune"]).assert().success();
    assert_eq!(
        (count(home.path(), "app"), count(home.path(), "wiki")),
        (1, 3)
    );
}

#[test]
fn a_simulation_of_two_years_says_what_would_lie_there_and_removes_nothing() {
    let home = home("");
    back_up(home.path(), "app");
    back_up(home.path(), "app");
    let simulated = json(home.path(), &["prune", "--simulate", "2y"]);
    let nights = simulated["nights"].as_u64().unwrap();
    assert!((730..=731).contains(&nights), "{nights}");
    // 7 daily, 4 weekly and 12 monthly ones share some.
    let left = simulated["backups"].as_array().unwrap().len();
    assert!((18..=23).contains(&left), "{left}");
    let points = simulated["points"].as_array().unwrap();
    assert_eq!(points.last().unwrap()["backups"], left);
    assert_eq!(count(home.path(), "app"), 2);
}

/// The first daily rule that each name's reasons tell: `1/14`.
fn daily(report: &Value) -> Vec<(String, String)> {
    let rows = report["backups"].as_array().unwrap().iter();
    let rule = |row: &Value| {
        let reasons = row["reasons"].to_string();
        let (_, behind) = reasons.split_once("(daily ")?;
        let (rule, _) = behind.split_once(')')?;
        Some((row["name"].as_str()?.to_owned(), rule.to_owned()))
    };
    rows.filter_map(rule).collect()
}

#[test]
fn a_preview_is_of_what_a_schedule_is_about_by_the_rules_that_hold_for_it() {
    let home = home(
        "[[schedule]]\nname = \"nightly\"\nwhat = \"source\"\ncron = \"17 3 * * *\"\n\
         paths = [\"app\"]\nkeep_daily = 14\n\
         [[schedule]]\nname = \"cleanup\"\nwhat = \"prune\"\ncron = \"17 4 * * *\"\n\
         args = [\"--keep-daily=3\", \"--name=wiki\"]\n",
    );
    for tree in ["app", "wiki"] {
        back_up(home.path(), tree);
    }
    let preview = |how: &[&str]| json(home.path(), &[&["prune"], how].concat());
    let of = |name: &str, rule: &str| (name.to_owned(), rule.to_owned());
    for (how, expected) in [
        (
            &["--dry-run"][..],
            vec![of("app", "1/14"), of("wiki", "1/7")],
        ),
        (
            &["--dry-run", "--schedule=nightly"],
            vec![of("app", "1/14")],
        ),
        (
            &["--dry-run", "--schedule=cleanup"],
            vec![of("wiki", "1/3")],
        ),
        (&["--schedule=cleanup"], vec![of("wiki", "1/3")]),
    ] {
        assert_eq!(daily(&preview(how)), expected, "{how:?}");
    }
    let nights = preview(&["--simulate=20d", "--schedule=nightly"]);
    let left = nights["backups"].as_array().unwrap();
    assert!(left.iter().all(|row| row["name"] == "app"), "{nights}");
    // It is a backup's: to remove by it is not said in this way.
    let refused = kluis(home.path(), &["prune", "--schedule=nightly"]);
    let refused = { refused }.output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("--dry-run"), "{said}");
}
