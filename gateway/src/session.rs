//! A session: who somebody is and which rooms they are in, for as long as they may return to it.
//!
//! It outlives its connection by the recovery window. A connection that resumes it takes the rooms over into a session
//! object of its own, so whatever the earlier connection still does finds nothing and is refused.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use turnpike_cluster::{RoomRecord, SessionRecord};
use turnpike_engine::{Kind, SocketRef};
use turnpike_guard::Identity;
use turnpike_wire::{Disconnect, RoomId, UserId};

use crate::limits::Meter;
use crate::mirror::Mirror;
use crate::policing::Seen;
use crate::presence::Showing;
use crate::record;
use crate::replay::Member;

pub(crate) struct Session {
    pub(crate) user: UserId,
    pub(crate) kind: Kind,
    /// Where its connection comes from. None: it is kept for somebody who is away.
    pub(crate) address: Option<IpAddr>,
    /// When its connection came, by the steady clock.
    pub(crate) since_ms: u64,
    /// Which of the user's devices this is, if the client said so.
    pub(crate) device: Option<Box<str>>,
    /// Held from writing the record down until the session is what was written, so that of two records the later one says more.
    pub(crate) recording: tokio::sync::Mutex<()>,
    /// What it has been refused.
    pub(crate) seen: Seen,
    /// Publications that have not been answered yet.
    pub(crate) unanswered: AtomicU32,
    /// What its connection may still do.
    pub(crate) meter: Meter,
    /// May be locked while lanes are held; no lane may be locked while this is.
    state: Mutex<State>,
}

/// An attempt to come back is made to its end though its client has long gone and come elsewhere: a base is looked up, the
/// session taken, its rooms are opened and what was missed is found, each within the deadline of a call.
const ATTEMPT_MS_MAX: u64 = 30_000;

pub(crate) struct State {
    pub(crate) identity: Arc<Identity>,
    pub(crate) at: Whereabouts,
    pub(crate) rooms: Vec<Member>,
    /// Rooms that it is in, but that could not be opened here: they stay in its record for whoever takes it up.
    pub(crate) unopened: Vec<RoomRecord>,
    /// An earlier one was taken up.
    pub(crate) resumed: bool,
    pub(crate) showing: Showing,
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

/// Of a session's connection. Nothing is known of one that is kept for somebody who is away.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Arrival {
    pub(crate) address: Option<IpAddr>,
    pub(crate) since_ms: u64,
}

impl Session {
    pub(crate) fn new(
        identity: Arc<Identity>,
        kind: Kind,
        device: Option<Box<str>>,
        at: Whereabouts,
        rooms: Vec<Member>,
        came: Arrival,
    ) -> Arc<Self> {
        let user = identity.user.clone();
        let showing = Showing { device: device.clone(), ..Showing::default() };
        let (unopened, resumed) = (Vec::new(), false);
        let state = Mutex::new(State { identity, at, rooms, unopened, resumed, showing });
        let (recording, unanswered) = (tokio::sync::Mutex::default(), AtomicU32::new(0));
        let Arrival { address, since_ms } = came;
        let (seen, meter) = (Seen::default(), Meter::default());
        Arc::new(Self { user, kind, address, since_ms, device, recording, seen, unanswered, meter, state })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // Every change is made after everything that could fail, so a panic leaves the state as it was.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.state().identity)
    }

    /// As it is kept for other nodes. None: others have it, and its rooms; what is left here must not be written over theirs.
    pub(crate) fn record(&self) -> Option<SessionRecord> {
        let state = self.state();
        if state.at == Whereabouts::Gone {
            return None;
        }
        Some(SessionRecord {
            user: self.user.clone(),
            identity: record::write(&state.identity, self.device.as_deref(), &state.showing),
            rooms: state
                .rooms
                .iter()
                .map(|member| RoomRecord {
                    room: member.room.clone(),
                    joined: member.joined,
                    presence: member.presence,
                })
                .chain(state.unopened.iter().cloned())
                .collect(),
        })
    }

    /// Takes what the session has: nobody will find it here any more. Gives where it was, and its rooms, unless it was
    /// gone already.
    pub(crate) fn take(&self) -> Option<(Whereabouts, Vec<Member>)> {
        let mut state = self.state();
        let at = std::mem::replace(&mut state.at, Whereabouts::Gone);
        (at != Whereabouts::Gone).then(|| (at, std::mem::take(&mut state.rooms)))
    }

    /// Why its connection ends if somebody takes the session over at this time. Shortly after a return that may be an earlier
    /// attempt of the same client, of which it knows nothing: then it is to come back, or nobody would have the session.
    pub(crate) fn displaced(&self, steady_ms: u64) -> Disconnect {
        let is_new = steady_ms.saturating_sub(self.since_ms) < ATTEMPT_MS_MAX;
        if self.state().resumed && is_new { Disconnect::Moved } else { Disconnect::Replaced }
    }

    /// Another publication is under way. Gives how many there are.
    pub(crate) fn begin_unanswered(&self) -> u32 {
        self.unanswered.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn end_unanswered(&self) {
        self.unanswered.fetch_sub(1, Ordering::Relaxed);
    }
}

impl State {
    pub(crate) fn is_connected_as(&self, socket: &SocketRef) -> bool {
        self.at == Whereabouts::Connected(*socket)
    }

    pub(crate) fn membership(&self, room: &RoomId) -> Option<usize> {
        self.rooms.iter().position(|member| member.room == *room)
    }
}

/// Nobody will take these up again, so their rooms need not be kept open for them.
pub(crate) fn leave_all(mirror: &Mirror, rooms: Vec<Member>) {
    for Member { room, .. } in rooms {
        mirror.leave(&room);
    }
}

#[cfg(test)]
mod tests {
    use turnpike_cluster::LanePosition;
    use turnpike_guard::Role;
    use turnpike_wire::UserId;

    use super::*;

    fn session(since_ms: u64) -> Arc<Session> {
        let identity = Identity {
            user: UserId::parse("alice").unwrap(),
            role: Role::Service,
            name: None,
            expires_at: 0,
            issued_at: None,
            token_id: None,
            class: None,
            rooms: Arc::default(),
            media: Arc::default(),
        };
        let at = Whereabouts::Away { until_ms: 1 };
        let came = Arrival { address: None, since_ms };
        Session::new(Arc::new(identity), Kind::SocketIo, None, at, Vec::new(), came)
    }

    #[test]
    fn an_end_is_final_unless_an_earlier_attempt_may_be_its_cause() {
        let session = session(1_000);
        assert_eq!(
            session.displaced(1_000),
            Disconnect::Replaced,
            "it has just begun: nobody could come back to it"
        );
        session.state().resumed = true;
        assert_eq!(session.displaced(1_000 + ATTEMPT_MS_MAX - 1), Disconnect::Moved);
        assert_eq!(session.displaced(1_000 + ATTEMPT_MS_MAX), Disconnect::Replaced);
    }

    #[test]
    fn what_could_not_be_opened_stays_in_the_record_and_what_was_taken_has_none() {
        let session = session(0);
        let room = RoomId::parse("chat:a").unwrap();
        let record = RoomRecord { room, joined: LanePosition { epoch: 1, pos: 2 }, presence: true };
        session.state().unopened = vec![record.clone()];
        assert_eq!(session.record().unwrap().rooms, [record]);
        session.take().unwrap();
        assert_eq!(session.record(), None, "it would be written over what somebody else has now");
    }
}
