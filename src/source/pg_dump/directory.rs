//! Makes the dump of one database in directory format: pg_dump writes several
//! tables at once into a scratch directory, and the stream is its tar.
//!
//! Owns the scratch directory, which needs room for the whole dump; where the
//! programs run in a container, also one there, from which the files are fetched.
//! Invariant: the stream ends cleanly only if `pg_restore` made a whole dump of
//! the same files.

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};

use super::super::child_dump::of_the_dump;
use super::flat_tar::FlatTar;
use super::text_ledger::TextLedger;
use super::{DumpError, Produced, Source, Started, Told, explained};
use crate::cancel::Cancel;
use crate::format::manifest::{Codec, DatabaseContent};
use crate::postgres::{Client, ContainerDirectory, DumpOptions, PostgresError, Server};
use crate::process::{ChildReader, ProcessError, Said, run_telling};
use crate::scratch::{Scratch, UnpackError, unpack_files};

/// pg_dump's gzip knows no higher level.
const GZIP_LEVEL_MAX: i32 = 9;
/// Since this major pg_dump knows zstd.
const FIRST_WITH_ZSTD: u32 = 16;

/// How often it is looked whether a directory grows.
const LOOK: Duration = Duration::from_millis(500);

/// As large as a pipe gets.
const READ_BYTES: usize = 1 << 20;

/// How a dump in directory format is made.
#[derive(Clone, Debug)]
pub struct DirectoryDump {
    /// Tables dumped at once.
    pub jobs: u32,
    /// pg_dump compresses each file: that is done in parallel, too.
    pub codec: Codec,
    pub level: i32,
    /// Where the scratch directory is made.
    pub work_dir: PathBuf,
}

/// A dump in directory format that lies there whole, on its way out. The
/// directories are the last to go.
pub struct DirectoryDumpSource {
    tar: FlatTar,
    text: TextLedger,
    told: Told,
    /// pg_dump's words.
    said: Said,
    /// Once the end was seen and good.
    is_whole: bool,
    cancel: Cancel,
    server: Server,
    _scratch: Scratch,
    /// Where pg_dump has written, if not here.
    _there: Option<ContainerDirectory>,
}

impl DirectoryDumpSource {
    /// Runs pg_dump to its end: only then the tar can begin.
    pub fn make(
        server: &Server,
        database: &str,
        options: &DumpOptions,
        directory: &DirectoryDump,
        cancel: Cancel,
    ) -> Result<Self, DumpError> {
        let Started { client, mut told } = Started::new(server, database, "directory", options)?;
        let converter = server.converter(&client, &options.recorded())?;
        let work_dir = &directory.work_dir;
        // What a run that was killed has left may be large.
        Scratch::sweep(work_dir);
        told.warnings
            .extend(too_little_room(work_dir, &told.content));
        let scratch = Scratch::create(work_dir, "dump")?;
        let there = server.container_directory(database)?;
        let place = scratch.path().join("dump");
        let written = there.as_ref().map_or(place.as_path(), |there| there.path());
        let (compress, warning) = compression(directory, &client);
        told.warnings.extend(warning);
        let mut file = OsString::from("--file=");
        file.push(written);
        let tool = server
            .dump_tool(&client, database, options)?
            .args(["--format=directory".to_owned(), compress])
            .arg(format!("--jobs={}", directory.jobs))
            .arg(file);
        cancel.check()?;
        // What grows in a container is not seen from here.
        let seen = there.is_none().then_some(place.as_path());
        let dumped = while_it_grows(seen, &cancel, || run_telling(&tool))?;
        cancel.check()?;
        let said = dumped.map_err(|error| failed(server, error))?;
        if let Some(there) = &there {
            while_it_grows(Some(&place), &cancel, || {
                fetch(server, there, &place, &cancel)
            })??;
        }
        let text = ChildReader::spawn(&converter.of_directory(written));
        Ok(Self {
            tar: FlatTar::of(&place),
            text: TextLedger::start(text.map_err(PostgresError::from)?)?,
            told,
            said,
            is_whole: false,
            cancel,
            server: server.clone(),
            _scratch: scratch,
            _there: there,
        })
    }

    pub fn warnings(&self) -> &[String] {
        &self.told.warnings
    }
}

impl DirectoryDumpSource {
    /// The text is whole: takes what it told.
    fn look_again(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.is_whole, true) {
            return Ok(());
        }
        let ended = self.told.end(&self.server, self.text.take(), &self.said);
        ended.map_err(io::Error::other)
    }
}

