//! The payload of KLUIS1: 64 KiB chunks under AES-256-GCM, in the STREAM
//! construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015). The last chunk says
//! that it is the last, so a cut is found as surely as a flipped bit.
//!
//! Invariant: [`FrameOpener`] gives out no byte of a chunk whose tag it has not
//! checked; [`FrameSealer`] never uses a nonce twice.

use std::io::{self, Read, Write};

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};

use super::header::CHUNK_LOG2;
use super::keys::SecretKey;

mod past_damage;

pub use past_damage::{Chunk, FramesPastDamage};

/// Plaintext bytes of every chunk but the last.
pub const CHUNK_LEN: usize = 1 << CHUNK_LOG2;
pub const TAG_LEN: usize = 16;
const SEALED_LEN: usize = CHUNK_LEN + TAG_LEN;
/// Chunks read or written at a time: one system call moves about 1 MiB.
const CHUNKS_AT_ONCE: usize = 16;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error(
        "chunk {chunk} (at byte {offset} of the payload) is damaged, or not this archive's: \
             its tag is wrong"
    )]
    Damaged { chunk: u32, offset: u64 },
    #[error("it ends in the middle: chunks are missing behind a whole one")]
    Truncated,
    #[error("its end is damaged or cut short: the tag of its last {bytes} bytes is wrong")]
    DamagedEnd { bytes: usize },
    #[error("bytes follow the last chunk")]
    Trailing,
    #[error("it ends in an empty chunk although it is not empty")]
    EmptyLast,
    #[error("it is longer than 2^32 chunks (256 TiB)")]
    TooLong,
    #[error("a chunk was to follow the last one")]
    Ended,
    #[error("AES-256-GCM refused a chunk")]
    Refused,
}

impl From<FrameError> for io::Error {
    fn from(error: FrameError) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

/// 7 zero bytes | counter | last flag. The key is the archive's own, so a nonce
/// is unique if the counter is.
fn nonce(counter: u32, last: bool) -> Nonce<aes_gcm::aead::consts::U12> {
    let mut nonce = [0; 12];
    nonce[7..11].copy_from_slice(&counter.to_be_bytes());
    nonce[11] = last.into();
    nonce.into()
}

/// Where every nonce of a payload comes from. Gives each one out once: the
/// counter moves on before the nonce is used, so no failure behind it leads back
/// to the same one, and nothing follows the last chunk. There is one of these for
/// a payload key, since a sealer takes the key with it.
struct ChunkNonces {
    next: Result<u32, FrameError>,
}

impl ChunkNonces {
    fn new() -> Self {
        Self { next: Ok(0) }
    }

    /// The nonce of the next chunk; `last` says that none comes after it.
    fn take(&mut self, last: bool) -> Result<Nonce<aes_gcm::aead::consts::U12>, FrameError> {
        let after = match (&self.next, last) {
            (Ok(_), true) => Err(FrameError::Ended),
            (Ok(counter), false) => counter.checked_add(1).ok_or(FrameError::TooLong),
            (Err(FrameError::TooLong), _) => Err(FrameError::TooLong),
            (Err(_), _) => Err(FrameError::Ended),
        };
        let counter = std::mem::replace(&mut self.next, after)?;
        Ok(nonce(counter, last))
    }
}

/// Encrypts what is written through it. [`FrameSealer::finish`] is mandatory:
/// without it the payload has no last chunk, and no reader accepts it.
pub struct FrameSealer<W: Write> {
    inner: W,
    cipher: Aes256Gcm,
    nonces: ChunkNonces,
    /// Whole sealed chunks that wait for the next write, then the open chunk.
    buffer: Vec<u8>,
    /// Where the open chunk begins in `buffer`.
    open_at: usize,
}

impl<W: Write> FrameSealer<W> {
    /// Takes the key for good: a second payload under it would repeat nonces.
    pub fn new(inner: W, payload_key: SecretKey) -> Self {
        Self {
            inner,
            cipher: Aes256Gcm::new(payload_key.expose().into()),
            nonces: ChunkNonces::new(),
            buffer: Vec::with_capacity(CHUNKS_AT_ONCE * SEALED_LEN),
            open_at: 0,
        }
    }

    fn seal_open_chunk(&mut self, last: bool) -> Result<(), FrameError> {
        let nonce = self.nonces.take(last)?;
        let chunk = &mut self.buffer[self.open_at..];
        let tag = self
            .cipher
            .encrypt_inout_detached(&nonce, &[], chunk.into())
            .map_err(|_| FrameError::Refused)?;
        self.buffer.extend_from_slice(&tag);
        self.open_at = self.buffer.len();
        Ok(())
    }

    fn write_sealed_chunks(&mut self) -> io::Result<()> {
        self.inner.write_all(&self.buffer[..self.open_at])?;
        self.buffer.drain(..self.open_at);
        self.open_at = 0;
        Ok(())
    }

