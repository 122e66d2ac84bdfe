//! Lets only the chosen sections of a dump through to another target.
//!
//! Owns the second of two readings: the first found where the sections stand.
//! Refuses a stream whose length, rows or sequences are not those of the first.
//! Copies nothing: blocks pass through, cut to what is chosen.

use std::io::{self, BufRead, Read};
use std::ops::Range;

use super::{Received, Target, TargetError};
use crate::cancel::Cancel;
use crate::dump::Choice;
use crate::reached::Reached;

/// A target whose inner one receives a part: a whole dump by the rules of
/// `DumpReader`, with head and trailer.
pub struct Selected {
    inner: Box<dyn Target>,
    choice: Choice,
    cancel: Cancel,
}

impl Selected {
    pub fn new(inner: Box<dyn Target>, choice: Choice, cancel: Cancel) -> Self {
        Self {
            inner,
            choice,
            cancel,
        }
    }
}

impl Target for Selected {
    fn receive(&mut self, stream: &mut dyn BufRead) -> Result<Received, TargetError> {
        let mut sections = Sections::new(stream, &self.choice, &self.cancel);
        let mut received = self.inner.receive(&mut sections)?;
        if let Some(database) = &received.database
            && let [difference, ..] = &self.choice.differences(&database.ledger)[..]
        {
            return Err(TargetError::Hostile {
                what: format!("the archive's second reading differs from its first: {difference}"),
            });
        }
        received.warnings.extend(self.choice.warnings());
        received.part = Some(self.choice.part.clone());
        Ok(received)
    }

    fn read_back(&mut self, advance: &dyn Fn(u64)) -> Result<Option<Received>, TargetError> {
        let received = self.inner.read_back(advance)?;
        Ok(received.map(|received| Received {
            part: Some(self.choice.part.clone()),
            ..received
        }))
    }

    fn commit(&mut self, reached: &mut Reached) -> Result<Vec<String>, TargetError> {
        self.inner.commit(reached)
    }

    fn abandon(&mut self) -> Vec<String> {
        self.inner.abandon()
    }
}

/// The chosen stretches of a stream, one after the other.
struct Sections<'a> {
    stream: &'a mut dyn BufRead,
    /// Those that are not yet through.
    passes: &'a [Range<u64>],
    raw_bytes: u64,
    /// Bytes of the stream consumed so far.
    at: u64,
    cancel: &'a Cancel,
}

impl<'a> Sections<'a> {
    fn new(stream: &'a mut dyn BufRead, choice: &'a Choice, cancel: &'a Cancel) -> Self {
        Self {
            stream,
            passes: choice.passes(),
            raw_bytes: choice.raw_bytes(),
            at: 0,
            cancel,
        }
    }

    /// Goes to the next byte that is let through and gives how many follow it
    /// in one stretch; 0 at the stream's end. The end is read in any case, for
    /// what is checked there.
    fn skip(&mut self) -> io::Result<u64> {
        loop {
            while let [pass, rest @ ..] = self.passes
                && pass.end <= self.at
            {
                self.passes = rest;
            }
            let next = self.passes.first().map_or(u64::MAX, |pass| pass.start);
            if let Some(pass) = self.passes.first()
                && next <= self.at
            {
                return Ok(pass.end - self.at);
            }
            self.cancel.check().map_err(io::Error::other)?;
            let block_bytes = self.stream.fill_buf()?.len() as u64;
            if block_bytes == 0 {
                return match self.at == self.raw_bytes {
                    true => Ok(0),
                    false => Err(differs()),
                };
            }
            self.consume(length(block_bytes.min(next - self.at)));
        }
    }
}

impl BufRead for Sections<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let passing = self.skip()?;
        if passing == 0 {
            return Ok(&[]);
        }
        let block = self.stream.fill_buf()?;
        if block.is_empty() {
            return Err(differs());
        }
        Ok(&block[..block.len().min(length(passing))])
    }

    fn consume(&mut self, consumed: usize) {
        self.stream.consume(consumed);
        self.at += consumed as u64;
    }
}

impl Read for Sections<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut block = self.fill_buf()?;
        let read = block.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

/// What does not fit a `usize` is longer than any block.
fn length(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn differs() -> io::Error {
    let what = "its second reading has another length than its first; try again, and verify the \
                archive if it happens again";
    io::Error::new(io::ErrorKind::InvalidData, what)
}
