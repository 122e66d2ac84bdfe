//! How often somebody may try: wrong keys by address, triggers by all together.
//! Only who has a wrong key is ever put off for wrong keys: behind a proxy all
//! come from one address, and a stranger there must keep nobody out. The time is
//! an argument.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(60);
const WRONG_KEYS_MAX: u32 = 10;
const TRIGGERS_MAX: u32 = 20;
/// Addresses that are remembered; more of them share a fresh start.
const ADDRESSES_MAX: usize = 4096;

/// Not so soon: wait for so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooOften(pub Duration);

/// Requests with a wrong key since they were told of last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongKeys {
    pub count: u64,
    /// Where the last of them came from.
    pub last_from: IpAddr,
}

#[derive(Default)]
pub struct Gate {
    wrong: HashMap<IpAddr, Window>,
    triggers: Option<Window>,
    untold: Option<WrongKeys>,
    told_at: Option<Instant>,
}

/// Counts from its beginning.
#[derive(Clone, Copy)]
struct Window {
    begun: Instant,
    count: u32,
}

impl Window {
    fn left(&self, now: Instant) -> Duration {
        (self.begun + WINDOW).saturating_duration_since(now)
    }
}

impl Gate {
    /// Counts a wrong key. The error: this address had too many of them.
    pub fn wrong_key(&mut self, from: IpAddr, now: Instant) -> Result<(), TooOften> {
        let before = self.untold.map_or(0, |untold| untold.count);
        self.untold = Some(WrongKeys {
            count: before.saturating_add(1),
            last_from: from.to_canonical(),
        });
        let window = self.wrong.get(&group(from));
        if let Some((WRONG_KEYS_MAX.., left)) = window.map(|it| (it.count, it.left(now)))
            && !left.is_zero()
        {
            return Err(TooOften(left));
        }
        if self.wrong.len() >= ADDRESSES_MAX {
            self.wrong.retain(|_, window| !window.left(now).is_zero());
        }
        if self.wrong.len() >= ADDRESSES_MAX {
            self.wrong.clear();
        }
        count(
            self.wrong.entry(group(from)).or_insert(Window {
                begun: now,
                count: 0,
            }),
            now,
        );
        Ok(())
    }

    /// The wrong keys that are to be told of now, once a minute at most.
    pub fn take_wrong_keys(&mut self, now: Instant) -> Option<WrongKeys> {
        let since = self.told_at.map(|at| now.saturating_duration_since(at));
        if since.is_some_and(|since| since < WINDOW) {
            return None;
        }
        let untold = self.untold.take()?;
        self.told_at = Some(now);
        Some(untold)
    }

    /// Counts a trigger with the right key.
    pub fn trigger(&mut self, now: Instant) -> Result<(), TooOften> {
        let window = self.triggers.get_or_insert(Window {
            begun: now,
            count: 0,
        });
        count(window, now);
        match window.count > TRIGGERS_MAX {
            true => Err(TooOften(window.left(now))),
            false => Ok(()),
        }
    }
}

fn count(window: &mut Window, now: Instant) {
    if window.left(now).is_zero() {
        *window = Window {
            begun: now,
            count: 0,
        };
    }
    window.count = window.count.saturating_add(1);
}

/// One customer has a whole /64 of IPv6.
fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn ten_wrong_keys_a_minute_are_answered_to_an_address() {
        let mut gate = Gate::default();
        let now = Instant::now();
        for _ in 0..WRONG_KEYS_MAX {
            assert_eq!(gate.wrong_key(HERE, now), Ok(()));
        }
        assert_eq!(gate.wrong_key(HERE, now), Err(TooOften(WINDOW)));
        let mapped = "::ffff:127.0.0.1".parse().unwrap();
        assert!(gate.wrong_key(mapped, now).is_err());
        let other = "192.0.2.1".parse().unwrap();
        assert_eq!(gate.wrong_key(other, now), Ok(()));
        for _ in 0..WRONG_KEYS_MAX {
            assert_eq!(gate.wrong_key(HERE, now + WINDOW), Ok(()));
        }
        assert!(gate.wrong_key(HERE, now + WINDOW).is_err());
    }

    #[test]
    fn wrong_keys_are_told_of_once_a_minute_and_none_is_left_out() {
        let mut gate = Gate::default();
        let now = Instant::now();
        assert_eq!(gate.take_wrong_keys(now), None);
        let mut told = |keys: u32, now: Instant| {
            for _ in 0..keys {
                let _ = gate.wrong_key(HERE, now);
            }
            gate.take_wrong_keys(now).map(|it| (it.count, it.last_from))
        };
        assert_eq!(told(1, now), Some((1, HERE)));
        assert_eq!(told(30, now + WINDOW / 2), None);
        assert_eq!(told(2, now + WINDOW), Some((32, HERE)));
        assert_eq!(told(0, now + 2 * WINDOW), None);
    }

    #[test]
    fn addresses_of_one_network_count_together() {
        let mut gate = Gate::default();
        let now = Instant::now();
        for host in 0..WRONG_KEYS_MAX {
            let from = format!("2001:db8::{host:x}").parse().unwrap();
            assert_eq!(gate.wrong_key(from, now), Ok(()));
        }
        let mut wrong = |from: &str| gate.wrong_key(from.parse().unwrap(), now);
        assert!(wrong("2001:db8::ffff").is_err());
        assert!(wrong("2001:db8:0:1::").is_ok());
    }

    #[test]
    fn triggers_count_for_all_together() {
        let mut gate = Gate::default();
        let now = Instant::now();
        for _ in 0..TRIGGERS_MAX {
            assert_eq!(gate.trigger(now), Ok(()));
        }
        let later = now + Duration::from_secs(20);
        assert_eq!(gate.trigger(later), Err(TooOften(Duration::from_secs(40))));
        assert_eq!(gate.trigger(now + WINDOW), Ok(()));
    }

    #[test]
    fn however_many_addresses_try_the_memory_is_bounded() {
        let mut gate = Gate::default();
        let now = Instant::now();
        for number in 0..20_000_u32 {
            let _ = gate.wrong_key(IpAddr::V4(number.into()), now);
        }
        assert!(gate.wrong.len() <= ADDRESSES_MAX);
    }
}
