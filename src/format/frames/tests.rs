//! Payloads that are whole, and every way in which one is not.

use std::collections::HashSet;

use super::*;

fn key() -> SecretKey {
    SecretKey::from_bytes([7; 32])
}

fn seal(plain: &[u8]) -> Vec<u8> {
    let mut sealer = FrameSealer::new(Vec::new(), key());
    sealer.write_all(plain).unwrap();
    sealer.finish().unwrap()
}

fn open(sealed: &[u8]) -> (Vec<u8>, io::Result<()>) {
    let mut opener = FrameOpener::new(sealed, &key());
    let mut plain = Vec::new();
    loop {
        match opener.next_chunk() {
            Ok([]) => return (plain, Ok(())),
            Ok(chunk) => plain.extend_from_slice(chunk),
            Err(error) => return (plain, Err(error)),
        }
    }
}

fn sample(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 % 251) as u8).collect()
}

#[test]
fn every_length_around_a_chunk_comes_back() {
    let lengths = [0, 1, CHUNK_LEN - 1, CHUNK_LEN, CHUNK_LEN + 1, 2 * CHUNK_LEN];
    for len in lengths
        .into_iter()
        .chain([40 * CHUNK_LEN, 40 * CHUNK_LEN + 5])
    {
        let plain = sample(len);
        let sealed = seal(&plain);
        let chunks = len.div_ceil(CHUNK_LEN).max(1);
        assert_eq!(sealed.len(), len + chunks * TAG_LEN, "length {len}");
        let (opened, end) = open(&sealed);
        end.unwrap();
        assert_eq!(opened, plain, "length {len}");
    }
}

#[test]
fn a_cut_at_any_length_is_found_and_gives_only_whole_chunks() {
    let plain = sample(3 * CHUNK_LEN + 100);
    let sealed = seal(&plain);
    for len in (0..sealed.len())
        .step_by(997)
        .chain([1, 2].map(|chunks| chunks * SEALED_LEN))
        .chain([1, 2].map(|chunks| chunks * SEALED_LEN - 1))
        .chain([1, 2].map(|chunks| chunks * SEALED_LEN + 1))
    {
        let (opened, end) = open(&sealed[..len]);
        assert!(end.is_err(), "cut at {len}");
        assert_eq!(opened, plain[..opened.len()]);
        assert!(opened.len() <= len / SEALED_LEN * CHUNK_LEN);
    }
}

#[test]
fn swapped_doubled_dropped_and_trailing_chunks_are_found() {
    let sealed = seal(&sample(4 * CHUNK_LEN));
    let chunk = |i: usize| &sealed[i * SEALED_LEN..(i + 1) * SEALED_LEN];
    let cases = [
        ("swapped", [chunk(1), chunk(0), chunk(2), chunk(3)].concat()),
        (
            "doubled",
            [chunk(0), chunk(0), chunk(1), chunk(2), chunk(3)].concat(),
        ),
        ("dropped", [chunk(0), chunk(2), chunk(3)].concat()),
        ("without its last", [chunk(0), chunk(1), chunk(2)].concat()),
        ("two last", [&sealed, chunk(3)].concat()),
        ("a byte too long", [&sealed, &b"x"[..]].concat()),
    ];
    for (name, bytes) in cases {
        assert!(open(&bytes).1.is_err(), "{name}");
    }
}

#[test]
fn an_empty_last_chunk_behind_others_is_refused() {
    let cipher = Aes256Gcm::new(key().expose().into());
    let mut chunk = sample(CHUNK_LEN);
    let tag = cipher
        .encrypt_inout_detached(&nonce(0, false), &[], chunk.as_mut_slice().into())
        .unwrap();
    let last = cipher
        .encrypt_inout_detached(&nonce(1, true), &[], (&mut [][..]).into())
        .unwrap();
    let sealed = [chunk.as_slice(), &tag, &last].concat();
    let (_, end) = open(&sealed);
    let error = end.unwrap_err();
    let error = error.get_ref().unwrap().downcast_ref::<FrameError>();
    assert_eq!(error, Some(&FrameError::EmptyLast));
    // Who asks again gets no end either.
    let mut opener = FrameOpener::new(sealed.as_slice(), &key());
    assert_eq!(opener.next_chunk().unwrap().len(), CHUNK_LEN);
    assert!((0..3).all(|_| opener.next_chunk().is_err() && !opener.is_done()));
}

#[test]
fn of_2_to_the_20_chunks_no_two_have_the_same_nonce() {
    const CHUNKS: usize = 1 << 20;
    let mut nonces = ChunkNonces::new();
    let mut seen = HashSet::with_capacity(CHUNKS);
    for chunk in 1..=CHUNKS {
        let nonce = nonces.take(chunk == CHUNKS).unwrap();
        assert!(seen.insert(<[u8; 12]>::from(nonce)), "chunk {chunk}");
    }
    assert_eq!(seen.len(), CHUNKS);
}

