//! This node's own rows, and what of them the store may not know yet. The rows here are the truth: whatever happens to
//! the store, it is made level with them. No clock, no Redis.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use turnpike_wire::RoomId;

/// The rooms of one lane.
#[derive(Debug, Default)]
pub(crate) struct OwnRows {
    rooms: HashMap<RoomId, OwnRoom>,
    /// The number of the latest change in the lane.
    given: u64,
}

/// A field and its value, or an empty one for a row that is gone.
pub(crate) type Write = (Box<str>, Box<str>);

#[derive(Debug, Default)]
struct OwnRoom {
    rows: HashMap<Box<str>, Box<str>>,
    /// Fields that the store may have otherwise. Not more than have ever been rows.
    unwritten: BTreeSet<Box<str>>,
    /// Somebody writes. One at a time, so that an older value never comes behind a newer one.
    has_writer: bool,
    writing: Vec<Box<str>>,
    /// The number of the latest change in the room; those up to `written` are in the store.
    given: u64,
    written: u64,
    /// What `written` becomes with the present writing, if it is the last.
    covered: u64,
}

/// A change, to ask later whether it has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

impl OwnRows {
    /// Changes rows. True: somebody must begin to write.
    pub(crate) fn change(
        &mut self,
        room: &RoomId,
        writes: impl IntoIterator<Item = Write>,
    ) -> (Ticket, bool) {
        let before = self.given;
        let fresh = || OwnRoom { given: before, written: before, covered: before, ..OwnRoom::default() };
        let own = self.rooms.entry(room.clone()).or_insert_with(fresh);
        for (field, value) in writes {
            own.unwritten.insert(field.clone());
            if value.is_empty() {
                own.rows.remove(&field);
            } else {
                own.rows.insert(field, value);
            }
        }
        self.given += 1;
        own.given = self.given;
        (Ticket(self.given), !std::mem::replace(&mut own.has_writer, true))
    }

    /// Compares with what the store has. True: somebody must begin to write.
    pub(crate) fn compare(&mut self, room: &RoomId, stored: &HashMap<Box<str>, Box<str>>) -> bool {
        let before = self.given;
        let fresh = || OwnRoom { given: before, written: before, covered: before, ..OwnRoom::default() };
        let entry = match self.rooms.entry(room.clone()) {
            Entry::Vacant(_) if stored.is_empty() => return false,
            entry => entry.or_insert_with(fresh),
        };
        let surplus = stored.keys().filter(|field| !entry.rows.contains_key(*field));
        let missing = entry.rows.iter().filter(|(field, value)| stored.get(*field) != Some(value));
        let differing: Vec<Box<str>> = surplus.chain(missing.map(|(field, _)| field)).cloned().collect();
        entry.unwritten.extend(differing);
        !entry.unwritten.is_empty() && !std::mem::replace(&mut entry.has_writer, true)
    }

    /// For the one who writes: the next, and then how it went. Who gets nothing is done, and must begin anew when told.
    pub(crate) fn next(&mut self, room: &RoomId, max: usize) -> Vec<Write> {
        let Some(own) = self.rooms.get_mut(room) else { return Vec::new() };
        debug_assert!(own.writing.is_empty(), "one writes at a time");
        while own.writing.len() < max
            && let Some(field) = own.unwritten.pop_first()
        {
            own.writing.push(field);
        }
        if own.unwritten.is_empty() {
            own.covered = own.given;
        }
        own.has_writer = !own.writing.is_empty();
        let value = |field| own.rows.get(field).cloned().unwrap_or_default();
        own.writing.iter().map(|field| (field.clone(), value(field))).collect()
    }

    pub(crate) fn written(&mut self, room: &RoomId) {
        let Entry::Occupied(mut entry) = self.rooms.entry(room.clone()) else { return };
        let own = entry.get_mut();
        own.writing.clear();
        own.written = own.covered;
        if own.rows.is_empty() && own.unwritten.is_empty() {
            entry.remove();
        }
    }

    /// It may have been written or not.
    pub(crate) fn failed(&mut self, room: &RoomId) {
        if let Some(own) = self.rooms.get_mut(room) {
            own.unwritten.extend(own.writing.drain(..));
            own.covered = own.written;
        }
    }

    /// Whether that change is in the store, or was overtaken by one that is.
    pub(crate) fn is_written(&self, room: &RoomId, ticket: Ticket) -> bool {
        // A room that is not here any more was written to the end.
        self.rooms.get(room).is_none_or(|own| own.written >= ticket.0)
    }

