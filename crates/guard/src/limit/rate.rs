//! How much is let through: so many at once, and so many more as time goes by.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::Quota;

/// From a full bucket that fills up for longer than this (146 years) nothing else follows than from one that does for ever,
/// and sums of two such times still fit.
const FILL_NS_MAX: u128 = 1 << 62;

/// Always finite: there is no rate that lets everything through.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    quota: Quota,
    every: Duration,
    count: NonZeroU32,
}

impl Rate {
    pub fn per_second(count: NonZeroU32, burst: NonZeroU32) -> Self {
        Self::over(Duration::from_secs(1), count, burst)
    }

    pub fn per_minute(count: NonZeroU32, burst: NonZeroU32) -> Self {
        Self::over(Duration::from_mins(1), count, burst)
    }

    fn over(every: Duration, count: NonZeroU32, burst: NonZeroU32) -> Self {
        // In whole nanoseconds, upwards: never more than was asked for.
        let each_ns = every.as_nanos().div_ceil(u128::from(count.get())).max(1);
        let burst_max = (FILL_NS_MAX / each_ns).clamp(1, u128::from(u32::MAX)) as u32;
        let burst = NonZeroU32::new(burst.get().min(burst_max)).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(Duration::from_nanos(each_ns as u64))
            .expect("a nanosecond at least")
            .allow_burst(burst);
        Self { quota, every, count }
    }

    /// The steady rate.
    pub fn a_second(&self) -> f64 {
        f64::from(self.count.get()) / self.every.as_secs_f64()
    }

    pub fn burst(&self) -> u32 {
        self.quota.burst_size().get()
    }

    /// How long an empty bucket takes to be full.
    pub fn fills_in(&self) -> Duration {
        self.quota.burst_size_replenished_in()
    }

    pub(super) fn quota(&self) -> Quota {
        self.quota
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:?} burst {}", self.count, self.every, self.burst())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(count: u32, burst: u32) -> (NonZeroU32, NonZeroU32) {
        (NonZeroU32::new(count).unwrap(), NonZeroU32::new(burst).unwrap())
    }

    #[test]
    fn a_rate_is_what_was_asked_for_and_never_more() {
        let (count, burst) = of(3, 7);
        let rate = Rate::per_minute(count, burst);
        assert!((rate.a_second() - 0.05).abs() < 1e-9);
        assert_eq!((rate.burst(), rate.fills_in()), (7, Duration::from_secs(140)));
        let (count, burst) = of(300_000_000, 1);
        assert_eq!(Rate::per_second(count, burst).fills_in(), Duration::from_nanos(4), "3.3 ns, upwards");
    }

    #[test]
    fn what_would_take_centuries_to_fill_is_cut() {
        let (count, burst) = of(1, u32::MAX);
        let rate = Rate::per_minute(count, burst);
        assert_eq!(rate.burst(), 76_861_433);
        let (count, burst) = of(u32::MAX, u32::MAX);
        assert_eq!(Rate::per_second(count, burst).burst(), u32::MAX);
    }
}
