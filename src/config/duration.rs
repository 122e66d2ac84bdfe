//! Durations as people write them. Two kinds, because `m` means two things: a
//! wait (s, m = minutes, h, d), read here, and an age (h, d, w, m = months, y),
//! read by `retention`. Pure. Refuses signs, fractions, missing units and what
//! would overflow.

use std::time::Duration;

use crate::retention::Age;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    #[error("not a duration; write a number and a unit, such as 30s, 10m, 2h or 1d")]
    Wait,
    #[error("not an age; write a number and a unit, such as 12h, 30d, 2w, 6m (months) or 1y")]
    Age,
    #[error("longer than kluis can count")]
    TooLong,
}

/// How long to wait: `90s`, `10m` (minutes), `2h`, `1d`; `0` is at once.
pub fn parse_wait(text: &str) -> Result<Duration, DurationError> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(digits.ok_or(DurationError::Wait)?);
    if number.is_empty() {
        return Err(DurationError::Wait);
    }
    let seconds = match unit {
        "s" | "sec" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(DurationError::Wait),
    };
    // Digits only: the one way to fail is to be too many of them.
    let count: Option<u64> = number.parse().ok();
    let total = count.and_then(|count| count.checked_mul(seconds));
    total.map(Duration::from_secs).ok_or(DurationError::TooLong)
}

/// A stretch of the calendar: `48h`, `30d`, `2w`, `6m` (months), `1y`, `1y6m`.
pub fn parse_age(text: &str) -> Result<Age, DurationError> {
    text.parse().map_err(|_| DurationError::Age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_read_in_each_unit() {
        for (text, seconds) in [
            ("0", 0),
            ("90s", 90),
            ("10m", 600),
            ("2h", 7_200),
            ("1d", 86_400),
        ] {
            assert_eq!(
                parse_wait(text),
                Ok(Duration::from_secs(seconds)),
                "for {text}"
            );
        }
    }

    #[test]
    fn m_is_minutes_in_a_wait_and_months_in_an_age() {
        assert_eq!(parse_wait("6m"), Ok(Duration::from_secs(360)));
        assert_eq!(
            parse_age("6m").map(|age| age.to_string()),
            Ok("6 months".to_owned())
        );
    }

    #[test]
    fn signs_fractions_and_missing_units_are_refused() {
        for text in [
            "",
            "10",
            "-5s",
            "+5s",
            "1.5h",
            "s",
            "5x",
            "5 parsecs",
            "\u{0663}d",
        ] {
            assert_eq!(parse_wait(text), Err(DurationError::Wait), "for {text:?}");
            assert_eq!(parse_age(text), Err(DurationError::Age), "for {text:?}");
        }
    }

    #[test]
    fn a_wait_that_overflows_is_too_long_and_no_panic() {
        for text in ["99999999999999999999d", "18446744073709551615d"] {
            assert_eq!(parse_wait(text), Err(DurationError::TooLong), "for {text}");
        }
    }
}
