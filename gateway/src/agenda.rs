//! Which of many things is to be looked at next: a key and a time each. Whoever is not due costs nothing.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use turnpike_wire::RoomId;

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

    /// The same, if there is a time.
    pub(crate) fn note_next(&mut self, key: &K, due_ms: Option<u64>) {
        if let Some(due_ms) = due_ms {
            self.note(key, due_ms);
        }
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

/// What knows when it has next something to do.
pub(crate) trait Timed {
    type Effect;

    fn due_ms(&self) -> Option<u64>;

    fn tick(&mut self, now_ms: u64, effects: &mut Vec<Self::Effect>);

    /// It need not be kept.
    fn is_empty(&self, now_ms: u64) -> bool;
}

/// Rooms, and which of them is to be looked at next.
#[derive(Debug)]
pub(crate) struct Rooms<R> {
    pub(crate) by_name: HashMap<RoomId, R>,
    pub(crate) agenda: Agenda<RoomId>,
}

impl<R> Default for Rooms<R> {
    fn default() -> Self {
        Self { by_name: HashMap::new(), agenda: Agenda::default() }
    }
}

impl<R: Timed> Rooms<R> {
    /// What the rooms that are due have to be done. Those that are empty go.
    pub(crate) fn tick(&mut self, now_ms: u64) -> Vec<(RoomId, R::Effect)> {
        let mut effects = Vec::new();
        for name in self.agenda.due(now_ms) {
            let Some(room) = self.by_name.get_mut(&name) else { continue };
            let mut of_room = Vec::new();
            room.tick(now_ms, &mut of_room);
            if room.is_empty(now_ms) {
                self.by_name.remove(&name);
            } else {
                self.agenda.note_next(&name, room.due_ms());
            }
            effects.extend(of_room.into_iter().map(|effect| (name.clone(), effect)));
        }
        effects
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
