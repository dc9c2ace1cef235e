//! Who is where: this node's users as others see them, and others as this node's clients are shown them.
//!
//! The rooms decide, each for itself and without a clock; here they are found, and what they decide is carried out. Nothing
//! waits under a lock, and the store is never called under one: it may call back at once.

mod announcer;
mod asking;
mod connections;
mod devices;
mod look;
mod nodes;
mod own;
mod room;
mod roster;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use turnpike_cluster::{
    Change, Cluster, Incarnation, LANES, Lane, Presence, PresenceDelta, Roster as Read, Soon, Unavailable,
    lane_of,
};
use turnpike_engine::packet::{Class, Encoded};
use turnpike_engine::{Handle, SocketRef};
use turnpike_wire::event::server::{PRESENCE, Presence as Event};
use turnpike_wire::{RoomId, UserId};

use self::announcer::Changes;
use self::connections::Connections;
pub(crate) use self::look::{Look, Showing};
use self::nodes::{Nodes, Turn};
pub(crate) use self::room::Shown;
use self::room::{Effect, Room};
use self::roster::Roster;
use crate::agenda::Agenda;
use crate::app::NAMESPACE;
use crate::clock::Clock;
use crate::outgoing::Outgoing;

/// A connection and whose it is.
#[derive(Debug, Clone)]
pub(crate) struct Who {
    pub(crate) socket: SocketRef,
    pub(crate) user: UserId,
}

pub(crate) struct Presences {
    own: Incarnation,
    presence: Arc<dyn Presence>,
    nodes: Nodes,
    handle: Handle,
    outgoing: Outgoing,
    clock: Clock,
    background: tokio::runtime::Handle,
    lanes: [Mutex<Rooms>; LANES],
    connections: Connections,
    told: AtomicU64,
    lost: AtomicU64,
    changes: AtomicU64,
    suppressed: AtomicU64,
}

/// The rooms of a lane that somebody on this node is in, or has just been.
#[derive(Default)]
struct Rooms {
    by_name: HashMap<RoomId, Room<SocketRef>>,
    agenda: Agenda<RoomId>,
    /// Who waits for a room to be read: the connections that join it.
    waiting: HashMap<RoomId, Vec<oneshot::Sender<()>>>,
    /// Watchers that could not be let in or out because the engine had no room for another command.
    owed: HashSet<(RoomId, SocketRef)>,
}

/// What is to be asked of the store, once the lock is gone.
enum Ask {
    Write(Vec<Change>),
    Read,
}

impl Presences {
    pub(crate) fn new(
        cluster: &Cluster,
        handle: Handle,
        outgoing: Outgoing,
        clock: Clock,
        background: tokio::runtime::Handle,
    ) -> Arc<Self> {
        Arc::new(Self {
            own: cluster.membership.own(),
            presence: Arc::clone(&cluster.presence),
            nodes: Nodes::new(&*cluster.membership),
            handle,
            outgoing,
            clock,
            background,
            lanes: std::array::from_fn(|_| Mutex::default()),
            connections: Connections::default(),
            told: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
        })
    }

    /// The connection is in the room from now on, or is shown differently there.
    pub(crate) fn enter(self: &Arc<Self>, room: &RoomId, who: &Who, showing: &Showing) {
        let key = showing.key(who);
        if room.personal_user().is_none() {
            self.connections.enter(who.socket, room);
        }
        self.work(room, |room, now_ms, _| room.enter(who.socket, &key, &showing.look, now_ms));
    }

    /// The connection is shown differently in all rooms that it is shown in.
    pub(crate) fn update(self: &Arc<Self>, who: &Who, showing: &Showing) {
        let key = showing.key(who);
        for room in self.rooms(who) {
            self.work(&room, |room, now_ms, _| {
                if room.has(&who.socket, &who.user) {
                    room.enter(who.socket, &key, &showing.look, now_ms);
                }
            });
        }
    }

    /// The connection leaves the room on purpose, or is broken and may come back.
    pub(crate) fn exit(self: &Arc<Self>, room: &RoomId, who: &Who, is_broken: bool) {
        self.connections.exit(&who.socket, room);
        self.work_if_there(room, |room, now_ms, effects| {
            room.exit(who.socket, &who.user, is_broken, now_ms, effects);
        });
    }

    /// The connection is no more.
    pub(crate) fn gone(self: &Arc<Self>, who: &Who, is_broken: bool) {
        for room in self.rooms(who) {
            self.exit(&room, who, is_broken);
        }
    }

    /// In which rooms the connection is shown, their own among them.
    fn rooms(&self, who: &Who) -> impl Iterator<Item = RoomId> {
        self.connections.rooms(&who.socket).into_iter().chain([RoomId::personal(&who.user)])
    }

    /// The connection, which has entered the room, is shown who is there, and hears from then on what changes. None: it
    /// has left meanwhile.
    pub(crate) async fn watch(
        self: &Arc<Self>,
        room: &RoomId,
        who: &Who,
        members_max: usize,
    ) -> Option<Shown> {
        self.ready(room).await;
        self.work(room, |room, _, effects| {
            let is_there = room.has(&who.socket, &who.user);
            is_there.then(|| room.show(who.socket, &who.user, members_max, effects)).flatten()
        })
    }

