//! How long a picture stood still, as browsers count it (W3C webrtc-stats, `freezeCount` and `totalFreezesDuration`).

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Frames whose distances are what is usual.
const FRAMES: usize = 30;
const LONGER: Duration = Duration::from_millis(150);

#[derive(Default)]
pub(crate) struct Freezes {
    last: Option<Instant>,
    usual: VecDeque<Duration>,
    pub(crate) count: u64,
    pub(crate) total: Duration,
}

impl Freezes {
    /// A frame is shown.
    pub(crate) fn shown(&mut self, now: Instant) {
        if let Some(last) = self.last.replace(now) {
            let took = now.saturating_duration_since(last);
            self.judge(took);
            if self.usual.len() == FRAMES {
                self.usual.pop_front();
            }
            self.usual.push_back(took);
        }
    }

    /// Whoever looks from here on has seen nothing before.
    pub(crate) fn begin(&mut self, now: Instant) {
        *self = Self { last: Some(now), ..Self::default() };
    }

    /// Nothing more is shown: the time since the last frame counts if it was a freeze.
    pub(crate) fn end(&mut self, now: Instant) {
        if let Some(last) = self.last.take() {
            self.judge(now.saturating_duration_since(last));
        }
    }

    /// At least three times what is usual, and 150 ms more than that.
    fn judge(&mut self, took: Duration) {
        let usual = if self.usual.is_empty() {
            Duration::ZERO
        } else {
            self.usual.iter().sum::<Duration>() / self.usual.len() as u32
        };
        if took >= (3 * usual).max(usual + LONGER) {
            self.count += 1;
            self.total += took;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn late_is_not_frozen_but_much_later_is() {
        let (mut now, mut freezes) = (Instant::now(), Freezes::default());
        for _ in 0..40 {
            now += ms(33);
            freezes.shown(now);
        }
        now += ms(180);
        freezes.shown(now);
        assert_eq!((freezes.count, freezes.total), (0, ms(0)));
        now += ms(200);
        freezes.shown(now);
        assert_eq!((freezes.count, freezes.total), (1, ms(200)));
        freezes.end(now + ms(100));
        assert_eq!(freezes.count, 1, "it ended before anything stood still");
    }

    #[test]
    fn nothing_at_all_is_one_long_freeze() {
        let (now, mut freezes) = (Instant::now(), Freezes::default());
        freezes.begin(now);
        freezes.end(now + ms(5_000));
        assert_eq!((freezes.count, freezes.total), (1, ms(5_000)));
    }
}
