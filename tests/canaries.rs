//! Secrets that are random text, planted wherever kluis takes one, and looked
//! for wherever it says or writes something: argument vectors, environments of
//! children, stdout and stderr at -vv and --json, the storage, temporary files.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::support;
use crate::support::home::{Home, text};
use crate::support::{Cluster, ClusterOptions};

/// A secret, in each form in which it could be seen.
#[derive(Clone)]
struct Canary {
    name: &'static str,
    forms: Vec<Vec<u8>>,
}

impl Canary {
    fn new(name: &'static str, secret: &str) -> Self {
        let mut forms = vec![
            secret.as_bytes().to_vec(),
            secret.to_uppercase().into_bytes(),
            secret.to_lowercase().into_bytes(),
        ];
        // As the bytes that hex digits stand for, and as debug output has them.
        if let Ok(bytes) = hex::decode(secret) {
            forms.push(format!("{bytes:?}").trim_matches(['[', ']']).into());
            forms.push(bytes);
        }
        Self { name, forms }
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        let holds = |form: &Vec<u8>| memchr::memmem::find(bytes, form).is_some();
        self.forms.iter().any(holds)
    }
}

fn random_hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random).unwrap();
    hex::encode(random)
}

/// Looks at all processes, again and again, until it is stopped.
struct Watcher {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeSet<String>>,
}

impl Watcher {
    /// `in_children`: secrets that no program started with this HOME may have in
    /// its environment, but for kluis itself.
    fn start(everywhere: Vec<Canary>, in_children: Vec<Canary>, home: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let mark = format!("HOME={}", text(home).trim_end_matches('/'));
        let thread = thread::spawn(move || {
            let mut hits = BTreeSet::new();
            while !stopped.load(Ordering::Relaxed) {
                look_around(&everywhere, &in_children, &mark, &mut hits);
            }
            hits
        });
        Self { stop, thread }
    }

    fn hits(self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn look_around(
    everywhere: &[Canary],
    in_children: &[Canary],
    mark: &str,
    hits: &mut BTreeSet<String>,
) {
    let ours = std::process::id().to_string();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let pid = entry.file_name().into_string().unwrap_or_default();
        if pid == ours || !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let read = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
        let cmdline = read("cmdline");
        let shown = String::from_utf8_lossy(&cmdline).replace('\0', " ");
        for canary in everywhere {
            if canary.is_in(&cmdline) {
                hits.insert(format!("{} in the arguments of {shown}", canary.name));
            }
        }
        let is_kluis = cmdline.starts_with(env!("CARGO_BIN_EXE_kluis").as_bytes());
        let environment = read("environ");
        let is_child = environment
            .split(|byte| *byte == 0)
            .any(|v| v == mark.as_bytes());
        // A child that has not become its program yet has kluis' arguments, and
        // kluis itself in that moment none. One that became it between the two
        // reads has the arguments of one program and the environment of another.
        let same_program = read("cmdline") == cmdline;
        if is_kluis || !is_child || !same_program || cmdline.is_empty() {
            continue;
        }
        for canary in in_children {
            if canary.is_in(&environment) {
                hits.insert(format!("{} in the environment of {shown}", canary.name));
            }
        }
    }
}

/// Every file below a directory.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => directories.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
        }
    }
    files
}

/// Where secrets were planted, what may show them, and what was said.
struct Field {
    home: Home,
    canaries: Vec<Canary>,
    /// Files that hold a secret because a test put it there.
    planted: Vec<PathBuf>,
    said: Vec<(String, Vec<u8>)>,
}

impl Field {
    /// Runs kluis in text and as JSON, with these variables set.
    fn run(&mut self, variables: &[(&str, &str)], arguments: &[&str]) {
        for form in ["-vv", "--json"] {
            let mut command = self.home.kluis(&[form]);
            command
                .args(arguments)
                .env_remove("BACKUP_ENCRYPTION_KEY_FILE")
                .envs(variables.iter().copied())
                .stdin(Stdio::null());
            let output = command.output().unwrap();
            let code = output.status.code();
            let what = format!("{form} {arguments:?} (exit {code:?})");
            self.said
                .push((what, [output.stdout, output.stderr].concat()));
        }
    }

    fn expect(&mut self, code: i32, variables: &[(&str, &str)], arguments: &[&str]) {
        let before = self.said.len();
        self.run(variables, arguments);
        let exit = format!("(exit Some({code}))");
        for (what, said) in &self.said[before..] {
            let said = String::from_utf8_lossy(said);
            assert!(what.ends_with(&exit), "{what}, not {code}: {said}");
        }
    }

