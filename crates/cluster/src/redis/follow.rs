//! How a node keeps up with one lane: what comes over the bus, what was missed and must be read, and what of it the node
//! is given, in which order.
//!
//! Pure: what happened comes in with a time in milliseconds, what is to be done comes out of [`Follower::next`]. It knows
//! no connection, no clock, no task.
//!
//! The bus brings messages of the subscribed rooms in the order of the lane, and all of them, as long as its connection
//! lasts. So while it lasts ([`Mode::Live`]) a message is handed on as it comes. Whenever something may have been missed
//! (the connection was lost, a message does not join on to the one before, the reader was too slow, the epoch changed) what
//! comes is held back, all open rooms are compared with the log at one moment, what is missing is read and handed on in
//! the order of the lane up to that moment, and then what was held behind it.

mod audit;
mod held;
mod opening;
mod resync;
mod room;
mod step;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use turnpike_wire::RoomId;

use self::audit::{Expected, Level};
use self::held::Held;
use self::opening::Asked;
use self::resync::Resync;
use self::room::{Room, State};
pub(crate) use self::step::{Comparison, Effect, Forgotten, Gap, Notice, Part, Place, Unanswered};
use crate::redis::frame::Header;
use crate::{LanePosition, Message, Standing};

/// How often all open rooms are compared with the log though nothing seems wrong: what the bus lost without a sign, behind
/// which nothing more came, is found by this alone.
pub(crate) const AUDIT_MS: u64 = 5_000;

/// A node without room is asked again after this.
const REFUSED_MS: u64 = 2;

/// What could not be compared or read is asked again after this.
const RETRY_MS: u64 = 50;

/// What waits for a node that has no room. Beyond it nothing more is taken from the bus; it is read from the log when the
/// node has taken what waits.
const WAITING_MAX: usize = 16_384;

#[cfg(not(test))]
type Hashing = std::hash::RandomState;

/// A schedule of the simulation is the same in every run, and so is the order in which rooms are asked for.
#[cfg(test)]
type Hashing = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "a lane has one")]
enum Mode {
    /// The bus brings everything.
    Live,
    /// Something was missed, and the bus or the node is not ready for it to be looked up.
    Behind,
    Resync(Resync),
}

#[derive(Debug)]
pub(crate) struct Follower {
    /// As the node knows it.
    epoch: u64,
    /// Everything of the open rooms up to here is with the node, or among `waiting`.
    at: u64,
    rooms: HashMap<RoomId, Room, Hashing>,
    mode: Mode,
    bus: bool,
    held: Held,
    /// Raised whenever something may have been missed: what was asked before does not count.
    losses: u64,
    /// In order.
    waiting: VecDeque<Effect>,
    /// In no order with `waiting`.
    requests: VecDeque<Effect>,
    /// Questions about single rooms, by their number.
    asked: HashMap<u64, Asked>,
    /// Not asked yet.
    to_ask: Vec<RoomId>,
    /// All open rooms were with the node when the lane stood here.
    level_at: Option<LanePosition>,
    levels: Vec<Level>,
    /// A question about all rooms in [`Mode::Live`].
    audit: Option<(u64, Vec<RoomId>)>,
    audit_ms: u64,
    expected: Option<Expected>,
    lane_pending: bool,
    refused_until_ms: u64,
    retry_ms: u64,
    numbers: u64,
}

impl Follower {
    /// The node is to be told of the lane first.
    pub(crate) fn new(lane: LanePosition, now_ms: u64) -> Self {
        Self {
            epoch: lane.epoch,
            at: lane.pos,
            rooms: HashMap::default(),
            mode: Mode::Behind,
            bus: false,
            held: Held::default(),
            losses: 0,
            waiting: VecDeque::from([Effect::Lane(lane)]),
            requests: VecDeque::new(),
            asked: HashMap::new(),
            to_ask: Vec::new(),
            level_at: None,
            levels: Vec::new(),
            audit: None,
            audit_ms: now_ms + AUDIT_MS,
            expected: None,
            lane_pending: false,
            refused_until_ms: 0,
            retry_ms: 0,
            numbers: 0,
        }
    }

    pub(crate) fn position(&self) -> LanePosition {
        LanePosition { epoch: self.epoch, pos: self.at }
    }

    pub(crate) fn is_live(&self) -> bool {
        matches!(self.mode, Mode::Live)
    }

    pub(crate) fn is_open(&self, room: &RoomId) -> bool {
        self.rooms.get(room).is_some_and(|room| matches!(room.state, State::Open { .. }))
    }

    /// The room by its name, if it is followed.
    pub(crate) fn name(&self, room: &str) -> Option<RoomId> {
        self.rooms.get_key_value(room).map(|(name, _)| name.clone())
    }

    /// [`Effect::Done`] with this number when everything before it has been done.
    pub(crate) fn done_in_turn(&mut self, waiter: u64) {
        self.waiting.push_back(Effect::Done(waiter));
    }

