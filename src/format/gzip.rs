//! One gzip member per block. Owns the member's header, in which an extra field
//! tells the member's own size, so that a parallel reader finds the next member
//! without an index. Refuses members beyond fixed bounds, so that hostile sizes
//! cost no memory. Invariant: what [`encode_member`] writes, [`decode_member`]
//! and every other reader of RFC 1952 give back.

use libdeflater::{Compressor, Decompressor};

/// Bytes before the deflate data: all that [`MemberHeader::parse`] looks at.
pub const HEADER_BYTES: usize = 24;
/// A member is never larger than this, header and trailer included.
pub const MAX_MEMBER_BYTES: usize = 2 * 1024 * 1024;
/// A member never holds more raw bytes than this.
pub const MAX_RAW_BYTES: usize = 16 * 1024 * 1024;

/// How each member of ours begins: all of its front but the sizes.
pub const MEMBER_START: &[u8] = &[
    0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 12, 0, b'K', b'L', 8, 0,
];

/// CRC-32 and ISIZE, little-endian (RFC 1952, 2.3.1).
const TRAILER_BYTES: usize = 8;
/// An empty deflate stream takes two bytes at least.
const MIN_MEMBER_BYTES: usize = HEADER_BYTES + 2 + TRAILER_BYTES;

const MAGIC_AND_METHOD: [u8; 3] = [0x1f, 0x8b, 8];
/// Bytes 3..16: FEXTRA alone; MTIME 0, since a block has no time; XFL 0; OS
/// 255, unknown; XLEN 12; subfield `KL` of 8 bytes. Two sizes follow: the
/// member's and the raw block's, u32 little-endian.
const FIXED: [u8; 13] = [4, 0, 0, 0, 0, 0, 255, 12, 0, b'K', b'L', 8, 0];

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GzipError {
    #[error("not gzip: the data does not begin with a gzip member")]
    NotGzip,
    #[error("a gzip member claims {member_bytes} bytes holding {raw_bytes}; the data is damaged")]
    Bounds {
        member_bytes: usize,
        raw_bytes: usize,
    },
    #[error("a gzip member of {expected_bytes} bytes ends after {actual_bytes}; the data is cut")]
    Truncated {
        expected_bytes: usize,
        actual_bytes: usize,
    },
    #[error("a gzip member's deflate data is damaged")]
    Deflate,
    #[error("a gzip member's CRC-32 is {actual:08x}, its trailer says {expected:08x}")]
    Crc { expected: u32, actual: u32 },
    #[error("a gzip member's header and trailer disagree on its raw size")]
    RawSize,
    #[error("a block of {raw_bytes} bytes does not fit one gzip member; use smaller blocks")]
    BlockTooLarge { raw_bytes: usize },
}

/// What a member's header says of its sizes. Within the bounds above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberHeader {
    /// The whole member, header and trailer included.
    pub member_bytes: u32,
    pub raw_bytes: u32,
}

impl MemberHeader {
    /// Looks at the first [`HEADER_BYTES`] of a member (or all there is, if that
    /// is less). `None` for gzip that somebody else wrote, which says nothing of
    /// its size: read that and all that follows with a streaming decoder.
    pub fn parse(prefix: &[u8]) -> Result<Option<Self>, GzipError> {
        if !prefix.starts_with(&MAGIC_AND_METHOD) {
            return Err(GzipError::NotGzip);
        }
        let Some((fixed, sizes)) = prefix[MAGIC_AND_METHOD.len()..].split_at_checked(FIXED.len())
        else {
            return Ok(None);
        };
        let (Some(member_bytes), Some(raw_bytes)) = (u32_le(sizes, 0), u32_le(sizes, 4)) else {
            return Ok(None);
        };
        if fixed != FIXED {
            return Ok(None);
        }
        let in_bounds = (MIN_MEMBER_BYTES..=MAX_MEMBER_BYTES).contains(&(member_bytes as usize))
            && raw_bytes as usize <= MAX_RAW_BYTES;
        if !in_bounds {
            return Err(GzipError::Bounds {
                member_bytes: member_bytes as usize,
                raw_bytes: raw_bytes as usize,
            });
        }
        Ok(Some(Self {
            member_bytes,
            raw_bytes,
        }))
    }

    fn encode(self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..3].copy_from_slice(&MAGIC_AND_METHOD);
        header[3..16].copy_from_slice(&FIXED);
        header[16..20].copy_from_slice(&self.member_bytes.to_le_bytes());
        header[20..].copy_from_slice(&self.raw_bytes.to_le_bytes());
        header
    }
}

