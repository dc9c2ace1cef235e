//! What this node has of the rooms that its clients are in: where each stands, and its latest messages. What the broker
//! brings is handed to the shards here, and what somebody missed is found here first.
//!
//! - Messages of a lane are handed over in the order of their lane positions, those of all lanes one after the other, and
//!   each wholly before the vector names it. So whoever is sent something that bears an offset has been sent everything
//!   up to it, and what comes later never bears less.
//! - While a lane is held nothing of it is handed over: what is read under it and what is joined under it fit together.
//!
//! A session's state may be locked while lanes are held, never the other way round.

mod lane;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use smallvec::SmallVec;
use turnpike_cluster::{
    Base, Control, Deliver, Full, LANES, Lane, LanePosition, Message, Signal, Soon, Standing, lane_of,
};
use turnpike_wire::RoomId;

pub use self::lane::RingLimits;
pub(crate) use self::lane::{LaneView, Levels};
use crate::clock::Clock;
use crate::offset::{self, OffsetText, Reference, Vector};
use crate::references::References;

pub(crate) struct Mirror {
    lanes: [Mutex<LaneView>; LANES],
    /// Held while a message is handed over, for about a microsecond: writing the event and putting it into the inboxes.
    reached: Mutex<Reached>,
    /// Lanes that go on from there and have no base yet. Not more than one each waits: the broker brings nothing of a lane
    /// until it has been announced.
    turning: Mutex<Vec<(Lane, LanePosition)>>,
    /// Whoever writes a base writes it for all lanes that wait: at the start those are all.
    writer: tokio::sync::Mutex<()>,
    limits: RingLimits,
    clock: Clock,
    outlet: Arc<dyn Outlet>,
    references: Arc<References>,
}

/// Where what the broker brings goes on to.
pub(crate) trait Outlet: Send + Sync {
    /// To all members of the room on this node, or to none.
    fn message(&self, message: &Message, offset: &str) -> Result<(), Full>;

    /// The members of the room must reload it.
    fn resync(&self, room: &RoomId, standing: &Standing, offset: &str);

    /// The message is with all members, and nothing is held any more.
    fn delivered(&self, message: &Message);

    /// The lane goes on in another epoch.
    fn lane_changed(&self, lane: Lane) {
        let _ = lane;
    }

    fn signal(&self, room: &RoomId, signal: &Signal);

    fn control(&self, control: Control);
}

/// How far every lane has been handed over, and what offsets are written against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reached {
    pub(crate) reference: Reference,
    pub(crate) vector: Vector,
}

impl Reached {
    /// What has been heard of stays so.
    fn turn_to(&mut self, reference: &Reference) {
        self.reference = Reference { heard: self.reference.heard, ..*reference };
    }

    pub(crate) fn offset(&self) -> OffsetText {
        offset::write(&self.reference, &self.vector)
    }

    /// The place in its lane of a room that stands there. A room that was broken goes on before its lane is announced.
    pub(crate) fn place_of(&self, lane: Lane, standing: &Standing) -> LanePosition {
        LanePosition { epoch: self.at(lane).epoch.max(standing.epoch), pos: standing.pos }
    }

    /// Where every lane is.
    pub(crate) fn positions(&self) -> [LanePosition; LANES] {
        std::array::from_fn(|index| LanePosition {
            epoch: self.reference.base.0[index].epoch,
            pos: self.vector.0[index],
        })
    }

    pub(crate) fn at(&self, lane: Lane) -> LanePosition {
        LanePosition { epoch: self.reference.epoch(lane), pos: self.vector.at(lane) }
    }
}

/// A lane of which nothing is handed over meanwhile.
pub(crate) struct LaneGuard<'a> {
    pub(crate) lane: Lane,
    view: MutexGuard<'a, LaneView>,
}

impl std::ops::Deref for LaneGuard<'_> {
    type Target = LaneView;

    fn deref(&self) -> &LaneView {
        &self.view
    }
}

impl std::ops::DerefMut for LaneGuard<'_> {
    fn deref_mut(&mut self) -> &mut LaneView {
        &mut self.view
    }
}

