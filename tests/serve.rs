//! `kluis serve` as a process: missed runs, signals, the service manager, and the
//! trigger, with real backups. Nothing here waits for a minute to come: what was
//! missed begins at once.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support;
use crate::support::house::{House, names};

const KEY: &str = "correct-horse-battery";
const TREES: &str = "[source]\npaths = [\"tree\"]\n\
    [[schedule]]\nname = \"trees\"\nwhat = \"source\"\ncron = \"17 3 * * *\"\n";

/// A house with a small tree and a configuration that was written days ago.
fn house(config: &str) -> House {
    let house = House::new();
    fs::create_dir(house.path("tree")).unwrap();
    fs::write(house.path("tree/file"), "content").unwrap();
    configure(&house, config);
    house
}

fn configure(house: &House, config: &str) {
    let path = house.path("kluis.toml");
    fs::write(&path, config).unwrap();
    let days_ago = SystemTime::now() - Duration::from_secs(3 * 86_400);
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(days_ago).unwrap();
}

/// A running `kluis serve`; killed when dropped.
struct Serve {
    child: Child,
    stderr: BufReader<ChildStderr>,
    said: String,
}

impl Serve {
    fn start(house: &House) -> Self {
        Self::start_with(house.kluis().arg("serve"))
    }

    /// With the trigger on a port that is free.
    fn listening(house: &House, mode: &str) -> (Self, String) {
        let mut serve = Self::start_with(&mut triggered(house, mode));
        let line = serve.says("listening on http://");
        let address = line.rsplit("http://").next().unwrap().trim().to_owned();
        (serve, address)
    }

    fn start_with(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self {
            child,
            stderr,
            said: String::new(),
        }
    }

