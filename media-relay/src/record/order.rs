//! Packets of one source in the order in which they were sent: what is missing is waited for a little, then it is a hole.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Packets that wait behind a hole. With more, the hole is passed over at once.
const WAITING_MAX: usize = 1_024;

#[derive(Debug)]
pub(super) struct Order<P> {
    /// The next to be given.
    next: Option<u64>,
    waiting: BTreeMap<u64, (Instant, P)>,
    /// For how long a hole is waited for: as long as a repair may take.
    patience: Duration,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ordered<P> {
    Packet(P),
    /// What lay here never came.
    Hole,
}

impl<P> Order<P> {
    pub(super) fn new(patience: Duration) -> Self {
        Self { next: None, waiting: BTreeMap::new(), patience }
    }

    pub(super) fn insert(&mut self, now: Instant, seq: u64, packet: P) {
        // What comes behind its own hole is of no use any more.
        if self.next.is_none_or(|next| seq >= next) {
            self.next.get_or_insert(seq);
            self.waiting.insert(seq, (now, packet));
        }
    }

    pub(super) fn next(&mut self, now: Instant) -> Option<Ordered<P>> {
        let next = self.next?;
        let (first, (came, _)) = self.waiting.first_key_value()?;
        if *first == next {
            self.next = Some(next + 1);
            return self.waiting.pop_first().map(|(_, (_, packet))| Ordered::Packet(packet));
        }
        let is_over =
            now.saturating_duration_since(*came) >= self.patience || self.waiting.len() > WAITING_MAX;
        is_over.then(|| {
            self.next = Some(*first);
            Ordered::Hole
        })
    }

    /// Forgets what waits, as for another source.
    pub(super) fn restart(&mut self) {
        self.next = None;
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(200);

    fn drain(order: &mut Order<u64>, now: Instant) -> Vec<Ordered<u64>> {
        std::iter::from_fn(|| order.next(now)).collect()
    }

    #[test]
    fn what_comes_late_is_put_in_its_place() {
        let (mut order, now) = (Order::new(PATIENCE), Instant::now());
        for seq in [10, 12, 13] {
            order.insert(now, seq, seq);
        }
        assert_eq!(drain(&mut order, now), [Ordered::Packet(10)]);
        order.insert(now, 11, 11);
        assert_eq!(drain(&mut order, now), [11, 12, 13].map(Ordered::Packet));
    }

    #[test]
    fn what_never_comes_is_a_hole() {
        let (mut order, now) = (Order::new(PATIENCE), Instant::now());
        for seq in [10, 13, 14] {
            order.insert(now, seq, seq);
        }
        assert_eq!(drain(&mut order, now), [Ordered::Packet(10)]);
        let then = now + PATIENCE;
        assert_eq!(drain(&mut order, then), [Ordered::Hole, Ordered::Packet(13), Ordered::Packet(14)]);
        order.insert(then, 11, 11);
        assert!(drain(&mut order, then).is_empty(), "too late");
    }

    #[test]
    fn what_waits_is_bounded() {
        let (mut order, now) = (Order::new(PATIENCE), Instant::now());
        order.insert(now, 0, 0);
        for seq in 0..100_000 {
            order.insert(now, 2 + 2 * seq, 0);
            drain(&mut order, now);
            assert!(order.waiting.len() <= WAITING_MAX);
        }
    }
}
