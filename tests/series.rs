//! Which backups belong together: two hosts, two roots, two servers and a part
//! never take each other's place.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::home::{Home, text};
use crate::support::rules::KEEP_LAST_1;

fn home() -> Home {
    Home::new().configure("[retention]\nkeep_at_least = 1\n")
}

fn tree(home: &Home, path: &str) -> String {
    let root = home.path(path);
    fs::create_dir_all(&root).unwrap();
    fs::write(root.join("file"), path).unwrap();
    text(&root).to_owned()
}

fn backup(home: &Home, host: &str, root: &str) {
    home.run(&["backup", "source", root, "--host", host]);
}

/// How many backups each series has.
fn series(home: &Home) -> BTreeMap<String, usize> {
    let listed = home.json(&["list"]);
    let rows = listed["backups"].as_array().unwrap();
    rows.iter().fold(BTreeMap::new(), |mut series, row| {
        *series.entry(word(&row["series"])).or_default() += 1;
        series
    })
}

fn word(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn two_hosts_with_trees_of_one_path_prune_nothing_of_each_other() {
    let home = home();
    let app = tree(&home, "app");
    for host in ["alpha", "alpha", "beta", "beta"] {
        backup(&home, host, &app);
    }
    home.run(&KEEP_LAST_1);
    let left = series(&home);
    let of = |host: &str| left.get(&format!("{host}:{app}")).copied();
    assert_eq!((of("alpha"), of("beta")), (Some(1), Some(1)), "{left:?}");
}

#[test]
fn two_roots_of_one_name_are_two_series() {
    let home = home();
    for path in ["x/app", "y/app", "x/app", "y/app"] {
        let root = tree(&home, path);
        backup(&home, "alpha", &root);
    }
    home.run(&KEEP_LAST_1);
    assert_eq!(series(&home).len(), 2);
}

#[test]
fn a_link_to_another_release_each_time_is_one_series() {
    let home = home();
    let link = home.path("current");
    for release in ["releases/1", "releases/2"] {
        let root = tree(&home, release);
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(&root, &link).unwrap();
        backup(&home, "alpha", text(&link));
    }
    let all = series(&home);
    let expected = BTreeMap::from([(format!("alpha:{}", text(&link)), 2)]);
    assert_eq!(all, expected);
    let shown = home.json(&["show", "latest:current"]);
    let root = &shown["manifest"]["source"]["root"];
    assert_eq!(Path::new(root.as_str().unwrap()), home.path("releases/2"));
}

/// Rewrites the manifests of one host as if they had been made in that year.
fn made_in(home: &Home, host: &str, year: &str) {
    for entry in fs::read_dir(home.storage()).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap_or_default();
        if text.contains(&format!("\"label\":\"{host}\"")) {
            let at = text.find("\"created_at\":\"").unwrap() + 14;
            fs::write(&path, format!("{}{year}{}", &text[..at], &text[at + 4..])).unwrap();
        }
    }
}

#[test]
fn an_old_series_is_not_hidden_by_a_new_one_of_its_name() {
    let home = Home::keyless();
    let app = tree(&home, "app");
    backup(&home, "alpha", &app);
    backup(&home, "beta", &app);
    made_in(&home, "alpha", "2020");
    let checked = home.ends(5, &["--json", "check"]);
    let checked: Value = serde_json::from_slice(&checked.stdout).unwrap();
    let of = |subject: &str| {
        let findings = checked["findings"].as_array().unwrap().iter();
        let mut ages = findings.filter(|it| it["check"] == "age" && it["subject"] == subject);
        ages.next()
            .map(|it| (word(&it["level"]), word(&it["series"])))
    };
    let level = |word: &str, host: &str| Some((word.to_owned(), format!("{host}:{app}")));
    assert_eq!(of("alpha/app"), level("critical", "alpha"));
    assert_eq!(of("beta/app"), level("ok", "beta"));
    let status = home.json(&["status"]);
    assert_eq!(status["names"].as_array().unwrap().len(), 2);
}

#[test]
fn no_metric_and_no_performance_label_stands_twice() {
    let home = Home::new();
    let app = tree(&home, "app");
    for host in ["alpha", "beta"] {
        backup(&home, host, &app);
    }
    let metrics = home.path("metrics");
    // A disk that is nearly full makes it unhealthy.
    home.kluis(&["check", "--prometheus", text(&metrics)])
        .output()
        .unwrap();
    let metrics = fs::read_to_string(metrics).unwrap();
    let samples: Vec<&str> = metrics.lines().filter(|it| !it.starts_with('#')).collect();
    let mut names: Vec<&str> = samples
        .iter()
        .map(|it| it.rsplit_once(' ').unwrap().0)
        .collect();
    names.sort_unstable();
    let number = names.len();
    names.dedup();
    assert_eq!(names.len(), number, "{metrics}");
    let storage = format!("storage=\"{}\"", text(&home.storage()));
    assert!(samples.iter().all(|it| it.contains(&storage)), "{metrics}");
    let plugin = home.kluis(&["check", "--nagios"]).output().unwrap();
    let plugin = String::from_utf8(plugin.stdout).unwrap();
    for label in ["'age alpha/app'=", "'age beta/app'="] {
        assert_eq!(plugin.matches(label).count(), 1, "{plugin}");
    }
}

fn refused(home: &Home, arguments: &[&str]) -> String {
    String::from_utf8(home.ends(2, arguments).stderr).unwrap()
}

