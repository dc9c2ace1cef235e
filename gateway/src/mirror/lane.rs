//! One lane as this node sees it: its open rooms, where each stands here, and a ring of their latest messages.
//!
//! Pure: who delivers and who reads is the caller's matter.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use turnpike_cluster::{Message, Standing};
use turnpike_wire::{Position, RoomId};

/// How much of the past is kept at hand, so that who was away for a moment costs the broker nothing.
#[derive(Debug, Clone)]
pub struct RingLimits {
    /// The newest messages of a room.
    pub room_messages_max: usize,
    /// Their bytes. A room of large messages must not take everybody's share.
    pub room_bytes_max: usize,
    /// Bytes of all rooms together; the oldest messages go first.
    pub bytes_max: usize,
    /// Older messages go: what the broker does not keep any more is not found here either.
    pub age_ms_max: u64,
    /// How long a room stays open after its last member left. Opening it anew costs more than a short while of messages
    /// that nobody here wants.
    pub linger_ms: u64,
}

impl Default for RingLimits {
    fn default() -> Self {
        Self {
            room_messages_max: 128,
            room_bytes_max: 256 * 1024,
            bytes_max: 64 * 1024 * 1024,
            age_ms_max: 10 * 60 * 1000,
            linger_ms: 10_000,
        }
    }
}

#[derive(Default)]
pub(crate) struct LaneView {
    rooms: HashMap<RoomId, RoomView>,
    /// Which room to shorten first: every message in a ring, oldest first, and some that are gone already.
    order: VecDeque<Kept>,
    messages: usize,
    bytes: usize,
    /// Rooms without members, in the order in which they became so, and when.
    idle: VecDeque<(u64, RoomId)>,
}

/// A message in a ring, and since when.
struct Kept {
    since_ms: u64,
    room: RoomId,
    seq: u64,
}

