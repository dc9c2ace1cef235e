//! Whether the path's queue grows: the slope of the delay, and a threshold that adapts to how restless the path is.

use super::groups::Delta;

/// Groups over which the slope is taken. At 30 frames a second, two thirds of a second.
const WINDOW: usize = 20;
/// How much of the former value the smoothed delay keeps.
const SMOOTHING: f64 = 0.9;
/// The slope times the groups behind it, times this, is compared with the threshold.
const GAIN: f64 = 4.0;
const GROUPS_MAX: u32 = 60;

/// A delay that has grown by so much in groups that follow each other needs no slope. Where a frame is a group, and
/// each takes three times as long as it should, the slope takes half a second to see what this sees in three groups.
const CLIMB_MS: f64 = 80.0;
const CLIMB_GROUPS: u32 = 3;
const RECENT_SHARE: f64 = 0.5;
/// The delay is compared with the least of so much time, to tell what waits.
const LEAST_SPAN_MS: f64 = 10_000.0;

const THRESHOLD_START_MS: f64 = 12.5;
const THRESHOLD_MIN_MS: f64 = 6.0;
const THRESHOLD_MAX_MS: f64 = 600.0;
/// How fast the threshold follows, a millisecond: up slowly enough that a real queue is seen, and down more slowly
/// still, so that a flow that fills queues does not starve this one (draft-ietf-rmcat-gcc-02, 5.4).
const RISE: f64 = 0.0087;
const FALL: f64 = 0.001;
/// Further out is a spike, and says nothing about how restless the path is.
const SPIKE_MS: f64 = 15.0;
/// For so long the queue must have grown before it counts.
const OVERUSE_MS: f64 = 10.0;

/// What the delay says about the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Usage {
    #[default]
    Normal,
    /// The queue grows: more is sent than the path carries.
    Over,
    /// The queue drains.
    Under,
}

#[derive(Debug)]
pub(super) struct Trend {
    /// Arrival time and smoothed delay, both in milliseconds since the first arrival; a ring.
    points: [(f32, f32); WINDOW],
    length: usize,
    next: usize,
    groups: u32,
    first_arrival_ms: Option<f64>,
    delay_ms: f64,
    smoothed_ms: f64,
    /// Smoothed far less.
    recent_ms: f64,
    /// The smallest of those of this span and of the one before, so that a path that has become longer is forgiven.
    least_ms: [f64; 2],
    least_until_ms: f64,
    threshold_ms: f64,
    before: f64,
    /// By how much the delay has grown without a break, and over how many groups.
    climbed_ms: f64,
    climbed_groups: u32,
    over_ms: Option<f64>,
    over_groups: u32,
    usage: Usage,
}

impl Default for Trend {
    fn default() -> Self {
        Self {
            points: [(0.0, 0.0); WINDOW],
            length: 0,
            next: 0,
            groups: 0,
            first_arrival_ms: None,
            delay_ms: 0.0,
            smoothed_ms: 0.0,
            recent_ms: 0.0,
            climbed_ms: 0.0,
            climbed_groups: 0,
            least_ms: [0.0, f64::INFINITY],
            least_until_ms: LEAST_SPAN_MS,
            threshold_ms: THRESHOLD_START_MS,
            before: 0.0,
            over_ms: None,
            over_groups: 0,
            usage: Usage::Normal,
        }
    }
}

impl Trend {
    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// How much longer packets are under way than at best: what waits in the path.
    pub(super) fn queue_ms(&self) -> f64 {
        (self.recent_ms - self.least_ms[0].min(self.least_ms[1])).max(0.0)
    }

    #[cfg(test)]
    pub(super) fn threshold_ms(&self) -> f64 {
        self.threshold_ms
    }

    pub(super) fn add(&mut self, delta: Delta) -> Usage {
        let first = *self.first_arrival_ms.get_or_insert(delta.arrived_at_ms);
        self.groups = (self.groups + 1).min(GROUPS_MAX);
        let grown_ms = delta.arrival_ms - delta.sent_ms;
        if grown_ms > 0.0 {
            self.climbed_ms += grown_ms;
            self.climbed_groups += 1;
        } else {
            self.climbed_ms = 0.0;
            self.climbed_groups = 0;
        }
        self.delay_ms += grown_ms;
        self.recent_ms += RECENT_SHARE * (self.delay_ms - self.recent_ms);
        self.smoothed_ms = SMOOTHING * self.smoothed_ms + (1.0 - SMOOTHING) * self.delay_ms;
        let at_ms = delta.arrived_at_ms - first;
        self.take_least(at_ms);
        self.rebase(at_ms);
        let at_ms = delta.arrived_at_ms - self.first_arrival_ms.unwrap_or(first);
        self.points[self.next] = (at_ms as f32, self.smoothed_ms as f32);
        self.next = (self.next + 1) % WINDOW;
        self.length = (self.length + 1).min(WINDOW);
        let slope = if self.length == WINDOW { self.slope() } else { 0.0 };
        self.judge(slope * f64::from(self.groups) * GAIN, delta)
    }

