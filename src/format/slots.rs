//! Key slots: each wraps the archive's data key under one key, so that several
//! keys open one archive and a key can be exchanged without touching the payload.

use std::fmt;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use zeroize::Zeroizing;

use super::age::{AgeRecipient, named_recipient};
use super::header::HeaderError;
use super::keyring::{Keyring, Purse};
use super::keys::{ITERATIONS_ACCEPTED, KeyId, SecretKey};

const AGE_SLOT_MAX: usize = 1024;
/// A data key and its GCM tag.
const WRAPPED_LEN: usize = 48;
const SLOT_RAW: u8 = 1;
const SLOT_PASSPHRASE: u8 = 2;
const SLOT_AGE: u8 = 3;

/// One way to the data key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    Raw {
        key_id: KeyId,
        nonce: [u8; 12],
        wrapped: [u8; WRAPPED_LEN],
    },
    Passphrase {
        salt: [u8; 16],
        iterations: u32,
        nonce: [u8; 12],
        wrapped: [u8; WRAPPED_LEN],
    },
    /// A binary age file that holds the data key.
    Age { file: Vec<u8> },
}

/// Names the key that opens a slot. Believed only behind the header's HMAC.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SlotName {
    Key(KeyId),
    /// Which one shows only by trying.
    Passphrase,
    /// The recipient, where the slot names it.
    Age(Option<String>),
}

impl fmt::Display for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => write!(f, "key {id}"),
            Self::Passphrase => f.write_str("its passphrase"),
            Self::Age(Some(recipient)) => write!(f, "the age identity of {recipient}"),
            Self::Age(None) => f.write_str("an age identity"),
        }
    }
}

impl Slot {
    /// Wraps the data key under a raw key. `nonce` is random, once only.
    pub fn raw(
        key: &SecretKey,
        data: &SecretKey,
        nonce: [u8; 12],
        archive_id: &[u8; 16],
        salt: &[u8; 32],
    ) -> Result<Self, HeaderError> {
        let wrapped = wrap(key, data, nonce, &slot_aad(SLOT_RAW, archive_id, salt))?;
        Ok(Self::Raw {
            key_id: key.id(),
            nonce,
            wrapped,
        })
    }

    /// Wraps the data key under a passphrase's key, derived beforehand with
    /// `kdf_salt` and `iterations`.
    pub fn passphrase(
        key: &SecretKey,
        (kdf_salt, iterations): ([u8; 16], u32),
        data: &SecretKey,
        nonce: [u8; 12],
        archive_id: &[u8; 16],
        salt: &[u8; 32],
    ) -> Result<Self, HeaderError> {
        let wrapped = wrap(
            key,
            data,
            nonce,
            &slot_aad(SLOT_PASSPHRASE, archive_id, salt),
        )?;
        Ok(Self::Passphrase {
            salt: kdf_salt,
            iterations,
            nonce,
            wrapped,
        })
    }

    /// Wraps the data key for an age recipient.
    pub fn age(recipient: &AgeRecipient, data: &SecretKey) -> Result<Self, HeaderError> {
        match recipient.wrap(data) {
            Some(file) if file.len() <= AGE_SLOT_MAX => Ok(Self::Age { file }),
            _ => Err(HeaderError::Unwritable("age refused it")),
        }
    }

    /// The data key, if the ring's key of that place opens this slot.
    pub(super) fn unwrap(
        &self,
        ring: &Keyring,
        index: usize,
        archive_id: &[u8; 16],
        salt: &[u8; 32],
    ) -> Option<SecretKey> {
        match self {
            Self::Raw {
                key_id,
                nonce,
                wrapped,
            } => {
                let key = ring.raw(index, *key_id)?;
                unwrap(key, wrapped, nonce, &slot_aad(SLOT_RAW, archive_id, salt))
            }
            Self::Passphrase {
                salt: kdf_salt,
                iterations,
                nonce,
                wrapped,
            } => {
                let aad = slot_aad(SLOT_PASSPHRASE, archive_id, salt);
                let key = ring.try_passphrase(index, kdf_salt, *iterations, Purse::Archives)?;
                let data = unwrap(&key, wrapped, nonce, &aad)?;
                ring.opened_something(kdf_salt, *iterations);
                Some(data)
            }
            Self::Age { file } => ring.identity(index)?.unwrap(file),
        }
    }

