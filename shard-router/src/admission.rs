//! How many sessions begin: of all together and of one address, in a second. After an outage everybody comes at once; they are
//! let in at the pace that the nodes can take, and the others told when to come again, each at a time of its own.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::StatusCode;
use turnpike_guard::address::AddressKey;
use turnpike_guard::limit::{Bucket, Rate, Table};

use crate::pace::Pace;

/// Addresses that are counted at a time; beyond it those that are not known share.
const ADDRESSES_MAX: usize = 200_000;
/// So much later than it has to be is somebody told to come again at most: they spread over that.
const SPREAD_MS: u64 = 1_000;
/// Nobody is told to stay away for longer: nodes may have come by then.
const AWAY_MS_MAX: u64 = 30_000;
/// What is let in at once, as a share of what is in a second: more would be no pace.
const BURST_SHARE: u32 = 4;
/// How many may be let in and not answered yet, in seconds of the pace. With that many under way one more comes in when one is
/// answered, which is the pace that nodes keep up with, whatever they say of themselves.
const BEHIND_SECONDS: u32 = 2;
/// However slow the pace, so many.
const BEHIND_MIN: u32 = 16;
/// A pace that was slowed down comes back within a few seconds, so who is told to stay away is told so as if it were not slower
/// than this share of the full one: whoever comes a second time in vain costs less than a cluster that waits for its clients.
const AWAY_SHARE: u32 = 2;

#[derive(Debug, Clone, Copy)]
pub struct Handshakes {
    /// A second, of all together, while the nodes are well.
    pub in_sum: NonZeroU32,
    pub per_address: Rate,
}

pub(crate) struct Admission {
    per_address_rate: ArcSwap<Rate>,
    pace: Mutex<Pace>,
    /// A second, while the nodes are well, and now.
    in_sum_max: AtomicU32,
    a_second: AtomicU32,
    in_sum: Bucket,
    per_address: Table<AddressKey>,
    /// Of those that ask where something is: the cluster's directory has to be asked in turn.
    questions: Table<AddressKey>,
    begun: Instant,
    /// Until when those who were told to come again fill the pace.
    told_until_us: AtomicU64,
    /// Let in, and not answered by a node yet.
    under_way: AtomicU32,
    random: RandomState,
    told: AtomicU64,
}

/// A handshake that was let in, until this is dropped.
#[must_use]
#[derive(Debug)]
pub(crate) struct UnderWay<'a>(&'a AtomicU32);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Not now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Later {
    pub(crate) status: StatusCode,
    pub(crate) retry_after_ms: u64,
    pub(crate) reason: &'static str,
}

impl Admission {
    pub(crate) fn new(handshakes: Handshakes) -> Self {
        let in_sum = handshakes.in_sum.get();
        Self {
            per_address_rate: ArcSwap::from_pointee(handshakes.per_address),
            pace: Mutex::new(Pace::new(in_sum)),
            in_sum_max: AtomicU32::new(in_sum),
            a_second: AtomicU32::new(in_sum),
            in_sum: Bucket::default(),
            per_address: Table::new(ADDRESSES_MAX),
            questions: Table::new(ADDRESSES_MAX),
            begun: Instant::now(),
            told_until_us: AtomicU64::new(0),
            under_way: AtomicU32::new(0),
            random: RandomState::new(),
            told: AtomicU64::new(0),
        }
    }

    /// From now on so many. Who has been counted stays counted.
    pub(crate) fn replace(&self, handshakes: Handshakes) {
        self.per_address_rate.store(Arc::new(handshakes.per_address));
        self.in_sum_max.store(handshakes.in_sum.get(), Ordering::Relaxed);
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        self.a_second.store(pace.replace_max(handshakes.in_sum.get()), Ordering::Relaxed);
    }

