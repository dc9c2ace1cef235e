//! How far users have read rooms, and devices their personal rooms.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use turnpike_wire::{RoomId, UserId};

use super::bounded::Bounded;
use super::broker::EmbeddedBroker;
use super::clock::Clock;
use crate::{Mark, Marks, Signal, Soon, Unavailable};

/// Beyond it those that moved longest ago are forgotten.
const MARKS_MAX: usize = 262_144;
const CURSORS_MAX: usize = 262_144;

pub(super) struct EmbeddedMarks {
    clock: Clock,
    broker: Arc<EmbeddedBroker>,
    kept: Mutex<KeptMarks>,
}

struct KeptMarks {
    marks: Bounded<(RoomId, UserId), Pair>,
    cursors: Bounded<(UserId, Box<str>), u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Pair {
    received: u64,
    read: u64,
}

impl EmbeddedMarks {
    pub(super) fn new(clock: Clock, broker: Arc<EmbeddedBroker>) -> Self {
        let kept = KeptMarks { marks: Bounded::new(MARKS_MAX), cursors: Bounded::new(CURSORS_MAX) };
        Self { clock, broker, kept: Mutex::new(kept) }
    }

    fn kept(&self) -> MutexGuard<'_, KeptMarks> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Only up, not beyond the head, and what is read has been received.
fn raised(from: Pair, to: &Mark, head: u64) -> Pair {
    let read = from.read.max(to.read.min(head));
    let received = from.received.max(to.received.min(head)).max(read);
    Pair { received, read }
}

impl Marks for EmbeddedMarks {
    fn mark(&self, room: &RoomId, marks: Vec<Mark>) -> Soon<Result<(), Unavailable>> {
        let head = self.broker.head_of(room);
        let now_ms = self.clock.steady_ms();
        let mut kept = self.kept();
        let mut moved = Vec::new();
        for mark in marks {
            let key = (room.clone(), mark.user.clone());
            let from = kept.marks.get(&key).copied().unwrap_or_default();
            let to = raised(from, &mark, head);
            if to != from {
                kept.marks.put(key, to, now_ms, |_| {});
                moved.push(Mark { user: mark.user, received: to.received, read: to.read });
            }
        }
        if !moved.is_empty()
            && let Some(deliver) = self.broker.deliver()
        {
            // Under the lock, so that marks are told in the order in which they rise.
            deliver.signal(room, &Signal::Marks(moved));
        }
        Soon::Now(Ok(()))
    }

    fn marks(&self, room: &RoomId, users: &[UserId]) -> Soon<Result<Vec<Mark>, Unavailable>> {
        let kept = self.kept();
        let mark = |user: &UserId| {
            let Pair { received, read } = *kept.marks.get(&(room.clone(), user.clone()))?;
            Some(Mark { user: user.clone(), received, read })
        };
        Soon::Now(Ok(users.iter().filter_map(mark).collect()))
    }

    fn cursor(&self, user: &UserId, device: &str) -> Soon<Result<Option<u64>, Unavailable>> {
        Soon::Now(Ok(self.kept().cursors.get(&(user.clone(), device.into())).copied()))
    }

    fn advance(&self, user: &UserId, device: &str, seq: u64) -> Soon<Result<(), Unavailable>> {
        let head = self.broker.head_of(&RoomId::personal(user));
        let mut kept = self.kept();
        let key = (user.clone(), device.into());
        let from = kept.cursors.get(&key).copied();
        let to = from.unwrap_or(0).max(seq.min(head));
        if from != Some(to) {
            kept.cursors.put(key, to, self.clock.steady_ms(), |_| {});
        }
        Soon::Now(Ok(()))
    }
}
