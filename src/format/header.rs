//! The KLUIS1 header: 4096 bytes, written twice. Owns its layout and the keys
//! that follow from the data key; its slots are `slots`' business.
//!
//! Invariant: [`open`] returns keys only from a copy whose HMAC was checked, so
//! nothing of an archive is believed before its header is.

use sha2::{Digest, Sha256};

use super::keys::{Keyring, SecretKey, equal_in_constant_time, extract, hmac_sha256};
use super::slots::{Fields, Slot};

pub const MAGIC: [u8; 8] = *b"\x89KLUIS\r\n";
pub const VERSION: u8 = 1;
/// AES-256-GCM, HKDF-SHA256.
pub const SUITE: u8 = 1;
/// Payload chunks of 2^16 bytes.
pub const CHUNK_LOG2: u8 = 16;
/// Bytes of one copy.
pub const HEADER_LEN: usize = 4096;
/// Where the payload begins: behind copies A and B.
pub const PAYLOAD_OFFSET: u64 = 2 * HEADER_LEN as u64;
pub const META_MAX: usize = 1024;
pub const SLOTS_MAX: usize = 8;
const HMAC_AT: usize = HEADER_LEN - 32;

/// What both copies say. `meta` is compact JSON and never changes, because the
/// payload's key depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub generation: u32,
    pub archive_id: [u8; 16],
    pub salt: [u8; 32],
    pub meta: Vec<u8>,
    pub slots: Vec<Slot>,
}

/// Every key of one archive.
pub struct ArchiveKeys {
    pub data: SecretKey,
    pub header: SecretKey,
    pub manifest: SecretKey,
    pub payload: SecretKey,
}

/// An archive's header after its HMAC was checked.
pub struct Opened {
    pub header: Header,
    pub keys: ArchiveKeys,
    /// The copy that could not be used, and why: the archive can be read, but
    /// its spare is gone.
    pub damaged_copy: Option<(CopyName, HeaderError)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyName {
    A,
    B,
}

impl std::fmt::Display for CopyName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("it is not a KLUIS1 archive (its first bytes are others)")]
    NotKluis,
    #[error("it ends inside its header: {found} of {} bytes", PAYLOAD_OFFSET)]
    Truncated { found: usize },
    #[error("it is of format version {0}, and this kluis reads version 1; use a newer kluis")]
    UnknownVersion(u8),
    #[error("its cipher suite {0} is unknown; use a newer kluis")]
    UnknownSuite(u8),
    #[error("its chunk size 2^{0} is unknown; use a newer kluis")]
    UnknownChunkSize(u8),
    #[error("its key slot of type {0} is unknown; use a newer kluis")]
    UnknownSlot(u8),
    #[error("a passphrase slot asks for {0} iterations, outside 100,000 to 10,000,000")]
    Iterations(u32),
    #[error("header damaged: {0}")]
    Malformed(&'static str),
    #[error("header damaged or forged: its HMAC is wrong")]
    Forged,
    #[error("both copies are of generation {0} and differ")]
    CopiesConflict(u32),
    #[error("no configured key opens it; it wants {}", .wants.join(" or "))]
    NoKey { wants: Vec<String> },
    #[error("the data key cannot be wrapped: {0}")]
    Unwritable(&'static str),
}

impl ArchiveKeys {
    /// Expands every key from the data key, as FORMAT "KLUIS1" defines them.
    pub fn derive(data: SecretKey, archive_id: &[u8; 16], salt: &[u8; 32], meta: &[u8]) -> Self {
        let prk = extract(salt, &data);
        let context = Sha256::new()
            .chain_update([VERSION, SUITE, CHUNK_LOG2])
            .chain_update(archive_id)
            .chain_update(salt)
            .chain_update(meta)
            .finalize();
        Self {
            header: prk.expand(&[b"kluis/1 header"]),
            manifest: prk.expand(&[b"kluis/1 manifest"]),
            payload: prk.expand(&[b"kluis/1 payload", &context]),
            data,
        }
    }
}

impl Header {
    /// One copy: 4096 bytes under the archive's header key.
    pub fn encode(
        &self,
        copy: CopyName,
        header_key: &SecretKey,
    ) -> Result<[u8; HEADER_LEN], HeaderError> {
        if self.meta.len() > META_MAX {
            return Err(HeaderError::Unwritable(
                "its description is over 1024 bytes",
            ));
        }
        if self.slots.is_empty() || self.slots.len() > SLOTS_MAX {
            return Err(HeaderError::Unwritable("an archive has 1 to 8 key slots"));
        }
        let mut out = Vec::with_capacity(HEADER_LEN);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION, SUITE, CHUNK_LOG2, copy as u8]);
        out.extend_from_slice(&self.generation.to_be_bytes());
        out.extend_from_slice(&self.archive_id);
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(&(self.meta.len() as u16).to_be_bytes());
        out.extend_from_slice(&self.meta);
        out.push(self.slots.len() as u8);
        for slot in &self.slots {
            slot.encode(&mut out);
        }
        if out.len() > HMAC_AT {
            return Err(HeaderError::Unwritable(
                "its key slots do not fit into 4096 bytes",
            ));
        }
        out.resize(HMAC_AT, 0);
        let mac = hmac_sha256(header_key.expose(), &[&out]);
        out.extend_from_slice(&mac);
        out.try_into()
            .map_err(|_| HeaderError::Unwritable("its header is not 4096 bytes"))
    }

    /// Reads one copy's fields. Believes none of them yet: see [`open`].
    fn parse(bytes: &[u8; HEADER_LEN], copy: CopyName) -> Result<Self, HeaderError> {
        if bytes[..8] != MAGIC {
            return Err(HeaderError::NotKluis);
        }
        match (bytes[8], bytes[9], bytes[10], bytes[11]) {
            (version, ..) if version != VERSION => {
                return Err(HeaderError::UnknownVersion(version));
            }
            (_, suite, ..) if suite != SUITE => return Err(HeaderError::UnknownSuite(suite)),
            (_, _, log2, _) if log2 != CHUNK_LOG2 => {
                return Err(HeaderError::UnknownChunkSize(log2));
            }
            (.., number) if number != copy as u8 => {
                return Err(HeaderError::Malformed("its copy number is not its place"));
            }
            _ => {}
        }
        let mut fields = Fields(&bytes[12..HMAC_AT]);
        let generation = u32::from_be_bytes(fields.array()?);
        let archive_id = fields.array()?;
        let salt = fields.array()?;
        let meta_len = usize::from(u16::from_be_bytes(fields.array()?));
        if meta_len > META_MAX {
            return Err(HeaderError::Malformed("its description is over 1024 bytes"));
        }
        let meta = fields.take(meta_len)?.to_vec();
        let [count] = fields.array()?;
        if !(1..=SLOTS_MAX).contains(&usize::from(count)) {
            return Err(HeaderError::Malformed("it has no or too many key slots"));
        }
        let slots = (0..count)
            .map(|_| Slot::parse(&mut fields))
            .collect::<Result<_, _>>()?;
        if fields.0.iter().any(|&byte| byte != 0) {
            return Err(HeaderError::Malformed("its padding is not zero"));
        }
        Ok(Self {
            generation,
            archive_id,
            salt,
            meta,
            slots,
        })
    }

    fn hmac_holds(bytes: &[u8; HEADER_LEN], header_key: &SecretKey) -> bool {
        let mac = hmac_sha256(header_key.expose(), &[&bytes[..HMAC_AT]]);
        equal_in_constant_time(&mac, &bytes[HMAC_AT..])
    }

    /// The keys behind the first slot that the ring opens.
    fn unlock(&self, ring: &Keyring) -> Result<ArchiveKeys, HeaderError> {
        let data = self
            .slots
            .iter()
            .find_map(|slot| slot.unwrap(ring, &self.archive_id, &self.salt));
        match data {
            Some(data) => Ok(ArchiveKeys::derive(
                data,
                &self.archive_id,
                &self.salt,
                &self.meta,
            )),
            None => Err(HeaderError::NoKey {
                wants: self.slots.iter().map(Slot::describe).collect(),
            }),
        }
    }
}

