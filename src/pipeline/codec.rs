//! One block in, one member out, and back: the codecs behind one face, so that
//! the pipeline knows threads and order only.

use libdeflater::{CompressionLvl, Compressor, Decompressor};

use crate::format::gzip::{self, GzipError};
use crate::format::manifest::Codec;
use crate::format::zstd_frame::{self, ZstdError};

#[derive(Clone, Debug, thiserror::Error)]
pub enum CodecError {
    #[error(transparent)]
    Gzip(#[from] GzipError),
    #[error("{0}")]
    Zstd(String),
    #[error("gzip has no level {0}; choose 1 to 12")]
    GzipLevel(i32),
}

impl From<ZstdError> for CodecError {
    fn from(error: ZstdError) -> Self {
        Self::Zstd(error.to_string())
    }
}

/// Compresses blocks; one for each worker.
pub(super) enum Encoder {
    Gzip(Box<Compressor>),
    Zstd(zstd::bulk::Compressor<'static>),
    None,
}

impl Encoder {
    pub fn new(codec: Codec, level: i32) -> Result<Self, CodecError> {
        Ok(match codec {
            Codec::Gzip => {
                let valid = CompressionLvl::new(level);
                let level = valid.map_err(|_| CodecError::GzipLevel(level))?;
                Self::Gzip(Box::new(Compressor::new(level)))
            }
            Codec::Zstd => Self::Zstd(zstd_frame::compressor(level)?),
            Codec::None => Self::None,
        })
    }

    /// `raw` and `out` are the caller's; `out` is empty.
    pub fn encode(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        match self {
            Self::Gzip(compressor) => drop(gzip::encode_member(raw, compressor, out)?),
            Self::Zstd(compressor) => drop(zstd_frame::encode_frame(raw, compressor, out)?),
            Self::None => out.extend_from_slice(raw),
        }
        Ok(())
    }
}

/// Decompresses members of our own; one for each worker.
pub(super) enum Decoder {
    Gzip(Decompressor),
    Zstd(zstd::bulk::Decompressor<'static>),
}

impl Decoder {
    /// `None` for the codec that has no members.
    pub fn new(codec: Codec) -> Result<Option<Self>, CodecError> {
        Ok(match codec {
            Codec::Gzip => Some(Self::Gzip(Decompressor::new())),
            Codec::Zstd => {
                let decompressor = zstd::bulk::Decompressor::new();
                let decompressor = decompressor.map_err(|e| CodecError::Zstd(e.to_string()))?;
                Some(Self::Zstd(decompressor))
            }
            Codec::None => None,
        })
    }

    pub fn decode(&mut self, member: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        match self {
            Self::Gzip(decompressor) => gzip::decode_member(member, decompressor, out)?,
            Self::Zstd(decompressor) => zstd_frame::decode_frame(member, decompressor, out)?,
        }
        Ok(())
    }
}

/// Bytes of a member's front that tell its length.
pub(super) fn prefix_len(codec: Codec) -> usize {
    match codec {
        Codec::Gzip => gzip::HEADER_BYTES,
        Codec::Zstd => zstd_frame::PREFIX_BYTES,
        Codec::None => 0,
    }
}

/// The whole member's length as its front says it; `None` for a stream that
/// somebody else wrote, which has to be read in one go.
pub(super) fn member_len(codec: Codec, prefix: &[u8]) -> Result<Option<usize>, CodecError> {
    Ok(match codec {
        Codec::Gzip => {
            let header = gzip::MemberHeader::parse(prefix)?;
            header.map(|header| header.member_bytes as usize)
        }
        Codec::Zstd => {
            let header = zstd_frame::FrameHeader::parse(prefix)?;
            header.map(|header| zstd_frame::SKIPPABLE_BYTES + header.frame_bytes as usize)
        }
        Codec::None => None,
    })
}

/// The whole member's length and that of what is in it, where its front is one of ours.
pub(super) fn member_sizes(codec: Codec, prefix: &[u8]) -> Option<(u64, u64)> {
    match codec {
        Codec::Gzip => {
            let header = gzip::MemberHeader::parse(prefix).ok()??;
            Some((header.member_bytes.into(), header.raw_bytes.into()))
        }
        Codec::Zstd => {
            let header = zstd_frame::FrameHeader::parse(prefix).ok()??;
            let frame_bytes = u64::from(header.frame_bytes);
            let member_bytes = zstd_frame::SKIPPABLE_BYTES as u64 + frame_bytes;
            Some((member_bytes, header.raw_bytes.into()))
        }
        Codec::None => None,
    }
}

/// The codec that a stream's first bytes show.
pub(super) fn sniff(prefix: &[u8]) -> Codec {
    const ZSTD_FRAME: &[u8] = &[0x28, 0xB5, 0x2F, 0xFD];
    const SKIPPABLE_FRAME: &[u8] = &[0x50, 0x2A, 0x4D, 0x18];
    match prefix {
        [0x1f, 0x8b, ..] => Codec::Gzip,
        _ if prefix.starts_with(ZSTD_FRAME) || prefix.starts_with(SKIPPABLE_FRAME) => Codec::Zstd,
        _ => Codec::None,
    }
}
