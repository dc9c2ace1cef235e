//! The order of messages: who publishes gets a position, who joins learns where the room stands, who returns is told
//! what was missed.
//!
//! This broker is the one of a single process, in memory. Its contract is what a broker shared by many nodes gives too:
//!
//! - A message has a position in its room (`seq`, without gaps) and in its lane. Both are given out in one order.
//! - Messages of a lane are handed to the deliverer in the order of their lane positions, those of all lanes one after the
//!   other, and each wholly before [`Broker::vector`] names it. So whoever is sent something that bears a vector has been
//!   sent everything up to it, and what comes later never bears less.
//! - While a [`LaneGuard`] is held nothing is published in that lane: what is read under it and what is joined under it
//!   fit together exactly.
//! - A room's history reaches back to a known point. A read from before that point is answered with a loss, never with a hole.
//! - A message that its sender names by an id stands in the room once, however often it is sent within the window.
//!
//! It must not know connections, events or the engine.

mod lane;
mod seen;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::value::RawValue;
use smallvec::SmallVec;
use turnpike_wire::event::server::Message;
use turnpike_wire::{MessageId, RoomId, UserId};

pub(crate) use self::lane::{Lane, Lost};
use self::seen::First;
use crate::clock::Moment;
use crate::offset::{Boot, LANES, Vector, lane_of};

/// How much of the past is kept. All of it is memory.
#[derive(Debug, Clone)]
pub struct HistoryLimits {
    /// The newest messages of a room that are kept.
    pub room_messages_max: usize,
    /// Their bytes. A room of large messages must not take everybody's share.
    pub room_bytes_max: usize,
    /// Bytes of all rooms together; the oldest messages go first.
    pub bytes_max: usize,
    /// Older messages go. Not less than the recovery window, or recovery fails for want of history.
    pub age_ms_max: u64,
    /// How long a message id is remembered.
    pub dedupe_ms: u64,
    /// How many message ids are remembered; beyond it the oldest go early.
    pub dedupe_ids_max: usize,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self {
            room_messages_max: 500,
            room_bytes_max: 1024 * 1024,
            bytes_max: 128 * 1024 * 1024,
            age_ms_max: 10 * 60 * 1000,
            dedupe_ms: 10 * 60 * 1000,
            dedupe_ids_max: 262_144,
        }
    }
}

/// A message as it is kept: its event is written once, positions included.
#[derive(Debug)]
pub(crate) struct Stored {
    /// In the lane.
    pub(crate) pos: u64,
    /// In the room.
    pub(crate) seq: u64,
    /// When it came, by the steady clock.
    kept_ms: u64,
    /// The JSON of the event's data.
    pub(crate) data: Box<str>,
    /// What the placeholders in `data` stand for.
    pub(crate) attachments: Vec<Bytes>,
}

impl Stored {
    /// What it takes in memory, roughly.
    pub(crate) fn bytes(&self) -> usize {
        const OVERHEAD_BYTES: usize = 128;
        OVERHEAD_BYTES + self.data.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }
}

pub(crate) struct Publication<'a> {
    pub(crate) room: &'a RoomId,
    pub(crate) from: &'a UserId,
    pub(crate) id: Option<&'a MessageId>,
    pub(crate) body: &'a RawValue,
    pub(crate) attachments: &'a [Bytes],
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) id: Box<str>,
    pub(crate) seq: u64,
    pub(crate) ts: u64,
    pub(crate) duplicate: bool,
}

pub(crate) struct Broker {
    boot: Boot,
    epoch: u64,
    lanes: [Mutex<Lane>; LANES],
    /// How far each lane has been handed to the deliverer.
    handed: [AtomicU64; LANES],
    /// Held while a message is handed over, for about a microsecond: writing the event and putting it into the inboxes.
    handing_over: Mutex<()>,
    /// Ids given to messages that have no position.
    drawn: AtomicU64,
}

/// A lane in which nothing is published meanwhile.
pub(crate) struct LaneGuard<'a> {
    pub(crate) index: usize,
    lane: MutexGuard<'a, Lane>,
}

impl std::ops::Deref for LaneGuard<'_> {
    type Target = Lane;

    fn deref(&self) -> &Lane {
        &self.lane
    }
}

impl std::ops::DerefMut for LaneGuard<'_> {
    fn deref_mut(&mut self) -> &mut Lane {
        &mut self.lane
    }
}

impl Broker {
    /// `epoch` must be greater than that of any earlier broker whose positions clients may still hold.
    pub(crate) fn new(boot: Boot, epoch: u64, limits: &HistoryLimits) -> Self {
        let limits = Arc::new(limits.clone());
        Self {
            boot,
            epoch,
            lanes: std::array::from_fn(|_| Mutex::new(Lane::new(Arc::clone(&limits)))),
            handed: std::array::from_fn(|_| AtomicU64::new(0)),
            handing_over: Mutex::new(()),
            drawn: AtomicU64::new(0),
        }
    }