/// Opens an archive by its first 8192 bytes: both copies are looked at, the
/// newest whole one is taken.
pub fn open(head: &[u8], ring: &Keyring) -> Result<Opened, HeaderError> {
    if head.len() >= MAGIC.len() && head[..MAGIC.len()] != MAGIC && second_magic(head) != Some(true)
    {
        return Err(HeaderError::NotKluis);
    }
    let truncated = HeaderError::Truncated { found: head.len() };
    let (Some(a), Some(b)) = (copy_bytes(head, 0), copy_bytes(head, HEADER_LEN)) else {
        return Err(truncated);
    };
    let a = open_copy(a, CopyName::A, ring);
    let b = open_copy(b, CopyName::B, ring);
    match (a, b) {
        (Ok(a), Ok(b)) => newest(a, b),
        (Ok((header, keys)), Err(error)) => Ok(Opened {
            header,
            keys,
            damaged_copy: Some((CopyName::B, error)),
        }),
        (Err(error), Ok((header, keys))) => Ok(Opened {
            header,
            keys,
            damaged_copy: Some((CopyName::A, error)),
        }),
        // A missing key says more than a damaged twin does.
        (Err(_), Err(error @ HeaderError::NoKey { .. })) => Err(error),
        (Err(error), Err(_)) => Err(error),
    }
}

fn second_magic(head: &[u8]) -> Option<bool> {
    Some(head.get(HEADER_LEN..HEADER_LEN + MAGIC.len())? == MAGIC)
}

fn copy_bytes(head: &[u8], at: usize) -> Option<&[u8; HEADER_LEN]> {
    head.get(at..at + HEADER_LEN)?.try_into().ok()
}

