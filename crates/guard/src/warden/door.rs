//! How many come through a door from each address: how fast, and how many are inside. The tables are bounded; see
//! [`Bounds`](super::config::Bounds).

use super::bounded::{Bounded, Kept};
use super::config::Door;
use crate::address::AddressKey;

/// What somebody is told for whom there is no room in the table: as many addresses as it holds have something open.
const FULL_RETRY_AFTER_MS: u64 = 1_000;

/// What somebody is told who has too much open: some of it may end at any time.
const OPEN_RETRY_AFTER_MS: u64 = 5_000;

pub(super) struct Gate {
    door: Door,
    /// Microseconds from one to the next.
    apart_us: u64,
    passing: Bounded<AddressKey, Passing>,
}

/// 16 bytes an address.
#[derive(Default)]
struct Passing {
    /// When all that has come would have come one by one, in steady microseconds: the generic cell rate algorithm, which
    /// keeps a rate and a burst in one number.
    due_us: u64,
    open: u32,
    /// Refusals, so that only some of them are reported.
    refused: u32,
}

impl Kept for Passing {
    fn worth(&self, now_ms: u64) -> Option<f32> {
        if self.open > 0 {
            return None;
        }
        Some(self.due_us.saturating_sub(now_ms.saturating_mul(1_000)) as f32)
    }
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Closed {
    pub(super) retry_after_ms: u64,
    /// How often this address has been refused; nought if that is not known.
    pub(super) refused: u32,
}

impl Gate {
    pub(super) fn new(door: Door, addresses_max: usize) -> Self {
        let apart_us = 1_000_000 / u64::from(door.per_second.clamp(1, 1_000_000));
        Self { door, apart_us, passing: Bounded::new(addresses_max) }
    }

    pub(super) fn enter(&self, key: AddressKey, now_ms: u64) -> Result<(), Closed> {
        let now_us = now_ms.saturating_mul(1_000);
        let ahead_us_max = self.apart_us * u64::from(self.door.burst.max(1));
        let passed = self.passing.with(&key, now_ms, |passing| {
            let due_us = passing.due_us.max(now_us) + self.apart_us;
            let ahead_us = due_us - now_us;
            let retry_after_ms = if passing.open >= self.door.open_max {
                OPEN_RETRY_AFTER_MS
            } else if ahead_us > ahead_us_max {
                (ahead_us - ahead_us_max).div_ceil(1_000)
            } else {
                passing.due_us = due_us;
                passing.open += 1;
                return Ok(());
            };
            passing.refused = passing.refused.wrapping_add(1);
            Err(Closed { retry_after_ms, refused: passing.refused })
        });
        passed.unwrap_or(Err(Closed { retry_after_ms: FULL_RETRY_AFTER_MS, refused: 0 }))
    }

    pub(super) fn leave(&self, key: AddressKey) {
        self.passing.with_existing(&key, |passing| passing.open = passing.open.saturating_sub(1));
    }

    pub(super) fn sweep(&self, now_ms: u64) {
        self.passing.sweep(now_ms);
    }

    pub(super) fn addresses(&self) -> usize {
        self.passing.len()
    }

    pub(super) fn untracked(&self) -> u64 {
        self.passing.untracked()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn key(number: u32) -> AddressKey {
        AddressKey::of(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    const DOOR: Door = Door { per_second: 10, burst: 20, open_max: 1_000 };

    #[test]
    fn a_burst_and_then_the_rate() {
        let gate = Gate::new(DOOR, 1_000);
        let mut passed = [0; 4];
        for now_ms in 0..4_000 {
            passed[now_ms as usize / 1_000] += u32::from(gate.enter(key(1), now_ms).is_ok());
        }
        assert!(
            (29..=30).contains(&passed[0]) && passed[1..].iter().all(|of_second| *of_second == 10),
            "{passed:?}"
        );
        let closed = gate.enter(key(1), 4_000 - 1).unwrap_err();
        assert!((1..=100).contains(&closed.retry_after_ms) && closed.refused > 1, "{closed:?}");
        assert!(gate.enter(key(1), 3_999 + closed.retry_after_ms).is_ok());
        assert!(gate.enter(key(2), 4_000).is_ok(), "another address has its own");
    }

    #[test]
    fn no_more_open_than_may_be() {
        let gate = Gate::new(Door { per_second: 1_000, burst: 1_000, open_max: 3 }, 1_000);
        let passed = (0..10).filter(|_| gate.enter(key(1), 0).is_ok()).count();
        assert_eq!(passed, 3);
        gate.leave(key(1));
        assert!(gate.enter(key(1), 1).is_ok());
        assert!(gate.enter(key(1), 1).is_err());
        // More ends than beginnings are no credit.
        for _ in 0..10 {
            gate.leave(key(1));
        }
        assert_eq!((0..10).filter(|_| gate.enter(key(1), 2).is_ok()).count(), 3);
    }

    /// A million addresses, each once: no more are kept than may be, and nothing is left when they are gone. Those that have
    /// something open stay.
    #[test]
    fn a_million_addresses_need_no_more_room_than_there_is() {
        let gate = Gate::new(DOOR, 10_000);
        for held in 0..100 {
            gate.enter(key(held), 0).unwrap();
        }
        for number in 0..1_000_000_u32 {
            let now_ms = u64::from(number / 1_000);
            if gate.enter(key(1_000 + number), now_ms).is_ok() {
                gate.leave(key(1_000 + number));
            }
        }
        assert!(gate.addresses() <= 10_048, "{} addresses", gate.addresses());
        assert_eq!(gate.untracked(), 0);
        gate.sweep(3_600_000);
        assert_eq!(gate.addresses(), 100);
    }

    /// Whoever has filled the table with open connections gets no more through; and nobody goes uncounted.
    #[test]
    fn a_full_table_lets_nobody_in_uncounted() {
        let gate = Gate::new(DOOR, 1_000);
        let passed = (0..10_000).filter(|number| gate.enter(key(*number), 0).is_ok()).count();
        assert!(passed <= 1_024, "{passed} passed");
        assert!(gate.untracked() > 0);
    }
}
