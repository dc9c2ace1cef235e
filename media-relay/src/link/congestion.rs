//! How much may be on its way to another relay.
//!
//! What a publisher sends is decided at the edges, by those who watch; a link carries it or does not. Controllers that take
//! each loss for a sign of congestion, as most do, fall to a fraction of what the path carries as soon as it loses a
//! percent at random, and everything behind the link suffers. So this one has a fixed window, and gives way only to
//! what random loss does not look like: much of everything lost for a while, or all of it.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::congestion::{Controller, ControllerFactory};

/// A Gbit/s over 64 ms.
const WINDOW_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Ten streams over 100 ms: whoever links is meant to get through.
const WINDOW_BYTES_MIN: u64 = 256 * 1024;
/// Over this time losses are looked at.
const SPAN: Duration = Duration::from_millis(250);
/// In fewer bytes chance has too much of a say.
const SPAN_BYTES_MIN: u64 = 48 * 1024;
/// More than this part of them lost is not chance.
const LOST_PERCENT_MAX: u64 = 15;

#[derive(Debug, Clone)]
pub(super) struct Steady {
    window: u64,
    began: Instant,
    sent: u64,
    lost: u64,
    /// The most that was on its way in this span.
    in_flight_max: u64,
}

#[derive(Debug, Default)]
pub(super) struct SteadyFactory;

impl ControllerFactory for SteadyFactory {
    fn build(self: Arc<Self>, now: Instant, _: u16) -> Box<dyn Controller> {
        Box::new(Steady::new(now))
    }
}

impl Steady {
    fn new(now: Instant) -> Self {
        Self { window: WINDOW_BYTES_MAX, began: now, sent: 0, lost: 0, in_flight_max: 0 }
    }

    fn look(&mut self, now: Instant) {
        if now.saturating_duration_since(self.began) < SPAN {
            return;
        }
        if self.sent >= SPAN_BYTES_MIN && self.lost * 100 > self.sent * LOST_PERCENT_MAX {
            // From what was there, not from what might have been: otherwise nothing would change for seconds.
            self.cut(self.in_flight_max.min(self.window) * 7 / 10);
        } else {
            self.window = (self.window + self.window / 4).min(WINDOW_BYTES_MAX);
        }
        *self = Self { window: self.window, ..Self::new(now) };
    }

    fn cut(&mut self, window: u64) {
        self.window = window.clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX);
    }
}

impl Controller for Steady {
    fn on_sent(&mut self, now: Instant, bytes: u64, _: u64) {
        self.sent += bytes;
        self.look(now);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, _: bool, _: Option<u64>) {
        self.in_flight_max = self.in_flight_max.max(in_flight);
        self.look(now);
    }

    fn on_congestion_event(&mut self, now: Instant, _: Instant, is_persistent: bool, lost_bytes: u64) {
        self.lost += lost_bytes;
        if is_persistent {
            self.cut(self.window / 2);
            *self = Self { window: self.window, ..Self::new(now) };
        }
    }

    fn on_mtu_update(&mut self, _: u16) {}

    fn window(&self) -> u64 {
        self.window
    }

    fn initial_window(&self) -> u64 {
        WINDOW_BYTES_MAX
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second of 20 Mbit/s with that percentage lost.
    fn play(steady: &mut Steady, from: Instant, lost_percent: u64) -> Instant {
        let mut now = from;
        for packet in 0..2_000_u64 {
            now += Duration::from_micros(500);
            steady.on_sent(now, 1_250, packet);
            steady.on_end_acks(now, 400_000, false, None);
            if packet % 100 < lost_percent {
                steady.on_congestion_event(now, now, false, 1_250);
            }
        }
        now
    }

    #[test]
    fn chance_changes_nothing_and_a_bottleneck_does() {
        let now = Instant::now();
        let mut steady = Steady::new(now);
        let now = play(&mut steady, now, 10);
        assert_eq!(steady.window(), WINDOW_BYTES_MAX);
        let now = play(&mut steady, now, 40);
        assert!(steady.window() <= 400_000, "{}", steady.window());
        assert!(steady.window() >= WINDOW_BYTES_MIN);
        let mut now = now;
        for _ in 0..5 {
            now = play(&mut steady, now, 2);
        }
        assert_eq!(steady.window(), WINDOW_BYTES_MAX, "it comes back");
        steady.on_congestion_event(now, now, true, 1);
        assert_eq!(steady.window(), WINDOW_BYTES_MAX / 2);
        for _ in 0..10 {
            steady.on_congestion_event(now, now, true, 1);
        }
        assert_eq!(steady.window(), WINDOW_BYTES_MIN);
    }
}
