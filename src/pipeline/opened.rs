//! The stored bytes, opened: whatever surrounds the compressed stream is checked
//! and taken off, chunk by chunk.

use std::io::{self, Read};

use super::digest::Tally;
use super::unseal::UnsealError;
use crate::format::frames::{FrameError, FrameOpener};
use crate::format::keys::SecretKey;
use crate::format::legacy::{Authenticated, LegacyError, LegacyReader};
use crate::format::witness::Changed;

const CHUNK_LEN: usize = 256 * 1024;

/// What surrounds the content, and what takes it off.
pub enum Opening {
    Plain,
    /// `stored` begins at the payload, behind both header copies.
    Kluis1 {
        payload_key: SecretKey,
    },
    /// `stored` begins at the file's start; a first pass has authenticated it.
    Kanbu(Box<Authenticated>),
}

pub(super) struct Content<R: Read> {
    inner: Inner<R>,
    buffer: Vec<u8>,
    tally: Tally,
}

enum Inner<R: Read> {
    Plain(R),
    Kluis1(FrameOpener<R>),
    Kanbu(LegacyReader<R>),
}

impl<R: Read> Content<R> {
    pub fn new(stored: R, opening: Opening, digest: bool) -> Result<Self, UnsealError> {
        let inner = match opening {
            Opening::Plain => Inner::Plain(stored),
            Opening::Kluis1 { payload_key } => {
                Inner::Kluis1(FrameOpener::new(stored, &payload_key))
            }
            Opening::Kanbu(authenticated) => {
                let legacy = authenticated.decrypt(stored);
                Inner::Kanbu(legacy.map_err(|error| sort_error(error.into()))?)
            }
        };
        Ok(Self {
            inner,
            buffer: vec![0; CHUNK_LEN],
            tally: Tally::new(digest),
        })
    }

    /// The next bytes of the compressed stream; empty at its checked end.
    pub fn next_chunk(&mut self) -> Result<&[u8], UnsealError> {
        let chunk = match &mut self.inner {
            Inner::Plain(stored) => read_some(stored, &mut self.buffer).map_err(sort_error)?,
            Inner::Kluis1(frames) => frames.next_chunk().map_err(sort_error)?,
            Inner::Kanbu(legacy) => read_some(legacy, &mut self.buffer).map_err(sort_error)?,
        };
        self.tally.add(chunk);
        Ok(chunk)
    }

    pub fn content_bytes(&self) -> u64 {
        self.tally.bytes
    }

    /// The stored reader, and the content's tally.
    pub fn finish(self) -> (R, Tally) {
        let stored = match self.inner {
            Inner::Plain(stored) => stored,
            Inner::Kluis1(frames) => frames.into_inner(),
            Inner::Kanbu(legacy) => legacy.into_inner(),
        };
        (stored, self.tally)
    }
}

fn read_some<'a>(reader: &mut impl Read, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    loop {
        match reader.read(buffer) {
            Ok(count) => return Ok(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The archive's fault or the storage's?
fn sort_error(error: io::Error) -> UnsealError {
    match error.downcast::<FrameError>() {
        Ok(frames) => UnsealError::Frames(frames),
        Err(error) => match error.downcast::<LegacyError>() {
            Ok(LegacyError::Read(error)) => sort_error(error),
            Ok(legacy) => UnsealError::Legacy(legacy),
            Err(error) => match error.downcast::<Changed>() {
                Ok(changed) => UnsealError::Changed(changed),
                Err(error) => UnsealError::Storage(error),
            },
        },
    }
}
