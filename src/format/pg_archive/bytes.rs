//! The numbers and texts that an archive is made of. Every length is bounded before it
//! is believed.

use super::toc::TocError;
use crate::format::mended::Stretches;

/// A sign, then four bytes, the lowest first. The archive says how many they are; no
/// machine that PostgreSQL runs on has another number.
pub const INT_BYTES: usize = 5;

/// `None`: that is no number.
pub fn int_of(bytes: [u8; INT_BYTES]) -> Option<i64> {
    let [sign, number @ ..] = bytes;
    let number = i64::from(u32::from_le_bytes(number));
    match sign {
        0 => Some(number),
        1 => Some(-number),
        _ => None,
    }
}

/// Reads on in the present stretch.
pub(super) struct Bytes<'a> {
    stream: &'a mut dyn Stretches,
    /// How much may still be kept of the texts.
    room: usize,
}

impl<'a> Bytes<'a> {
    pub fn new(stream: &'a mut dyn Stretches, room: usize) -> Self {
        Self { stream, room }
    }

    pub fn position(&self) -> u64 {
        self.stream.position()
    }

    pub fn take<const N: usize>(&mut self) -> Result<[u8; N], TocError> {
        let mut bytes = [0; N];
        for byte in &mut bytes {
            let piece = self.stream.fill_buf()?;
            *byte = *piece.first().ok_or(TocError::Cut)?;
            self.stream.consume(1);
        }
        Ok(bytes)
    }

    pub fn byte(&mut self) -> Result<u8, TocError> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub fn int(&mut self) -> Result<i64, TocError> {
        int_of(self.take()?).ok_or(TocError::Refused("it holds a number that is none"))
    }

    /// Passes over it.
    pub fn skip(&mut self, bytes: u64) -> Result<(), TocError> {
        let mut left = bytes;
        while left > 0 {
            let piece = self.stream.fill_buf()?.len();
            if piece == 0 {
                return Err(TocError::Cut);
            }
            let step = piece.min(usize::try_from(left).unwrap_or(usize::MAX));
            self.stream.consume(step);
            left -= step as u64;
        }
        Ok(())
    }

    /// `None`: there is no text.
    fn length(&mut self) -> Result<Option<u64>, TocError> {
        Ok(u64::try_from(self.int()?).ok())
    }

    /// Whether there was a text.
    pub fn skip_text(&mut self) -> Result<bool, TocError> {
        let length = self.length()?;
        self.skip(length.unwrap_or(0))?;
        Ok(length.is_some())
    }

    pub fn text(&mut self) -> Result<Vec<u8>, TocError> {
        let length = self.length()?.unwrap_or(0);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.room = self
            .room
            .checked_sub(length)
            .ok_or(TocError::Refused("its names are longer than names are"))?;
        let mut text = Vec::new();
        while text.len() < length {
            let piece = self.stream.fill_buf()?;
            if piece.is_empty() {
                return Err(TocError::Cut);
            }
            let step = piece.len().min(length - text.len());
            text.extend_from_slice(&piece[..step]);
            self.stream.consume(step);
        }
        Ok(text)
    }
}
