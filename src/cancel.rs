//! The request to stop, as a value: set once by whoever hears the signal, asked
//! by every loop that moves bytes. Owns no signal handler and no clock itself.
//!
//! A backup's pass of bytes can be stopped alone, where nothing moves: then what
//! the run does behind it goes on.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// As alarms do: what a limit stops ends by this signal's exit code.
pub const LIMIT: i32 = 14;

/// Shared by every thread of a run; clones are the same request.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// 0 is none.
    signal: AtomicI32,
    /// Of the pass that is under way. Written where `pass` is locked, so that each loop
    /// may read it without.
    has_stalled: AtomicBool,
    pass: Mutex<Moves>,
    last_words: Mutex<Option<String>>,
}

#[derive(Debug, Default)]
struct Moves {
    is_under_way: bool,
    /// Grows with each move, and with each pass that begins.
    number: u64,
    /// What ends the children of this pass, and no others.
    first_child: u64,
}

/// The run was asked to stop by the signal of this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted by {}", name(*.signal, *.stalled))]
pub struct Cancelled {
    pub signal: i32,
    /// Not by a signal: nothing moved.
    pub stalled: bool,
}

/// The bytes of one backup, on their way from before its source is asked for until
/// its archive is written. They are watched so long.
#[derive(Debug)]
pub struct Pass<'a>(&'a Cancel);

impl Pass<'_> {
    /// An error where it was found to stand still, whatever it came to.
    pub fn end(self) -> Result<(), Cancelled> {
        match self.0.has_stalled() {
            true => Err(STALLED),
            false => Ok(()),
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut moves = self.0.moves();
        moves.is_under_way = false;
        self.0.0.has_stalled.store(false, Ordering::SeqCst);
    }
}

const STALLED: Cancelled = Cancelled {
    signal: LIMIT,
    stalled: true,
};

impl Cancel {
    /// Asks for the stop. The first signal is the one that is reported.
    pub fn request(&self, signal: i32) {
        let asked = &self.0.signal;
        let _ = asked.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Begins a pass, whose children are `first_child` and those behind it. There is
    /// one at a time.
    pub fn pass(&self, first_child: u64) -> Pass<'_> {
        let mut moves = self.moves();
        moves.is_under_way = true;
        moves.number += 1;
        moves.first_child = first_child;
        drop(moves);
        Pass(self)
    }

    /// Something of the pass has moved.
    pub fn moved(&self) {
        self.moves().number += 1;
    }

    /// How often something has moved, while a pass is under way.
    pub fn pulse(&self) -> Option<u64> {
        let moves = self.moves();
        moves.is_under_way.then_some(moves.number)
    }

    /// Stops the pass, if nothing has moved since the pulse was `seen`; gives the
    /// first of its children then.
    pub fn stall(&self, seen: u64) -> Option<u64> {
        let moves = self.moves();
        let stalls = moves.is_under_way && moves.number == seen;
        if stalls {
            self.0.has_stalled.store(true, Ordering::SeqCst);
        }
        stalls.then_some(moves.first_child)
    }

    fn has_stalled(&self) -> bool {
        self.0.has_stalled.load(Ordering::Relaxed)
    }

    fn moves(&self) -> MutexGuard<'_, Moves> {
        // Whole between any two statements.
        self.0.pass.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The signal that asked, if any did.
    pub fn requested(&self) -> Option<i32> {
        match self.0.signal.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(signal),
        }
    }

    /// What is to be known if the run is ended from now on before it could tidy up
    /// and tell: what it leaves, and in which state. `None`: nothing.
    pub fn if_ended_at_once(&self, words: Option<String>) {
        *self.last_words() = words;
    }

    /// What [`Cancel::if_ended_at_once`] was told last.
    pub fn left_behind(&self) -> Option<String> {
        self.last_words().clone()
    }

    fn last_words(&self) -> MutexGuard<'_, Option<String>> {
        let words = self.0.last_words.lock();
        words.unwrap_or_else(PoisonError::into_inner)
    }

    pub fn check(&self) -> Result<(), Cancelled> {
        match self.requested() {
            Some(signal) => Err(Cancelled {
                signal,
                stalled: false,
            }),
            None if self.has_stalled() => Err(STALLED),
            None => Ok(()),
        }
    }

    /// [`Cancel::check`] for code inside a `Read` or `Write`. The kind is not
    /// `Interrupted`, which the standard library would retry for ever.
    pub fn check_io(&self) -> io::Result<()> {
        self.check().map_err(io::Error::other)
    }
}

fn name(signal: i32, stalled: bool) -> &'static str {
    match signal {
        _ if stalled => "its limit for bytes that do not move (stall_limit)",
        1 => "SIGHUP",
        2 => "SIGINT",
        LIMIT => "its time limit (run_limit)",
        15 => "SIGTERM",
        _ => "a signal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_that_stands_still_is_stopped_and_the_next_is_not() {
        let cancel = Cancel::default();
        assert_eq!(cancel.pulse(), None);
        let pass = cancel.pass(7);
        let seen = cancel.pulse().unwrap();
        assert_eq!(cancel.stall(seen), Some(7));
        let stopped = cancel.check().unwrap_err();
        assert_eq!(pass.end(), Err(stopped));
        assert_eq!((stopped.signal, cancel.requested()), (LIMIT, None));
        assert!(stopped.to_string().contains("stall_limit"), "{stopped}");
        assert_eq!(cancel.check(), Ok(()));
        let next = cancel.pass(8);
        assert_eq!(cancel.stall(seen), None);
        assert_eq!(next.end(), Ok(()));
    }

    #[test]
    fn what_has_moved_does_not_stall() {
        let cancel = Cancel::default();
        let pass = cancel.pass(0);
        let seen = cancel.pulse().unwrap();
        cancel.moved();
        assert_eq!(cancel.stall(seen), None);
        assert_eq!(pass.end(), Ok(()));
        assert_eq!(cancel.stall(seen + 1), None);
    }

    #[test]
    fn a_signal_is_told_before_a_stall() {
        let cancel = Cancel::default();
        let _pass = cancel.pass(0);
        cancel.stall(cancel.pulse().unwrap());
        cancel.request(15);
        assert_eq!(
            cancel.check().unwrap_err().to_string(),
            "interrupted by SIGTERM"
        );
    }
}