    /// Seals the last chunk and gives the writer back, unflushed.
    pub fn finish(mut self) -> io::Result<W> {
        self.seal_open_chunk(true)?;
        self.write_sealed_chunks()?;
        Ok(self.inner)
    }
}

impl<W: Write> Write for FrameSealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            // A full chunk is sealed only when a byte follows it: until then it
            // may be the last one.
            if self.buffer.len() - self.open_at == CHUNK_LEN {
                self.seal_open_chunk(false)?;
                if self.buffer.len() >= (CHUNKS_AT_ONCE - 1) * SEALED_LEN {
                    self.write_sealed_chunks()?;
                }
            }
            let room = CHUNK_LEN - (self.buffer.len() - self.open_at);
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.buffer.extend_from_slice(now);
            rest = later;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Decrypts what is read through it, about 1 MiB at a time.
pub struct FrameOpener<R: Read> {
    inner: R,
    cipher: Aes256Gcm,
    counter: u32,
    /// Sealed bytes as read, opened in place; `plain` are the parts given out.
    buffer: Vec<u8>,
    filled: usize,
    /// Start and end of the opened chunk that is being given out.
    plain: std::ops::Range<usize>,
    /// Where the next sealed chunk begins.
    next: usize,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Reading,
    /// The inner reader has ended.
    AtEnd,
    /// The last chunk was opened.
    Done,
}

impl<R: Read> FrameOpener<R> {
    pub fn new(inner: R, payload_key: &SecretKey) -> Self {
        Self {
            inner,
            cipher: Aes256Gcm::new(payload_key.expose().into()),
            counter: 0,
            // One byte more than whole chunks: it tells whether a chunk is the last.
            buffer: vec![0; CHUNKS_AT_ONCE * SEALED_LEN + 1],
            filled: 0,
            plain: 0..0,
            next: 0,
            state: State::Reading,
        }
    }

    /// The next opened chunk's bytes; empty at the end of the payload.
    pub fn next_chunk(&mut self) -> io::Result<&[u8]> {
        self.open_next()?;
        let range = std::mem::replace(&mut self.plain, 0..0);
        Ok(&self.buffer[range])
    }

    fn open_next(&mut self) -> io::Result<()> {
        self.plain = 0..0;
        if self.state == State::Done {
            return Ok(());
        }
        // A whole chunk and a byte behind it prove that it is not the last.
        if self.filled - self.next <= SEALED_LEN && self.state == State::Reading {
            self.refill()?;
        }
        let sealed_len = (self.filled - self.next).min(SEALED_LEN);
        let last = self.filled - self.next <= SEALED_LEN;
        if sealed_len < TAG_LEN {
            return Err(FrameError::DamagedEnd { bytes: sealed_len }.into());
        }
        self.open_in_place(sealed_len, last)?;
        self.plain = self.next..self.next + sealed_len - TAG_LEN;
        self.next += sealed_len;
        if last {
            if self.plain.is_empty() && self.counter > 0 {
                return Err(FrameError::EmptyLast.into());
            }
            self.state = State::Done;
        }
        self.counter = match self.counter.checked_add(1) {
            Some(next) => next,
            None if last => self.counter,
            None => return Err(FrameError::TooLong.into()),
        };
        Ok(())
    }

    fn open_in_place(&mut self, sealed_len: usize, last: bool) -> Result<(), FrameError> {
        let sealed = &mut self.buffer[self.next..self.next + sealed_len];
        let (chunk, tag) = sealed.split_at_mut(sealed_len - TAG_LEN);
        let tag = Tag::try_from(&*tag).map_err(|_| FrameError::Refused)?;
        let opened = self.cipher.decrypt_inout_detached(
            &nonce(self.counter, last),
            &[],
            (&mut *chunk).into(),
            &tag,
        );
        opened.map_err(|_| self.explain(sealed_len, last))
    }

    /// Why the chunk at `next` did not open. A chunk that opens with the other
    /// last flag is whole: then the archive was cut behind it, or grew.
    /// It is opened in place, and no part of it is ever given out.
    fn explain(&mut self, sealed_len: usize, last: bool) -> FrameError {
        let sealed = &mut self.buffer[self.next..self.next + sealed_len];
        let (chunk, tag) = sealed.split_at_mut(sealed_len - TAG_LEN);
        let other = Tag::try_from(&*tag).is_ok_and(|tag| {
            let flipped = nonce(self.counter, !last);
            self.cipher
                .decrypt_inout_detached(&flipped, &[], chunk.into(), &tag)
                .is_ok()
        });
        match (other, last) {
            (true, true) => FrameError::Truncated,
            (true, false) => FrameError::Trailing,
            (false, true) => FrameError::DamagedEnd { bytes: sealed_len },
            (false, false) => FrameError::Damaged {
                chunk: self.counter,
                offset: u64::from(self.counter) * SEALED_LEN as u64,
            },
        }
    }

    fn refill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.next..self.filled, 0);
        self.filled -= self.next;
        self.next = 0;
        while self.filled < self.buffer.len() {
            match self.inner.read(&mut self.buffer[self.filled..]) {
                Ok(0) => {
                    self.state = State::AtEnd;
                    break;
                }
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether the last chunk has been opened: only then is the payload whole.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    pub fn into_inner(self) -> R {
        self.inner
    }
}

#[cfg(test)]
mod tests;
