//! The operator's own programs around a run: when they are run, what they are
//! told, and what it means when one fails. And the trace that a run leaves which
//! came to nothing.

use std::fs;

use crate::support::home::{Home, text};
use crate::support::programs;

/// Hooks that write down when they were called and what they were told.
fn noting(home: &Home, moments: &[&str]) -> String {
    let mut config = String::from("[hooks]\n");
    for moment in moments {
        let noted = home.path(moment);
        let script = format!(
            "env | grep ^KLUIS_ | grep -v ^KLUIS_CONFIG > {noted}; echo {moment} >> {order}",
            noted = noted.display(),
            order = home.path("order").display(),
        );
        config += &format!("{moment} = [[\"/bin/sh\", \"-c\", {script:?}]]\n");
    }
    config
}

fn order(home: &Home) -> Vec<String> {
    let text = fs::read_to_string(home.path("order")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn told(home: &Home, moment: &str, name: &str) -> String {
    let noted = fs::read_to_string(home.path(moment)).unwrap();
    let line = noted
        .lines()
        .find_map(|line| line.strip_prefix(&format!("KLUIS_{name}=")));
    line.unwrap_or_else(|| panic!("{name} in {noted}"))
        .to_owned()
}

fn with_tree() -> Home {
    let home = Home::new();
    fs::create_dir(home.path("app")).unwrap();
    fs::write(home.path("app/file"), "content").unwrap();
    home
}

const ALL: [&str; 4] = ["before", "after", "failed", "finally"];

#[test]
fn hooks_stand_around_a_backup_and_know_what_came_of_it() {
    let home = with_tree();
    let config = noting(&home, &ALL);
    let home = home.configure(&config);
    let made = home.json(&["backup", "source", "app", "--trigger", "scheduled"]);
    let file = made["backups"][0]["file"].as_str().unwrap();
    assert_eq!(order(&home), ["before", "after", "finally"]);
    assert_eq!(told(&home, "before", "COMMAND"), "backup source");
    assert_eq!(told(&home, "before", "TRIGGER"), "SCHEDULED");
    assert_eq!(told(&home, "before", "HOOK"), "before");
    assert_eq!(told(&home, "before", "STORAGE"), text(&home.storage()));
    assert_eq!(told(&home, "after", "RESULT"), "completed");
    assert_eq!(told(&home, "after", "EXIT_CODE"), "0");
    assert_eq!(told(&home, "after", "BACKUPS"), file);
    assert_eq!(told(&home, "finally", "HOOK"), "finally");
}

#[test]
fn a_failing_before_stops_the_run_and_the_others_know_why() {
    let home = with_tree();
    let config = noting(&home, &["after", "failed", "finally"]);
    let before = "before = [[\"/bin/sh\", \"-c\", \"echo cannot freeze >&2; exit 9\"]]\n";
    let home = home.configure(&(config + before));
    home.ends(
        0,
        &[
            "backup",
            "source",
            "app",
            "--no-encrypt",
            "--quiet",
            "-c",
            "/dev/null",
        ],
    );
    let output = home.ends(1, &["backup", "source", "app"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("the run was not begun"), "{said}");
    assert!(said.contains("cannot freeze"), "{said}");
    assert_eq!(order(&home), ["failed", "finally"]);
    assert_eq!(told(&home, "failed", "RESULT"), "failed");
    assert_eq!(told(&home, "failed", "EXIT_CODE"), "1");
    assert!(told(&home, "failed", "ERROR").contains("cannot freeze"));
    let backups = home.json(&["list"]);
    assert_eq!(backups["backups"].as_array().unwrap().len(), 1);
    // What was tried stands in the history.
    let history = home.json(&["history", "--result", "failed"]);
    let runs = history["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 1, "{history}");
    assert!(runs[0]["error"].as_str().unwrap().contains("cannot freeze"));
}

#[test]
fn a_failing_after_leaves_the_backup_and_is_exit_code_3() {
    let home = with_tree();
    let config = "[hooks]\nafter = [[\"/bin/false\"]]\n";
    let home = home.configure(config);
    let output = home.ends(3, &["backup", "source", "app"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("the hook `after`: `false` failed"), "{said}");
    home.run(&["verify", "latest"]);
    // Nobody may have been there to read that.
    let history = home.json(&["history", "--result", "failed"]);
    assert_eq!(history["runs"][0]["command"], "hook after", "{history}");
    let backup = history["runs"][0]["backup"].as_str().unwrap();
    assert!(backup.starts_with("app_source_"), "{backup}");
}

#[test]
fn a_run_that_fails_calls_failed_and_not_after() {
    let home = with_tree();
    let config = noting(&home, &ALL);
    let home = home.configure(&config);
    home.ends(
        2,
        &["backup", "source", "nowhere", "--trigger", "scheduled"],
    );
    assert_eq!(order(&home), ["before", "failed", "finally"]);
    assert_eq!(told(&home, "failed", "EXIT_CODE"), "2");
}

#[test]
fn hooks_are_for_backups_unless_more_is_said() {
    let home = with_tree();
    let config = noting(&home, &["before"]);
    let home = home.configure(&config);
    home.run(&["backup", "source", "app"]);
    home.run(&["verify", "latest"]);
    assert_eq!(order(&home), ["before"]);
    let home = home.configure(&(config + "commands = [\"verify\"]\n"));
    home.run(&["verify", "latest"]);
    assert_eq!(told(&home, "before", "COMMAND"), "verify");
    let home = home.configure("[hooks]\ncommands = [\"dance\"]\n");
    let output = home.ends(2, &["list"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("kluis.toml:2") && said.contains("dance"),
        "{said}"
    );
}

#[test]
fn a_hook_that_hangs_is_killed_and_gets_no_secret() {
    let home = with_tree();
    let noted = home.path("noted");
    let script = format!("env > {}; sleep 600", noted.display());
    let config = format!("[hooks]\nlimit = \"1s\"\nbefore = [[\"/bin/sh\", \"-c\", {script:?}]]\n");
    let home = home.configure(&config).set("BACKUP_WEBHOOK_SECRET", "hush");
    let output = home.ends(1, &["backup", "source", "app"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("did not end within 1s"), "{said}");
    assert!(!fs::read_to_string(noted).unwrap().contains("hush"));
}

#[test]
fn a_server_that_does_not_answer_leaves_a_record_of_the_night() {
    let home = with_tree();
    home.run(&["backup", "source", "app"]);
    let home = home.set("DATABASE_URL", "postgres://u@127.0.0.1:1/shop");
    home.ends(
        1,
        &["backup", "db", "--mode", "direct", "--trigger", "scheduled"],
    );
    let history = home.json(&["history", "--result", "failed"]);
    let run = &history["runs"][0];
    assert_eq!(run["command"], "backup db", "{history}");
    assert_eq!(run["trigger"], "SCHEDULED");
    assert!(
        run["error"].as_str().unwrap().contains("127.0.0.1"),
        "{run}"
    );
}

#[test]
fn a_scheduled_run_that_finds_nothing_to_do_leaves_a_record() {
    let schedule = |what: &str| {
        format!("[[schedule]]\nname = {what:?}\nwhat = {what:?}\ncron = \"0 5 * * *\"\n")
    };
    let home = with_tree().configure(&(schedule("verify") + &schedule("check")));
    home.run(&["backup", "source", "app"]);
    home.run(&["verify", "latest"]);
    let records = |command: &str| {
        let history = home.json(&["history", "--command", command]);
        history["totals"]["completed"].as_u64().unwrap()
    };
    assert_eq!((records("verify"), records("check")), (1, 0));
    for arguments in [&["verify", "--pending"][..], &["check"]] {
        // By hand it is nobody's business; a schedule would call it missed.
        home.run(arguments);
        home.run(&[arguments, &["--schedule", arguments[0]]].concat());
    }
    assert_eq!((records("verify"), records("check")), (2, 1));
}

#[test]
fn runs_with_hooks_take_turns_and_who_gets_none_thaws_nothing() {
    let home = with_tree();
    let config = noting(&home, &["after", "failed", "finally"]);
    let [begun, go] = ["begun", "go"].map(|name| home.path(name));
    let script = format!(
        "echo before >> {order}; touch {begun}; while [ ! -e {go} ]; do sleep 0.01; done",
        order = home.path("order").display(),
        begun = begun.display(),
        go = go.display(),
    );
    let before = format!("before = [[\"/bin/sh\", \"-c\", {script:?}]]\n");
    home.run(&["backup", "source", "app"]);
    let home = home.configure(&(config + &before));
    let mut first = home.kluis(&["-q", "backup", "source", "app"]);
    let mut first = first.stdout(std::process::Stdio::null()).spawn().unwrap();
    while !begun.exists() {
        assert!(first.try_wait().unwrap().is_none(), "it ended by itself");
    }
    let output = home.ends(6, &["backup", "source", "app"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("held by kluis backup source (pid"), "{said}");
    assert_eq!(order(&home), ["before"]);
    fs::write(go, "").unwrap();
    assert!(first.wait().unwrap().success());
    assert_eq!(order(&home), ["before", "after", "finally"]);
    home.run(&["backup", "source", "app"]);
}

#[test]
fn a_run_that_is_stopped_before_it_comes_to_work_leaves_a_record() {
    let home = with_tree();
    home.run(&["backup", "source", "app"]);
    // Its parent is kluis: the hook asks it to stop.
    let config = "[hooks]\nbefore = [[\"/bin/sh\", \"-c\", \"kill -TERM $PPID\"]]\n";
    let home = home.configure(config);
    home.ends(143, &["backup", "source", "app"]);
    let history = home.json(&["history", "--command", "backup", "--result", "failed"]);
    assert_eq!(history["totals"]["runs"], 1, "{history}");
    let error = history["runs"][0]["error"].as_str().unwrap();
    assert!(error.contains("SIGTERM"), "{error}");
}

#[test]
fn a_hook_that_fails_is_told_what_its_environment_lacks() {
    let home = with_tree().configure("[hooks]\nbefore = [[\"/bin/false\"]]\n");
    let output = home.ends(1, &["backup", "source", "app"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("pass_env under [hooks]"), "{said}");
    let home = home.configure("[hooks]\nfinally = [[\"/bin/false\"]]\n");
    let output = home.ends(3, &["backup", "source", "app"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("pass_env under [hooks]"), "{said}");
}

#[test]
fn a_pattern_of_variables_is_refused_and_the_list_named() {
    for config in [
        "[hooks]\npass_env = [\"AWS_*\"]\n",
        "[encryption]\nkey_command_env = [\"AWS_*\"]\n",
    ] {
        let home = with_tree().configure(config);
        let output = home.ends(2, &["backup", "source", "app"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("\"AWS_*\" is a pattern"), "{said}");
        assert!(said.contains("[\"AWS_ACCESS_KEY_ID\", "), "{said}");
    }
}

/// Somebody who can write to the storage has runs take no turns, and one thaws what
/// another has frozen.
#[test]
fn what_is_no_lock_of_the_hooks_stops_the_run() {
    let home = with_tree();
    let config = noting(&home, &["before"]);
    let home = home.configure(&config);
    home.run(&["backup", "source", "app"]);
    let lock = home.storage().join(".kluis-hooks.lock");
    let other = home.path("other");
    fs::write(&other, "").unwrap();
    for (kind, word) in [
        ("mkfifo \"$1\"", "not a regular file"),
        ("ln -s \"$2\" \"$1\"", "not a regular file"),
        ("ln \"$2\" \"$1\"", "hard links"),
    ] {
        let _ = fs::remove_file(&lock);
        let mut made = std::process::Command::new("sh");
        made.args(["-c", kind, "sh"]).arg(&lock).arg(&other);
        assert!(made.status().unwrap().success());
        let output = home.ends(1, &["backup", "source", "app"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(word), "{kind}: {said}");
        assert_eq!(order(&home), ["before"], "{kind}");
    }
}

/// A terminal that `script` makes, which has no use for this one's answers.
#[test]
fn what_is_started_has_no_terminal_to_ask_on() {
    if !programs::are_here(&["script"]) {
        return;
    }
    let home = with_tree();
    let order = home.path("order");
    let ask = format!(
        "if (: </dev/tty); then echo asks; else echo cannot; fi >{}",
        text(&order)
    );
    let home = home.configure(&format!(
        "[hooks]\nbefore = [[\"/bin/sh\", \"-c\", {ask:?}]]\n"
    ));
    let line = format!("{} backup source app", env!("CARGO_BIN_EXE_kluis"));
    let of_kluis = home.kluis(&[]);
    let mut script = std::process::Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).env_clear();
    script.envs(
        of_kluis
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    script.current_dir(of_kluis.get_current_dir().unwrap());
    let output = script.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read_to_string(order).unwrap(), "cannot\n");
}
