//! Which connection brings which lane.
//!
//! While a slot goes from one process to another, the lines to both may be at work on its lanes at the same time: the one that is
//! to give a lane up may still be taking it, by a map that is over. If it took the lane from the other and then ended, nobody
//! would have it, and the other would not know.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{self, error::TrySendError};

use super::Order;
use crate::{LANES, Lane};

pub(super) struct Attachments([Place; LANES]);

#[derive(Default)]
struct Place {
    /// Held while the lane is put on a connection or taken off one and whoever listens is told, so that they are told in the
    /// order in which it happens. Nothing that listens takes it.
    turn: Mutex<()>,
    /// The connection that counts: what comes over an earlier one does not.
    now: Mutex<Option<Attached>>,
}

struct Attached {
    connection: u64,
    orders: mpsc::Sender<Order>,
}

impl Place {
    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> MutexGuard<'_, Option<Attached>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_on(&self, connection: u64) -> bool {
        self.now().as_ref().is_some_and(|attached| attached.connection == connection)
    }
}

impl Attachments {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| Place::default()))
    }

    pub(super) fn is_on(&self, lane: Lane, connection: u64) -> bool {
        self.0[lane.index()].is_on(connection)
    }

    /// The lane is on this connection from now on, unless its process has it no more. True: it is.
    pub(super) fn attach(
        &self,
        lane: Lane,
        connection: u64,
        orders: &mpsc::Sender<Order>,
        is_here: impl FnOnce() -> bool,
        tell: impl FnOnce(),
    ) -> bool {
        let place = &self.0[lane.index()];
        let _turn = place.turn();
        // Asked here: who has it by a newer map comes behind, and who has it already is not driven out.
        let is_here = is_here();
        if is_here {
            *place.now() = Some(Attached { connection, orders: orders.clone() });
            tell();
        }
        is_here
    }

    /// The lane is on no connection, unless it has been put on another meanwhile.
    pub(super) fn detach(&self, lane: Lane, connection: u64, tell: impl FnOnce()) {
        let place = &self.0[lane.index()];
        let _turn = place.turn();
        if place.is_on(connection) {
            *place.now() = None;
            tell();
        }
    }

    /// To the connection that the lane is on. Without one all rooms are asked for when there is one. When the connection has no
    /// room for the order, it is given back, to be made good for.
    pub(super) fn order(&self, lane: Lane, order: Order) -> Option<mpsc::Sender<Order>> {
        let now = self.0[lane.index()].now();
        let attached = now.as_ref()?;
        match attached.orders.try_send(order) {
            Err(TrySendError::Full(_)) => Some(attached.orders.clone()),
            Ok(()) | Err(TrySendError::Closed(_)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    const LANE: usize = 3;

    fn lane() -> Lane {
        Lane::new(LANE).unwrap()
    }

    fn orders() -> mpsc::Sender<Order> {
        mpsc::channel(1).0
    }

    #[test]
    fn a_line_with_a_map_that_is_over_does_not_drive_out_the_one_that_has_the_lane() {
        let (attachments, is_up) = (Attachments::new(), AtomicBool::new(false));
        let up = || is_up.store(true, Ordering::Relaxed);
        let down = || is_up.store(false, Ordering::Relaxed);
        assert!(attachments.attach(lane(), 1, &orders(), || true, up));
        // The slot goes to the process of connection 2, whose line is the first to know it.
        assert!(attachments.attach(lane(), 2, &orders(), || true, up));
        assert!(!attachments.attach(lane(), 1, &orders(), || false, || panic!("it has it no more")));
        attachments.detach(lane(), 1, down);
        assert!(attachments.is_on(lane(), 2) && is_up.load(Ordering::Relaxed));
        attachments.detach(lane(), 2, down);
        assert!(!attachments.is_on(lane(), 2) && !is_up.load(Ordering::Relaxed));
    }

    #[test]
    fn what_is_said_last_is_what_is_true() {
        let (attachments, is_up) = (Attachments::new(), AtomicBool::new(false));
        for round in 0..2_000 {
            std::thread::scope(|scope| {
                scope.spawn(|| attachments.detach(lane(), round, || is_up.store(false, Ordering::SeqCst)));
                scope.spawn(|| {
                    let up = || is_up.store(true, Ordering::SeqCst);
                    attachments.attach(lane(), round + 1, &orders(), || true, up);
                });
            });
            assert!(attachments.is_on(lane(), round + 1), "in round {round}");
            assert!(is_up.load(Ordering::SeqCst), "nobody would listen to it any more, in round {round}");
        }
    }
}
