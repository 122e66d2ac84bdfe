//! One zstd frame per block, after pzstd's convention: a skippable frame that
//! tells the size of the frame behind it, so that a parallel reader needs no
//! index. Refuses frames beyond fixed bounds, without a checksum or without
//! their content's size. Invariant: what [`encode_frame`] writes,
//! [`decode_frame`], `zstd -d` and `pzstd -d` give back.
//!
//! Formats: RFC 8878, 3.1.1 (frames) and 3.1.2 (skippable frames).

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{self, CParameter};

/// A skippable frame of 4 bytes: its magic, its size, and the next frame's.
pub const SKIPPABLE_BYTES: usize = 12;
/// All that [`FrameHeader::parse`] looks at; no frame of ours is shorter.
pub const PREFIX_BYTES: usize = 25;
/// A frame is never larger than this, its skippable frame left out.
pub const MAX_FRAME_BYTES: usize = 2 * 1024 * 1024;
/// A frame never holds more raw bytes than this.
pub const MAX_RAW_BYTES: usize = 16 * 1024 * 1024;

/// How each frame of ours begins.
pub const FRAME_START: &[u8] = &SKIPPABLE_START;

/// The first of the sixteen skippable magics, which is pzstd's, and the size 4.
const SKIPPABLE_START: [u8; 8] = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0];
const FRAME_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Of the frame header descriptor, the byte after the magic.
const CHECKSUM_FLAG: u8 = 1 << 2;

#[derive(Debug, thiserror::Error)]
pub enum ZstdError {
    #[error("not zstd: the data does not begin with a zstd frame")]
    NotZstd,
    #[error("a zstd frame of {expected_bytes} bytes ends after {actual_bytes}; the data is cut")]
    Truncated {
        expected_bytes: usize,
        actual_bytes: usize,
    },
    #[error("a zstd frame's announced size and its own disagree; the data is damaged")]
    FrameSize,
    #[error("a zstd frame is damaged: {0}")]
    Damaged(#[source] std::io::Error),
    #[error("a block of {raw_bytes} bytes does not fit one zstd frame; use smaller blocks")]
    BlockTooLarge { raw_bytes: usize },
    #[error("zstd cannot compress at level {level}: {source}")]
    Encoder {
        level: i32,
        #[source]
        source: std::io::Error,
    },
}

/// What stands before a frame's data. Within the bounds above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// The frame alone; the skippable frame's [`SKIPPABLE_BYTES`] come on top.
    pub frame_bytes: u32,
    pub raw_bytes: u32,
}

impl FrameHeader {
    /// Looks at the first [`PREFIX_BYTES`] (or all there is, if that is less).
    /// `None` for zstd that is not cut as ours: read that and all that follows
    /// with a streaming decoder.
    pub fn parse(prefix: &[u8]) -> Result<Option<Self>, ZstdError> {
        let Some((announced, frame)) = prefix.split_at_checked(SKIPPABLE_BYTES) else {
            return foreign_or_not_zstd(prefix);
        };
        if !announced.starts_with(&SKIPPABLE_START) || !frame.starts_with(&FRAME_MAGIC) {
            return foreign_or_not_zstd(prefix);
        }
        let mut size = [0; 4];
        size.copy_from_slice(&announced[SKIPPABLE_START.len()..]);
        let frame_bytes = u32::from_le_bytes(size);
        let has_checksum = frame
            .get(FRAME_MAGIC.len())
            .is_some_and(|descriptor| descriptor & CHECKSUM_FLAG != 0);
        let raw_bytes = match zstd_safe::get_frame_content_size(frame) {
            Ok(Some(bytes)) if bytes <= MAX_RAW_BYTES as u64 => bytes as u32,
            _ => return Ok(None),
        };
        if !has_checksum || frame_bytes as usize > MAX_FRAME_BYTES {
            return Ok(None);
        }
        Ok(Some(Self {
            frame_bytes,
            raw_bytes,
        }))
    }
}

/// Any frame, skippable or not, is zstd; the rest is for the streaming decoder
/// to judge.
fn foreign_or_not_zstd(prefix: &[u8]) -> Result<Option<FrameHeader>, ZstdError> {
    let skippable = matches!(prefix, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]);
    if skippable || prefix.starts_with(&FRAME_MAGIC) {
        Ok(None)
    } else {
        Err(ZstdError::NotZstd)
    }
}

