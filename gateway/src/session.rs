//! A session: who somebody is and which rooms they are in, for as long as they may return to it.
//!
//! It outlives its connection by the recovery window. A connection that resumes it takes the rooms over into a session
//! object of its own, so whatever the earlier connection still does finds nothing and is refused.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use turnpike_engine::{Kind, SocketRef};
use turnpike_guard::Identity;
use turnpike_wire::RoomId;

use crate::broker::Broker;
use crate::replay::Membership;

pub(crate) struct Session {
    pub(crate) identity: Identity,
    pub(crate) kind: Kind,
    /// Locked before any lane, never while one is held.
    state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) at: Whereabouts,
    pub(crate) rooms: Vec<Membership>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    Connected(SocketRef),
    /// Until this time, by the steady clock, somebody may come and take it over.
    Away {
        until_ms: u64,
    },
    /// Taken over or given up. Nothing comes back from here.
    Gone,
}

impl Session {
    pub(crate) fn new(
        identity: Identity,
        kind: Kind,
        socket: SocketRef,
        rooms: Vec<Membership>,
    ) -> Arc<Self> {
        let state = State { at: Whereabouts::Connected(socket), rooms };
        Arc::new(Self { identity, kind, state: Mutex::new(state) })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // Every change is made after everything that could fail, so a panic leaves the state as it was.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(crate) fn is_connected_as(&self, socket: &SocketRef) -> bool {
        self.at == Whereabouts::Connected(*socket)
    }

    pub(crate) fn membership(&self, room: &RoomId) -> Option<usize> {
        self.rooms.iter().position(|membership| membership.room == *room)
    }

    /// Nobody will take this session up again, so its rooms need not be kept for it.
    pub(crate) fn give_up(&mut self, broker: &Broker) {
        self.at = Whereabouts::Gone;
        for Membership { room, .. } in std::mem::take(&mut self.rooms) {
            broker.lane_of(&room).leave(&room);
        }
    }
}
