//! The messages of real runs: what a run tells whom and when, and that a message
//! which fails costs the backup nothing and shows no secret.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::home::Home;
use crate::support::receivers::{Answer, Web};

const TOKEN: &str = "c4n4ry-t0ken";
const SECRET: &str = "c4n4ry-s3cret";
const SCHEDULED_FAILURE: [&str; 5] = ["backup", "source", "--trigger", "scheduled", "not-there"];

const NIGHT: &str = "[[schedule]]\nname = \"night\"\nwhat = \"source\"\ncron = \"0 3 * * *\"\n";

/// A home with two trees, `one` and `two`.
fn home(config: &str) -> Home {
    let home = Home::new().configure(config);
    fs::set_permissions(home.path("kluis.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    for tree in ["one", "two"] {
        fs::create_dir(home.path(tree)).unwrap();
        fs::write(home.path(tree).join("file"), tree).unwrap();
    }
    home
}

fn ok() -> Web {
    Web::start(&[Answer::Status(200, "")])
}

/// Its port. It turns everybody away with the first line, for good.
fn mail_server_that_refuses() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream
                .unwrap()
                .write_all(b"554 5.3.2 no mail is taken here\r\n");
        }
    });
    port
}

/// The records of messages that were not sent.
fn records(home: &Home) -> Vec<Value> {
    let report = home.json(&["history", "--command", "notify"]);
    report["runs"].as_array().unwrap().clone()
}

fn said(output: &Output) -> String {
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(!said.contains("c4n4ry"), "{said}");
    said
}

#[test]
fn a_run_tells_a_webhook_each_event_and_a_chat_all_at_once() {
    let (hook, slack, discord, teams) = (ok(), ok(), ok(), ok());
    let chat = |kind: &str, web: &Web| {
        let url = web.url(&format!("/{TOKEN}"));
        format!("[[notify.chat]]\nkind = {kind:?}\nurl = {url:?}\n")
    };
    let home = home(&format!(
        "[notify]\non_success = true\n{}{}{}{NIGHT}",
        chat("slack", &slack),
        chat("discord", &discord),
        chat("teams", &teams),
    ))
    .set("BACKUP_WEBHOOK_URL", &hook.url(&format!("/{TOKEN}")))
    .set("BACKUP_WEBHOOK_SECRET", SECRET);
    said(&home.run(&[
        "-vv",
        "backup",
        "source",
        "--schedule",
        "night",
        "one",
        "two",
    ]));
    for tree in ["one", "two"] {
        let request = hook.next();
        assert!(request.headers["x-kanbu-signature"].starts_with("sha256="));
        let payload = request.json();
        assert_eq!(payload["event"], "backup.completed");
        assert_eq!(payload["execution"]["type"], "SOURCE");
        assert_eq!(payload["execution"]["trigger"], "MANUAL");
        assert_eq!(payload["schedule"], json!({ "id": 0, "name": "night" }));
        assert_eq!(payload["kluis"]["name"], tree);
        let stored = home.json(&["show", payload["kluis"]["backup"].as_str().unwrap()]);
        let file = payload["execution"]["filename"].as_str().unwrap();
        assert!(stored.to_string().contains(file), "{file}: {stored}");
    }
    assert_eq!(hook.so_far().len(), 0);
    let text = slack.next().json();
    assert!(
        text["text"]
            .as_str()
            .unwrap()
            .contains("2 backups are done"),
        "{text}"
    );
    assert_eq!(text["blocks"][0]["type"], "header");
    let embed = discord.next().json()["embeds"][0].clone();
    assert!(
        embed["description"].as_str().unwrap().contains("two"),
        "{embed}"
    );
    let card = teams.next().json()["attachments"][0]["content"].clone();
    assert_eq!(card["type"], "AdaptiveCard");
    for chat in [slack, discord, teams] {
        assert_eq!(chat.so_far().len(), 0);
    }
    assert_eq!(records(&home), [Value::Null; 0]);
}

#[test]
fn by_default_only_a_failure_is_told() {
    let hook = ok();
    let home = home("").set("BACKUP_WEBHOOK_URL", &hook.url("/"));
    home.run(&["backup", "source", "one"]);
    assert_eq!(hook.so_far().len(), 0);
    // Who mistypes a path at a terminal sees it there.
    home.ends(2, &["backup", "source", "not-there"]);
    assert_eq!(hook.so_far().len(), 0);
    home.ends(2, &SCHEDULED_FAILURE);
    let payload = hook.next().json();
    assert_eq!(payload["event"], "backup.failed");
    assert_eq!(payload["execution"]["trigger"], "SCHEDULED");
    let error = payload["execution"]["errorMessage"].as_str().unwrap();
    assert!(error.contains("not-there"), "{error}");
}