#[test]
fn a_name_that_two_series_have_is_no_latest() {
    let home = Home::new();
    let (x, y) = (tree(&home, "x/app"), tree(&home, "y/app"));
    for (host, root) in [("alpha", &x), ("alpha", &y), ("beta", &x)] {
        backup(&home, host, root);
    }
    let to = home.path("out");
    let restore = |of: &str| vec!["restore".to_owned(), of.to_owned(), "--to".to_owned()];
    let said = restore("latest:app");
    let said: Vec<&str> = said.iter().map(String::as_str).chain([text(&to)]).collect();
    let said = refused(&home, &said);
    for one in [
        format!("latest:alpha:{x}"),
        "latest:beta/app".to_owned(),
        format!("latest:{y}"),
    ] {
        assert!(said.contains(&one), "{one}: {said}");
    }
    let series = |of: &str| word(&home.json(&["show", of])["series"]);
    assert_eq!(series("latest:beta/app"), format!("beta:{x}"));
    assert_eq!(series(&format!("latest:{y}")), format!("alpha:{y}"));
    assert_eq!(series("latest"), format!("beta:{x}"));
}

#[test]
fn a_tree_called_like_a_kind_makes_the_word_ambiguous() {
    let home = Home::new();
    let (db, app) = (tree(&home, "db"), tree(&home, "app"));
    backup(&home, "alpha", &db);
    backup(&home, "alpha", &app);
    let said = refused(&home, &["show", "latest:db"]);
    assert!(said.contains("latest:alpha/db"), "{said}");
    let shown = home.json(&["show", "latest:source/db"]);
    assert_eq!(shown["manifest"]["name"], "db");
    assert_eq!(
        home.json(&["show", "latest:source"])["manifest"]["name"],
        "app"
    );
}

#[test]
fn what_is_dated_in_the_future_is_no_latest_unless_named() {
    let home = Home::keyless();
    let app = tree(&home, "app");
    backup(&home, "alpha", &app);
    made_in(&home, "alpha", "2120");
    let alone = refused(&home, &["show", "latest"]);
    assert!(alone.contains("dated in the future"), "{alone}");
    backup(&home, "alpha", &app);
    let output = home.run(&["--json", "show", "latest:app"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("passed over"), "{said}");
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!word(&shown["manifest"]["created_at"]).starts_with("2120"));
    let ahead = home.json(&["list"])["backups"][0]["id"].clone();
    let named = home.json(&["show", &word(&ahead)]);
    assert!(word(&named["manifest"]["created_at"]).starts_with("2120"));
}

/// The exit code and the JSON document of a run.
fn ended(home: &Home, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = home
        .kluis(&[&["--json"], arguments].concat())
        .output()
        .unwrap();
    let document = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), document)
}

#[test]
fn a_tree_that_lost_its_files_is_incomplete_unless_that_is_right() {
    let home = home();
    let app = tree(&home, "app");
    let empty = tree(&home, "empty");
    fs::remove_file(format!("{empty}/file")).unwrap();
    home.run(&["backup", "source", &empty]);
    home.run(&["backup", "source", &app]);
    let whole = word(&home.json(&["list"])["backups"][0]["id"]);
    fs::remove_file(format!("{app}/file")).unwrap();
    for _ in 0..2 {
        let (code, made) = ended(&home, &["backup", "source", &app]);
        assert_eq!(code, Some(3), "{made}");
    }
    let listed = home.json(&["list"]);
    assert_eq!(listed["backups"][0]["complete"], false);
    let shown = home.json(&["show", "latest:app"]);
    assert_eq!(shown["complete"], false);
    let (code, checked) = ended(&home, &["check"]);
    let findings = checked["findings"].as_array().unwrap();
    let lacking = findings
        .iter()
        .find(|it| it["check"] == "complete" && it["level"] != "ok");
    assert_eq!(
        (code, &lacking.unwrap()["subject"]),
        (Some(5), &Value::from("app"))
    );
    let history = home.json(&["history"]);
    let runs = history["runs"].as_array().unwrap().iter();
    assert_eq!(runs.filter(|run| run["result"] == "incomplete").count(), 2);
    // The complete one is the only one of its kind, whatever is newer.
    home.run(&KEEP_LAST_1);
    home.run(&["show", &whole]);
    home.run(&["backup", "source", &app, "--allow-empty"]);
    assert_eq!(home.json(&["list"])["backups"][0]["complete"], true);
    home.run(&["backup", "source", &app]);
}

#[test]
fn a_schedules_keep_rules_hold_for_every_prune_of_what_it_backs_up() {
    let home = Home::new();
    let (app, logs) = (tree(&home, "app"), tree(&home, "logs"));
    let home = home.configure(&format!(
        "[retention]\nkeep_last = 1\nkeep_daily = 0\nkeep_weekly = 0\nkeep_monthly = 0\n\
         keep_at_least = 1\n[[schedule]]\nname = \"trees\"\nwhat = \"source\"\n\
         cron = \"0 4 * * *\"\npaths = [\"{app}\"]\nkeep_last = 3\n"
    ));
    for root in [&app, &logs].repeat(4) {
        backup(&home, "alpha", root);
    }
    let number = |of: &str| {
        let all = series(&home);
        all.get(&format!("alpha:{of}")).copied().unwrap_or_default()
    };
    let preview = home.json(&["prune", "--dry-run"]);
    let kept = preview["backups"].as_array().unwrap().iter();
    assert_eq!(kept.filter(|row| row["keep"] == true).count(), 4);
    home.run(&["prune"]);
    assert_eq!((number(&app), number(&logs)), (3, 1));
}
