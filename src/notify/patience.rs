//! How long and how often a message is tried.

use std::thread;
use std::time::{Duration, Instant};

use super::NotifyError;
use crate::cancel::Cancel;

/// Between two looks whether the run is to stop.
const LOOK: Duration = Duration::from_millis(50);

/// Shared by all messages of a run.
#[derive(Clone)]
pub struct Patience {
    /// The whole of one try: name, connection, TLS, question and answer.
    pub call: Duration,
    /// The waits before the second try, the third, and so on.
    pub pauses: Vec<Duration>,
    /// No try goes on after it.
    pub until: Instant,
    /// Once it is asked, a message that failed is not tried again.
    pub cancel: Cancel,
}

impl Patience {
    /// For a run that ended by itself: three tries of 10 s, all within 60 s.
    pub fn usual(cancel: Cancel) -> Self {
        Self {
            call: Duration::from_secs(10),
            pauses: vec![Duration::from_secs(1), Duration::from_secs(3)],
            until: Instant::now() + Duration::from_secs(60),
            cancel,
        }
    }

    /// For what must not keep somebody waiting: one try.
    pub fn short(limit: Duration, cancel: Cancel) -> Self {
        Self {
            call: limit,
            pauses: Vec::new(),
            until: Instant::now() + limit,
            cancel,
        }
    }

    /// Calls until it is taken or refused for good, or the tries are used up.
    /// The call is given the time that it may take.
    pub(super) fn tries<T>(
        &self,
        mut call: impl FnMut(Duration) -> Result<T, NotifyError>,
    ) -> Result<T, NotifyError> {
        let mut pauses = self.pauses.iter().copied();
        let mut last = NotifyError::OutOfTime;
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(last);
            }
            let mut asked_for = Duration::ZERO;
            match call(self.call.min(left)) {
                Err(NotifyError::Busy { why, wait }) => {
                    last = NotifyError::Unreachable(why);
                    asked_for = wait;
                }
                Err(NotifyError::Unreachable(why)) => last = NotifyError::Unreachable(why),
                settled => return settled,
            }
            let pause = pauses.next().map(|pause| pause.max(asked_for));
            match pause.filter(|pause| self.has_time_for(*pause)) {
                Some(pause) if self.waits(pause) => {}
                _ => return Err(last),
            }
        }
    }

    /// A wait that ends after the last try could begin is of no use.
    fn has_time_for(&self, pause: Duration) -> bool {
        pause < self.until.saturating_duration_since(Instant::now())
    }

    /// Whether the wait was through, and there is time for another try.
    fn waits(&self, pause: Duration) -> bool {
        let end = Instant::now() + pause;
        while self.cancel.requested().is_none() {
            let left = end
                .min(self.until)
                .saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Instant::now() < self.until;
            }
            thread::sleep(left.min(LOOK));
        }
        false
    }
}

/// A limit as people read it: "10 s", "0.4 s".
pub(super) fn seconds(limit: Duration) -> String {
    let tenths = limit.as_millis() / 100;
    match tenths % 10 {
        0 => format!("{} s", tenths / 10),
        tenth => format!("{}.{tenth} s", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience(pauses: usize) -> Patience {
        Patience {
            call: Duration::from_secs(1),
            pauses: vec![Duration::from_millis(1); pauses],
            until: Instant::now() + Duration::from_secs(60),
            cancel: Cancel::default(),
        }
    }

    fn down() -> Result<(), NotifyError> {
        Err(NotifyError::Unreachable("down".to_owned()))
    }

    /// How often it was called, and what came of it.
    fn called(
        patience: &Patience,
        mut answer: impl FnMut(u32) -> Result<(), NotifyError>,
    ) -> (u32, Result<(), NotifyError>) {
        let mut calls = 0;
        let result = patience.tries(|_| {
            calls += 1;
            answer(calls)
        });
        (calls, result)
    }

    #[test]
    fn what_is_down_is_tried_again_and_what_is_refused_is_not() {
        assert_eq!(called(&patience(2), |_| down()), (3, down()));
        let recovers = |call| if call < 3 { down() } else { Ok(()) };
        assert_eq!(called(&patience(2), recovers), (3, Ok(())));
        let refused = || Err(NotifyError::Refused("404".to_owned()));
        assert_eq!(called(&patience(2), |_| refused()), (1, refused()));
    }

    #[test]
    fn nothing_is_tried_again_once_the_run_is_to_stop() {
        let patience = patience(2);
        let answer = |_| {
            patience.cancel.request(15);
            down()
        };
        assert_eq!(called(&patience, answer), (1, down()));
    }

    #[test]
    fn who_asks_for_time_is_given_it_and_no_more_than_there_is() {
        let busy = |wait| {
            let why = "429".to_owned();
            Err(NotifyError::Busy { why, wait })
        };
        let wait = Duration::from_millis(80);
        let begun = Instant::now();
        let recovers = |call| if call < 2 { busy(wait) } else { Ok(()) };
        assert_eq!(called(&patience(2), recovers), (2, Ok(())));
        assert!(begun.elapsed() >= wait);
        let too_long = Duration::from_secs(61);
        let unreachable = Err(NotifyError::Unreachable("429".to_owned()));
        assert_eq!(called(&patience(2), |_| busy(too_long)), (1, unreachable));
        assert!(begun.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn nothing_is_tried_when_the_time_is_over() {
        let over = Patience {
            until: Instant::now(),
            ..patience(2)
        };
        assert_eq!(called(&over, |_| down()), (0, Err(NotifyError::OutOfTime)));
    }
}
