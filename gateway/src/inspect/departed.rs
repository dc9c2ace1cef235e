//! Connections that have ended, for a while: so that it can be seen why somebody left, and what they had by then.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use turnpike_cluster::LanePosition;
use turnpike_engine::{DisconnectReason, Look, SocketId};
use turnpike_wire::UserId;

use super::notes;
use crate::clock::unix_ms;
use crate::session::Session;

/// Connections of this node that are remembered. Each takes [`DEPARTED_BYTES`] at most, and half of that usually.
const DEPARTED_MAX: usize = 2_048;
/// How long. Whoever asks later looks into the audit log.
const DEPARTED_FOR_MS: u64 = 60 * 60 * 1_000;
/// Rooms of each, by their tags; more are not remembered.
const ROOMS_MAX: usize = 32;
/// What is said of the end.
const TEXT_BYTES_MAX: usize = 96;

/// What one takes in memory, the largest recorder and both offsets included.
#[cfg(test)]
const DEPARTED_BYTES: usize = 2_048;

pub(super) struct Departed {
    pub(super) id: SocketId,
    pub(super) session: Kept,
    pub(super) look: Look,
    /// By the steady clock.
    pub(super) at_steady_ms: u64,
    pub(super) at_ms: u64,
    pub(super) reason: &'static str,
    pub(super) code: Option<u16>,
    pub(super) text: Box<str>,
    pub(super) rooms: Box<[(u32, LanePosition)]>,
    /// With those that are not remembered.
    pub(super) rooms_count: u64,
}

/// What is kept of a session.
pub(super) struct Kept {
    pub(super) user: UserId,
    pub(super) device: Option<Box<str>>,
    pub(super) is_raw: bool,
    pub(super) address: Option<IpAddr>,
    pub(super) lasted_ms: u64,
    pub(super) resumed: bool,
}

#[derive(Default)]
pub(crate) struct Departures(Mutex<VecDeque<Arc<Departed>>>);

impl Departures {
    /// The connection has ended; what it had is still in the session.
    pub(crate) fn note(
        &self,
        session: &Session,
        id: SocketId,
        reason: &DisconnectReason,
        look: &Look,
        steady_ms: u64,
    ) {
        let state = session.state();
        let rooms =
            state.rooms.iter().take(ROOMS_MAX).map(|member| (notes::tag(&member.room), member.joined));
        let (code, text) = match reason {
            DisconnectReason::Server { code, reason } => (Some(*code), reason.as_str()),
            DisconnectReason::ProtocolError(what) => (None, what.as_str()),
            _ => (None, ""),
        };
        let departed = Departed {
            id,
            session: Kept {
                user: session.user.clone(),
                device: session.device.clone(),
                is_raw: session.kind == turnpike_engine::Kind::Raw,
                address: session.address,
                lasted_ms: steady_ms.saturating_sub(session.since_ms),
                resumed: state.resumed,
            },
            look: look.clone(),
            at_steady_ms: steady_ms,
            at_ms: unix_ms(),
            reason: crate::webhooks::slug(reason),
            code,
            text: text.chars().take(TEXT_BYTES_MAX / 4).collect::<String>().into(),
            rooms: rooms.collect(),
            rooms_count: state.rooms.len() as u64,
        };
        drop(state);
        let mut all = self.lock();
        while all.len() >= DEPARTED_MAX || all.front().is_some_and(|first| is_old(first, steady_ms)) {
            all.pop_front();
        }
        all.push_back(Arc::new(departed));
    }

    /// Forgets what is too old.
    pub(crate) fn sweep(&self, steady_ms: u64) {
        let mut all = self.lock();
        while all.front().is_some_and(|first| is_old(first, steady_ms)) {
            all.pop_front();
        }
        if all.capacity() > 256 && all.len() * 8 < all.capacity() {
            let len = all.len();
            all.shrink_to(len * 2);
        }
    }

    /// Those of a connection's id, newest first.
    pub(super) fn of_connection(&self, id: SocketId) -> Vec<Arc<Departed>> {
        self.lock().iter().rev().filter(|departed| departed.id == id).cloned().collect()
    }

    /// Those of a user, newest first.
    pub(super) fn of_user(&self, user: &UserId) -> Vec<Arc<Departed>> {
        self.lock().iter().rev().filter(|departed| departed.session.user == *user).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Departed>>> {
        // Every change is made after everything that could fail.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_old(departed: &Departed, steady_ms: u64) -> bool {
    steady_ms.saturating_sub(departed.at_steady_ms) > DEPARTED_FOR_MS
}

#[cfg(test)]
mod tests {
    use turnpike_engine::flight::{FLIGHT_BYTES_MAX, Recorder};

    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_in_bytes() {
        const OFFSET_BYTES_MAX: usize = 512;
        let parts = [
            size_of::<Departed>() + size_of::<Kept>() + 2 * size_of::<usize>(),
            size_of::<Recorder>().max(FLIGHT_BYTES_MAX),
            ROOMS_MAX * size_of::<(u32, LanePosition)>(),
            TEXT_BYTES_MAX,
            OFFSET_BYTES_MAX,
        ];
        let bytes: usize = parts.iter().sum();
        assert!(bytes <= DEPARTED_BYTES, "{bytes} bytes, of {parts:?}");
    }
}
