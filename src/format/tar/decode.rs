//! Reads the fields of one header block. Refuses a checksum that differs,
//! numbers that are none and sizes below zero or beyond 63 bits.
//! Formats: ustar (POSIX.1-1988), GNU (base-256 numbers, no prefix), V7.

use super::{BLOCK_BYTES, Mtime};

/// One header block, its checksum proved.
pub(super) struct RawHeader<'a>(&'a [u8; BLOCK_BYTES]);

impl<'a> RawHeader<'a> {
    pub fn new(block: &'a [u8; BLOCK_BYTES]) -> Result<Self, &'static str> {
        let header = Self(block);
        let stated = header.number(148, 8)?;
        let sum = |value: fn(u8) -> i64| -> i64 {
            let around = block[..148].iter().chain(&block[156..]);
            around.map(|&byte| value(byte)).sum::<i64>() + 8 * i64::from(b' ')
        };
        // Some old programs summed signed bytes.
        if stated == sum(i64::from) || stated == sum(|byte| i64::from(byte as i8)) {
            Ok(header)
        } else {
            Err("has a header whose checksum is wrong")
        }
    }

    pub fn typeflag(&self) -> u8 {
        self.0[156]
    }

    /// Prefix and name together, raw.
    pub fn path(&self) -> Vec<u8> {
        let name = self.text(0, 100);
        // GNU headers ("ustar  ") keep other things where ustar has the prefix.
        let prefix = if &self.0[257..263] == b"ustar\0" {
            self.text(345, 155)
        } else {
            b""
        };
        if prefix.is_empty() {
            return name.to_vec();
        }
        [prefix, b"/", name].concat()
    }

    pub fn link(&self) -> &'a [u8] {
        self.text(157, 100)
    }

    pub fn mode(&self) -> Result<u32, &'static str> {
        Ok((self.number(100, 8)? & 0o7777) as u32)
    }

    pub fn uid(&self) -> Result<u64, &'static str> {
        self.unsigned(108, 8)
    }

    pub fn gid(&self) -> Result<u64, &'static str> {
        self.unsigned(116, 8)
    }

    pub fn size(&self) -> Result<u64, &'static str> {
        self.unsigned(124, 12)
    }

    pub fn mtime(&self) -> Result<Mtime, &'static str> {
        Ok(Mtime {
            seconds: self.number(136, 12)?,
            nanoseconds: 0,
        })
    }

    pub fn uname(&self) -> &'a [u8] {
        self.text(265, 32)
    }

    pub fn gname(&self) -> &'a [u8] {
        self.text(297, 32)
    }

    fn text(&self, offset: usize, width: usize) -> &'a [u8] {
        let field = &self.0[offset..offset + width];
        match memchr::memchr(0, field) {
            Some(end) => &field[..end],
            None => field,
        }
    }

    fn unsigned(&self, offset: usize, width: usize) -> Result<u64, &'static str> {
        u64::try_from(self.number(offset, width)?).map_err(|_| "has a number below zero")
    }

    fn number(&self, offset: usize, width: usize) -> Result<i64, &'static str> {
        let field = &self.0[offset..offset + width];
        if field[0] & 0x80 != 0 {
            base_256(field)
        } else {
            octal(field)
        }
    }
}

/// GNU's large numbers: big-endian two's complement behind a set top bit, where
/// the next bit is the sign.
fn base_256(field: &[u8]) -> Result<i64, &'static str> {
    let negative = field[0] & 0x40 != 0;
    let first = if negative { field[0] } else { field[0] & 0x7f };
    let start = if negative { -1_i128 } else { 0 };
    // At most twelve bytes: 96 bits fit.
    let number = std::iter::once(first)
        .chain(field[1..].iter().copied())
        .fold(start, |sum, byte| (sum << 8) | i128::from(byte));
    i64::try_from(number).map_err(|_| "has a number that is too large")
}

fn octal(field: &[u8]) -> Result<i64, &'static str> {
    let end = |byte: &u8| matches!(byte, 0 | b' ');
    let begin = field
        .iter()
        .position(|byte| *byte != b' ')
        .unwrap_or(field.len());
    let digits = field[begin..].split(end).next().unwrap_or_default();
    digits.iter().try_fold(0_i64, |sum, &byte| match byte {
        // Eleven digits and no more: 33 bits.
        b'0'..=b'7' => Ok(sum * 8 + i64::from(byte - b'0')),
        _ => Err("has a number that is not octal"),
    })
}

#[cfg(test)]
mod tests {
    use super::{base_256, octal};

    #[test]
    fn numbers_of_all_writers_are_read() {
        assert_eq!(octal(b"0000644\0"), Ok(0o644));
        assert_eq!(octal(b"   644 \0"), Ok(0o644));
        assert_eq!(octal(b"77777777777\0"), Ok(0o77_777_777_777));
        assert_eq!(octal(b"\0\0\0\0"), Ok(0));
        assert_eq!(base_256(&[0x80, 0, 0, 1, 0, 0, 0, 0]), Ok(1 << 32));
        assert_eq!(base_256(&[0xff; 12]), Ok(-1));
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        assert!(octal(b"-000001\0").is_err());
        assert!(octal(b"0009\0").is_err());
        assert!(base_256(&[0xbf; 12]).is_err());
        assert!(base_256(&[0x80, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }
}