    /// The name of its key as a manifest writes it: a key's id, or an age
    /// recipient. That of a passphrase is known only to a ring that opens the slot.
    pub(super) fn key_id(
        &self,
        ring: &Keyring,
        archive_id: &[u8; 16],
        salt: &[u8; 32],
    ) -> Option<String> {
        match self {
            Self::Raw { key_id, .. } => Some(key_id.to_string()),
            Self::Age { file } => named_recipient(file),
            Self::Passphrase {
                salt: kdf_salt,
                iterations,
                ..
            } => {
                let opens = |&index: &usize| self.unwrap(ring, index, archive_id, salt).is_some();
                let index = (0..ring.keys().len()).find(opens)?;
                let key = ring.try_passphrase(index, kdf_salt, *iterations, Purse::Archives)?;
                Some(key.id().to_string())
            }
        }
    }

    /// What would open it, as far as the slot tells.
    pub fn name(&self) -> SlotName {
        match self {
            Self::Raw { key_id, .. } => SlotName::Key(*key_id),
            Self::Passphrase { .. } => SlotName::Passphrase,
            Self::Age { file } => SlotName::Age(named_recipient(file)),
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut body = Vec::with_capacity(128);
        let kind = match self {
            Self::Raw {
                key_id,
                nonce,
                wrapped,
            } => {
                body.extend_from_slice(&key_id.0);
                body.extend_from_slice(nonce);
                body.extend_from_slice(wrapped);
                SLOT_RAW
            }
            Self::Passphrase {
                salt,
                iterations,
                nonce,
                wrapped,
            } => {
                body.extend_from_slice(salt);
                body.extend_from_slice(&iterations.to_be_bytes());
                body.extend_from_slice(nonce);
                body.extend_from_slice(wrapped);
                SLOT_PASSPHRASE
            }
            Self::Age { file } => {
                body.extend_from_slice(file);
                SLOT_AGE
            }
        };
        out.push(kind);
        out.extend_from_slice(&(body.len() as u16).to_be_bytes());
        out.extend_from_slice(&body);
    }

    pub(super) fn parse(fields: &mut Fields<'_>) -> Result<Self, HeaderError> {
        let [kind] = fields.array()?;
        let len = usize::from(u16::from_be_bytes(fields.array()?));
        let mut body = Fields(fields.take(len)?);
        let slot = match kind {
            SLOT_RAW => Self::Raw {
                key_id: KeyId(body.array()?),
                nonce: body.array()?,
                wrapped: body.array()?,
            },
            SLOT_PASSPHRASE => Self::Passphrase {
                salt: body.array()?,
                iterations: u32::from_be_bytes(body.array()?),
                nonce: body.array()?,
                wrapped: body.array()?,
            },
            SLOT_AGE if len <= AGE_SLOT_MAX => Self::Age {
                file: body.take(len)?.to_vec(),
            },
            SLOT_AGE => return Err(HeaderError::Malformed("an age slot is over 1024 bytes")),
            other => return Err(HeaderError::UnknownSlot(other)),
        };
        if !body.0.is_empty() {
            return Err(HeaderError::Malformed("a key slot is longer than its type"));
        }
        match slot {
            Self::Passphrase { iterations, .. } if !ITERATIONS_ACCEPTED.contains(&iterations) => {
                Err(HeaderError::Iterations(iterations))
            }
            slot => Ok(slot),
        }
    }
}

fn slot_aad(kind: u8, archive_id: &[u8; 16], salt: &[u8; 32]) -> Vec<u8> {
    [b"kluis/1 slot".as_slice(), &[kind], archive_id, salt].concat()
}

fn wrap(
    key: &SecretKey,
    data: &SecretKey,
    nonce: [u8; 12],
    aad: &[u8],
) -> Result<[u8; WRAPPED_LEN], HeaderError> {
    let payload = Payload {
        msg: data.expose(),
        aad,
    };
    Aes256Gcm::new(key.expose().into())
        .encrypt(&Nonce::from(nonce), payload)
        .ok()
        .and_then(|wrapped| wrapped.try_into().ok())
        .ok_or(HeaderError::Unwritable("AES-256-GCM refused it"))
}

fn unwrap(
    key: &SecretKey,
    wrapped: &[u8; WRAPPED_LEN],
    nonce: &[u8; 12],
    aad: &[u8],
) -> Option<SecretKey> {
    let payload = Payload {
        msg: wrapped.as_slice(),
        aad,
    };
    let data = Zeroizing::new(
        Aes256Gcm::new(key.expose().into())
            .decrypt(&Nonce::from(*nonce), payload)
            .ok()?,
    );
    Some(SecretKey::from_bytes(data.as_slice().try_into().ok()?))
}

/// Takes fields off the front; the end of the bytes is an error, not a panic.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], HeaderError> {
        let cut = self.0.split_at_checked(len);
        let (field, rest) = cut.ok_or(HeaderError::Malformed("a field runs over its end"))?;
        self.0 = rest;
        Ok(field)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], HeaderError> {
        let bytes = self.take(N)?.try_into();
        bytes.map_err(|_| HeaderError::Malformed("a field runs over its end"))
    }
}
