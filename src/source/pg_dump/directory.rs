//! Makes the dump of one database in directory format: pg_dump writes several
//! tables at once into a scratch directory, and the stream is its tar.
//!
//! Owns the scratch directory, which needs room for the whole dump. Invariant:
//! the stream ends cleanly only if `pg_restore` made a whole dump of the same
//! files.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::flat_tar::FlatTar;
use super::text_ledger::TextLedger;
use super::{DumpError, Produced, Source, Started};
use crate::cancel::Cancel;
use crate::format::manifest::{Codec, DatabaseContent};
use crate::postgres::{Client, DumpOptions, PostgresError, Server};
use crate::process::{ChildReader, run_captured};
use crate::scratch::Scratch;

/// pg_dump's gzip knows no higher level.
const GZIP_LEVEL_MAX: i32 = 9;
/// Since this major pg_dump knows zstd.
const FIRST_WITH_ZSTD: u32 = 16;

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
/// scratch directory is the last to go.
pub struct DirectoryDumpSource {
    tar: FlatTar,
    text: TextLedger,
    content: DatabaseContent,
    warnings: Vec<String>,
    cancel: Cancel,
    _scratch: Scratch,
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
        if server.access().mode() != "direct" {
            let what = "the directory format needs a pg_dump on this machine; take --format \
                        custom, or --mode direct"
                .to_owned();
            return Err(PostgresError::Settings { what }.into());
        }
        let Started {
            client,
            content,
            mut warnings,
        } = Started::new(server, database, "directory", options)?;
        let converter = server.converter(&client, &options.options)?;
        let work_dir = &directory.work_dir;
        // What a run that was killed has left may be large.
        Scratch::sweep(work_dir);
        warnings.extend(too_little_room(work_dir, &content));
        let scratch = Scratch::create(work_dir, "dump")?;
        let place = scratch.path().join("dump");
        let (compress, warning) = compression(directory, &client);
        warnings.extend(warning);
        let mut file = OsString::from("--file=");
        file.push(&place);
        let tool = server
            .dump_tool(&client, database, options)?
            .args(["--format=directory".to_owned(), compress])
            .arg(format!("--jobs={}", directory.jobs))
            .arg(file);
        cancel.check()?;
        let dumped = run_captured(&tool, b"");
        cancel.check()?;
        dumped.map_err(|error| server.explain(error, "dump the database", database))?;
        let text = ChildReader::spawn(&converter.of_directory(&place));
        Ok(Self {
            tar: FlatTar::of(&place),
            text: TextLedger::start(text.map_err(PostgresError::from)?),
            content,
            warnings,
            cancel,
            _scratch: scratch,
        })
    }

    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

impl Read for DirectoryDumpSource {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.cancel.check_io()?;
        let count = self.tar.read(buf)?;
        if count == 0 && !buf.is_empty() {
            let whole = self.text.finish();
            self.cancel.check_io()?;
            whole?;
        }
        Ok(count)
    }
}

impl Source for DirectoryDumpSource {
    fn finish(mut self: Box<Self>) -> Produced {
        Produced::Database(DatabaseContent {
            ledger: self.text.take(),
            ..self.content
        })
    }
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
