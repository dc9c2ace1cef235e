//! Which messages were published before: the sender's id of each, for as long as a repetition may come.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use turnpike_wire::{RoomId, UserId};

/// Room, sender and id as 128 bits under keys of this process: nobody outside can make two of them meet, and by chance
/// they never do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key(u64, u64);

/// What the first publication was answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct First {
    pub(super) epoch: u64,
    pub(super) seq: u64,
    pub(super) ts: u64,
}

#[cfg_attr(test, derive(Clone))]
pub(super) struct Seen {
    hashers: [RandomState; 2],
    /// With the time at which each was remembered.
    first: HashMap<Key, (First, u64)>,
    /// By that time.
    order: VecDeque<Entry>,
    window_ms: u64,
    ids_max: usize,
    /// When the latest was remembered that had to go before its time.
    crowded_out_ms: Option<u64>,
    /// Turns of those that were forgotten. None: nobody asks.
    forgotten: Option<Vec<u64>>,
}

#[cfg_attr(test, derive(Clone))]
struct Entry {
    since_ms: u64,
    /// Where it stands on disk.
    turn: u64,
    key: Key,
}

impl Seen {
    pub(super) fn new(window_ms: u64, ids_max: usize) -> Self {
        Self {
            hashers: [RandomState::new(), RandomState::new()],
            first: HashMap::new(),
            order: VecDeque::new(),
            window_ms,
            ids_max,
            crowded_out_ms: None,
            forgotten: None,
        }
    }

    pub(super) fn key(&self, room: &RoomId, from: &UserId, id: &str) -> Key {
        let named = (room.as_str(), from.as_str(), id);
        Key(self.hashers[0].hash_one(named), self.hashers[1].hash_one(named))
    }

    /// Whether a message first tried so long ago may have been remembered and forgotten again. Half the window is left
    /// for clocks that run differently and for the way here.
    pub(super) fn is_too_old(&self, age_ms: u64, now_ms: u64) -> bool {
        let reach_ms = self.crowded_out_ms.map_or(u64::MAX, |since_ms| now_ms.saturating_sub(since_ms));
        age_ms > self.window_ms.min(reach_ms) / 2
    }

    pub(super) fn first(&self, key: Key, now_ms: u64) -> Option<First> {
        let (first, since_ms) = self.first.get(&key)?;
        (since_ms + self.window_ms > now_ms).then_some(*first)
    }

    pub(super) fn remember(&mut self, key: Key, first: First, turn: u64, now_ms: u64) {
        self.expire(now_ms);
        while self.order.len() >= self.ids_max.max(1) {
            self.crowded_out_ms = self.order.front().map(|entry| entry.since_ms);
            self.forget_oldest();
        }
        self.first.insert(key, (first, now_ms));
        self.order.push_back(Entry { since_ms: now_ms, turn, key });
    }

    pub(super) fn expire(&mut self, now_ms: u64) {
        while self.order.front().is_some_and(|entry| entry.since_ms + self.window_ms <= now_ms) {
            self.forget_oldest();
        }
        if self.order.is_empty() && self.order.capacity() > 1024 {
            self.order = VecDeque::new();
            self.first = HashMap::new();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.first.len()
    }

    /// From here on what is forgotten is noted.
    pub(super) fn note_forgotten(&mut self) {
        self.forgotten.get_or_insert_default();
    }

    pub(super) fn take_forgotten(&mut self) -> Vec<u64> {
        self.forgotten.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn forget_oldest(&mut self) {
        let Some(Entry { since_ms, turn, key }) = self.order.pop_front() else { return };
        if let Some(forgotten) = &mut self.forgotten {
            forgotten.push(turn);
        }
        // Published again after the window, it was remembered anew and stands further back in the order as well.
        if self.first.get(&key).is_some_and(|(_, remembered_ms)| *remembered_ms == since_ms) {
            self.first.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seen: &Seen, room: &str, from: &str, id: &str) -> Key {
        seen.key(&RoomId::parse(room).unwrap(), &UserId::parse(from).unwrap(), id)
    }

    fn first(seq: u64) -> First {
        First { epoch: 1, seq, ts: 7 }
    }

    #[test]
    fn an_id_is_its_senders_in_that_room() {
        let seen = Seen::new(100, 10);
        let alice = key(&seen, "a", "alice", "1");
        assert_eq!(alice, key(&seen, "a", "alice", "1"));
        for other in [("b", "alice", "1"), ("a", "bob", "1"), ("a", "alice", "2"), ("aa", "lice", "1")] {
            assert_ne!(alice, key(&seen, other.0, other.1, other.2));
        }
    }

    #[test]
    fn ids_are_forgotten_after_the_window_and_when_there_are_too_many() {
        let mut seen = Seen::new(100, 3);
        seen.note_forgotten();
        let keys: Vec<Key> = (0..5).map(|id| key(&seen, "a", "alice", &id.to_string())).collect();
        seen.remember(keys[0], first(1), 1, 1_000);
        assert_eq!(seen.first(keys[0], 1_099), Some(first(1)));
        assert_eq!(seen.first(keys[0], 1_100), None);
        seen.remember(keys[0], first(9), 2, 1_150);
        assert_eq!(seen.first(keys[0], 1_160), Some(first(9)), "not lost with its old entry");
        for (index, key) in keys.iter().enumerate().skip(1) {
            seen.remember(*key, first(0), 2 + index as u64, 1_160 + index as u64);
        }
        assert_eq!(seen.len(), 3);
        assert_eq!(seen.first(keys[1], 1_170), None, "pushed out");
        assert!(seen.first(keys[4], 1_170).is_some());
        assert_eq!(seen.take_forgotten(), [1, 2, 3]);
        seen.expire(2_000);
        assert_eq!(seen.len(), 0);
        assert_eq!(seen.take_forgotten(), [4, 5, 6]);
    }

    /// Nothing that was forgotten can come in a second time.
    #[test]
    fn repetitions_are_refused_before_their_ids_are_forgotten() {
        let mut seen = Seen::new(100, 2);
        assert!(!seen.is_too_old(50, 1_000) && seen.is_too_old(51, 1_000));
        for number in 1..=3 {
            let key = key(&seen, "a", "alice", &number.to_string());
            seen.remember(key, first(number), number, 1_000 + 10 * number);
        }
        // The first, of 1,010, is forgotten: it came 20 ms ago.
        assert!(!seen.is_too_old(0, 1_030) && !seen.is_too_old(10, 1_030) && seen.is_too_old(11, 1_030));
        assert!(!seen.is_too_old(50, 2_000), "that was long ago");
    }
}
