//! One lane: its rooms, where each stands, and their latest messages.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use turnpike_wire::RoomId;

use super::seen::Seen;
use super::{HistoryLimits, Levels, Stored};
use crate::offset::LANES;

pub(crate) struct Lane {
    limits: Arc<HistoryLimits>,
    /// Position of the latest message.
    head: u64,
    /// And when that was, in milliseconds since 1970.
    latest_ts: u64,
    rooms: HashMap<RoomId, Room>,
    /// Which room to shorten first: every message that is kept, oldest first, and some that are gone already.
    order: VecDeque<(RoomId, u64)>,
    messages: usize,
    bytes: usize,
    /// Rooms that were forgotten stood at most here. A room that comes back goes on from there, so that no position is
    /// given out twice and a position from before is known to be too old.
    forgotten_seq: u64,
    forgotten_pos: u64,
    pub(super) seen: Seen,
}

/// Most rooms are somebody's own and never hold a message, so that one is kept small.
struct Room {
    seq: u64,
    /// Lane position of the latest message that is not kept any more.
    lost_pos: u64,
    members: u32,
    history: Option<Box<History>>,
}

#[derive(Default)]
struct History {
    messages: VecDeque<Arc<Stored>>,
    bytes: usize,
}

/// The history does not reach back that far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lost;

impl Lane {
    pub(super) fn new(limits: Arc<HistoryLimits>) -> Self {
        let seen = Seen::new(limits.dedupe_ms, limits.dedupe_ids_max.div_ceil(LANES));
        Self {
            limits,
            head: 0,
            latest_ts: 0,
            rooms: HashMap::new(),
            order: VecDeque::new(),
            messages: 0,
            bytes: 0,
            forgotten_seq: 0,
            forgotten_pos: 0,
            seen,
        }
    }

    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    pub(super) fn latest_ts(&self) -> u64 {
        self.latest_ts
    }

    /// Where the room stands.
    pub(crate) fn seq(&self, room: &str) -> u64 {
        self.rooms.get(room).map_or(self.forgotten_seq, |room| room.seq)
    }

    /// A session is in the room; as long as one is, the room keeps its place. Gives the room's own copy of its name, so
    /// that its members need not keep one each.
    pub(crate) fn enter(&mut self, room: &RoomId) -> RoomId {
        self.room(room).members += 1;
        let (name, _) = self.rooms.get_key_value(room).expect("it was made just now");
        name.clone()
    }

    /// A session is not in the room any more and will not come back to it.
    pub(crate) fn leave(&mut self, room: &RoomId) {
        if let Some(left) = self.rooms.get_mut(room) {
            left.members = left.members.saturating_sub(1);
            self.forget_if_idle(room);
        }
    }

    /// The messages of the room after a position of the lane.
    pub(crate) fn after_pos(&self, room: &str, pos: u64) -> Result<Vec<Arc<Stored>>, Lost> {
        match self.rooms.get(room) {
            Some(room) if room.lost_pos > pos => Err(Lost),
            Some(room) => Ok(room.tail(|message| message.pos <= pos)),
            None if self.forgotten_pos > pos => Err(Lost),
            None => Ok(Vec::new()),
        }
    }

    /// The messages of the room after a position of the room.
    pub(crate) fn after_seq(&self, room: &str, seq: u64) -> Result<Vec<Arc<Stored>>, Lost> {
        let (head, kept) = match self.rooms.get(room) {
            Some(room) => (room.seq, room.kept() as u64),
            None => (self.forgotten_seq, 0),
        };
        if seq > head || seq < head - kept {
            return Err(Lost);
        }
        Ok(self.latest(room, (head - seq) as usize))
    }

    /// The latest messages of the room, oldest first.
    pub(crate) fn latest(&self, room: &str, count: usize) -> Vec<Arc<Stored>> {
        let Some(history) = self.rooms.get(room).and_then(|room| room.history.as_ref()) else {
            return Vec::new();
        };
        history.messages.iter().skip(history.messages.len().saturating_sub(count)).cloned().collect()
    }

