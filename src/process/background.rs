//! A server of our own that runs beside us: nothing flows to or from it, it is
//! there until it is dropped. What it says last is kept, to tell why it went.

use std::io;
use std::process::Stdio;

use super::child::Child;
use super::{ProcessError, Tool};

/// A running server. Dropping it ends it, and waits for that.
pub struct ChildServer {
    child: Child,
}

impl ChildServer {
    pub fn spawn(tool: &Tool) -> Result<Self, ProcessError> {
        let child = Child::spawn(tool, Stdio::null(), Stdio::null())?;
        Ok(Self { child })
    }

    /// Has it end by its own signal, from any thread; it is waited for as ever.
    pub fn stopper(&self) -> impl FnOnce() + Send + use<> {
        self.child.stopper()
    }

    /// An error if it has ended, which it should not: why.
    pub fn check(&mut self) -> Result<(), ProcessError> {
        if !self.child.has_ended() {
            return Ok(());
        }
        self.child.finish()?;
        Err(ProcessError::Pipe {
            program: self.child.tool().name(),
            source: io::Error::other("it ended by itself"),
        })
    }
}