/// Most rooms are somebody's own and never hold a message, so that one is kept small.
pub(crate) struct RoomView {
    /// Where the room stands here: everything up to it has been delivered. None: it is being opened.
    standing: Option<Standing>,
    /// The newest message that the ring does not hold.
    floor: Floor,
    occupied: Occupied,
    ring: Option<Box<Ring>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occupied {
    /// By so many sessions, which are in the room or about to be.
    By(u32),
    /// By nobody since then: the low bits of the time, so that this takes no more than a count.
    NotSince(u32),
    /// Being closed: nobody can enter until that is done.
    Closing,
}

impl Occupied {
    fn not_since(now_ms: u64) -> Self {
        Self::NotSince(now_ms as u32)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Floor {
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    pub(crate) pos: u64,
}

#[derive(Default)]
struct Ring {
    messages: VecDeque<Arc<Message>>,
    bytes: usize,
}

impl LaneView {
    pub(crate) fn room(&self, room: &str) -> Option<&RoomView> {
        self.rooms.get(room)
    }

    /// All rooms of the lane that are known here, in no particular order, and where each stands.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = (&RoomId, Option<u64>)> {
        self.rooms.iter().map(|(room, view)| (room, view.standing.as_ref().map(|standing| standing.seq)))
    }

    /// Somebody is in the room, or about to be; as long as they are, it is not closed. Gives the lane's own copy of the
    /// name, so that members need not keep one each, and whether the room has yet to be opened. None: it is being closed,
    /// which takes a moment.
    pub(crate) fn enter(&mut self, room: &RoomId) -> Option<(RoomId, bool)> {
        let view = self.rooms.entry(room.clone()).or_insert_with(RoomView::opening);
        view.occupied = match view.occupied {
            Occupied::Closing => return None,
            Occupied::By(members) => Occupied::By(members + 1),
            Occupied::NotSince(_) => Occupied::By(1),
        };
        let opening = view.standing.is_none();
        let (name, _) = self.rooms.get_key_value(room).expect("it was made just now");
        Some((name.clone(), opening))
    }

    pub(crate) fn leave(&mut self, room: &RoomId, now_ms: u64) {
        let Some(view) = self.rooms.get_mut(room) else { return };
        match view.occupied {
            Occupied::Closing => {}
            Occupied::By(members) if members > 1 => view.occupied = Occupied::By(members - 1),
            Occupied::By(_) | Occupied::NotSince(_) => {
                view.occupied = Occupied::not_since(now_ms);
                let (name, _) = self.rooms.get_key_value(room).expect("it was found just now");
                self.idle.push_back((now_ms, name.clone()));
            }
        }
    }

    /// A room that has been without members since `since_ms` or longer. It stays until it is said to be closed.
    pub(crate) fn begin_to_close_one(&mut self, since_ms: u64) -> Option<RoomId> {
        while let Some((idle_ms, _)) = self.idle.front() {
            if *idle_ms > since_ms {
                return None;
            }
            let (idle_ms, room) = self.idle.pop_front().expect("there is a first");
            // It may have had members meanwhile. If they have left again, it stands further back as well.
            if let Some(view) = self.rooms.get_mut(&room)
                && view.occupied == Occupied::not_since(idle_ms)
            {
                view.occupied = Occupied::Closing;
                return Some(room);
            }
        }
        None
    }

    pub(crate) fn closed(&mut self, room: &RoomId) {
        if let Some(mut view) = self.rooms.remove(room) {
            let (messages, bytes) = view.clear_ring();
            self.messages -= messages;
            self.bytes -= bytes;
        }
        if self.rooms.capacity() > 1024 && self.rooms.len() * 8 < self.rooms.capacity() {
            self.rooms.shrink_to(self.rooms.len() * 2);
        }
    }

    pub(crate) fn opened(&mut self, room: &RoomId, standing: Standing) {
        let view = self.rooms.entry(room.clone()).or_insert_with(RoomView::opening);
        let (messages, bytes) = view.clear_ring();
        view.floor = Floor { epoch: standing.epoch, seq: standing.seq, pos: standing.pos };
        view.standing = Some(standing);
        self.messages -= messages;
        self.bytes -= bytes;
    }

    /// Whether the message is the next of an open room.
    pub(crate) fn expects(&self, message: &Message) -> bool {
        let standing = self.rooms.get(&message.room).and_then(|view| view.standing.as_ref());
        standing.is_some_and(|standing| standing.seq + 1 == message.seq)
    }

    pub(crate) fn append(&mut self, message: &Arc<Message>, now_ms: u64, limits: &RingLimits, lanes: usize) {
        let Some(view) = self.rooms.get_mut(&message.room) else { return };
        let Some(standing) = &mut view.standing else { return };
        standing.epoch = message.at.epoch;
        standing.seq = message.seq;
        standing.pos = message.at.pos;
        let bytes = message.bytes();
        let ring = view.ring.get_or_insert_default();
        ring.bytes += bytes;
        ring.messages.push_back(Arc::clone(message));
        self.messages += 1;
        self.bytes += bytes;
        self.order.push_back(Kept { since_ms: now_ms, room: message.room.clone(), seq: message.seq });
        while view.ring.as_ref().is_some_and(|ring| {
            ring.messages.len() > limits.room_messages_max || ring.bytes > limits.room_bytes_max
        }) {
            self.bytes -= view.drop_oldest();
            self.messages -= 1;
        }
        while self.bytes > limits.bytes_max / lanes && self.drop_oldest() {}
        self.tidy_order();
    }

    pub(crate) fn levels(&self) -> Levels {
        Levels { rooms: self.rooms.len(), messages: self.messages, bytes: self.bytes }
    }

    /// Lets go what came before then.
    pub(crate) fn expire(&mut self, before_ms: u64) {
        while self.order.front().is_some_and(|kept| kept.since_ms < before_ms) {
            self.drop_oldest();
        }
    }

    /// Takes the first entry off the order, and its message if that is still kept. False when there is none left.
    fn drop_oldest(&mut self) -> bool {
        let Some(Kept { room, seq, .. }) = self.order.pop_front() else { return false };
        if let Some(view) = self.rooms.get_mut(&room)
            && view.oldest().is_some_and(|oldest| oldest.seq == seq)
        {
            self.bytes -= view.drop_oldest();
            self.messages -= 1;
        }
        true
    }

    /// A room that is busy alone fills the order with entries of messages that it has long dropped itself.
    fn tidy_order(&mut self) {
        if self.order.len() > 2 * self.messages + 64 {
            let rooms = &self.rooms;
            self.order.retain(|kept| {
                let oldest = rooms.get(&kept.room).and_then(RoomView::oldest);
                oldest.is_some_and(|oldest| oldest.seq <= kept.seq)
            });
        }
    }
}

impl RoomView {
    fn opening() -> Self {
        Self {
            standing: None,
            floor: Floor { epoch: 0, seq: 0, pos: 0 },
            occupied: Occupied::By(0),
            ring: None,
        }
    }

