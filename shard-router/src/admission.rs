//! How many sessions begin: of all together and of one address, in a second. After an outage everybody comes at once; they are
//! let in at the pace that the nodes can take, and the others told when to come again, not all at the same time.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use http::StatusCode;
use turnpike_guard::address::AddressKey;
use turnpike_guard::limit::{Bucket, Exceeded, Rate, Table};

/// Addresses that are counted at a time; beyond it those that are not known share.
const ADDRESSES_MAX: usize = 200_000;
/// So much later than it has to be is somebody told to come again at most: they spread over that.
const SPREAD_MS: u64 = 2_000;

#[derive(Debug, Clone, Copy)]
pub struct Handshakes {
    pub in_sum: Rate,
    pub per_address: Rate,
}

pub(crate) struct Admission {
    rates: Handshakes,
    in_sum: Bucket,
    per_address: Table<AddressKey>,
    begun: Instant,
    random: RandomState,
    told: AtomicU64,
}

/// Not now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Later {
    pub(crate) status: StatusCode,
    pub(crate) retry_after_ms: u64,
    pub(crate) reason: &'static str,
}

impl Admission {
    pub(crate) fn new(rates: Handshakes) -> Self {
        Self {
            rates,
            in_sum: Bucket::default(),
            per_address: Table::new(ADDRESSES_MAX),
            begun: Instant::now(),
            random: RandomState::new(),
            told: AtomicU64::new(0),
        }
    }

    pub(crate) fn admit(&self, client: IpAddr) -> Result<(), Later> {
        self.admit_at(client, self.begun.elapsed().as_millis() as u64)
    }

    fn admit_at(&self, client: IpAddr, now_ms: u64) -> Result<(), Later> {
        self.per_address
            .check(&AddressKey::of(client), &self.rates.per_address, now_ms)
            .map_err(|exceeded| self.later(StatusCode::TOO_MANY_REQUESTS, "address", exceeded))?;
        self.in_sum
            .check(&self.rates.in_sum, now_ms)
            .map_err(|exceeded| self.later(StatusCode::SERVICE_UNAVAILABLE, "sum", exceeded))
    }

    fn later(&self, status: StatusCode, reason: &'static str, exceeded: Exceeded) -> Later {
        let spread = self.random.hash_one(self.told.fetch_add(1, Ordering::Relaxed)) % SPREAD_MS;
        Later { status, reason, retry_after_ms: exceeded.retry_after_ms + spread }
    }

    /// Forgets who has not come for a while.
    pub(crate) fn sweep(&self) {
        self.per_address.sweep(self.begun.elapsed().as_millis() as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn admission(in_sum: u32, per_address: u32) -> Admission {
        let rate = |count| {
            let count = NonZeroU32::new(count).unwrap();
            Rate::per_second(count, count)
        };
        Admission::new(Handshakes { in_sum: rate(in_sum), per_address: rate(per_address) })
    }

    fn address(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from(0x0a00_0000 + number).into()
    }

    #[test]
    fn one_address_has_no_more_than_its_share() {
        let admission = admission(1_000, 10);
        let admitted = (0..100).filter(|_| admission.admit_at(address(1), 5_000).is_ok()).count();
        assert_eq!(admitted, 10);
        assert_eq!(admission.admit_at(address(1), 5_000).unwrap_err().reason, "address");
        assert!(admission.admit_at(address(2), 5_000).is_ok());
    }

    #[test]
    fn a_storm_is_let_in_at_the_pace_and_the_others_spread() {
        let admission = admission(100, 10);
        let mut waits = Vec::new();
        let mut admitted = 0;
        for number in 0..2_000 {
            match admission.admit_at(address(number), 5_000) {
                Ok(()) => admitted += 1,
                Err(later) => waits.push((later.status, later.retry_after_ms)),
            }
        }
        assert_eq!(admitted, 100);
        assert!(waits.iter().all(|(status, _)| *status == StatusCode::SERVICE_UNAVAILABLE));
        let half = waits.iter().filter(|(_, wait)| *wait < SPREAD_MS / 2).count();
        assert!((waits.len() / 3..waits.len() * 2 / 3).contains(&half), "{half} of {}", waits.len());
        assert_eq!(
            (0..2_000).filter(|number| admission.admit_at(address(*number), 6_000).is_ok()).count(),
            100
        );
    }
}