    pub(crate) fn rows(&self, room: &RoomId) -> impl Iterator<Item = (&str, &str)> {
        let rows = self.rooms.get(room).into_iter().flat_map(|own| &own.rows);
        rows.map(|(field, value)| (&**field, &**value))
    }

    pub(crate) fn rooms(&self) -> impl Iterator<Item = &RoomId> {
        self.rooms.keys()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn room() -> RoomId {
        RoomId::parse("chat:a").unwrap()
    }

    fn write(field: &str, value: &str) -> Write {
        (field.into(), value.into())
    }

    #[test]
    fn one_writes_at_a_time_and_the_newest_wins() {
        let mut own = OwnRows::default();
        let (first, begin) = own.change(&room(), [write("a", "o"), write("b", "o")]);
        assert!(begin);
        assert_eq!(own.next(&room(), 10).len(), 2);
        let (second, begin) = own.change(&room(), [write("a", "")]);
        assert!(!begin, "whoever writes goes on");
        own.failed(&room());
        assert!(!own.is_written(&room(), first));
        assert_eq!(own.next(&room(), 10), [write("a", ""), write("b", "o")], "as it is now");
        own.written(&room());
        assert!(own.is_written(&room(), first) && own.is_written(&room(), second));
        assert!(own.next(&room(), 10).is_empty());
    }

    #[test]
    fn a_large_change_is_written_in_parts() {
        let mut own = OwnRows::default();
        let (ticket, _) = own.change(&room(), (0..5).map(|n| write(&n.to_string(), "o")));
        for left in [3, 1] {
            assert_eq!(own.next(&room(), 2).len(), 2);
            own.written(&room());
            assert!(!own.is_written(&room(), ticket), "{left} left");
        }
        assert_eq!(own.next(&room(), 2).len(), 1);
        own.written(&room());
        assert!(own.is_written(&room(), ticket));
    }

    #[test]
    fn nothing_stays_of_a_room_without_rows() {
        let mut own = OwnRows::default();
        own.change(&room(), [write("a", "o")]);
        own.next(&room(), 10);
        own.written(&room());
        let (ticket, begin) = own.change(&room(), [write("a", "")]);
        assert!(!begin, "the first writer has not ended yet");
        own.next(&room(), 10);
        own.written(&room());
        assert!(own.is_empty() && own.is_written(&room(), ticket));
        assert!(own.next(&room(), 10).is_empty());
        let (_, begin) = own.change(&room(), [write("a", "o")]);
        assert!(begin && own.is_written(&room(), ticket), "what was written stays so");
        let mut own = OwnRows::default();
        assert!(!own.compare(&room(), &HashMap::new()) && own.is_empty());
    }

    proptest! {
        /// Whatever is lost or applied twice in between, at rest the store has this node's rows.
        #[test]
        fn the_store_becomes_level(
            steps in proptest::collection::vec((0u8..5, 0usize..4, any::<bool>(), any::<bool>()), 1..60),
        ) {
            let fields = ["a", "b", "c", "d"];
            let mut own = OwnRows::default();
            let mut truth: HashMap<Box<str>, Box<str>> = HashMap::new();
            let mut store: HashMap<Box<str>, Box<str>> = HashMap::new();
            let apply = |store: &mut HashMap<Box<str>, Box<str>>, writes: &[Write]| {
                for (field, value) in writes {
                    if value.is_empty() { store.remove(field); } else { store.insert(field.clone(), value.clone()); }
                }
            };
            for (number, (kind, which, there, applied)) in steps.into_iter().enumerate() {
                match kind {
                    0 | 1 => {
                        let value = if there { format!("o{number}") } else { String::new() };
                        let change = write(fields[which], &value);
                        apply(&mut truth, std::slice::from_ref(&change));
                        own.change(&room(), [change]);
                    }
                    2 => {
                        let writes = own.next(&room(), 2);
                        if !writes.is_empty() {
                            if applied { apply(&mut store, &writes); }
                            if applied && there { own.written(&room()); } else { own.failed(&room()); }
                        }
                    }
                    3 => { store.remove(fields[which]); own.compare(&room(), &store); }
                    _ => { store.insert(fields[which].into(), "old".into()); own.compare(&room(), &store); }
                }
            }
            loop {
                let writes = own.next(&room(), 3);
                if writes.is_empty() { break; }
                apply(&mut store, &writes);
                own.written(&room());
            }
            own.compare(&room(), &store);
            loop {
                let writes = own.next(&room(), 3);
                if writes.is_empty() { break; }
                apply(&mut store, &writes);
                own.written(&room());
            }
            prop_assert_eq!(store, truth);
        }
    }
}
