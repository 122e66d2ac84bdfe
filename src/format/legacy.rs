//! The predecessor's encrypted files (Kanbu): `[16 IV][ciphertext][16 tag]`,
//! AES-256-GCM with a 16-byte IV (NIST SP 800-38D, 7.1 and 7.2), as a stream of
//! any length, with nothing in memory but a buffer. Owns both directions.
//! Refuses to decrypt what was not authenticated whole: reading takes two passes
//! over the same file, [`authenticate`] and then [`Authenticated::decrypt`].

use std::io::{self, Read, Write};

use aes::Aes256;
use aes::cipher::{BlockCipherEncrypt, KeyInit, KeyIvInit, StreamCipher};
use ctr::Ctr32BE;
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use crate::format::keys::{SecretKey, equal_in_constant_time};
use crate::format::witness::{Changed, Held, Noting, Witness};

pub const IV_BYTES: usize = 16;
pub const TAG_BYTES: usize = 16;
/// What GCM can encrypt under one IV: 2^32 - 2 blocks, so that its 32-bit
/// counter, which may wrap, never comes back to where it began.
pub const MAX_PLAINTEXT_BYTES: u64 = (1 << 36) - 32;

const BLOCK_BYTES: usize = 16;
const BUFFER_BYTES: usize = 64 * 1024;

/// Kanbu's: the same for every installation.
const PASSPHRASE_SALT: &[u8] = b"kanbu-backup-encryption-salt-v1";
const PASSPHRASE_ITERATIONS: u32 = 100_000;

#[derive(Debug, thiserror::Error)]
pub enum LegacyError {
    #[error("cannot read the encrypted file: {0}")]
    Read(#[source] io::Error),
    #[error("the encrypted file has {bytes} bytes, fewer than any; it is cut")]
    Truncated { bytes: usize },
    #[error("beyond 64 GiB less 32 bytes this format is not safe; use KLUIS1")]
    TooLarge,
    #[error("authentication failed: another key, or the file is damaged or cut")]
    Authentication,
}

impl From<LegacyError> for io::Error {
    fn from(error: LegacyError) -> Self {
        let kind = match &error {
            LegacyError::Read(source) => source.kind(),
            LegacyError::TooLarge => io::ErrorKind::FileTooLarge,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error)
    }
}

/// The key that Kanbu takes from `text`: exactly 64 hex digits are the key
/// itself; anything else, a trailing newline included, is a passphrase.
pub fn legacy_key(text: &str) -> SecretKey {
    let mut key = Zeroizing::new([0; 32]);
    if hex::decode_to_slice(text, key.as_mut()).is_err() {
        pbkdf2::pbkdf2_hmac::<Sha256>(
            text.as_bytes(),
            PASSPHRASE_SALT,
            PASSPHRASE_ITERATIONS,
            key.as_mut(),
        );
    }
    SecretKey::from_bytes(*key)
}

/// First pass: reads the whole file and checks its tag. Decrypts nothing.
pub fn authenticate(file: impl Read, key: &SecretKey) -> Result<Authenticated, LegacyError> {
    let mut file = Noting::new(file);
    let mut iv = [0; IV_BYTES];
    let iv_bytes = read_full(&mut file, &mut iv)?;
    // The last 16 bytes are the tag, but which are the last shows only at the
    // end: so many are always held back, at the buffer's start.
    let mut buffer = vec![0; TAG_BYTES + BUFFER_BYTES];
    let held_bytes = read_full(&mut file, &mut buffer[..TAG_BYTES])?;
    if held_bytes < TAG_BYTES {
        return Err(LegacyError::Truncated {
            bytes: iv_bytes + held_bytes,
        });
    }
    let mut gcm = Gcm::new(key, &iv)?;
    loop {
        let read_bytes = read_full(&mut file, &mut buffer[TAG_BYTES..])?;
        if read_bytes == 0 {
            break;
        }
        gcm.hash(&buffer[..read_bytes])?;
        buffer.copy_within(read_bytes..read_bytes + TAG_BYTES, 0);
    }
    let ciphertext_bytes = gcm.hashed_bytes;
    let tag = gcm.into_tag();
    if !equal_in_constant_time(&tag, &buffer[..TAG_BYTES]) {
        return Err(LegacyError::Authentication);
    }
    Ok(Authenticated {
        gcm: Gcm::new(key, &iv)?,
        ciphertext_bytes,
        witness: file.finish(),
    })
}

/// A file whose tag was right. Only this decrypts.
pub struct Authenticated {
    gcm: Gcm,
    ciphertext_bytes: u64,
    witness: Witness,
}

impl Authenticated {
    /// As many as the ciphertext has.
    pub fn plaintext_bytes(&self) -> u64 {
        self.ciphertext_bytes
    }