    /// [`Effect::Done`] with this number when it is open, or closed again.
    pub(crate) fn open(&mut self, room: &RoomId, waiter: u64) {
        if let Some(found) = self.rooms.get_mut(room) {
            match &mut found.state {
                State::Opening { waiters, .. } => waiters.push(waiter),
                State::Open { .. } => self.waiting.push_back(Effect::Done(waiter)),
            }
            return;
        }
        let number = self.number();
        self.rooms.insert(room.clone(), Room::opening(number, waiter));
        if self.bus {
            self.requests.push_back(Effect::Subscribe { room: room.clone(), number });
        }
    }

    /// Nothing of the room comes out after this.
    pub(crate) fn close(&mut self, room: &RoomId) {
        let Some(closed) = self.rooms.remove(room) else { return };
        let is_of_it = |effect: &Effect| match effect {
            Effect::Message(message) => message.room == *room,
            Effect::Opened(of, _) | Effect::Verified(of, _) | Effect::Broken(of, _) => of == room,
            _ => false,
        };
        self.waiting.retain(|effect| !is_of_it(effect));
        self.requests.retain(|effect| !matches!(effect, Effect::Subscribe { room: of, .. } if of == room));
        if self.bus {
            self.requests.push_back(Effect::Unsubscribe { room: room.clone() });
        }
        let levels = self.levels.extract_if(.., |level| level.room == *room).map(|level| level.waiter);
        let waiters: Vec<u64> = closed.waiters().chain(levels).collect();
        self.requests.extend(waiters.into_iter().map(Effect::Done));
        self.come(|of, _| of == room);
        if let Mode::Resync(resync) = &mut self.mode {
            resync.forget(room);
        }
    }

    /// [`Effect::Done`] with this number when all that is in the log by now is with the node.
    pub(crate) fn level(&mut self, room: &RoomId, waiter: u64) {
        if self.rooms.contains_key(room) {
            self.levels.push(Level { waiter, room: room.clone(), behind: self.numbers });
        } else {
            self.requests.push_back(Effect::Done(waiter));
        }
    }

    /// Nobody waits for the room to open any more. True: it is not followed.
    pub(crate) fn give_up(&mut self, room: &RoomId, waiter: u64) -> bool {
        let abandoned = self.rooms.get_mut(room).is_some_and(|room| match &mut room.state {
            State::Opening { waiters, .. } => {
                waiters.retain(|other| *other != waiter);
                waiters.is_empty()
            }
            State::Open { .. } => false,
        });
        if abandoned {
            self.close(room);
        }
        !self.rooms.contains_key(room)
    }

    /// The lane has a connection of the bus, on which nothing is subscribed yet.
    pub(crate) fn bus_up(&mut self) {
        self.bus = true;
        self.requests
            .retain(|effect| !matches!(effect, Effect::Subscribe { .. } | Effect::Unsubscribe { .. }));
        let rooms: Vec<RoomId> = self.rooms.keys().cloned().collect();
        for room in rooms {
            let number = self.number();
            if let Some(found) = self.rooms.get_mut(&room) {
                found.subscribing(number);
                self.requests.push_back(Effect::Subscribe { room, number });
            }
        }
        self.lose(Gap::BusLost);
    }

    pub(crate) fn bus_down(&mut self) {
        self.bus = false;
        self.requests
            .retain(|effect| !matches!(effect, Effect::Subscribe { .. } | Effect::Unsubscribe { .. }));
        for room in self.rooms.values_mut() {
            room.subscribed = false;
        }
        self.lose(Gap::BusLost);
    }

    pub(crate) fn subscribed(&mut self, room: &RoomId, number: u64) {
        if let Some(found) = self.rooms.get_mut(room)
            && found.subscription == number
            && self.bus
        {
            found.subscribed = true;
            if matches!(found.state, State::Opening { .. }) && matches!(self.mode, Mode::Live) {
                self.to_ask.push(room.clone());
            }
        }
    }

    /// Something may have been missed without the connection being lost.
    pub(crate) fn lagged(&mut self) {
        self.lose(Gap::Lagged);
    }

    pub(crate) fn message(&mut self, header: Header, message: Arc<Message>) {
        if !self.rooms.contains_key(&message.room) {
            return;
        }
        if self.is_live() {
            self.arrive(header, message);
        } else if self.held.push(header, message).is_err() {
            self.lose(Gap::Overflow);
        }
    }

    pub(crate) fn lane_ready(&mut self) {
        self.lane_pending = false;
    }

    /// The node has no room for this message.
    pub(crate) fn refused(&mut self, message: Arc<Message>, now_ms: u64) {
        self.refused_until_ms = now_ms + REFUSED_MS;
        self.waiting.push_front(Effect::Message(message));
    }

