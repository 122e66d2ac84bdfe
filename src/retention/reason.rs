//! Why a backup stays or goes, in words.

use std::fmt;

use jiff::Timestamp;

use super::Age;

/// Why a backup stays or goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    ClockBehind {
        newest: Timestamp,
    },
    Pinned,
    Floor {
        floor: u32,
    },
    NewestVerified,
    Undo,
    Last {
        rank: u32,
        of: u32,
    },
    NewestOf {
        /// "2026-W03"
        bucket: String,
        /// "weekly"
        rule: &'static str,
        /// 1 = the newest bucket.
        rank: u32,
        of: u32,
    },
    Within(Age),
    NoKeepRule,
    OlderThan(Age),
    NotWanted,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClockBehind { newest } => write!(
                f,
                "the clock is behind the newest backup ({newest:.0}), so nothing is removed"
            ),
            Self::Pinned => f.write_str("kept by hand"),
            Self::Floor { floor: 1 } => f.write_str("the newest"),
            Self::Floor { floor } => write!(f, "one of the {floor} newest"),
            Self::NewestVerified => f.write_str("newest verified"),
            Self::Undo => f.write_str("replaced by a restore less than 7 days ago"),
            Self::Last { rank, of } => write!(f, "last {rank}/{of}"),
            Self::NewestOf {
                bucket,
                rule,
                rank,
                of,
            } => write!(f, "newest of {bucket} ({rule} {rank}/{of})"),
            Self::Within(age) => write!(f, "within {age}"),
            Self::NoKeepRule => f.write_str("no keep rule is set"),
            Self::OlderThan(age) => write!(f, "older than {age}"),
            Self::NotWanted => f.write_str("no rule keeps it"),
        }
    }
}
