//! How far users have read rooms, and devices their personal rooms.

mod kept;
mod works;

use std::sync::{Arc, MutexGuard};

use turnpike_wire::{RoomId, UserId};

use self::kept::{Kept, Shared};
use self::works::{Advance, Forget, Raise};
use super::broker::EmbeddedBroker;
use super::clock::Clock;
use super::disk::{Disk, Earlier};
use super::sessions::written;
use crate::{Mark, Marks, Signal, Soon, Unavailable};

pub(super) struct EmbeddedMarks {
    clock: Clock,
    broker: Arc<EmbeddedBroker>,
    disk: Option<Arc<Disk>>,
    kept: Shared,
}

impl EmbeddedMarks {
    pub(super) fn new(
        clock: Clock,
        broker: Arc<EmbeddedBroker>,
        disk: Option<Arc<Disk>>,
        earlier: &mut Earlier,
    ) -> Self {
        let mut kept = Kept::default();
        let mut forgotten = Forget::default();
        for (moved_ms, (room, mark)) in earlier.marks.drain(..) {
            kept.put_mark(&room, &mark, moved_ms, &mut forgotten.marks);
        }
        for (moved_ms, (user, device, seq)) in earlier.cursors.drain(..) {
            kept.put_cursor((user, device), seq, moved_ms, &mut forgotten.cursors);
        }
        if let Some(disk) = disk.as_ref().filter(|_| !forgotten.is_empty()) {
            disk.queue.work(Box::new(forgotten));
        }
        Self { clock, broker, disk, kept: Shared::new(kept) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock()
    }
}

/// Tells the node. Under the lock of what is kept, so that marks are told in the order in which they rise.
fn tell(broker: &EmbeddedBroker, room: &RoomId, moved: Vec<Mark>) {
    if !moved.is_empty()
        && let Some(deliver) = broker.deliver()
    {
        deliver.signal(room, &Signal::Marks(moved));
    }
}

impl Marks for EmbeddedMarks {
    fn mark(&self, room: &RoomId, marks: Vec<Mark>) -> Soon<Result<(), Unavailable>> {
        let now_ms = self.clock.steady_ms();
        if let Some(disk) = &self.disk {
            let (broker, kept) = (Arc::downgrade(&self.broker), self.kept.clone());
            let queue = Arc::downgrade(&disk.queue);
            return written(disk, |reply| Raise::new(room, marks, now_ms, broker, kept, queue, reply));
        }
        let head = self.broker.head_of(room);
        let mut kept = self.kept();
        let moved: Vec<Mark> = marks.iter().filter_map(|mark| kept.raised(room, mark, head)).collect();
        for mark in &moved {
            kept.put_mark(room, mark, now_ms, &mut Vec::new());
        }
        tell(&self.broker, room, moved);
        Soon::Now(Ok(()))
    }

    fn marks(&self, room: &RoomId, users: &[UserId]) -> Soon<Result<Vec<Mark>, Unavailable>> {
        let kept = self.kept();
        Soon::Now(Ok(users.iter().filter_map(|user| kept.mark(room, user)).collect()))
    }

    fn cursor(&self, user: &UserId, device: &str) -> Soon<Result<Option<u64>, Unavailable>> {
        Soon::Now(Ok(self.kept().cursor(&(user.clone(), device.into()))))
    }

    fn advance(&self, user: &UserId, device: &str, seq: u64) -> Soon<Result<(), Unavailable>> {
        let now_ms = self.clock.steady_ms();
        let cursor = (user.clone(), device.into());
        let to = seq.min(self.broker.head_of(&RoomId::personal(user)));
        if let Some(disk) = &self.disk {
            let (kept, queue) = (self.kept.clone(), Arc::downgrade(&disk.queue));
            return written(disk, |reply| Advance::new(cursor, to, now_ms, kept, queue, reply));
        }
        let mut kept = self.kept();
        if let Some(to) = kept.advanced(&cursor, to) {
            kept.put_cursor(cursor, to, now_ms, &mut Vec::new());
        }
        Soon::Now(Ok(()))
    }
}
