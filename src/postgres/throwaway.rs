//! A server that is started to prove one backup, and thrown away.
//!
//! Owns its directory, its postmaster and who may enter: the socket lies in a
//! directory that only its user may enter, and it listens nowhere else. Nothing
//! in it is meant to last, so nothing waits for the disk. What a dump makes it do,
//! it does within walls, and without rights on this machine.
//! Invariant: it ends when this is dropped, and when we die, however we die.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::enclosure::Enclosure;
use super::preloads;
use super::room_watch::RoomWatch;
use super::{Access, Client, ClientSearch, ConnectionSettings, PostgresError, Server, random_hex};
use crate::process::{ChildServer, Tool, User, run_captured};
use crate::scratch::Scratch;

/// `sockaddr_un` has room for 107 bytes, of which `/.s.PGSQL.5432` takes 14.
const SOCKET_DIRECTORY_MAX_BYTES: usize = 107 - 14;
/// Where sockets go if the work directory's path is longer than that.
const SHORT_DIRECTORY: &str = "/tmp";
const START_MAX: Duration = Duration::from_secs(120);
const POLL_PAUSE: Duration = Duration::from_millis(10);

/// Nothing waits for the disk, nothing runs by itself, nothing lies outside the
/// directory. A dump is restored in one transaction and dumped in another, each
/// of which locks every object: hence the room for locks, 200,000 in all.
const SETTINGS: &[&str] = &[
    "listen_addresses=",
    "port=5432",
    "unix_socket_permissions=0700",
    "logging_collector=off",
    "lc_messages=C",
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_wal_size=4GB",
    "checkpoint_timeout=1h",
    "autovacuum=off",
    "jit=off",
    "shared_buffers=128MB",
    "dynamic_shared_memory_type=mmap",
    "max_connections=10",
    "max_locks_per_transaction=8192",
];

/// What kind of server is wanted.
#[derive(Clone, Debug)]
pub struct ThrowawayOptions {
    /// Where its directory is made.
    pub work_dir: PathBuf,
    /// Where the server's programs are looked for.
    pub clients: ClientSearch,
    /// The major that is wanted; a newer one is taken with a warning.
    pub major: u32,
    /// Libraries that it is to load when it starts, where they are there.
    pub preloads: Vec<String>,
    /// The room that it will need.
    pub bytes: u64,
    /// What is missing around the servers of a run is the same for all of them, and
    /// told by the first.
    pub told_of_walls: Arc<AtomicBool>,
}

/// A running server of our own. Its fields are dropped in their order: it goes
/// before its files.
pub struct ThrowawayCluster {
    server: Server,
    warnings: Vec<String>,
    not_preloaded: Vec<String>,
    room: RoomWatch,
    _postmaster: ChildServer,
    _directories: Vec<Scratch>,
}

impl ThrowawayCluster {
    /// Makes and starts one. What earlier runs have left is removed first.
    pub fn start(options: &ThrowawayOptions) -> Result<Self, PostgresError> {
        let program = options.clients.find("postgres", options.major)?;
        let warning = (program.major != options.major).then(|| another_major(&program, options));
        Scratch::sweep(&options.work_dir);
        check_room(options)?;
        let (scratch, enclosure, home) = place(&program.path, &options.work_dir)?;
        let user = enclosure.user();
        let mut directories = vec![scratch];
        let mut sockets = home.clone();
        if sockets.as_os_str().len() > SOCKET_DIRECTORY_MAX_BYTES {
            Scratch::sweep(Path::new(SHORT_DIRECTORY));
            let short = Scratch::create(Path::new(SHORT_DIRECTORY), "proof")?;
            sockets = private_directory(&short, user)?;
            directories.push(short);
        }
        let data = home.join("data");
        let superuser = format!("kluis_{}", random_hex::<4>()?);
        init(
            &enclosure,
            &program.path.with_file_name("initdb"),
            &data,
            &superuser,
        )?;
        let (preloads, mut not_preloaded) = preloads::found(&program.path, &options.preloads);
        let places = [home.as_path(), &sockets];
        let started = |preloads: &[String]| {
            let mut postmaster = start(&enclosure, &program.path, places, options.bytes, preloads)?;
            wait_until_ready(&mut postmaster, &data).map(|()| postmaster)
        };
        let postmaster = match started(&preloads) {
            // One of them may want what is not here.
            Err(_) if !preloads.is_empty() => {
                not_preloaded.extend(preloads);
                started(&[])?
            }
            started => started?,
        };
        let access = Access::Direct(connection(&sockets, &superuser)?);
        let room = RoomWatch::start(&options.work_dir, postmaster.stopper())?;
        let untold = |_: &String| !options.told_of_walls.swap(true, Ordering::Relaxed);
        let missing = enclosure.warning().filter(untold);
        Ok(Self {
            server: Server::connect(access, options.clients.clone(), "postgres")?,
            warnings: warning.into_iter().chain(missing).collect(),
            not_preloaded,
            room,
            _postmaster: postmaster,
            _directories: directories,
        })
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Why it was stopped for want of room, if it was.
    pub fn ran_out(&self) -> Option<PostgresError> {
        self.room.ran_out()
    }

    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Those of the wanted libraries that it runs without.
    pub fn not_preloaded(&self) -> &[String] {
        &self.not_preloaded
    }
}

/// What is missing around servers of this program, made below `work_dir`; an error
/// where none could be made. For the doctor.
pub fn missing_walls(postgres: &Path, work_dir: &Path) -> Result<Option<String>, PostgresError> {
    place(postgres, work_dir).map(|(_, enclosure, _)| enclosure.warning())
}

/// Where a server of this program is made and held in: the last one is the
/// directory for its data.
fn place(postgres: &Path, work_dir: &Path) -> Result<(Scratch, Enclosure, PathBuf), PostgresError> {
    let scratch = Scratch::create(work_dir, "proof")?;
    let enclosure = Enclosure::around(postgres, scratch.path())?;
    let home = private_directory(&scratch, enclosure.user())?;
    enclosure.reaches(&home)?;
    Ok((scratch, enclosure, home))
}

fn another_major(program: &Client, options: &ThrowawayOptions) -> String {
    let major = options.major;
    format!(
        "restored into PostgreSQL {}, for want of {major}: objects by type were not compared; \
         install postgresql-{major}",
        program.version
    )
}

fn trouble(what: impl Into<String>) -> PostgresError {
    PostgresError::Throwaway { what: what.into() }
}

fn check_room(options: &ThrowawayOptions) -> Result<(), PostgresError> {
    let place = options.work_dir.display();
    let free = Scratch::free_bytes(&options.work_dir)?;
    if free >= options.bytes {
        return Ok(());
    }
    Err(trouble(format!(
        "{place} has {} MiB free, and the restored database may need {} MiB; choose another \
         directory with work_dir or TMPDIR, or use --in-server",
        free >> 20,
        options.bytes.div_ceil(1 << 20)
    )))
}

/// A directory in `scratch` that the server's user owns and nobody else enters.
/// The scratch directory stays ours; others may pass through, and see nothing.
fn private_directory(scratch: &Scratch, user: Option<User>) -> Result<PathBuf, PostgresError> {
    let path = scratch.path().join("server");
    let made = || {
        fs::create_dir(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
        let Some(User { uid, gid }) = user else {
            return Ok(());
        };
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o711))?;
        std::os::unix::fs::chown(&path, Some(uid), Some(gid))
    };
    let made: std::io::Result<()> = made();
    made.map_err(|error| trouble(format!("cannot make {}: {error}", path.display())))?;
    Ok(path)
}