#[test]
fn behind_the_last_chunk_there_is_no_nonce() {
    let mut nonces = ChunkNonces::new();
    nonces.take(false).unwrap();
    nonces.take(true).unwrap();
    for last in [false, true, true] {
        assert_eq!(nonces.take(last), Err(FrameError::Ended));
    }
}

#[test]
fn the_counter_ends_and_never_begins_again() {
    for last in [false, true] {
        let mut nonces = ChunkNonces {
            next: Ok(u32::MAX - 1),
        };
        nonces.take(false).unwrap();
        let end = nonces.take(last).unwrap();
        assert_eq!(end[7..11], [0xff; 4]);
        assert!(nonces.take(false).is_err());
        assert!(nonces.take(true).is_err());
    }
}

/// Fails once, then takes everything.
struct FailsOnce {
    failed: bool,
    taken: Vec<u8>,
}

impl Write for FailsOnce {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !std::mem::replace(&mut self.failed, true) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.taken.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A caller that goes on after a failed write, as none should, makes a payload
/// that is wrong, but never two chunks under one nonce: the sealed ones wait.
#[test]
fn a_write_that_fails_leads_back_to_no_nonce() {
    let inner = FailsOnce {
        failed: false,
        taken: Vec::new(),
    };
    let plain = sample(CHUNKS_AT_ONCE * CHUNK_LEN);
    let mut sealer = FrameSealer::new(inner, key());
    sealer.write_all(&plain).unwrap_err();
    sealer.write_all(&plain).unwrap();
    let sealed = sealer.finish().unwrap().taken;
    let cipher = Aes256Gcm::new(key().expose().into());
    let chunks = sealed.len().div_ceil(SEALED_LEN);
    for (at, sealed) in sealed.chunks(SEALED_LEN).enumerate() {
        let (chunk, tag) = sealed.split_at(sealed.len() - TAG_LEN);
        let (nonce, tag) = (nonce(at as u32, at + 1 == chunks), tag.try_into().unwrap());
        let mut chunk = chunk.to_vec();
        let opened = cipher.decrypt_inout_detached(&nonce, &[], chunk.as_mut_slice().into(), &tag);
        opened.unwrap_or_else(|_| panic!("chunk {at} is under another nonce"));
    }
}

/// Opens a payload of sixteen whole chunks up to chunk `from`, then changes each
/// byte of each sealed chunk before `to` in turn, in the opener's own buffer, so
/// that what lies before it is not opened a million times over. The error names
/// the chunk, nothing comes out, and the whole chunk then comes as it was.
/// A million openings take minutes: every byte is changed of the first, a middle and
/// the last chunk, every 61st of the others; a soak changes every one.
fn each_changed_byte_of_chunks(from: usize, to: usize) {
    let all = std::env::var_os("KLUIS_SOAK").is_some();
    let plain = sample(16 * CHUNK_LEN);
    let sealed = seal(&plain);
    let mut opener = FrameOpener::new(sealed.as_slice(), &key());
    for (at, expected) in plain.chunks(CHUNK_LEN).enumerate().take(to) {
        // As `open_next` does first, at the front of the payload.
        if opener.filled == 0 {
            opener.refill().unwrap();
        }
        let start = opener.next;
        let len = (opener.filled - start).min(SEALED_LEN);
        assert_eq!(len, SEALED_LEN);
        let step = if all || [0, 7, 15].contains(&at) {
            1
        } else {
            61
        };
        for byte in (0..len).step_by(step).filter(|_| at >= from) {
            opener.buffer[start + byte] ^= 1 << (byte % 8);
            let error = opener.next_chunk().map(<[u8]>::len).unwrap_err();
            let found = error
                .get_ref()
                .and_then(|it| it.downcast_ref::<FrameError>());
            let damaged = match at {
                15 => FrameError::DamagedEnd { bytes: SEALED_LEN },
                _ => FrameError::Damaged {
                    chunk: at as u32,
                    offset: (at * SEALED_LEN) as u64,
                },
            };
            assert_eq!(found, Some(&damaged), "chunk {at}, byte {byte}");
            assert!(opener.plain.is_empty(), "chunk {at}, byte {byte}");
            opener.buffer[start + byte] ^= 1 << (byte % 8);
        }
        let opened = opener.next_chunk().unwrap();
        assert!(opened == expected, "chunk {at}");
    }
    assert_eq!(opener.is_done(), to == 16);
}

#[test]
fn each_changed_byte_of_the_first_mib_is_found_1_of_4() {
    each_changed_byte_of_chunks(0, 4);
}

#[test]
fn each_changed_byte_of_the_first_mib_is_found_2_of_4() {
    each_changed_byte_of_chunks(4, 8);
}

#[test]
fn each_changed_byte_of_the_first_mib_is_found_3_of_4() {
    each_changed_byte_of_chunks(8, 12);
}

#[test]
fn each_changed_byte_of_the_first_mib_is_found_4_of_4() {
    each_changed_byte_of_chunks(12, 16);
}
