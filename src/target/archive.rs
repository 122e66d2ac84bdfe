//! Archives in custom and directory format on their way back: `pg_restore`
//! makes SQL text of them, and the target inside receives that text. So there
//! is one way back, whatever the format.
//!
//! Invariant: the text ends cleanly only after the archive's own stream has
//! ended cleanly and pg_restore exited 0. An archive that is damaged is told as
//! that, not by what pg_restore says of it.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, bounded};

use super::{Received, Target, TargetError, dump_files};
use crate::cancel::Cancel;
use crate::postgres::{Converter, PostgresError};
use crate::process::{ChildReader, FilterInput, ProcessError, spawn_filter};
use crate::reached::Reached;
use crate::scratch::{Filling, Scratch, UnpackError, unpack_files};

/// As large as a pipe gets.
const TEXT_BYTES: usize = 1 << 20;

/// An archive in custom format, for `inner`.
pub struct FromCustom {
    converter: Converter,
    inner: Box<dyn Target>,
    cancel: Cancel,
}

impl FromCustom {
    pub fn new(converter: Converter, inner: Box<dyn Target>, cancel: Cancel) -> Self {
        Self {
            converter,
            inner,
            cancel,
        }
    }
}

impl Target for FromCustom {
    fn receive(&mut self, stream: &mut dyn BufRead) -> Result<Received, TargetError> {
        self.cancel.check()?;
        let (input, output) =
            spawn_filter(&self.converter.of_stream()).map_err(PostgresError::from)?;
        let (verdict, fed) = bounded(1);
        let mut text = Text::new(output, Some(fed));
        let gave_up = AtomicBool::new(false);
        let (inner, cancel, gave_up) = (&mut self.inner, &self.cancel, &gave_up);
        let (fed, received, failure) = thread::scope(|scope| {
            let receive = move || {
                let received = receive_text(&mut **inner, &mut text);
                // Before pg_restore is ended with its output: see `feed`.
                gave_up.store(
                    received.is_err() && text.failure.is_none(),
                    Ordering::SeqCst,
                );
                (received, text.failure.take())
            };
            let thread = thread::Builder::new().name("receiver".to_owned());
            let receiver =
                thread
                    .spawn_scoped(scope, receive)
                    .map_err(|source| TargetError::Place {
                        action: "start",
                        place: "a thread that takes what pg_restore prints".to_owned(),
                        source,
                    })?;
            let fed = feed(stream, input, gave_up, cancel);
            // The receiver is gone if the target inside has failed already.
            let _ = verdict.send(matches!(fed, Ok(true)));
            drop(verdict);
            let (received, failure) = receiver
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok::<_, TargetError>((fed, received, failure))
        })?;
        self.cancel.check()?;
        fed?;
        match failure {
            Some(failure) => Err(unreadable(failure)),
            None => received,
        }
    }

    fn read_back(&mut self, advance: &dyn Fn(u64)) -> Result<Option<Received>, TargetError> {
        self.inner.read_back(advance)
    }

    fn commit(&mut self, reached: &mut Reached) -> Result<Vec<String>, TargetError> {
        self.inner.commit(reached)
    }

    fn abandon(&mut self) -> Vec<String> {
        self.inner.abandon()
    }
}

/// An archive in directory format, as a tar, for `inner`.
pub struct FromDirectory {
    converter: Converter,
    inner: Box<dyn Target>,
    work_dir: PathBuf,
    cancel: Cancel,
}

impl FromDirectory {
    /// `work_dir`: where the archive is unpacked, in a scratch directory.
    pub fn new(
        converter: Converter,
        inner: Box<dyn Target>,
        work_dir: &Path,
        cancel: Cancel,
    ) -> Self {
        Self {
            converter,
            inner,
            work_dir: work_dir.to_owned(),
            cancel,
        }
    }
}

impl Target for FromDirectory {
    fn receive(&mut self, stream: &mut dyn BufRead) -> Result<Received, TargetError> {
        self.cancel.check()?;
        // What a run that was killed has left may be large.
        Scratch::sweep(&self.work_dir);
        let scratch = Scratch::create(&self.work_dir, "restore")?;
        let (place, reserve) = Scratch::reserve_for_others(scratch.path())?;
        let filling = Filling::new(place.as_fd(), reserve);
        let unpacked = unpack_files(stream, scratch.path(), Some(&filling), &self.cancel);
        self.cancel.check()?;
        if let Err(error) = unpacked {
            // The archive's own faults are found at its end, and told first.
            drain(stream, &self.cancel)?;
            return Err(error.into());
        }
        if let Err(error) = dump_files::check(scratch.path(), self.converter.reads_archive_alone())
        {
            drain(stream, &self.cancel)?;
            return Err(error);
        }
        let tool = self.converter.of_directory(scratch.path());
        let output = ChildReader::spawn(&tool).map_err(PostgresError::from)?;
        let mut text = Text::new(output, None);
        let received = receive_text(&mut *self.inner, &mut text);
        self.cancel.check()?;
        match text.failure {
            Some(failure) => Err(unreadable(failure)),
            None => received,
        }
    }