    pub(super) fn append(&mut self, room: &RoomId, ts: u64, message: Stored) {
        let bytes = message.bytes();
        self.head = message.pos;
        self.latest_ts = ts;
        self.order.push_back((room.clone(), message.pos));
        self.messages += 1;
        self.bytes += bytes;
        let (messages_max, bytes_max) = (self.limits.room_messages_max, self.limits.room_bytes_max);
        let place = self.room(room);
        place.seq = message.seq;
        let history = place.history.get_or_insert_default();
        history.bytes += bytes;
        history.messages.push_back(Arc::new(message));
        let (mut gone, mut gone_bytes) = (0, 0);
        while place
            .history
            .as_ref()
            .is_some_and(|history| history.messages.len() > messages_max || history.bytes > bytes_max)
        {
            gone_bytes += place.drop_oldest();
            gone += 1;
        }
        self.messages -= gone;
        self.bytes -= gone_bytes;
        while self.bytes > self.limits.bytes_max / LANES && self.drop_oldest() {}
        self.tidy_order();
    }

    pub(super) fn sweep(&mut self, steady_ms: u64) {
        self.seen.expire(steady_ms);
        while let Some((room, pos)) = self.order.front() {
            let oldest = self.rooms.get(room).and_then(Room::oldest);
            if oldest.is_some_and(|oldest| {
                oldest.pos == *pos && oldest.kept_ms + self.limits.age_ms_max >= steady_ms
            }) {
                break;
            }
            self.drop_oldest();
        }
    }

    pub(super) fn levels(&self) -> Levels {
        Levels {
            rooms: self.rooms.len(),
            messages: self.messages,
            bytes: self.bytes,
            message_ids: self.seen.len(),
        }
    }

    fn room(&mut self, room: &RoomId) -> &mut Room {
        let (seq, lost_pos) = (self.forgotten_seq, self.forgotten_pos);
        self.rooms.entry(room.clone()).or_insert(Room { seq, lost_pos, members: 0, history: None })
    }

    /// Takes the first entry off the order, and its message if that is still kept. False when there is none left.
    fn drop_oldest(&mut self) -> bool {
        let Some((name, pos)) = self.order.pop_front() else { return false };
        if let Some(room) = self.rooms.get_mut(&name)
            && room.oldest().is_some_and(|oldest| oldest.pos == pos)
        {
            self.bytes -= room.drop_oldest();
            self.messages -= 1;
            self.forget_if_idle(&name);
        }
        true
    }

    fn forget_if_idle(&mut self, name: &RoomId) {
        if let Some(room) = self.rooms.get(name)
            && room.members == 0
            && room.kept() == 0
        {
            self.forgotten_seq = self.forgotten_seq.max(room.seq);
            self.forgotten_pos = self.forgotten_pos.max(room.lost_pos);
            self.rooms.remove(name);
            if self.rooms.capacity() > 1024 && self.rooms.len() * 8 < self.rooms.capacity() {
                self.rooms.shrink_to(self.rooms.len() * 2);
            }
        }
    }

    /// A room that is busy alone fills the order with entries of messages that it has long dropped itself.
    fn tidy_order(&mut self) {
        if self.order.len() > 2 * self.messages + 64 {
            let rooms = &self.rooms;
            self.order.retain(|(room, pos)| {
                rooms.get(room).and_then(Room::oldest).is_some_and(|oldest| oldest.pos <= *pos)
            });
        }
    }
}

impl Room {
    fn kept(&self) -> usize {
        self.history.as_ref().map_or(0, |history| history.messages.len())
    }

    fn oldest(&self) -> Option<&Stored> {
        self.history.as_ref()?.messages.front().map(|message| &**message)
    }

    /// Everything behind the part for which `before` holds.
    fn tail(&self, before: impl Fn(&Stored) -> bool) -> Vec<Arc<Stored>> {
        let Some(history) = &self.history else { return Vec::new() };
        let from = history.messages.partition_point(|message| before(message));
        history.messages.range(from..).cloned().collect()
    }

    /// Gives the bytes that it took.
    fn drop_oldest(&mut self) -> usize {
        let Some(history) = &mut self.history else { return 0 };
        let Some(oldest) = history.messages.pop_front() else { return 0 };
        let bytes = oldest.bytes();
        self.lost_pos = oldest.pos;
        history.bytes -= bytes;
        if history.messages.is_empty() {
            self.history = None;
        }
        bytes
    }
}

#[cfg(test)]
impl Lane {
    pub(super) fn order_len(&self) -> usize {
        self.order.len()
    }
}
