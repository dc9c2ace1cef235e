//! What one connection has been refused so far: which rooms, and how far it reads in the past. A few hundred bytes, for those
//! alone that are refused something.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, OnceLock, PoisonError};

use turnpike_engine::DisconnectReason;
use turnpike_guard::{Role, Signal};
use turnpike_wire::RoomId;

use super::Policing;
use crate::session::Session;

/// Refused rooms that are remembered: asking for one of them again is no scan, but a client that does not listen.
const ROOMS_MAX: usize = 64;

/// Pages of history in a minute that nobody reads with their own eyes.
const PAGES_A_MINUTE: u32 = 120;

const MINUTE_MS: u64 = 60_000;

/// Whoever leaves sooner than this has hardly come for anything.
const SHORT_MS: u64 = 3_000;

/// Empty until something is refused.
#[derive(Default)]
pub(crate) struct Seen(OnceLock<Box<Mutex<State>>>);

#[derive(Default)]
struct State {
    hasher: RandomState,
    /// The oldest is overwritten.
    rooms: Vec<u64>,
    next: usize,
    minute: u64,
    pages: u32,
}

impl Seen {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let state = self.0.get_or_init(Box::default);
        work(&mut state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// True if the room was not refused before.
    fn room_refused(&self, room: &RoomId) -> bool {
        self.with(|state| {
            let hash = state.hasher.hash_one(room);
            if state.rooms.contains(&hash) {
                return false;
            }
            if state.rooms.len() < ROOMS_MAX {
                state.rooms.push(hash);
            } else {
                state.rooms[state.next] = hash;
                state.next = (state.next + 1) % ROOMS_MAX;
            }
            true
        })
    }

    /// True if it is a page too many.
    fn page_read(&self, now_ms: u64) -> bool {
        self.with(|state| {
            let minute = now_ms / MINUTE_MS;
            if state.minute != minute {
                (state.minute, state.pages) = (minute, 0);
            }
            state.pages = state.pages.saturating_add(1);
            state.pages > PAGES_A_MINUTE
        })
    }
}

impl Policing {
    /// The token does not grant the room or stream to whoever asked for it.
    pub(crate) fn room_refused(&self, session: &Session, room: &RoomId) {
        if session.seen.room_refused(room) {
            self.report(session.address, Some(&session.user), Signal::RoomScan);
        }
    }

    pub(crate) fn history_refused(&self, session: &Session, room: &RoomId) {
        if session.seen.room_refused(room) {
            self.report(session.address, Some(&session.user), Signal::HistoryScan);
        }
    }

    pub(crate) fn description_refused(&self, session: &Session) {
        self.report(session.address, Some(&session.user), Signal::BadDescription);
    }

    /// A session's connection is no more. Of what broke the protocol or did not read, the engine has told the address.
    pub(crate) fn closed(&self, session: &Session, reason: &DisconnectReason, lasted_ms: u64) {
        let user = Some(&session.user);
        match reason {
            DisconnectReason::SlowReader => self.report(None, user, Signal::SlowReader),
            DisconnectReason::ProtocolError(_) => self.report(None, user, Signal::Malformed),
            DisconnectReason::ClientLeft
            | DisconnectReason::TransportClosed
            | DisconnectReason::TransportError
                if lasted_ms < SHORT_MS =>
            {
                self.report(session.address, user, Signal::Churn);
            }
            _ => {}
        }
    }

    /// Backends read all of a room if they like.
    pub(crate) fn page_read(&self, session: &Session) {
        if session.identity().role == Role::User && session.seen.page_read(self.watch.now().steady_ms) {
            self.report(session.address, Some(&session.user), Signal::HistoryScan);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_counts_once() {
        let seen = Seen::default();
        let room = |number: u32| RoomId::parse(&format!("room:{number}")).unwrap();
        let counted = (0..1_000).filter(|number| seen.room_refused(&room(number % 50))).count();
        assert_eq!(counted, 50);
        let counted = (0..1_000).filter(|number| seen.room_refused(&room(1_000 + number))).count();
        assert_eq!(counted, 1_000);
        assert!(seen.0.get().unwrap().lock().unwrap().rooms.len() <= ROOMS_MAX);
    }

    #[test]
    fn who_scrolls_is_not_who_scans() {
        let seen = Seen::default();
        // Two pages a second, for ten minutes.
        assert!((0..1_200).all(|page| !seen.page_read(page * 500)));
        let seen = Seen::default();
        let too_many = (0..1_000_u64).filter(|page| seen.page_read(page * 50)).count();
        assert_eq!(too_many, 880);
    }
}
