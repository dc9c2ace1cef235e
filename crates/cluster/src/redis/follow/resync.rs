//! Finding out what was missed: all open rooms are compared with the log at one moment, and what they lack is read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use turnpike_wire::RoomId;

use super::{
    Comparison, Effect, Follower, Gap, Mode, Notice, Part, Place, RETRY_MS, Unanswered, WAITING_MAX,
};
use crate::redis::frame::Header;
use crate::{Continuity, LanePosition, Message, Standing};

/// Rooms that are read at the same time.
const READ_AT_ONCE: usize = 16;

/// What may be read to make good for one loss. The rooms behind that must be reloaded by their members, who would get more
/// than they want to see.
const REPAIRED_MAX: usize = 65_536;
const REPAIRED_BYTES_MAX: usize = 64 * 1024 * 1024;

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "a lane has one")]
pub(super) enum Resync {
    Asking { number: u64, rooms: Vec<RoomId> },
    Reading(Reading),
}

#[derive(Debug)]
pub(super) struct Reading {
    /// The question that was answered by the comparison.
    number: u64,
    comparison: Comparison,
    /// Where each room stood then that stands elsewhere than the node.
    heads: HashMap<RoomId, Place>,
    to_read: Vec<Behind>,
    under_way: BTreeMap<u64, Behind>,
    found: Vec<(Header, Arc<Message>)>,
    bytes: usize,
    /// Rooms of which the node has what was not kept, and those of which it misses what is no longer to be had.
    rolled_back: Vec<(RoomId, Standing)>,
    broken: Vec<(RoomId, Standing)>,
}

/// A room that is behind the log.
#[derive(Debug)]
struct Behind {
    room: RoomId,
    from: LanePosition,
    /// The node knows of no message in it.
    is_new: bool,
}

impl Resync {
    pub(super) fn is_asking(&self, number: u64) -> bool {
        matches!(self, Self::Asking { number: asked, .. } if *asked == number)
    }

    /// The room was closed.
    pub(super) fn forget(&mut self, room: &RoomId) {
        if let Self::Reading(reading) = self {
            reading.to_read.retain(|behind| behind.room != *room);
            reading.under_way.retain(|_, behind| behind.room != *room);
            reading.found.retain(|(_, message)| message.room != *room);
            reading.broken.retain(|(broken, _)| broken != room);
            reading.rolled_back.retain(|(broken, _)| broken != room);
        }
    }
}

impl Reading {
    fn give_up(&mut self, room: RoomId) {
        self.found.retain(|(_, message)| message.room != room);
        self.rolled_back.retain(|(rolled_back, _)| *rolled_back != room);
        if let Some(head) = self.heads.get(&room) {
            let standing = Standing {
                epoch: head.at.epoch,
                seq: head.seq,
                pos: head.at.pos,
                lane: self.comparison.lane,
            };
            self.broken.push((room, standing));
        }
    }

    /// The latest that the node has of the room were not kept. It goes on before the first message that followed them.
    fn roll_back(&mut self, behind: &Behind, first: Option<&Header>) {
        let Some(head) = self.heads.get(&behind.room) else { return };
        let lane = self.comparison.lane;
        let standing = first
            .map_or(Standing { epoch: head.at.epoch, seq: head.seq, pos: head.at.pos, lane }, |first| {
                Standing { epoch: behind.from.epoch, seq: first.seq - 1, pos: first.prev, lane }
            });
        self.rolled_back.push((behind.room.clone(), standing));
    }

    fn is_too_much(&self) -> bool {
        self.found.len() > REPAIRED_MAX || self.bytes > REPAIRED_BYTES_MAX
    }
}

impl Follower {
    pub(super) fn can_resync(&self) -> bool {
        self.bus
            && self.waiting.len() < WAITING_MAX / 2
            && self.rooms.values().all(|room| room.subscribed || !room.is_open())
    }

    pub(super) fn begin_resync(&mut self) {
        let number = self.number();
        let rooms: Vec<(RoomId, Option<Place>)> = self
            .rooms
            .iter()
            .filter(|(_, room)| room.is_open())
            .map(|(name, room)| (name.clone(), room.place()))
            .collect();
        let names = rooms.iter().map(|(name, _)| name.clone()).collect();
        self.mode = Mode::Resync(Resync::Asking { number, rooms: names });
        let quiet = Some(LanePosition { epoch: self.epoch, pos: u64::MAX });
        self.requests.push_back(Effect::Noticed(Notice::Resync));
        self.requests.push_back(Effect::Compare { number, rooms, quiet });
    }

    pub(super) fn all_compared(&mut self, comparison: Comparison, now_ms: u64) {
        let Mode::Resync(Resync::Asking { number, rooms }) = &mut self.mode else { return };
        let number = *number;
        let names = std::mem::take(rooms);
        if comparison.lane.epoch < self.epoch {
            // A process that does not know yet that the lane has gone on elsewhere.
            self.mode = Mode::Behind;
            self.retry_ms = now_ms + RETRY_MS;
            return;
        }
        let mut reading = Reading {
            number,
            heads: HashMap::new(),
            to_read: Vec::new(),
            under_way: BTreeMap::new(),
            found: Vec::new(),
            bytes: 0,
            rolled_back: Vec::new(),
            broken: Vec::new(),
            comparison,
        };
        let lane = reading.comparison.lane;
        for (index, place) in &reading.comparison.differing {
            let Some((name, room)) = names.get(*index).and_then(|name| self.rooms.get_key_value(name)) else {
                continue;
            };
            let Some(head) = place else {
                // It was forgotten: what it had, and counted, is no longer to be had.
                let seq = reading.comparison.forgotten.seq;
                reading.broken.push((name.clone(), Standing { epoch: lane.epoch, seq, pos: 0, lane }));
                continue;
            };
            reading.heads.insert(name.clone(), *head);
            reading.to_read.push(Behind {
                room: name.clone(),
                from: room.place().map_or(LanePosition { epoch: lane.epoch, pos: 0 }, |last| last.at),
                is_new: room.place().is_none(),
            });
        }
        self.mode = Mode::Resync(Resync::Reading(reading));
        self.go_on_reading();
    }

