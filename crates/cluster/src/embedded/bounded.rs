//! A map that holds so many entries and no more: those that were put longest ago go first.

use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

pub(super) struct Bounded<K, V> {
    entries: HashMap<K, (V, u64)>,
    /// When each was put, by what turn; some of these have been put again since.
    order: VecDeque<(u64, u64, K)>,
    turn: u64,
    max: usize,
}

impl<K: Eq + Hash + Clone, V> Bounded<K, V> {
    pub(super) fn new(max: usize) -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new(), turn: 0, max }
    }

    pub(super) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).map(|(value, _)| value)
    }

    /// The entries that had to make room for it are given to `gone`.
    pub(super) fn put(&mut self, key: K, value: V, now_ms: u64, mut gone: impl FnMut(K)) {
        self.turn += 1;
        self.order.push_back((now_ms, self.turn, key.clone()));
        self.entries.insert(key, (value, self.turn));
        while self.entries.len() > self.max {
            if let Some(key) = self.pop() {
                gone(key);
            }
        }
        self.tidy();
    }

    /// Drops what was put before that time.
    pub(super) fn expire(&mut self, before_ms: u64, mut gone: impl FnMut(K)) {
        while self.order.front().is_some_and(|(put_ms, ..)| *put_ms < before_ms) {
            if let Some(key) = self.pop() {
                gone(key);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Takes the first off the order. None: it was no longer an entry.
    fn pop(&mut self) -> Option<K> {
        let (_, turn, key) = self.order.pop_front()?;
        if self.entries.get(&key).is_none_or(|(_, put)| *put != turn) {
            return None;
        }
        self.entries.remove(&key);
        Some(key)
    }

    fn tidy(&mut self) {
        if self.order.len() > 2 * self.entries.len() + 64 {
            let entries = &self.entries;
            self.order.retain(|(_, turn, key)| entries.get(key).is_some_and(|(_, put)| put == turn));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first() {
        let mut map = Bounded::new(3);
        let mut gone = Vec::new();
        for key in [1, 2, 3, 1, 4] {
            map.put(key, key * 10, key, |key| gone.push(key));
        }
        assert_eq!(gone, [2], "1 was put again");
        assert_eq!([1, 2, 3, 4].map(|key| map.get(&key).copied()), [Some(10), None, Some(30), Some(40)]);
        map.expire(4, |key| gone.push(key));
        assert_eq!((gone, map.len()), (vec![2, 3, 1], 1));
    }

    #[test]
    fn what_is_put_again_and_again_takes_no_more_room() {
        let mut map = Bounded::new(10);
        for turn in 0..10_000 {
            map.put(turn % 3, (), turn, |_| panic!("there is room"));
        }
        assert!(map.order.len() < 100);
    }
}