    /// The connection has come back into a room that it watched, and knows who was there some time ago.
    pub(crate) fn come_back(self: &Arc<Self>, room: &RoomId, who: &Who, showing: &Showing) {
        let key = showing.key(who);
        let own = self.own;
        self.connections.enter(who.socket, room);
        self.work(room, |room, now_ms, effects| {
            room.enter(who.socket, &key, &showing.look, now_ms);
            room.watch(own, now_ms, effects);
            room.come_back(who.socket, &who.user, now_ms);
        });
    }

    /// Who is in the room, as far as this connection has been told. The room is open here.
    pub(crate) async fn page(
        self: &Arc<Self>,
        room: &RoomId,
        who: &Who,
        after: Option<&UserId>,
        members_max: usize,
    ) -> Shown {
        self.ready(room).await;
        let shown = self.work(room, |room, _, _| room.page(&who.socket, &who.user, after, members_max));
        shown.unwrap_or_default()
    }

    /// Who is in the room, for somebody who is not, nor need the room be open here.
    pub(crate) async fn look_up(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        members_max: usize,
    ) -> Result<Shown, Unavailable> {
        let read = self.presence.read(room).wait().await?;
        let mut roster = Roster::new(self.own);
        roster.read_once(read, &self.nodes.dead());
        Ok(Shown::of(&roster, after, members_max))
    }

    /// Whether the user is connected to any node.
    pub(crate) fn is_connected(&self, user: &UserId) -> Soon<Result<bool, Unavailable>> {
        let dead = self.nodes.dead();
        self.presence
            .read(&RoomId::personal(user))
            .map(move |read| Ok(read?.rows.iter().any(|(incarnation, _, _)| !dead.contains(incarnation))))
    }

    /// The user's devices, whatever node they are connected to.
    pub(crate) fn devices(&self, user: &UserId) -> Soon<Result<Read, Unavailable>> {
        let dead = self.nodes.dead();
        self.presence.read(&RoomId::personal(user)).map(move |read| {
            let mut read = read?;
            read.rows.retain(|(incarnation, _, _)| !dead.contains(incarnation));
            Ok(read)
        })
    }

    /// When the user was last connected, milliseconds since 1970.
    pub(crate) fn last_seen(&self, user: &UserId) -> Soon<Result<Option<u64>, Unavailable>> {
        self.presence.last_seen(&RoomId::personal(user), user)
    }

    /// Something has come from a node.
    pub(crate) fn heard(&self, room: &RoomId, delta: &PresenceDelta) {
        let (now_ms, dead) = (self.clock.steady_ms(), self.nodes.dead());
        let mut lane = self.lane(lane_of(room));
        let Rooms { by_name: rooms, agenda, .. } = &mut *lane;
        if let Some(found) = rooms.get_mut(room) {
            found.heard(delta, &dead, now_ms);
            agenda.note_next(room, found.due_ms());
        }
    }

    /// The store of the lane has changed hands, and may have forgotten what was written last.
    pub(crate) fn doubt(&self, lane: Lane) {
        let Rooms { by_name: rooms, agenda, .. } = &mut *self.lane(lane);
        for (name, room) in rooms {
            room.doubt();
            agenda.note_next(name, room.due_ms());
        }
    }

    /// Events handed over, and those that could not be.
    pub(crate) fn told(&self) -> (u64, u64) {
        (self.told.load(Ordering::Relaxed), self.lost.load(Ordering::Relaxed))
    }

    /// Changes in rooms that somebody here watches, and those of them that no event speaks of.
    pub(crate) fn changes(&self) -> (u64, u64) {
        (self.changes.load(Ordering::Relaxed), self.suppressed.load(Ordering::Relaxed))
    }

    /// Does what is due.
    pub(crate) fn tick(self: &Arc<Self>) {
        self.look_at_nodes();
        let now_ms = self.clock.steady_ms();
        for lane in Lane::all() {
            let (due, owed) = {
                let mut rooms = self.lane(lane);
                (rooms.agenda.due(now_ms), std::mem::take(&mut rooms.owed))
            };
            for (room, socket) in owed {
                self.settle(&room, socket);
            }
            for room in due {
                self.work_if_there(&room, Room::tick);
            }
        }
    }

    /// Waits until it is known who is in the room, as far as that can be known.
    async fn ready(self: &Arc<Self>, room: &RoomId) {
        let own = self.own;
        let waits = self.work(room, |room, now_ms, effects| {
            room.watch(own, now_ms, effects);
            !room.is_ready()
        });
        if !waits {
            return;
        }
        let (done, waited) = oneshot::channel();
        {
            let mut lane = self.lane(lane_of(room));
            // It may have become ready in between.
            if lane.by_name.get(room).is_none_or(Room::is_ready) {
                return;
            }
            lane.waiting.entry(room.clone()).or_default().push(done);
        }
        // The sender gone means that the room is as well.
        let _ = waited.await;
    }

