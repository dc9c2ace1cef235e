//! How many bits a second came lately.

use std::time::{Duration, Instant};

const BUCKETS: usize = 10;
const BUCKET: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(crate) struct Rate {
    bytes: [u64; BUCKETS],
    /// Since when the newest bucket counts, and which it is.
    newest: Option<(Instant, usize)>,
    first: Option<Instant>,
}

impl Rate {
    pub(crate) fn add(&mut self, now: Instant, bytes: usize) {
        self.first.get_or_insert(now);
        self.move_on(now);
        if let Some((_, index)) = self.newest {
            self.bytes[index] += bytes as u64;
        }
    }

    pub(crate) fn bits_per_second(&mut self, now: Instant) -> u64 {
        let Some(first) = self.first else { return 0 };
        self.move_on(now);
        // In its first second it is not underestimated.
        let span = now.saturating_duration_since(first).clamp(BUCKET, BUCKET * BUCKETS as u32);
        let bits = self.bytes.iter().sum::<u64>() * 8;
        (bits as f64 / span.as_secs_f64()) as u64
    }

    fn move_on(&mut self, now: Instant) {
        let (begun, index) = *self.newest.get_or_insert((now, 0));
        let buckets = (now.saturating_duration_since(begun).as_millis() / BUCKET.as_millis()) as usize;
        if buckets == 0 {
            return;
        }
        for step in 1..=buckets.min(BUCKETS) {
            self.bytes[(index + step) % BUCKETS] = 0;
        }
        let begun = if buckets > BUCKETS { now } else { begun + BUCKET * buckets as u32 };
        self.newest = Some((begun, (index + buckets) % BUCKETS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_flow_is_measured_soon_and_its_end_as_well() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(rate.bits_per_second(at(0)), 0);
        for ms in (0..3_000).step_by(10) {
            rate.add(at(ms), 1_250);
            if ms > 200 {
                let measured = rate.bits_per_second(at(ms));
                assert!((850_000..=1_120_000).contains(&measured), "{measured} after {ms} ms");
            }
        }
        assert_eq!(rate.bits_per_second(at(4_100)), 0);
        assert_eq!(rate.bits_per_second(at(1 << 40)), 0);
    }
}
