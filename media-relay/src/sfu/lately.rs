//! What was sent again lately. A viewer that asks for the same packet once more before the first repair can have reached it
//! has only not waited for it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// As long as nothing is known of the way there and back.
const WAIT: Duration = Duration::from_millis(20);
/// The way is measured once in a while, and wavers: who has waited nearly as long has waited. To refuse such a one would cost
/// a viewer another way there and back.
const WAIT_MIN: Duration = Duration::from_millis(10);
const WAIT_MAX: Duration = Duration::from_millis(200);
/// Packets that are remembered. Of more the oldest are forgotten, and may go twice.
const REMEMBERED_MAX: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Lately {
    /// Which of the viewer's tracks, and the number there.
    sent: VecDeque<(u8, u16, Instant)>,
    there_and_back: Option<Duration>,
}

impl Lately {
    /// So long the way there and back took.
    pub(crate) fn measured(&mut self, there_and_back: Duration) {
        self.there_and_back = Some(there_and_back);
    }

    /// Whether the packet is to be sent again now; then it has been.
    pub(crate) fn sends(&mut self, now: Instant, track: u8, sequence: u16) -> bool {
        let wait = self.there_and_back.map_or(WAIT, |time| (time * 4 / 5).clamp(WAIT_MIN, WAIT_MAX));
        let is_over = |at: Instant| now.saturating_duration_since(at) >= wait;
        while self.sent.front().is_some_and(|(_, _, at)| is_over(*at)) {
            self.sent.pop_front();
        }
        let is_same =
            |(of, number, at): &(u8, u16, Instant)| (*of, *number) == (track, sequence) && !is_over(*at);
        if self.sent.iter().any(is_same) {
            return false;
        }
        if self.sent.len() >= REMEMBERED_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back((track, sequence, now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_for_each_way_there_and_back() {
        let (mut lately, start) = (Lately::default(), Instant::now());
        let sent = |lately: &mut Lately| -> Vec<u64> {
            (0..100).filter(|ms| lately.sends(start + Duration::from_millis(*ms), 0, 7)).collect()
        };
        assert_eq!(sent(&mut lately), [0, 20, 40, 60, 80]);
        let mut lately = Lately::default();
        lately.measured(Duration::from_millis(50));
        assert_eq!(sent(&mut lately), [0, 40, 80]);
        lately.measured(Duration::from_secs(9));
        let later = start + Duration::from_secs(1);
        assert!(lately.sends(later, 0, 8) && lately.sends(later, 1, 8), "another track's");
        assert!(!lately.sends(later + WAIT_MAX / 2, 0, 8) && lately.sends(later + WAIT_MAX, 0, 8));
    }

    #[test]
    fn there_is_an_end_to_what_is_remembered() {
        let (mut lately, now) = (Lately::default(), Instant::now());
        assert!((0..10_000).all(|sequence| lately.sends(now, 0, sequence)));
        assert_eq!(lately.sent.len(), REMEMBERED_MAX);
    }
}
