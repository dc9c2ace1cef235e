//! How much of something is left: a bucket a key.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::bounded::Bounded;
use super::clock::Clock;
use crate::{Quota, QuotaLimit, Soon, Unavailable};

/// Beyond it the bucket that was taken from longest ago is forgotten: by then it is most likely full again.
const BUCKETS_MAX: usize = 65_536;

pub(super) struct EmbeddedQuota {
    clock: Clock,
    buckets: Mutex<Bounded<Box<str>, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    as_of_ms: u64,
}

impl EmbeddedQuota {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, buckets: Mutex::new(Bounded::new(BUCKETS_MAX)) }
    }

    fn take_at(&self, key: &str, wanted: u64, limit: &QuotaLimit, now_ms: u64) -> u64 {
        let mut buckets = self.buckets();
        let left = left(&buckets, key, limit, now_ms);
        let granted = wanted.min(left as u64);
        let bucket = Bucket { left: left - granted as f64, as_of_ms: now_ms };
        buckets.put(key.into(), bucket, now_ms, |_| {});
        granted
    }

    fn give_back_at(&self, key: &str, unused: u64, limit: &QuotaLimit, now_ms: u64) {
        let mut buckets = self.buckets();
        let left = left(&buckets, key, limit, now_ms) + unused as f64;
        let bucket = Bucket { left: left.min(limit.burst as f64), as_of_ms: now_ms };
        buckets.put(key.into(), bucket, now_ms, |_| {});
    }

    fn buckets(&self) -> MutexGuard<'_, Bounded<Box<str>, Bucket>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn left(buckets: &Bounded<Box<str>, Bucket>, key: &str, limit: &QuotaLimit, now_ms: u64) -> f64 {
    let burst = limit.burst as f64;
    buckets.get(key).map_or(burst, |bucket| {
        let seconds = now_ms.saturating_sub(bucket.as_of_ms) as f64 / 1000.0;
        (bucket.left + seconds * limit.per_second.max(0.0)).min(burst)
    })
}

impl Quota for EmbeddedQuota {
    fn take(&self, key: &str, wanted: u64, limit: &QuotaLimit) -> Soon<Result<u64, Unavailable>> {
        Soon::Now(Ok(self.take_at(key, wanted, limit, self.clock.steady_ms())))
    }

    fn give_back(&self, key: &str, unused: u64, limit: &QuotaLimit) -> Soon<Result<(), Unavailable>> {
        self.give_back_at(key, unused, limit, self.clock.steady_ms());
        Soon::Now(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills() {
        let quota = EmbeddedQuota::new(Clock::start(0));
        let limit = QuotaLimit { burst: 10, per_second: 2.0 };
        let take = |wanted, now_ms| quota.take_at("user:alice", wanted, &limit, now_ms);
        assert_eq!(take(6, 1_000), 6);
        assert_eq!(take(6, 1_000), 4);
        assert_eq!(take(6, 1_400), 0, "0.8 are there by now");
        assert_eq!(take(6, 1_500), 1, "nothing of the 0.8 was lost");
        quota.give_back_at("user:alice", 3, &limit, 1_500);
        assert_eq!(take(6, 1_500), 3);
        assert_eq!(take(100, 60_000), 10);
        assert_eq!(quota.take_at("user:bob", 100, &limit, 60_000), 10);
    }
}
