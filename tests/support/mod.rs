//! A PostgreSQL cluster of a test's own: a temporary directory, its own
//! socket, gone when dropped. Never the machine's own server.
//!
//! Without server binaries a test says so and is skipped; with CI=true it
//! fails instead. KLUIS_TEST_PG_BIN names the binaries' directory, otherwise
//! the newest below /usr/lib/postgresql is taken.

pub mod browser;
pub mod damaged;
pub mod dice;
pub mod docker;
pub mod faulting;
pub mod field;
pub mod front;
pub mod home;
pub mod hostile;
pub mod house;
pub mod in_process;
pub mod majors;
pub mod noise;
pub mod opening;
pub mod past;
pub mod planting;
pub mod programs;
pub mod receivers;
pub mod rings;
pub mod rules;
pub mod salvaged;
pub mod soak;
pub mod stopping;
pub mod terminal;
pub mod tracing;
pub mod trees;
pub mod watched;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// The cluster's superuser, whoever runs the test.
const SUPERUSER: &str = "postgres";

/// What a test wants other than trust over a socket.
#[derive(Default)]
pub struct ClusterOptions {
    /// Logins need this password, over TCP on 127.0.0.1.
    pub password: Option<String>,
    /// Further server settings, `name=value`.
    pub settings: Vec<String>,
    /// The directory of the server's programs, where not the usual one.
    pub bin: Option<PathBuf>,
}

pub struct Cluster {
    directory: TempDir,
    server: Child,
    bin: PathBuf,
    port: u16,
    password: Option<String>,
}

/// The arguments by which this program runs one test alone, of the module that asks with
/// its `module_path!()`. No test of that name would be a success: look for "1 passed" or
/// for what it tells.
pub fn only(module: &str, name: &str) -> [String; 2] {
    let (_, module) = module.split_once("::").expect("a module of the suite");
    ["--exact".to_owned(), format!("{module}::{name}")]
}

/// A directory that another user may come through, and write to if `mode` lets him.
pub fn open_directory(mode: u32) -> TempDir {
    let directory = tempfile::Builder::new()
        .prefix("kluis")
        .tempdir_in("/tmp")
        .unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
    directory
}

impl Cluster {
    /// `None`: no binaries here; the reason has been told.
    pub fn start() -> Option<Self> {
        Self::start_with(ClusterOptions::default())
    }

    pub fn start_with(options: ClusterOptions) -> Option<Self> {
        let bin = options.bin.clone().or_else(binaries)?;
        let directory = open_directory(0o777);
        init(&bin, directory.path(), options.password.as_deref());
        let port = match options.password {
            Some(_) => free_port(),
            None => 5432,
        };
        let mut server = unprivileged(&bin.join("postgres"));
        server.arg("-D").arg(directory.path().join("data"));
        let sockets = format!("unix_socket_directories={}", directory.path().display());
        let listen = format!(
            "listen_addresses={}",
            options.password.as_ref().map_or("", |_| "127.0.0.1")
        );
        let fixed = [
            &sockets,
            &listen,
            "fsync=off",
            "shared_buffers=32MB",
            "log_min_messages=log",
        ];
        let port_setting = format!("port={port}");
        for setting in fixed.into_iter().chain([port_setting.as_str()]) {
            server.args(["-c", setting]);
        }
        for setting in &options.settings {
            server.args(["-c", setting]);
        }
        let server = ready(server.env("LC_ALL", "C"));
        Some(Self {
            directory,
            server,
            bin,
            port,
            password: options.password,
        })
    }

    pub fn url(&self, database: &str) -> String {
        let database = percent_encoded(database);
        match &self.password {
            Some(password) => format!(
                "postgres://{SUPERUSER}:{}@127.0.0.1:{}/{database}",
                percent_encoded(password),
                self.port
            ),
            None => format!(
                "postgres://{SUPERUSER}@{}:{}/{database}",
                percent_encoded(&self.directory.path().display().to_string()),
                self.port
            ),
        }
    }

    /// The server's own socket.
    pub fn socket(&self) -> PathBuf {
        let name = format!(".s.PGSQL.{}", self.port);
        self.directory.path().join(name)
    }