    fn look_at_nodes(&self) {
        let Turn { died, revived } = self.nodes.turn();
        if died.is_empty() && revived.is_empty() {
            return;
        }
        let now_ms = self.clock.steady_ms();
        for lane in Lane::all() {
            let Rooms { by_name: rooms, agenda, .. } = &mut *self.lane(lane);
            for (name, room) in rooms {
                for incarnation in &died {
                    room.dead(*incarnation, now_ms);
                }
                for incarnation in &revived {
                    room.alive(*incarnation);
                }
                agenda.note_next(name, room.due_ms());
            }
        }
    }

    fn work_if_there(
        self: &Arc<Self>,
        room: &RoomId,
        work: impl FnOnce(&mut Room<SocketRef>, u64, &mut Vec<Effect<SocketRef>>),
    ) {
        if self.lane(lane_of(room)).by_name.contains_key(room) {
            self.work(room, work);
        }
    }

    /// Has the room do something, and carries out what it decides.
    fn work<T>(
        self: &Arc<Self>,
        name: &RoomId,
        work: impl FnOnce(&mut Room<SocketRef>, u64, &mut Vec<Effect<SocketRef>>) -> T,
    ) -> T {
        let now_ms = self.clock.steady_ms();
        let mut asks = Vec::new();
        let result = {
            let mut lane = self.lane(lane_of(name));
            let Rooms { by_name: rooms, agenda, owed, .. } = &mut *lane;
            let is_personal = name.personal_user().is_some();
            let room = rooms.entry(name.clone()).or_insert_with(|| Room::new(is_personal));
            let mut effects = Vec::new();
            let result = work(room, now_ms, &mut effects);
            for effect in effects {
                match effect {
                    Effect::Write(changes) => asks.push(Ask::Write(changes)),
                    Effect::Read => asks.push(Ask::Read),
                    effect => self.carry_out(name, room, effect, owed),
                }
            }
            let tally = room.take_tally();
            if tally.changes > 0 {
                self.changes.fetch_add(tally.changes, Ordering::Relaxed);
                self.suppressed.fetch_add(tally.suppressed, Ordering::Relaxed);
            }
            agenda.note_next(name, room.due_ms());
            if room.is_empty() {
                rooms.remove(name);
            }
            result
        };
        for ask in asks {
            match ask {
                Ask::Write(changes) => self.write(name, changes),
                Ask::Read => self.read(name),
            }
        }
        result
    }

    /// Under the lane's lock: what is decided later takes effect later.
    fn carry_out(
        &self,
        name: &RoomId,
        room: &mut Room<SocketRef>,
        effect: Effect<SocketRef>,
        owed: &mut HashSet<(RoomId, SocketRef)>,
    ) {
        let told = match effect {
            Effect::Tell(changes) => self.handle.broadcast(&watchers(name), self.event(name, &changes), None),
            Effect::TellOne(socket, changes) => self.handle.emit(&socket, self.event(name, &changes)),
            Effect::Admit(socket) | Effect::Dismiss(socket) => {
                if !self.let_in_or_out(name, room, socket) {
                    owed.insert((name.clone(), socket));
                }
                return;
            }
            Effect::Write(_) | Effect::Read => return,
        };
        if told.is_ok() {
            self.told.fetch_add(1, Ordering::Relaxed);
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
            room.was_not_told(self.clock.steady_ms());
        }
    }

    fn let_in_or_out(&self, name: &RoomId, room: &Room<SocketRef>, socket: SocketRef) -> bool {
        let watchers = watchers(name);
        if room.hears(&socket) {
            self.handle.join(&socket, NAMESPACE, &watchers).is_ok()
        } else {
            self.handle.leave(&socket, &watchers).is_ok()
        }
    }

    /// Tries again to let a watcher in or out.
    fn settle(&self, name: &RoomId, socket: SocketRef) {
        let mut lane = self.lane(lane_of(name));
        let Rooms { by_name: rooms, owed, .. } = &mut *lane;
        let gone = Room::new(false);
        let room = rooms.get(name).unwrap_or(&gone);
        if !self.let_in_or_out(name, room, socket) {
            owed.insert((name.clone(), socket));
        }
    }

    fn event(&self, room: &RoomId, changes: &Changes) -> Arc<Encoded> {
        let Changes { count, joined, left, changed, partial } = changes;
        let event = Event { room, count: *count as u64, joined, left, changed, partial: *partial };
        // Dropped for who reads slowly: the count comes with the next, and a list can be asked for.
        let event = Encoded::event(NAMESPACE, PRESENCE).arg(&event).class(Class::Volatile);
        event.compress_above(self.outgoing.compress_above).build()
    }

    fn lane(&self, lane: Lane) -> MutexGuard<'_, Rooms> {
        // A room that panicked is as it was before or after a change, and is read again in time.
        self.lanes[lane.index()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The engine's room of those who watch. No client can name it: it begins with a character that no id has.
fn watchers(room: &RoomId) -> String {
    format!("\u{1}p:{room}")
}
