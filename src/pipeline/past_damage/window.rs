//! The compressed stream of a damaged archive, as much of it as is looked at.

use std::collections::VecDeque;
use std::io::Read;
use std::ops::Range;

use crate::format::frames::{Chunk, FramesPastDamage};
use crate::format::legacy::LegacyReader;
use crate::pipeline::{Opening, UnsealError};

/// What is read at a time.
pub(super) const PIECE_BYTES: usize = 256 << 10;

/// What surrounds the content, taken off as far as it can be.
pub(super) enum Inner<R: Read> {
    Plain(R),
    Kluis1(Box<FramesPastDamage<R>>),
    /// Whole: its one tag stands for all of it, so of a damaged one nothing comes out.
    Kanbu(Box<LegacyReader<R>>),
}

impl<R: Read> Inner<R> {
    pub fn new(stored: R, opening: Opening) -> Result<Self, UnsealError> {
        match opening {
            Opening::Plain => Ok(Self::Plain(stored)),
            Opening::Kluis1 { payload_key } => Ok(Self::Kluis1(Box::new(FramesPastDamage::new(
                stored,
                &payload_key,
            )))),
            Opening::Kanbu(authenticated) => {
                Ok(Self::Kanbu(Box::new(authenticated.decrypt(stored)?)))
            }
        }
    }
}

/// `false` at the end.
fn append(stored: &mut impl Read, bytes: &mut Vec<u8>) -> Result<bool, UnsealError> {
    let mut limited = stored.take(PIECE_BYTES as u64);
    let read = limited.read_to_end(bytes);
    Ok(read.map_err(UnsealError::Storage)? > 0)
}

/// A stretch of the content, zeros where it is lost.
pub(super) struct Window<R: Read> {
    inner: Inner<R>,
    bytes: Vec<u8>,
    /// Where it begins in the content.
    base: u64,
    pub holes: VecDeque<Range<u64>>,
    ended: bool,
}

impl<R: Read> Window<R> {
    pub fn new(inner: Inner<R>) -> Self {
        Self {
            inner,
            bytes: Vec::new(),
            base: 0,
            holes: VecDeque::new(),
            ended: false,
        }
    }

    pub fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// As much of it as there is.
    pub fn bytes(&self, place: Range<u64>) -> &[u8] {
        let within = |at: u64| usize::try_from(at.saturating_sub(self.base)).unwrap_or(usize::MAX);
        let end = within(place.end).min(self.bytes.len());
        &self.bytes[within(place.start).min(end)..end]
    }

    pub fn is_lost(&self, place: &Range<u64>) -> bool {
        let mut holes = self.holes.iter();
        holes.any(|hole| hole.start < place.end && place.start < hole.end)
    }

    /// Whether what was read ends as it was written.
    pub fn is_whole(&self) -> bool {
        match &self.inner {
            Inner::Plain(_) | Inner::Kanbu(_) => true,
            Inner::Kluis1(frames) => frames.is_whole,
        }
    }

    pub fn is_sealed(&self) -> bool {
        matches!(self.inner, Inner::Kluis1(_))
    }

    /// `false` where the content ends before `end`.
    pub fn fill_to(&mut self, end: u64) -> Result<bool, UnsealError> {
        while self.end() < end && !self.ended {
            let at = self.end();
            match &mut self.inner {
                Inner::Plain(stored) => self.ended = !append(stored, &mut self.bytes)?,
                Inner::Kanbu(stored) => self.ended = !append(stored, &mut self.bytes)?,
                Inner::Kluis1(frames) => match frames.next_chunk().map_err(UnsealError::Storage)? {
                    None => self.ended = true,
                    Some(Chunk::Whole(chunk)) => self.bytes.extend_from_slice(&chunk),
                    Some(Chunk::Damaged(lost)) => {
                        self.bytes.resize(self.bytes.len() + lost as usize, 0);
                        self.holes.push_back(at..at + lost);
                    }
                },
            }
        }
        Ok(self.end() >= end)
    }

    /// What stands before `at` is needed no more.
    pub fn let_go(&mut self, at: u64) {
        let gone = usize::try_from(at.saturating_sub(self.base)).unwrap_or(usize::MAX);
        // Moved seldom: each time costs the rest of the window.
        if gone < 4 * PIECE_BYTES {
            return;
        }
        let gone = gone.min(self.bytes.len());
        self.bytes.drain(..gone);
        self.base += gone as u64;
        while self.holes.front().is_some_and(|hole| hole.end <= self.base) {
            self.holes.pop_front();
        }
    }
}
