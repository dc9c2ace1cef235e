//! Which of many things is to be looked at next: a key and a time each. Whoever is not due costs nothing.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Times are rounded up to this: the agenda is opened about as often.
const GRAIN_MS: u64 = 10;

/// Every key stands in it at most twice: a time that was moved forward leaves one entry behind, which is then ignored.
#[derive(Debug)]
pub(crate) struct Agenda<K> {
    by_time: BTreeMap<u64, Vec<K>>,
    times: HashMap<K, u64>,
}

impl<K> Default for Agenda<K> {
    fn default() -> Self {
        Self { by_time: BTreeMap::new(), times: HashMap::new() }
    }
}

impl<K: Clone + Eq + Hash> Agenda<K> {
    /// Looks at the key by then at the latest.
    pub(crate) fn note(&mut self, key: &K, due_ms: u64) {
        let due = due_ms.div_ceil(GRAIN_MS);
        match self.times.get_mut(key) {
            Some(noted) if *noted <= due => return,
            Some(noted) => *noted = due,
            None => drop(self.times.insert(key.clone(), due)),
        }
        self.by_time.entry(due).or_default().push(key.clone());
    }

    /// The keys that are due. They are noted no more.
    pub(crate) fn due(&mut self, now_ms: u64) -> Vec<K> {
        let now = now_ms / GRAIN_MS;
        let mut due = Vec::new();
        while let Some(entry) = self.by_time.first_entry()
            && *entry.key() <= now
        {
            let time = *entry.key();
            for key in entry.remove() {
                if self.times.get(&key) == Some(&time) {
                    self.times.remove(&key);
                    due.push(key);
                }
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_time_counts() {
        let mut agenda = Agenda::default();
        agenda.note(&"a", 100);
        agenda.note(&"a", 300);
        agenda.note(&"b", 200);
        agenda.note(&"b", 50);
        assert_eq!(agenda.due(49), Vec::<&str>::new());
        assert_eq!(agenda.due(50), ["b"]);
        assert_eq!(agenda.due(1_000), ["a"]);
        agenda.note(&"b", 10);
        assert_eq!(agenda.due(1_000), ["b"]);
        assert!(agenda.by_time.is_empty() && agenda.times.is_empty());
    }
}