pub(crate) type LaneGuards<'a> = SmallVec<[LaneGuard<'a>; 4]>;

impl Mirror {
    pub(crate) fn new(
        limits: RingLimits,
        clock: Clock,
        outlet: Arc<dyn Outlet>,
        references: Arc<References>,
    ) -> Arc<Self> {
        let reference = references.draw(Base::default());
        Arc::new(Self {
            lanes: std::array::from_fn(|_| Mutex::default()),
            reached: Mutex::new(Reached { reference, vector: Vector::default() }),
            turning: Mutex::default(),
            writer: tokio::sync::Mutex::default(),
            limits,
            clock,
            outlet,
            references,
        })
    }

    pub(crate) fn reached(&self) -> Reached {
        *self.lock_reached()
    }

    pub(crate) fn lane(&self, lane: Lane) -> LaneGuard<'_> {
        // A panic under the lock cannot leave half a message: it is appended last and at once.
        let view = self.lanes[lane.index()].lock().unwrap_or_else(PoisonError::into_inner);
        LaneGuard { lane, view }
    }

    pub(crate) fn lane_of(&self, room: &RoomId) -> LaneGuard<'_> {
        self.lane(lane_of(room))
    }

    /// Several lanes at once. Always in the order of their index, so that two who lock never wait for each other.
    pub(crate) fn lanes_of<'r>(&self, rooms: impl IntoIterator<Item = &'r RoomId>) -> LaneGuards<'_> {
        let wanted = rooms.into_iter().fold(0u16, |wanted, room| wanted | 1 << lane_of(room).index());
        Lane::all().filter(|lane| wanted & (1 << lane.index()) != 0).map(|lane| self.lane(lane)).collect()
    }

    /// Nobody is in the room on this session's account any more.
    pub(crate) fn leave(&self, room: &RoomId) {
        let now_ms = self.clock.steady_ms();
        self.lane_of(room).leave(room, now_ms);
    }

    /// Lets go what is too old.
    pub(crate) fn expire(&self) {
        if let Some(before_ms) = self.clock.steady_ms().checked_sub(self.limits.age_ms_max) {
            Lane::all().for_each(|lane| self.lane(lane).expire(before_ms));
        }
    }

    /// Closes rooms that nobody here has been in for a while. `close` is called while no lane is held, because the broker
    /// may hold one of its own when it delivers.
    pub(crate) fn close_idle(&self, close: impl Fn(&RoomId)) {
        let Some(since_ms) = self.clock.steady_ms().checked_sub(self.limits.linger_ms) else { return };
        for lane in Lane::all() {
            loop {
                let Some(room) = self.lane(lane).begin_to_close_one(since_ms) else { break };
                close(&room);
                self.lane(lane).closed(&room);
            }
        }
    }

    /// Offsets grow with the distance from their base: writes down a new one, if anything has moved.
    pub(crate) fn renew_reference(self: &Arc<Self>) -> Soon<()> {
        let reached = self.reached();
        if reached.vector == Vector::of(&reached.reference.base) {
            return Soon::Now(());
        }
        let base = Base(std::array::from_fn(|index| LanePosition {
            epoch: reached.reference.base.0[index].epoch,
            pos: reached.vector.0[index],
        }));
        let reference = self.references.draw(base);
        let before = reached.reference.id;
        let mirror: Weak<Self> = Arc::downgrade(self);
        self.references.keep(&reference).map(move |kept| {
            let Some(mirror) = mirror.upgrade() else { return };
            let mut now = mirror.lock_reached();
            // Another was made meanwhile because an epoch has changed.
            if kept && now.reference.id == before {
                now.turn_to(&reference);
            }
        })
    }

    pub(crate) fn levels(&self) -> Levels {
        Lane::all().map(|lane| self.lane(lane).levels()).fold(Levels::default(), |sum, lane| Levels {
            rooms: sum.rooms + lane.rooms,
            messages: sum.messages + lane.messages,
            bytes: sum.bytes + lane.bytes,
        })
    }

    /// Gives lanes a base in their new epoch.
    async fn turn(&self, turning: &[(Lane, LanePosition)]) {
        loop {
            let reached = self.reached();
            let mut base = Base(std::array::from_fn(|index| LanePosition {
                epoch: reached.reference.base.0[index].epoch,
                pos: reached.vector.0[index],
            }));
            for (lane, from) in turning {
                base.0[lane.index()] = *from;
            }
            let reference = self.references.draw(base);
            // Nobody may be given an offset that no other node could read.
            self.references.keep_for_sure(&reference).await;
            let mut now = self.lock_reached();
            // The one of the minute may have come between.
            if now.reference.id == reached.reference.id {
                now.turn_to(&reference);
                for (lane, from) in turning {
                    now.vector.set(*lane, from.pos);
                }
                return;
            }
        }
    }

    fn lock_turning(&self) -> MutexGuard<'_, Vec<(Lane, LanePosition)>> {
        self.turning.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_reached(&self) -> MutexGuard<'_, Reached> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The mirror as the broker sees it.
