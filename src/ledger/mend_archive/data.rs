//! The data of one entry, unpacked and looked at while they go by: whether they are rows
//! for a `COPY` and nothing else, and what those add up to. Keeps none of them.

use std::io::{self, Write};

use flate2::write::{GzDecoder, ZlibDecoder};
use memchr::memchr;

use crate::ledger::rows::{CutRow, Totals, copy_rows};

/// How an entry's data are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    /// As in custom format.
    Zlib,
    /// As in a file of its own.
    Gzip,
    Zstd,
    /// By what is not read here.
    Other,
}

pub(super) struct Data {
    unpacking: Unpacking,
    is_broken: bool,
}

enum Unpacking {
    None(Look),
    Zlib(ZlibDecoder<Look>),
    Gzip(GzDecoder<Look>),
    Zstd(zstd::stream::write::Decoder<'static, Look>),
    Other,
}

/// What was seen of an entry's data.
pub(super) struct Seen {
    is_broken: bool,
    look: Option<Look>,
}

/// Reads the unpacked text.
#[derive(Default)]
struct Look {
    cut: CutRow,
    totals: Totals,
    has_ended: bool,
    /// More than empty lines stands behind the rows' end.
    goes_on: bool,
    has_nul: bool,
}

impl Write for Look {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.has_nul |= memchr(0, bytes).is_some();
        let behind = match self.has_ended {
            true => Some(bytes),
            false => copy_rows(bytes, &mut self.cut, &mut self.totals).map(|end| &bytes[end..]),
        };
        if let Some(behind) = behind {
            self.has_ended = true;
            self.goes_on |= behind.iter().any(|byte| *byte != b'\n');
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Data {
    pub fn new(packing: Packing) -> io::Result<Self> {
        let look = Look::default();
        let unpacking = match packing {
            Packing::None => Unpacking::None(look),
            Packing::Zlib => Unpacking::Zlib(ZlibDecoder::new(look)),
            Packing::Gzip => Unpacking::Gzip(GzDecoder::new(look)),
            Packing::Zstd => Unpacking::Zstd(zstd::stream::write::Decoder::new(look)?),
            Packing::Other => Unpacking::Other,
        };
        Ok(Self {
            unpacking,
            is_broken: false,
        })
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        if self.is_broken {
            return;
        }
        let fed = match &mut self.unpacking {
            Unpacking::None(look) => look.write_all(bytes),
            Unpacking::Zlib(decoder) => decoder.write_all(bytes),
            Unpacking::Gzip(decoder) => decoder.write_all(bytes),
            Unpacking::Zstd(decoder) => decoder.write_all(bytes),
            Unpacking::Other => Ok(()),
        };
        self.is_broken = fed.is_err();
    }

    /// Whether it is seen already that this is no text of pg_dump's.
    pub fn is_no_text(&self) -> bool {
        let look = match &self.unpacking {
            Unpacking::None(look) => Some(look),
            Unpacking::Zlib(decoder) => Some(decoder.get_ref()),
            Unpacking::Gzip(decoder) => Some(decoder.get_ref()),
            Unpacking::Zstd(decoder) => Some(decoder.get_ref()),
            Unpacking::Other => None,
        };
        self.is_broken || look.is_some_and(|look| look.has_nul)
    }

    pub fn end(self) -> Seen {
        let broken = Seen {
            is_broken: true,
            look: None,
        };
        if self.is_broken {
            return broken;
        }
        let look = match self.unpacking {
            Unpacking::None(look) => Ok(Some(look)),
            Unpacking::Zlib(decoder) => decoder.finish().map(Some),
            Unpacking::Gzip(decoder) => decoder.finish().map(Some),
            Unpacking::Zstd(mut decoder) => decoder.flush().map(|()| Some(decoder.into_inner())),
            Unpacking::Other => Ok(None),
        };
        match look {
            Ok(look) => Seen {
                is_broken: false,
                look,
            },
            Err(_) => broken,
        }
    }
}

impl Seen {
    pub fn is_readable(&self) -> bool {
        !self.is_broken
    }

    /// Whether all of it is text, as far as that can be seen.
    pub fn is_text(&self) -> bool {
        !self.is_broken && self.look.as_ref().is_none_or(|look| !look.has_nul)
    }

    /// Whether all of it is rows, with their end, as far as that can be seen.
    pub fn is_rows(&self) -> bool {
        self.is_text() && (self.look.is_none() || self.totals().is_some())
    }

    /// Of rows and nothing else.
    pub fn totals(&self) -> Option<&Totals> {
        let look = self.look.as_ref()?;
        let is_rows = look.has_ended && !look.goes_on && !look.has_nul;
        is_rows.then_some(&look.totals)
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    const ROWS: &[u8] = b"1\tone\n2\ttwo\n\\.\n\n\n";

    fn seen(packing: Packing, bytes: &[u8]) -> Seen {
        let mut data = Data::new(packing).unwrap();
        bytes.chunks(3).for_each(|piece| data.feed(piece));
        data.end()
    }

    fn packed(packing: Packing, text: &[u8]) -> Vec<u8> {
        match packing {
            Packing::Zlib => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            Packing::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            Packing::Zstd => zstd::encode_all(text, 3).unwrap(),
            Packing::None | Packing::Other => text.to_vec(),
        }
    }

    #[test]
    fn rows_are_rows_however_they_are_packed() {
        for packing in [Packing::None, Packing::Zlib, Packing::Gzip, Packing::Zstd] {
            let seen = seen(packing, &packed(packing, ROWS));
            let totals = seen.totals().unwrap();
            assert_eq!((totals.rows, totals.bytes), (2, 10), "{packing:?}");
        }
    }

    /// Whoever stores bytes cannot have them run.
    #[test]
    fn what_goes_on_behind_the_rows_is_not_rows() {
        for text in [
            &b"1\n\\.\nDROP TABLE a;\n"[..],
            b"1\n\\.\n\n\\! id\n",
            b"1\n2\n",
            b"",
            b"1\0\n\\.\n\n\n",
        ] {
            for packing in [Packing::None, Packing::Zlib, Packing::Gzip, Packing::Zstd] {
                assert!(!seen(packing, &packed(packing, text)).is_rows(), "{text:?}");
            }
        }
    }

    #[test]
    fn what_does_not_unpack_is_broken() {
        for packing in [Packing::Zlib, Packing::Gzip, Packing::Zstd] {
            assert!(!seen(packing, ROWS).is_readable(), "{packing:?}");
        }
        let mut bytes = packed(Packing::Gzip, ROWS);
        let crc = bytes.len() - 8;
        bytes[crc] ^= 1;
        assert!(!seen(Packing::Gzip, &bytes).is_readable());
    }
}
