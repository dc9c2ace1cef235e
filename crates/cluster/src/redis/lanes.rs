//! Drives the followers: brings them what happened, and does what they say.
//!
//! A lane's follower is behind one lock, under which the node is called as well: so its calls come one after the other, and
//! nothing of a room comes after it was closed. Whatever takes time runs as a task and comes back as something that
//! happened.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout};
use tracing::{debug, error, info};
use turnpike_wire::RoomId;

use super::access::Access;
use super::bus::{Bus, Listen};
use super::follow::{Effect, Follower, Gap, Notice};
use super::frame::{self, Frame, Own, Unreadable};
use super::log;
use crate::{Deliver, LANES, Lane, LanePosition, Signal, Soon, Unavailable, lane_of};

#[allow(clippy::struct_field_names, reason = "that is what they are")]
pub(crate) struct Lanes {
    access: Arc<Access>,
    bus: Bus,
    lanes: [Driven; LANES],
    start: Instant,
    own: Weak<Self>,
}

#[derive(Default)]
struct Driven {
    state: Mutex<State>,
    /// The follower is to be asked earlier than was said.
    earlier: Notify,
}

#[derive(Default)]
struct State {
    /// From the start of the broker on.
    follower: Option<Follower>,
    waiters: HashMap<u64, oneshot::Sender<()>>,
    waited: u64,
    wake_ms: u64,
}

impl Lanes {
    pub(crate) fn new(access: Arc<Access>, bus: Bus) -> Arc<Self> {
        Arc::new_cyclic(|own| {
            let _ = access.lanes.set(Weak::clone(own));
            Self {
                access,
                bus,
                lanes: std::array::from_fn(|_| Driven::default()),
                start: Instant::now(),
                own: Weak::clone(own),
            }
        })
    }

    /// Asks where the lanes stand, tells the node, and follows from there.
    pub(crate) async fn begin(self: Arc<Self>, deliver: Arc<dyn Deliver>) -> Result<(), Unavailable> {
        let positions =
            futures_util::future::join_all(Lane::all().map(|lane| log::position(&self.access, lane))).await;
        let positions = positions.into_iter().collect::<Result<Vec<LanePosition>, _>>()?;
        if self.access.deliver.set(deliver).is_err() {
            // Called a second time, the first node stays the one that is delivered to.
            return Ok(());
        }
        let mut announced = Vec::new();
        for (lane, position) in Lane::all().zip(positions) {
            announced.push(self.drive(lane, |state, now_ms| {
                state.follower = Some(Follower::new(position, now_ms));
                // The first effect is the announcement.
                state.wait()
            }));
            self.access.runtime.spawn(Self::wake(Weak::clone(&self.own), lane));
        }
        for (lane, (waiter, announced)) in Lane::all().zip(announced) {
            self.drive(lane, |state, _| {
                if let Some(follower) = &mut state.follower {
                    follower.done_in_turn(waiter);
                }
            });
            let _ = announced.await;
        }
        self.bus.start(Arc::new(Listener(Weak::clone(&self.own))));
        // What others tell this node is lost until then. Longer than this it is not worth waiting for: it will come.
        let _ = timeout(2 * self.access.client.config.reply_deadline, self.bus.heard()).await;
        Ok(())
    }

    pub(crate) fn open(&self, room: &RoomId) -> Soon<Result<(), Unavailable>> {
        let lane = lane_of(room);
        let (waiter, done) = self.drive(lane, |state, _| {
            let (waiter, done) = state.wait();
            if let Some(follower) = &mut state.follower {
                follower.open(room, waiter);
            }
            (waiter, done)
        });
        let lanes = Weak::clone(&self.own);
        self.wait_for(room.clone(), done, move |room| {
            let Some(lanes) = lanes.upgrade() else { return false };
            lanes.drive(lane, |state, _| {
                state.waiters.remove(&waiter);
                let follower = state.follower.as_mut();
                follower.is_some_and(|follower| !follower.give_up(&room, waiter))
            })
        })
    }

    pub(crate) fn close(&self, room: &RoomId) {
        self.access.versions.closed(room);
        self.drive(lane_of(room), |state, _| {
            if let Some(follower) = &mut state.follower {
                follower.close(room);
            }
        });
    }

    pub(crate) fn level(&self, room: &RoomId) -> Soon<Result<(), Unavailable>> {
        let lane = lane_of(room);
        let (waiter, done) = self.drive(lane, |state, _| {
            let (waiter, done) = state.wait();
            if let Some(follower) = &mut state.follower {
                follower.level(room, waiter);
            }
            (waiter, done)
        });
        let lanes = Weak::clone(&self.own);
        self.wait_for(room.clone(), done, move |_| {
            if let Some(lanes) = lanes.upgrade() {
                lanes.drive(lane, |state, _| state.waiters.remove(&waiter));
            }
            false
        })
    }