/// A compressor that writes what [`FrameHeader::parse`] asks for: frames with
/// checksum and content size. Levels as zstd's, 3 being its default.
pub fn compressor(level: i32) -> Result<Compressor<'static>, ZstdError> {
    let prepare = || {
        let mut compressor = Compressor::new(level)?;
        compressor.set_parameter(CParameter::ChecksumFlag(true))?;
        compressor.set_parameter(CParameter::ContentSizeFlag(true))?;
        Ok(compressor)
    };
    prepare().map_err(|source| ZstdError::Encoder { level, source })
}

/// Appends `block` to `out`: a skippable frame and the frame. The compressor is
/// one of [`compressor`]. An empty block is an empty frame.
///
/// Refuses blocks whose frame could not be read back under the bounds; a block
/// of 1 MiB always fits. On an error `out` is as it was.
pub fn encode_frame(
    block: &[u8],
    compressor: &mut Compressor<'_>,
    out: &mut Vec<u8>,
) -> Result<FrameHeader, ZstdError> {
    let too_large = ZstdError::BlockTooLarge {
        raw_bytes: block.len(),
    };
    if block.len() > MAX_RAW_BYTES {
        return Err(too_large);
    }
    let start = out.len();
    let frame_start = start + SKIPPABLE_BYTES;
    out.resize(frame_start + zstd_safe::compress_bound(block.len()), 0);
    let fitting = compressor
        .compress_to_buffer(block, &mut out[frame_start..])
        .ok()
        .filter(|bytes| *bytes <= MAX_FRAME_BYTES);
    let Some(frame_bytes) = fitting else {
        out.truncate(start);
        return Err(too_large);
    };
    out.truncate(frame_start + frame_bytes);
    // Both sizes were bounded above, so they fit u32.
    let header = FrameHeader {
        frame_bytes: frame_bytes as u32,
        raw_bytes: block.len() as u32,
    };
    let announced = &mut out[start..frame_start];
    announced[..SKIPPABLE_START.len()].copy_from_slice(&SKIPPABLE_START);
    announced[SKIPPABLE_START.len()..].copy_from_slice(&header.frame_bytes.to_le_bytes());
    Ok(header)
}

