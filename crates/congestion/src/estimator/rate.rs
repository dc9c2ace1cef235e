//! What the delay allows: up by little steps while the queue is still, down to less than what arrives when it grows.

use super::trend::Usage;

/// Of what arrives, this is what remains after overuse: the rest drains the queue.
const BACKOFF: f64 = 0.85;
/// A second, while nothing is known of the path's capacity.
const GROWTH: f64 = 0.08;
/// The estimate may be ahead of what arrives by so much, or a pause of the publisher would let it grow without proof.
const AHEAD: f64 = 1.5;
const AHEAD_BPS: f64 = 10_000.0;
/// For so long after overuse the steps are those of a path that is nearly full, even above what it carried then: flows
/// that share a path come to equal shares by equal steps, and not by steps in proportion to what they have. What has
/// become free in one piece is found by a probe.
const NEAR_US: i64 = 20_000_000;
const PACKET_BITS: f64 = 9600.0;
const GROWTH_MAX: f64 = 0.15;

#[derive(Debug)]
pub(super) struct Rate {
    bps: f64,
    capacity: Capacity,
    updated_us: Option<i64>,
    decreased_us: Option<i64>,
}

impl Rate {
    pub(super) fn new(start_bps: f64) -> Self {
        Self { bps: start_bps, capacity: Capacity::default(), updated_us: None, decreased_us: None }
    }

    pub(super) fn bps(&self) -> f64 {
        self.bps
    }

    /// From elsewhere: a probe, REMB, silence.
    pub(super) fn set(&mut self, bps: f64) {
        if bps > self.capacity.upper() {
            self.capacity = Capacity::default();
        }
        self.bps = bps;
    }

    pub(super) fn update(&mut self, now_us: i64, usage: Usage, acknowledged_bps: Option<f64>, rtt_us: i64) {
        let elapsed = self.updated_us.map_or(0.0, |before| (now_us - before) as f64 / 1e6).clamp(0.0, 1.0);
        self.updated_us = Some(now_us);
        match usage {
            Usage::Over => self.decrease(now_us, acknowledged_bps, rtt_us),
            // The queue drains: wait until it has.
            Usage::Under => {}
            Usage::Normal => self.increase(now_us, elapsed, acknowledged_bps, rtt_us),
        }
    }

    fn increase(&mut self, now_us: i64, elapsed: f64, acknowledged_bps: Option<f64>, rtt_us: i64) {
        let Some(acknowledged_bps) = acknowledged_bps else { return };
        if acknowledged_bps > self.capacity.upper() {
            self.capacity = Capacity::default();
        }
        let limit = AHEAD * acknowledged_bps + AHEAD_BPS;
        if self.bps >= limit {
            return;
        }
        let near = self.decreased_us.is_some_and(|at| now_us - at < NEAR_US);
        let step = if near || self.capacity.is_known() {
            // Near what the path is known to carry: a full packet in two response times, whatever the bitrate is,
            // unless that were next to nothing.
            let bits = PACKET_BITS.max(self.bps / 30.0 / 8.0);
            let response = (rtt_us as f64 / 1e6 + 0.1) * 2.0;
            (bits / response).min(self.bps * GROWTH_MAX) * elapsed
        } else {
            self.bps * ((1.0 + GROWTH).powf(elapsed) - 1.0)
        };
        self.bps = (self.bps + step).min(limit);
    }

    fn decrease(&mut self, now_us: i64, acknowledged_bps: Option<f64>, rtt_us: i64) {
        // What was sent before the last decrease is still on its way for a round trip.
        let recent = self.decreased_us.is_some_and(|at| now_us - at < rtt_us.clamp(10_000, 200_000));
        let far_off = acknowledged_bps.is_some_and(|bps| bps < 0.5 * self.bps);
        if recent && !far_off {
            return;
        }
        let arrives = acknowledged_bps.unwrap_or(self.bps);
        let mut bps = BACKOFF * arrives;
        if bps > self.bps
            && let Some(mean) = self.capacity.mean()
        {
            bps = BACKOFF * mean;
        }
        if arrives < self.bps {
            if arrives < self.capacity.lower() {
                self.capacity = Capacity::default();
            }
            self.capacity.add(arrives);
        }
        self.bps = self.bps.min(bps);
        self.decreased_us = Some(now_us);
    }
}

/// What arrived each time that the path was full: smoothed, with a measure of how much it varies.
#[derive(Debug)]
struct Capacity {
    mean_kbps: Option<f64>,
    /// Of the square of the deviation, divided by the mean.
    variance_kbps: f64,
}

impl Default for Capacity {
    fn default() -> Self {
        Self { mean_kbps: None, variance_kbps: 0.4 }
    }
}

impl Capacity {
    const SHARE: f64 = 0.05;

    fn add(&mut self, bps: f64) {
        let kbps = bps / 1e3;
        let mean = self.mean_kbps.map_or(kbps, |mean| mean + Self::SHARE * (kbps - mean));
        let square = (mean - kbps).powi(2) / mean.max(1.0);
        let variance = self.variance_kbps + Self::SHARE * (square - self.variance_kbps);
        self.mean_kbps = Some(mean);
        self.variance_kbps = variance.clamp(0.4, 2.5);
    }

    fn is_known(&self) -> bool {
        self.mean_kbps.is_some()
    }

    fn mean(&self) -> Option<f64> {
        self.mean_kbps.map(|kbps| kbps * 1e3)
    }

    /// Three deviations above the mean.
    fn upper(&self) -> f64 {
        self.mean_kbps.map_or(f64::INFINITY, |mean| (mean + 3.0 * (self.variance_kbps * mean).sqrt()) * 1e3)
    }

    fn lower(&self) -> f64 {
        self.mean_kbps.map_or(0.0, |mean| (mean - 3.0 * (self.variance_kbps * mean).sqrt()).max(0.0) * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_by_eight_percent_a_second_and_not_without_proof() {
        let mut rate = Rate::new(1e6);
        for step in 0..=10 {
            rate.update(step * 100_000, Usage::Normal, Some(1e6), 50_000);
        }
        assert!((1.079e6..1.081e6).contains(&rate.bps()), "{}", rate.bps());
        for step in 10..1000 {
            rate.update(step * 100_000, Usage::Normal, Some(1e6), 50_000);
        }
        assert!((rate.bps() - 1.51e6).abs() < 1.0, "{}", rate.bps());
    }

    #[test]
    fn falls_below_what_arrives_and_then_climbs_slowly() {
        let mut rate = Rate::new(3e6);
        rate.update(0, Usage::Over, Some(1e6), 50_000);
        assert!((rate.bps() - 0.85e6).abs() < 1.0);
        rate.update(20_000, Usage::Over, Some(0.9e6), 50_000);
        assert!((rate.bps() - 0.85e6).abs() < 1.0, "twice within a round trip");
        rate.update(1_020_000, Usage::Normal, Some(0.85e6), 50_000);
        assert!((0.86e6..0.9e6).contains(&rate.bps()), "{}", rate.bps());
    }

    #[test]
    fn overuse_never_raises() {
        let mut rate = Rate::new(0.3e6);
        rate.update(0, Usage::Over, Some(5e6), 50_000);
        assert!(rate.bps() <= 0.3e6);
    }
}
