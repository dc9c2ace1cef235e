//! How far everybody has come: marks of users in rooms, and cursors of devices in personal rooms.
//!
//! What is said is merged and written about once a second; what all nodes have written is told to the members. The store
//! is never called under a lock: it may call back at once.

mod paced;
mod room;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use turnpike_cluster::{LANES, Lane, Mark, Marks, Soon, Unavailable, lane_of};
use turnpike_engine::Handle;
use turnpike_engine::packet::{Class, Encoded};
use turnpike_wire::event::server::{RECEIPT, Receipt as Event, UserMark};
use turnpike_wire::{RoomId, UserId};

use self::paced::{Full, Paced};
pub(crate) use self::room::Progress;
use self::room::{Effect, Room};
use crate::agenda::{Rooms, Timed as _};
use crate::app::NAMESPACE;
use crate::clock::Clock;
use crate::outgoing::Outgoing;

/// Cursors that are written in one tick; the rest waits for the next.
const CURSORS_MAX: usize = 200;

pub(crate) struct Receipts {
    marks: Arc<dyn Marks>,
    handle: Handle,
    outgoing: Outgoing,
    clock: Clock,
    background: tokio::runtime::Handle,
    lanes: [Mutex<Rooms<Room>>; LANES],
    cursors: Mutex<Paced<Device, u64>>,
    told: AtomicU64,
    lost: AtomicU64,
}

type Device = (UserId, Box<str>);

impl Receipts {
    pub(crate) fn new(
        marks: Arc<dyn Marks>,
        handle: Handle,
        outgoing: Outgoing,
        clock: Clock,
        background: tokio::runtime::Handle,
    ) -> Arc<Self> {
        Arc::new(Self {
            marks,
            handle,
            outgoing,
            clock,
            background,
            lanes: std::array::from_fn(|_| Mutex::default()),
            cursors: Mutex::default(),
            told: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        })
    }

    /// A client says how far its user has come. It is written within a second, also if the client goes away.
    pub(crate) fn mark(&self, room: &RoomId, user: &UserId, progress: Progress) -> Result<(), Unavailable> {
        let Rooms { by_name: rooms, agenda } = &mut *self.lane(lane_of(room));
        let found = rooms.entry(room.clone()).or_default();
        let said = found.say(user, progress);
        agenda.note_next(room, found.due_ms());
        said.map_err(|Full| overloaded())
    }

    /// A device says how far it has got the user's personal room.
    pub(crate) fn advance(&self, user: &UserId, device: &str, seq: u64) -> Result<(), Unavailable> {
        self.cursors().put((user.clone(), device.into()), seq).map_err(|Full| overloaded())
    }

    /// Marks have moved, here or on another node.
    pub(crate) fn heard(&self, room: &RoomId, marks: &[Mark]) {
        let Rooms { by_name: rooms, agenda } = &mut *self.lane(lane_of(room));
        let found = rooms.entry(room.clone()).or_default();
        found.heard(marks);
        agenda.note_next(room, found.due_ms());
    }

    /// Does what is due.
    pub(crate) fn tick(self: &Arc<Self>) {
        let now_ms = self.clock.steady_ms();
        for lane in Lane::all() {
            let effects = self.lane(lane).tick(now_ms);
            for (room, effect) in effects {
                match effect {
                    Effect::Write(marks) => self.write(&room, marks),
                    Effect::Tell(marks) => self.tell(&room, &marks),
                }
            }
        }
        let cursors = self.cursors().take(now_ms, CURSORS_MAX);
        for ((user, device), seq) in cursors {
            match self.marks.advance(&user, &device, seq) {
                Soon::Now(result) => self.advanced(&(user, device), seq, result),
                Soon::Later(result) => {
                    let this = Arc::clone(self);
                    self.background.spawn(async move { this.advanced(&(user, device), seq, result.await) });
                }
            }
        }
    }

    fn write(self: &Arc<Self>, room: &RoomId, marks: Vec<Mark>) {
        match self.marks.mark(room, marks) {
            Soon::Now(result) => self.written(room, result),
            Soon::Later(result) => {
                let (this, room) = (Arc::clone(self), room.clone());
                self.background.spawn(async move { this.written(&room, result.await) });
            }
        }
    }

    fn written(&self, room: &RoomId, result: Result<(), Unavailable>) {
        let now_ms = self.clock.steady_ms();
        let Rooms { by_name: rooms, agenda } = &mut *self.lane(lane_of(room));
        if let Some(found) = rooms.get_mut(room) {
            found.written(result.map_err(|error| error.retry_after_ms), now_ms);
            agenda.note_next(room, found.due_ms());
        }
    }

    fn advanced(&self, device: &Device, seq: u64, result: Result<(), Unavailable>) {
        let now_ms = self.clock.steady_ms();
        self.cursors().written(device, &seq, result.map_err(|error| error.retry_after_ms), now_ms);
    }

    /// A shard whose inbox is full, or a client that reads slowly, hears of the next move of each.
    fn tell(&self, room: &RoomId, marks: &[UserMark]) {
        let event = Encoded::event(NAMESPACE, RECEIPT).arg(&Event { room, marks }).class(Class::Volatile);
        let event = event.compress_above(self.outgoing.compress_above).build();
        let told = self.handle.broadcast(room, event, None).is_ok();
        let counter = if told { &self.told } else { &self.lost };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Events handed over, and those that could not be.
    pub(crate) fn told(&self) -> (u64, u64) {
        (self.told.load(Ordering::Relaxed), self.lost.load(Ordering::Relaxed))
    }

    fn lane(&self, lane: Lane) -> MutexGuard<'_, Rooms<Room>> {
        // Marks only rise, so one that was half merged is right as well.
        self.lanes[lane.index()].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cursors(&self) -> MutexGuard<'_, Paced<Device, u64>> {
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// More have said something within a second than are written in one.
fn overloaded() -> Unavailable {
    Unavailable { retry_after_ms: 1_000 }
}