    fn write(&mut self, name: &str, content: &str, mode: u32) -> String {
        let path = self.home.path(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        self.planted.push(path.clone());
        text(&path).to_owned()
    }

    /// Everything that holds a secret and should not.
    fn hits(&self) -> Vec<String> {
        let mut hits = Vec::new();
        for canary in &self.canaries {
            for (what, said) in &self.said {
                if canary.is_in(said) {
                    let said = String::from_utf8_lossy(said);
                    hits.push(format!("{} is said by {what}: {said}", canary.name));
                }
            }
            for path in files_below(&self.home.path("")) {
                let name = path.to_string_lossy();
                if !self.planted.contains(&path) && canary.is_in(&fs::read(&path).unwrap()) {
                    hits.push(format!("{} is in the file {name}", canary.name));
                }
                if canary.is_in(name.as_bytes()) {
                    hits.push(format!("{} is a file's name: {name}", canary.name));
                }
            }
        }
        hits
    }
}

/// Client programs that write down how they are called, then do their work.
fn watched_clients(home: &Home, real: &Path) -> String {
    let directory = home.path("clients");
    fs::create_dir_all(&directory).unwrap();
    fs::create_dir_all(home.path("called")).unwrap();
    for entry in fs::read_dir(real).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let to = directory.join(&name);
        if !["pg_dump", "psql", "pg_restore", "pg_dumpall"].contains(&name.as_str()) {
            std::os::unix::fs::symlink(entry.path(), to).unwrap();
            continue;
        }
        let script = format!(
            "#!/bin/sh\nprintf '%s\\n' \"$@\" > {called}/$$.arguments\n\
             env | grep ^BACKUP_ > {called}/$$.environment\nexec {program} \"$@\"\n",
            called = home.path("called").display(),
            program = entry.path().display(),
        );
        fs::write(&to, script).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
    }
    text(&directory).to_owned()
}

fn client_directory() -> PathBuf {
    if let Some(configured) = std::env::var_os("KLUIS_TEST_PG_BIN") {
        return configured.into();
    }
    let majors = fs::read_dir("/usr/lib/postgresql").unwrap().flatten();
    let newest = majors.max_by_key(|e| e.file_name().to_str().and_then(|m| m.parse::<u32>().ok()));
    newest.unwrap().path().join("bin")
}

/// The URL of a webhook that refuses every call, and repeats the call's path.
fn refusing_webhook(token: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap_or_default();
            let path = String::from_utf8_lossy(&request[..read]);
            let path = path.split(' ').nth(1).unwrap_or_default();
            let answer = format!("HTTP/1.1 404 X\r\nConnection: close\r\n\r\nno {path}");
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("http://{address}/{token}")
}

#[test]
fn a_planted_secret_would_be_found() {
    let secret = random_hex(16);
    let canary = Canary::new("planted", &secret);
    let home = Home::new();
    let mut child = Command::new("/bin/sh")
        .args(["-c", "read line", "sh", &secret])
        .env(
            "HOME",
            home.path("")
                .as_os_str()
                .to_str()
                .unwrap()
                .trim_end_matches('/'),
        )
        .env("BACKUP_WEBHOOK_SECRET", &secret)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mark = format!("HOME={}", text(&home.path("")).trim_end_matches('/'));
    let patience = Instant::now();
    let mut hits = BTreeSet::new();
    while hits.len() < 2 && patience.elapsed() < Duration::from_secs(60) {
        let canary = std::slice::from_ref(&canary);
        look_around(canary, canary, &mark, &mut hits);
    }
    drop(child.stdin.take());
    child.wait().unwrap();
    let hits: Vec<String> = hits.into_iter().collect();
    assert!(
        hits[0].contains("in the arguments") && hits[1].contains("environment"),
        "{hits:?}"
    );

    let raw = random_hex(32);
    let mut field = Field {
        home,
        canaries: vec![Canary::new("raw", &raw)],
        planted: Vec::new(),
        said: vec![("a run".to_owned(), format!("the key is {raw}").into_bytes())],
    };
    fs::write(field.home.path("core"), hex::decode(&raw).unwrap()).unwrap();
    assert_eq!(field.hits().len(), 2, "{:?}", field.hits());
    field.planted.push(field.home.path("core"));
    assert_eq!(field.hits().len(), 1);
}

