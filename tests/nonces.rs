//! 10,000 archives made as `backup` makes them: no nonce is used twice under one
//! key, neither for a chunk nor for a wrapped data key.

use std::collections::HashSet;

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};
use jiff::Timestamp;
use kluis::format::frames::{CHUNK_LEN, TAG_LEN};
use kluis::format::header::{self, PAYLOAD_OFFSET};
use kluis::format::keyring::{KeyMaterial, Keyring};
use kluis::format::manifest::{Codec, Kind};
use kluis::format::slots::Slot;
use kluis::pipeline::{ArchiveMeta, Envelope, Sealing, new_archive, seal};

const ARCHIVES: usize = 10_000;

#[derive(Default)]
struct Seen {
    /// By the payload key.
    chunks: HashSet<([u8; 32], [u8; 12])>,
    /// By what names the slot's key: its id, or what it is derived with.
    slots: HashSet<(Vec<u8>, [u8; 12])>,
}

/// Every 100th has three chunks, the others one; every 100th is empty.
fn content(n: usize) -> Vec<u8> {
    let len = match n % 100 {
        0 => 2 * CHUNK_LEN + 1,
        1 => 0,
        small => small,
    };
    vec![n as u8; len]
}

fn sealed(ring: &Keyring, content: &[u8]) -> Vec<u8> {
    let meta = ArchiveMeta {
        kind: Kind::Source,
        name: "tree".to_owned(),
        created: Timestamp::UNIX_EPOCH,
        codec: Codec::None,
    };
    let archive = new_archive(ring, &meta, &[3; 16]).unwrap();
    let sealing = Sealing {
        codec: Codec::None,
        level: 0,
        workers: 1,
        envelope: Envelope::Kluis1(Box::new(archive)),
        cancel: Default::default(),
    };
    let mut stored = Vec::new();
    seal(&mut &content[..], &mut stored, sealing, &|_| {}).unwrap();
    stored
}

/// Opens each chunk without kluis, under the nonce that it must have; a pair that
/// was seen before is the failure.
fn look_at(seen: &mut Seen, ring: &Keyring, stored: &[u8], content: &[u8]) {
    let opened = header::open(stored, ring).unwrap();
    for slot in &opened.header.slots {
        let (key, nonce) = match slot {
            Slot::Raw { key_id, nonce, .. } => (key_id.0.to_vec(), *nonce),
            Slot::Passphrase {
                salt,
                iterations,
                nonce,
                ..
            } => ([&salt[..], &iterations.to_be_bytes()].concat(), *nonce),
            Slot::Age { .. } => panic!("no age slot was asked for"),
        };
        assert!(seen.slots.insert((key, nonce)), "a slot's nonce twice");
    }
    let key = opened.keys.payload.expose();
    let cipher = Aes256Gcm::new(key.into());
    let payload = &stored[PAYLOAD_OFFSET as usize..];
    let chunks: Vec<&[u8]> = payload.chunks(CHUNK_LEN + TAG_LEN).collect();
    let mut plain = Vec::new();
    for (at, chunk) in chunks.iter().enumerate() {
        let mut nonce = [0; 12];
        nonce[7..11].copy_from_slice(&(at as u32).to_be_bytes());
        nonce[11] = (at + 1 == chunks.len()).into();
        plain.extend(cipher.decrypt(&Nonce::from(nonce), *chunk).unwrap());
        assert!(seen.chunks.insert((*key, nonce)), "a chunk's nonce twice");
    }
    assert!(plain == content);
}

fn of_10_000_archives(key: &str) {
    let ring = Keyring::of(KeyMaterial::parse(key).unwrap());
    let mut seen = Seen::default();
    for n in 0..ARCHIVES {
        let content = content(n);
        look_at(&mut seen, &ring, &sealed(&ring, &content), &content);
    }
    assert_eq!(seen.slots.len(), ARCHIVES);
    assert_eq!(seen.chunks.len(), ARCHIVES + 2 * ARCHIVES / 100);
}

#[test]
fn of_10_000_archives_under_a_raw_key_no_nonce_is_used_twice() {
    of_10_000_archives(&"5a".repeat(32));
}

#[test]
fn of_10_000_archives_under_a_passphrase_no_nonce_is_used_twice() {
    of_10_000_archives("a passphrase of several words");
}
