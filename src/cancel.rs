//! The request to stop, as a value: set once by whoever hears the signal, asked
//! by every loop that moves bytes. Owns no signal handler itself.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

/// Shared by every thread of a run; clones are the same request.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicI32>);

/// The run was asked to stop by the signal of this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted by {}", signal_name(*.signal))]
pub struct Cancelled {
    pub signal: i32,
}

impl Cancel {
    /// Asks for the stop. The first signal is the one that is reported.
    pub fn request(&self, signal: i32) {
        let _ = self
            .0
            .compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// The signal that asked, if any did.
    pub fn requested(&self) -> Option<i32> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(signal),
        }
    }

    pub fn check(&self) -> Result<(), Cancelled> {
        match self.requested() {
            None => Ok(()),
            Some(signal) => Err(Cancelled { signal }),
        }
    }

    /// [`Cancel::check`] for code inside a `Read` or `Write`. The kind is not
    /// `Interrupted`, which the standard library would retry for ever.
    pub fn check_io(&self) -> io::Result<()> {
        self.check().map_err(io::Error::other)
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        15 => "SIGTERM",
        _ => "a signal",
    }
}
