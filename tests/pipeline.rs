//! The byte's way out and back, without storage or PostgreSQL.

use std::io::{self, BufRead, Read, Write};

use jiff::Timestamp;
use kluis::cancel::Cancel;
use kluis::format::header;
use kluis::format::keyring::{KeyMaterial, Keyring};
use kluis::format::keys::SecretKey;
use kluis::format::legacy;
use kluis::format::manifest::{Codec, Kind};
use kluis::pipeline::{
    ArchiveMeta, BLOCK_LEN, Envelope, Opening, Receipt, SealError, Sealing, UnsealError, Unsealed,
    Unsealing, new_archive, seal, unseal,
};

const CODECS: [(Codec, i32); 3] = [(Codec::Gzip, 6), (Codec::Zstd, 3), (Codec::None, 0)];

fn ring() -> Keyring {
    Keyring::of(KeyMaterial::Raw(SecretKey::from_bytes([1; 32])))
}

fn kluis1() -> Envelope {
    let meta = ArchiveMeta {
        kind: Kind::Db,
        name: "shop".into(),
        created: Timestamp::UNIX_EPOCH,
        codec: Codec::Gzip,
    };
    Envelope::Kluis1(Box::new(new_archive(&ring(), &meta, &[0; 16]).unwrap()))
}

fn sealing(codec: Codec, level: i32, envelope: Envelope) -> Sealing {
    Sealing {
        codec,
        level,
        workers: 2,
        envelope,
        cancel: Cancel::default(),
    }
}

/// Text-like bytes: compressible, but no block like another.
fn sample(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let word = ["row", "\t", "vault", "1234", "\n", "ä"][(state >> 33) as usize % 6];
        out.extend_from_slice(word.as_bytes());
    }
    out.truncate(len);
    out
}

fn seal_bytes(raw: &[u8], sealing: Sealing) -> (Vec<u8>, Receipt) {
    let mut sink = Vec::new();
    let receipt = seal(&mut &raw[..], &mut sink, sealing, &|_| {}).unwrap();
    (sink, receipt)
}

#[derive(Debug)]
enum Failed {
    Archive(UnsealError),
    Consumer(io::Error),
}

impl From<UnsealError> for Failed {
    fn from(error: UnsealError) -> Self {
        Self::Archive(error)
    }
}

fn unseal_with<T>(
    stored: &[u8],
    opening: Opening,
    consume: impl FnOnce(&mut dyn BufRead) -> io::Result<T>,
) -> Result<(T, Unsealed), Failed> {
    let unsealing = Unsealing {
        opening,
        codec: None,
        workers: 2,
        digests: true,
        told_bytes: None,
        cancel: Cancel::default(),
    };
    unseal(stored, unsealing, &|_| {}, |reader| {
        consume(reader).map_err(Failed::Consumer)
    })
}

fn read_all(reader: &mut dyn BufRead) -> io::Result<Vec<u8>> {
    let mut raw = Vec::new();
    reader.read_to_end(&mut raw).map(|_| raw)
}

/// The payload and what opens it.
fn opened(stored: &[u8]) -> (&[u8], Opening) {
    let opened = header::open(stored, &ring()).unwrap();
    let payload = &stored[header::PAYLOAD_OFFSET as usize..];
    (
        payload,
        Opening::Kluis1 {
            payload_key: opened.keys.payload,
        },
    )
}

#[test]
fn every_codec_and_length_comes_back_and_both_ways_measure_the_same() {
    let edges = [
        0,
        1,
        BLOCK_LEN - 1,
        BLOCK_LEN,
        BLOCK_LEN + 1,
        5 * BLOCK_LEN + 77,
    ];
    for (codec, level) in CODECS {
        for len in edges {
            let raw = sample(len);
            let (plain, receipt) = seal_bytes(&raw, sealing(codec, level, Envelope::None));
            assert_eq!(receipt.raw_bytes, len as u64);
            assert_eq!(receipt.stored_bytes, plain.len() as u64);
            assert_eq!(receipt.stored_sha256, receipt.content_sha256);
            let (back, seen) = unseal_with(&plain, Opening::Plain, read_all).unwrap();
            assert!(back == raw, "{codec:?} {len}");
            assert_eq!(
                (seen.raw_bytes, &seen.content_sha256),
                (len as u64, &Some(receipt.content_sha256.clone()))
            );

            let (locked, receipt) = seal_bytes(&raw, sealing(codec, level, kluis1()));
            assert_eq!(receipt.stored_bytes, locked.len() as u64);
            let (payload, opening) = opened(&locked);
            let (back, seen) = unseal_with(payload, opening, read_all).unwrap();
            assert!(back == raw, "{codec:?} {len} encrypted");
            assert_eq!(seen.stored_sha256, receipt.payload_sha256);
            assert_eq!(seen.content_sha256, Some(receipt.content_sha256));
        }
    }
}

