//! How long something took, counted by size: one writer, the shard's thread, and any thread reads. It keeps no values, so
//! it costs the same after a second as after a year.

use std::time::Duration;

use crate::counters::Count;

/// Bounds are powers of two of a millisecond, up to eight seconds. What took longer stands in the last bucket.
const BOUNDS: usize = 14;

/// As a shard keeps it.
#[derive(Default)]
pub(crate) struct SpreadCount {
    buckets: [Count; BOUNDS + 1],
    micros: Count,
}

impl SpreadCount {
    pub(crate) fn took(&self, time: Duration) {
        self.buckets[bucket(time)].add(1);
        self.micros.add(time.as_micros() as u64);
    }
}

/// Over all shards, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    buckets: [u64; BOUNDS + 1],
    micros: u64,
}

impl Spread {
    pub(crate) fn add(&mut self, shard: &SpreadCount) {
        for (sum, count) in self.buckets.iter_mut().zip(&shard.buckets) {
            *sum = sum.wrapping_add(count.get());
        }
        self.micros = self.micros.wrapping_add(shard.micros.get());
    }

    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub fn seconds(&self) -> f64 {
        self.micros as f64 / 1e6
    }

    /// Each bound in seconds, and how many took no longer.
    pub fn up_to(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = (0..BOUNDS).map(|power| f64::from(1_u32 << power) / 1_000.0);
        bounds.zip(self.buckets.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        }))
    }
}

fn bucket(time: Duration) -> usize {
    let millis = time.as_micros().div_ceil(1_000).max(1) as u64;
    (millis.next_power_of_two().trailing_zeros() as usize).min(BOUNDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_stands_below_its_bound() {
        let count = SpreadCount::default();
        for micros in [0, 1_000, 1_001, 2_000, 2_001, 8_192_000, 8_192_001, 3_600_000_000] {
            count.took(Duration::from_micros(micros));
        }
        let mut spread = Spread::default();
        spread.add(&count);
        let up_to: Vec<(f64, u64)> = spread.up_to().collect();
        assert_eq!(up_to[..4], [(0.001, 2), (0.002, 4), (0.004, 5), (0.008, 5)]);
        assert_eq!(up_to.last(), Some(&(8.192, 6)));
        assert_eq!((spread.count(), spread.seconds().round()), (8, 3_616.0));
    }
}
