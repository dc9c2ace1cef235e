//! What the receiver really gets, from the arrival times that it reports.

const BUCKET_US: i64 = 40_000;
const BUCKETS: usize = 8;
/// Less says nothing, as video comes in bursts.
const SPAN_MIN_US: i64 = 200_000;

/// Bytes of the last third of a second, by arrival.
#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    bytes: [u32; BUCKETS],
    /// Number of the newest bucket.
    newest: i64,
    /// Arrivals before that were forgotten.
    began_us: i64,
    latest_us: i64,
    known: bool,
}

impl Acknowledged {
    pub(super) fn add(&mut self, arrival_us: i64, bytes: u32) {
        let bucket = arrival_us.div_euclid(BUCKET_US);
        let ahead = bucket.saturating_sub(self.newest);
        if !self.known || ahead.unsigned_abs() > 2 * BUCKETS as u64 {
            // The first, or after a pause or a jump of the clock.
            *self = Self {
                bytes: [0; BUCKETS],
                newest: bucket,
                began_us: arrival_us,
                latest_us: arrival_us,
                known: true,
            };
        } else if ahead > 0 {
            for step in 1..=ahead.min(BUCKETS as i64) {
                self.bytes[slot(self.newest + step)] = 0;
            }
            self.newest = bucket;
        } else if ahead <= -(BUCKETS as i64) {
            return;
        }
        self.latest_us = self.latest_us.max(arrival_us);
        let sum = &mut self.bytes[slot(bucket)];
        *sum = sum.saturating_add(bytes);
    }

    pub(super) fn bitrate_bps(&self) -> Option<f64> {
        let from_us = self.began_us.max((self.newest - BUCKETS as i64 + 1) * BUCKET_US);
        let span_us = self.latest_us - from_us;
        if !self.known || span_us < SPAN_MIN_US {
            return None;
        }
        let bytes: u64 = self.bytes.iter().map(|&bytes| u64::from(bytes)).sum();
        Some(bytes as f64 * 8e6 / span_us as f64)
    }
}

fn slot(bucket: i64) -> usize {
    bucket.rem_euclid(BUCKETS as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_a_steady_stream_and_follows_a_change() {
        let mut acknowledged = Acknowledged::default();
        for step in 0..100 {
            acknowledged.add(step * 10_000 - 300_000, 1250);
            assert_eq!(acknowledged.bitrate_bps().is_some(), step >= 20);
        }
        let bps = acknowledged.bitrate_bps().expect("a second has passed");
        assert!((0.95e6..1.1e6).contains(&bps), "{bps}");
        for step in 100..135 {
            acknowledged.add(step * 10_000 - 300_000, 125);
        }
        let bps = acknowledged.bitrate_bps().expect("a second has passed");
        assert!((0.09e6..0.15e6).contains(&bps), "{bps}");
    }

    #[test]
    fn a_pause_is_not_a_low_bitrate() {
        let mut acknowledged = Acknowledged::default();
        for step in 0..100 {
            acknowledged.add(step * 10_000, 1250);
        }
        acknowledged.add(60_000_000, 1250);
        assert_eq!(acknowledged.bitrate_bps(), None);
    }
}