    pub(crate) fn standing(&self) -> Option<&Standing> {
        self.standing.as_ref()
    }

    /// Sessions that are in the room, or about to be.
    pub(crate) fn members(&self) -> u32 {
        match self.occupied {
            Occupied::By(members) => members,
            Occupied::NotSince(_) | Occupied::Closing => 0,
        }
    }

    pub(crate) fn floor(&self) -> Floor {
        self.floor
    }

    /// The messages behind the first for which `before` does not hold, oldest first.
    pub(crate) fn tail(&self, before: impl Fn(&Message) -> bool) -> Vec<Arc<Message>> {
        let Some(ring) = &self.ring else { return Vec::new() };
        let from = ring.messages.partition_point(|message| before(message));
        ring.messages.range(from..).cloned().collect()
    }

    pub(crate) fn kept(&self) -> usize {
        self.ring.as_ref().map_or(0, |ring| ring.messages.len())
    }

    /// Whether the ring holds everything after this message, and it is one of this room's present order.
    pub(crate) fn reaches_back_to(&self, position: Position) -> bool {
        if position.seq == self.floor.seq {
            return position.epoch == self.floor.epoch;
        }
        position.seq > self.floor.seq
            && self
                .tail(|message| message.seq < position.seq)
                .first()
                .is_some_and(|found| found.seq == position.seq && found.at.epoch == position.epoch)
    }

    fn oldest(&self) -> Option<&Message> {
        self.ring.as_ref()?.messages.front().map(|message| &**message)
    }

    /// Gives the bytes that it took.
    fn drop_oldest(&mut self) -> usize {
        let Some(ring) = &mut self.ring else { return 0 };
        let Some(oldest) = ring.messages.pop_front() else { return 0 };
        let bytes = oldest.bytes();
        self.floor = Floor { epoch: oldest.at.epoch, seq: oldest.seq, pos: oldest.at.pos };
        ring.bytes -= bytes;
        if ring.messages.is_empty() {
            self.ring = None;
        }
        bytes
    }

    /// Gives how many messages it held and their bytes.
    fn clear_ring(&mut self) -> (usize, usize) {
        self.ring.take().map_or((0, 0), |ring| (ring.messages.len(), ring.bytes))
    }
}

/// How much is kept at hand right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Levels {
    pub(crate) rooms: usize,
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_closed_by_its_last_parting_alone() {
        let (mut lane, room) = (LaneView::default(), RoomId::parse("chat:a").unwrap());
        lane.enter(&room).unwrap();
        lane.enter(&room).unwrap();
        lane.leave(&room, 10);
        assert_eq!(lane.begin_to_close_one(100), None, "somebody is still there");
        lane.leave(&room, 20);
        lane.enter(&room).unwrap();
        assert_eq!(lane.begin_to_close_one(100), None, "somebody is there again");
        lane.leave(&room, 30);
        lane.enter(&room).unwrap();
        lane.leave(&room, 40);
        assert_eq!(lane.begin_to_close_one(35), None, "they have left again since");
        assert_eq!(lane.begin_to_close_one(40), Some(room.clone()));
        assert_eq!(lane.enter(&room), None, "it is being closed");
        lane.closed(&room);
        assert_eq!(lane.begin_to_close_one(100), None);
        assert!(lane.enter(&room).is_some());
    }
}
