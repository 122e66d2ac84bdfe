//! Real containers with a PostgreSQL server of the machine's own files: no
//! registry is needed. The image is made once for each state of those files.
//!
//! Without an engine a test says so and is skipped; with CI=true it fails
//! instead. Containers are gone when dropped; those of tests that were killed
//! are removed by the next ones.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

const REPOSITORY: &str = "kluis-test-postgres";
/// On every container: the process that it is a test of.
const OWNER_LABEL: &str = "kluis.test.pid";
const DATA: &str = "/var/lib/postgresql/data";

const CLIENTS: &[&str] = &["psql", "pg_dump", "pg_dumpall", "pg_restore"];
/// What the entry point and the tests need beside PostgreSQL.
const TOOLS: &[&str] = &[
    "sh", "cat", "chmod", "chown", "df", "ls", "mkdir", "rm", "setpriv", "tar",
];

const ENTRY: &str = r#"#!/bin/sh
set -e
as_postgres() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
mkdir -p "$PGDATA"
chown postgres "$PGDATA"
chmod 700 "$PGDATA"
(umask 077; echo "${POSTGRES_PASSWORD:-none}" > /tmp/password; chown postgres /tmp/password)
as_postgres "$PGBIN/initdb" --no-sync --auth-local="${KLUIS_AUTH:-trust}" --auth-host=reject \
    --pwfile=/tmp/password --username="${POSTGRES_USER:-postgres}" \
    --encoding=UTF8 --locale=C.UTF-8 -D "$PGDATA" >/dev/null
exec setpriv --reuid=postgres --regid=postgres --clear-groups "$PGBIN/postgres" -D "$PGDATA" \
    -c unix_socket_directories=/run/postgresql,/tmp -c listen_addresses= -c fsync=off \
    -c shared_buffers=32MB
"#;

/// What a test wants other than an empty server under a name of its own.
#[derive(Default)]
pub struct ContainerOptions<'a> {
    pub environment: &'a [(&'a str, &'a str)],
    pub labels: &'a [&'a str],
    /// The directory of the server's programs; the newest installed one.
    pub bin: Option<PathBuf>,
}

pub struct Container {
    pub name: String,
    user: String,
    password: Option<String>,
}

impl Container {
    /// `None`: no engine here; the reason has been told.
    pub fn start() -> Option<Self> {
        Self::start_with(&ContainerOptions::default())
    }

    pub fn start_with(options: &ContainerOptions<'_>) -> Option<Self> {
        let container = Self::start_some(options)?;
        container.wait_ready();
        if let Some(database) = value(options, "POSTGRES_DB") {
            container.create_db(database);
        }
        Some(container)
    }

