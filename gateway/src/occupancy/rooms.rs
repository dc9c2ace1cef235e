//! Of which rooms this node says that somebody is in them: when the first connection has come, and when the last has been
//! gone for a while. Each change is asked of the store until that has answered, one at a time for each room.
//!
//! Pure: the time is an argument, and what is to be asked is handed out.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use smallvec::SmallVec;
use turnpike_wire::RoomId;

use crate::agenda::Agenda;

/// Whoever loses their connection is back within it, usually, and so is a page that is loaded anew.
const GRACE_MS: u64 = 4_000;

/// Asked of the store at once. When so many are under way the others wait for their turn.
const ASKS_MAX: usize = 256;

const RETRY_MS_MIN: u64 = 250;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    Enter,
    Leave,
}

pub(super) struct Rooms<S> {
    by_name: HashMap<RoomId, Room<S>>,
    by_socket: HashMap<S, SmallVec<[RoomId; 4]>>,
    agenda: Agenda<RoomId>,
    under_way: usize,
}

struct Room<S> {
    sockets: HashSet<S>,
    /// Since when nobody is here.
    empty_since_ms: u64,
    stored: Stored,
    under_way: bool,
    /// Not asked again before.
    retry_ms: u64,
}

/// Whether the store has it that somebody is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stored {
    No,
    Yes,
    /// It did not answer, and may have done what it was asked.
    Perhaps,
}

impl<S> Default for Rooms<S> {
    fn default() -> Self {
        Self { by_name: HashMap::new(), by_socket: HashMap::new(), agenda: Agenda::default(), under_way: 0 }
    }
}

impl<S> Room<S> {
    fn new() -> Self {
        Self { sockets: HashSet::new(), empty_since_ms: 0, stored: Stored::No, under_way: false, retry_ms: 0 }
    }

    /// What is to be asked, and from when on. None: all is said, or an answer is waited for.
    fn next(&self) -> Option<(Ask, u64)> {
        match (self.sockets.is_empty(), self.stored) {
            _ if self.under_way => None,
            (false, Stored::Yes) | (true, Stored::No) => None,
            (false, _) => Some((Ask::Enter, self.retry_ms)),
            (true, _) => Some((Ask::Leave, self.retry_ms.max(self.empty_since_ms + GRACE_MS))),
        }
    }

    fn is_over(&self) -> bool {
        self.sockets.is_empty() && self.stored == Stored::No && !self.under_way
    }
}

impl<S: Copy + Eq + Hash> Rooms<S> {
    pub(super) fn enter(&mut self, name: &RoomId, socket: S, now_ms: u64) {
        let room = self.by_name.entry(name.clone()).or_insert_with(Room::new);
        if room.sockets.insert(socket) {
            self.by_socket.entry(socket).or_default().push(name.clone());
        }
        self.note(name, now_ms);
    }

    pub(super) fn exit(&mut self, name: &RoomId, socket: S, now_ms: u64) {
        if let Some(rooms) = self.by_socket.get_mut(&socket) {
            rooms.retain(|room| room != name);
            if rooms.is_empty() {
                self.by_socket.remove(&socket);
            }
        }
        self.empty(name, socket, now_ms);
    }

    pub(super) fn gone(&mut self, socket: S, now_ms: u64) {
        for name in self.by_socket.remove(&socket).unwrap_or_default() {
            self.empty(&name, socket, now_ms);
        }
    }

    /// What is to be asked of the store. Each is answered by [`Rooms::settled`].
    pub(super) fn tick(&mut self, now_ms: u64) -> Vec<(RoomId, Ask)> {
        let mut asks = Vec::new();
        for name in self.agenda.due(now_ms) {
            let Some(room) = self.by_name.get_mut(&name) else { continue };
            match room.next() {
                Some((ask, due_ms)) if due_ms <= now_ms && self.under_way < ASKS_MAX => {
                    room.under_way = true;
                    self.under_way += 1;
                    asks.push((name, ask));
                }
                // Not yet, or too many at once.
                Some((_, due_ms)) => self.agenda.note(&name, due_ms.max(now_ms + 1)),
                None => {}
            }
        }
        asks
    }

    /// The store has answered; or it has not, and is asked again after that many milliseconds.
    pub(super) fn settled(&mut self, name: &RoomId, ask: Ask, failed: Option<u64>, now_ms: u64) {
        self.under_way = self.under_way.saturating_sub(1);
        let Some(room) = self.by_name.get_mut(name) else { return };
        room.under_way = false;
        room.stored = match (failed, ask) {
            (Some(_), _) => Stored::Perhaps,
            (None, Ask::Enter) => Stored::Yes,
            (None, Ask::Leave) => Stored::No,
        };
        if let Some(retry_after_ms) = failed {
            room.retry_ms = now_ms + retry_after_ms.max(RETRY_MS_MIN);
        }
        self.note(name, now_ms);
    }

    /// Everything that the store may know of. Nothing is asked for these any more.
    pub(super) fn close(&mut self) -> Vec<RoomId> {
        let rooms = std::mem::take(self).by_name.into_iter();
        rooms.filter(|(_, room)| room.stored != Stored::No || room.under_way).map(|(name, _)| name).collect()
    }

    fn empty(&mut self, name: &RoomId, socket: S, now_ms: u64) {
        let Some(room) = self.by_name.get_mut(name) else { return };
        if room.sockets.remove(&socket) && room.sockets.is_empty() {
            room.empty_since_ms = now_ms;
        }
        self.note(name, now_ms);
    }