    fn take_least(&mut self, at_ms: f64) {
        if at_ms >= self.least_until_ms {
            self.least_until_ms = at_ms + LEAST_SPAN_MS;
            self.least_ms = [self.recent_ms, self.least_ms[0]];
        }
        self.least_ms[0] = self.least_ms[0].min(self.recent_ms);
    }

    /// Single precision resolves 10 us up to three minutes; then times count from a newer moment, and the delay
    /// likewise.
    fn rebase(&mut self, at_ms: f64) {
        const SPAN_MS: f64 = 100_000.0;
        if at_ms.abs() < SPAN_MS {
            return;
        }
        let delay_ms = self.smoothed_ms;
        for point in &mut self.points {
            point.0 -= at_ms as f32;
            point.1 -= delay_ms as f32;
        }
        self.first_arrival_ms = self.first_arrival_ms.map(|first| first + at_ms);
        self.delay_ms -= delay_ms;
        self.recent_ms -= delay_ms;
        self.least_ms = self.least_ms.map(|least| least - delay_ms);
        self.least_until_ms -= at_ms;
        self.smoothed_ms = 0.0;
    }

    /// Least squares.
    fn slope(&self) -> f64 {
        let count = self.length as f64;
        let (mut sum_x, mut sum_y) = (0.0, 0.0);
        for &(x, y) in &self.points[..self.length] {
            sum_x += f64::from(x);
            sum_y += f64::from(y);
        }
        let (mean_x, mean_y) = (sum_x / count, sum_y / count);
        let (mut above, mut below) = (0.0, 0.0);
        for &(x, y) in &self.points[..self.length] {
            let x = f64::from(x) - mean_x;
            above += x * (f64::from(y) - mean_y);
            below += x * x;
        }
        if below > 0.0 { above / below } else { 0.0 }
    }

    fn judge(&mut self, trend_ms: f64, delta: Delta) -> Usage {
        if self.climbed_ms > CLIMB_MS && self.climbed_groups >= CLIMB_GROUPS {
            self.usage = Usage::Over;
        } else if trend_ms > self.threshold_ms {
            let over_ms = self.over_ms.map_or(delta.sent_ms / 2.0, |over_ms| over_ms + delta.sent_ms);
            self.over_ms = Some(over_ms);
            self.over_groups += 1;
            if over_ms > OVERUSE_MS && self.over_groups > 1 && trend_ms >= self.before {
                self.over_ms = Some(0.0);
                self.over_groups = 0;
                self.usage = Usage::Over;
            }
        } else {
            self.over_ms = None;
            self.over_groups = 0;
            self.usage = if trend_ms < -self.threshold_ms { Usage::Under } else { Usage::Normal };
        }
        self.before = trend_ms;
        self.adapt(trend_ms.abs(), delta.arrival_ms);
        self.usage
    }

    fn adapt(&mut self, size_ms: f64, elapsed_ms: f64) {
        if size_ms > self.threshold_ms + SPIKE_MS {
            return;
        }
        let pull = if size_ms < self.threshold_ms { FALL } else { RISE };
        self.threshold_ms += pull * (size_ms - self.threshold_ms) * elapsed_ms.clamp(0.0, 100.0);
        self.threshold_ms = self.threshold_ms.clamp(THRESHOLD_MIN_MS, THRESHOLD_MAX_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(
        trend: &mut Trend,
        at_ms: &mut f64,
        groups: usize,
        mut stretch_ms: impl FnMut(usize) -> f64,
    ) -> Usage {
        for group in 0..groups {
            let stretch = stretch_ms(group);
            *at_ms += 33.0 + stretch;
            trend.add(Delta { sent_ms: 33.0, arrival_ms: 33.0 + stretch, arrived_at_ms: *at_ms });
        }
        trend.usage()
    }

    #[test]
    fn a_queue_that_grows_is_seen_and_one_that_drains_too() {
        let (mut trend, mut at_ms) = (Trend::default(), 0.0);
        assert_eq!(feed(&mut trend, &mut at_ms, 200, |_| 0.0), Usage::Normal);
        assert_eq!(feed(&mut trend, &mut at_ms, 10, |_| 8.0), Usage::Over);
        assert_eq!(feed(&mut trend, &mut at_ms, 20, |_| -8.0), Usage::Under);
        assert_eq!(feed(&mut trend, &mut at_ms, 100, |_| 0.0), Usage::Normal);
    }

    #[test]
    fn jitter_is_no_queue() {
        let (mut trend, mut at_ms) = (Trend::default(), 0.0);
        for _ in 0..100 {
            assert_ne!(
                feed(&mut trend, &mut at_ms, 2, |group| if group == 0 { 9.0 } else { -9.0 }),
                Usage::Over
            );
        }
        assert!(trend.threshold_ms() >= THRESHOLD_MIN_MS);
    }

    #[test]
    fn the_slope_is_as_fine_after_a_month() {
        let (mut trend, mut at_ms) = (Trend::default(), 0.0);
        feed(&mut trend, &mut at_ms, 30, |_| 0.0);
        at_ms += 30.0 * 24.0 * 3_600_000.0;
        feed(&mut trend, &mut at_ms, 30, |_| 0.0);
        assert_eq!(feed(&mut trend, &mut at_ms, 10, |_| 8.0), Usage::Over);
    }
}
