//! Reads a payload of which some chunks are damaged, for [`super::FrameOpener`] refuses
//! all that follows one. Each chunk has a tag and a place of its own, so those behind
//! it prove as much as those before.
//!
//! Invariant: no byte of a chunk whose tag is wrong comes out. Finds no chunk that is at
//! another place than it was written to: bytes that were put in or taken out cost all
//! that follows.

use std::io::{self, Read};

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Tag};

use super::{SEALED_LEN, TAG_LEN, nonce};
use crate::format::keys::SecretKey;

/// What stands at a chunk's place.
pub enum Chunk {
    Whole(Vec<u8>),
    /// So many bytes that are lost.
    Damaged(u64),
}

pub struct FramesPastDamage<R: Read> {
    inner: R,
    cipher: Aes256Gcm,
    counter: u32,
    /// The sealed chunk that is next; one byte behind it would tell that it is not the
    /// last, and so does the whole next one.
    next: Vec<u8>,
    begun: bool,
    /// The chunk was opened that says of itself that it is the last.
    pub is_whole: bool,
}

impl<R: Read> FramesPastDamage<R> {
    pub fn new(inner: R, payload_key: &SecretKey) -> Self {
        Self {
            inner,
            cipher: Aes256Gcm::new(payload_key.expose().into()),
            counter: 0,
            next: Vec::new(),
            begun: false,
            is_whole: false,
        }
    }

    /// `None` at the end, wherever that is.
    pub fn next_chunk(&mut self) -> io::Result<Option<Chunk>> {
        if !self.begun {
            self.begun = true;
            self.next = self.read_sealed()?;
        }
        if self.next.is_empty() || self.is_whole {
            return Ok(None);
        }
        let behind = self.read_sealed()?;
        let mut sealed = std::mem::replace(&mut self.next, behind);
        let is_end = self.next.is_empty();
        // Cut behind a whole chunk, or longer than it was: the chunk itself is right.
        let last = [is_end, !is_end]
            .into_iter()
            .find(|last| self.opens(&mut sealed, *last));
        let counter = self.counter.checked_add(1);
        self.counter = counter.ok_or(super::FrameError::TooLong)?;
        let content = sealed.len().saturating_sub(TAG_LEN);
        Ok(Some(match last {
            Some(last) => {
                self.is_whole = last;
                sealed.truncate(content);
                Chunk::Whole(sealed)
            }
            None => Chunk::Damaged(content as u64),
        }))
    }

    /// In place; a chunk that does not open stays as it is.
    fn opens(&self, sealed: &mut [u8], last: bool) -> bool {
        let Some(content) = sealed.len().checked_sub(TAG_LEN) else {
            return false;
        };
        let (chunk, tag) = sealed.split_at_mut(content);
        let nonce = nonce(self.counter, last);
        Tag::try_from(&*tag).is_ok_and(|tag| {
            let opened = self
                .cipher
                .decrypt_inout_detached(&nonce, &[], chunk.into(), &tag);
            opened.is_ok()
        })
    }

    fn read_sealed(&mut self) -> io::Result<Vec<u8>> {
        let mut sealed = Vec::with_capacity(SEALED_LEN);
        let mut limited = self.inner.by_ref().take(SEALED_LEN as u64);
        limited.read_to_end(&mut sealed)?;
        Ok(sealed)
    }
}