    pub(crate) fn follows(&self, room: &RoomId) -> bool {
        self.state(lane_of(room)).follower.as_ref().is_some_and(|follower| follower.is_open(room))
    }

    /// To the node, if it follows the room. Under the lane's lock, like everything that the node is given.
    pub(crate) fn signal(&self, room: &RoomId, signal: &Signal) {
        let state = self.state(lane_of(room));
        if let (Some(follower), Some(deliver)) = (&state.follower, self.access.deliver.get())
            && follower.is_open(room)
        {
            deliver.signal(room, signal);
        }
    }

    /// `late` is asked when the time is over, and may find that it was not.
    fn wait_for(
        &self,
        room: RoomId,
        mut done: oneshot::Receiver<()>,
        late: impl FnOnce(RoomId) -> bool + Send + 'static,
    ) -> Soon<Result<(), Unavailable>> {
        if done.try_recv().is_ok() {
            return Soon::Now(Ok(()));
        }
        let deadline = self.access.client.config.call_deadline;
        Soon::later(async move {
            match timeout(deadline, done).await {
                Ok(Ok(())) => Ok(()),
                _ if late(room) => Ok(()),
                _ => Err(Unavailable { retry_after_ms: 500 }),
            }
        })
    }

    fn state(&self, lane: Lane) -> MutexGuard<'_, State> {
        // The follower keeps its own order; a panic of the node has taken the message that it was given.
        self.lanes[lane.index()].state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// Lets something happen to the lane, and does what follows from it.
    fn drive<T>(&self, lane: Lane, happen: impl FnOnce(&mut State, u64) -> T) -> T {
        let mut state = self.state(lane);
        let now_ms = self.now_ms();
        let happened = happen(&mut state, now_ms);
        while let Some(effect) = state.follower.as_mut().and_then(|follower| follower.next(now_ms)) {
            self.perform(lane, &mut state, effect, now_ms);
        }
        let wake_ms = state.follower.as_ref().map_or(u64::MAX, |follower| follower.wake_ms(now_ms));
        if wake_ms < state.wake_ms || state.wake_ms <= now_ms {
            self.lanes[lane.index()].earlier.notify_one();
        }
        state.wake_ms = wake_ms;
        happened
    }

    fn perform(&self, lane: Lane, state: &mut State, effect: Effect, now_ms: u64) {
        let Some(deliver) = self.access.deliver.get() else { return };
        let metrics = &self.access.client.metrics;
        match effect {
            Effect::Subscribe { room, number } => self.bus.subscribe(lane, &room, number),
            Effect::Unsubscribe { room } => self.bus.unsubscribe(lane, &room),
            Effect::Compare { number, rooms, quiet } => {
                self.task(
                    lane,
                    async move |access| log::compare(&access, lane, &rooms, quiet).await,
                    move |follower, answer, now_ms| {
                        follower.compared(number, answer, now_ms);
                    },
                );
            }
            Effect::Read { number, room, from } => {
                self.task(
                    lane,
                    async move |access| log::part(&access, &room, from).await,
                    move |follower, answer, now_ms| {
                        follower.read(number, answer, now_ms);
                    },
                );
            }
            Effect::Lane(from) => {
                info!(lane = lane.index(), epoch = from.epoch, pos = from.pos, "the lane goes on");
                self.access.doubt();
                match deliver.lane(lane, from) {
                    Soon::Now(()) => {
                        if let Some(follower) = &mut state.follower {
                            follower.lane_ready();
                        }
                    }
                    Soon::Later(told) => {
                        self.task(lane, async move |_| told.await, |follower, (), _| follower.lane_ready());
                    }
                }
            }
            Effect::Opened(room, standing) => deliver.opened(&room, &standing),
            Effect::Message(message) => {
                if deliver.message(&message).is_err()
                    && let Some(follower) = &mut state.follower
                {
                    follower.refused(message, now_ms);
                }
            }
            Effect::Verified(room, up_to) => deliver.verified(&room, up_to),
            Effect::Broken(room, standing) => {
                metrics.broken.inc();
                info!(%room, seq = standing.seq, "members of the room must reload it");
                deliver.broken(&room, &standing);
            }
            Effect::Done(waiter) => {
                if let Some(waiter) = state.waiters.remove(&waiter) {
                    let _ = waiter.send(());
                }
            }
            Effect::Noticed(notice) => self.notice(lane, notice),
        }
    }

    fn notice(&self, lane: Lane, notice: Notice) {
        let metrics = &self.access.client.metrics;
        match notice {
            Notice::Gap(gap) => {
                let reason = match gap {
                    Gap::BusLost => "bus_lost",
                    Gap::Lagged => "lagged",
                    Gap::Sequence => "sequence",
                    Gap::Audit => "audit",
                    Gap::Epoch => "epoch",
                    Gap::Overflow => "overflow",
                };
                info!(lane = lane.index(), reason, "something may have been missed");
                metrics.gaps.with_label_values(&[reason]).inc();
            }
            Notice::Resync => metrics.resyncs.inc(),
            Notice::Repaired(messages) => metrics.repaired.inc_by(messages as u64),
        }
    }

