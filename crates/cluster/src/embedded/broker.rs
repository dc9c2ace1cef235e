//! The order of messages in one process: a lock a lane, under which a message gets its place, is handed to the node and
//! is kept. Every answer is there at once; with a disk, those to publications are not.
//!
//! The node may hold none of its own locks when it calls, and may not call back when it is called.

use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use turnpike_wire::{MessageId, RoomId};

use super::Levels;
use super::clock::{Clock, Moment};
use super::disk::{Queue, UNAVAILABLE};
use super::log::Log;
use super::pending::Pending;
use super::seen::First;
use crate::event::Event;
use crate::{
    Broker, Deliver, HistoryLimits, LANES, Lane, LanePosition, Message, Page, Paged, Publication,
    PublishError, Read, Receipt, Signal, Soon, Standing, Unavailable, lane_of,
};

pub(super) struct EmbeddedBroker {
    lanes: [Mutex<Line>; LANES],
    deliver: OnceLock<Arc<dyn Deliver>>,
    clock: Clock,
    /// What is published goes through it, if there is a disk.
    disk: Option<Arc<Queue>>,
}

/// A lane.
pub(super) struct Line {
    pub(super) log: Log,
    /// Always empty without a disk.
    pub(super) pending: Pending,
}

impl EmbeddedBroker {
    /// `epoch` is greater than that of any earlier broker whose positions clients may still hold.
    pub(super) fn in_memory(epoch: u64, limits: &HistoryLimits, clock: Clock) -> Self {
        let limits = Arc::new(limits.clone());
        Self::new(std::array::from_fn(|_| Log::new(Arc::clone(&limits), epoch)), clock, None)
    }

    pub(super) fn new(logs: [Log; LANES], clock: Clock, disk: Option<Arc<Queue>>) -> Self {
        let lanes = logs.map(|log| Mutex::new(Line { log, pending: Pending::default() }));
        Self { lanes, deliver: OnceLock::new(), clock, disk }
    }

    pub(super) fn deliver(&self) -> Option<&Arc<dyn Deliver>> {
        self.deliver.get()
    }

    /// The number of the room's latest message.
    pub(super) fn head_of(&self, room: &RoomId) -> u64 {
        self.lane(lane_of(room)).log.seq(room)
    }

    pub(super) fn publish_at(&self, publication: Publication, now: Moment) -> Result<Receipt, PublishError> {
        let Publication { room, from, id, age_ms, body, attachments } = publication;
        let lane = lane_of(&room);
        let mut line = self.lane(lane);
        let log = &mut line.log;
        let key = match &id {
            Some(_) if log.seen.is_too_old(age_ms, now.steady_ms) => return Err(PublishError::TooOld),
            Some(id) => Some(log.seen.key(&room, &from, id)),
            None => None,
        };
        if let (Some(key), Some(id)) = (key, &id)
            && let Some(First { epoch, seq, ts }) = log.seen.first(key, now.steady_ms)
        {
            return Ok(Receipt { id: id.as_str().into(), epoch, seq, ts, duplicate: true });
        }
        let at = LanePosition { epoch: log.epochs.present(), pos: log.head() + 1 };
        let seq = log.seq(&room) + 1;
        // The clock may be set back; a room's messages stay in order by time as well.
        let ts = now.unix_ms.max(log.latest_ts());
        let id = id_of(id.as_ref(), lane, at);
        let event = Event { room: &room, epoch: at.epoch, seq, id: &id, from: &from, ts, body: &body };
        let data = event.json();
        let message = Arc::new(Message { room, at, seq, from, ts, data, attachments });
        if log.is_open(&message.room)
            && let Some(deliver) = self.deliver.get()
        {
            deliver.message(&message).map_err(|_| PublishError::Full)?;
        }
        log.append(message, now.steady_ms, 0);
        if let Some(key) = key {
            log.seen.remember(key, First { epoch: at.epoch, seq, ts }, 0, now.steady_ms);
        }
        Ok(Receipt { id, epoch: at.epoch, seq, ts, duplicate: false })
    }

    /// Forgets what is too old. For calling now and then, about once a second.
    pub(super) fn sweep(&self, steady_ms: u64) {
        for lane in Lane::all() {
            self.lane(lane).log.sweep(steady_ms);
        }
        if let Some(disk) = &self.disk {
            disk.nudge();
        }
    }

    /// Whoever was there before a restart has come back, or will not.
    pub(super) fn end_hold(&self) {
        for lane in Lane::all() {
            self.lane(lane).log.end_hold();
        }
    }

    pub(super) fn levels(&self) -> Levels {
        Lane::all().map(|lane| self.lane(lane).log.levels()).fold(Levels::default(), Levels::and)
    }

