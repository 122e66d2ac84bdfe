//! The map of a sparse file as GNU sparse 1.0 writes it: decimal numbers, one a
//! line, padded to blocks, before the file's data. Refuses maps that overlap,
//! leave the file, do not add up to the stored bytes or ask for much memory.
//! Every segment but the last is whole blocks, because GNU tar reads each from
//! a block of its own and bsdtar reads them without gaps: so both agree.
//! Source: GNU tar manual, "Storing Sparse Files, PAX Format, Version 1.0".

use super::BLOCK_BYTES;
use super::pax::decimal;

/// A map with more segments is merged before writing, refused when read.
pub const MAX_SEGMENTS: usize = 32_768;
/// Two numbers of at most twenty digits and their newlines a segment.
pub(super) const MAX_MAP_BYTES: usize = (MAX_SEGMENTS + 1) * 42 + BLOCK_BYTES;

/// A stretch of data between holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub offset: u64,
    pub bytes: u64,
}

/// The map's bytes, padded. A last empty segment marks a hole at the end.
pub(super) fn encode_map(file_bytes: u64, segments: &[Segment]) -> Vec<u8> {
    let data_end = segments.last().map_or(0, |last| last.offset + last.bytes);
    let end_mark = (data_end < file_bytes || segments.is_empty()).then_some(Segment {
        offset: file_bytes,
        bytes: 0,
    });
    let count = segments.len() + usize::from(end_mark.is_some());
    let mut map = format!("{count}\n").into_bytes();
    for segment in segments.iter().chain(&end_mark) {
        map.extend_from_slice(format!("{}\n{}\n", segment.offset, segment.bytes).as_bytes());
    }
    map.resize(map.len().next_multiple_of(BLOCK_BYTES), 0);
    map
}

/// Reads a map line by line as its blocks arrive.
#[derive(Debug, Default)]
pub(super) struct MapParser {
    /// Digits of a number whose newline has not come yet.
    partial: Vec<u8>,
    expected_numbers: Option<u64>,
    numbers: Vec<u64>,
}

impl MapParser {
    /// Takes one block; `true` when the map is whole.
    pub fn take_block(&mut self, block: &[u8]) -> Result<bool, &'static str> {
        for &byte in block {
            if byte != b'\n' {
                if self.partial.len() == 20 {
                    return Err("has a sparse map with an overlong number");
                }
                self.partial.push(byte);
                continue;
            }
            let number = decimal(&self.partial)?;
            self.partial.clear();
            match self.expected_numbers {
                Some(_) => self.numbers.push(number),
                None if number > MAX_SEGMENTS as u64 + 1 => {
                    return Err("has a sparse map of too many segments");
                }
                None => self.expected_numbers = Some(number * 2),
            }
            if self.expected_numbers == Some(self.numbers.len() as u64) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The segments that hold data, checked against the file's size and the
    /// data bytes that follow the map.
    pub fn finish(self, file_bytes: u64, data_bytes: u64) -> Result<Vec<Segment>, &'static str> {
        let mut segments = Vec::with_capacity(self.numbers.len() / 2);
        let mut end = 0_u64;
        let mut sum = 0_u64;
        for pair in self.numbers.chunks_exact(2) {
            let (offset, bytes) = (pair[0], pair[1]);
            if offset < end {
                return Err("has a sparse map that overlaps itself");
            }
            end = offset
                .checked_add(bytes)
                .filter(|&end| end <= file_bytes)
                .ok_or("has a sparse map that leaves the file")?;
            if bytes == 0 {
                continue;
            }
            if !sum.is_multiple_of(BLOCK_BYTES as u64) {
                return Err("has a sparse map with a segment of broken blocks");
            }
            sum += bytes;
            segments.push(Segment { offset, bytes });
        }
        if sum != data_bytes {
            return Err("has a sparse map that does not add up to its data");
        }
        Ok(segments)
    }
}

#[cfg(test)]
mod tests {
    use super::{MapParser, Segment, encode_map};

    fn parse(map: &[u8], file_bytes: u64, data_bytes: u64) -> Result<Vec<Segment>, &'static str> {
        let mut parser = MapParser::default();
        for block in map.chunks(512) {
            if parser.take_block(block)? {
                return parser.finish(file_bytes, data_bytes);
            }
        }
        Err("has no whole map")
    }

    #[test]
    fn maps_come_back_with_and_without_a_hole_at_the_end() {
        let segments = [(0, 4096), (1 << 40, 512), ((1 << 40) + 8192, 100)]
            .map(|(offset, bytes)| Segment { offset, bytes });
        for file_bytes in [(1 << 40) + 8292, 1 << 41] {
            let map = encode_map(file_bytes, &segments);
            assert_eq!(map.len() % 512, 0);
            assert_eq!(parse(&map, file_bytes, 4708), Ok(segments.to_vec()));
        }
        assert_eq!(parse(&encode_map(1 << 30, &[]), 1 << 30, 0), Ok(vec![]));
    }

    #[test]
    fn maps_that_lie_are_refused() {
        for (map, why) in [
            (&b"2\n0\n512\n100\n512\n"[..], "overlap"),
            (b"1\n0\n1025\n", "leaves the file"),
            (b"1\n18446744073709551615\n2\n", "wraps round"),
            (b"1\n0\n512\n", "too little data"),
            (b"2\n0\n100\n512\n412\n", "broken block"),
            (b"99999999\n", "too many"),
            (b"-1\n", "negative"),
            (b"000000000000000000000000\n", "overlong"),
            (b"3\n0\n", "cut off"),
        ] {
            assert!(parse(map, 1024, 1024).is_err(), "{why}");
        }
    }
}