    /// Does something that takes time, and lets the lane know what came of it.
    fn task<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        lane: Lane,
        work: impl FnOnce(Arc<Access>) -> F + Send + 'static,
        happen: impl FnOnce(&mut Follower, T, u64) + Send + 'static,
    ) {
        let (lanes, access) = (Weak::clone(&self.own), Arc::clone(&self.access));
        self.access.runtime.spawn(async move {
            let answer = work(access).await;
            let Some(lanes) = lanes.upgrade() else { return };
            lanes.drive(lane, |state, now_ms| {
                if let Some(follower) = &mut state.follower {
                    happen(follower, answer, now_ms);
                }
            });
        });
    }

    /// Asks the follower again when it said so.
    async fn wake(lanes: Weak<Self>, lane: Lane) {
        loop {
            let Some(held) = lanes.upgrade() else { return };
            let wake_ms = held.state(lane).wake_ms;
            let pause = Duration::from_millis(wake_ms.saturating_sub(held.now_ms()).clamp(1, 60_000));
            let earlier = held.lanes[lane.index()].earlier.notified();
            if timeout(pause, earlier).await.is_err() {
                held.drive(lane, |_, _| ());
            }
        }
    }
}

impl State {
    fn wait(&mut self) -> (u64, oneshot::Receiver<()>) {
        let (done_in, done) = oneshot::channel();
        self.waited += 1;
        // A waiter that nobody waits for any more is taken out when it is done, or when its time is over.
        self.waiters.insert(self.waited, done_in);
        (self.waited, done)
    }
}

/// The lanes as the bus sees them.
struct Listener(Weak<Lanes>);

impl Listener {
    fn with(&self, lane: Lane, happen: impl FnOnce(&mut Follower)) {
        if let Some(lanes) = self.0.upgrade() {
            lanes.drive(lane, |state, _| {
                if let Some(follower) = &mut state.follower {
                    happen(follower);
                }
            });
        }
    }
}

impl Listen for Listener {
    fn up(&self, lane: Lane) {
        debug!(lane = lane.index(), "the bus brings the lane");
        self.with(lane, Follower::bus_up);
    }

    fn down(&self, lane: Lane) {
        self.with(lane, Follower::bus_down);
    }

    fn subscribed(&self, lane: Lane, room: &RoomId, number: u64) {
        self.with(lane, |follower| follower.subscribed(room, number));
    }

    fn announced(&self, lane: Lane, room: &str, frame: &[u8]) {
        let Some(lanes) = self.0.upgrade() else { return };
        lanes.drive(lane, |state, _| {
            let Some(follower) = &mut state.follower else { return };
            // Closed, and the bus does not know yet.
            let Some(room) = follower.name(room) else { return };
            let channel = lanes.access.keys.channel(&room);
            match frame::parse(&lanes.access.seal.at(&channel), &room, frame) {
                Ok(Frame::Message(header, message)) => follower.message(header, message),
                Ok(Frame::Signal { origin, stamped, mut signal }) => {
                    if let Signal::Presence(delta) = &mut signal {
                        lanes.access.hear(&room, delta);
                    }
                    // What this node sends it was given when it sent it.
                    let is_news = origin != lanes.access.own || stamped;
                    if let Some(deliver) = lanes.access.deliver.get()
                        && is_news
                        && follower.is_open(&room)
                    {
                        deliver.signal(&room, &signal);
                    }
                }
                Err(Unreadable::Forged) => lanes.access.forged("announcement"),
                Err(malformed) => {
                    lanes.access.client.metrics.undecodable.inc();
                    error!(%room, error = &malformed as &dyn std::error::Error, "an announcement");
                }
            }
        });
    }

    fn lagged(&self, lane: Lane) {
        self.with(lane, Follower::lagged);
    }

    fn posted(&self) {
        if let Some(lanes) = self.0.upgrade() {
            lanes.access.posted.notify_one();
        }
    }

    fn control(&self, frame: &[u8]) {
        let Some(lanes) = self.0.upgrade() else { return };
        let channel = lanes.access.keys.node(lanes.access.own);
        match frame::parse_own(&lanes.access.seal.at(&channel), frame) {
            Ok(Own::Control(control)) => {
                if let Some(deliver) = lanes.access.deliver.get() {
                    deliver.control(control);
                }
            }
            Ok(Own::Letter(subject, letter)) => lanes.access.letterboxes.put(&subject, letter),
            Err(Unreadable::Forged) => lanes.access.forged("letter"),
            Err(malformed) => {
                lanes.access.client.metrics.undecodable.inc();
                error!(error = &malformed as &dyn std::error::Error, "an announcement to this node");
            }
        }
    }
}