    /// Until the answer is there, the handshake is under way.
    pub(crate) fn admit(&self, client: IpAddr) -> Result<UnderWay<'_>, Later> {
        self.admit_at(client, self.begun.elapsed().as_millis() as u64)
    }

    fn admit_at(&self, client: IpAddr, now_ms: u64) -> Result<UnderWay<'_>, Later> {
        self.of_address(&self.per_address, client, now_ms)?;
        let pace = NonZeroU32::new(self.a_second()).unwrap_or(NonZeroU32::MIN);
        let later = |reason| Later {
            status: StatusCode::SERVICE_UNAVAILABLE,
            retry_after_ms: self.away_ms(now_ms) + self.spread(),
            reason,
        };
        if self.under_way.load(Ordering::Relaxed)
            >= (pace.get().saturating_mul(BEHIND_SECONDS)).max(BEHIND_MIN)
        {
            return Err(later("behind"));
        }
        let burst = NonZeroU32::new(pace.get() / BURST_SHARE).unwrap_or(NonZeroU32::MIN);
        self.in_sum.check(&Rate::per_second(pace, burst), now_ms).map_err(|_| later("sum"))?;
        self.under_way.fetch_add(1, Ordering::Relaxed);
        Ok(UnderWay(&self.under_way))
    }

    /// A question of an address, of which there may be as many as handshakes.
    pub(crate) fn ask(&self, client: IpAddr) -> Result<(), Later> {
        self.of_address(&self.questions, client, self.begun.elapsed().as_millis() as u64)
    }

    fn of_address(&self, table: &Table<AddressKey>, client: IpAddr, now_ms: u64) -> Result<(), Later> {
        table.check(&AddressKey::of(client), &self.per_address_rate.load(), now_ms).map_err(|exceeded| {
            Later {
                status: StatusCode::TOO_MANY_REQUESTS,
                retry_after_ms: exceeded.retry_after_ms + self.spread(),
                reason: "address",
            }
        })
    }

    /// Behind all who were told before: they come back one by one, and not all together to be refused again.
    fn away_ms(&self, now_ms: u64) -> u64 {
        let pace = self.a_second().max(self.in_sum_max.load(Ordering::Relaxed) / AWAY_SHARE).max(1);
        let (each_us, now_us) = (1_000_000 / u64::from(pace).min(1_000_000), now_ms * 1_000);
        let behind = |until: u64| {
            let until = until.max(now_us) + each_us;
            Some(until.min(now_us + AWAY_MS_MAX * 1_000))
        };
        let updated = self.told_until_us.fetch_update(Ordering::Relaxed, Ordering::Relaxed, behind);
        let before = updated.unwrap_or_else(|before| before);
        behind(before).unwrap_or(now_us).saturating_sub(now_us) / 1_000
    }

    fn spread(&self) -> u64 {
        self.random.hash_one(self.told.fetch_add(1, Ordering::Relaxed)) % SPREAD_MS
    }

    /// How many a second are let in now.
    pub(crate) fn a_second(&self) -> u32 {
        self.a_second.load(Ordering::Relaxed)
    }

    /// How long nodes took to say that they live.
    pub(crate) fn heard(&self, took: Duration) {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        self.a_second.store(pace.heard(took), Ordering::Relaxed);
    }

    /// Forgets who has not come for a while.
    pub(crate) fn sweep(&self) {
        let now_ms = self.begun.elapsed().as_millis() as u64;
        self.per_address.sweep(now_ms);
        self.questions.sweep(now_ms);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn admission(in_sum: u32, per_address: u32) -> Admission {
        let count = |count| NonZeroU32::new(count).unwrap();
        let per_address = Rate::per_second(count(per_address), count(per_address));
        Admission::new(Handshakes { in_sum: count(in_sum), per_address })
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
    fn other_limits_hold_from_then_on() {
        let admission = admission(1_000, 10);
        let admitted = |now_ms| (0..100).filter(|_| admission.admit_at(address(1), now_ms).is_ok()).count();
        assert_eq!(admitted(5_000), 10);
        let count = |count| NonZeroU32::new(count).unwrap();
        admission
            .replace(Handshakes { in_sum: count(500), per_address: Rate::per_second(count(20), count(20)) });
        assert_eq!(admission.a_second(), 500);
        assert_eq!(admitted(60_000), 20);
    }

    /// Clients that come when they are told to: how many get in, second by second, and how often one was refused.
    fn storm(admission: &Admission, clients: u32) -> (BTreeMap<u64, u32>, u32) {
        let mut due: BTreeMap<(u64, u32), u32> = (0..clients).map(|number| ((5_000, number), 0)).collect();
        let (mut admitted, mut refusals_max) = (BTreeMap::new(), 0);
        while let Some(((now, number), refusals)) = due.pop_first() {
            match admission.admit_at(address(number), now) {
                // It is answered at once.
                Ok(_) => *admitted.entry(now / 1_000).or_default() += 1,
                Err(later) => {
                    assert_eq!(later.status, StatusCode::SERVICE_UNAVAILABLE);
                    refusals_max = refusals_max.max(refusals + 1);
                    due.insert((now + later.retry_after_ms, number), refusals + 1);
                }
            }
        }
        (admitted, refusals_max)
    }

    #[test]
    fn a_storm_is_let_in_at_the_pace() {
        let (admitted, refusals_max) = storm(&admission(1_000, 100), 9_000);
        assert_eq!(admitted.values().sum::<u32>(), 9_000);
        assert!(admitted.values().all(|count| *count <= 1_250), "a second and a burst: {admitted:?}");
        let seconds = admitted.keys().last().unwrap() - admitted.keys().next().unwrap();
        assert!(seconds <= 13, "it takes 9 s at best: {admitted:?}");
        assert!(refusals_max <= 8, "nobody comes in vain all the time: {refusals_max}");
    }

    #[test]
    fn nodes_that_are_slow_are_given_less() {
        let admission = admission(1_000, 100);
        admission.heard(Duration::from_millis(250));
        assert_eq!(admission.a_second(), 500);
        let (admitted, _) = storm(&admission, 3_000);
        assert!(admitted.values().all(|count| *count <= 625), "{admitted:?}");
        for _ in 0..10 {
            admission.heard(Duration::ZERO);
        }
        assert_eq!(admission.a_second(), 1_000);
    }

    #[test]
    fn nodes_that_are_behind_are_given_no_more_before_they_answer() {
        let admission = admission(1_000, 1_000);
        let mut under_way = Vec::new();
        for now_ms in (5_000..8_000).step_by(100) {
            let comers = (0..100).map(|number| admission.admit_at(address(number), now_ms));
            under_way.extend(comers.filter_map(Result::ok));
        }
        assert_eq!(under_way.len(), 2_000, "two seconds' worth");
        assert_eq!(admission.admit_at(address(1), 9_000).err().unwrap().reason, "behind");
        under_way.truncate(1_900);
        let comers = (0..1_000).map(|number| admission.admit_at(address(number), 9_000));
        let let_in: Vec<_> = comers.filter_map(Result::ok).collect();
        assert_eq!(let_in.len(), 100, "as many as were answered");
        drop(let_in);
        drop(under_way);
        assert_eq!(admission.under_way.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn nobody_is_sent_away_for_long() {
        let admission = admission(1, 100);
        let waits = (0..1_000).filter_map(|number| admission.admit_at(address(number), 5_000).err());
        assert!(waits.map(|later| later.retry_after_ms).max().unwrap() <= AWAY_MS_MAX + SPREAD_MS);
    }
}
