//! What one client saw of one room: each number once and in order, or what was wrong. It must not know what a message is.

use std::collections::VecDeque;

/// Stretches that are missing at once. A server that leaves more holes than this is broken beyond doubt; the oldest are
/// then given up as lost.
const GAPS_MAX: usize = 1_024;

#[derive(Clone, Debug)]
pub struct Track {
    pub epoch: u64,
    next: u64,
    /// First and last of each stretch that was passed by, in order.
    gaps: VecDeque<(u64, u64)>,
    /// What may come again, once and in order, before anything new: first and last.
    repeats: Option<(u64, u64)>,
    received: u64,
    lost: u64,
    doubled: u64,
    disordered: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    InOrder,
    /// Something before it is missing until now.
    Ahead {
        first_missing: u64,
    },
    /// It was missing, and others came before it.
    Behind,
    /// It came again, and should.
    Repeated,
    Again,
}

impl Track {
    /// Of a client that stands at this position: the next number should come next.
    pub fn new(epoch: u64, seq: u64) -> Self {
        let next = seq.saturating_add(1);
        let gaps = VecDeque::new();
        Self { epoch, next, gaps, repeats: None, received: 0, lost: 0, doubled: 0, disordered: 0 }
    }

    /// What came behind this number was not confirmed, so it may come again from there, or from further on.
    pub fn may_repeat(&mut self, confirmed: u64) {
        let (first, last) = (confirmed.saturating_add(1), self.reached());
        self.repeats = (first <= last).then_some((first, last));
    }

    /// The last number up to which everything has come.
    pub fn complete_to(&self) -> u64 {
        self.gaps.front().map_or(self.next, |(first, _)| *first).saturating_sub(1)
    }

    /// The highest number that has come, whatever is missing before it.
    pub fn reached(&self) -> u64 {
        self.next.saturating_sub(1)
    }

    pub fn take(&mut self, seq: u64) -> Seen {
        if seq < self.next {
            return self.take_earlier(seq);
        }
        self.repeats = None;
        self.received += 1;
        let expected = self.next;
        self.next = seq.saturating_add(1);
        if seq == expected {
            return Seen::InOrder;
        }
        self.gaps.push_back((expected, seq - 1));
        if self.gaps.len() > GAPS_MAX {
            let given_up = self.gaps.pop_front();
            self.lost += given_up.map_or(0, |(first, last)| last - first + 1);
        }
        Seen::Ahead { first_missing: expected }
    }

    fn take_earlier(&mut self, seq: u64) -> Seen {
        let found = self.gaps.iter().position(|(first, last)| (*first..=*last).contains(&seq));
        let Some(at) = found else {
            if let Some((first, last)) = self.repeats
                && (first..=last).contains(&seq)
            {
                self.repeats = (seq < last).then_some((seq + 1, last));
                return Seen::Repeated;
            }
            self.doubled += 1;
            return Seen::Again;
        };
        let (first, last) = self.gaps[at];
        match (first == seq, last == seq) {
            (true, true) => drop(self.gaps.remove(at)),
            (true, false) => self.gaps[at].0 += 1,
            (false, true) => self.gaps[at].1 -= 1,
            (false, false) => {
                self.gaps[at].1 = seq - 1;
                self.gaps.insert(at + 1, (seq + 1, last));
            }
        }
        self.received += 1;
        self.disordered += 1;
        Seen::Behind
    }

