//! Which messages were sent before: the sender's id of each, for as long as a repetition may come.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use turnpike_wire::{MessageId, RoomId, UserId};

/// Room, sender and id as 128 bits under keys of this process: nobody outside can make two of them meet, and by chance
/// they never do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key(u64, u64);

/// What the first sending was answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct First {
    pub(crate) seq: u64,
    pub(crate) ts: u64,
}

pub(crate) struct Seen {
    hashers: [RandomState; 2],
    /// With the time at which each was remembered.
    first: HashMap<Key, (First, u64)>,
    /// By that time.
    order: VecDeque<(u64, Key)>,
    window_ms: u64,
    ids_max: usize,
}

impl Seen {
    pub(crate) fn new(window_ms: u64, ids_max: usize) -> Self {
        Self {
            hashers: [RandomState::new(), RandomState::new()],
            first: HashMap::new(),
            order: VecDeque::new(),
            window_ms,
            ids_max,
        }
    }

    pub(crate) fn key(&self, room: &RoomId, from: &UserId, id: &MessageId) -> Key {
        let named = (room.as_str(), from.as_str(), id.as_str());
        Key(self.hashers[0].hash_one(named), self.hashers[1].hash_one(named))
    }

    pub(crate) fn first(&self, key: Key, now_ms: u64) -> Option<First> {
        let (first, since_ms) = self.first.get(&key)?;
        (since_ms + self.window_ms > now_ms).then_some(*first)
    }

    pub(crate) fn remember(&mut self, key: Key, first: First, now_ms: u64) {
        self.expire(now_ms);
        while self.order.len() >= self.ids_max {
            self.forget_oldest();
        }
        self.first.insert(key, (first, now_ms));
        self.order.push_back((now_ms, key));
    }

    pub(crate) fn expire(&mut self, now_ms: u64) {
        while self.order.front().is_some_and(|(since_ms, _)| since_ms + self.window_ms <= now_ms) {
            self.forget_oldest();
        }
        if self.order.is_empty() && self.order.capacity() > 1024 {
            self.order = VecDeque::new();
            self.first = HashMap::new();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.first.len()
    }

    fn forget_oldest(&mut self) {
        let Some((since_ms, key)) = self.order.pop_front() else { return };
        // Sent again after the window, it was remembered anew and stands further back in the order as well.
        if self.first.get(&key).is_some_and(|(_, remembered_ms)| *remembered_ms == since_ms) {
            self.first.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seen: &Seen, room: &str, from: &str, id: &str) -> Key {
        seen.key(&RoomId::parse(room).unwrap(), &UserId::parse(from).unwrap(), &MessageId::parse(id).unwrap())
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
        let keys: Vec<Key> = (0..5).map(|id| key(&seen, "a", "alice", &id.to_string())).collect();
        seen.remember(keys[0], First { seq: 1, ts: 7 }, 1_000);
        assert_eq!(seen.first(keys[0], 1_099), Some(First { seq: 1, ts: 7 }));
        assert_eq!(seen.first(keys[0], 1_100), None);
        seen.remember(keys[0], First { seq: 9, ts: 8 }, 1_150);
        assert_eq!(seen.first(keys[0], 1_160), Some(First { seq: 9, ts: 8 }), "not lost with its old entry");
        for (index, key) in keys.iter().enumerate().skip(1) {
            seen.remember(*key, First { seq: 0, ts: 9 }, 1_160 + index as u64);
        }
        assert_eq!(seen.len(), 3);
        assert_eq!(seen.first(keys[1], 1_170), None, "pushed out");
        assert!(seen.first(keys[4], 1_170).is_some());
        seen.expire(2_000);
        assert_eq!(seen.len(), 0);
    }
}
