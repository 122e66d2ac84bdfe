//! The calendar's pieces that one backup each is kept of.

use jiff::Zoned;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Period {
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Period {
    /// As the rule is called: "daily".
    pub(super) fn rule(self) -> &'static str {
        match self {
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        }
    }

    /// The name of the piece that `local` lies in. Two instants are in one
    /// piece exactly if the names are equal.
    pub(super) fn bucket(self, local: &Zoned) -> String {
        match self {
            // With the offset: on the day with 25 hours, two of them have the
            // same number.
            Self::Hour => local.strftime("%Y-%m-%dT%H%:z").to_string(),
            Self::Day => local.strftime("%Y-%m-%d").to_string(),
            // ISO 8601: weeks begin on Monday, and the year is the week's.
            Self::Week => local.strftime("%G-W%V").to_string(),
            Self::Month => local.strftime("%Y-%m").to_string(),
            Self::Year => local.strftime("%Y").to_string(),
        }
    }
}