/// Template databases in C and UTF8: the dump's own locale is its database's.
fn init(
    enclosure: &Enclosure,
    initdb: &Path,
    data: &Path,
    superuser: &str,
) -> Result<(), PostgresError> {
    let initdb = enclosure
        .making(Tool::new(initdb))
        .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C"])
        .arg(format!("--username={superuser}"))
        .arg("--pgdata")
        .arg(data);
    let made = run_captured(&initdb, b"");
    made.map(drop).map_err(|error| {
        let user = enclosure.user().map_or(String::new(), |user| {
            format!(
                " (it runs as uid {}, who must be able to get there)",
                user.uid
            )
        });
        trouble(format!(
            "cannot make one in {}{user}: {error}",
            data.display()
        ))
    })
}

/// `home` holds the data; it and `sockets` are all that the server writes to.
fn start(
    enclosure: &Enclosure,
    postgres: &Path,
    [home, sockets]: [&Path; 2],
    bytes: u64,
    preloads: &[String],
) -> Result<ChildServer, PostgresError> {
    let mut postgres = enclosure
        .holding(Tool::new(postgres), &[home, sockets], bytes)
        .arg("-D")
        .arg(home.join("data"))
        .arg("-k")
        .arg(sockets)
        // Immediate shutdown: its children end too, its shared memory is freed.
        .ends_by(Signal::QUIT);
    for setting in SETTINGS {
        postgres = postgres.args(["-c", setting]);
    }
    let preloads = format!("shared_preload_libraries={}", preloads.join(","));
    postgres = postgres.args(["-c".to_owned(), preloads]);
    ChildServer::spawn(&postgres).map_err(|error| trouble(error.to_string()))
}

/// The eighth line of `postmaster.pid` says how far the server is.
fn wait_until_ready(postmaster: &mut ChildServer, data: &Path) -> Result<(), PostgresError> {
    let begun = Instant::now();
    loop {
        postmaster
            .check()
            .map_err(|error| trouble(error.to_string()))?;
        let status = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
        if status.lines().nth(7).map(str::trim) == Some("ready") {
            return Ok(());
        }
        if begun.elapsed() > START_MAX {
            let seconds = START_MAX.as_secs();
            return Err(trouble(format!("it is not ready after {seconds} s")));
        }
        thread::sleep(POLL_PAUSE);
    }
}

/// What a dump makes the server run may lay another server's socket in its socket's
/// place: no password of ours is there for that one, and none may be asked for.
fn connection(sockets: &Path, superuser: &str) -> Result<ConnectionSettings, PostgresError> {
    let host = sockets
        .to_str()
        .ok_or_else(|| trouble("the work directory's path is not UTF-8 text"))?;
    let variables = [
        ("PGHOST", host),
        ("PGPORT", "5432"),
        ("PGUSER", superuser),
        // Can never be there; of what is there and is no file libpq would complain.
        ("PGPASSFILE", "/dev/null/none"),
        ("PGREQUIREAUTH", "none"),
    ];
    let variables: BTreeMap<String, String> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Ok(ConnectionSettings::from_environment(&variables))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_goes_to_what_stands_in_the_servers_place() {
        let settings = connection(Path::new("/tmp/s"), "kluis_0").unwrap();
        let variables = settings.variables();
        assert_eq!(variables["PGPASSFILE"], "/dev/null/none");
        assert_eq!(variables["PGREQUIREAUTH"], "none");
    }
}
