//! What all clients together know of a room: how far it has come, and which message stands where. Places
//! about which they disagree are counted.

use std::collections::{BTreeMap, VecDeque};

/// Places that are remembered. What a client is given from further back cannot be compared, only counted.
const MARKS_MAX: usize = 65_536;

/// Nobody can say any longer who is right about the place; it is counted once.
const DISPUTED: u64 = u64::MAX;

#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// The last place that an ack named.
    acknowledged_to: u64,
    /// Of which epoch all this is.
    epoch: u64,
    first: u64,
    /// What stands at `first` and behind it; nothing where nobody has said anything yet.
    marks: VecDeque<Option<u64>>,
    pub altered: u64,
    /// Where messages have no place: the last that the server took of each sender.
    taken: BTreeMap<u32, u64>,
}

impl Ledger {
    pub fn acknowledged_to(&self, epoch: u64) -> u64 {
        if epoch == self.epoch { self.acknowledged_to } else { 0 }
    }

    /// A sender was told that its message stands there.
    pub fn acknowledged(&mut self, epoch: u64, seq: u64, mark: u64) {
        self.compare(epoch, seq, mark);
        if epoch == self.epoch {
            self.acknowledged_to = self.acknowledged_to.max(seq);
        }
    }

    /// The server took this message, and does not say where it stands.
    pub fn taken_from(&mut self, sender: u32, number: u64) {
        let last = self.taken.entry(sender).or_default();
        *last = (*last).max(number);
    }

    pub fn taken(&self) -> &BTreeMap<u32, u64> {
        &self.taken
    }

    /// Epoch and place, as far as is known here.
    pub fn head(&self) -> (u64, u64) {
        (self.epoch, self.acknowledged_to)
    }

    /// Others know that the room has come so far.
    pub fn learn(&mut self, epoch: u64, place: u64) {
        if epoch > self.epoch {
            self.begin(epoch, place);
        }
        if epoch == self.epoch {
            self.acknowledged_to = self.acknowledged_to.max(place);
        }
    }

    /// A member was given this message as the one that stands there.
    pub fn delivered(&mut self, epoch: u64, seq: u64, mark: u64) {
        self.compare(epoch, seq, mark);
    }

    fn begin(&mut self, epoch: u64, first: u64) {
        let taken = std::mem::take(&mut self.taken);
        *self = Self { epoch, first, altered: self.altered, taken, ..Self::default() };
    }

    fn compare(&mut self, epoch: u64, seq: u64, mark: u64) {
        if epoch > self.epoch {
            self.begin(epoch, seq);
        }
        if epoch < self.epoch {
            return;
        }
        if seq < self.first {
            // Acks and deliveries of the first messages overtake each other; what is far behind is forgotten.
            let room = MARKS_MAX - self.marks.len();
            let before = usize::try_from(self.first - seq).unwrap_or(usize::MAX);
            if before > room.min(1_024) {
                return;
            }
            for _ in 0..before {
                self.marks.push_front(None);
            }
            self.first = seq;
        }
        let Ok(at) = usize::try_from(seq - self.first) else { return };
        if at >= self.marks.len() + MARKS_MAX {
            // No room makes such a leap.
            self.altered += 1;
            return;
        }
        while at >= self.marks.len() {
            self.marks.push_back(None);
        }
        let place = self.marks[at].get_or_insert(mark);
        if *place != mark && *place != DISPUTED {
            *place = DISPUTED;
            self.altered += 1;
        }
        while self.marks.len() > MARKS_MAX {
            self.marks.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_disagrees_is_counted() {
        let mut ledger = Ledger::default();
        ledger.delivered(7, 100, 1);
        ledger.acknowledged(7, 101, 2);
        ledger.delivered(7, 99, 9);
        ledger.acknowledged(7, 100, 1);
        assert_eq!((ledger.altered, ledger.acknowledged_to(7)), (0, 101));
        ledger.delivered(7, 101, 3);
        ledger.delivered(7, 101, 2);
        assert_eq!(ledger.altered, 1, "one place");
        ledger.acknowledged(7, 99, 8);
        assert_eq!(ledger.altered, 2, "two messages at one place");
    }

    #[test]
    fn another_epoch_begins_anew() {
        let mut ledger = Ledger::default();
        ledger.acknowledged(1, 50, 1);
        ledger.acknowledged(2, 3, 5);
        assert_eq!((ledger.acknowledged_to(2), ledger.acknowledged_to(1)), (3, 0));
        ledger.delivered(1, 3, 4);
        assert_eq!(ledger.altered, 0);
    }

    #[test]
    fn its_memory_has_an_end() {
        let mut ledger = Ledger::default();
        for seq in 1..=3 * MARKS_MAX as u64 {
            ledger.acknowledged(1, seq, seq);
        }
        assert_eq!(ledger.marks.len(), MARKS_MAX);
        ledger.delivered(1, u64::MAX, 1);
        assert_eq!((ledger.marks.len(), ledger.altered), (MARKS_MAX, 1));
        ledger.delivered(1, 1, 77);
        assert_eq!(ledger.altered, 1, "too far back to be compared");
    }
}