    /// Second pass: `file` from its start again. Where it is not the file of the first
    /// pass any more, that is the read error [`Changed`]
    /// before a byte of what changed is decrypted.
    pub fn decrypt<R: Read>(self, file: R) -> Result<LegacyReader<R>, LegacyError> {
        let mut file = Held::new(file, self.witness);
        read_full(&mut file, &mut [0; IV_BYTES])?;
        Ok(LegacyReader {
            file,
            gcm: self.gcm,
            remaining_bytes: self.ciphertext_bytes,
        })
    }
}

/// The plaintext. `Ok(0)` comes only after the file's end was that of the first pass.
pub struct LegacyReader<R> {
    file: Held<R>,
    gcm: Gcm,
    remaining_bytes: u64,
}

impl<R: Read> Read for LegacyReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        if self.remaining_bytes == 0 {
            // The tag, which was right, and nothing behind it.
            io::copy(&mut self.file, &mut io::sink())?;
            return Ok(0);
        }
        let limit = out.len().min(BUFFER_BYTES) as u64;
        let chunk = &mut out[..limit.min(self.remaining_bytes) as usize];
        let read_bytes = self.file.read(chunk)?;
        if read_bytes == 0 {
            return Err(Changed.into());
        }
        let chunk = &mut chunk[..read_bytes];
        self.gcm.apply_keystream(chunk)?;
        self.remaining_bytes -= read_bytes as u64;
        Ok(read_bytes)
    }
}

impl<R: Read> LegacyReader<R> {
    /// The file behind it, to take a digest from once the end was read.
    pub fn into_inner(self) -> R {
        self.file.into_inner()
    }
}

/// Encrypts what is written to it. The file is worth nothing before
/// [`LegacyWriter::finish`], nor after any error.
pub struct LegacyWriter<W> {
    inner: W,
    gcm: Gcm,
    buffer: Vec<u8>,
}

impl<W: Write> LegacyWriter<W> {
    /// Writes the IV, which must be random and never used before.
    pub fn new(mut inner: W, key: &SecretKey, iv: [u8; IV_BYTES]) -> io::Result<Self> {
        let gcm = Gcm::new(key, &iv)?;
        inner.write_all(&iv)?;
        Ok(Self {
            inner,
            gcm,
            buffer: Vec::with_capacity(BUFFER_BYTES),
        })
    }

    /// Writes the tag and gives the writer below back, not yet flushed.
    pub fn finish(self) -> io::Result<W> {
        let Self { mut inner, gcm, .. } = self;
        inner.write_all(&gcm.into_tag())?;
        Ok(inner)
    }
}

