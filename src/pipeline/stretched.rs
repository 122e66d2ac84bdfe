//! What is left of a damaged archive as readers: with its gaps as ends, or mended by a
//! plan.

use std::io::{self, BufRead, Read};
use std::vec::IntoIter;

use super::past_damage::{PastDamage, Piece};
use crate::format::mended::{Gap, Part, Plan, Stretches};

/// Ends at each gap.
pub struct Stretched<R: Read> {
    pieces: PastDamage<R>,
    current: Vec<u8>,
    given: usize,
    /// Bytes of the pieces before.
    before: u64,
    /// What the stretch ended with; `None` inside: the end of all.
    gap: Option<Option<Gap>>,
}

impl<R: Read> Stretched<R> {
    pub fn new(pieces: PastDamage<R>) -> Self {
        Self {
            pieces,
            current: Vec::new(),
            given: 0,
            before: 0,
            gap: None,
        }
    }
}

impl<R: Read> BufRead for Stretched<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.given == self.current.len() && self.gap.is_none() {
            match self.pieces.next_piece().map_err(io::Error::other)? {
                Some(Piece::Bytes(bytes)) => {
                    self.before += self.current.len() as u64;
                    self.current = bytes;
                    self.given = 0;
                }
                Some(Piece::Gap(bytes)) => self.gap = Some(Some(Gap { bytes })),
                None => self.gap = Some(None),
            }
        }
        Ok(&self.current[self.given..])
    }

    fn consume(&mut self, bytes: usize) {
        self.given = (self.given + bytes).min(self.current.len());
    }
}

impl<R: Read> Read for Stretched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> Stretches for Stretched<R> {
    fn next_stretch(&mut self) -> io::Result<Option<Gap>> {
        loop {
            let bytes = self.fill_buf()?.len();
            if bytes == 0 {
                break;
            }
            self.consume(bytes);
        }
        match self.gap {
            Some(Some(gap)) => {
                self.gap = None;
                Ok(Some(gap))
            }
            Some(None) | None => Ok(None),
        }
    }

    fn position(&self) -> u64 {
        self.before + self.given as u64
    }
}

/// One without a gap.
pub struct Unbroken<R> {
    stream: R,
    given: u64,
}

impl<R: BufRead> Unbroken<R> {
    pub fn new(stream: R) -> Self {
        Self { stream, given: 0 }
    }
}

impl<R: BufRead> BufRead for Unbroken<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.stream.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.given += bytes as u64;
        self.stream.consume(bytes);
    }
}

impl<R: BufRead> Read for Unbroken<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> Stretches for Unbroken<R> {
    fn next_stretch(&mut self) -> io::Result<Option<Gap>> {
        loop {
            let bytes = self.fill_buf()?.len();
            if bytes == 0 {
                return Ok(None);
            }
            self.consume(bytes);
        }
    }

    fn position(&self) -> u64 {
        self.given
    }
}

/// The stream that a plan makes of it.
pub struct Mended<S> {
    stream: S,
    parts: IntoIter<Part>,
    now: Option<Part>,
}

impl<S: Stretches> Mended<S> {
    pub fn new(stream: S, plan: Plan) -> Self {
        Self {
            stream,
            parts: plan.into_parts().into_iter(),
            now: None,
        }
    }

    /// Reads on to what is kept next.
    fn skip_to(&mut self, place: u64) -> io::Result<()> {
        while self.stream.position() < place {
            let ahead = place - self.stream.position();
            let bytes = self.stream.fill_buf()?.len();
            if bytes == 0 {
                self.go_on()?;
            }
            let step = bytes.min(usize::try_from(ahead).unwrap_or(usize::MAX));
            self.stream.consume(step);
        }
        Ok(())
    }

    fn go_on(&mut self) -> io::Result<()> {
        let another = "its second reading ends before its first one did";
        let gap = self.stream.next_stretch()?;
        gap.map(drop)
            .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, another))
    }
}

impl<S: Stretches> Read for Mended<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let Some(part) = self.now.take().or_else(|| self.parts.next()) else {
                return Ok(0);
            };
            let (count, left) = match part {
                Part::Keep(place) => {
                    self.skip_to(place.start)?;
                    let mut bytes = self.stream.fill_buf()?;
                    if bytes.is_empty() && !place.is_empty() {
                        self.go_on()?;
                        bytes = self.stream.fill_buf()?;
                    }
                    let len = usize::try_from(place.end - place.start).unwrap_or(usize::MAX);
                    let mut bytes = &bytes[..bytes.len().min(len)];
                    let count = bytes.read(buffer)?;
                    self.stream.consume(count);
                    (count, Part::Keep(place.start + count as u64..place.end))
                }
                Part::Zeros(bytes) => {
                    let count = buffer
                        .len()
                        .min(usize::try_from(bytes).unwrap_or(usize::MAX));
                    buffer[..count].fill(0);
                    (count, Part::Zeros(bytes - count as u64))
                }
                Part::Bytes(mut bytes) => {
                    let count = bytes.len().min(buffer.len());
                    buffer[..count].copy_from_slice(&bytes[..count]);
                    bytes.drain(..count);
                    (count, Part::Bytes(bytes))
                }
            };
            let is_done = match &left {
                Part::Keep(place) => place.is_empty(),
                Part::Zeros(bytes) => *bytes == 0,
                Part::Bytes(bytes) => bytes.is_empty(),
            };
            self.now = (!is_done).then_some(left);
            if count > 0 {
                return Ok(count);
            }
        }
    }
}
