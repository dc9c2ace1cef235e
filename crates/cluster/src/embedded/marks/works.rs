//! What is done to marks and cursors on disk: seen and told only when it is written.

use std::sync::Weak;

use redb::WriteTransaction;
use tokio::sync::oneshot;
use turnpike_wire::RoomId;

use super::kept::{CursorKey, MarkKey, Shared};
use super::tell;
use crate::embedded::broker::EmbeddedBroker;
use crate::embedded::disk::{CURSORS, Fault, MARKS, Queue, Work};
use crate::{Mark, Unavailable};

type Reply = oneshot::Sender<Result<(), Unavailable>>;

pub(super) struct Raise {
    room: RoomId,
    marks: Vec<Mark>,
    now_ms: u64,
    broker: Weak<EmbeddedBroker>,
    kept: Shared,
    queue: Weak<Queue>,
    moved: Vec<Mark>,
    reply: Reply,
}

impl Raise {
    pub(super) fn new(
        room: &RoomId,
        marks: Vec<Mark>,
        now_ms: u64,
        broker: Weak<EmbeddedBroker>,
        kept: Shared,
        queue: Weak<Queue>,
        reply: Reply,
    ) -> Self {
        Self { room: room.clone(), marks, now_ms, broker, kept, queue, moved: Vec::new(), reply }
    }
}

impl Work for Raise {
    fn write(&mut self, transaction: &WriteTransaction) -> Result<(), Fault> {
        let Some(broker) = self.broker.upgrade() else { return Ok(()) };
        let head = broker.head_of(&self.room);
        let mut kept = self.kept.lock();
        let mut table = transaction.open_table(MARKS)?;
        for mark in &self.marks {
            let Some(mark) = kept.raised(&self.room, mark, head) else { continue };
            table.insert(&*mark_row(&self.room, &mark.user), (mark.received, mark.read, self.now_ms))?;
            kept.stage_mark(&self.room, &mark);
            self.moved.push(mark);
        }
        Ok(())
    }

    fn done(self: Box<Self>, result: Result<(), Unavailable>) {
        let Self { room, now_ms, broker, kept, queue, moved, reply, .. } = *self;
        let mut kept = kept.lock();
        kept.unstage();
        if result.is_ok() {
            let mut forgotten = Forget::default();
            for mark in &moved {
                kept.put_mark(&room, mark, now_ms, &mut forgotten.marks);
            }
            forgotten.write_later(&queue);
            if let Some(broker) = broker.upgrade() {
                tell(&broker, &room, moved);
            }
        }
        drop(kept);
        let _ = reply.send(result);
    }
}

pub(super) struct Advance {
    cursor: CursorKey,
    to: u64,
    now_ms: u64,
    kept: Shared,
    queue: Weak<Queue>,
    moved: Option<u64>,
    reply: Reply,
}

impl Advance {
    pub(super) fn new(
        cursor: CursorKey,
        to: u64,
        now_ms: u64,
        kept: Shared,
        queue: Weak<Queue>,
        reply: Reply,
    ) -> Self {
        Self { cursor, to, now_ms, kept, queue, moved: None, reply }
    }
}

impl Work for Advance {
    fn write(&mut self, transaction: &WriteTransaction) -> Result<(), Fault> {
        let mut kept = self.kept.lock();
        self.moved = kept.advanced(&self.cursor, self.to);
        if let Some(to) = self.moved {
            transaction.open_table(CURSORS)?.insert(&*cursor_row(&self.cursor), (to, self.now_ms))?;
            kept.stage_cursor(&self.cursor, to);
        }
        Ok(())
    }

    fn done(self: Box<Self>, result: Result<(), Unavailable>) {
        let Self { cursor, now_ms, kept, queue, moved, reply, .. } = *self;
        let mut kept = kept.lock();
        kept.unstage();
        if let (Ok(()), Some(to)) = (result, moved) {
            let mut forgotten = Forget::default();
            kept.put_cursor(cursor, to, now_ms, &mut forgotten.cursors);
            forgotten.write_later(&queue);
        }
        drop(kept);
        let _ = reply.send(result);
    }
}

/// What there is no more room for. If it cannot be removed now, it is at the next start.
#[derive(Default)]
pub(super) struct Forget {
    pub(super) marks: Vec<MarkKey>,
    pub(super) cursors: Vec<CursorKey>,
}

impl Forget {
    pub(super) fn is_empty(&self) -> bool {
        self.marks.is_empty() && self.cursors.is_empty()
    }

    fn write_later(self, queue: &Weak<Queue>) {
        if !self.is_empty()
            && let Some(queue) = queue.upgrade()
        {
            queue.work(Box::new(self));
        }
    }
}

impl Work for Forget {
    fn write(&mut self, transaction: &WriteTransaction) -> Result<(), Fault> {
        let mut marks = transaction.open_table(MARKS)?;
        for (room, user) in &self.marks {
            marks.remove(&*mark_row(room, user))?;
        }
        let mut cursors = transaction.open_table(CURSORS)?;
        for cursor in &self.cursors {
            cursors.remove(&*cursor_row(cursor))?;
        }
        Ok(())
    }

    fn done(self: Box<Self>, _: Result<(), Unavailable>) {}
}

fn mark_row(room: &str, user: &str) -> String {
    format!("{room} {user}")
}

fn cursor_row((user, device): &CursorKey) -> String {
    format!("{user} {device}")
}
