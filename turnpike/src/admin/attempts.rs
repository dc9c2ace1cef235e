//! How often an address may be wrong about who it is, and a user about what they may. Pure: the time is an argument.

use std::collections::HashMap;
use std::hash::Hash;

/// Failures in a row that each is given.
pub(super) const FAILURES_MAX: u64 = 10;
/// After which one of them is forgotten.
pub(super) const FORGOTTEN_AFTER_MS: u64 = 6_000;
/// Addresses, or users, that are remembered. All that come when there is no room share one place: then they are slowed together,
/// and nobody gets more tries by coming from everywhere.
const REMEMBERED_MAX: usize = 4_096;

/// Each is remembered by when its failures will be forgotten, which is one number.
#[derive(Debug)]
pub(super) struct Attempts<K> {
    forgotten_at_ms: HashMap<K, u64>,
    others_forgotten_at_ms: u64,
}

impl<K> Default for Attempts<K> {
    fn default() -> Self {
        Self { forgotten_at_ms: HashMap::new(), others_forgotten_at_ms: 0 }
    }
}

impl<K: Hash + Eq> Attempts<K> {
    /// Whether it may try, or after how long.
    pub(super) fn may_try(&self, from: &K, now_ms: u64) -> Result<(), u64> {
        let forgotten_at = match self.forgotten_at_ms.get(from) {
            Some(at) => *at,
            None if self.forgotten_at_ms.len() < REMEMBERED_MAX => 0,
            None => self.others_forgotten_at_ms,
        };
        let most = now_ms + (FAILURES_MAX - 1) * FORGOTTEN_AFTER_MS;
        if forgotten_at <= most { Ok(()) } else { Err(forgotten_at - most) }
    }

    pub(super) fn failed(&mut self, from: K, now_ms: u64) {
        if self.forgotten_at_ms.len() >= REMEMBERED_MAX && !self.forgotten_at_ms.contains_key(&from) {
            self.forgotten_at_ms.retain(|_, at| *at > now_ms);
        }
        let at = if self.forgotten_at_ms.len() < REMEMBERED_MAX || self.forgotten_at_ms.contains_key(&from) {
            self.forgotten_at_ms.entry(from).or_default()
        } else {
            &mut self.others_forgotten_at_ms
        };
        // Never more than the most, so that whoever goes on trying is not shut out for longer and longer.
        *at = ((*at).max(now_ms) + FORGOTTEN_AFTER_MS).min(now_ms + FAILURES_MAX * FORGOTTEN_AFTER_MS);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use turnpike_guard::address::AddressKey;

    use super::*;

    fn address(number: u32) -> AddressKey {
        AddressKey::of(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    #[test]
    fn ten_at_once_and_then_one_at_a_time() {
        let mut attempts = Attempts::default();
        for _ in 0..FAILURES_MAX {
            assert_eq!(attempts.may_try(&address(1), 1_000), Ok(()));
            attempts.failed(address(1), 1_000);
        }
        assert_eq!(attempts.may_try(&address(1), 1_000), Err(FORGOTTEN_AFTER_MS));
        assert_eq!(attempts.may_try(&address(2), 1_000), Ok(()), "another one");
        assert_eq!(attempts.may_try(&address(1), 1_000 + FORGOTTEN_AFTER_MS), Ok(()));
        for _ in 0..1_000 {
            attempts.failed(address(1), 1_000);
        }
        assert_eq!(
            attempts.may_try(&address(1), 1_000 + FORGOTTEN_AFTER_MS),
            Ok(()),
            "and no longer than that"
        );
    }

    #[test]
    fn coming_from_everywhere_gives_no_more_tries_and_costs_no_more_memory() {
        let mut attempts = Attempts::default();
        let mut let_in = 0;
        for number in 0..100_000 {
            if attempts.may_try(&address(number), 1_000).is_ok() {
                let_in += 1;
                attempts.failed(address(number), 1_000);
            }
        }
        assert_eq!(let_in, REMEMBERED_MAX + FAILURES_MAX as usize);
        assert_eq!(attempts.forgotten_at_ms.len(), REMEMBERED_MAX);
        let later = 1_000 + FAILURES_MAX * FORGOTTEN_AFTER_MS;
        attempts.failed(address(200_000), later);
        assert_eq!(attempts.forgotten_at_ms.len(), 1, "what is forgotten makes room");
    }
}