impl<W: Write> Write for LegacyWriter<W> {
    fn write(&mut self, plaintext: &[u8]) -> io::Result<usize> {
        let chunk = &plaintext[..plaintext.len().min(BUFFER_BYTES)];
        self.buffer.clear();
        self.buffer.extend_from_slice(chunk);
        self.gcm.apply_keystream(&mut self.buffer)?;
        self.gcm.hash(&self.buffer)?;
        self.inner.write_all(&self.buffer)?;
        Ok(chunk.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// GCM without associated data, in both directions and in pieces of any size.
struct Gcm {
    keystream: Ctr32BE<Aes256>,
    /// What the last GHASH is masked with: the first block of the keystream.
    tag_mask: [u8; BLOCK_BYTES],
    ghash: GHash,
    /// Ciphertext that does not fill a block yet.
    partial: [u8; BLOCK_BYTES],
    partial_bytes: usize,
    hashed_bytes: u64,
}

impl Gcm {
    fn new(key: &SecretKey, iv: &[u8; IV_BYTES]) -> Result<Self, LegacyError> {
        let key = key.expose().into();
        let mut hash_key = ghash::Key::default();
        Aes256::new(key).encrypt_block(&mut hash_key);
        let ghash = GHash::new(&hash_key);
        hash_key.zeroize();

        // An IV that is not 12 bytes long becomes the first counter block by
        // GHASH over it and a block with its length in bits.
        let mut iv_hash = ghash.clone();
        iv_hash.update_padded(iv);
        iv_hash.update_padded(&length_block(IV_BYTES as u64));
        let mut keystream = Ctr32BE::<Aes256>::new(key, &iv_hash.finalize());

        let mut tag_mask = [0; BLOCK_BYTES];
        apply(&mut keystream, &mut tag_mask)?;
        Ok(Self {
            keystream,
            tag_mask,
            ghash,
            partial: [0; BLOCK_BYTES],
            partial_bytes: 0,
            hashed_bytes: 0,
        })
    }

    fn apply_keystream(&mut self, bytes: &mut [u8]) -> Result<(), LegacyError> {
        apply(&mut self.keystream, bytes)
    }

    fn hash(&mut self, ciphertext: &[u8]) -> Result<(), LegacyError> {
        let hashed_bytes = self.hashed_bytes + ciphertext.len() as u64;
        if hashed_bytes > MAX_PLAINTEXT_BYTES {
            return Err(LegacyError::TooLarge);
        }
        self.hashed_bytes = hashed_bytes;
        let wanted_bytes = (BLOCK_BYTES - self.partial_bytes) % BLOCK_BYTES;
        let (first, rest) = ciphertext.split_at(wanted_bytes.min(ciphertext.len()));
        self.partial[self.partial_bytes..][..first.len()].copy_from_slice(first);
        self.partial_bytes += first.len();
        if self.partial_bytes == BLOCK_BYTES {
            self.ghash.update_padded(&self.partial);
            self.partial_bytes = 0;
        }
        // `rest` is empty unless `partial` is: whole blocks, then a new partial.
        let (whole, last) = rest.split_at(rest.len() - rest.len() % BLOCK_BYTES);
        self.ghash.update_padded(whole);
        if !last.is_empty() {
            self.partial[..last.len()].copy_from_slice(last);
            self.partial_bytes = last.len();
        }
        Ok(())
    }

    fn into_tag(mut self) -> [u8; TAG_BYTES] {
        self.ghash
            .update_padded(&self.partial[..self.partial_bytes]);
        self.ghash.update_padded(&length_block(self.hashed_bytes));
        let mut tag = self.tag_mask;
        for (byte, hashed) in tag.iter_mut().zip(self.ghash.finalize()) {
            *byte ^= hashed;
        }
        tag
    }
}

/// Fails only where the counter would come back to its beginning.
fn apply(keystream: &mut Ctr32BE<Aes256>, bytes: &mut [u8]) -> Result<(), LegacyError> {
    keystream
        .try_apply_keystream(bytes)
        .map_err(|_| LegacyError::TooLarge)
}

/// No associated data: 64 zero bits, and the length in bits as u64 big-endian.
fn length_block(bytes: u64) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    block[8..].copy_from_slice(&(bytes * 8).to_be_bytes());
    block
}

/// Reads until `buffer` is full or the end is there; how many bytes that were.
fn read_full(mut file: impl Read, buffer: &mut [u8]) -> Result<usize, LegacyError> {
    let mut filled_bytes = 0;
    while filled_bytes < buffer.len() {
        match file.read(&mut buffer[filled_bytes..]) {
            Ok(0) => break,
            Ok(read_bytes) => filled_bytes += read_bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(LegacyError::Read(error)),
        }
    }
    Ok(filled_bytes)
}

#[cfg(test)]
mod tests;