#[test]
fn an_hourly_check_tells_the_same_thing_once_a_day() {
    let hook = ok();
    let config = |limits: &str| {
        let url = hook.url("/");
        format!("[notify.webhook]\nurl = {url:?}\n[check]\n{limits}")
    };
    let home = home(&config("max_age = \"off\"\nunverified = 0\n"));
    home.run(&["backup", "source", "one"]);
    for _ in 0..3 {
        home.ends(5, &["check"]);
    }
    let payload = hook.next().json();
    assert_eq!(payload["event"], "check.unhealthy");
    assert_eq!(payload["execution"]["status"], "FAILED");
    assert_eq!(hook.so_far().len(), 0);
    // Something else is told at once, and that it had told is no failure.
    let home = home.configure(&config("unverified = 0\nfree = 100\n"));
    home.ends(5, &["check"]);
    let payload = hook.next().json();
    let problem = payload["execution"]["errorMessage"].as_str().unwrap();
    assert!(problem.contains("free"), "{problem}");
    let checks = home.json(&["history", "--command", "check"]);
    assert_eq!(checks["totals"]["completed"], 2, "{checks}");
    assert_eq!(checks["totals"]["failed"], 0);
}

#[test]
fn a_ping_goes_out_before_the_run_and_behind_it() {
    let (word, told) = std::sync::mpsc::channel();
    let ping = Web::start(&[
        Answer::Told(Arc::new(Mutex::new(told))),
        Answer::Status(200, "OK"),
    ]);
    let other = ok();
    let url = ping.url(&format!("/{TOKEN}?create=1"));
    let elsewhere = other.url("/other");
    let home = home(&format!(
        "[[notify.ping]]\nurl = {url:?}\n[[notify.ping]]\nurl = {elsewhere:?}\nschedule = \"x\"\n\
         [[notify.ping]]\nurl = {elsewhere:?}\ncommands = [\"backup db\"]\n"
    ));
    let mut kluis = home.kluis(&["backup", "source", "one"]);
    let run = kluis
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = ping.next();
    assert_eq!(start.path, format!("/{TOKEN}/start?create=1"));
    // The start is not answered yet, and nothing has begun.
    assert!(!home.storage().exists());
    word.send(200).unwrap();
    let output = run.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let success = ping.next();
    assert_eq!(success.path, format!("/{TOKEN}?create=1"));
    assert!(
        success.text().contains("backup of one is done"),
        "{}",
        success.text()
    );
    // By hand too, though that is no event: who hears a beginning hears an end.
    for arguments in [&SCHEDULED_FAILURE[..], &["backup", "source", "not-there"]] {
        home.ends(2, arguments);
        assert_eq!(ping.next().path, format!("/{TOKEN}/start?create=1"));
        let fail = ping.next();
        assert_eq!(fail.path, format!("/{TOKEN}/fail?create=1"));
        assert!(fail.text().contains("not-there"), "{}", fail.text());
    }
    assert_eq!(other.so_far().len(), 0);
}

#[test]
fn a_ping_may_have_a_url_for_each() {
    let ping = ok();
    let home = home(&format!(
        "[[notify.ping]]\nsuccess_url = {:?}\nfail_url = {:?}\n",
        ping.url("/well"),
        ping.url("/broken?x=1"),
    ));
    home.run(&["backup", "source", "one"]);
    let request = ping.next();
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("GET", "/well")
    );
    home.ends(2, &SCHEDULED_FAILURE);
    assert_eq!(ping.next().path, "/broken?x=1");
    assert_eq!(ping.so_far().len(), 0);
}

#[test]
fn a_message_that_fails_is_a_warning_and_a_record_and_no_secret_is_in_either() {
    let page = "Cannot POST /c4n4ry-t0ken";
    let (hook, ping) = (
        Web::start(&[Answer::Status(404, page)]),
        Web::start(&[Answer::Status(404, "(not found)")]),
    );
    let home = home(&format!(
        "[notify]\non_success = true\n[[notify.ping]]\nurl = {:?}\n\
         [notify.email]\nto = [\"a@b.c\"]\nfrom = \"k@b.c\"\nhost = \"127.0.0.1\"\nport = {}\n\
         tls = \"none\"\nuser = \"u\"\npassword = \"{SECRET}\"\n",
        ping.url(&format!("/{TOKEN}")),
        mail_server_that_refuses(),
    ))
    .set("BACKUP_WEBHOOK_URL", &hook.url(&format!("/{TOKEN}")))
    .set("BACKUP_WEBHOOK_SECRET", SECRET);
    for form in [&["-vv"][..], &["-vv", "--json"]] {
        let said = said(&home.run(&[form, &["backup", "source", "one"]].concat()));
        for receiver in ["webhook", "ping", "email"] {
            let warning = format!("a message to {receiver} was not sent: ");
            assert!(said.contains(&warning), "{said}");
        }
    }
    let listed = home.json(&["list"]);
    let backups = listed["backups"].as_array().unwrap();
    assert_eq!(backups.len(), 2);
    let records = records(&home);
    // The ping's start and its end failed for the same reason; of two runs.
    assert_eq!(records.len(), 2 * 3, "{records:#?}");
    for record in &records {
        assert_eq!(record["result"], "failed");
        let about = backups
            .iter()
            .any(|backup| backup["file"] == record["backup"]);
        assert!(about, "{record}");
    }
    let told = |what: &str| {
        records
            .iter()
            .any(|it| it["error"].as_str().unwrap().contains(what))
    };
    assert!(told("webhook: it answered 404") && told("ping: it answered 404 (not found)"));
    for entry in fs::read_dir(home.storage().join("runs")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains("c4n4ry"), "{text}");
    }
    for command in [&["doctor"][..], &["config", "show"], &["notify", "test"]] {
        for form in [&["-vv"][..], &["-vv", "--json"]] {
            said(&home.kluis(&[form, command].concat()).output().unwrap());
        }
    }
}