    pub(crate) fn boot(&self) -> Boot {
        self.boot
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Gives a message its place and hands it to `deliver`, with the vector that it may bear. If that fails, the message
    /// was never published and its place goes to the next.
    pub(crate) fn publish<E>(
        &self,
        publication: &Publication<'_>,
        now: Moment,
        deliver: impl FnOnce(&Stored, &Vector) -> Result<(), E>,
    ) -> Result<Receipt, E> {
        let mut lane = self.lane_of(publication.room);
        let index = lane.index;
        let seen = publication.id.map(|id| lane.seen.key(publication.room, publication.from, id));
        if let (Some(key), Some(id)) = (seen, publication.id)
            && let Some(first) = lane.seen.first(key, now.steady_ms)
        {
            return Ok(Receipt { id: id.as_str().into(), seq: first.seq, ts: first.ts, duplicate: true });
        }
        let pos = lane.head() + 1;
        let seq = lane.seq(publication.room) + 1;
        // The clock may be set back; a room's messages stay in order by time as well.
        let ts = now.unix_ms.max(lane.latest_ts());
        let id: Box<str> = match publication.id {
            Some(id) => id.as_str().into(),
            // Unique because the position is.
            None => format!("{:x}.{index:x}.{pos:x}", self.boot.0).into(),
        };
        let event = Message {
            room: publication.room,
            epoch: self.epoch,
            seq: Some(seq),
            id: &id,
            from: publication.from,
            ts,
            body: publication.body,
            volatile: false,
        };
        let data = serde_json::to_string(&event).expect("ids, numbers and raw JSON can always be written");
        let attachments = publication.attachments.to_vec();
        let stored = Stored { pos, seq, kept_ms: now.steady_ms, data: data.into(), attachments };
        self.hand_over(index, &stored, deliver)?;
        lane.append(publication.room, ts, stored);
        if let Some(key) = seen {
            lane.seen.remember(key, First { seq, ts }, now.steady_ms);
        }
        Ok(Receipt { id, seq, ts, duplicate: false })
    }

    /// One after the other, also between lanes: a vector that was read before another lane's message was handed over, and
    /// went out behind it, would take its receiver back, and a recovery would bring that message again.
    fn hand_over<E>(
        &self,
        lane: usize,
        stored: &Stored,
        deliver: impl FnOnce(&Stored, &Vector) -> Result<(), E>,
    ) -> Result<(), E> {
        let _turn = self.handing_over.lock().unwrap_or_else(PoisonError::into_inner);
        let mut vector = self.vector();
        vector.set(lane, stored.pos);
        deliver(stored, &vector)?;
        // Release: who reads this position also finds the message handed over.
        self.handed[lane].store(stored.pos, Ordering::Release);
        Ok(())
    }

    /// An id for a message without a position.
    pub(crate) fn draw_id(&self) -> String {
        format!("{:x}.v.{:x}", self.boot.0, self.drawn.fetch_add(1, Ordering::Relaxed))
    }

    /// How far every lane has been handed over.
    pub(crate) fn vector(&self) -> Vector {
        Vector(std::array::from_fn(|lane| self.handed[lane].load(Ordering::Acquire)))
    }

    pub(crate) fn lane_of(&self, room: &RoomId) -> LaneGuard<'_> {
        self.lane(lane_of(room))
    }

    /// Several lanes at once. Always in the order of their index, so that two who lock never wait for each other.
    pub(crate) fn lanes(&self, lanes: impl IntoIterator<Item = usize>) -> SmallVec<[LaneGuard<'_>; 4]> {
        let wanted = lanes.into_iter().fold(0u16, |wanted, lane| wanted | 1 << lane);
        (0..LANES).filter(|lane| wanted & (1 << lane) != 0).map(|lane| self.lane(lane)).collect()
    }

    /// Forgets what is too old. For calling now and then, about once a second.
    pub(crate) fn sweep(&self, steady_ms: u64) {
        for index in 0..LANES {
            self.lane(index).sweep(steady_ms);
        }
    }

    pub(crate) fn levels(&self) -> Levels {
        (0..LANES).map(|index| self.lane(index).levels()).fold(Levels::default(), |sum, lane| Levels {
            rooms: sum.rooms + lane.rooms,
            messages: sum.messages + lane.messages,
            bytes: sum.bytes + lane.bytes,
            message_ids: sum.message_ids + lane.message_ids,
        })
    }

    fn lane(&self, index: usize) -> LaneGuard<'_> {
        // A panic under the lock cannot leave half a message: it is appended last and at once.
        let lane = self.lanes[index].lock().unwrap_or_else(PoisonError::into_inner);
        LaneGuard { index, lane }
    }
}

/// How much is kept right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Levels {
    pub(crate) rooms: usize,
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    pub(crate) message_ids: usize,
}

#[cfg(test)]
mod tests;
