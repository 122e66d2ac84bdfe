//! The KLUIS1 header: 4096 bytes, written twice. Owns its layout and the keys
//! that follow from the data key; its slots are `slots`' business.
//!
//! Invariant: [`open`] returns keys only from a copy whose HMAC was checked, so
//! nothing of an archive is believed before its header is.

use sha2::{Digest, Sha256};

use super::keyring::Keyring;
use super::keys::{KeyId, SecretKey, equal_in_constant_time, extract, hmac_sha256};
use super::slots::{Fields, Slot};

mod copies;
mod copy_name;
mod peek;
mod seal_key;
mod slots_tried;

pub use copies::{copies_agree, copy_holds};
pub use copy_name::CopyName;
pub use peek::{generations, has_magic, peek};
pub use seal_key::{SealKey, seal_key, vouches};

pub const MAGIC: [u8; 8] = *b"\x89KLUIS\r\n";
pub const VERSION: u8 = 1;
/// Of a header whose keys were never changed.
pub const FIRST_GENERATION: u32 = 1;
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
    /// The copy that was taken: the newest whole one that the ring opens.
    pub copy: CopyName,
    /// The copy that could not be used, and why: the archive can be read, but
    /// its spare is gone. [`HeaderError::NoKey`] is no damage: then the copy is
    /// whole and wants another key, as a rotation that was interrupted leaves it.
    pub damaged_copy: Option<(CopyName, HeaderError)>,
    /// Both copies are whole and of different generations: a change of keys was
    /// interrupted.
    pub is_between: bool,
}

impl Opened {
    /// Both copies anew, one generation on, with other slots: copy A, copy B.
    pub fn with_slots(&self, slots: Vec<Slot>) -> Result<[[u8; HEADER_LEN]; 2], HeaderError> {
        let generation = self.header.generation.checked_add(1);
        let header = Header {
            generation: generation.ok_or(HeaderError::Unwritable(
                "its header was rewritten 2^32 times; write the archive anew",
            ))?,
            slots,
            ..self.header.clone()
        };
        Ok([
            header.encode(CopyName::A, &self.keys.header)?,
            header.encode(CopyName::B, &self.keys.header)?,
        ])
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
    /// Others before it have spent what a run spends on them.
    #[error(
        "its passphrase slots were not tried: those of this and other archives ask for more \
         rounds than a run spends on slots that open nothing"
    )]
    TooCostly,
    /// The key is here, so it is not the key that is missing.
    #[error("header damaged: its slot for key {0}, which is here, does not open")]
    DamagedSlot(KeyId),
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

    /// Names its first key, as a manifest does: see `encryption.key_id`.
    pub fn key_id(&self, ring: &Keyring) -> Option<String> {
        let name = |slot: &Slot| slot.key_id(ring, &self.archive_id, &self.salt);
        self.slots.iter().find_map(name)
    }

    /// The slots that the ring's key of that place opens.
    pub fn opened_by(&self, ring: &Keyring, index: usize) -> Vec<usize> {
        let opens = |(_, slot): &(usize, &Slot)| {
            let data = slot.unwrap(ring, index, &self.archive_id, &self.salt);
            data.is_some()
        };
        let slots = self.slots.iter().enumerate().filter(opens);
        slots.map(|(at, _)| at).collect()
    }

    /// The keys behind the first slot that the ring opens, by the cheapest keys
    /// first: a passphrase is derived only where nothing else opens.
    fn unlock(&self, ring: &Keyring, places: &[usize]) -> Result<ArchiveKeys, HeaderError> {
        let cost = |slot: &&Slot| match slot {
            Slot::Passphrase {
                salt, iterations, ..
            } => ring.cost(salt, *iterations),
            Slot::Raw { .. } | Slot::Age { .. } => 0,
        };
        let is_slow = |slot: &Slot| matches!(slot, Slot::Passphrase { .. });
        let open = |slot: &Slot| {
            let mut places = places.iter().copied();
            places.find_map(|index| slot.unwrap(ring, index, &self.archive_id, &self.salt))
        };
        let fast = self.slots.iter().filter(|slot| !is_slow(slot));
        let mut slow: Vec<&Slot> = self.slots.iter().filter(|slot| is_slow(slot)).collect();
        slow.sort_by_key(cost);
        let data = fast.chain(slow).find_map(open);
        match data {
            Some(data) => Ok(ArchiveKeys::derive(
                data,
                &self.archive_id,
                &self.salt,
                &self.meta,
            )),
            None => Err(self.unopened(ring, places)),
        }
    }
}

/// Opens an archive by its first 8192 bytes: both copies are looked at, the
/// newest whole one is taken.
pub fn open(head: &[u8], ring: &Keyring) -> Result<Opened, HeaderError> {
    open_among(head, ring, &ring.places())
}

