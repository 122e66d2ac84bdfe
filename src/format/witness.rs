//! What a reading saw of a file that proves nothing by itself: a hash of each piece.
//! Another reading that is held to it hands on no byte of any other file, whoever
//! writes to the place meanwhile. A digest of the whole comes too late for a reader
//! that runs what it reads.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// 32 MiB of hashes for a terabyte.
const PIECE_BYTES: usize = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it was changed between two readings: somebody else writes to it; look who can write to the \
     storage, and try again"
)]
pub struct Changed;

impl From<Changed> for io::Error {
    fn from(changed: Changed) -> Self {
        Self::new(io::ErrorKind::InvalidData, changed)
    }
}

/// The hashes of a file's pieces in their order, all but the last of
/// [`PIECE_BYTES`].
#[derive(Clone, Debug, Default)]
pub struct Witness {
    pieces: Vec<[u8; 32]>,
}

/// Passes on what it reads and notes it.
pub struct Noting<R> {
    inner: R,
    piece: Sha256,
    piece_bytes: usize,
    witness: Witness,
}

impl<R: Read> Noting<R> {
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            piece: Sha256::new(),
            piece_bytes: 0,
            witness: Witness::default(),
        }
    }

    /// What was read so far; the whole file, if that was read to its end.
    pub fn finish(self) -> Witness {
        self.into_parts().1
    }

    /// The reader, and [`Noting::finish`].
    pub fn into_parts(mut self) -> (R, Witness) {
        if self.piece_bytes > 0 {
            self.end_piece();
        }
        (self.inner, self.witness)
    }

    fn end_piece(&mut self) {
        let hash = self.piece.finalize_reset();
        self.witness.pieces.push(hash.into());
        self.piece_bytes = 0;
    }
}

impl<R: Read> Read for Noting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limit = buffer.len().min(PIECE_BYTES - self.piece_bytes);
        let read_bytes = self.inner.read(&mut buffer[..limit])?;
        self.piece.update(&buffer[..read_bytes]);
        self.piece_bytes += read_bytes;
        if self.piece_bytes == PIECE_BYTES {
            self.end_piece();
        }
        Ok(read_bytes)
    }
}

/// Hands on only what its witness saw; anything else is [`Changed`] before a byte of
/// that piece is out.
pub struct Held<R> {
    inner: R,
    witness: Witness,
    /// The next piece.
    at: usize,
    piece: Vec<u8>,
    given_bytes: usize,
}

impl<R: Read> Held<R> {
    pub fn new(inner: R, witness: Witness) -> Self {
        Self {
            inner,
            witness,
            at: 0,
            piece: Vec::new(),
            given_bytes: 0,
        }
    }

    pub fn into_inner(self) -> R {
        self.inner
    }

    fn next_piece(&mut self) -> io::Result<()> {
        self.piece.clear();
        self.given_bytes = 0;
        let mut limited = self.inner.by_ref().take(PIECE_BYTES as u64);
        limited.read_to_end(&mut self.piece)?;
        let seen = self.witness.pieces.get(self.at);
        let is_seen = match self.piece.is_empty() {
            true => seen.is_none(),
            false => seen.is_some_and(|seen| Sha256::digest(&self.piece)[..] == seen[..]),
        };
        if !is_seen {
            self.piece.clear();
            return Err(Changed.into());
        }
        self.at += 1;
        Ok(())
    }
}

impl<R: Read> Read for Held<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.given_bytes == self.piece.len() && self.at <= self.witness.pieces.len() {
            self.next_piece()?;
        }
        let left = &self.piece[self.given_bytes..];
        let given = left.len().min(buffer.len());
        buffer[..given].copy_from_slice(&left[..given]);
        self.given_bytes += given;
        Ok(given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn witness(bytes: &[u8]) -> Witness {
        let mut noting = Noting::new(bytes);
        io::copy(&mut noting, &mut io::sink()).unwrap();
        noting.finish()
    }

    /// What came out, and whether the end was reached.
    fn held(seen: &[u8], now: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::new();
        let ended = Held::new(now, witness(seen)).read_to_end(&mut out);
        (out, ended.is_ok())
    }

    fn file(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|at| (at % 251) as u8).collect()
    }

    #[test]
    fn the_same_file_passes_whatever_its_length() {
        for bytes in [
            0,
            1,
            PIECE_BYTES - 1,
            PIECE_BYTES,
            PIECE_BYTES + 1,
            3 * PIECE_BYTES,
        ] {
            let file = file(bytes);
            assert_eq!(held(&file, &file), (file, true), "{bytes}");
        }
    }

    #[test]
    fn not_a_byte_of_a_piece_that_was_changed_comes_out() {
        let seen = file(3 * PIECE_BYTES + 5);
        for at in [0, PIECE_BYTES, 2 * PIECE_BYTES - 1, 3 * PIECE_BYTES + 4] {
            let mut now = seen.clone();
            now[at] ^= 1;
            let whole = at / PIECE_BYTES * PIECE_BYTES;
            assert_eq!(held(&seen, &now), (seen[..whole].to_vec(), false), "{at}");
        }
    }

    #[test]
    fn a_file_that_was_cut_or_grew_is_another() {
        let seen = file(2 * PIECE_BYTES);
        for now in [
            file(0),
            file(PIECE_BYTES),
            file(2 * PIECE_BYTES - 1),
            file(2 * PIECE_BYTES + 1),
        ] {
            let (out, is_right) = held(&seen, &now);
            assert!(!is_right && seen.starts_with(&out), "{}", now.len());
        }
        assert_eq!(held(&[], &[1]), (Vec::new(), false));
    }
}