    pub(super) fn lane(&self, lane: Lane) -> MutexGuard<'_, Line> {
        // A panic under the lock cannot leave half a message: it is appended last and at once.
        self.lanes[lane.index()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sender's, or one that is unique because the position is.
pub(super) fn id_of(id: Option<&MessageId>, lane: Lane, at: LanePosition) -> Box<str> {
    const BYTES_MAX: usize = 16 + 1 + 16 + 1 + 16;
    if let Some(id) = id {
        return id.as_str().into();
    }
    let mut text = String::with_capacity(BYTES_MAX);
    push_hex(at.epoch, &mut text);
    text.push('.');
    push_hex(lane.index() as u64, &mut text);
    text.push('.');
    push_hex(at.pos, &mut text);
    text.as_str().into()
}

/// As `{:x}` writes it. Of each message, and formatting takes many times as long.
fn push_hex(number: u64, text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = (u64::BITS - number.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        text.push(char::from(DIGITS[(number >> (4 * digit)) as usize & 15]));
    }
}

impl Broker for EmbeddedBroker {
    fn start(&self, deliver: Arc<dyn Deliver>) -> Soon<Result<(), Unavailable>> {
        // Called a second time, the first node stays the one that is delivered to.
        let deliver = Arc::clone(self.deliver.get_or_init(|| deliver));
        let mut told =
            Lane::all().map(|lane| deliver.lane(lane, self.lane(lane).log.position())).collect::<Vec<_>>();
        told.retain(|told| matches!(told, Soon::Later(_)));
        if told.is_empty() {
            return Soon::Now(Ok(()));
        }
        Soon::later(async move {
            for told in told {
                told.wait().await;
            }
            Ok(())
        })
    }

    fn publish(&self, publication: Publication) -> Soon<Result<Receipt, PublishError>> {
        match &self.disk {
            None => Soon::Now(self.publish_at(publication, self.clock.now())),
            Some(disk) => self.publish_durably(publication, self.clock.now(), disk),
        }
    }

    fn open(&self, room: &RoomId) -> Soon<Result<(), Unavailable>> {
        let log = &mut self.lane(lane_of(room)).log;
        if log.open(room)
            && let Some(deliver) = self.deliver.get()
        {
            deliver.opened(room, &log.standing(room));
        }
        Soon::Now(Ok(()))
    }

    fn close(&self, room: &RoomId) {
        self.lane(lane_of(room)).log.close(room);
    }

    fn level(&self, room: &RoomId) -> Soon<Result<(), Unavailable>> {
        let mut line = self.lane(lane_of(room));
        let Some(deliver) = self.deliver.get().filter(|_| line.log.is_open(room)) else {
            return Soon::Now(Ok(()));
        };
        let Some(settled) = line.pending.settle(room) else {
            deliver.verified(room, line.log.position());
            return Soon::Now(Ok(()));
        };
        Soon::later(async move { settled.await.map_err(|_| UNAVAILABLE) })
    }

    fn read(&self, read: &Read) -> Soon<Result<Page, Unavailable>> {
        Soon::Now(Ok(self.lane(lane_of(&read.room)).log.read(read)))
    }

    fn signal(&self, room: &RoomId, signal: Signal) {
        let is_open = self.lane(lane_of(room)).log.is_open(room);
        if let Some(deliver) = self.deliver.get().filter(|_| is_open) {
            deliver.signal(room, &signal);
        }
    }

    fn rooms(&self, cursor: &str, max: usize) -> Soon<Result<Paged<(RoomId, Standing)>, Unavailable>> {
        let (first, after) = match cursor.split_once('.') {
            Some((lane, after)) => (lane.parse().unwrap_or(LANES), after),
            None => (0, ""),
        };
        let max = max.max(1);
        let mut page = Vec::new();
        for (lane, after) in Lane::all().skip(first).zip(std::iter::once(after).chain(std::iter::repeat("")))
        {
            let wanted = max - page.len();
            let rooms = first_names(&self.lane(lane).log, after, wanted);
            let full = rooms.len() == wanted;
            page.extend(rooms);
            if full {
                let cursor = page.last().map(|(room, _)| format!("{}.{room}", lane.index()));
                return Soon::Now(Ok((page, cursor)));
            }
        }
        Soon::Now(Ok((page, None)))
    }
}

/// A lane's first rooms by name behind `after`. Looks at all of them: nothing on the way of a message pays for an order
/// that is asked for now and then.
fn first_names(log: &Log, after: &str, max: usize) -> Vec<(RoomId, Standing)> {
    let mut names = BinaryHeap::new();
    for (room, _) in log.rooms().filter(|(room, _)| room.as_str() > after) {
        if names.len() < max {
            names.push(room);
        } else if names.peek().is_some_and(|last| room < *last) {
            names.pop();
            names.push(room);
        }
    }
    names.into_sorted_vec().into_iter().map(|room| (room.clone(), log.standing(room))).collect()
}

#[cfg(test)]
mod tests;