pub(crate) struct Receiver(pub(crate) Arc<Mirror>);

impl Deliver for Receiver {
    fn lane(&self, lane: Lane, from: LanePosition) -> Soon<()> {
        let mirror = Arc::clone(&self.0);
        mirror.lock_turning().push((lane, from));
        Soon::later(async move {
            let _writer = mirror.writer.lock().await;
            let turning = std::mem::take(&mut *mirror.lock_turning());
            // Nothing left: whoever wrote before did it for this lane too.
            if !turning.is_empty() {
                mirror.turn(&turning).await;
                for (lane, _) in turning {
                    mirror.outlet.lane_changed(lane);
                }
            }
        })
    }

    fn opened(&self, room: &RoomId, standing: &Standing) {
        self.0.lane_of(room).opened(room, *standing);
    }

    fn message(&self, message: &Arc<Message>) -> Result<(), Full> {
        let mirror = &*self.0;
        let mut lane = mirror.lane_of(&message.room);
        if !lane.expects(message) {
            // The room was closed while this was under way, or the broker has broken its word.
            if let Some(standing) = lane.room(&message.room).and_then(|room| room.standing()) {
                tracing::error!(room = %message.room, seq = message.seq, expected = standing.seq + 1, "message out of order");
            }
            return Ok(());
        }
        {
            // One after the other, also between lanes: a vector that was read before another lane's message was handed
            // over, and went out behind it, would take its receiver back, and a recovery would bring that message again.
            let mut reached = mirror.lock_reached();
            let before = reached.vector.at(lane.lane);
            reached.vector.set(lane.lane, before.max(message.at.pos));
            if let Err(full) = mirror.outlet.message(message, reached.offset().as_str()) {
                reached.vector.set(lane.lane, before);
                return Err(full);
            }
        }
        lane.append(message, mirror.clock.steady_ms(), &mirror.limits, LANES);
        drop(lane);
        mirror.outlet.delivered(message);
        Ok(())
    }

    fn verified(&self, room: &RoomId, up_to: LanePosition) {
        // The lane is held so that nothing of it is on its way to the shards.
        let lane = self.0.lane_of(room);
        let mut reached = self.0.lock_reached();
        if reached.reference.epoch(lane.lane) == up_to.epoch {
            let before = reached.vector.at(lane.lane);
            reached.vector.set(lane.lane, before.max(up_to.pos));
        }
    }

    fn broken(&self, room: &RoomId, standing: &Standing) {
        let mirror = &*self.0;
        let mut lane = mirror.lane_of(room);
        lane.opened(room, *standing);
        let mut reached = mirror.lock_reached();
        let heard = &mut reached.reference.heard[lane.lane.index()];
        *heard = standing.lane.epoch.max(*heard);
        mirror.outlet.resync(room, standing, reached.offset().as_str());
    }

    fn signal(&self, room: &RoomId, signal: &Signal) {
        self.0.outlet.signal(room, signal);
    }

    fn control(&self, control: Control) {
        self.0.outlet.control(control);
    }
}

#[cfg(test)]
mod tests;
