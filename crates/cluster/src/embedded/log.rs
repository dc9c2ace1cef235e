//! One lane's log: its rooms, where each stands, and their latest messages.
//!
//! Pure: positions and times come in; who is delivered to, and what is written to disk, is the caller's matter. For a disk
//! it notes what it has dropped.

mod restore;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use turnpike_wire::RoomId;

pub(super) use self::restore::{Past, Previous};
use super::Levels;
use super::epochs::Epochs;
use super::seen::Seen;
use crate::{HistoryLimits, LANES, LanePosition, Message, Standing};

#[cfg_attr(test, derive(Clone))]
pub(super) struct Log {
    limits: Arc<HistoryLimits>,
    pub(super) epochs: Epochs,
    /// Position of the latest message.
    head: u64,
    /// And when that was, in milliseconds since 1970.
    latest_ts: u64,
    rooms: HashMap<RoomId, Room>,
    /// Which room to shorten first: every message that is kept, oldest first, and some that are gone already.
    order: VecDeque<(RoomId, u64)>,
    messages: usize,
    bytes: usize,
    pub(super) forgotten: Forgotten,
    pub(super) seen: Seen,
    /// No room is forgotten yet: somebody may still come back to it.
    held: bool,
    /// What a disk has yet to be told. None: there is no disk.
    journal: Option<Journal>,
}

/// What is no longer as it is written on disk. No longer than what was kept when it was last taken.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Journal {
    /// Turns of messages that were dropped.
    pub(super) messages: Vec<u64>,
    /// Turns of ids that were forgotten.
    pub(super) ids: Vec<u64>,
    /// Rooms that have lost their last message, or were forgotten.
    pub(super) rooms: Vec<RoomId>,
}

/// Rooms that were forgotten stood at most here. A room that comes back goes on from there, so that no position is given
/// out twice and a position from before is known to be too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Forgotten {
    pub(super) seq: u64,
    pub(super) pos: u64,
}

/// Most rooms are somebody's own and never hold a message, so that one is kept small.
#[cfg_attr(test, derive(Clone))]
pub(super) struct Room {
    seq: u64,
    /// Lane position of the latest message. Zero: there is none.
    pos: u64,
    /// Lane position of the latest message that is not kept any more.
    lost_pos: u64,
    /// That one was a message of this room, and not of some room that was forgotten.
    lost_own: bool,
    open: bool,
    /// Messages that are on their way to it.
    expected: u32,
    history: Option<Box<History>>,
}

#[cfg_attr(test, derive(Clone))]
#[derive(Default)]
struct History {
    messages: VecDeque<Kept>,
    bytes: usize,
}

#[cfg_attr(test, derive(Clone))]
pub(super) struct Kept {
    /// When it came, by the steady clock.
    since_ms: u64,
    /// Where it stands on disk.
    turn: u64,
    message: Arc<Message>,
}

impl Log {
    pub(super) fn new(limits: Arc<HistoryLimits>, epoch: u64) -> Self {
        let seen = Seen::new(limits.dedupe_ms, limits.dedupe_ids_max.div_ceil(LANES));
        Self {
            limits,
            epochs: Epochs::begin(Vec::new(), epoch, 0),
            head: 0,
            latest_ts: 0,
            rooms: HashMap::new(),
            order: VecDeque::new(),
            messages: 0,
            bytes: 0,
            forgotten: Forgotten::default(),
            seen,
            held: false,
            journal: None,
        }
    }

    pub(super) fn head(&self) -> u64 {
        self.head
    }

    pub(super) fn latest_ts(&self) -> u64 {
        self.latest_ts
    }

    pub(super) fn position(&self) -> LanePosition {
        LanePosition { epoch: self.epochs.present(), pos: self.head }
    }

    /// The number of the room's latest message.
    pub(super) fn seq(&self, room: &str) -> u64 {
        self.rooms.get(room).map_or(self.forgotten.seq, |room| room.seq)
    }

    pub(super) fn standing(&self, room: &str) -> Standing {
        self.standing_of(self.rooms.get(room))
    }

    pub(super) fn is_open(&self, room: &str) -> bool {
        self.rooms.get(room).is_some_and(|room| room.open)
    }

    /// As long as a room is open it keeps its place. False: it was open before.
    pub(super) fn open(&mut self, room: &RoomId) -> bool {
        !std::mem::replace(&mut self.room(room).open, true)
    }

    pub(super) fn close(&mut self, room: &RoomId) {
        if let Some(closed) = self.rooms.get_mut(room) {
            closed.open = false;
            self.forget_if_idle(room);
        }
    }

    /// A message is on its way to the room, which keeps its place until then.
    pub(super) fn expect(&mut self, room: &RoomId) {
        self.room(room).expected += 1;
    }

    /// It has come, or will not.
    pub(super) fn expect_no_more(&mut self, room: &RoomId) {
        if let Some(expecting) = self.rooms.get_mut(room) {
            expecting.expected = expecting.expected.saturating_sub(1);
            self.forget_if_idle(room);
        }
    }