    pub(crate) fn compared(&mut self, number: u64, answer: Result<Comparison, Unanswered>, now_ms: u64) {
        if let Some(asked) = self.asked.remove(&number) {
            self.rooms_compared(asked, answer, now_ms);
        } else if self.audit.as_ref().is_some_and(|(audit, _)| *audit == number) {
            let (_, rooms) = self.audit.take().expect("it is there");
            match answer {
                Ok(comparison) if self.is_live() => self.audited(number, &rooms, &comparison, now_ms),
                Ok(_) => {}
                Err(Unanswered) => self.retry_ms = now_ms + RETRY_MS,
            }
        } else if let Mode::Resync(resync) = &mut self.mode
            && resync.is_asking(number)
        {
            if let Ok(comparison) = answer {
                self.all_compared(comparison, now_ms);
            } else {
                self.mode = Mode::Behind;
                self.retry_ms = now_ms + RETRY_MS;
            }
        }
    }

    pub(crate) fn read(&mut self, number: u64, answer: Result<Part, Unanswered>, now_ms: u64) {
        self.part_read(number, answer, now_ms);
    }

    /// The next thing to do, if there is any now.
    pub(crate) fn next(&mut self, now_ms: u64) -> Option<Effect> {
        self.advance(now_ms);
        if let Some(request) = self.requests.pop_front() {
            return Some(request);
        }
        if self.lane_pending || now_ms < self.refused_until_ms {
            return None;
        }
        let effect = self.waiting.pop_front()?;
        self.lane_pending = matches!(effect, Effect::Lane(_));
        Some(effect)
    }

    /// When [`Self::next`] is to be asked again though nothing has happened. After it has given nothing more at `now_ms`.
    pub(crate) fn wake_ms(&self, now_ms: u64) -> u64 {
        let expected = self.expected.as_ref().map(|expected| expected.until_ms);
        let times = [Some(self.audit_ms), expected, Some(self.refused_until_ms), Some(self.retry_ms)];
        // What was due before has been done, or waits for something to happen.
        times.into_iter().flatten().filter(|time| *time > now_ms).min().unwrap_or(self.audit_ms)
    }

    /// What is due by now.
    fn advance(&mut self, now_ms: u64) {
        if now_ms >= self.retry_ms {
            match &self.mode {
                Mode::Live => {
                    self.ask();
                    if !self.levels.is_empty() && self.audit.is_none() && self.expected.is_none() {
                        self.begin_audit();
                    }
                }
                Mode::Behind if self.can_resync() => self.begin_resync(),
                Mode::Behind => {}
                Mode::Resync(_) => self.go_on_reading(),
            }
        }
        if self.expected.as_ref().is_some_and(|expected| now_ms >= expected.until_ms) {
            self.expected = None;
            self.lose(Gap::Audit);
        }
        if now_ms >= self.audit_ms {
            self.audit_ms = now_ms + AUDIT_MS;
            self.begin_audit();
        }
    }

    /// A message in the order of the lane, with nothing missed before it as far as is known.
    fn arrive(&mut self, header: Header, message: Arc<Message>) {
        let Some(room) = self.rooms.get_mut(&message.room) else { return };
        let place = Place { at: header.at, seq: header.seq };
        // Of a process that does not know yet that the lane has gone on elsewhere: never kept.
        if header.at.epoch < self.epoch {
            return;
        }
        let gap = if header.at.epoch > self.epoch {
            Gap::Epoch
        } else if let State::Opening { passed, .. } = &mut room.state {
            *passed = (*passed).max(Some(place));
            return;
        } else if room.has(place) {
            return;
        } else if header.at.pos <= self.at || !room.joins(&header) {
            Gap::Sequence
        } else if self.waiting.len() >= WAITING_MAX {
            Gap::Overflow
        } else {
            return self.hand(header, message);
        };
        self.lose(gap);
        if self.held.push(header, message).is_err() {
            self.lose(Gap::Overflow);
        }
    }

    fn hand(&mut self, header: Header, message: Arc<Message>) {
        let name = message.room.clone();
        let lane = LanePosition { epoch: self.epoch, pos: self.at };
        let Some(room) = self.rooms.get_mut(&name) else { return };
        if header.seq != room.seq() + 1 {
            // It was forgotten and counts on from elsewhere.
            let (epoch, seq) = (header.at.epoch, header.seq - 1);
            let standing = Standing { epoch, seq, pos: 0, lane };
            self.waiting.push_back(Effect::Broken(name.clone(), standing));
        }
        room.go_to(Place { at: header.at, seq: header.seq });
        self.at = self.at.max(header.at.pos);
        self.waiting.push_back(Effect::Message(message));
        let place = Place { at: header.at, seq: header.seq };
        self.come(|of, wanted| *of == name && wanted <= place);
    }

    /// Something may have been missed. What comes from now on is held until it is known.
    fn lose(&mut self, gap: Gap) {
        self.losses += 1;
        if !matches!(self.mode, Mode::Behind) {
            self.requests.push_back(Effect::Noticed(Notice::Gap(gap)));
        }
        self.expected = None;
        self.audit = None;
        self.level_at = None;
        if gap == Gap::Overflow || gap == Gap::BusLost {
            // Incomplete, or of another connection: all of it is in the log.
            self.held.clear();
        }
        self.mode = Mode::Behind;
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}
