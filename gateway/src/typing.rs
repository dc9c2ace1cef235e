//! Who is typing: at most once, never stored, and the first thing to go when something has to.
//!
//! The rooms decide, each for itself and without a clock; here they are found, and what they decide is carried out.

mod pace;
mod room;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use turnpike_cluster::{Broker, LANES, Lane, Signal, TypingChange, lane_of};
use turnpike_engine::packet::{Class, Encoded};
use turnpike_engine::{Handle, SocketRef};
use turnpike_wire::event::server::{TYPING, Typing as Event};
use turnpike_wire::{RoomId, UserId};

use self::room::{Effect, Room, View};
use crate::agenda::{Rooms, Timed as _};
use crate::app::NAMESPACE;
use crate::clock::Clock;
use crate::outgoing::Outgoing;

pub(crate) struct Typing {
    broker: Arc<dyn Broker>,
    handle: Handle,
    outgoing: Outgoing,
    clock: Clock,
    lanes: [Mutex<Rooms<Room<SocketRef>>>; LANES],
    /// How many rooms there are in each lane. Every message asks whether its sender was typing, and most rooms are quiet.
    busy: [AtomicUsize; LANES],
    told: AtomicU64,
    lost: AtomicU64,
    starts: AtomicU64,
    suppressed: AtomicU64,
}

impl Typing {
    pub(crate) fn new(broker: Arc<dyn Broker>, handle: Handle, outgoing: Outgoing, clock: Clock) -> Self {
        Self {
            broker,
            handle,
            outgoing,
            clock,
            lanes: std::array::from_fn(|_| Mutex::default()),
            busy: std::array::from_fn(|_| AtomicUsize::new(0)),
            told: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            starts: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
        }
    }

    /// The user has begun to type on this connection, or goes on.
    pub(crate) fn start(&self, room: &RoomId, user: &UserId, socket: SocketRef) {
        let now_ms = self.clock.steady_ms();
        let lane = lane_of(room);
        let mut guard = self.lane(lane);
        let Rooms { by_name: rooms, agenda } = &mut *guard;
        let found = rooms.entry(room.clone()).or_insert_with(Room::new);
        let is_taken = found.start(user, socket, now_ms);
        agenda.note_next(room, found.due_ms());
        self.busy[lane.index()].store(rooms.len(), Ordering::Relaxed);
        drop(guard);
        self.starts.fetch_add(1, Ordering::Relaxed);
        if !is_taken {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The user has stopped on this connection, left the room with it, or lost it.
    pub(crate) fn stop(&self, room: &RoomId, user: &UserId, socket: SocketRef) {
        self.change(room, |room| room.stop(user, socket));
    }

    /// A message of the user has come.
    pub(crate) fn spoke(&self, room: &RoomId, user: &UserId) {
        self.change(room, |room| room.spoke(user));
    }

    /// Something has come from a node.
    pub(crate) fn heard(&self, room: &RoomId, changes: &[TypingChange]) {
        let now_ms = self.clock.steady_ms();
        let lane = lane_of(room);
        let mut rooms = self.lane(lane);
        let Rooms { by_name: rooms, agenda } = &mut *rooms;
        let found = rooms.entry(room.clone()).or_insert_with(Room::new);
        found.heard(changes, now_ms);
        agenda.note_next(room, found.due_ms());
        if found.is_empty(now_ms) {
            rooms.remove(room);
        }
        self.busy[lane.index()].store(rooms.len(), Ordering::Relaxed);
    }

    /// Does what is due. `sockets` gives the connections here that a user is in a room with.
    pub(crate) fn tick(&self, sockets: impl Fn(&UserId, &RoomId) -> Vec<SocketRef>) {
        let now_ms = self.clock.steady_ms();
        for lane in Lane::all() {
            if self.busy[lane.index()].load(Ordering::Relaxed) == 0 {
                continue;
            }
            let effects = {
                let mut rooms = self.lane(lane);
                let effects = rooms.tick(now_ms);
                self.busy[lane.index()].store(rooms.by_name.len(), Ordering::Relaxed);
                effects
            };
            for (room, effect) in effects {
                match effect {
                    Effect::Tell { view, apart } => self.tell(&room, &view, apart, &sockets),
                    Effect::Send(changes) => self.broker.signal(&room, Signal::Typing(changes)),
                }
            }
        }
    }

    /// If a shard's inbox is full, its members hear of the next change.
    fn tell(
        &self,
        room: &RoomId,
        view: &View,
        apart: Vec<(UserId, Option<View>)>,
        sockets: &impl Fn(&UserId, &RoomId) -> Vec<SocketRef>,
    ) {
        let mut left_out = Vec::new();
        for (user, view) in apart {
            let own = sockets(&user, room);
            if let Some(view) = view.filter(|_| !own.is_empty()) {
                let event = self.event(room, &view);
                for socket in &own {
                    self.count(self.handle.emit(socket, Arc::clone(&event)).is_ok());
                }
            }
            left_out.extend(own);
        }
        self.count(self.handle.broadcast_except(room, self.event(room, view), &left_out).is_ok());
    }

    fn count(&self, told: bool) {
        let counter = if told { &self.told } else { &self.lost };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Events handed over, and those that could not be.
    pub(crate) fn told(&self) -> (u64, u64) {
        (self.told.load(Ordering::Relaxed), self.lost.load(Ordering::Relaxed))
    }

    /// What clients have said, and of that what came too soon or into too large a crowd to be told.
    pub(crate) fn starts(&self) -> (u64, u64) {
        (self.starts.load(Ordering::Relaxed), self.suppressed.load(Ordering::Relaxed))
    }

    fn event(&self, room: &RoomId, view: &View) -> Arc<Encoded> {
        let event = Event { room, users: &view.users, more: view.more as u64 };
        let mut hasher = DefaultHasher::new();
        (TYPING, room.as_str()).hash(&mut hasher);
        let class = Class::State { key: hasher.finish() };
        let event = Encoded::event(NAMESPACE, TYPING).arg(&event).class(class);
        event.compress_above(self.outgoing.compress_above).build()
    }

    fn change(&self, room: &RoomId, work: impl FnOnce(&mut Room<SocketRef>)) {
        let lane = lane_of(room);
        if self.busy[lane.index()].load(Ordering::Relaxed) == 0 {
            return;
        }
        let Rooms { by_name: rooms, agenda } = &mut *self.lane(lane);
        if let Some(found) = rooms.get_mut(room) {
            work(found);
            agenda.note_next(room, found.due_ms());
        }
    }

    fn lane(&self, lane: Lane) -> MutexGuard<'_, Rooms<Room<SocketRef>>> {
        // Of a room that panicked nothing has to be right: in six seconds it is forgotten.
        self.lanes[lane.index()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