#[test]
fn no_secret_is_seen_in_arguments_environments_output_or_files() {
    let password = format!("pw{}", random_hex(12));
    let Some(cluster) = Cluster::start_with(ClusterOptions {
        password: Some(password.clone()),
        ..ClusterOptions::default()
    }) else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql(
        "shop",
        "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n",
    );
    let (hex, phrase) = (random_hex(32), format!("phrase {}", random_hex(12)));
    let (webhook, trigger) = (random_hex(16), random_hex(16));
    let webhook_token = random_hex(16);
    let (asked, failing) = (random_hex(32), random_hex(32));
    let (wrong_password, near) = (format!("wrong{}", random_hex(12)), random_hex(31));
    let home = Home::new()
        .set("DATABASE_URL", &cluster.url("shop"))
        .set("PGPASSWORD", &password)
        .set("BACKUP_WEBHOOK_SECRET", &webhook)
        .set("BACKUP_WEBHOOK_URL", &refusing_webhook(&webhook_token))
        .set("BACKUP_TRIGGER_API_KEY", &trigger);
    let temporary = home.path("tmp");
    fs::create_dir(&temporary).unwrap();
    let work = support::open_directory(0o755);
    let home = home.set("TMPDIR", text(&temporary));
    let mut field = Field {
        canaries: vec![
            Canary::new("the hex key", &hex),
            Canary::new("the passphrase", &phrase),
            Canary::new("the password", &password),
            Canary::new("the wrong password", &wrong_password),
            Canary::new("the webhook's secret", &webhook),
            Canary::new("the webhook's token", &webhook_token),
            Canary::new("the trigger's key", &trigger),
            Canary::new("the command's key", &asked),
            Canary::new("the failing command's key", &failing),
            Canary::new("the key that lost digits", &near),
        ],
        planted: vec![home.path("kluis.toml")],
        said: Vec::new(),
        home,
    };
    let clients = watched_clients(&field.home, &client_directory());
    let config = format!(
        "work_dir = {:?}\n[database]\nclient_bin_dir = {clients:?}\n",
        text(work.path())
    );
    fs::write(field.home.path("kluis.toml"), config).unwrap();

    // age's identity is planted as kluis makes it.
    let identity = field.home.path("identity");
    let made = field
        .home
        .json(&["key", "generate", "--age", "-o", text(&identity)]);
    let recipient = made["recipient"].as_str().unwrap().to_owned();
    let line = fs::read_to_string(&identity).unwrap();
    let line = line
        .lines()
        .find(|line| line.starts_with("AGE-SECRET"))
        .unwrap()
        .to_owned();
    field.canaries.push(Canary::new("the age identity", &line));
    field.planted.push(identity.clone());

    let speaks = format!("#!/bin/sh\necho {asked} >&2\necho {asked}\n");
    let speaks = field.write("ask", &speaks, 0o755);
    let fails = format!("#!/bin/sh\necho {failing} >&2\necho {failing}\nexit 3\n");
    let fails = field.write("fail", &fails, 0o755);
    let hex_file = field.write("hex", &hex, 0o600);
    let cut_identity = &line[..line.len() - 2];
    field
        .canaries
        .push(Canary::new("the cut identity", cut_identity));
    let planted_env = field.write(
        "secrets.env",
        &format!("BACKUP_ENCRYPTION_KEY={hex}\n"),
        0o600,
    );
    let bad_env = field.write("bad.env", &format!("A=1\n{hex}\n"), 0o600);
    let bad_toml = field.write(
        "bad.toml",
        &format!("[database]\nurl = {password}\n"),
        0o600,
    );

    let not_children: Vec<Canary> = field
        .canaries
        .iter()
        .filter(|canary| !canary.name.contains("password"))
        .cloned()
        .collect();
    let watcher = Watcher::start(
        field.canaries.clone(),
        not_children.clone(),
        &field.home.path(""),
    );
    let tree = field.home.path("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), "content").unwrap();
    let tree = text(&tree).to_owned();
    let (identity, hex_key) = (
        text(&identity).to_owned(),
        [("BACKUP_ENCRYPTION_KEY", &*hex)],
    );
    let keys: [&[(&str, &str)]; 5] = [
        &hex_key,
        &[("BACKUP_ENCRYPTION_KEY", &phrase)],
        &[
            ("BACKUP_ENCRYPTION_KEY", &line),
            ("BACKUP_AGE_RECIPIENTS", &recipient),
        ],
        &[("BACKUP_ENCRYPTION_KEY_COMMAND", &speaks)],
        &[
            ("BACKUP_ENCRYPTION_KEY_FILE", &hex_file),
            ("BACKUP_READ_KEY_FILES", &identity),
        ],
    ];
    for (at, key) in keys.into_iter().enumerate() {
        field.expect(0, key, &["backup", "db", "shop"]);
        field.expect(0, key, &["backup", "source", &tree]);
        field.expect(0, key, &["list"]);
        field.expect(0, key, &["show", "latest:db"]);
        field.expect(0, key, &["verify", "latest:db"]);
        field.run(
            key,
            &["restore", "latest:db", "--into", &format!("copy{at}")],
        );
        field.expect(0, key, &["key", "list", "latest"]);
        field.run(key, &["key", "list"]);
        field.run(key, &["key", "drill", "--sample", "1"]);
        field.expect(0, key, &["config", "show"]);
        field.run(key, &["doctor"]);
    }
    let archive = newest_archive(&field.home);
    let opens: &[(&str, &str)] = &[("BACKUP_ENCRYPTION_KEY_FILE", &hex_file)];
    field.expect(0, opens, &["verify", "latest:db", "--restore"]);
    // The second of the two finds the file there.
    field.run(opens, &["decrypt", &archive, "-o", "decrypted"]);
    field.expect(0, &[], &["--env-file", &planted_env, "verify", "latest:db"]);
    field.run(opens, &["backup", "db", "--all"]);
    field.run(opens, &["adopt", "--all"]);

    // And everything that can go wrong.
    let url = cluster.url("shop");
    let wrong_url = url.replace(&percent_encoded(&password), &wrong_password);
    assert_ne!(url, wrong_url);
    let wrong = [
        hex_key[0],
        ("DATABASE_URL", &*wrong_url),
        ("PGPASSWORD", &*wrong_password),
    ];
    let gone = wrong_url.replace("127.0.0.1", "127.0.0.1:1,127.0.0.1");
    let unreachable = format!("postgres://u:{wrong_password}@127.0.0.1:1/shop");
    for variables in [
        &wrong[..],
        &[hex_key[0], ("DATABASE_URL", &gone)],
        &[hex_key[0], ("DATABASE_URL", &unreachable)],
        &[
            hex_key[0],
            ("DATABASE_URL", &format!("postgres//{wrong_password}@h")),
        ],
    ] {
        field.run(variables, &["backup", "db", "shop"]);
        field.run(variables, &["restore", "latest:db", "--into", "never"]);
        field.run(variables, &["doctor"]);
        field.run(variables, &["config", "show"]);
    }
    for key in [
        ("BACKUP_ENCRYPTION_KEY_COMMAND", fails.as_str()),
        ("BACKUP_ENCRYPTION_KEY_COMMAND", "/not/there"),
        ("BACKUP_ENCRYPTION_KEY", &failing),
        ("BACKUP_ENCRYPTION_KEY", &near),
        ("BACKUP_ENCRYPTION_KEY", &format!("{phrase}\n")),
        ("BACKUP_ENCRYPTION_KEY", cut_identity),
    ] {
        for arguments in [
            &["verify", "latest:db"][..],
            &["decrypt", &archive, "-o", "never"],
            &["restore", "latest:db", "--into", "never"],
            &["show", "latest:db"],
            &["key", "list"],
            &["key", "drill"],
            &["doctor"],
            &["config", "show"],
        ] {
            field.run(&[key], arguments);
        }
    }
    field.run(&hex_key, &["--env-file", &bad_env, "list"]);
    field.run(&hex_key, &["-c", &bad_toml, "list"]);

    let seen = watcher.hits();
    assert!(seen.is_empty(), "{seen:#?}");
    let hits = field.hits();
    assert!(hits.is_empty(), "{hits:#?}");
    // The watched programs were really called, and none of them got a secret.
    let called = files_below(&field.home.path("called"));
    assert!(called.len() > 20, "{} calls", called.len());
    for path in files_below(work.path()).into_iter().chain(called) {
        let bytes = fs::read(&path).unwrap();
        let found = field.canaries.iter().find(|canary| canary.is_in(&bytes));
        assert!(found.is_none(), "{} in {path:?}", found.unwrap().name);
    }
}

/// As the cluster's URL writes a password.
fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The newest archive of a database.
fn newest_archive(home: &Home) -> String {
    let mut names: Vec<String> = fs::read_dir(home.storage())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("shop_backup_") && name.ends_with(".enc"))
        .collect();
    names.sort();
    text(&home.storage().join(names.pop().unwrap())).to_owned()
}