    pub(super) fn go_on_reading(&mut self) {
        let Mode::Resync(Resync::Reading(reading)) = &mut self.mode else { return };
        if reading.is_too_much() {
            let rest = std::mem::take(&mut reading.to_read);
            for behind in rest {
                reading.give_up(behind.room);
            }
        }
        while reading.under_way.len() < READ_AT_ONCE
            && let Some(behind) = reading.to_read.pop()
        {
            self.numbers += 1;
            let number = self.numbers;
            self.requests.push_back(Effect::Read { number, room: behind.room.clone(), from: behind.from });
            reading.under_way.insert(number, behind);
        }
        if reading.under_way.is_empty() {
            self.end_resync();
        }
    }

    pub(super) fn part_read(&mut self, number: u64, answer: Result<Part, Unanswered>, now_ms: u64) {
        let Mode::Resync(Resync::Reading(reading)) = &mut self.mode else { return };
        let Some(behind) = reading.under_way.remove(&number) else { return };
        let Ok(part) = answer else {
            reading.to_read.push(behind);
            self.retry_ms = now_ms + RETRY_MS;
            return;
        };
        if part.standing.lane.epoch != reading.comparison.lane.epoch {
            return self.lose(Gap::Epoch);
        }
        let whole = part.continuity == Continuity::Whole || (behind.is_new && part.oldest_is_first);
        if whole || part.continuity == Continuity::Truncated {
            let up_to = reading.comparison.lane.pos;
            if !whole {
                let first =
                    part.messages.first().map(|(header, _)| header).filter(|first| first.at.pos <= up_to);
                reading.roll_back(&behind, first);
            }
            let last = part.messages.last().map(|(header, _)| header.at);
            for (header, message) in part.messages.into_iter().filter(|(header, _)| header.at.pos <= up_to) {
                reading.bytes += message.bytes();
                reading.found.push((header, message));
            }
            // What was published after the comparison comes over the bus.
            if let Some(last) = last.filter(|last| part.more && last.pos < up_to) {
                reading.to_read.push(Behind { from: last, is_new: false, ..behind });
            }
        } else {
            reading.give_up(behind.room);
        }
        if now_ms >= self.retry_ms {
            self.go_on_reading();
        }
    }

    fn end_resync(&mut self) {
        let Mode::Resync(Resync::Reading(mut reading)) = std::mem::replace(&mut self.mode, Mode::Live) else {
            return;
        };
        // What should have come before something that the node has been given already cannot come in order any more.
        let reached = self.position();
        let late: BTreeSet<RoomId> = reading
            .found
            .iter()
            .filter(|(header, _)| header.at.epoch == reached.epoch && header.at.pos <= reached.pos)
            .map(|(_, message)| message.room.clone())
            .collect();
        for room in late {
            reading.give_up(room);
        }

        let Reading { number, comparison, mut found, rolled_back, mut broken, .. } = reading;
        // Before anything says that the lane has gone on: whoever is given that, and is cut off then, is not told of a loss
        // that came before it.
        let is_new_epoch = comparison.lane.epoch != reached.epoch;
        let at_once = if is_new_epoch { std::mem::take(&mut broken) } else { Vec::new() };
        for (name, standing) in rolled_back.into_iter().chain(at_once) {
            self.break_room(name, standing);
        }
        // Within an epoch each in its place, so that whoever was told has not been given less of the lane.
        broken.sort_unstable_by_key(|(_, standing)| std::cmp::Reverse(standing.pos));
        found.sort_unstable_by_key(|(header, _)| header.at.pos);
        if !found.is_empty() {
            self.requests.push_back(Effect::Noticed(Notice::Repaired(found.len())));
        }
        let mut epochs =
            comparison.epochs.iter().copied().filter(|(epoch, _)| *epoch > reached.epoch).peekable();
        for (header, message) in found {
            while let Some((epoch, first)) = epochs.next_if(|(_, first)| *first <= header.at.pos) {
                self.go_on_in(LanePosition { epoch, pos: first.saturating_sub(1) });
            }
            while let Some((name, standing)) = broken.pop_if(|(_, standing)| standing.pos < header.at.pos) {
                self.break_room(name, standing);
            }
            self.hand(header, message);
        }
        while let Some((name, standing)) = broken.pop() {
            self.break_room(name, standing);
        }
        for (epoch, first) in epochs {
            self.go_on_in(LanePosition { epoch, pos: first.saturating_sub(1) });
        }
        if self.epoch != comparison.lane.epoch {
            self.go_on_in(comparison.lane);
        }
        self.at = comparison.lane.pos;
        self.levelled(number, comparison.lane);
        self.to_ask = self
            .rooms
            .iter()
            .filter(|(_, room)| !room.is_open() && room.subscribed)
            .map(|(name, _)| name.clone())
            .collect();
        for (header, message) in self.held.take() {
            self.message(header, message);
        }
    }

    fn break_room(&mut self, name: RoomId, standing: Standing) {
        if let Some(room) = self.rooms.get_mut(&name) {
            room.broken(&standing);
            self.waiting.push_back(Effect::Broken(name, standing));
        }
    }

    fn go_on_in(&mut self, from: LanePosition) {
        self.epoch = from.epoch;
        self.at = from.pos;
        self.waiting.push_back(Effect::Lane(from));
    }
}
