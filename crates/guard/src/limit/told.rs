//! Asking `governor` with a time that the caller says, about a state that the caller keeps.

use std::cell::Cell;
use std::num::NonZeroU32;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::direct::NotKeyed;
use governor::state::{InMemoryState, StateStore};
use governor::{InsufficientCapacity, RateLimiter};

use super::{Exceeded, Rate};

const NS_A_MS: u64 = 1_000_000;
/// Sums with a bucket's time to fill still fit.
const NOW_NS_MAX: u64 = 1 << 62;

/// Of what governor keeps for a bucket: when it will be full again.
pub(super) trait Kept {
    fn change<T, E>(&self, step: impl Fn(Option<Nanos>) -> Result<(T, Nanos), E>) -> Result<T, E>;
}

impl Kept for InMemoryState {
    #[inline]
    fn change<T, E>(&self, step: impl Fn(Option<Nanos>) -> Result<(T, Nanos), E>) -> Result<T, E> {
        self.measure_and_replace(&NotKeyed::NonKey, step)
    }
}

/// For buckets behind a lock.
impl Kept for Cell<u64> {
    #[inline]
    fn change<T, E>(&self, step: impl Fn(Option<Nanos>) -> Result<(T, Nanos), E>) -> Result<T, E> {
        let before = Some(self.get()).filter(|full_at| *full_at != 0).map(Nanos::new);
        let (outcome, after) = step(before)?;
        self.set(after.as_u64());
        Ok(outcome)
    }
}

struct Store<'a, S>(&'a S);

impl<S: Kept> StateStore for Store<'_, S> {
    type Key = NotKeyed;

    #[inline]
    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, step: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0.change(step)
    }
}

/// Says at first that time begins, and then what it was told: a limiter counts from when it was made.
struct Told(Cell<u64>);

impl Clock for Told {
    type Instant = Nanos;

    #[inline]
    fn now(&self) -> Nanos {
        Nanos::new(self.0.get())
    }
}

#[inline]
pub(super) fn nanos(now_ms: u64) -> u64 {
    now_ms.saturating_mul(NS_A_MS).min(NOW_NS_MAX)
}

/// Takes `count`; one that is more than the bucket holds is as much as it holds, or it could never pass. A limiter is made
/// for each check, on the stack: it is the rate, the state and the time side by side.
#[inline]
pub(super) fn check(kept: &impl Kept, rate: &Rate, count: u32, now_ms: u64) -> Result<(), Exceeded> {
    let limiter: RateLimiter<_, _, _, NoOpMiddleware<Nanos>> =
        RateLimiter::new(rate.quota(), Store(kept), Told(Cell::new(0)));
    let now = nanos(now_ms);
    limiter.clock().0.set(now);
    let refused = match NonZeroU32::new(count.min(rate.burst())) {
        None => return Ok(()),
        Some(NonZeroU32::MIN) => limiter.check(),
        Some(count) => match limiter.check_n(count) {
            Ok(checked) => checked,
            Err(InsufficientCapacity(_)) => unreachable!("not more than the burst"),
        },
    };
    refused.map_err(|not_until| {
        let wait = not_until.wait_time_from(Nanos::new(now));
        Exceeded { retry_after_ms: (wait.as_nanos() as u64).div_ceil(NS_A_MS).max(1) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::Bucket;

    fn rate(per_second: u32, burst: u32) -> Rate {
        Rate::per_second(NonZeroU32::new(per_second).unwrap(), NonZeroU32::new(burst).unwrap())
    }

    #[test]
    fn a_bucket_empties_fills_and_says_when() {
        for start_ms in [0, 1, 1_000_000, u64::MAX / 2] {
            let (rate, bucket) = (rate(10, 3), Bucket::default());
            let passed = |now_ms| (0..10).filter(|_| bucket.check(&rate, now_ms).is_ok()).count();
            assert_eq!(passed(start_ms), 3);
            if start_ms > NOW_NS_MAX / NS_A_MS {
                continue;
            }
            assert_eq!(bucket.check(&rate, start_ms), Err(Exceeded { retry_after_ms: 100 }));
            assert_eq!(bucket.check(&rate, start_ms + 99), Err(Exceeded { retry_after_ms: 1 }));
            assert_eq!(passed(start_ms + 100), 1);
            assert_eq!(passed(start_ms + 10_000), 3, "no more than the burst, however long it was");
        }
    }

    #[test]
    fn more_than_a_bucket_holds_passes_when_it_is_full() {
        let (rate, bucket) = (rate(10, 5), Bucket::default());
        assert_eq!(bucket.check_n(&rate, 0, 0), Ok(()));
        assert_eq!(bucket.check_n(&rate, 1_000_000, 0), Ok(()));
        assert_eq!(bucket.check_n(&rate, 1_000_000, 0), Err(Exceeded { retry_after_ms: 500 }));
        assert_eq!(bucket.check_n(&rate, 1_000_000, 500), Ok(()));
        assert_eq!(bucket.check_n(&rate, 3, 600), Err(Exceeded { retry_after_ms: 200 }));
    }

    #[test]
    fn time_that_goes_back_gives_nothing_and_takes_nothing() {
        let (rate, bucket) = (rate(10, 1), Bucket::default());
        assert_eq!(bucket.check(&rate, 1_000), Ok(()));
        assert_eq!(bucket.check(&rate, 500), Err(Exceeded { retry_after_ms: 600 }));
        assert_eq!(bucket.check(&rate, 1_100), Ok(()));
    }
}