#[test]
fn a_run_that_is_stopped_tells_it_once_and_does_not_linger() {
    let (word, told) = std::sync::mpsc::channel();
    let ping = Web::start(&[
        Answer::Told(Arc::new(Mutex::new(told))),
        Answer::Status(503, ""),
    ]);
    let hook = Web::start(&[Answer::Status(503, "")]);
    let config = format!("[[notify.ping]]\nurl = {:?}\n", ping.url("/check"));
    let home = home(&config).set("BACKUP_WEBHOOK_URL", &hook.url("/"));
    let mut kluis = home.kluis(&["backup", "source", "one"]);
    let run = kluis
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(ping.next().path, "/check/start");
    let pid = Pid::from_raw(run.id().cast_signed()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    word.send(200).unwrap();
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(143), "{output:?}");
    let payload = hook.next().json();
    let error = payload["execution"]["errorMessage"].as_str().unwrap();
    assert!(error.contains("SIGTERM"), "{error}");
    assert_eq!(ping.next().path, "/check/fail");
    // Those that are not well are otherwise tried three times.
    assert_eq!((hook.so_far().len(), ping.so_far().len()), (0, 0));
}

#[test]
fn a_secret_that_others_can_write_stops_the_message_and_not_the_backup() {
    let hook = ok();
    let home = home("[notify]\non_success = true\n[notify.webhook]\nurl_file = \"hook\"\n");
    fs::write(home.path("hook"), hook.url("/hook")).unwrap();
    fs::set_permissions(home.path("hook"), fs::Permissions::from_mode(0o622)).unwrap();
    let told = said(&home.run(&["backup", "source", "one"]));
    assert!(told.contains("can be written by others"), "{told}");
    assert_eq!(records(&home).len(), 1);
    let checks = home.kluis(&["--json", "doctor"]).output().unwrap();
    assert!(said(&checks).contains("webhook cannot be used"));
    fs::set_permissions(home.path("hook"), fs::Permissions::from_mode(0o600)).unwrap();
    home.run(&["backup", "source", "one"]);
    assert_eq!(hook.next().path, "/hook");
    assert_eq!(records(&home).len(), 1);
}

#[test]
fn a_test_message_is_tried_with_every_receiver_and_the_answers_are_told() {
    let (hook, ping) = (
        ok(),
        Web::start(&[Answer::Status(500, ""), Answer::Status(200, "OK")]),
    );
    let slack = Web::start(&[Answer::Status(403, "invalid_token")]);
    let home = home(&format!(
        "[[notify.ping]]\nurl = {:?}\n[[notify.chat]]\nkind = \"slack\"\nname = \"ops\"\nurl = {:?}\n",
        ping.url("/check"),
        slack.url("/x"),
    ))
    .set("BACKUP_WEBHOOK_URL", &hook.url("/"))
    .set("BACKUP_WEBHOOK_SECRET", SECRET);
    let output = home.ends(1, &["--json", "notify", "test"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], false);
    let row = |name: &str| {
        let rows = report["receivers"].as_array().unwrap();
        rows.iter().find(|row| row["name"] == name).unwrap().clone()
    };
    let webhook = row("webhook");
    assert_eq!(
        (&webhook["sent"], &webhook["answer"]),
        (&json!("1 call"), &json!("200"))
    );
    assert_eq!(row("ping")["sent"], "ping: log");
    assert_eq!(row("ops")["error"], "it answered 403 invalid_token");
    let request = hook.next();
    assert_eq!(request.headers["x-kanbu-test"], "true");
    assert_eq!(request.json()["event"], "backup.completed");
    assert_eq!(request.json()["execution"]["filename"], "test_backup.sql");
    assert_eq!(ping.next().path, "/check/log");
    let text = said(&home.ends(1, &["notify", "test", "--to", "ops", "--to", "webhook"]));
    assert!(text.contains("2 receivers, 1 FAILED"), "{text}");
    said(&home.run(&["notify", "test", "--to", "webhook"]));
    let unknown = said(&home.ends(2, &["notify", "test", "--to", "slack"]));
    assert!(
        unknown.contains("there are webhook, ops, ping"),
        "{unknown}"
    );
    // A test is no run: nothing is made, nothing is recorded.
    assert!(!home.storage().exists());
}

#[test]
fn a_test_without_any_receiver_says_how_to_configure_one() {
    let output = home("").ends(2, &["notify", "test"]);
    let said = said(&output);
    assert!(
        said.contains("[notify]") && said.contains("BACKUP_WEBHOOK_URL"),
        "{said}"
    );
}
