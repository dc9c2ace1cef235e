//! Says of rooms that somebody is in them, and that nobody is any more, on whichever node, when a backend wants to know.
//!
//! What this node has to say of a room is decided in `rooms`, without a clock; here it is written into the cluster, and
//! what comes of it is reported. Nothing of this is there when nobody wants it.

mod rooms;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::watch;
use turnpike_cluster::{Cluster, Incarnation, Node, Occupancy as Store, Turn, Unavailable};
use turnpike_engine::SocketRef;
use turnpike_wire::RoomId;

use self::rooms::{Ask, Rooms};
use crate::clock::Clock;

/// How long after a node has gone its rooms are looked at: its clients are coming back meanwhile.
const AFTER_DEATH_MS: u64 = 4_000;

/// And once more: while the leases themselves had nobody to keep them, in a failover, nobody was given up either.
const AFTER_DEATH_AGAIN_MS: u64 = 10_000;

/// However quiet it is: what was left behind while no node lived, or what one could not finish, is found then.
const LOOK_AGAIN_MS: u64 = 60_000;

/// After a look that could not be finished.
const RETRY_MS: u64 = 1_000;

/// Who is told of a change, until it has been reported.
pub(crate) trait Herald: Send + Sync + 'static {
    fn report(&self, room: &RoomId, turn: Turn);
}

pub(crate) struct Occupancy {
    store: Arc<dyn Store>,
    rooms: Mutex<Rooms<SocketRef>>,
    look: Mutex<Look>,
    clock: Clock,
    background: Handle,
}

/// When the rooms of the dead are looked at next.
struct Look {
    nodes: watch::Receiver<Arc<[Node]>>,
    living: HashSet<Incarnation>,
    due_ms: u64,
    /// Somebody has died since the last look.
    death: bool,
    under_way: bool,
}

impl Occupancy {
    pub(crate) fn new(cluster: &Cluster, clock: Clock, background: Handle) -> Self {
        let mut nodes = cluster.membership.nodes();
        let living = incarnations(&nodes.borrow_and_update());
        let due_ms = clock.steady_ms() + AFTER_DEATH_MS;
        Self {
            store: Arc::clone(&cluster.occupancy),
            rooms: Mutex::default(),
            look: Mutex::new(Look { nodes, living, due_ms, death: false, under_way: false }),
            clock,
            background,
        }
    }

    /// The connection is in the room from now on.
    pub(crate) fn enter(&self, room: &RoomId, socket: SocketRef) {
        // Whether somebody is connected at all is told of connections.
        if room.personal_user().is_none() {
            self.rooms().enter(room, socket, self.clock.steady_ms());
        }
    }

    /// The connection has left the room.
    pub(crate) fn exit(&self, room: &RoomId, socket: SocketRef) {
        self.rooms().exit(room, socket, self.clock.steady_ms());
    }

    /// The connection is no more.
    pub(crate) fn gone(&self, socket: SocketRef) {
        self.rooms().gone(socket, self.clock.steady_ms());
    }

    /// Does what is due.
    pub(crate) fn tick(self: &Arc<Self>, herald: &Arc<impl Herald>) {
        let now_ms = self.clock.steady_ms();
        let asks = self.rooms().tick(now_ms);
        for (room, ask) in asks {
            let (again, herald) = (Arc::clone(self), Arc::clone(herald));
            self.background.spawn(async move { again.write(&room, ask, &*herald).await });
        }
        if self.look().is_due(now_ms) {
            let (again, herald) = (Arc::clone(self), Arc::clone(herald));
            self.background.spawn(async move { again.take_over(&*herald).await });
        }
    }

    /// The turn has been reported, or will never be.
    pub(crate) fn told(self: &Arc<Self>, room: &RoomId, turn: Turn) {
        let told = self.store.told(room, turn);
        self.background.spawn(async move {
            // It is then told once more when this node has gone, under the same number.
            let _ = told.wait().await;
        });
    }

    /// When this node ends and there is no other, nobody is anywhere.
    pub(crate) fn close(&self, herald: &impl Herald) {
        // The others look after its rooms, and its clients are on their way to them.
        if self.store.is_shared() {
            return;
        }
        let rooms = self.rooms().close();
        for room in rooms {
            if let Some(Ok(Some(turn))) = self.store.leave(&room).now() {
                herald.report(&room, turn);
            }
        }
    }

    async fn write(&self, room: &RoomId, ask: Ask, herald: &impl Herald) {
        let turn = match ask {
            Ask::Enter => self.store.enter(room).wait().await,
            Ask::Leave => self.store.leave(room).wait().await,
        };
        if let Ok(Some(turn)) = turn {
            herald.report(room, turn);
        }
        let failed = turn.err().map(|Unavailable { retry_after_ms }| retry_after_ms);
        self.rooms().settled(room, ask, failed, self.clock.steady_ms());
    }

    async fn take_over(&self, herald: &impl Herald) {
        let taken = self.store.take_over().wait().await;
        for (room, turn) in taken.iter().flatten() {
            herald.report(room, *turn);
        }
        let now_ms = self.clock.steady_ms();
        let mut look = self.look();
        look.under_way = false;
        // Somebody may have died meanwhile.
        let is_noted = look.due_ms > now_ms;
        let next_ms = match taken {
            Err(_) => RETRY_MS,
            Ok(_) if std::mem::replace(&mut look.death, is_noted) => AFTER_DEATH_AGAIN_MS,
            Ok(_) => LOOK_AGAIN_MS,
        };
        let next_ms = now_ms + next_ms;
        look.due_ms = if is_noted { look.due_ms.min(next_ms) } else { next_ms };
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms<SocketRef>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self) -> MutexGuard<'_, Look> {
        self.look.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Look {
    fn is_due(&mut self, now_ms: u64) -> bool {
        if self.nodes.has_changed().unwrap_or(false) {
            let living = incarnations(&self.nodes.borrow_and_update());
            if !self.living.is_subset(&living) {
                self.due_ms = now_ms + AFTER_DEATH_MS;
                self.death = true;
            }
            self.living = living;
        }
        let is_due = !self.under_way && now_ms >= self.due_ms;
        if is_due {
            self.under_way = true;
            self.due_ms = now_ms;
        }
        is_due
    }
}

fn incarnations(nodes: &[Node]) -> HashSet<Incarnation> {
    nodes.iter().map(|node| node.incarnation).collect()
}
