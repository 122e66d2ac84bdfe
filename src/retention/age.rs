//! How old is old: "30d", "12h", "2w", "6m" (months), "1y", and sums such as
//! "1y6m". Counted on the calendar of a time zone, so that a day that a clock
//! change makes an hour longer is still one day.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use crate::words::plural;

/// The largest count of one unit: some 27 years of hours. What is more is a
/// slip of the finger.
const COUNT_MAX: u32 = 239_999;

const UNITS: [char; 5] = ['y', 'm', 'w', 'd', 'h'];

/// A length of time on the calendar; not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Age {
    /// Years, months, weeks, days, hours.
    counts: [u32; UNITS.len()],
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an age: write a number with y, m (months), w, d or h, such as 30d, 12h or 1y6m"
)]
pub struct InvalidAge(String);

impl Age {
    /// `None` for 0 and for what no calendar reaches.
    pub fn days(days: u32) -> Option<Self> {
        let mut counts = [0; UNITS.len()];
        counts[3] = days;
        (1..=COUNT_MAX).contains(&days).then_some(Self { counts })
    }

    /// The instant that lies this long before `now`. Where the calendar ends
    /// first, the earliest there is: then nothing is older.
    pub fn before(self, now: Timestamp, time_zone: &TimeZone) -> Timestamp {
        let earlier = self
            .span()
            .and_then(|span| now.to_zoned(time_zone.clone()).checked_sub(span));
        earlier.map_or(Timestamp::MIN, |zoned| zoned.timestamp())
    }

    /// The instant that lies this long after `now`. Where the calendar ends
    /// first, the latest there is.
    pub fn after(self, now: Timestamp, time_zone: &TimeZone) -> Timestamp {
        let later = self
            .span()
            .and_then(|span| now.to_zoned(time_zone.clone()).checked_add(span));
        later.map_or(Timestamp::MAX, |zoned| zoned.timestamp())
    }

    fn span(self) -> Result<Span, jiff::Error> {
        let [years, months, weeks, days, hours] = self.counts;
        Span::new()
            .try_years(years)?
            .try_months(months)?
            .try_weeks(weeks)?
            .try_days(days)?
            .try_hours(hours)
    }
}

impl FromStr for Age {
    type Err = InvalidAge;

    /// Each unit at most once, the larger ones first.
    fn from_str(text: &str) -> Result<Self, InvalidAge> {
        parse(text.trim())
            .map(|counts| Self { counts })
            .ok_or_else(|| InvalidAge(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<[u32; UNITS.len()]> {
    let mut counts = [0; UNITS.len()];
    let mut next_unit = 0;
    for part in text.split_inclusive(UNITS) {
        let unit = part.chars().next_back()?;
        let index = UNITS.iter().position(|&u| u == unit)?;
        let digits = part.strip_suffix(unit)?;
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if index < next_unit || !is_number {
            return None;
        }
        counts[index] = digits.parse().ok().filter(|&count| count <= COUNT_MAX)?;
        next_unit = index + 1;
    }
    counts.iter().any(|&count| count > 0).then_some(counts)
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spelled = [
            ("year", "years"),
            ("month", "months"),
            ("week", "weeks"),
            ("day", "days"),
            ("hour", "hours"),
        ];
        let parts: Vec<String> = self
            .counts
            .iter()
            .zip(spelled)
            .filter(|(count, _)| **count > 0)
            .map(|(&count, (one, many))| format!("{count} {}", plural(count, one, many)))
            .collect();
        f.write_str(&parts.join(" "))
    }
}

impl TryFrom<String> for Age {
    type Error = InvalidAge;

    fn try_from(text: String) -> Result<Self, InvalidAge> {
        text.parse()
    }
}

impl From<Age> for String {
    /// As it is written: "1y6m".
    fn from(age: Age) -> Self {
        let written = |(&count, unit): (&u32, _)| (count > 0).then(|| format!("{count}{unit}"));
        age.counts.iter().zip(UNITS).filter_map(written).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_written_back_as_it_was_read() {
        for (text, shown) in [
            ("30d", "30 days"),
            ("12h", "12 hours"),
            ("2w", "2 weeks"),
            ("6m", "6 months"),
            ("1y", "1 year"),
            ("1y6m1h", "1 year 6 months 1 hour"),
        ] {
            let age: Age = text.parse().unwrap();
            assert_eq!(age.to_string(), shown);
            assert_eq!(String::from(age), text);
        }
        assert_eq!(Age::days(30), "30d".parse().ok());
    }

    #[test]
    fn what_is_no_age_is_refused_with_an_example() {
        for text in [
            "",
            "0d",
            "d",
            "30",
            "-1d",
            "+1d",
            "1.5d",
            "30d ago",
            "1d1y",
            "1d1d",
            "1s",
            "30D",
            "99999999999d",
            "240000h",
            "1é",
        ] {
            let error = text.parse::<Age>().unwrap_err();
            assert!(error.to_string().contains("30d"), "{text}: {error}");
        }
        assert_eq!(Age::days(0), None);
    }

    #[test]
    fn a_day_before_is_the_same_hour_also_over_a_clock_change() {
        let amsterdam = TimeZone::get("Europe/Amsterdam").unwrap();
        let day: Age = "1d".parse().unwrap();
        // The clocks go forward on 2026-03-29 and back on 2026-10-25.
        for (now, before) in [
            ("2026-03-29T12:00:00+02:00", "2026-03-28T12:00:00+01:00"),
            ("2026-10-25T12:00:00+01:00", "2026-10-24T12:00:00+02:00"),
        ] {
            let now: Timestamp = now.parse().unwrap();
            assert_eq!(day.before(now, &amsterdam), before.parse().unwrap());
        }
    }

    #[test]
    fn a_month_before_the_31st_is_the_last_of_a_shorter_month() {
        let month: Age = "1m".parse().unwrap();
        let now: Timestamp = "2026-03-31T00:00:00Z".parse().unwrap();
        let before = month.before(now, &TimeZone::UTC);
        assert_eq!(before, "2026-02-28T00:00:00Z".parse().unwrap());
    }

    #[test]
    fn an_age_beyond_the_calendar_makes_nothing_old() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for text in ["239999y", "19000y239999m"] {
            let age: Age = text.parse().unwrap();
            assert_eq!(age.before(now, &TimeZone::UTC), Timestamp::MIN);
        }
    }
}