/// Appends the raw bytes of one skippable frame and its frame to `out`. On an
/// error `out` is as it was.
pub fn decode_frame(
    frames: &[u8],
    decompressor: &mut Decompressor<'_>,
    out: &mut Vec<u8>,
) -> Result<(), ZstdError> {
    let header = FrameHeader::parse(frames)?.ok_or(ZstdError::NotZstd)?;
    let frame = &frames[SKIPPABLE_BYTES..];
    if frame.len() != header.frame_bytes as usize {
        return Err(ZstdError::Truncated {
            expected_bytes: SKIPPABLE_BYTES + header.frame_bytes as usize,
            actual_bytes: frames.len(),
        });
    }
    // zstd would go on into a second frame behind the first.
    if zstd_safe::find_frame_compressed_size(frame) != Ok(frame.len()) {
        return Err(ZstdError::FrameSize);
    }
    let start = out.len();
    out.resize(start + header.raw_bytes as usize, 0);
    let decoded = match decompressor.decompress_to_buffer(frame, &mut out[start..]) {
        Ok(written_bytes) if written_bytes == header.raw_bytes as usize => Ok(()),
        Ok(_) => Err(ZstdError::FrameSize),
        Err(error) => Err(ZstdError::Damaged(error)),
    };
    if decoded.is_err() {
        out.truncate(start);
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames_of(block: &[u8], level: i32) -> Vec<u8> {
        let mut out = Vec::new();
        let header = encode_frame(block, &mut compressor(level).unwrap(), &mut out).unwrap();
        assert_eq!(header.frame_bytes as usize + SKIPPABLE_BYTES, out.len());
        let prefix = &out[..PREFIX_BYTES];
        assert_eq!(FrameHeader::parse(prefix).unwrap(), Some(header));
        out
    }

    fn decode(frames: &[u8]) -> Result<Vec<u8>, ZstdError> {
        let mut out = b"before".to_vec();
        let result = decode_frame(frames, &mut Decompressor::new().unwrap(), &mut out);
        assert!(out.starts_with(b"before"));
        if result.is_err() {
            assert_eq!(out, b"before", "output stays as it was on an error");
        }
        result.map(|()| out.split_off(6))
    }

    #[test]
    fn every_usual_level_comes_back() {
        let text = b"INSERT INTO t VALUES (1);\n".repeat(40_000);
        for level in [-5, 1, 2, 3, 6, 9, 12, 19] {
            assert_eq!(decode(&frames_of(&text, level)).unwrap(), text, "{level}");
        }
    }

    #[test]
    fn an_empty_block_is_an_empty_frame_of_the_least_size() {
        let frames = frames_of(b"", 3);
        assert_eq!(frames.len(), PREFIX_BYTES);
        assert_eq!(decode(&frames).unwrap(), b"");
    }

    #[test]
    fn a_mebibyte_of_noise_fits() {
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        })
        .take(1024 * 1024)
        .collect();
        for level in [1, 3, 9] {
            assert_eq!(decode(&frames_of(&noise, level)).unwrap(), noise);
        }
    }

    #[test]
    fn blocks_that_could_not_be_read_back_are_refused() {
        let mut out = b"before".to_vec();
        let block = vec![0; MAX_RAW_BYTES + 1];
        assert!(matches!(
            encode_frame(&block, &mut compressor(3).unwrap(), &mut out),
            Err(ZstdError::BlockTooLarge { .. })
        ));
        assert_eq!(out, b"before");
        assert_eq!(
            decode(&frames_of(&block[1..], 3)).unwrap().len(),
            MAX_RAW_BYTES
        );
    }

    #[test]
    fn foreign_zstd_is_told_apart() {
        let plain = zstd::bulk::compress(b"a block", 3).unwrap();
        assert_eq!(FrameHeader::parse(&plain).unwrap(), None);
        // pzstd's cut, but without the checksum that ours always has.
        let mut bare = SKIPPABLE_START.to_vec();
        bare.extend_from_slice(&(plain.len() as u32).to_le_bytes());
        bare.extend_from_slice(&plain);
        assert_eq!(FrameHeader::parse(&bare).unwrap(), None);
        for not_zstd in [
            &b""[..],
            b"\x28\xb5",
            b"\x1f\x8b\x08\x00 and more than that",
        ] {
            assert!(matches!(
                FrameHeader::parse(not_zstd),
                Err(ZstdError::NotZstd)
            ));
        }
    }

    #[test]
    fn sizes_beyond_the_bounds_are_not_ours() {
        let mut frames = frames_of(b"a block", 3);
        frames[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(FrameHeader::parse(&frames).unwrap(), None);
        assert!(decode(&frames).is_err());
    }

    #[test]
    fn a_second_frame_inside_the_announced_size_is_refused() {
        let first = frames_of(b"one", 3);
        let mut both = first.clone();
        both.extend_from_slice(&first[SKIPPABLE_BYTES..]);
        let frame_bytes = (both.len() - SKIPPABLE_BYTES) as u32;
        both[8..12].copy_from_slice(&frame_bytes.to_le_bytes());
        assert!(matches!(decode(&both), Err(ZstdError::FrameSize)));
    }

    #[test]
    fn each_flipped_bit_and_each_truncation_is_found() {
        let block = b"a block, a block, and another block";
        let frames = frames_of(block, 3);
        for bit in 0..frames.len() * 8 {
            let mut damaged = frames.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // The descriptor's unused bit says nothing, so no decoder minds it.
            let harmless = decode(&damaged).is_ok_and(|decoded| decoded == block);
            assert!(harmless == (bit == 16 * 8 + 4), "bit {bit}");
            assert!(harmless || decode(&damaged).is_err(), "bit {bit}");
        }
        for bytes in 0..frames.len() {
            assert!(decode(&frames[..bytes]).is_err(), "{bytes}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(
            tail in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut frames = SKIPPABLE_START.to_vec();
            let frame_bytes = (tail.len() + FRAME_MAGIC.len()) as u32;
            frames.extend_from_slice(&frame_bytes.to_le_bytes());
            frames.extend_from_slice(&FRAME_MAGIC);
            frames.extend_from_slice(&tail);
            let _ = decode(&frames);
            let _ = decode(&tail);
        }
    }
}
