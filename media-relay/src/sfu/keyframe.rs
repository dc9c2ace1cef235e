//! When a publisher is asked for a keyframe of a layer: at most once a second however many ask, and again while none comes.

use std::time::{Duration, Instant};

/// A keyframe is many times the size of another frame: asked for more often, they take the bandwidth of the picture.
const INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct Keyframe {
    asked: Option<Instant>,
    wanted: bool,
}

impl Keyframe {
    pub(crate) fn want(&mut self) {
        self.wanted = true;
    }

    /// One begins.
    pub(crate) fn came(&mut self) {
        self.wanted = false;
    }

    /// When to ask next.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.wanted.then(|| self.asked.map(|asked| asked + INTERVAL)).flatten()
    }

    /// Whether to ask now.
    pub(crate) fn ask(&mut self, now: Instant) -> bool {
        let asks = self.wanted && self.asked.is_none_or(|asked| now >= asked + INTERVAL);
        if asks {
            self.asked = Some(now);
        }
        asks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_hundred_who_ask_are_one_request_a_second() {
        let (start, mut keyframe, mut asked) = (Instant::now(), Keyframe::default(), Vec::new());
        for ms in 0..2_000 {
            if ms % 4 == 0 {
                keyframe.want();
            }
            if keyframe.ask(start + Duration::from_millis(ms)) {
                asked.push(ms);
            }
            if ms == 50 || ms == 1_050 {
                keyframe.came();
            }
        }
        assert_eq!(asked, [0, 1_000]);
    }

    #[test]
    fn asked_again_until_one_comes() {
        let (start, mut keyframe) = (Instant::now(), Keyframe::default());
        keyframe.want();
        assert!(keyframe.ask(start));
        assert_eq!(keyframe.due(), Some(start + INTERVAL));
        assert!(keyframe.ask(start + INTERVAL));
        keyframe.came();
        assert!(!keyframe.ask(start + 3 * INTERVAL));
        assert_eq!(keyframe.due(), None);
    }
}