/// Appends `block` to `out` as one member, at the compressor's level. An empty
/// block is an empty member, so that an empty archive is valid gzip too.
///
/// Refuses blocks whose member could not be read back under the bounds; a block
/// of 1 MiB always fits. On an error `out` is as it was.
pub fn encode_member(
    block: &[u8],
    compressor: &mut Compressor,
    out: &mut Vec<u8>,
) -> Result<MemberHeader, GzipError> {
    let too_large = GzipError::BlockTooLarge {
        raw_bytes: block.len(),
    };
    if block.len() > MAX_RAW_BYTES {
        return Err(too_large);
    }
    let start = out.len();
    let deflate_start = start + HEADER_BYTES;
    let bound_bytes = compressor.deflate_compress_bound(block.len());
    out.resize(deflate_start + bound_bytes, 0);
    let deflated = compressor.deflate_compress(block, &mut out[deflate_start..]);
    let fitting = deflated
        .ok()
        .filter(|bytes| HEADER_BYTES + bytes + TRAILER_BYTES <= MAX_MEMBER_BYTES);
    let Some(deflate_bytes) = fitting else {
        out.truncate(start);
        return Err(too_large);
    };
    out.truncate(deflate_start + deflate_bytes);
    // Both sizes were bounded above, so they fit u32.
    let header = MemberHeader {
        member_bytes: (HEADER_BYTES + deflate_bytes + TRAILER_BYTES) as u32,
        raw_bytes: block.len() as u32,
    };
    out[start..deflate_start].copy_from_slice(&header.encode());
    out.extend_from_slice(&libdeflater::crc32(block).to_le_bytes());
    out.extend_from_slice(&header.raw_bytes.to_le_bytes());
    Ok(header)
}

/// Appends the raw bytes of one whole member of ours to `out`. On an error
/// `out` is as it was.
pub fn decode_member(
    member: &[u8],
    decompressor: &mut Decompressor,
    out: &mut Vec<u8>,
) -> Result<(), GzipError> {
    let header = MemberHeader::parse(member)?.ok_or(GzipError::NotGzip)?;
    if member.len() != header.member_bytes as usize {
        return Err(GzipError::Truncated {
            expected_bytes: header.member_bytes as usize,
            actual_bytes: member.len(),
        });
    }
    let (body, trailer) = member.split_at(member.len() - TRAILER_BYTES);
    let start = out.len();
    out.resize(start + header.raw_bytes as usize, 0);
    let checked = inflate(&body[HEADER_BYTES..], decompressor, &mut out[start..])
        .and_then(|()| check_trailer(trailer, &out[start..]));
    if checked.is_err() {
        out.truncate(start);
    }
    checked
}

fn inflate(
    deflated: &[u8],
    decompressor: &mut Decompressor,
    raw: &mut [u8],
) -> Result<(), GzipError> {
    match decompressor.deflate_decompress(deflated, raw) {
        Ok(written_bytes) if written_bytes == raw.len() => Ok(()),
        Ok(_) | Err(libdeflater::DecompressionError::InsufficientSpace) => Err(GzipError::RawSize),
        Err(libdeflater::DecompressionError::BadData) => Err(GzipError::Deflate),
    }
}

fn check_trailer(trailer: &[u8], raw: &[u8]) -> Result<(), GzipError> {
    if u32_le(trailer, 4).map(|isize| isize as usize) != Some(raw.len()) {
        return Err(GzipError::RawSize);
    }
    let actual = libdeflater::crc32(raw);
    match u32_le(trailer, 0) {
        Some(expected) if expected != actual => Err(GzipError::Crc { expected, actual }),
        _ => Ok(()),
    }
}