    /// Runs SQL with the cluster's own psql; panics with its words on failure.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let mut child = self
            .client("psql", database)
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // psql that stops at an error closes the pipe; it says why below.
        let _ = stdin.write_all(sql.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "psql: {stderr}");
        String::from_utf8(output.stdout)
            .unwrap()
            .trim_end()
            .to_owned()
    }

    pub fn create_db(&self, name: &str) {
        let sql = format!(
            "CREATE DATABASE \"{}\" TEMPLATE template0",
            name.replace('"', "\"\"")
        );
        self.psql("postgres", &sql);
    }

    /// A program of the cluster's major on its way to a database.
    pub fn client(&self, program: &str, database: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command
            .env("PGHOST", self.directory.path())
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", SUPERUSER)
            .env("PGDATABASE", database);
        if let Some(password) = &self.password {
            command.env("PGPASSWORD", password);
        }
        command
    }
}

impl Drop for Cluster {
    /// At once: what it holds is thrown away.
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.server.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        }
        let _ = self.server.wait();
    }
}

fn binaries() -> Option<PathBuf> {
    let configured = std::env::var_os("KLUIS_TEST_PG_BIN").map(PathBuf::from);
    let found = configured.or_else(newest_installed);
    if let Some(bin) = found.filter(|bin| bin.join("initdb").is_file()) {
        return Some(bin);
    }
    let reason = "no PostgreSQL server binaries (install the package postgresql)";
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
    eprintln!("skipped: {reason}");
    None
}

fn newest_installed() -> Option<PathBuf> {
    let majors = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let numbered = majors.filter_map(|e| Some((e.file_name().to_str()?.parse::<u32>().ok()?, e)));
    let newest = numbered.max_by_key(|(major, _)| *major)?;
    Some(newest.1.path().join("bin"))
}

/// The server refuses root: as root it runs as the user `postgres`. It ends
/// with us in any case.
fn unprivileged(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid=postgres",
            "--regid=postgres",
            "--clear-groups",
            "--pdeathsig=QUIT",
        ])
        .arg(program);
    command
}

/// A copy of what initdb made once: that takes a tenth of its time. A password is
/// part of what it makes.
fn init(bin: &Path, directory: &Path, password: Option<&str>) {
    let data = directory.join("data");
    if let Some(password) = password {
        let file = directory.join("password");
        fs::write(&file, format!("{password}\n")).unwrap();
        let pwfile = format!("--pwfile={}", file.display());
        return initdb(bin, &data, &["--auth=scram-sha-256", &pwfile]);
    }
    let made = made_once(bin);
    let copied = Command::new("cp").arg("-a").arg(&made).arg(&data).status();
    assert!(copied.unwrap().success(), "{}", made.display());
}

/// The data directory that all clusters of these programs begin with, kept until the
/// build directory goes. One test at a time makes it; half a one is never taken.
fn made_once(bin: &Path) -> PathBuf {
    let user = if rustix::process::geteuid().is_root() {
        "root"
    } else {
        "user"
    };
    let name = bin.display().to_string().replace('/', "-");
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cluster-{user}{name}"));
    let lock = File::create(made.with_added_extension("lock")).unwrap();
    lock.lock().unwrap();
    if !made.exists() {
        let place = open_directory(0o777);
        let fresh = place.path().join("data");
        initdb(bin, &fresh, &["--auth=trust"]);
        let half = made.with_added_extension("half");
        let _ = fs::remove_dir_all(&half);
        let copied = Command::new("cp").arg("-a").arg(&fresh).arg(&half).status();
        assert!(copied.unwrap().success(), "{}", half.display());
        fs::rename(&half, &made).unwrap();
    }
    made
}

fn initdb(bin: &Path, data: &Path, options: &[&str]) {
    let mut initdb = unprivileged(&bin.join("initdb"));
    initdb
        .args([
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--username",
            SUPERUSER,
        ])
        .args(options)
        .arg("-D")
        .arg(data);
    let output = initdb.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Free a moment ago; two tests would have to be very unlucky.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Starts the server and reads its log until it says that it is ready.
fn ready(command: &mut Command) -> Child {
    let mut server = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(server.stderr.take().unwrap());
    let mut said = String::new();
    while !said.ends_with("database system is ready to accept connections\n") {
        let n = log.read_line(&mut said).unwrap();
        assert!(n > 0, "the server did not start: {said}");
    }
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    server
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}
