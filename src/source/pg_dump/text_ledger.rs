//! The ledger of an archive: `pg_restore` turns it into text, and a thread
//! reads that while the archive goes by.
//!
//! Invariant: there is a ledger only if pg_restore exited 0 and its text was a
//! whole dump.

use std::io::{self, ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::{Seen, seen};
use crate::dump::Needs;
use crate::ledger::{DumpReader, Owners};
use crate::postgres::PostgresError;
use crate::process::{ChildReader, ProcessError};

/// As large as a pipe gets.
const READ_BYTES: usize = 1 << 20;

/// A reading under way. Dropping it ends pg_restore; what feeds that must be
/// gone by then, or it could wait for more.
pub(super) struct TextLedger {
    thread: Option<JoinHandle<io::Result<Seen>>>,
    stop: Arc<AtomicBool>,
    /// Once the end was seen and good.
    seen: Option<Seen>,
}

impl TextLedger {
    pub fn start(text: ChildReader) -> Result<Self, PostgresError> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("dump".to_owned());
        let thread = thread.spawn(move || read(text, &stopped));
        let thread = thread.map_err(|source| ProcessError::Pipe {
            program: "pg_restore".to_owned(),
            source,
        })?;
        Ok(Self {
            thread: Some(thread),
            stop,
            seen: None,
        })
    }

    /// Waits for the text's end. A failure stays one, however often it is asked.
    pub fn finish(&mut self) -> io::Result<()> {
        if let Some(thread) = self.thread.take() {
            let read = thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            self.seen = Some(read?);
        }
        match self.seen {
            Some(_) => Ok(()),
            None => Err(io::Error::other("the dump was not whole")),
        }
    }

    pub fn take(&mut self) -> Seen {
        self.seen.take().unwrap_or_default()
    }
}

impl Drop for TextLedger {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // The run has failed already; how this reading ends adds nothing.
            let _ = thread.join();
        }
    }
}

fn read(mut text: ChildReader, stop: &AtomicBool) -> io::Result<Seen> {
    let mut reader = DumpReader::watched(<(Owners, Needs)>::default());
    let mut buffer = vec![0; READ_BYTES];
    while !stop.load(Ordering::Relaxed) {
        match text.read(&mut buffer) {
            Ok(0) => {
                let said = text.take_said();
                return Ok(Seen {
                    said,
                    ..seen(reader)?
                });
            }
            Ok(count) => reader.feed(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("stopped"))
}
