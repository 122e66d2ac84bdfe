//! Times in the names of files that other programs wrote. What names no zone is
//! UTC: Kanbu's are, and a script's are off by some hours at most.

use std::ops::Range;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

/// Earlier years are numbers of another kind.
const YEARS: Range<i16> = 1990..2100;

/// The first time in `text`, and where it stands: `2026-01-18T10-30-00-123Z`,
/// `2026-01-18_10.30`, `20260118-103000`, `20260118`.
pub fn find_stamp(text: &str) -> Option<(Range<usize>, Timestamp)> {
    let bytes = text.as_bytes();
    (0..bytes.len()).find_map(|start| {
        let follows_a_digit = start > 0 && bytes[start - 1].is_ascii_digit();
        let mut reader = Reader { bytes, at: start };
        let at = reader.stamp().filter(|_| !follows_a_digit)?;
        Some((start..reader.at, at))
    })
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn stamp(&mut self) -> Option<Timestamp> {
        let year = self.number(4)?;
        let dashed = self.skip(b"-_.");
        let month = self.number(2)?;
        if dashed && !self.skip(b"-_.") {
            return None;
        }
        let day = self.number(2)?;
        let date = Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
        if !YEARS.contains(&year) {
            return None;
        }
        let after_date = self.at;
        let time = self.time().unwrap_or_else(|| {
            self.at = after_date;
            Time::midnight()
        });
        // More digits make it a number that is no time.
        if self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let at = TimeZone::UTC.to_timestamp(DateTime::from_parts(date, time));
        at.ok()
    }

    fn time(&mut self) -> Option<Time> {
        self.skip(b"T_- .");
        let hour = self.number(2)?;
        let parted = self.skip(b"-:_.h");
        let minute = self.number(2)?;
        let before_second = self.at;
        let second = match parted == self.skip(b"-:_.") {
            true => self.number(2),
            false => None,
        };
        let second = second.unwrap_or_else(|| {
            self.at = before_second;
            0
        });
        self.fraction();
        self.skip(b"Z");
        let part = |number: i16| i8::try_from(number).ok();
        Time::new(part(hour)?, part(minute)?, part(second)?, 0).ok()
    }

    /// `-123` of JavaScript's times with their marks replaced, only before the `Z`.
    fn fraction(&mut self) {
        let before = self.at;
        let is_one = self.skip(b"-.") && self.number(3).is_some() && self.peek() == Some(b'Z');
        if !is_one {
            self.at = before;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip(&mut self, any: &[u8]) -> bool {
        let is_one = self.peek().is_some_and(|byte| any.contains(&byte));
        self.at += usize::from(is_one);
        is_one
    }

    /// Of exactly so many digits, however many more there are.
    fn number(&mut self, digits: usize) -> Option<i16> {
        let number = self.bytes.get(self.at..self.at + digits)?;
        let number = number.iter().try_fold(0_i16, |number, byte| {
            let digit = byte.is_ascii_digit().then(|| i16::from(byte - b'0'))?;
            Some(number * 10 + digit)
        })?;
        self.at += digits;
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::find_stamp;

    #[test]
    fn a_time_is_found_in_every_form_that_scripts_write() {
        for (text, stamp, at) in [
            (
                "a_2026-01-06T10-30-00-123Z.sql",
                "2026-01-06T10-30-00-123Z",
                "2026-01-06T10:30:00Z",
            ),
            ("a_2026-01-18.sql", "2026-01-18", "2026-01-18T00:00:00Z"),
            (
                "a_20260118_103000.dump",
                "20260118_103000",
                "2026-01-18T10:30:00Z",
            ),
            ("20261121-021500", "20261121-021500", "2026-11-21T02:15:00Z"),
            ("20260118T1030Z", "20260118T1030Z", "2026-01-18T10:30:00Z"),
            ("a-20260118.sql", "20260118", "2026-01-18T00:00:00Z"),
            (
                "a 2026.01.18 10.30",
                "2026.01.18 10.30",
                "2026-01-18T10:30:00Z",
            ),
            (
                "a_2026-01-18_1030.gz",
                "2026-01-18_1030",
                "2026-01-18T10:30:00Z",
            ),
            (
                "20260118103000.sql",
                "20260118103000",
                "2026-01-18T10:30:00Z",
            ),
            ("a_2026-01-18-2.sql", "2026-01-18", "2026-01-18T00:00:00Z"),
            (
                "a_2026-01-18T10-30-00-2.sql",
                "2026-01-18T10-30-00",
                "2026-01-18T10:30:00Z",
            ),
        ] {
            let (range, found) = find_stamp(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(&text[range], stamp);
            assert_eq!(found, at.parse().unwrap(), "{text}");
        }
    }

    #[test]
    fn other_numbers_are_no_time() {
        for text in [
            "",
            "shop",
            "a_2026-13-18.sql",
            "a_20260231.sql",
            "a_12345678.sql",
            "a_202601181.sql",
            "a_120260118.sql",
            "a_2026-0118.sql",
            "id-1768732200.sql",
            "2026",
        ] {
            assert_eq!(find_stamp(text), None, "{text}");
        }
    }
}
