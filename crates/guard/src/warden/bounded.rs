//! A table of many keys in parts, each under a lock of its own, that never holds more than it may.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Threads meet at a lock about as seldom as there are more parts than threads.
const PARTS: usize = 64;

/// How many entries are looked at for the one that goes. The least of some is nearly the least of all, at a bounded cost.
const LOOKED_AT: usize = 16;

/// What can be done without.
pub(super) trait Kept {
    /// None: it must not go. Else, the less the sooner it goes; nought or below, it may go at any time.
    fn worth(&self, now_ms: u64) -> Option<f32>;
}

pub(super) struct Bounded<K, V> {
    parts: Box<[Mutex<Part<K, V>>]>,
    hasher: RandomState,
    part_entries_max: usize,
    /// Entries that went before their time.
    crowded_out: AtomicU64,
    /// Keys for which there was no room.
    untracked: AtomicU64,
}

struct Part<K, V> {
    places: HashMap<K, u32>,
    entries: Vec<(K, V)>,
    /// Where the next look for one that may go begins: round and round, so that nobody can stand before the others.
    hand: usize,
}

impl<K: Hash + Eq + Clone, V: Kept + Default> Bounded<K, V> {
    pub(super) fn new(entries_max: usize) -> Self {
        let part = || Mutex::new(Part { places: HashMap::new(), entries: Vec::new(), hand: 0 });
        Self {
            parts: (0..PARTS).map(|_| part()).collect(),
            hasher: RandomState::new(),
            part_entries_max: entries_max.div_ceil(PARTS).clamp(1, u32::MAX as usize),
            crowded_out: AtomicU64::new(0),
            untracked: AtomicU64::new(0),
        }
    }

    /// What is kept of the key, made if there is none. None: there is no room, because nothing may go.
    pub(super) fn with<T>(&self, key: &K, now_ms: u64, work: impl FnOnce(&mut V) -> T) -> Option<T> {
        let mut part = self.part(key);
        if let Some(place) = part.places.get(key).copied() {
            return Some(work(&mut part.entries[place as usize].1));
        }
        if part.entries.len() >= self.part_entries_max && !self.make_room(&mut part, now_ms) {
            self.untracked.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let place = part.entries.len();
        part.places.insert(key.clone(), place as u32);
        part.entries.push((key.clone(), V::default()));
        Some(work(&mut part.entries[place].1))
    }

    pub(super) fn with_existing<T>(&self, key: &K, work: impl FnOnce(&mut V) -> T) -> Option<T> {
        let mut part = self.part(key);
        let place = part.places.get(key).copied()?;
        Some(work(&mut part.entries[place as usize].1))
    }

    pub(super) fn remove(&self, key: &K) {
        let mut part = self.part(key);
        if let Some(place) = part.places.get(key).copied() {
            part.remove(place as usize);
        }
    }

    /// What may go at any time goes, and the memory with it.
    pub(super) fn sweep(&self, now_ms: u64) {
        for part in &self.parts {
            let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
            let is_over = |kept: &V| kept.worth(now_ms).is_some_and(|worth| worth <= 0.0);
            let mut place = 0;
            while place < part.entries.len() {
                if is_over(&part.entries[place].1) {
                    part.remove(place);
                } else {
                    place += 1;
                }
            }
            if part.entries.capacity() > 64 && part.entries.len() * 4 < part.entries.capacity() {
                let left = part.entries.len() * 2;
                part.entries.shrink_to(left);
                part.places.shrink_to(left);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.lock().unwrap_or_else(PoisonError::into_inner).entries.len()).sum()
    }

    pub(super) fn crowded_out(&self) -> u64 {
        self.crowded_out.load(Ordering::Relaxed)
    }

    pub(super) fn untracked(&self) -> u64 {
        self.untracked.load(Ordering::Relaxed)
    }

    fn make_room(&self, part: &mut Part<K, V>, now_ms: u64) -> bool {
        let entries = part.entries.len();
        let mut least: Option<(f32, usize)> = None;
        for _ in 0..LOOKED_AT.min(entries) {
            part.hand = (part.hand + 1) % entries;
            let Some(worth) = part.entries[part.hand].1.worth(now_ms) else { continue };
            if least.is_none_or(|(known, _)| worth < known) {
                least = Some((worth, part.hand));
            }
        }
        let Some((worth, place)) = least else { return false };
        part.remove(place);
        if worth > 0.0 {
            self.crowded_out.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    fn part(&self, key: &K) -> MutexGuard<'_, Part<K, V>> {
        let part = &self.parts[self.hasher.hash_one(key) as usize % PARTS];
        // Nothing that is done under the lock can panic half way.
        part.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq, V> Part<K, V> {
    fn remove(&mut self, place: usize) {
        let (key, _) = self.entries.swap_remove(place);
        self.places.remove(&key);
        if let Some((moved, _)) = self.entries.get(place) {
            *self.places.get_mut(moved).expect("each entry has its place noted") = place as u32;
        }
    }
}
