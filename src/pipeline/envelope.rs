//! Locks an archive: new random keys, the header around them.

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use zeroize::Zeroizing;

use crate::format::age::AgeRecipient;
use crate::format::header::{ArchiveKeys, CopyName, FIRST_GENERATION, Header, HeaderError};
use crate::format::keyring::{KeyMaterial, Keyring};
use crate::format::keys::{PASSPHRASE_ITERATIONS, SecretKey};
use crate::format::manifest::{Codec, Kind, Manifest};
use crate::format::slots::Slot;

/// The header's `meta`: enough to use an archive whose manifest is lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveMeta {
    pub kind: Kind,
    pub name: String,
    #[serde(deserialize_with = "moment")]
    pub created: Timestamp,
    pub codec: Codec,
}

impl ArchiveMeta {
    /// What the header's bytes say; `None` where they are not what FORMAT wants.
    pub fn parse(meta: &[u8]) -> Option<Self> {
        // An array of the values would do for serde, too.
        let is_object = meta.trim_ascii_start().starts_with(b"{");
        serde_json::from_slice(meta).ok().filter(|_| is_object)
    }

    /// Whether a manifest speaks of the same backup.
    pub fn fits(&self, manifest: &Manifest) -> bool {
        self.kind == manifest.kind
            && self.name == manifest.name
            && self.created == manifest.created_at
            && self.codec == manifest.content.codec
    }
}

/// Takes `YYYY-MM-DDTHH:MM:SS[.F]Z` only, of the many ways to write a moment.
fn moment<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(from)?;
    let fits = |(place, byte): (usize, u8)| match place {
        4 | 7 => byte == b'-',
        10 => byte == b'T',
        13 | 16 => byte == b':',
        19 => byte == b'.',
        _ => byte.is_ascii_digit(),
    };
    let odd = || D::Error::custom("not a moment in UTC");
    let digits = text.strip_suffix('Z').ok_or_else(odd)?;
    let is_whole = (digits.len() == 19 || (21..=29).contains(&digits.len()))
        && digits.bytes().enumerate().all(fits);
    // Neither leap seconds nor a year 0: they are not told apart from others.
    if !is_whole || digits.starts_with("0000") || digits[17..].starts_with("60") {
        return Err(odd());
    }
    text.parse().map_err(D::Error::custom)
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
    /// Names the first of the keys that it opens with: a key's id, or an age
    /// recipient.
    pub key_id: String,
}

impl NewArchive {
    /// Copies A and B of the header.
    pub fn head(&self) -> &[u8] {
        &self.head
    }
}

/// The storage's salt for passphrases: one for all, so that readers derive once.
pub type PassphraseSalt = [u8; 16];

/// Makes the keys and header of one new archive, with a slot for each key of the
/// ring that writes.
pub fn new_archive(
    ring: &Keyring,
    meta: &ArchiveMeta,
    passphrase_salt: &PassphraseSalt,
) -> Result<NewArchive, HeaderError> {
    new_archive_also_for(ring, &[], meta, passphrase_salt)
}

/// [`new_archive`] with slots for recipients too that are not in the ring.
pub fn new_archive_also_for(
    ring: &Keyring,
    recipients: &[AgeRecipient],
    meta: &ArchiveMeta,
    passphrase_salt: &PassphraseSalt,
) -> Result<NewArchive, HeaderError> {
    let mut header = Header {
        generation: FIRST_GENERATION,
        archive_id: random()?,
        salt: random()?,
        meta: serde_json::to_vec(meta)
            .map_err(|_| HeaderError::Unwritable("its description is not JSON"))?,
        slots: Vec::new(),
    };
    let data = SecretKey::from_bytes(*Zeroizing::new(random::<32>()?));
    let mut key_ids = Vec::new();
    for (index, _) in ring.writers() {
        let (slot, key_id) = new_slot(ring, index, &header, &data, passphrase_salt)?;
        header.slots.push(slot);
        key_ids.push(key_id);
    }
    for recipient in recipients {
        header.slots.push(Slot::age(recipient, &data)?);
    }
    let first = key_ids.into_iter().next();
    let key_id = first.ok_or(HeaderError::Unwritable("no key is configured"))?;
    let keys = ArchiveKeys::derive(data, &header.archive_id, &header.salt, &header.meta);
    let mut head = header.encode(CopyName::A, &keys.header)?.to_vec();
    head.extend_from_slice(&header.encode(CopyName::B, &keys.header)?);
    Ok(NewArchive { head, keys, key_id })
}

/// A slot for the ring's key of that place, and the key's name. Of `header` only
/// the archive id and the salt count, which never change.
pub fn new_slot(
    ring: &Keyring,
    index: usize,
    header: &Header,
    data: &SecretKey,
    passphrase_salt: &PassphraseSalt,
) -> Result<(Slot, String), HeaderError> {
    let missing = HeaderError::Unwritable("no such key is configured");
    let (id, salt) = (&header.archive_id, &header.salt);
    match ring.keys().get(index).map(|key| &key.material) {
        Some(KeyMaterial::Raw(key)) => {
            let slot = Slot::raw(key, data, random()?, id, salt)?;
            Ok((slot, key.id().to_string()))
        }
        Some(KeyMaterial::Passphrase(_)) => {
            let kdf = (*passphrase_salt, PASSPHRASE_ITERATIONS);
            let key = ring.passphrase_key(index, &kdf.0, kdf.1).ok_or(missing)?;
            let slot = Slot::passphrase(&key, kdf, data, random()?, id, salt)?;
            Ok((slot, key.id().to_string()))
        }
        Some(material) => {
            let recipient = material.recipient().ok_or(missing)?;
            Ok((Slot::age(&recipient, data)?, recipient.to_string()))
        }
        None => Err(missing),
    }
}

fn random<const N: usize>() -> Result<[u8; N], HeaderError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|_| HeaderError::Unwritable("the system has no random numbers"))?;
    Ok(bytes)
}
