//! Sizes, durations, ages and rates as people read them. Pure: the time is an
//! argument.

use std::time::Duration;

use bytesize::ByteSize;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::View;
use crate::words::plural;

/// `3.2 GiB`: powers of 1024.
pub fn size(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string()
}

/// `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 table`, `3 tables`.
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), plural(number, one, many))
}

/// `840 ms`, `3.2 s`, `4 min 12 s`, `2 h 05 min`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..60 => format!("{}.{} s", seconds, time.subsec_millis() / 100),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// `118.0 MiB/s`; nothing for a time too short to say.
pub fn rate(bytes: u64, time: Duration) -> Option<String> {
    let per_second = u128::from(bytes).saturating_mul(1_000) / time.as_millis().max(1);
    let known = time >= Duration::from_millis(10);
    known.then(|| format!("{}/s", size(u64::try_from(per_second).unwrap_or(u64::MAX))))
}

/// `3 h ago`, in the largest unit of which there are two, `just now` below two
/// seconds; a time ahead of `now` is said to be so.
pub fn age(then: Timestamp, now: Timestamp) -> String {
    const UNITS: [(i64, &str); 6] = [
        (365 * 86_400, "y"),
        (30 * 86_400, "mo"),
        (86_400, "d"),
        (3_600, "h"),
        (60, "min"),
        (1, "s"),
    ];
    let seconds = now.duration_since(then).as_secs();
    let (length, ending) = if seconds < 0 {
        (seconds.saturating_neg(), "in the future")
    } else {
        (seconds, "ago")
    };
    UNITS
        .iter()
        .find(|(unit, _)| length >= 2 * unit)
        .map_or_else(
            || "just now".to_owned(),
            |(unit, name)| format!("{} {name} {ending}", length / unit),
        )
}

/// `2026-01-18 10:30`, in the view's time zone.
pub fn when(time: Timestamp, view: &View) -> String {
    when_in(time, &view.zone)
}

/// [`when`] in a time zone of its own.
pub fn when_in(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned(zone.clone())
        .strftime("%Y-%m-%d %H:%M")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_powers_of_1024() {
        let texts = [0, 1023, 1024, 5_242_880, u64::MAX].map(size);
        assert_eq!(texts, ["0 B", "1023 B", "1.0 KiB", "5.0 MiB", "16.0 EiB"]);
    }

    #[test]
    fn numbers_are_grouped_by_three() {
        let texts = [0, 999, 1_000, 1_234_567].map(count);
        assert_eq!(texts, ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(counted(1, "table", "tables"), "1 table");
    }

    #[test]
    fn durations_take_the_unit_that_fits() {
        let texts = [0, 840, 3_290, 59_999, 252_000, 7_500_000]
            .map(|millis| duration(Duration::from_millis(millis)));
        assert_eq!(
            texts,
            [
                "0 ms",
                "840 ms",
                "3.2 s",
                "59.9 s",
                "4 min 12 s",
                "2 h 05 min"
            ]
        );
    }

    #[test]
    fn a_rate_over_no_time_is_not_claimed() {
        assert_eq!(rate(1 << 30, Duration::ZERO), None);
        assert_eq!(
            rate(1 << 30, Duration::from_secs(2)).as_deref(),
            Some("512.0 MiB/s")
        );
        assert!(rate(u64::MAX, Duration::from_millis(10)).is_some());
    }

    #[test]
    fn ages_are_relative_to_now() {
        let now = Timestamp::constant(1_768_743_000, 0);
        let at = |seconds: i64| age(Timestamp::constant(1_768_743_000 - seconds, 0), now);
        assert_eq!(at(1), "just now");
        assert_eq!(at(90), "90 s ago");
        assert_eq!(at(3 * 3_600), "3 h ago");
        assert_eq!(at(59 * 86_400), "59 d ago");
        assert_eq!(at(60 * 86_400), "2 mo ago");
        assert_eq!(at(3 * 365 * 86_400), "3 y ago");
        assert_eq!(at(-7_200), "2 h in the future");
        assert!(age(Timestamp::MIN, Timestamp::MAX).ends_with("y ago"));
    }
}
