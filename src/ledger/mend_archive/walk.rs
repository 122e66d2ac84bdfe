//! A way through a stream with gaps on which a few steps back are possible: what was
//! taken for data and is none may have hidden the front of what is.

use std::io;

use super::MendArchiveError;
use crate::format::mended::Stretches;
use crate::format::pg_archive::{INT_BYTES, int_of};

/// Steps back that are always possible, but for a stretch's beginning. Data that are none
/// show that with the first number or text that cannot be one, and the front of others is
/// seven bytes.
const BACK_BYTES: usize = 256;

pub(super) struct Walk<'a> {
    stream: &'a mut dyn Stretches,
    /// The last bytes that were read of the stretch.
    last: Vec<u8>,
    /// So many of them are to be read again.
    again: usize,
}

/// The stretch is over.
pub(super) struct Over;

/// A step, if the stretch has as much.
pub(super) type Step<T> = Result<Result<T, Over>, MendArchiveError>;

impl<'a> Walk<'a> {
    pub fn new(stream: &'a mut dyn Stretches) -> Self {
        Self {
            stream,
            last: Vec::new(),
            again: 0,
        }
    }

    pub fn position(&self) -> u64 {
        self.stream.position() - self.again as u64
    }

    /// What comes next; nothing at the stretch's end.
    pub fn ahead(&mut self) -> io::Result<&[u8]> {
        match self.again {
            0 => self.stream.fill_buf(),
            again => Ok(&self.last[self.last.len() - again..]),
        }
    }

    /// `bytes`: no more than are ahead.
    pub fn pass(&mut self, bytes: usize) -> io::Result<()> {
        if self.again > 0 {
            self.again = self.again.saturating_sub(bytes);
            return Ok(());
        }
        let piece = self.stream.fill_buf()?;
        let passed = &piece[..bytes.min(piece.len())];
        let kept = &passed[passed.len().saturating_sub(BACK_BYTES)..];
        self.last.extend_from_slice(kept);
        if self.last.len() > 8 * BACK_BYTES {
            self.last.drain(..self.last.len() - BACK_BYTES);
        }
        self.stream.consume(bytes);
        Ok(())
    }

    /// To `position`, or as far back as that is possible.
    pub fn back_to(&mut self, position: u64) {
        let back = self.stream.position().saturating_sub(position);
        let back = usize::try_from(back).unwrap_or(usize::MAX);
        self.again = back.min(self.last.len());
    }

    /// Beyond the next gap; `false` where there is none.
    pub fn next_stretch(&mut self) -> io::Result<bool> {
        self.last.clear();
        self.again = 0;
        Ok(self.stream.next_stretch()?.is_some())
    }

    pub fn byte(&mut self) -> Step<u8> {
        let Some(byte) = self.ahead()?.first().copied() else {
            return Ok(Err(Over));
        };
        self.pass(1)?;
        Ok(Ok(byte))
    }

    /// `None`: that is no number.
    pub fn int(&mut self) -> Step<Option<i64>> {
        let mut bytes = [0; INT_BYTES];
        for place in &mut bytes {
            match self.byte()? {
                Ok(byte) => *place = byte,
                Err(over) => return Ok(Err(over)),
            }
        }
        Ok(Ok(int_of(bytes)))
    }
}