    /// How it stands if the room's last message is this one.
    pub fn verdict(&self, last: u64) -> Verdict {
        let passed_by: u64 = self.gaps.iter().map(|(first, last)| last - first + 1).sum();
        let never_reached = last.saturating_add(1).saturating_sub(self.next);
        let first_lost = self.gaps.front().map(|(first, _)| *first);
        Verdict {
            received: self.received,
            lost: self.lost + passed_by + never_reached,
            first_lost: first_lost.or((never_reached > 0).then_some(self.next)),
            doubled: self.doubled,
            disordered: self.disordered,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Different numbers.
    pub received: u64,
    pub lost: u64,
    /// To look for in a log.
    pub first_lost: Option<u64>,
    pub doubled: u64,
    pub disordered: u64,
}

impl Verdict {
    pub fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.lost += other.lost;
        self.first_lost = self.first_lost.or(other.first_lost);
        self.doubled += other.doubled;
        self.disordered += other.disordered;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn after(start: u64, numbers: &[u64], last: u64) -> Verdict {
        let mut track = Track::new(1, start);
        for number in numbers {
            track.take(*number);
        }
        track.verdict(last)
    }

    #[test]
    fn each_fault_is_told_from_the_others() {
        let clean = Verdict { received: 4, ..Verdict::default() };
        assert_eq!(after(10, &[11, 12, 13, 14], 14), clean);
        assert_eq!(
            after(0, &[1, 2, 4], 4),
            Verdict { received: 3, lost: 1, first_lost: Some(3), ..Verdict::default() }
        );
        assert_eq!(after(0, &[1, 2, 2, 3], 3), Verdict { received: 3, doubled: 1, ..Verdict::default() });
        assert_eq!(after(0, &[1, 3, 2, 4], 4), Verdict { received: 4, disordered: 1, ..Verdict::default() });
        assert_eq!(
            after(0, &[1, 2], 4),
            Verdict { received: 2, lost: 2, first_lost: Some(3), ..Verdict::default() }
        );
        assert_eq!(after(5, &[5, 6], 6), Verdict { received: 1, doubled: 1, ..Verdict::default() });
        // The ack of the last message may be known to nobody.
        assert_eq!(after(0, &[1, 2], 1), Verdict { received: 2, ..Verdict::default() });
    }

    #[test]
    fn it_knows_how_far_everything_has_come() {
        let mut track = Track::new(1, 0);
        assert_eq!(track.complete_to(), 0);
        assert_eq!(track.take(1), Seen::InOrder);
        assert_eq!(track.take(4), Seen::Ahead { first_missing: 2 });
        assert_eq!(track.complete_to(), 1);
        assert_eq!(track.take(3), Seen::Behind);
        assert_eq!(track.take(2), Seen::Behind);
        assert_eq!(track.complete_to(), 4);
        assert_eq!(track.take(2), Seen::Again);
    }

    #[test]
    fn what_was_not_confirmed_may_come_again_once() {
        let mut track = Track::new(1, 0);
        for number in 1..=5 {
            track.take(number);
        }
        track.may_repeat(2);
        // The last confirmation came through, and its answer did not.
        let seen = [2, 4, 4, 5, 6, 5].map(|number| track.take(number));
        let expected = [Seen::Again, Seen::Repeated, Seen::Again, Seen::Repeated, Seen::InOrder, Seen::Again];
        assert_eq!(seen, expected);
        assert_eq!(track.verdict(6), Verdict { received: 6, doubled: 3, ..Verdict::default() });
        track.may_repeat(6);
        assert_eq!((track.take(6), track.take(7)), (Seen::Again, Seen::InOrder), "all was confirmed");
    }

    #[test]
    fn a_server_that_makes_only_holes_does_not_fill_the_memory() {
        let mut track = Track::new(1, 0);
        for number in (2..=20_000).step_by(2) {
            track.take(number);
        }
        assert!(track.gaps.len() <= GAPS_MAX);
        assert_eq!(track.verdict(20_000).lost, 10_000);
        assert_eq!(Track::new(1, 0).take(u64::MAX), Seen::Ahead { first_missing: 1 });
    }

    proptest! {
        /// Any mixture of faults comes out as the counts that a plain set says.
        #[test]
        fn counts_are_those_of_a_set(numbers in prop::collection::vec(1_u64..40, 0..120)) {
            let verdict = after(0, &numbers, 40);
            let different: std::collections::BTreeSet<u64> = numbers.iter().copied().collect();
            prop_assert_eq!(verdict.received, different.len() as u64);
            prop_assert_eq!(verdict.lost, 40 - different.len() as u64);
            prop_assert_eq!(verdict.doubled, (numbers.len() - different.len()) as u64);
            let mut highest = 0;
            let mut seen = std::collections::BTreeSet::new();
            let behind = numbers.iter().filter(|number| {
                let is_behind = seen.insert(**number) && **number < highest;
                highest = highest.max(**number);
                is_behind
            });
            prop_assert_eq!(verdict.disordered, behind.count() as u64);
        }
    }
}