fn u32_le(bytes: &[u8], at: usize) -> Option<u32> {
    let (word, _) = bytes.get(at..)?.split_first_chunk()?;
    Some(u32::from_le_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use libdeflater::CompressionLvl;
    use proptest::prelude::*;

    fn compressor(level: i32) -> Compressor {
        Compressor::new(CompressionLvl::new(level).unwrap())
    }

    fn member_of(block: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode_member(block, &mut compressor(6), &mut out).unwrap();
        out
    }

    fn decode(member: &[u8]) -> Result<Vec<u8>, GzipError> {
        let mut out = b"before".to_vec();
        let result = decode_member(member, &mut Decompressor::new(), &mut out);
        assert!(out.starts_with(b"before"));
        if result.is_err() {
            assert_eq!(out, b"before", "output stays as it was on an error");
        }
        result.map(|()| out.split_off(6))
    }

    /// Bytes that no compressor can shrink, the same on every run.
    fn noise(bytes: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        (0..bytes)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 24) as u8
            })
            .collect()
    }

    #[test]
    fn every_level_comes_back() {
        let text = b"INSERT INTO t VALUES (1);\n".repeat(40_000);
        for level in 0..=12 {
            let mut member = Vec::new();
            let header = encode_member(&text, &mut compressor(level), &mut member).unwrap();
            assert_eq!(header.member_bytes as usize, member.len());
            assert_eq!(MemberHeader::parse(&member), Ok(Some(header)));
            assert_eq!(decode(&member).unwrap(), text, "level {level}");
        }
    }

    #[test]
    fn an_empty_block_is_an_empty_member() {
        let member = member_of(b"");
        // libdeflate writes a stored block of nothing.
        assert_eq!(member.len(), HEADER_BYTES + 5 + TRAILER_BYTES);
        assert_eq!(decode(&member).unwrap(), b"");
    }

    #[test]
    fn a_mebibyte_of_noise_fits_at_every_level() {
        let block = noise(1024 * 1024);
        for level in 0..=12 {
            let mut member = Vec::new();
            encode_member(&block, &mut compressor(level), &mut member).unwrap();
            assert_eq!(decode(&member).unwrap(), block);
        }
    }

    #[test]
    fn members_are_appended() {
        let mut stream = Vec::new();
        let first = encode_member(b"one", &mut compressor(6), &mut stream).unwrap();
        encode_member(b"two", &mut compressor(6), &mut stream).unwrap();
        let (one, two) = stream.split_at(first.member_bytes as usize);
        assert_eq!(decode(one).unwrap(), b"one");
        assert_eq!(decode(two).unwrap(), b"two");
    }

    #[test]
    fn blocks_that_could_not_be_read_back_are_refused() {
        for block in [vec![0; MAX_RAW_BYTES + 1], noise(MAX_MEMBER_BYTES)] {
            let mut out = b"before".to_vec();
            assert_eq!(
                encode_member(&block, &mut compressor(6), &mut out),
                Err(GzipError::BlockTooLarge {
                    raw_bytes: block.len()
                })
            );
            assert_eq!(out, b"before");
        }
        let largest = vec![0; MAX_RAW_BYTES];
        assert_eq!(decode(&member_of(&largest)).unwrap(), largest);
    }

    #[test]
    fn foreign_gzip_is_told_apart() {
        // As `gzip -n` writes an empty file.
        let foreign = hex::decode("1f8b080000000000000303000000000000000000").unwrap();
        assert_eq!(MemberHeader::parse(&foreign), Ok(None));
        // Another tool's extra field, and one that is cut inside its header.
        let mut other_field = member_of(b"x");
        other_field[12] = b'B';
        assert_eq!(MemberHeader::parse(&other_field), Ok(None));
        assert_eq!(MemberHeader::parse(&member_of(b"x")[..23]), Ok(None));
        for not_gzip in [&b""[..], b"\x1f", b"\x1f\x8b\x07", b"PK\x03\x04"] {
            assert_eq!(MemberHeader::parse(not_gzip), Err(GzipError::NotGzip));
        }
    }

    #[test]
    fn sizes_beyond_the_bounds_are_refused_before_anything_is_allocated() {
        let sizes = [
            (MAX_MEMBER_BYTES as u32 + 1, 1),
            (u32::MAX, u32::MAX),
            (100, MAX_RAW_BYTES as u32 + 1),
            (MIN_MEMBER_BYTES as u32 - 1, 0),
            (0, 0),
        ];
        for (member_bytes, raw_bytes) in sizes {
            let header = MemberHeader {
                member_bytes,
                raw_bytes,
            };
            assert!(matches!(
                MemberHeader::parse(&header.encode()),
                Err(GzipError::Bounds { .. })
            ));
        }
    }

    #[test]
    fn each_flipped_bit_is_found() {
        let block = b"a block, a block, and another block";
        let member = member_of(block);
        // Deflate ends within a byte; nothing reads the bits behind that end.
        let last_deflate_byte = member.len() - TRAILER_BYTES - 1;
        for bit in 0..member.len() * 8 {
            let mut damaged = member.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(decoded) = decode(&damaged) {
                assert_eq!(bit / 8, last_deflate_byte, "bit {bit}");
                assert_eq!(decoded, block, "bit {bit}");
            }
        }
    }

    #[test]
    fn each_truncation_is_an_error() {
        let member = member_of(b"a block, a block, and another block");
        for bytes in 0..member.len() {
            assert!(decode(&member[..bytes]).is_err(), "{bytes}");
        }
        let mut longer = member;
        longer.push(0);
        assert!(matches!(decode(&longer), Err(GzipError::Truncated { .. })));
    }

    proptest! {
        #[test]
        fn arbitrary_blocks_come_back(
            block in proptest::collection::vec(any::<u8>(), 0..5_000),
            level in 0..=12,
        ) {
            let mut member = Vec::new();
            encode_member(&block, &mut compressor(level), &mut member).unwrap();
            prop_assert_eq!(decode(&member).unwrap(), block);
        }

        #[test]
        fn arbitrary_bytes_never_panic(
            sizes in any::<(u32, u32)>(),
            tail in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let header = MemberHeader { member_bytes: sizes.0, raw_bytes: sizes.1 % 70_000 };
            let mut member = header.encode().to_vec();
            member.extend_from_slice(&tail);
            let length = (member.len() as u32).to_le_bytes();
            member[16..20].copy_from_slice(&length);
            let _ = decode(&member);
            let _ = decode(&tail);
        }
    }
}
