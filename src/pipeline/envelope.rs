//! Locks an archive: new random keys, the header around them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::format::header::{ArchiveKeys, CopyName, Header, HeaderError};
use crate::format::keys::{KeyId, KeyMaterial, Keyring, PASSPHRASE_ITERATIONS, SecretKey};
use crate::format::manifest::{Codec, Kind};
use crate::format::slots::Slot;

/// The header's `meta`: enough to use an archive whose manifest is lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveMeta {
    pub kind: Kind,
    pub name: String,
    pub created: Timestamp,
    pub codec: Codec,
}

/// How an archive is protected on its way into the storage.
pub enum Envelope {
    None,
    Kluis1(Box<NewArchive>),
    /// Kanbu's format, under its one key.
    Kanbu(SecretKey),
}

/// A new archive's header and keys.
pub struct NewArchive {
    /// Copies A and B.
    pub(super) head: Vec<u8>,
    pub keys: ArchiveKeys,
    /// Of the key that wraps the data key.
    pub key_id: KeyId,
}

/// The storage's salt for passphrases: one for all, so that readers derive once.
pub type PassphraseSalt = [u8; 16];

/// Makes the keys and header of one new archive, opened by `ring`'s first key.
pub fn new_archive(
    ring: &Keyring,
    meta: &ArchiveMeta,
    passphrase_salt: &PassphraseSalt,
) -> Result<NewArchive, HeaderError> {
    let archive_id = random::<16>()?;
    let salt = random::<32>()?;
    let nonce = random::<12>()?;
    let data = SecretKey::from_bytes(*Zeroizing::new(random::<32>()?));
    let (slot, key_id) = match ring.materials().first() {
        None => return Err(HeaderError::Unwritable("no key is configured")),
        Some(KeyMaterial::Raw(key)) => {
            (Slot::raw(key, &data, nonce, &archive_id, &salt)?, key.id())
        }
        Some(KeyMaterial::Passphrase(_)) => {
            let keys = ring.passphrase_keys(passphrase_salt, PASSPHRASE_ITERATIONS);
            let key = keys
                .first()
                .ok_or(HeaderError::Unwritable("no key is configured"))?;
            let kdf = (*passphrase_salt, PASSPHRASE_ITERATIONS);
            let slot = Slot::passphrase(key, kdf, &data, nonce, &archive_id, &salt)?;
            (slot, key.id())
        }
    };
    let meta = serde_json::to_vec(meta)
        .map_err(|_| HeaderError::Unwritable("its description is not JSON"))?;
    let keys = ArchiveKeys::derive(data, &archive_id, &salt, &meta);
    let header = Header {
        generation: 1,
        archive_id,
        salt,
        meta,
        slots: vec![slot],
    };
    let mut head = header.encode(CopyName::A, &keys.header)?.to_vec();
    head.extend_from_slice(&header.encode(CopyName::B, &keys.header)?);
    Ok(NewArchive { head, keys, key_id })
}

fn random<const N: usize>() -> Result<[u8; N], HeaderError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|_| HeaderError::Unwritable("the system has no random numbers"))?;
    Ok(bytes)
}
