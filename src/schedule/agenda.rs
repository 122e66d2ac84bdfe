//! Who waits for which time. The caller asks with its clock; nothing is lost
//! however late it asks, and nothing comes twice.

use jiff::{SignedDuration, Timestamp};

use super::Recurrence;

/// Later than this a run was missed: whoever asks does so every half a minute.
const PUNCTUAL: SignedDuration = SignedDuration::from_mins(2);
/// A clock that was set back by more had been wrong before: then what it said is
/// forgotten. By less, and the times that come again have been seen to.
const SET_BACK_MAX: SignedDuration = SignedDuration::from_hours(1);

/// One schedule as the agenda sees it.
#[derive(Clone, Debug)]
pub struct Planned {
    pub name: String,
    pub recurrence: Recurrence,
    /// Whether a run that was missed is made up for.
    pub catch_up: bool,
    /// All times up to here are seen to: the last start, for one.
    pub since: Timestamp,
}

/// A run whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub name: String,
    /// The latest of the times that it stands for.
    pub at: Timestamp,
    /// It should have begun earlier.
    pub missed: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Agenda {
    planned: Vec<Planned>,
}

impl Agenda {
    pub fn new(planned: Vec<Planned>) -> Self {
        Self { planned }
    }

    /// The runs that are due at `now`, the earliest first. However many times of
    /// a schedule have passed, it is due once.
    pub fn take_due(&mut self, now: Timestamp) -> Vec<Due> {
        let due = self.planned.iter_mut().filter_map(|one| one.take_due(now));
        let mut due: Vec<Due> = due.collect();
        // Stable: what is due at the same time runs in the file's order.
        due.sort_by_key(|due| due.at);
        due
    }

    /// The next run after all that was taken, by name.
    pub fn next(&self) -> Option<(&str, Timestamp)> {
        let next = |one: &Planned| one.recurrence.next_after(one.since);
        let times = self
            .planned
            .iter()
            .filter_map(|one| Some((one, next(one)?)));
        let (one, at) = times.min_by_key(|(_, at)| *at)?;
        Some((&one.name, at))
    }

    /// Takes other schedules in place of these. Those that were here keep what
    /// they have seen to; new ones, and those whose times are others now, begin
    /// at `now`.
    pub fn replace(&mut self, planned: Vec<Planned>, now: Timestamp) {
        let old = std::mem::take(&mut self.planned);
        let begin = |new: &Planned| {
            let same = old.iter().find(|old| {
                old.name == new.name
                    && old.recurrence.text() == new.recurrence.text()
                    && old.recurrence.zone() == new.recurrence.zone()
            });
            same.map_or(now, |same| same.since)
        };
        let begun = planned.into_iter().map(|new| Planned {
            since: begin(&new),
            ..new
        });
        self.planned = begun.collect();
    }
}

impl Planned {
    fn take_due(&mut self, now: Timestamp) -> Option<Due> {
        if self.since.duration_since(now) > SET_BACK_MAX {
            self.since = now;
        }
        let first = self.recurrence.next_after(self.since)?;
        if first > now {
            return None;
        }
        self.since = now;
        let at = self.recurrence.last_until(now).unwrap_or(first);
        let missed = now.duration_since(at) > PUNCTUAL;
        (self.catch_up || !missed).then(|| Due {
            name: self.name.clone(),
            at,
            missed,
        })
    }
}