#[test]
fn kanbus_format_is_written_and_read_in_two_passes() {
    let key = || legacy::legacy_key("a passphrase");
    let raw = sample(3 * BLOCK_LEN + 5);
    let (stored, receipt) = seal_bytes(&raw, sealing(Codec::Gzip, 6, Envelope::Kanbu(key())));
    assert_eq!(receipt.payload_sha256, None);
    let authenticated = legacy::authenticate(&stored[..], &key()).unwrap();
    let opening = Opening::Kanbu(Box::new(authenticated));
    let (back, seen) = unseal_with(&stored, opening, read_all).unwrap();
    assert!(back == raw);
    assert_eq!(seen.stored_sha256, Some(receipt.stored_sha256));
}

#[test]
fn the_member_index_points_at_members_and_stays_small() {
    let raw = sample(300 * BLOCK_LEN);
    let (stored, receipt) = seal_bytes(&raw, sealing(Codec::Gzip, 1, Envelope::None));
    let index = receipt.index.unwrap();
    assert_eq!(index.every, 2);
    assert!(index.offsets.len() <= 256);
    assert_eq!(index.offsets.len(), 300usize.div_ceil(2));
    for offset in index.offsets {
        assert_eq!(stored[offset as usize..][..3], [0x1f, 0x8b, 8]);
    }
}

#[test]
fn gzip_and_zstd_of_other_writers_are_read_too() {
    let raw = sample(2 * BLOCK_LEN);
    let mut foreign = Vec::new();
    for half in raw.chunks(BLOCK_LEN) {
        let mut gzip = flate2::write::GzEncoder::new(&mut foreign, flate2::Compression::fast());
        gzip.write_all(half).unwrap();
        gzip.finish().unwrap();
    }
    let (back, seen) = unseal_with(&foreign, Opening::Plain, read_all).unwrap();
    assert!(back == raw);
    assert_eq!(seen.raw_bytes, raw.len() as u64);
    let foreign = zstd::encode_all(&raw[..], 1).unwrap();
    let (back, _) = unseal_with(&foreign, Opening::Plain, read_all).unwrap();
    assert!(back == raw);
}

struct FailsAt<'a>(&'a [u8], usize);

impl Read for FailsAt<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.1 == 0 {
            return Err(io::Error::other("the producer died"));
        }
        let count = self.0.read(&mut buffer[..self.1.min(4096)])?;
        self.1 -= count;
        Ok(count)
    }
}

#[test]
fn a_source_that_fails_late_fails_the_seal() {
    let raw = sample(4 * BLOCK_LEN);
    for at in [1, BLOCK_LEN, 3 * BLOCK_LEN + 4096] {
        let mut sink = Vec::new();
        let mut source = FailsAt(&raw, at);
        let result = seal(
            &mut source,
            &mut sink,
            sealing(Codec::Gzip, 1, kluis1()),
            &|_| {},
        );
        assert!(matches!(result, Err(SealError::Source(_))), "at {at}");
        // What was written is no archive: its last chunk is missing.
        if sink.len() > header::PAYLOAD_OFFSET as usize {
            let (payload, opening) = opened(&sink);
            assert!(unseal_with(payload, opening, read_all).is_err());
        }
    }
}

struct FullAfter(usize);

impl Write for FullAfter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self
            .0
            .checked_sub(bytes.len())
            .ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_sink_fails_the_seal_wherever_it_fills() {
    let raw = sample(4 * BLOCK_LEN);
    for room in [0, 5000, 100_000, 800_000] {
        let sealing = sealing(Codec::Zstd, 1, kluis1());
        let result = seal(&mut &raw[..], &mut FullAfter(room), sealing, &|_| {});
        assert!(matches!(result, Err(SealError::Sink(_))), "room for {room}");
    }
}

#[test]
fn damage_behind_the_point_where_the_consumer_stops_is_found() {
    let raw = sample(6 * BLOCK_LEN);
    for (codec, level) in CODECS {
        let (mut stored, _) = seal_bytes(&raw, sealing(codec, level, kluis1()));
        let last = stored.len() - 1;
        stored[last] ^= 1;
        let (payload, opening) = opened(&stored);
        let one_byte = |reader: &mut dyn BufRead| reader.read_exact(&mut [0]);
        let result = unseal_with(payload, opening, one_byte);
        assert!(
            matches!(result, Err(Failed::Archive(UnsealError::Frames(_)))),
            "{codec:?}"
        );
    }
}

#[test]
fn damaged_members_of_an_unencrypted_archive_are_found() {
    let raw = sample(3 * BLOCK_LEN);
    for (codec, level) in [(Codec::Gzip, 6), (Codec::Zstd, 3)] {
        let (stored, _) = seal_bytes(&raw, sealing(codec, level, Envelope::None));
        for at in (100..stored.len()).step_by(stored.len() / 50) {
            let mut damaged = stored.clone();
            damaged[at] ^= 0x10;
            assert!(
                unseal_with(&damaged, Opening::Plain, read_all).is_err(),
                "{codec:?} {at}"
            );
        }
        let cut = &stored[..stored.len() - 1];
        let result = unseal_with(cut, Opening::Plain, read_all);
        assert!(matches!(
            result,
            Err(Failed::Archive(UnsealError::CutMember))
        ));
    }
}