    fn start_some(options: &ContainerOptions<'_>) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if !engine_runs() {
            return None;
        }
        sweep();
        let image = image(&options.bin.clone().unwrap_or_else(newest_installed));
        let pid = std::process::id();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("kluis-test-{pid}-{number}");
        let mut run = docker(&["run", "--detach", "--network", "none", "--name", &name]);
        run.arg("--label").arg(format!("{OWNER_LABEL}={pid}"));
        // The image's own storage may be a slow one.
        run.args(["--tmpfs", "/var/lib/postgresql"]);
        for label in options.labels {
            run.args(["--label", label]);
        }
        for (name, value) in options.environment {
            run.arg("--env").arg(format!("{name}={value}"));
        }
        done(run.arg(image));
        Some(Self {
            name,
            user: value(options, "POSTGRES_USER")
                .unwrap_or("postgres")
                .to_owned(),
            password: value(options, "POSTGRES_PASSWORD").map(str::to_owned),
        })
    }

    fn wait_ready(&self) {
        let mut logs = docker(&["logs", "--follow", &self.name]);
        let mut logs = logs.stdout(Stdio::null()).stderr(Stdio::piped());
        logs = logs.stdin(Stdio::null());
        let mut child = logs.spawn().unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        while !said.contains("ready to accept connections") {
            let n = lines.read_line(&mut said).unwrap();
            assert!(n > 0, "the server in {} did not start: {said}", self.name);
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// A program in the container on its way to a database.
    pub fn client(&self, program: &str, database: &str) -> Command {
        let mut command = docker(&["exec", "-i", "-e", "PGHOST="]);
        if let Some(password) = &self.password {
            command.arg("-e").arg(format!("PGPASSWORD={password}"));
        }
        command.args([&self.name, program, "-U", &self.user, "-d", database]);
        command
    }

    /// Runs SQL in the container; panics with psql's words on failure.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let mut psql = self.client("psql", database);
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        let output = done(&mut psql);
        String::from_utf8(output.stdout)
            .unwrap()
            .trim_end()
            .to_owned()
    }

    /// Runs a program in the container; gives what it prints.
    pub fn run(&self, argv: &[&str]) -> String {
        let output = done(docker(&["exec", &self.name]).args(argv));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn create_db(&self, name: &str) {
        let name = name.replace('"', "\"\"");
        let sql = format!("CREATE DATABASE \"{name}\" TEMPLATE template0");
        self.psql("postgres", &sql);
    }

    /// The client programs that run in it now.
    pub fn clients_running(&self) -> Vec<String> {
        let output = done(&mut docker(&["top", &self.name, "-eo", "pid,args"]));
        let text = String::from_utf8(output.stdout).unwrap();
        let is_client = |line: &&str| {
            let program = line.split_whitespace().nth(1).unwrap_or_default();
            CLIENTS.contains(&program.rsplit('/').next().unwrap_or_default())
        };
        text.lines()
            .skip(1)
            .filter(is_client)
            .map(str::to_owned)
            .collect()
    }

    /// As its control group is called.
    pub fn id(&self) -> String {
        let output = done(&mut docker(&["inspect", "--format", "{{.Id}}", &self.name]));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub fn kill(&self) {
        done(&mut docker(&["kill", &self.name]));
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = docker(&["rm", "--force", "--volumes", &self.name]).output();
    }
}

/// Waits for a condition; the bound only turns a hang into a failure.
pub fn wait_until(what: &str, bound: Duration, mut holds: impl FnMut() -> bool) {
    let patience = Instant::now();
    while !holds() {
        assert!(patience.elapsed() < bound, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn value<'a>(options: &ContainerOptions<'a>, name: &str) -> Option<&'a str> {
    let found = options.environment.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| *value)
}

fn docker(arguments: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(arguments);
    command
}

fn done(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output
}

fn engine_runs() -> bool {
    let answer = docker(&["version", "--format", "{{.Server.Version}}"]).output();
    if answer.is_ok_and(|output| output.status.success()) {
        return true;
    }
    let reason = "no container engine runs here (package docker.io)";
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
    eprintln!("skipped: {reason}");
    false
}

/// Removes containers of tests that were killed.
fn sweep() {
    let label = format!("label={OWNER_LABEL}");
    let format = format!("{{{{.ID}}}} {{{{.Label \"{OWNER_LABEL}\"}}}}");
    let listed = done(&mut docker(&[
        "ps", "--all", "--filter", &label, "--format", &format,
    ]));
    for line in String::from_utf8(listed.stdout).unwrap().lines() {
        if let Some((id, pid)) = line.split_once(' ')
            && !Path::new("/proc").join(pid).exists()
        {
            // Another test may be faster.
            let _ = docker(&["rm", "--force", "--volumes", id]).output();
        }
    }
}

fn newest_installed() -> PathBuf {
    let majors = fs::read_dir("/usr/lib/postgresql").unwrap().flatten();
    let numbered = majors.filter_map(|e| Some((e.file_name().to_str()?.parse::<u32>().ok()?, e)));
    let newest = numbered.max_by_key(|(major, _)| *major);
    newest.expect("the package postgresql").1.path().join("bin")
}

/// The image's tag; makes the image where it is not there yet.
fn image(bin: &Path) -> String {
    let files = files(bin);
    let tag = format!("{REPOSITORY}:{}", content_tag(&files));
    // One of the tests that begin at the same time makes it.
    let lock = File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("image.lock")).unwrap();
    lock.lock().unwrap();
    let known = docker(&["image", "inspect", &tag]).output().unwrap();
    if !known.status.success() {
        import(&tag, bin, &files);
    }
    tag
}

/// Each file's path here, which is its path in the image too.
fn files(bin: &Path) -> BTreeSet<PathBuf> {
    let prefix = bin.parent().unwrap();
    let mut programs: Vec<PathBuf> = ["postgres", "initdb"]
        .iter()
        .chain(CLIENTS)
        .map(|name| bin.join(name))
        .collect();
    programs.extend(TOOLS.iter().map(|name| Path::new("/usr/bin").join(name)));
    let mut libraries = below(&prefix.join("lib"));
    // The just-in-time compiler would double the image.
    libraries.retain(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        !name.starts_with("llvmjit") && !path.components().any(|part| part.as_os_str() == "bitcode")
    });
    let mut ldd = Command::new("ldd");
    ldd.args(&programs);
    ldd.args(
        libraries
            .iter()
            .filter(|path| path.extension().is_some_and(|end| end == "so")),
    );
    // ldd fails where one of them is no dynamic program; it tells of the rest.
    let told = String::from_utf8(ldd.output().unwrap().stdout).unwrap();
    let needed = told.split_whitespace().filter(|word| word.starts_with('/'));
    let needed = needed
        .filter(|word| !word.ends_with(':'))
        .map(without_steps_up);
    let major = prefix.file_name().unwrap();
    let shared = [
        prefix.join("share"),
        Path::new("/usr/share/postgresql").join(major),
    ];
    let shared = shared
        .iter()
        .filter(|path| path.is_dir())
        .flat_map(|path| below(path));
    let mut all: BTreeSet<PathBuf> = programs.into_iter().chain(needed).collect();
    all.extend(libraries);
    all.extend(shared);
    all.extend(below(Path::new("/usr/share/zoneinfo")));
    all.extend(below(Path::new("/usr/lib/locale/C.utf8")));
    all
}

