//! SHA-256 of what passes by: always on the way out, where the manifest needs
//! it; on the way back only if there is a manifest to compare it with.

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

use crate::checked::Sha256Hex;

/// Wraps a writer; hashes and counts the bytes that passed.
pub struct Digesting<W> {
    inner: W,
    sha256: Sha256,
    bytes: u64,
}

impl<W: Write> Digesting<W> {
    pub fn new(inner: W) -> Self {
        Self {
            inner,
            sha256: Sha256::new(),
            bytes: 0,
        }
    }

    /// What was wrapped, the digest, and how many bytes passed.
    pub fn finish(self) -> (W, Sha256Hex, u64) {
        let digest = Sha256Hex::of(self.sha256.finalize().into());
        (self.inner, digest, self.bytes)
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.sha256.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Bytes that were read, counted, and hashed if that is wanted.
pub(super) struct Tally {
    sha256: Option<Sha256>,
    pub bytes: u64,
}

impl Tally {
    pub fn new(digest: bool) -> Self {
        Self {
            sha256: digest.then(Sha256::new),
            bytes: 0,
        }
    }

    pub fn add(&mut self, bytes: &[u8]) {
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
        self.bytes += bytes.len() as u64;
    }

    /// The digest, if there is one.
    pub fn finish(self) -> Option<Sha256Hex> {
        self.sha256
            .map(|sha256| Sha256Hex::of(sha256.finalize().into()))
    }
}

/// Wraps a reader around a [`Tally`] of it.
pub(super) struct Tallying<R> {
    inner: R,
    pub tally: Tally,
}

impl<R: Read> Tallying<R> {
    pub fn new(inner: R, digest: bool) -> Self {
        Self {
            inner,
            tally: Tally::new(digest),
        }
    }
}

impl<R: Read> Read for Tallying<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.tally.add(&buffer[..count]);
        Ok(count)
    }
}
