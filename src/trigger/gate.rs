//! How often somebody may try: wrong keys by address, triggers by all together.
//! Who tried too many wrong keys is not even heard with the right one, or
//! guessing would cost nothing. The time is an argument.

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

#[derive(Default)]
pub struct Gate {
    wrong: HashMap<IpAddr, Window>,
    triggers: Option<Window>,
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
    /// Whether a key of this address is looked at at all.
    pub fn may_try(&self, from: IpAddr, now: Instant) -> Result<(), TooOften> {
        let window = self.wrong.get(&group(from));
        match window.map(|window| (window.count, window.left(now))) {
            Some((WRONG_KEYS_MAX.., left)) if !left.is_zero() => Err(TooOften(left)),
            _ => Ok(()),
        }
    }

    pub fn wrong_key(&mut self, from: IpAddr, now: Instant) {
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
    fn ten_wrong_keys_a_minute_shut_their_address_out_and_no_other() {
        let mut gate = Gate::default();
        let now = Instant::now();
        for _ in 0..WRONG_KEYS_MAX {
            assert_eq!(gate.may_try(HERE, now), Ok(()));
            gate.wrong_key(HERE, now);
        }
        assert_eq!(gate.may_try(HERE, now), Err(TooOften(WINDOW)));
        let mapped = "::ffff:127.0.0.1".parse().unwrap();
        assert!(gate.may_try(mapped, now).is_err());
        assert_eq!(gate.may_try("192.0.2.1".parse().unwrap(), now), Ok(()));
        assert_eq!(gate.may_try(HERE, now + WINDOW), Ok(()));
        gate.wrong_key(HERE, now + WINDOW);
        assert_eq!(gate.may_try(HERE, now + WINDOW), Ok(()));
    }

    #[test]
    fn addresses_of_one_network_count_together() {
        let mut gate = Gate::default();
        let now = Instant::now();
        for host in 0..WRONG_KEYS_MAX {
            gate.wrong_key(format!("2001:db8::{host:x}").parse().unwrap(), now);
        }
        assert!(
            gate.may_try("2001:db8::ffff".parse().unwrap(), now)
                .is_err()
        );
        assert!(gate.may_try("2001:db8:0:1::".parse().unwrap(), now).is_ok());
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
            gate.wrong_key(IpAddr::V4(number.into()), now);
        }
        assert!(gate.wrong.len() <= ADDRESSES_MAX);
    }
}
