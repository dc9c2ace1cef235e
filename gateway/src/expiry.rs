//! When tokens end: who is connected is told a minute before, and closed when it has happened.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Mutex, PoisonError};

use turnpike_engine::SocketId;

/// How long before the end of its token a client is told, in seconds.
pub(crate) const NOTICE_SECONDS: u64 = 60;

/// What is due, by Unix seconds. Entries of sessions that are gone or have a later token by now are passed over when they
/// are due; a session puts in one for each token it brings, which stands for the notice first and then for the end.
#[derive(Default)]
pub(crate) struct Expiry(Mutex<BinaryHeap<Reverse<(u64, SocketId, u64)>>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) socket: SocketId,
    /// The end of the token for which this was noted.
    pub(crate) expires_at: u64,
    pub(crate) over: bool,
}

impl Expiry {
    /// Notes the end of a session's token.
    pub(crate) fn note(&self, socket: SocketId, expires_at: u64, now: u64) {
        let notice = expires_at.saturating_sub(NOTICE_SECONDS);
        let mut due = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Who comes with less than that left knows it.
        let at = if notice > now { notice } else { expires_at };
        due.push(Reverse((at, socket, expires_at)));
    }

    /// Takes what is due.
    pub(crate) fn due(&self, now: u64) -> Vec<Due> {
        let mut due = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = Vec::new();
        while let Some(Reverse((at, socket, expires_at))) = due.peek().copied() {
            if at > now {
                break;
            }
            due.pop();
            let over = at == expires_at;
            if !over {
                due.push(Reverse((expires_at, socket, expires_at)));
            }
            taken.push(Due { socket, expires_at, over });
        }
        if due.capacity() > 1024 && due.len() * 8 < due.capacity() {
            let len = due.len();
            due.shrink_to(len * 2);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_and_then_the_end() {
        let expiry = Expiry::default();
        let socket = SocketId::random();
        expiry.note(socket, 1_000, 500);
        assert_eq!(expiry.due(939), []);
        assert_eq!(expiry.due(940), [Due { socket, expires_at: 1_000, over: false }]);
        assert_eq!(expiry.due(999), []);
        assert_eq!(expiry.due(1_000), [Due { socket, expires_at: 1_000, over: true }]);
        assert_eq!(expiry.due(5_000), []);
    }

    /// After a pause of the process.
    #[test]
    fn both_at_once_come_in_their_order() {
        let expiry = Expiry::default();
        let socket = SocketId::random();
        expiry.note(socket, 1_000, 500);
        let over = [false, true].map(|over| Due { socket, expires_at: 1_000, over });
        assert_eq!(expiry.due(2_000), over);
        assert_eq!(expiry.due(2_000), []);
    }

    #[test]
    fn no_notice_for_what_is_about_to_end() {
        let expiry = Expiry::default();
        expiry.note(SocketId::random(), 1_000, 950);
        assert_eq!(expiry.due(999), []);
        assert!(expiry.due(1_000)[0].over);
    }
}