    fn read_back(&mut self, advance: &dyn Fn(u64)) -> Result<Option<Received>, TargetError> {
        self.inner.read_back(advance)
    }

    fn commit(&mut self, reached: &mut Reached) -> Result<Vec<String>, TargetError> {
        self.inner.commit(reached)
    }

    fn abandon(&mut self) -> Vec<String> {
        self.inner.abandon()
    }
}

/// What pg_restore prints, and why it failed if it did.
struct Text {
    output: ChildReader,
    /// Says whether the archive ended cleanly, once it has ended.
    fed: Option<Receiver<bool>>,
    failure: Option<ProcessError>,
}

impl Text {
    fn new(output: ChildReader, fed: Option<Receiver<bool>>) -> Self {
        Self {
            output,
            fed,
            failure: None,
        }
    }
}

impl Read for Text {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = match self.output.read(buf) {
            Ok(count) => count,
            Err(error) => {
                let error = ProcessError::from_io(error)?;
                let told = io::Error::other(error.to_string());
                self.failure = Some(error);
                return Err(told);
            }
        };
        if count > 0 || buf.is_empty() {
            return Ok(count);
        }
        match self.fed.as_ref().map(Receiver::recv) {
            None | Some(Ok(true)) => {
                // Told once only; who asks again is at the end still.
                self.fed = None;
                Ok(0)
            }
            Some(_) => Err(io::Error::other("the archive broke off")),
        }
    }
}

fn receive_text(inner: &mut dyn Target, text: &mut Text) -> Result<Received, TargetError> {
    inner.receive(&mut BufReader::with_capacity(TEXT_BYTES, text))
}

/// Gives the archive to pg_restore. Where that reads no more, the archive is
/// still read to its end, unless the target inside gave up: then nothing that
/// comes matters.
fn feed(
    stream: &mut dyn BufRead,
    mut input: FilterInput,
    gave_up: &AtomicBool,
    cancel: &Cancel,
) -> Result<bool, TargetError> {
    pass_on(stream, cancel, &mut |piece| match input.write_all(piece) {
        // Why, and whether it matters, its output's end tells.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(!gave_up.load(Ordering::SeqCst)),
        written => written.map(|()| true),
    })
}

fn drain(stream: &mut dyn BufRead, cancel: &Cancel) -> Result<(), TargetError> {
    pass_on(stream, cancel, &mut |_| Ok(true)).map(|_| ())
}

/// Gives `take` the stream to its end, or until it says `false`. Tells whether
/// the end was reached.
fn pass_on(
    stream: &mut dyn BufRead,
    cancel: &Cancel,
    take: &mut dyn FnMut(&[u8]) -> io::Result<bool>,
) -> Result<bool, TargetError> {
    loop {
        cancel.check()?;
        let piece = match stream.fill_buf() {
            Ok(piece) => piece,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(TargetError::Stream(error)),
        };
        if piece.is_empty() {
            return Ok(true);
        }
        let goes_on = take(piece).map_err(|source| TargetError::Place {
            action: "write to",
            place: "pg_restore".to_owned(),
            source,
        })?;
        if !goes_on {
            return Ok(false);
        }
        let piece_bytes = piece.len();
        stream.consume(piece_bytes);
    }
}

impl From<UnpackError> for TargetError {
    fn from(error: UnpackError) -> Self {
        match error {
            UnpackError::Cancelled(cancelled) => cancelled.into(),
            UnpackError::Stream(source) => Self::Stream(source),
            UnpackError::Hostile { what } => Self::Hostile { what },
            UnpackError::Place {
                action,
                path,
                source,
            } => Self::Place {
                action,
                place: path.display().to_string(),
                source,
            },
        }
    }
}

/// The archive came whole, so what pg_restore cannot read is the archive.
fn unreadable(failure: ProcessError) -> TargetError {
    match failure {
        ProcessError::Failed(failure) => TargetError::Unreadable(failure),
        other => PostgresError::from(other).into(),
    }
}