#[test]
fn a_consumer_that_fails_ends_the_run_with_its_own_error() {
    let raw = sample(20 * BLOCK_LEN);
    let (stored, _) = seal_bytes(&raw, sealing(Codec::Gzip, 1, Envelope::None));
    let refuse = |_: &mut dyn BufRead| Err::<(), _>(io::Error::other("disk full"));
    let result = unseal_with(&stored, Opening::Plain, refuse);
    assert!(matches!(result, Err(Failed::Consumer(error)) if error.to_string() == "disk full"));
}

#[test]
fn a_cancelled_run_ends_in_both_directions() {
    let raw = sample(3 * BLOCK_LEN);
    let (stored, _) = seal_bytes(&raw, sealing(Codec::Gzip, 1, Envelope::None));
    let cancel = Cancel::default();
    cancel.request(15);
    let cancelled = Sealing {
        cancel: cancel.clone(),
        ..sealing(Codec::Gzip, 1, Envelope::None)
    };
    assert!(seal(&mut &raw[..], &mut Vec::new(), cancelled, &|_| {}).is_err());
    let unsealing = Unsealing {
        opening: Opening::Plain,
        codec: None,
        workers: 1,
        digests: true,
        told_bytes: None,
        cancel,
    };
    let result: Result<_, UnsealError> = unseal(&stored[..], unsealing, &|_| {}, |reader| {
        read_all(reader).map_err(UnsealError::Foreign)
    });
    assert!(matches!(result, Err(UnsealError::Cancelled(_))));
}

/// Of each codec a stream without end, and what one round of it holds.
fn endless(codec: Codec, members: bool) -> (Box<dyn Read + Send>, usize) {
    let raw = vec![b'x'; BLOCK_LEN];
    let (round, raw_bytes) = match (codec, members) {
        (Codec::Gzip, false) => {
            let level = flate2::Compression::fast();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(&raw).unwrap();
            (encoder.finish().unwrap(), raw.len())
        }
        (Codec::Zstd, false) => (zstd::encode_all(&raw[..], 1).unwrap(), raw.len()),
        (codec, _) => {
            let sealed = seal_bytes(&raw, sealing(codec, 1, Envelope::None)).0;
            (sealed, raw.len())
        }
    };
    (Box::new(Endless { round, at: 0 }), raw_bytes)
}

struct Endless {
    round: Vec<u8>,
    at: usize,
}

impl Read for Endless {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = (&self.round[self.at..]).read(out)?;
        self.at = (self.at + count) % self.round.len();
        Ok(count)
    }
}

#[test]
fn a_stream_without_end_is_read_no_further_than_its_manifest_says() {
    for (codec, members) in [
        (Codec::Gzip, true),
        (Codec::Gzip, false),
        (Codec::Zstd, true),
        (Codec::Zstd, false),
        (Codec::None, false),
    ] {
        let (stored, round_bytes) = endless(codec, members);
        let told = 2 * round_bytes as u64 + 5;
        let unsealing = Unsealing {
            opening: Opening::Plain,
            codec: Some(codec),
            workers: 2,
            digests: true,
            told_bytes: Some(told),
            cancel: Cancel::default(),
        };
        let mut came = 0;
        let read = unseal(stored, unsealing, &|_| {}, |reader| {
            came = io::copy(reader, &mut io::sink()).map_err(Failed::Consumer)?;
            Ok::<_, Failed>(())
        });
        let what = format!("{codec:?} {members}");
        match read {
            Err(Failed::Archive(UnsealError::Longer { told: said })) => assert_eq!(said, told),
            other => panic!("{what}: {other:?}"),
        }
        assert!(came <= told, "{what}: {came}");
    }
}

/// A block of 128 KiB is four bytes of zstd's: a chunk that is read swells to gigabytes.
#[test]
fn a_stop_is_heard_while_one_chunk_swells() {
    let block = (((128_u32 << 10) << 3) | (1 << 1)).to_le_bytes();
    let mut stored = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    stored.extend([block[0], block[1], block[2], 0].repeat(1 << 20));
    let cancel = Cancel::default();
    let unsealing = Unsealing {
        opening: Opening::Plain,
        codec: Some(Codec::Zstd),
        workers: 1,
        digests: false,
        told_bytes: None,
        cancel: cancel.clone(),
    };
    let mut came = 0;
    let read = unseal(&stored[..], unsealing, &|_| {}, |reader| {
        let some = &mut reader.take(1 << 20);
        io::copy(some, &mut io::sink()).map_err(Failed::Consumer)?;
        cancel.request(15);
        came = io::copy(reader, &mut io::sink()).map_err(Failed::Consumer)?;
        Ok::<_, Failed>(())
    });
    let is_stopped = matches!(read, Err(Failed::Archive(UnsealError::Cancelled(_))));
    assert!(is_stopped && came == 0, "{read:?} {came}");
}