impl Read for DirectoryDumpSource {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.cancel.check_io()?;
        let count = self.tar.read(buf)?;
        if count == 0 && !buf.is_empty() {
            let whole = self.text.finish();
            self.cancel.check_io()?;
            whole.map_err(|error| explained(&self.server, error))?;
            self.look_again()?;
        }
        Ok(count)
    }
}

impl Source for DirectoryDumpSource {
    fn finish(self: Box<Self>) -> Produced {
        Produced::Database(self.told.content)
    }
}

/// Does `act`, which fills `directory`: its growth is what moves of the pass. One
/// that nobody sees counts as moving.
fn while_it_grows<T>(
    directory: Option<&Path>,
    cancel: &Cancel,
    act: impl FnOnce() -> T,
) -> Result<T, PostgresError> {
    let (ended, waiting) = bounded::<()>(0);
    thread::scope(|scope| {
        let look = move || {
            let mut bytes = None;
            while waiting.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                let now = directory.map(bytes_in);
                if now.is_none() || now != bytes {
                    cancel.moved();
                }
                bytes = now;
            }
        };
        let thread = thread::Builder::new().name("growth".to_owned());
        thread
            .spawn_scoped(scope, look)
            .map_err(|source| ProcessError::Pipe {
                program: "pg_dump".to_owned(),
                source,
            })?;
        let done = act();
        drop(ended);
        Ok(done)
    })
}

/// Of its files, as far as they can be seen.
fn bytes_in(directory: &Path) -> u64 {
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    files
        .filter_map(|file| file.metadata().ok())
        .map(|it| it.len())
        .sum()
}

fn failed(server: &Server, error: ProcessError) -> PostgresError {
    match server.lost(error) {
        Ok(lost) => lost.into(),
        Err(error) => of_the_dump(error),
    }
}

/// Brings the files of a directory in a container into a new one here.
fn fetch(
    server: &Server,
    there: &ContainerDirectory,
    here: &Path,
    cancel: &Cancel,
) -> Result<(), DumpError> {
    let made = DirBuilder::new().mode(0o700).create(here);
    made.map_err(|source| UnpackError::Place {
        action: "make",
        path: here.to_owned(),
        source,
    })?;
    let tar = ChildReader::spawn(&there.as_tar()).map_err(|error| failed(server, error))?;
    let mut stream = BufReader::with_capacity(READ_BYTES, tar);
    let unpacked = unpack_files(&mut stream, here, None, cancel).and_then(|()| {
        // Only its end tells whether tar had all.
        let ended = io::copy(&mut stream, &mut io::sink());
        ended.map(drop).map_err(UnpackError::Stream)
    });
    // A stop ends tar: then the stop is the reason.
    cancel.check()?;
    Ok(unpacked.map_err(|error| match error {
        UnpackError::Stream(error) => UnpackError::Stream(explained(server, error)),
        other => other,
    })?)
}

/// pg_dump's argument, and what to say where the codec is not to be had.
fn compression(directory: &DirectoryDump, client: &Client) -> (String, Option<String>) {
    let level = directory.level;
    match directory.codec {
        Codec::None => ("--compress=0".to_owned(), None),
        Codec::Gzip => (format!("--compress={}", level.min(GZIP_LEVEL_MAX)), None),
        Codec::Zstd if client.major >= FIRST_WITH_ZSTD => {
            (format!("--compress=zstd:{level}"), None)
        }
        Codec::Zstd => {
            let warning = format!(
                "pg_dump {} cannot compress with zstd: the files of the directory are gzip",
                client.version
            );
            ("--compress=6".to_owned(), Some(warning))
        }
    }
}

/// The database's size on disk is the guess: indexes are not dumped, and text
/// may be longer than what the server keeps.
fn too_little_room(work_dir: &Path, content: &DatabaseContent) -> Option<String> {
    let needed_bytes = content.database_bytes?;
    let room = rustix::fs::statvfs(work_dir).ok()?;
    let free_bytes = room.f_bavail.saturating_mul(room.f_frsize);
    (free_bytes < needed_bytes).then(|| {
        format!(
            "{} has {} free, and the database takes {} on the server: the dump may not fit; \
             choose another directory with work_dir or TMPDIR",
            work_dir.display(),
            bytesize::ByteSize(free_bytes),
            bytesize::ByteSize(needed_bytes)
        )
    })
}
