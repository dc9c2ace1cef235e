//! How many handshakes a second the nodes can take: as many as are configured, and fewer while the nodes take long to say that
//! they live, which is what those do that are overrun. Pure.

use std::time::Duration;

/// A node that is well answers within a millisecond or two.
const SLOW: Duration = Duration::from_millis(100);
/// Not fewer than this share of what is configured: the router may see badly.
const SHARE_MIN: u32 = 10;
/// It halves at once and comes back in so many steps.
const STEPS_UP: u32 = 10;

pub(crate) struct Pace {
    max: u32,
    now: u32,
}

impl Pace {
    pub(crate) fn new(max: u32) -> Self {
        Self { max, now: max }
    }

    /// Another bound. What is let in now is not more than that, and comes up to it by and by.
    pub(crate) fn replace_max(&mut self, max: u32) -> u32 {
        self.max = max;
        self.now = self.now.min(max);
        self.now
    }

    /// How long nodes took to say that they live. Gives how many a second are let in from now on.
    pub(crate) fn heard(&mut self, took: Duration) -> u32 {
        let min = (self.max / SHARE_MIN).max(1);
        self.now = if took >= SLOW {
            (self.now / 2).max(min)
        } else {
            (self.now + (self.max / STEPS_UP).max(1)).min(self.max)
        };
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_gives_way_at_once_and_comes_back_by_and_by() {
        let mut pace = Pace::new(5_000);
        assert_eq!(pace.heard(Duration::from_millis(2)), 5_000);
        assert_eq!([(); 6].map(|()| pace.heard(SLOW)), [2_500, 1_250, 625, 500, 500, 500]);
        let back: Vec<u32> = (0..10).map(|_| pace.heard(Duration::ZERO)).collect();
        assert_eq!((back[0], back[9]), (1_000, 5_000), "{back:?}");
    }

    #[test]
    fn another_bound_holds_at_once_downwards_and_by_and_by_upwards() {
        let mut pace = Pace::new(1_000);
        assert_eq!(pace.replace_max(100), 100);
        assert_eq!(pace.replace_max(200), 100);
        assert_eq!([(); 6].map(|()| pace.heard(Duration::ZERO)), [120, 140, 160, 180, 200, 200]);
    }

    #[test]
    fn it_never_comes_to_nothing() {
        let mut pace = Pace::new(1);
        assert!((0..5).all(|_| pace.heard(SLOW) == 1) && pace.heard(Duration::ZERO) == 1);
    }
}
