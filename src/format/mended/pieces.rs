//! For tests: a stream with gaps out of slices, and what a plan makes of it.

use std::io::{self, BufRead, Read};

use super::{Gap, Part, Plan, Stretches};

/// Stretches with the gaps behind them.
pub(crate) struct Pieces<'a> {
    left: Vec<(&'a [u8], Option<Gap>)>,
    given: u64,
    by: usize,
}

impl<'a> Pieces<'a> {
    pub fn new(left: Vec<(&'a [u8], Option<Gap>)>) -> Self {
        Self {
            left,
            given: 0,
            by: 97,
        }
    }

    /// Gives as many bytes at a time.
    pub fn by(self, by: usize) -> Self {
        Self { by, ..self }
    }

    /// `whole` without what is lost of it.
    pub fn without(whole: &'a [u8], lost: std::ops::Range<usize>) -> Self {
        let gap = Gap {
            bytes: Some(lost.len() as u64),
        };
        let behind = (&whole[lost.end..], None);
        Self::new(vec![(&whole[..lost.start], Some(gap)), behind])
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let first = self.left.first();
        Ok(first.map_or(&[][..], |(bytes, _)| &bytes[..bytes.len().min(self.by)]))
    }

    fn consume(&mut self, bytes: usize) {
        if let Some((left, _)) = self.left.first_mut() {
            *left = &left[bytes..];
            self.given += bytes as u64;
        }
    }
}

impl Stretches for Pieces<'_> {
    fn next_stretch(&mut self) -> io::Result<Option<Gap>> {
        match self.left.is_empty() {
            true => Ok(None),
            false => Ok(self.left.remove(0).1),
        }
    }

    fn position(&self) -> u64 {
        self.given
    }
}

/// `left`: the stretches, one after the other.
pub(crate) fn made(plan: Plan, left: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in plan.into_parts() {
        match part {
            Part::Keep(place) => out.extend(&left[place.start as usize..place.end as usize]),
            Part::Bytes(bytes) => out.extend(bytes),
            Part::Zeros(bytes) => out.resize(out.len() + bytes as usize, 0),
        }
    }
    out
}