    fn note(&mut self, name: &RoomId, now_ms: u64) {
        let Some(room) = self.by_name.get(name) else { return };
        if room.is_over() {
            self.by_name.remove(name);
        } else {
            self.agenda.note_next(name, room.next().map(|(_, due_ms)| due_ms.max(now_ms)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn room(name: &str) -> RoomId {
        RoomId::parse(name).unwrap()
    }

    #[test]
    fn a_room_is_entered_at_once_and_left_after_the_grace() {
        let (mut rooms, a) = (Rooms::default(), room("a"));
        rooms.enter(&a, 1, 1_000);
        rooms.enter(&a, 2, 1_000);
        assert_eq!(rooms.tick(1_010), [(a.clone(), Ask::Enter)]);
        assert_eq!(rooms.tick(1_020), [], "one at a time");
        rooms.settled(&a, Ask::Enter, None, 1_020);
        rooms.exit(&a, 1, 2_000);
        rooms.gone(2, 3_000);
        assert_eq!(rooms.tick(6_990), []);
        rooms.enter(&a, 3, 6_995);
        assert_eq!(rooms.tick(7_100), [], "somebody came back");
        rooms.gone(3, 8_000);
        assert_eq!(rooms.tick(11_990), []);
        assert_eq!(rooms.tick(12_000), [(a.clone(), Ask::Leave)]);
        rooms.settled(&a, Ask::Leave, None, 12_010);
        assert!(rooms.by_name.is_empty() && rooms.by_socket.is_empty());
    }

    #[test]
    fn what_the_store_did_not_take_is_asked_again() {
        let (mut rooms, a) = (Rooms::default(), room("a"));
        rooms.enter(&a, 1, 0);
        assert_eq!(rooms.tick(10).len(), 1);
        rooms.settled(&a, Ask::Enter, Some(1_000), 10);
        assert_eq!(rooms.tick(1_000), []);
        assert_eq!(rooms.tick(1_010), [(a.clone(), Ask::Enter)]);
        rooms.gone(1, 1_020);
        rooms.settled(&a, Ask::Enter, Some(0), 1_020);
        assert_eq!(rooms.tick(5_020), [(a.clone(), Ask::Leave)], "it may have been taken");
        rooms.settled(&a, Ask::Leave, None, 5_030);
        assert!(rooms.by_name.is_empty());
    }

    #[test]
    fn only_so_many_are_asked_at_once() {
        let mut rooms = Rooms::default();
        for number in 0..1_000 {
            rooms.enter(&room(&format!("r{number}")), number, 0);
        }
        let first = rooms.tick(10);
        assert_eq!(first.len(), ASKS_MAX);
        for (name, ask) in first {
            rooms.settled(&name, ask, None, 10);
        }
        let mut now_ms = 10;
        let mut entered = ASKS_MAX;
        while entered < 1_000 {
            now_ms += 10;
            for (name, ask) in rooms.tick(now_ms) {
                entered += 1;
                rooms.settled(&name, ask, None, now_ms);
            }
            assert!(now_ms < 1_000);
        }
    }

    /// What a test plays: a store that may fail, and may then have done what it was asked or not.
    #[derive(Default)]
    struct World {
        rooms: Rooms<u32>,
        store: HashSet<RoomId>,
        asked: VecDeque<(RoomId, Ask)>,
        now_ms: u64,
    }

    impl World {
        fn answer(&mut self, fails: bool) {
            let Some((name, ask)) = self.asked.pop_front() else { return };
            if !fails || self.now_ms.is_multiple_of(2) {
                match ask {
                    Ask::Enter => self.store.insert(name.clone()),
                    Ask::Leave => self.store.remove(&name),
                };
            }
            self.rooms.settled(&name, ask, fails.then_some(100), self.now_ms);
        }

        fn tick(&mut self, later_ms: u64) {
            self.now_ms += later_ms;
            self.asked.extend(self.rooms.tick(self.now_ms));
        }
    }

    fn steps() -> impl Strategy<Value = Vec<(u8, u32, u8, bool, u64)>> {
        proptest::collection::vec((0_u8..4, 0_u32..4, 0_u8..3, any::<bool>(), 0_u64..5_000), 0..200)
    }

    proptest! {
        /// Whatever comes and goes, and however often the store fails: in the end it knows what is so.
        #[test]
        fn the_store_knows_in_the_end(steps in steps()) {
            let mut world = World::default();
            let mut is_in: HashSet<(RoomId, u32)> = HashSet::new();
            for (what, socket, of, fails, later_ms) in steps {
                let (name, now_ms) = (room(&format!("r{of}")), world.now_ms);
                match what {
                    0 => {
                        world.rooms.enter(&name, socket, now_ms);
                        is_in.insert((name, socket));
                    }
                    1 => {
                        world.rooms.exit(&name, socket, now_ms);
                        is_in.remove(&(name, socket));
                    }
                    2 => {
                        world.rooms.gone(socket, now_ms);
                        is_in.retain(|(_, other)| *other != socket);
                    }
                    _ => {
                        world.tick(later_ms);
                        world.answer(fails);
                    }
                }
            }
            for _ in 0..20 {
                while !world.asked.is_empty() {
                    world.answer(false);
                }
                world.tick(5_000);
            }
            let expected: HashSet<RoomId> = is_in.into_iter().map(|(name, _)| name).collect();
            prop_assert_eq!(world.rooms.by_name.len(), expected.len());
            prop_assert_eq!(world.store, expected);
            prop_assert_eq!(world.rooms.under_way, 0);
        }
    }
}