/// [`open`] with the ring's key of that place alone.
pub fn open_with(head: &[u8], ring: &Keyring, index: usize) -> Result<Opened, HeaderError> {
    open_among(head, ring, &[index])
}

fn open_among(head: &[u8], ring: &Keyring, places: &[usize]) -> Result<Opened, HeaderError> {
    if head.len() >= MAGIC.len() && !has_magic(head) {
        return Err(HeaderError::NotKluis);
    }
    let truncated = HeaderError::Truncated { found: head.len() };
    let (Some(a), Some(b)) = (copy_bytes(head, 0), copy_bytes(head, HEADER_LEN)) else {
        return Err(truncated);
    };
    let opened_a = open_copy(a, CopyName::A, ring, places);
    let opened_b = open_copy(b, CopyName::B, ring, places);
    match (opened_a, opened_b) {
        (Ok(a), Ok(b)) => newest(a, b),
        (Ok(a), Err(error)) => Ok(with_one_copy(a, CopyName::A, b, error)),
        (Err(error), Ok(b)) => Ok(with_one_copy(b, CopyName::B, a, error)),
        // A missing key says more than a damaged twin does, and anything more
        // than that copy A lost its magic.
        (Err(_), Err(error @ (HeaderError::NoKey { .. } | HeaderError::TooCostly))) => Err(error),
        (Err(HeaderError::NotKluis), Err(error)) => Err(error),
        (Err(error), Err(_)) => Err(error),
    }
}

/// By `copy` alone; the other one, `bytes`, did not open. Damage to its slots looks
/// like a missing key, but both copies are under one header key: its HMAC tells.
fn with_one_copy(
    (header, keys): (Header, ArchiveKeys),
    copy: CopyName,
    bytes: &[u8; HEADER_LEN],
    error: HeaderError,
) -> Opened {
    let error = match error {
        HeaderError::NoKey { .. } | HeaderError::TooCostly | HeaderError::DamagedSlot(_)
            if !Header::hmac_holds(bytes, &keys.header) =>
        {
            HeaderError::Forged
        }
        error => error,
    };
    Opened {
        header,
        keys,
        copy,
        damaged_copy: Some((copy.other(), error)),
        is_between: false,
    }
}

fn copy_bytes(head: &[u8], at: usize) -> Option<&[u8; HEADER_LEN]> {
    head.get(at..at + HEADER_LEN)?.try_into().ok()
}

fn open_copy(
    bytes: &[u8; HEADER_LEN],
    copy: CopyName,
    ring: &Keyring,
    places: &[usize],
) -> Result<(Header, ArchiveKeys), HeaderError> {
    let header = Header::parse(bytes, copy)?;
    let keys = header.unlock(ring, places)?;
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
    let is_between = a.0.generation != b.0.generation;
    let ((header, keys), copy) = match b.0.generation > a.0.generation {
        true => (b, CopyName::B),
        false => (a, CopyName::A),
    };
    Ok(Opened {
        header,
        keys,
        copy,
        damaged_copy: None,
        is_between,
    })
}

#[cfg(test)]
mod tests {
    use super::super::keyring::KeyMaterial;
    use super::*;

    fn raw_key(byte: u8) -> SecretKey {
        SecretKey::from_bytes([byte; 32])
    }

    fn ring(byte: u8) -> Keyring {
        Keyring::of(KeyMaterial::Raw(raw_key(byte)))
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
    fn a_whole_copy_under_another_key_is_no_damage_and_a_damaged_slot_is() {
        let (archive_id, salt) = ([3; 16], [4; 32]);
        let slot = Slot::raw(&raw_key(2), &raw_key(9), [6; 12], &archive_id, &salt);
        let meta = br#"{"kind":"db"}"#.to_vec();
        let keys = ArchiveKeys::derive(raw_key(9), &archive_id, &salt, &meta);
        let rotated = Header {
            generation: 2,
            archive_id,
            salt,
            meta,
            slots: vec![slot.unwrap()],
        };
        let mut head = head([1, 1]);
        let copy_b = rotated.encode(CopyName::B, &keys.header).unwrap();
        head[HEADER_LEN..].copy_from_slice(&copy_b);
        for (key, unused) in [(1, CopyName::B), (2, CopyName::A)] {
            let opened = open(&head, &ring(key)).unwrap();
            assert!(
                matches!(opened.damaged_copy, Some((copy, HeaderError::NoKey { .. })) if copy == unused)
            );
        }
        let key_id_at = HEADER_LEN + 64 + 2 + rotated.meta.len() + 1 + 3;
        head[key_id_at] ^= 1;
        let opened = open(&head, &ring(1)).unwrap();
        assert_eq!(
            opened.damaged_copy,
            Some((CopyName::B, HeaderError::Forged))
        );
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
