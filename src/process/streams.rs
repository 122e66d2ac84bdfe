//! A child's stdout as a reader, a child's stdin as a writer. Their ends are
//! honest: the reader's clean end and the writer's `finish` mean exit 0.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::thread;
use std::time::Duration;

use super::child::{Child, Said};
use super::{ProcessError, Tool};

/// Fewer switches between us and the child. An ordinary user may ask for this
/// much (fs.pipe-max-size); where not, the pipe stays as it is.
const PIPE_BYTES: usize = 1 << 20;

/// Whether the pipe has that size now.
fn enlarge(pipe: impl AsFd) -> bool {
    rustix::pipe::fcntl_setpipe_size(pipe, PIPE_BYTES).is_ok()
}

/// A read that gave less than this was woken for a drop. pg_dump writes 4 KiB at a
/// time, and to be woken for each costs more than all else that is done with them.
const DROP_BYTES: usize = 64 << 10;
/// So much longer the drops gather then: the pipe is not full before, or the child
/// would have to write 2 GB a second.
const GATHERING: Duration = Duration::from_micros(500);

fn into_io(error: ProcessError) -> io::Error {
    io::Error::other(error)
}

/// What a child prints. `Ok(0)` comes only after it exited 0; any other end is
/// a read error that holds a [`ProcessError`]. Dropping it kills the child.
pub struct ChildReader {
    stdout: Option<ChildStdout>,
    /// Whether the pipe holds enough for drops to gather in it.
    is_wide: bool,
    was_drop: bool,
    child: Child,
    /// Kept, so that reading on after the failure never looks like success.
    failed: bool,
    /// Once it ended with 0.
    said: Said,
}

impl ChildReader {
    pub fn spawn(tool: &Tool) -> Result<Self, ProcessError> {
        let mut child = Child::spawn(tool, Stdio::null(), Stdio::piped())?;
        let stdout = child.take_stdout();
        Ok(Self {
            is_wide: stdout.as_ref().is_some_and(enlarge),
            was_drop: false,
            stdout,
            child,
            failed: false,
            said: Said::default(),
        })
    }

    /// What it said on stderr; nothing before its clean end.
    pub fn take_said(&mut self) -> Said {
        std::mem::take(&mut self.said)
    }
}

impl Read for ChildReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.failed {
            return Err(io::Error::other("the program had failed already"));
        }
        let Some(stdout) = &mut self.stdout else {
            return Ok(0);
        };
        if self.was_drop {
            thread::sleep(GATHERING);
        }
        let n = stdout.read(buf)?;
        self.was_drop = self.is_wide && n < DROP_BYTES.min(buf.len());
        if n > 0 || buf.is_empty() {
            return Ok(n);
        }
        self.stdout = None;
        let finished = self.child.finish_telling(Duration::MAX);
        self.said = finished.map_err(|error| {
            self.failed = true;
            into_io(error)
        })?;
        Ok(0)
    }
}

/// Starts a child that turns one stream into another. The reader tells how it
/// ended; dropping the reader kills it.
pub fn spawn_filter(tool: &Tool) -> Result<(FilterInput, ChildReader), ProcessError> {
    let mut child = Child::spawn(tool, Stdio::piped(), Stdio::piped())?;
    let (stdin, stdout) = (child.take_stdin(), child.take_stdout());
    stdin.iter().for_each(|stdin| {
        enlarge(stdin);
    });
    let reader = ChildReader {
        is_wide: stdout.as_ref().is_some_and(enlarge),
        was_drop: false,
        stdout,
        child,
        failed: false,
        said: Said::default(),
    };
    Ok((FilterInput(stdin), reader))
}

/// The input of a child whose output somebody else reads. Dropping it is the
/// input's end. A broken pipe means that the child reads no more; why, its
/// reader tells.
pub struct FilterInput(Option<ChildStdin>);

impl Write for FilterInput {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Some(stdin) => stdin.write(buf),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a child reads. Its stdout goes nowhere. Dropping it kills the child;
/// only [`ChildWriter::finish`] tells whether it succeeded.
pub struct ChildWriter {
    stdin: Option<ChildStdin>,
    child: Child,
}

impl ChildWriter {
    pub fn spawn(tool: &Tool) -> Result<Self, ProcessError> {
        let mut child = Child::spawn(tool, Stdio::piped(), Stdio::null())?;
        let stdin = child.take_stdin();
        if let Some(stdin) = &stdin {
            enlarge(stdin);
        }
        Ok(Self { stdin, child })
    }

    /// Ends the child's input and waits for its exit; gives what it said on stderr.
    pub fn finish(mut self) -> Result<Said, ProcessError> {
        self.stdin = None;
        self.child.finish_telling(Duration::MAX)
    }

    /// The child went away while we wrote: its own words beat "broken pipe".
    fn reason(&mut self) -> io::Error {
        self.stdin = None;
        match self.child.finish() {
            Err(error) => into_io(error),
            Ok(()) => io::Error::other(format!(
                "`{}` stopped reading before the end of its input",
                self.child.tool().name()
            )),
        }
    }
}

impl Write for ChildWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let Some(stdin) = &mut self.stdin else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        match stdin.write(buf) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(self.reason()),
            other => other,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
