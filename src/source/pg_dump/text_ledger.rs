//! The ledger of an archive: `pg_restore` turns it into text, and a thread
//! reads that while the archive goes by.
//!
//! Invariant: there is a ledger only if pg_restore exited 0 and its text was a
//! whole dump.

use std::io::{self, ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::ledger::{DumpReader, Ledger};
use crate::process::ChildReader;

/// As large as a pipe gets.
const READ_BYTES: usize = 1 << 20;

/// A reading under way. Dropping it ends pg_restore; what feeds that must be
/// gone by then, or it could wait for more.
pub(super) struct TextLedger {
    thread: Option<JoinHandle<io::Result<Ledger>>>,
    stop: Arc<AtomicBool>,
    /// Once the end was seen and good.
    ledger: Option<Ledger>,
}

impl TextLedger {
    pub fn start(text: ChildReader) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        Self {
            thread: Some(std::thread::spawn(move || read(text, &stopped))),
            stop,
            ledger: None,
        }
    }

    /// Waits for the text's end. A failure stays one, however often it is asked.
    pub fn finish(&mut self) -> io::Result<()> {
        if let Some(thread) = self.thread.take() {
            let read = thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            self.ledger = Some(read?);
        }
        match self.ledger {
            Some(_) => Ok(()),
            None => Err(io::Error::other("the dump was not whole")),
        }
    }

    pub fn take(&mut self) -> Ledger {
        self.ledger.take().unwrap_or_default()
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

fn read(mut text: ChildReader, stop: &AtomicBool) -> io::Result<Ledger> {
    let mut reader = DumpReader::new();
    let mut buffer = vec![0; READ_BYTES];
    while !stop.load(Ordering::Relaxed) {
        match text.read(&mut buffer) {
            Ok(0) => return reader.finish().map_err(io::Error::other),
            Ok(count) => reader.feed(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("stopped"))
}
