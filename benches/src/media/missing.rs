//! What has not come and is asked for again: at once, and then as often as libwebrtc does on a short path.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Between two requests for the same packet.
const AGAIN_AFTER: Duration = Duration::from_millis(20);
/// Then nothing brings it back.
const REQUESTS_MAX: u8 = 10;
/// A gap so long is no loss but a stream that begins elsewhere.
const GAP_MAX: u64 = 1_000;

#[derive(Default)]
pub(crate) struct Missing {
    lost: BTreeMap<u64, Lost>,
    highest: Option<u64>,
    pub(crate) requests: u64,
}

struct Lost {
    requests: u8,
    next: Instant,
}

impl Missing {
    /// A packet came, for the first time or again.
    pub(crate) fn came(&mut self, number: u64, now: Instant) {
        let highest = *self.highest.get_or_insert(number);
        if number <= highest {
            self.lost.remove(&number);
            return;
        }
        self.highest = Some(number);
        if number - highest <= GAP_MAX {
            self.lost.extend((highest + 1..number).map(|gap| (gap, Lost { requests: 0, next: now })));
        }
    }

    /// What to ask for now, in order.
    pub(crate) fn due(&mut self, now: Instant, due: &mut Vec<u16>) {
        due.clear();
        for (number, lost) in &mut self.lost {
            if lost.next <= now && lost.requests < REQUESTS_MAX {
                lost.requests += 1;
                lost.next = now + AGAIN_AFTER;
                due.push(*number as u16);
            }
        }
        self.requests += due.len() as u64;
    }

    /// Whether this one was asked for as often as it may be, and the last request had its time.
    pub(crate) fn is_given_up(&self, number: u64, now: Instant) -> bool {
        self.lost.get(&number).is_some_and(|lost| lost.requests >= REQUESTS_MAX && lost.next <= now)
    }

    /// Nothing before this one matters any more.
    pub(crate) fn forget_before(&mut self, number: u64) {
        self.lost = self.lost.split_off(&number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asked_for_at_once_then_again_then_given_up() {
        let (start, mut missing, mut due) = (Instant::now(), Missing::default(), Vec::new());
        missing.came(65_534, start);
        missing.came(65_537, start);
        missing.due(start, &mut due);
        assert_eq!(due, [65_535, 0]);
        missing.due(start + AGAIN_AFTER / 2, &mut due);
        assert!(due.is_empty(), "{due:?}");
        missing.came(65_536, start);
        let mut asked = 1;
        while !missing.is_given_up(65_535, start + asked * AGAIN_AFTER) {
            missing.due(start + asked * AGAIN_AFTER, &mut due);
            assert_eq!(due, [65_535]);
            asked += 1;
        }
        assert_eq!((asked, missing.requests), (10, 11));
        missing.forget_before(65_536);
        assert!(!missing.is_given_up(65_535, start + 99 * AGAIN_AFTER));
    }

    #[test]
    fn what_begins_elsewhere_is_no_loss() {
        let (start, mut missing, mut due) = (Instant::now(), Missing::default(), Vec::new());
        missing.came(1, start);
        missing.came(9_000, start);
        missing.due(start, &mut due);
        assert!(due.is_empty(), "{due:?}");
    }
}