/// ldd tells some as `bin/../lib/name`.
fn without_steps_up(path: &str) -> PathBuf {
    let path = PathBuf::from(path);
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if parent.components().any(|part| part.as_os_str() == "..") => {
            parent.canonicalize().unwrap().join(name)
        }
        _ => path,
    }
}

fn below(directory: &Path) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(directory).follow_links(true);
    let files = entries.into_iter().filter_map(Result::ok);
    files
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| entry.into_path())
        .collect()
}

fn content_tag(files: &BTreeSet<PathBuf>) -> String {
    let mut hash = Sha256::new();
    hash.update(ENTRY);
    for path in files {
        let about = fs::metadata(path).unwrap();
        hash.update(format!(
            "{} {} {}\n",
            path.display(),
            about.len(),
            about.mtime()
        ));
    }
    hex::encode(&hash.finalize()[..6])
}

fn import(tag: &str, bin: &Path, files: &BTreeSet<PathBuf>) {
    let path = format!("ENV PATH={}:/usr/bin", bin.display());
    let mut command = docker(&["import", "--change", &path]);
    command
        .arg("--change")
        .arg(format!("ENV PGBIN={}", bin.display()));
    command.arg("--change").arg(format!("ENV PGDATA={DATA}"));
    command.args(["--change", "ENTRYPOINT [\"/usr/bin/entry\"]", "-", tag]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = std::io::BufWriter::new(child.stdin.take().unwrap());
    write_image(&mut stdin, files);
    stdin.flush().unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success(), "docker import failed");
}

fn write_image(out: &mut dyn Write, files: &BTreeSet<PathBuf>) {
    let mut tar = tar::Builder::new(out);
    let mut header = |kind, name: &str, mode, link: Option<&str>, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        match link {
            Some(to) => tar.append_link(&mut header, name, to).unwrap(),
            None => tar.append_data(&mut header, name, content).unwrap(),
        }
    };
    let directory = tar::EntryType::Directory;
    for (name, mode) in [
        ("tmp/", 0o1777),
        ("run/postgresql/", 0o1777),
        ("usr/bin/", 0o755),
        ("usr/lib/", 0o755),
        ("usr/lib64/", 0o755),
        ("var/lib/postgresql/", 0o755),
        ("etc/", 0o755),
    ] {
        header(directory, name, mode, None, b"");
    }
    for (name, to) in [
        ("bin", "usr/bin"),
        ("lib", "usr/lib"),
        ("lib64", "usr/lib64"),
        ("var/run", "../run"),
    ] {
        header(tar::EntryType::Symlink, name, 0o777, Some(to), b"");
    }
    let file = tar::EntryType::Regular;
    let users = "root:x:0:0::/root:/bin/sh\npostgres:x:999:999::/var/lib/postgresql:/bin/sh\n";
    header(file, "etc/passwd", 0o644, None, users.as_bytes());
    header(
        file,
        "etc/group",
        0o644,
        None,
        b"root:x:0:\npostgres:x:999:\n",
    );
    header(file, "usr/bin/entry", 0o755, None, ENTRY.as_bytes());
    let mut written = BTreeSet::new();
    for path in files {
        // /lib is a link to /usr/lib, here as there.
        let inside = match path.strip_prefix("/lib").or(path.strip_prefix("/lib64")) {
            Ok(_) => Path::new("usr").join(path.strip_prefix("/").unwrap()),
            Err(_) => path.strip_prefix("/").unwrap().to_owned(),
        };
        // A library may be needed by both of its names.
        if written.insert(inside.clone()) {
            tar.append_path_with_name(path, inside).unwrap();
        }
    }
    tar.finish().unwrap();
}