    pub(super) fn append(&mut self, message: Arc<Message>, kept_ms: u64, turn: u64) {
        let bytes = message.bytes();
        self.head = message.at.pos;
        self.latest_ts = message.ts;
        self.order.push_back((message.room.clone(), message.at.pos));
        self.messages += 1;
        self.bytes += bytes;
        let (messages_max, bytes_max) = (self.limits.room_messages_max, self.limits.room_bytes_max);
        self.make_room(&message.room);
        let place = self.rooms.get_mut(&message.room).expect("it is there or was made just now");
        place.seq = message.seq;
        place.pos = message.at.pos;
        let history = place.history.get_or_insert_default();
        history.bytes += bytes;
        history.messages.push_back(Kept { since_ms: kept_ms, turn, message });
        let full = |room: &Room| {
            room.history
                .as_ref()
                .is_some_and(|history| history.messages.len() > messages_max || history.bytes > bytes_max)
        };
        let (mut gone, mut gone_bytes) = (0, 0);
        while full(place) {
            let Some((oldest, bytes)) = place.drop_oldest() else { break };
            gone += 1;
            gone_bytes += bytes;
            if let Some(journal) = &mut self.journal {
                journal.messages.push(oldest);
            }
        }
        let empty = place.kept() == 0;
        self.messages -= gone;
        self.bytes -= gone_bytes;
        if empty {
            // Larger than all that a room may keep.
            let room = self.order.back().map(|(room, _)| room.clone()).expect("it was put there just now");
            if let Some(journal) = &mut self.journal {
                journal.rooms.push(room.clone());
            }
            self.forget_if_idle(&room);
        }
        while self.bytes > self.limits.bytes_max / LANES && self.drop_oldest() {}
        self.tidy_order();
    }

    pub(super) fn sweep(&mut self, steady_ms: u64) {
        self.seen.expire(steady_ms);
        while let Some((room, pos)) = self.order.front() {
            let oldest = self.rooms.get(room).and_then(Room::oldest);
            if oldest.is_some_and(|oldest| {
                oldest.message.at.pos == *pos && oldest.since_ms + self.limits.age_ms_max >= steady_ms
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

    pub(super) fn rooms(&self) -> impl Iterator<Item = (&RoomId, Standing)> {
        self.rooms.iter().map(|(name, room)| (name, self.standing_of(Some(room))))
    }

    pub(super) fn find(&self, room: &str) -> Option<&Room> {
        self.rooms.get(room)
    }

    fn standing_of(&self, room: Option<&Room>) -> Standing {
        let (seq, pos) = room.map_or((self.forgotten.seq, 0), |room| (room.seq, room.pos));
        let epoch = if pos > 0 { self.epochs.of(pos) } else { self.epochs.present() };
        Standing { epoch, seq, pos, lane: self.position() }
    }

    fn room(&mut self, room: &RoomId) -> &mut Room {
        self.make_room(room);
        self.rooms.get_mut(room).expect("it is there or was made just now")
    }

    fn make_room(&mut self, room: &RoomId) {
        // Not `entry`: it would take a name of its own each time, and nearly always the room is there.
        if !self.rooms.contains_key(room) {
            let Forgotten { seq, pos } = self.forgotten;
            self.rooms.insert(room.clone(), Room::at(seq, pos));
        }
    }

    /// Takes the first entry off the order, and its message if that is still kept. False when there is none left.
    fn drop_oldest(&mut self) -> bool {
        let Some((name, pos)) = self.order.pop_front() else { return false };
        if let Some(room) = self.rooms.get_mut(&name)
            && room.oldest().is_some_and(|oldest| oldest.message.at.pos == pos)
        {
            if let Some((turn, bytes)) = room.drop_oldest() {
                self.messages -= 1;
                self.bytes -= bytes;
                let empty = room.kept() == 0;
                if let Some(journal) = &mut self.journal {
                    journal.messages.push(turn);
                    if empty {
                        journal.rooms.push(name.clone());
                    }
                }
            }
            self.forget_if_idle(&name);
        }
        true
    }

    fn forget_if_idle(&mut self, name: &RoomId) {
        if let Some(room) = self.rooms.get(name)
            && room.is_idle()
            && !self.held
        {
            self.forgotten.seq = self.forgotten.seq.max(room.seq);
            self.forgotten.pos = self.forgotten.pos.max(room.lost_pos);
            self.rooms.remove(name);
            if let Some(journal) = &mut self.journal {
                journal.rooms.push(name.clone());
            }
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
                rooms.get(room).and_then(Room::oldest).is_some_and(|oldest| oldest.message.at.pos <= *pos)
            });
        }
    }
}

impl Room {
    fn at(seq: u64, lost_pos: u64) -> Self {
        Self { seq, pos: 0, lost_pos, lost_own: false, open: false, expected: 0, history: None }
    }

    fn is_idle(&self) -> bool {
        !self.open && self.expected == 0 && self.kept() == 0
    }

    pub(super) fn lost_pos(&self) -> u64 {
        self.lost_pos
    }

    pub(super) fn lost_own(&self) -> bool {
        self.lost_own
    }

    pub(super) fn kept(&self) -> usize {
        self.history.as_ref().map_or(0, |history| history.messages.len())
    }

    /// The message with this index among those kept, oldest first.
    pub(super) fn message(&self, index: usize) -> Option<&Arc<Message>> {
        self.history.as_ref()?.messages.get(index).map(|kept| &kept.message)
    }

    /// How many of those kept stand at most there in the lane.
    pub(super) fn kept_up_to(&self, pos: u64) -> usize {
        let Some(history) = &self.history else { return 0 };
        history.messages.partition_point(|kept| kept.message.at.pos <= pos)
    }

    fn oldest(&self) -> Option<&Kept> {
        self.history.as_ref()?.messages.front()
    }

    /// Gives its turn, and the bytes that it took.
    fn drop_oldest(&mut self) -> Option<(u64, usize)> {
        let history = self.history.as_mut()?;
        let Kept { turn, message, .. } = history.messages.pop_front()?;
        let bytes = message.bytes();
        self.lost_pos = message.at.pos;
        self.lost_own = true;
        history.bytes -= bytes;
        if history.messages.is_empty() {
            self.history = None;
        }
        Some((turn, bytes))
    }
}

#[cfg(test)]
impl Room {
    pub(super) fn seq(&self) -> u64 {
        self.seq
    }
}

#[cfg(test)]
impl Log {
    pub(super) fn order_len(&self) -> usize {
        self.order.len()
    }
}
