//! When scheduled runs are due: cron expressions in a time zone, and the agenda
//! of those that wait for their time. Owns the rules for missed runs and for the
//! days on which the clock changes; knows no clock but the `now` it is given.
//!
//! A time that the clock skips is made up for right after the skip, once. A time
//! that comes twice counts the first time, except where every hour counts anyway
//! (an hour of `*` or `*/n`): then each hour that passes has its runs.

use std::fmt;
use std::str::FromStr;

use croner::Cron;
use croner::parser::CronParser;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use crate::words::plural;

pub use agenda::{Agenda, Due, Planned};

mod agenda;

/// More than any clock was ever set back or forth by at once, in hours, but for
/// zones that moved to the date line's other side; those skip whole days.
const CLOCK_CHANGE_HOURS_MAX: i64 = 25;

/// Why a cron expression is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronTextError {
    #[error(
        "a schedule has 5 fields: minute, hour, day of month, month, day of week; here {are} \
         {number}",
        are = plural(*.0, "is", "are"),
        number = .0
    )]
    Fields(usize),
    #[error(
        "{text:?} is no {field}: {values}, each by itself, in a list (1,3), as a range (1-5) or \
         in steps (*/2)"
    )]
    Field {
        text: String,
        field: &'static str,
        values: &'static str,
    },
    #[error("not a cron expression: {0}")]
    Wrong(String),
    #[error("no day ever fits it, so it would never run")]
    Never,
}

/// A cron expression of 5 fields, in a time zone.
///
/// The fields are Vixie cron's, with names (`MON`, `JAN`), `L` (the last day, or
/// `5L`: the last Friday), `5#2` (the second Friday) and `15W` (the working day
/// nearest to the 15th). Where both days are given, either fits; where one of them
/// begins with a star, also with steps behind it, both must.
#[derive(Clone)]
pub struct Recurrence {
    cron: Cron,
    text: String,
    zone: TimeZone,
    /// Every hour counts, or every nth.
    hourly: bool,
}

/// What each field may hold, in the words of the file.
const FIELDS: [(&str, &str); 5] = [
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of month", "1 to 31, L or 15W"),
    ("month", "1 to 12, or JAN to DEC"),
    (
        "day of week",
        "0 to 7 (0 and 7 are Sunday), SUN to SAT, 5L or 5#2",
    ),
];

/// The library takes a star with steps for days that are given.
fn parser(fields: &[&str]) -> CronParser {
    let both = [fields[2], fields[4]].iter().any(|it| it.starts_with('*'));
    CronParser::builder().dom_and_dow(both).build()
}

/// The first field that is wrong by itself.
fn wrong_field(fields: &[&str]) -> Option<CronTextError> {
    let is_wrong = |at: &usize| {
        let mut alone = ["*"; FIELDS.len()];
        alone[*at] = fields[*at];
        Cron::from_str(&alone.join(" ")).is_err()
    };
    let at = (0..FIELDS.len()).find(is_wrong)?;
    let (field, values) = FIELDS[at];
    Some(CronTextError::Field {
        text: fields[at].to_owned(),
        field,
        values,
    })
}

impl Recurrence {
    pub fn parse(text: &str, zone: TimeZone) -> Result<Self, CronTextError> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        if fields.len() != 5 {
            return Err(CronTextError::Fields(fields.len()));
        }
        // Taken for nothing by the library; more likely something was forgotten.
        let lacks = |field: &&&str| field.split(',').any(str::is_empty);
        if let Some(field) = fields.iter().find(lacks) {
            return Err(CronTextError::Wrong(format!("{field} has an empty part")));
        }
        let cron = parser(&fields).parse(text).map_err(|error| {
            let said = error.to_string();
            wrong_field(&fields).unwrap_or(CronTextError::Wrong(said))
        })?;
        // The calendar repeats: what does not come from here on never comes.
        if cron.find_next_occurrence(&SOME_DAY, true).is_err() {
            return Err(CronTextError::Never);
        }
        Ok(Self {
            cron,
            text: fields.join(" "),
            zone,
            hourly: fields[1].starts_with('*'),
        })
    }

    /// The expression, one blank between its fields.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The first time after `then`. `None` where the calendar ends.
    pub fn next_after(&self, then: Timestamp) -> Option<Timestamp> {
        let mut best: Option<Timestamp> = None;
        let mut wall = self.wall_clock(then, -CLOCK_CHANGE_HOURS_MAX)?;
        let mut inclusive = true;
        loop {
            wall = self.cron.find_next_occurrence(&wall, inclusive).ok()?;
            inclusive = false;
            let (first, second) = self.instants(wall)?;
            let later = [Some(first), second].into_iter().flatten();
            let later = later.filter(|instant| *instant > then).min();
            best = [best, later].into_iter().flatten().min();
            // What the wall clock shows later has no earlier first instant.
            if best.is_some_and(|best| first >= best) {
                return best;
            }
        }
    }

    /// The last time at or before `then`. `None` where the calendar begins.
    pub fn last_until(&self, then: Timestamp) -> Option<Timestamp> {
        let mut best: Option<Timestamp> = None;
        let mut wall = self.wall_clock(then, CLOCK_CHANGE_HOURS_MAX)?;
        let mut inclusive = true;
        loop {
            wall = self.cron.find_previous_occurrence(&wall, inclusive).ok()?;
            inclusive = false;
            let (first, second) = self.instants(wall)?;
            let earlier = [Some(first), second].into_iter().flatten();
            let earlier = earlier.filter(|instant| *instant <= then).max();
            best = [best, earlier].into_iter().flatten().max();
            if best.is_some_and(|best| second.unwrap_or(first) <= best) {
                return best;
            }
        }
    }

    /// What the clock on the wall shows so many hours from `then`.
    fn wall_clock(&self, then: Timestamp, hours: i64) -> Option<DateTime> {
        let at = then.checked_add(SignedDuration::from_hours(hours)).ok()?;
        Some(self.zone.to_datetime(at))
    }

    /// When the clock on the wall shows `wall`, or would have; the second time
    /// too where that counts.
    fn instants(&self, wall: DateTime) -> Option<(Timestamp, Option<Timestamp>)> {
        let ambiguous = self.zone.to_ambiguous_timestamp(wall);
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { .. } => Some((ambiguous.compatible().ok()?, None)),
            AmbiguousOffset::Gap { before, .. } => {
                let past_the_gap = before.to_timestamp(wall).ok()?;
                // At the gap's end itself the transition is the one before it.
                let next = past_the_gap
                    .checked_add(SignedDuration::from_nanos(1))
                    .ok()?;
                let end = self.zone.preceding(next).next();
                Some((end.map_or(past_the_gap, |end| end.timestamp()), None))
            }
            AmbiguousOffset::Fold { before, after } => {
                let second = self.hourly.then(|| after.to_timestamp(wall).ok());
                Some((before.to_timestamp(wall).ok()?, second.flatten()))
            }
        }
    }
}

impl fmt::Debug for Recurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zone = self.zone.iana_name().unwrap_or("local");
        write!(f, "Recurrence({:?} in {zone})", self.text)
    }
}

/// Any day would do.
const SOME_DAY: DateTime = jiff::civil::datetime(2000, 1, 1, 0, 0, 0, 0);

#[cfg(test)]
mod tests;
