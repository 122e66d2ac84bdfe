//! How long to wait, as people write it: s, m = minutes, h, d. Ages, where `m` is
//! months, are `retention`'s. Pure. Refuses signs, fractions, missing units and what would overflow.

use std::time::Duration;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    #[error("not a duration; write a number and a unit, such as 30s, 10m, 2h or 1d")]
    Wait,
    #[error("longer than kluis can count")]
    TooLong,
}

/// How long to wait: `90s`, `10m` (minutes), `2h`, `1d`; `0` is at once.
pub fn parse_wait(text: &str) -> Result<Duration, DurationError> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (count, unit) = split(text).ok_or(DurationError::Wait)??;
    let seconds = match unit {
        "s" | "sec" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(DurationError::Wait),
    };
    let total = count.checked_mul(seconds).ok_or(DurationError::TooLong)?;
    Ok(Duration::from_secs(total))
}

/// The number and the unit; `None` if it does not look like that.
fn split(text: &str) -> Option<Result<(u64, &str), DurationError>> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return None;
    }
    // Digits only: the one way to fail is to be too many of them.
    Some(match number.parse() {
        Ok(count) => Ok((count, unit.trim_start_matches(' '))),
        Err(_) => Err(DurationError::TooLong),
    })
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
    fn m_is_minutes_here_where_an_age_has_months() {
        assert_eq!(parse_wait("6m"), Ok(Duration::from_secs(360)));
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
        }
    }

    #[test]
    fn what_overflows_is_too_long_and_no_panic() {
        assert_eq!(
            parse_wait("18446744073709551615d"),
            Err(DurationError::TooLong)
        );
    }
}