    /// Reads on until a line with `text` comes, and gives it.
    fn says(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            let n = self.stderr.read_line(&mut line).unwrap();
            assert!(n > 0, "it ended without {text:?}: {}", self.said);
            self.said.push_str(&line);
            if line.contains(text) {
                return line;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Its exit code, and all that it said.
    fn ended(mut self) -> (Option<i32>, String) {
        self.stderr.read_to_string(&mut self.said).unwrap();
        let code = self.child.wait().unwrap().code();
        (code, std::mem::take(&mut self.said))
    }

    fn stop(self) -> String {
        self.signal(Signal::TERM);
        let (code, said) = self.ended();
        assert_eq!(code, Some(143), "{said}");
        said
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a condition; the bound only turns a hang into a failure.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let patience = Instant::now();
    while !holds() {
        assert!(patience.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::yield_now();
    }
}

/// A tree that takes a while: large enough to be met half-way.
fn large_tree(house: &House) {
    let mut state = 1_u64;
    let piece: Vec<u8> = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    })
    .take(1 << 20)
    .collect();
    let mut file = fs::File::create(house.path("tree/large")).unwrap();
    (0..48).for_each(|_| file.write_all(&piece).unwrap());
}

fn temporary(house: &House) -> bool {
    let names = names(&house.storage());
    names.iter().any(|name| name.starts_with(".kluis-tmp"))
}

/// The status and the body.
fn ask(address: &str, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

fn trigger(address: &str, kind: &str, key: &str) -> (u16, Value) {
    let body = format!("{{\"type\":\"{kind}\"}}");
    let length = body.len();
    let request = format!(
        "POST /api/backup/trigger HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         X-Backup-Key: {key}\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let (status, body) = ask(address, &request);
    (status, serde_json::from_str(&body).unwrap())
}

/// The trigger's house listens where there is room.
fn external(config: &str) -> House {
    house(&format!("{config}[serve]\nlisten = \"127.0.0.1:0\"\n"))
}

/// The records of backups: a scheduled one prunes behind it, which is a run too.
fn backups(house: &House) -> Vec<Value> {
    let records = house.records().into_iter().map(|(_, record)| record);
    let is_backup = |it: &Value| it["command"].as_str().unwrap().starts_with("backup");
    records.filter(is_backup).collect()
}

#[test]
fn a_missed_run_is_made_up_for_once() {
    let house = house(TREES);
    let mut serve = Serve::start(&house);
    serve.says("trees: started, missed at ");
    serve.says("trees: done in ");
    serve.says("next is trees at ");
    serve.stop();
    assert_eq!(house.listed().len(), 1);
    let [record] = &backups(&house)[..] else {
        panic!("one run");
    };
    assert_eq!(record["schedule"], "trees");
    assert_eq!(record["trigger"], "SCHEDULED");
    assert_eq!(record["status"], "COMPLETED");
    // The records tell the next one that it has been.
    let mut again = Serve::start(&house);
    again.says("next is trees at ");
    let said = again.stop();
    assert!(!said.contains("started"), "{said}");
    assert_eq!(house.listed().len(), 1);
}

#[test]
fn a_missed_run_that_is_not_to_be_made_up_for_is_not() {
    let house = house(&format!("{TREES}catch_up = false\n"));
    let mut serve = Serve::start(&house);
    serve.says("next is trees at ");
    let said = serve.stop();
    assert!(!said.contains("started"), "{said}");
}

#[test]
fn two_that_are_due_run_one_after_the_other() {
    let second = "[[schedule]]\nname = \"more\"\nwhat = \"source\"\ncron = \"17 3 * * *\"\n\
                  [[schedule]]\nname = \"off\"\nwhat = \"source\"\ncron = \"17 3 * * *\"\n\
                  enabled = false\n";
    let house = house(&format!("{TREES}{second}"));
    let mut serve = Serve::start(&house);
    serve.says("trees: started");
    serve.says("trees: done");
    serve.says("more: started");
    serve.says("more: done");
    let said = serve.stop();
    assert!(!said.contains("off:"), "{said}");
    let times = |record: &Value, key: &str| record[key].as_str().unwrap().to_owned();
    let mut runs: Vec<(String, String)> = backups(&house)
        .iter()
        .map(|record| (times(record, "started"), times(record, "completed")))
        .collect();
    runs.sort();
    assert_eq!(runs.len(), 2);
    assert!(runs[0].1 <= runs[1].0, "{runs:?}");
}

#[test]
fn a_run_that_fails_is_told_and_the_next_one_comes_all_the_same() {
    let text = TREES.replace("\"tree\"", "\"nowhere\"");
    let second = "[[schedule]]\nname = \"look\"\nwhat = \"check\"\ncron = \"0 4 * * *\"\n";
    let house = house(&format!("{text}{second}"));
    let mut serve = Serve::start(&house);
    // The run's own words come first.
    serve.says("nowhere");
    serve.says("trees: FAILED (exit code 2)");
    serve.says("look: ");
    serve.says("next is ");
    serve.stop();
}

#[test]
fn sigterm_stops_the_run_in_order() {
    let house = house(TREES);
    large_tree(&house);
    for (signal, code, why) in [
        (Signal::TERM, 143, "interrupted by SIGTERM"),
        (Signal::INT, 130, "interrupted by SIGTERM"),
    ] {
        let runs = house.records().len();
        let serve = Serve::start(&house);
        wait_until("no run began", || temporary(&house));
        serve.signal(signal);
        let (ended, said) = serve.ended();
        assert_eq!(ended, Some(code), "{said}");
        assert!(said.contains("trees: is told to stop"), "{said}");
        assert!(said.contains("trees: FAILED (exit code 143)"), "{said}");
        assert_eq!(house.leftovers(), [""; 0]);
        assert_eq!(house.listed(), [""; 0]);
        let records = house.records();
        assert_eq!(records.len(), runs + 1);
        let told = records.iter().all(|(_, record)| record["error"] == why);
        assert!(told, "{records:?}");
    }
    // A run that was cut off is none: each serve began it again, and this one ends it.
    let mut serve = Serve::start(&house);
    serve.says("trees: started, missed at ");
    serve.says("trees: done in ");
    serve.stop();
    assert_eq!(house.listed().len(), 1);
    let mut last = Serve::start(&house);
    last.says("next is trees at ");
    let said = last.stop();
    assert!(!said.contains("started"), "{said}");
}

#[test]
fn a_serve_that_is_killed_takes_its_run_along() {
    let house = house(TREES);
    large_tree(&house);
    let mut serve = Serve::start(&house);
    // Before it has its record, a run that is killed may still be about to write one;
    // and the next serve begins nothing that runs already.
    let is = |status: &str| {
        let records = house.records();
        let is = |(_, record): &(String, Value)| record["status"] == status;
        !records.is_empty() && records.iter().all(is)
    };
    wait_until("no run began", || is("RUNNING"));
    serve.child.kill().unwrap();
    wait_until("the run went on", || is("FAILED"));
    wait_until("something is left", || house.leftovers().is_empty());
    assert_eq!(house.listed(), [""; 0]);
    // Its run was cut off, so the next one makes up for it.
    let mut next = Serve::start(&house);
    next.says("trees: started, missed at ");
    next.says("trees: done in ");
    next.stop();
    assert_eq!(house.listed().len(), 1);
}

#[test]
fn a_second_serve_on_a_storage_is_refused_with_who_holds_it() {
    let house = house(&format!("{TREES}catch_up = false\n"));
    house.run(&["backup", "source", "tree"]);
    let mut first = Serve::start(&house);
    first.says("next is trees at ");
    let (code, said) = Serve::start(&house).ended();
    assert_eq!(code, Some(6), "{said}");
    let holder = format!("kluis serve (pid {} on ", first.child.id());
    assert!(said.contains(&holder), "{said}");
    first.stop();
    let mut next = Serve::start(&house);
    next.says("next is trees at ");
    next.stop();
    assert_eq!(house.listed().len(), 1);
}

#[test]
fn a_run_that_a_broken_configuration_keeps_from_beginning_is_recorded_and_told() {
    let heard = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = heard.local_addr().unwrap();
    let slow = "[[schedule]]\nname = \"second\"\nwhat = \"source\"\ncron = \"17 3 * * *\"\n";
    let webhook = format!(
        "[notify.webhook]\nurl = \"http://{address}/\"\n\
                           events = [\"backup.failed\"]\n"
    );
    let house = house(&format!("{TREES}{slow}{webhook}"));
    large_tree(&house);
    let mut serve = Serve::start(&house);
    // The first run has read its configuration; the second finds another.
    wait_until("no run began", || temporary(&house));
    fs::write(house.path("kluis.toml"), "[[schedule]\n").unwrap();
    let told = std::thread::spawn(move || {
        let (mut stream, _) = heard.accept().unwrap();
        let mut said = String::new();
        let mut bytes = [0; 4096];
        while !said.contains("backup.failed") {
            let n = stream.read(&mut bytes).unwrap();
            assert!(n > 0, "{said}");
            said.push_str(&String::from_utf8_lossy(&bytes[..n]));
        }
        let answer = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
        stream.write_all(answer.as_bytes()).unwrap();
        said
    });
    serve.says("second: FAILED (exit code 2)");
    serve.says("next is ");
    let said = told.join().unwrap();
    assert!(said.contains("kluis.toml"), "{said}");
    serve.stop();
    let records = house.records();
    let of_second = |record: &Value| record["schedule"] == "second";
    let (_, record) = records.iter().find(|(_, it)| of_second(it)).unwrap();
    assert_eq!(record["status"], "FAILED");
    assert_eq!(record["command"], "backup source");
    assert_eq!(record["trigger"], "SCHEDULED");
    assert!(record["error"].as_str().unwrap().contains("kluis.toml"));
}

#[test]
fn a_configuration_that_cannot_be_read_is_told_once() {
    let house = house(&format!("{TREES}catch_up = false\n"));
    let mut serve = Serve::start(&house);
    serve.says("next is trees at ");
    fs::remove_file(house.path("kluis.toml")).unwrap();
    serve.signal(Signal::HUP);
    let line = serve.says("the configuration is as before");
    assert_eq!(line.matches("os error 2").count(), 1, "{line}");
    serve.stop();
}

#[test]
fn wrong_keys_are_told_and_keep_the_right_one_not_out() {
    let house = external("[source]\npaths = [\"tree\"]\n");
    let (mut serve, address) = Serve::listening(&house, "external");
    for number in 0..12 {
        let (status, _) = trigger(&address, "source", "another-long-key-that-is-wrong");
        assert_eq!(status, if number < 10 { 401 } else { 429 });
    }
    assert_eq!(trigger(&address, "source", KEY).0, 200);
    // It looks by itself, if not at once.
    serve.signal(Signal::HUP);
    let line = serve.says("with a wrong key, the last from 127.0.0.1");
    assert!(line.contains("the trigger refused "), "{line}");
    serve.stop();
}

#[test]
fn sighup_reads_the_configuration_and_a_wrong_one_changes_nothing() {
    let house = house(&format!("{TREES}catch_up = false\n"));
    let mut serve = Serve::start(&house);
    serve.says("next is trees at ");
    fs::write(house.path("kluis.toml"), "[[schedule]]\nname = \"x\"\n").unwrap();
    serve.signal(Signal::HUP);
    let line = serve.says("the configuration is as before");
    assert!(
        line.contains("kluis.toml:2: the [[schedule]] \"x\" has no what"),
        "{line}"
    );
    configure(
        &house,
        &TREES
            .replace("17 3 * * *", "*/5 * * * *")
            .replace("trees", "often"),
    );
    serve.signal(Signal::HUP);
    serve.says("the configuration was read again");
    // It begins now: what was before was not its business.
    let line = serve.says("next is ");
    assert!(line.contains("next is often at "), "{line}");
    let said = serve.stop();
    assert!(!said.contains("started"), "{said}");
}

#[test]
fn the_service_manager_is_told() {
    let house = house(&format!("{TREES}catch_up = false\n"));
    let socket = house.path("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    let heard = || {
        let mut bytes = [0; 4096];
        let n = manager.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..n].to_vec()).unwrap()
    };
    let until = |wanted: &str| while !heard().starts_with(wanted) {};
    let mut command = house.kluis();
    command
        .arg("serve")
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "100000");
    let mut serve = Serve::start_with(&mut command);
    assert!(heard().starts_with("READY=1\nSTATUS=next is trees at "));
    until("WATCHDOG=1");
    until("WATCHDOG=1");
    serve.says("next is");
    serve.signal(Signal::HUP);
    until("RELOADING=1\nMONOTONIC_USEC=");
    until("READY=1");
    serve.signal(Signal::TERM);
    until("STOPPING=1");
    assert_eq!(serve.ended().0, Some(143));
}

#[test]
fn a_source_is_backed_up_as_was_asked_over_http() {
    let house = external("[source]\npaths = [\"tree\"]\n");
    let (serve, address) = Serve::listening(&house, "external");
    let (status, reply) = trigger(&address, "source", KEY);
    assert_eq!((status, &reply["success"]), (200, &true.into()), "{reply}");
    let execution = &reply["execution"];
    assert_eq!(execution["type"], "SOURCE");
    assert_eq!(execution["status"], "COMPLETED");
    assert_eq!(house.listed(), [execution["filename"].as_str().unwrap()]);
    assert!(execution["fileSize"].as_u64().unwrap() > 0);
    assert_eq!(execution["backup"].as_str().unwrap().len(), 16);
    assert_eq!(house.records()[0].1["trigger"], "EXTERNAL");
    let (status, _) = trigger(&address, "source", "another-long-key-that-is-wrong");
    assert_eq!(status, 401);
    let said = serve.stop();
    assert!(!said.contains(KEY), "{said}");
}

#[test]
fn a_database_is_backed_up_as_was_asked_over_http() {
    let Some(cluster) = support::Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    let url = cluster.url("shop");
    let house = external(&format!("[database]\nurl = \"{url}\"\n"));
    let (_serve, address) = Serve::listening(&house, "both");
    let (status, reply) = trigger(&address, "database", KEY);
    assert_eq!(status, 200, "{reply}");
    assert_eq!(reply["execution"]["type"], "DATABASE");
    let file = reply["execution"]["filename"].as_str().unwrap();
    assert!(file.starts_with("shop_backup_"), "{file}");
}

#[test]
fn what_fails_says_why_over_http() {
    let house = external("[source]\npaths = [\"nowhere\"]\n");
    let (_serve, address) = Serve::listening(&house, "external");
    let (status, reply) = trigger(&address, "source", KEY);
    assert_eq!((status, &reply["error"]), (500, &"Backup Failed".into()));
    let why = reply["execution"]["errorMessage"].as_str().unwrap();
    assert!(why.contains("nowhere"), "{reply}");
    assert_eq!(reply["execution"]["status"], "FAILED");
}

#[test]
fn a_second_trigger_and_a_locked_storage_are_conflicts() {
    let house = external("[source]\npaths = [\"tree\"]\n");
    house.run(&["backup", "source", "tree"]);
    let (serve, address) = Serve::listening(&house, "external");
    let lock = fs::File::open(house.storage().join("kluis.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let (status, reply) = trigger(&address, "source", KEY);
    assert_eq!((status, &reply["error"]), (409, &"Conflict".into()));
    assert!(
        reply["message"].as_str().unwrap().contains("locked"),
        "{reply}"
    );
    drop(lock);
    large_tree(&house);
    let first = std::thread::scope(|scope| {
        let first = scope.spawn(|| trigger(&address, "source", KEY));
        wait_until("no run began", || temporary(&house));
        let (status, reply) = trigger(&address, "source", KEY);
        assert_eq!(status, 409, "{reply}");
        let said = reply["message"].as_str().unwrap();
        assert!(said.starts_with("trigger (source) runs already"), "{said}");
        first.join().unwrap()
    });
    assert_eq!(first.0, 200, "{}", first.1);
    assert_eq!(house.listed().len(), 2);
    serve.stop();
}

#[test]
fn a_client_that_goes_away_stops_no_backup() {
    let house = external("[source]\npaths = [\"tree\"]\n");
    large_tree(&house);
    let (mut serve, address) = Serve::listening(&house, "external");
    let mut stream = TcpStream::connect(&address).unwrap();
    let request = format!(
        "POST /api/backup/trigger HTTP/1.1\r\nContent-Type: application/json\r\n\
         X-Backup-Key: {KEY}\r\nContent-Length: 17\r\n\r\n{{\"type\":\"source\"}}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    wait_until("no run began", || temporary(&house));
    drop(stream);
    serve.says("trigger (source): done");
    assert_eq!(house.listed().len(), 1);
}

#[test]
fn the_report_is_behind_the_key() {
    let house = external("[source]\npaths = [\"tree\"]\n");
    let (_serve, address) = Serve::listening(&house, "external");
    let (status, _) = ask(&address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(status, 401);
    let request = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Backup-Key: {KEY}\r\n\r\n");
    let (status, page) = ask(&address, &request);
    // There is no storage yet to report of.
    assert_eq!(status, 503, "{page}");
    assert!(page.starts_with("the report cannot be made now"), "{page}");
    house.run(&["backup", "source", "tree"]);
    let (status, page) = ask(&address, &request);
    assert_eq!(status, 200, "{page}");
    assert!(page.starts_with("<!DOCTYPE html>"), "{page}");
    assert!(page.contains("tree"), "{page}");
}

#[test]
fn what_cannot_be_served_is_refused_at_once() {
    let refused = |config: &str, variables: &[(&str, &str)], said: &str| {
        let house = house(config);
        let mut command = house.kluis();
        command.arg("serve").envs(variables.iter().copied());
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
    };
    refused("", &[], "no [[schedule]] that is enabled");
    refused(
        &format!("{TREES}enabled = false\n"),
        &[],
        "no [[schedule]] that is enabled",
    );
    for mode in ["external", "both"] {
        refused(
            TREES,
            &[("BACKUP_SCHEDULER_MODE", mode)],
            "BACKUP_TRIGGER_API_KEY_FILE",
        );
    }
    let short = [
        ("BACKUP_SCHEDULER_MODE", "external"),
        ("BACKUP_TRIGGER_API_KEY", "fifteen-letters"),
    ];
    refused("", &short, "fewer than 16 characters");
    refused(
        "",
        &[("BACKUP_SCHEDULER_MODE", "cron")],
        "known are internal, external, both",
    );
}

/// The old service's own examples have keys that are too short.
#[test]
fn a_short_key_keeps_the_trigger_off_and_not_the_schedules() {
    let house = house(TREES);
    house.run(&["backup", "source", "tree"]);
    let mut command = house.kluis();
    command
        .arg("serve")
        .env("BACKUP_SCHEDULER_MODE", "both")
        .env("BACKUP_TRIGGER_API_KEY", "your-secret-key");
    let mut serve = Serve::start_with(&mut command);
    let line = serve.says("fewer than 16 characters");
    assert!(line.contains("the trigger stays off"), "{line}");
    serve.says("trees: done");
    serve.stop();
}

/// Zombies of that process.
fn zombies_of(parent: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let stats = processes.filter_map(|it| fs::read_to_string(it.path().join("stat")).ok());
    let is_one = |stat: &String| {
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let mut fields = fields.split_whitespace();
        (fields.next(), fields.next()) == (Some("Z"), Some(parent))
    };
    stats.filter(is_one).count()
}

/// In a container it is the first process, and given whom others leave behind.
#[test]
fn as_the_first_process_it_waits_for_who_was_left_behind() {
    let can = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc", "true"])
        .status();
    if !can.is_ok_and(|it| it.success()) {
        eprintln!("skipped: no namespaces here");
        return;
    }
    let orphan = "[hooks]\nfinally = [[\"setsid\", \"--fork\", \"sleep\", \"1\"]]\n";
    let house = house(&format!("{TREES}{orphan}"));
    house.run(&["backup", "source", "tree"]);
    let kluis = house.kluis();
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    command
        .arg(kluis.get_program())
        .args(kluis.get_args())
        .arg("serve");
    command.env_clear().current_dir(house.path(""));
    for (name, value) in kluis.get_envs() {
        command.envs(value.map(|value| (name, value)));
    }
    let mut serve = Serve::start_with(&mut command);
    serve.says("trees: done");
    let unshare = serve.child.id();
    let children = format!("/proc/{unshare}/task/{unshare}/children");
    let first = fs::read_to_string(children).unwrap();
    let first = first.trim();
    wait_until("nobody was left behind", || zombies_of(first) > 0);
    wait_until("they stay zombies", || zombies_of(first) == 0);
}

/// `serve` with a trigger, in this mode.
fn triggered(house: &House, mode: &str) -> Command {
    let mut command = house.kluis();
    command
        .arg("serve")
        .env("BACKUP_SCHEDULER_MODE", mode)
        .env("BACKUP_TRIGGER_API_KEY", KEY);
    command
}

#[test]
fn a_taken_address_is_told_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let house = house(&format!("[serve]\nlisten = \"{address}\"\n"));
    let output = triggered(&house, "external").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("choose another address"), "{said}");
}

/// Whoever is first on the host has the address; the nights must not be his.
#[test]
fn the_schedules_run_while_somebody_else_has_the_address() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let house = house(&format!("{TREES}[serve]\nlisten = \"{address}\"\n"));
    let mut command = triggered(&house, "both");
    house.run(&["backup", "source", "tree"]);
    let mut serve = Serve::start_with(&mut command);
    let line = serve.says("cannot listen on");
    assert!(line.contains("tried again"), "{line}");
    serve.says("trees: done");
    let failed = |(_, it): &(String, Value)| it["command"] == "serve" && it["status"] == "FAILED";
    assert!(house.records().iter().any(failed), "nothing tells of it");
    drop(taken);
    let line = serve.says("listening on http://");
    assert!(line.contains(&address.to_string()), "{line}");
    serve.stop();
}

#[test]
fn next_tells_the_times_and_the_command_lines() {
    let second = "[[schedule]]\nname = \"off\"\nwhat = \"verify\"\ncron = \"0 4 * * *\"\n\
                  enabled = false\n";
    let house = house(&format!("{TREES}{second}"));
    let output = house.run(&["serve", "--next", "--json"]);
    let next: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(next["mode"], "internal");
    let [trees, off] = &next["schedules"].as_array().unwrap()[..] else {
        panic!("{next}");
    };
    assert_eq!(trees["missed"], true);
    assert_eq!(trees["next"].as_array().unwrap().len(), 5);
    assert!(
        trees["next"][0].as_str().unwrap().ends_with("T03:17:00Z"),
        "{trees}"
    );
    let command = [
        "backup",
        "source",
        "--trigger=scheduled",
        "--schedule=trees",
    ];
    assert_eq!(trees["command"], serde_json::json!(command));
    assert_eq!(off["enabled"], false);
    // What it tells is what a timer may run.
    house.run(&command);
    let output = house.run(&["serve", "--next"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("trees") && !text.contains("at once"),
        "{text}"
    );
}

#[test]
fn a_schedules_own_rules_prune_what_it_backs_up() {
    let house = house(&format!(
        "{TREES}paths = [\"tree\"]\nkeep_daily = 1\nkeep_at_least = 1\n"
    ));
    house.run(&["backup", "source"]);
    house.run(&["backup", "source"]);
    assert_eq!(house.listed().len(), 2);
    house.run(&["backup", "source", "--schedule", "trees"]);
    assert_eq!(house.listed().len(), 1);
}

#[test]
fn a_schedule_that_does_not_exist_is_refused_with_those_that_do() {
    let house = house(TREES);
    let mut command = house.kluis();
    let output = command
        .args(["backup", "source", "--schedule", "tress"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("there is no schedule \"tress\"; known are \"trees\""),
        "{said}"
    );
    assert!(!house.storage().exists());
}

/// The long version is benches/trigger-load.
#[test]
fn a_flood_of_triggers_makes_one_run_at_a_time_and_keeps_the_memory() {
    let house = external("[source]\npaths = [\"tree\"]\n");
    let (serve, address) = Serve::listening(&house, "external");
    assert_eq!(trigger(&address, "source", KEY).0, 200);
    let memory = || {
        let path = format!("/proc/{}/status", serve.child.id());
        let text = fs::read_to_string(path).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.unwrap().trim().split(' ').next().unwrap();
        number.parse::<u64>().unwrap()
    };
    let before_kib = memory();
    let flood = |key: &'static str| {
        let mut answers = Vec::new();
        std::thread::scope(|scope| {
            let ask = || -> Vec<u16> {
                (0..100)
                    .map(|_| trigger(&address, "source", key).0)
                    .collect()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            threads
                .into_iter()
                .for_each(|it| answers.extend(it.join().unwrap()));
        });
        answers
    };
    let right = flood(KEY);
    assert!(
        right.iter().all(|it| [200, 409, 429].contains(it)),
        "{right:?}"
    );
    assert!(right.contains(&429), "{right:?}");
    let wrong = flood("another-long-key-that-is-wrong");
    assert_eq!(
        wrong.iter().filter(|it| **it == 401).count(),
        10,
        "{wrong:?}"
    );
    assert_eq!(
        wrong.iter().filter(|it| **it == 429).count(),
        790,
        "{wrong:?}"
    );
    // Of the right key only its own number is held against it.
    let (status, reply) = trigger(&address, "source", KEY);
    let said = reply["message"].as_str().unwrap();
    assert!(
        status == 200 || said.contains("too many triggers"),
        "{reply}"
    );
    let grown_kib = memory().saturating_sub(before_kib);
    assert!(grown_kib < 16 * 1024, "{grown_kib} KiB");
    let mut runs: Vec<(String, String)> = house
        .records()
        .iter()
        .filter(|(_, record)| record["status"] == "COMPLETED")
        .map(|(_, record)| {
            let time = |key: &str| record[key].as_str().unwrap().to_owned();
            (time("started"), time("completed"))
        })
        .collect();
    runs.sort();
    assert!(runs.len() == house.listed().len() && runs.len() <= 20);
    assert!(runs.windows(2).all(|two| two[0].1 <= two[1].0), "{runs:?}");
    serve.stop();
}

#[test]
fn what_was_asked_over_http_and_cannot_begin_is_in_the_history() {
    let house = external("[source]\npaths = [\"tree\"]\n");
    let (serve, address) = Serve::listening(&house, "external");
    assert_eq!(trigger(&address, "source", KEY).0, 200);
    fs::write(house.path("kluis.toml"), "[source\n").unwrap();
    assert_eq!(trigger(&address, "source", KEY).0, 500);
    wait_until("no record came", || house.records().len() == 2);
    serve.stop();
    let records = house.records();
    let failed = |record: &Value| record["status"] == "FAILED";
    let (_, record) = records.iter().find(|(_, it)| failed(it)).unwrap();
    assert_eq!(record["command"], "backup source");
    assert_eq!(record["trigger"], "EXTERNAL");
    assert!(record["error"].as_str().unwrap().contains("kluis.toml"));
}