fn open_copy(
    bytes: &[u8; HEADER_LEN],
    copy: CopyName,
    ring: &Keyring,
) -> Result<(Header, ArchiveKeys), HeaderError> {
    let header = Header::parse(bytes, copy)?;
    let keys = header.unlock(ring)?;
    if !Header::hmac_holds(bytes, &keys.header) {
        return Err(HeaderError::Forged);
    }
    Ok((header, keys))
}

fn newest(a: (Header, ArchiveKeys), b: (Header, ArchiveKeys)) -> Result<Opened, HeaderError> {
    let same_archive =
        a.0.archive_id == b.0.archive_id && a.0.salt == b.0.salt && a.0.meta == b.0.meta;
    if !same_archive {
        return Err(HeaderError::Malformed(
            "its two copies are of different archives",
        ));
    }
    if a.0.generation == b.0.generation && a.0 != b.0 {
        return Err(HeaderError::CopiesConflict(a.0.generation));
    }
    let (header, keys) = if b.0.generation > a.0.generation {
        b
    } else {
        a
    };
    Ok(Opened {
        header,
        keys,
        damaged_copy: None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::keys::KeyMaterial;
    use super::*;

    fn raw_key(byte: u8) -> SecretKey {
        SecretKey::from_bytes([byte; 32])
    }

    fn ring(byte: u8) -> Keyring {
        Keyring::new(vec![KeyMaterial::Raw(raw_key(byte))])
    }

    /// Both copies, of the given generations, openable by key 1.
    fn head(generations: [u32; 2]) -> Vec<u8> {
        let (archive_id, salt) = ([3; 16], [4; 32]);
        let data = raw_key(9);
        let slot = Slot::raw(&raw_key(1), &data, [5; 12], &archive_id, &salt).unwrap();
        let meta = br#"{"kind":"db"}"#.to_vec();
        let keys = ArchiveKeys::derive(data, &archive_id, &salt, &meta);
        let mut header = Header {
            generation: 0,
            archive_id,
            salt,
            meta,
            slots: vec![slot],
        };
        let mut bytes = Vec::new();
        for (copy, generation) in [CopyName::A, CopyName::B].into_iter().zip(generations) {
            header.generation = generation;
            bytes.extend_from_slice(&header.encode(copy, &keys.header).unwrap());
        }
        bytes
    }

    #[test]
    fn the_key_that_wrote_it_opens_it() {
        let opened = open(&head([1, 1]), &ring(1)).unwrap();
        assert_eq!(opened.keys.data.expose(), &[9; 32]);
        assert!(opened.damaged_copy.is_none());
    }

    #[test]
    fn another_key_is_told_which_key_it_wants() {
        let error = open(&head([1, 1]), &ring(2)).err().unwrap();
        let wanted = format!("key {}", raw_key(1).id());
        assert_eq!(
            error,
            HeaderError::NoKey {
                wants: vec![wanted]
            }
        );
    }

    #[test]
    fn the_newer_of_two_copies_wins() {
        assert_eq!(open(&head([1, 2]), &ring(1)).unwrap().header.generation, 2);
        assert_eq!(open(&head([4, 3]), &ring(1)).unwrap().header.generation, 4);
    }

    #[test]
    fn every_flipped_bit_of_one_copy_is_reported_and_the_other_copy_opens() {
        let head = head([1, 1]);
        for at in 0..head.len() {
            let mut damaged = head.clone();
            damaged[at] ^= 1 << (at % 8);
            let opened = open(&damaged, &ring(1)).unwrap();
            let copy = if at < HEADER_LEN {
                CopyName::A
            } else {
                CopyName::B
            };
            assert_eq!(
                opened.damaged_copy.map(|(name, _)| name),
                Some(copy),
                "byte {at}"
            );
        }
    }

    #[test]
    fn named_errors_for_what_this_version_does_not_know() {
        let both = |at: usize, value: u8| {
            let mut bytes = head([1, 1]);
            (bytes[at], bytes[HEADER_LEN + at]) = (value, value);
            open(&bytes, &ring(1)).err().unwrap()
        };
        assert_eq!(both(0, 0), HeaderError::NotKluis);
        assert_eq!(both(8, 2), HeaderError::UnknownVersion(2));
        assert_eq!(both(9, 2), HeaderError::UnknownSuite(2));
        assert_eq!(both(10, 20), HeaderError::UnknownChunkSize(20));
        let slot_at = 64 + 2 + br#"{"kind":"db"}"#.len() + 1;
        assert_eq!(both(slot_at, 77), HeaderError::UnknownSlot(77));
        assert!(
            matches!(both(4000, 1), HeaderError::Malformed(_)),
            "padding"
        );
        assert_eq!(both(4070, 1), HeaderError::Forged);
    }

    #[test]
    fn every_shorter_head_is_truncated_not_a_panic() {
        let head = head([1, 1]);
        for len in (0..head.len()).step_by(13) {
            assert!(open(&head[..len], &ring(1)).is_err());
        }
    }
}
