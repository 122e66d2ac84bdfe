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

/// Encrypts what is written through it. [`FrameSealer::finish`] is mandatory:
/// without it the payload has no last chunk, and no reader accepts it.
pub struct FrameSealer<W: Write> {
    inner: W,
    cipher: Aes256Gcm,
    /// The next unused counter; `None` once 2^32 chunks are out.
    counter: Option<u32>,
    /// Whole sealed chunks that wait for the next write, then the open chunk.
    buffer: Vec<u8>,
    /// Where the open chunk begins in `buffer`.
    open_at: usize,
}

impl<W: Write> FrameSealer<W> {
    pub fn new(inner: W, payload_key: &SecretKey) -> Self {
        Self {
            inner,
            cipher: Aes256Gcm::new(payload_key.expose().into()),
            counter: Some(0),
            buffer: Vec::with_capacity(CHUNKS_AT_ONCE * SEALED_LEN),
            open_at: 0,
        }
    }

    fn seal_open_chunk(&mut self, last: bool) -> Result<(), FrameError> {
        let counter = self.counter.ok_or(FrameError::TooLong)?;
        // Taken before it is used: no path leads to the same nonce again.
        self.counter = counter.checked_add(1);
        let chunk = &mut self.buffer[self.open_at..];
        let tag = self
            .cipher
            .encrypt_inout_detached(&nonce(counter, last), &[], chunk.into())
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
            self.state = State::Done;
            if self.plain.is_empty() && self.counter > 0 {
                return Err(FrameError::EmptyLast.into());
            }
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
    fn explain(&self, sealed_len: usize, last: bool) -> FrameError {
        let sealed = &self.buffer[self.next..self.next + sealed_len];
        let (chunk, tag) = sealed.split_at(sealed_len - TAG_LEN);
        let mut scratch = zeroize::Zeroizing::new(chunk.to_vec());
        let other = Tag::try_from(tag).is_ok_and(|tag| {
            let flipped = nonce(self.counter, !last);
            let buffer = scratch.as_mut_slice().into();
            self.cipher
                .decrypt_inout_detached(&flipped, &[], buffer, &tag)
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
mod tests {
    use super::*;

    fn key() -> SecretKey {
        SecretKey::from_bytes([7; 32])
    }

    fn seal(plain: &[u8]) -> Vec<u8> {
        let mut sealer = FrameSealer::new(Vec::new(), &key());
        sealer.write_all(plain).unwrap();
        sealer.finish().unwrap()
    }

    fn open(sealed: &[u8]) -> (Vec<u8>, io::Result<()>) {
        let mut opener = FrameOpener::new(sealed, &key());
        let mut plain = Vec::new();
        loop {
            match opener.next_chunk() {
                Ok([]) => return (plain, Ok(())),
                Ok(chunk) => plain.extend_from_slice(chunk),
                Err(error) => return (plain, Err(error)),
            }
        }
    }

    fn sample(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 31 % 251) as u8).collect()
    }

    #[test]
    fn every_length_around_a_chunk_comes_back() {
        let lengths = [0, 1, CHUNK_LEN - 1, CHUNK_LEN, CHUNK_LEN + 1, 2 * CHUNK_LEN];
        for len in lengths
            .into_iter()
            .chain([40 * CHUNK_LEN, 40 * CHUNK_LEN + 5])
        {
            let plain = sample(len);
            let sealed = seal(&plain);
            let chunks = len.div_ceil(CHUNK_LEN).max(1);
            assert_eq!(sealed.len(), len + chunks * TAG_LEN, "length {len}");
            let (opened, end) = open(&sealed);
            end.unwrap();
            assert_eq!(opened, plain, "length {len}");
        }
    }

    #[test]
    fn a_cut_at_any_length_is_found_and_gives_only_whole_chunks() {
        let plain = sample(3 * CHUNK_LEN + 100);
        let sealed = seal(&plain);
        for len in (0..sealed.len())
            .step_by(97)
            .chain([SEALED_LEN, 2 * SEALED_LEN])
        {
            let (opened, end) = open(&sealed[..len]);
            assert!(end.is_err(), "cut at {len}");
            assert_eq!(opened, plain[..opened.len()]);
            assert!(opened.len() <= len / SEALED_LEN * CHUNK_LEN);
        }
    }

    #[test]
    fn swapped_doubled_dropped_and_trailing_chunks_are_found() {
        let sealed = seal(&sample(4 * CHUNK_LEN));
        let chunk = |i: usize| &sealed[i * SEALED_LEN..(i + 1) * SEALED_LEN];
        let cases = [
            ("swapped", [chunk(1), chunk(0), chunk(2), chunk(3)].concat()),
            (
                "doubled",
                [chunk(0), chunk(0), chunk(1), chunk(2), chunk(3)].concat(),
            ),
            ("dropped", [chunk(0), chunk(2), chunk(3)].concat()),
            ("without its last", [chunk(0), chunk(1), chunk(2)].concat()),
            ("two last", [&sealed, chunk(3)].concat()),
            ("a byte too long", [&sealed, &b"x"[..]].concat()),
        ];
        for (name, bytes) in cases {
            assert!(open(&bytes).1.is_err(), "{name}");
        }
    }

    #[test]
    fn an_empty_last_chunk_behind_others_is_refused() {
        let cipher = Aes256Gcm::new(key().expose().into());
        let mut chunk = sample(CHUNK_LEN);
        let tag = cipher
            .encrypt_inout_detached(&nonce(0, false), &[], chunk.as_mut_slice().into())
            .unwrap();
        let last = cipher
            .encrypt_inout_detached(&nonce(1, true), &[], (&mut [][..]).into())
            .unwrap();
        let (_, end) = open(&[chunk.as_slice(), &tag, &last].concat());
        let error = end.unwrap_err();
        let error = error.get_ref().unwrap().downcast_ref::<FrameError>();
        assert_eq!(error, Some(&FrameError::EmptyLast));
    }
}
