//! What is written at most once a second for each key: what comes in between is merged, the last is never lost.
//!
//! Pure: `now_ms` in, what to write out.

use std::collections::HashMap;
use std::hash::Hash;

/// The time between two writings of a key.
pub(crate) const EVERY_MS: u64 = 1_000;
/// Keys that wait or have just been written. There are no more than who said something within a second, unless the store
/// is away.
const KEYS_MAX: usize = 20_000;
/// However the store wants it.
const RETRY_MS_MIN: u64 = 250;
const RETRY_MS_MAX: u64 = 5_000;

/// Of two values the one that says both.
pub(crate) trait Merge {
    fn merge(&mut self, other: &Self);
}

impl Merge for u64 {
    fn merge(&mut self, other: &Self) {
        *self = (*self).max(*other);
    }
}

/// There is no room for another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

#[derive(Debug)]
pub(crate) struct Paced<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// Nothing is to be taken before. Asked for whenever a client says something, so it is not looked for each time.
    due_ms: Option<u64>,
}

#[derive(Debug)]
struct Entry<V> {
    waits: Option<V>,
    /// Is being written.
    is_busy: bool,
    not_before_ms: u64,
}

impl<K, V> Default for Paced<K, V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), due_ms: None }
    }
}

impl<K: Clone + Eq + Hash, V: Clone + Merge> Paced<K, V> {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn put(&mut self, key: K, value: V) -> Result<(), Full> {
        if self.entries.len() >= KEYS_MAX && !self.entries.contains_key(&key) {
            return Err(Full);
        }
        let entry =
            self.entries.entry(key).or_insert(Entry { waits: None, is_busy: false, not_before_ms: 0 });
        match &mut entry.waits {
            Some(waits) => waits.merge(&value),
            waits @ None => *waits = Some(value),
        }
        if !entry.is_busy {
            self.due_ms =
                Some(self.due_ms.map_or(entry.not_before_ms, |due_ms| due_ms.min(entry.not_before_ms)));
        }
        Ok(())
    }

    /// What is to be written now. Each is answered by [`Paced::written`].
    pub(crate) fn take(&mut self, now_ms: u64, max: usize) -> Vec<(K, V)> {
        self.entries
            .retain(|_, entry| entry.is_busy || entry.waits.is_some() || entry.not_before_ms > now_ms);
        let mut taken = Vec::new();
        for (key, entry) in &mut self.entries {
            if taken.len() == max {
                break;
            }
            if !entry.is_busy
                && entry.not_before_ms <= now_ms
                && let Some(value) = entry.waits.take()
            {
                entry.is_busy = true;
                entry.not_before_ms = now_ms + EVERY_MS;
                taken.push((key.clone(), value));
            }
        }
        let idle = self.entries.values().filter(|entry| !entry.is_busy);
        self.due_ms = idle.map(|entry| entry.not_before_ms).min();
        taken
    }

    /// How the writing went; an error says after how long to try again.
    pub(crate) fn written(&mut self, key: &K, value: &V, result: Result<(), u64>, now_ms: u64) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.is_busy = false;
        if let Err(after_ms) = result {
            entry.not_before_ms = now_ms + after_ms.clamp(RETRY_MS_MIN, RETRY_MS_MAX);
            match &mut entry.waits {
                Some(waits) => waits.merge(value),
                waits @ None => *waits = Some(value.clone()),
            }
        }
        self.due_ms = Some(self.due_ms.map_or(entry.not_before_ms, |due_ms| due_ms.min(entry.not_before_ms)));
    }

    /// When to take next: at once, if the number is in the past.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        self.due_ms
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_last_is_written_and_not_too_often(
            puts in proptest::collection::vec((0..400_u64, 0..3_u8, 0..1_000_u64), 1..80),
            fails in proptest::collection::vec(any::<bool>(), 40),
        ) {
            let mut paced: Paced<u8, u64> = Paced::default();
            let (mut now, mut fails) = (0, fails.into_iter());
            let mut wanted: HashMap<u8, u64> = HashMap::new();
            let mut stored: HashMap<u8, u64> = HashMap::new();
            let mut last: HashMap<u8, u64> = HashMap::new();
            let mut step = |paced: &mut Paced<u8, u64>, stored: &mut HashMap<u8, u64>, now: u64| {
                for (key, value) in paced.take(now, 2) {
                    if let Some(before) = last.insert(key, now) {
                        assert!(now >= before + RETRY_MS_MIN);
                    }
                    let failed = fails.next().unwrap_or(false);
                    if !failed {
                        stored.entry(key).or_insert(0).merge(&value);
                    }
                    paced.written(&key, &value, if failed { Err(0) } else { Ok(()) }, now);
                }
            };
            for (wait, key, value) in puts {
                now += wait;
                paced.put(key, value).unwrap();
                wanted.entry(key).or_insert(0).merge(&value);
                step(&mut paced, &mut stored, now);
            }
            for _ in 0..200 {
                now += 250;
                step(&mut paced, &mut stored, now);
            }
            prop_assert_eq!(stored, wanted);
            prop_assert!(paced.is_empty() && paced.due_ms().is_none());
        }
    }

    #[test]
    fn one_a_second() {
        let mut paced: Paced<&str, u64> = Paced::default();
        let mut writes = Vec::new();
        for now in (0..3_000).step_by(50) {
            paced.put("alice", now).unwrap();
            for (key, value) in paced.take(now, 10) {
                writes.push((now, value));
                paced.written(&key, &value, Ok(()), now);
            }
        }
        assert_eq!(writes, [(0, 0), (1_000, 1_000), (2_000, 2_000)]);
    }

    #[test]
    fn who_waits_is_bounded() {
        let mut paced: Paced<u64, u64> = Paced::default();
        for key in 0..KEYS_MAX as u64 {
            paced.put(key, 1).unwrap();
        }
        assert_eq!(paced.put(KEYS_MAX as u64, 1), Err(Full));
        assert_eq!(paced.put(0, 2), Ok(()), "who waits already can say more");
    }
}
