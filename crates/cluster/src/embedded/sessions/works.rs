//! What is done to sessions and bases on disk.

use std::sync::Weak;

use redb::{ReadableTable, ReadableTableMetadata, WriteTransaction};
use tokio::sync::oneshot;

use crate::embedded::disk::{BASES, BaseRecord, Fault, OwnedSession, Queue, SESSIONS, UNAVAILABLE, Work};
use crate::{Base, BaseId, Incarnation, SessionId, SessionRecord, Taken, Unavailable};

/// As many as one process has connections, and those that wait. Beyond it nobody new can come back after a crash, and
/// whoever asks for that is told.
const SESSIONS_MAX: u64 = 262_144;

type Reply<T> = oneshot::Sender<Result<T, Unavailable>>;

pub(super) struct Put {
    id: SessionId,
    record: Vec<u8>,
    full: bool,
    reply: Reply<bool>,
}

impl Put {
    pub(super) fn new(own: Incarnation, id: &SessionId, record: &SessionRecord, reply: Reply<bool>) -> Self {
        let record = OwnedSession { owner: own, record: record.clone() }.write();
        Self { id: id.clone(), record, full: false, reply }
    }
}

impl Work for Put {
    fn write(&mut self, transaction: &WriteTransaction) -> Result<(), Fault> {
        let mut sessions = transaction.open_table(SESSIONS)?;
        self.full = sessions.len()? >= SESSIONS_MAX && sessions.get(&*self.id)?.is_none();
        if !self.full {
            sessions.insert(&*self.id, &*self.record)?;
        }
        Ok(())
    }

    fn done(self: Box<Self>, result: Result<(), Unavailable>) {
        let result = if self.full { Err(UNAVAILABLE) } else { result };
        let _ = self.reply.send(result.map(|()| true));
    }
}

pub(super) struct Take {
    own: Incarnation,
    id: SessionId,
    found: Option<Taken>,
    reply: Reply<Option<Taken>>,
}

impl Take {
    pub(super) fn new(own: Incarnation, id: &SessionId, reply: Reply<Option<Taken>>) -> Self {
        Self { own, id: id.clone(), found: None, reply }
    }
}

impl Work for Take {
    fn write(&mut self, transaction: &WriteTransaction) -> Result<(), Fault> {
        let mut sessions = transaction.open_table(SESSIONS)?;
        let Some(found) =
            sessions.get(&*self.id)?.map(|found| OwnedSession::read(found.value())).transpose()?
        else {
            return Ok(());
        };
        let OwnedSession { owner: from, record } = found;
        if from != self.own {
            let owned = OwnedSession { owner: self.own, record: record.clone() };
            sessions.insert(&*self.id, &*owned.write())?;
        }
        self.found = Some(Taken { record, from });
        Ok(())
    }

    fn done(self: Box<Self>, result: Result<(), Unavailable>) {
        let Self { found, reply, .. } = *self;
        let _ = reply.send(result.map(|()| found));
    }
}

pub(super) struct Remove {
    own: Incarnation,
    id: SessionId,
    reply: Reply<()>,
}

impl Remove {
    pub(super) fn new(own: Incarnation, id: &SessionId, reply: Reply<()>) -> Self {
        Self { own, id: id.clone(), reply }
    }
}

impl Work for Remove {
    fn write(&mut self, transaction: &WriteTransaction) -> Result<(), Fault> {
        let mut sessions = transaction.open_table(SESSIONS)?;
        let owner = sessions.get(&*self.id)?.map(|found| OwnedSession::owner(found.value())).transpose()?;
        if owner == Some(self.own) {
            sessions.remove(&*self.id)?;
        }
        Ok(())
    }

    fn done(self: Box<Self>, result: Result<(), Unavailable>) {
        let _ = self.reply.send(result);
    }
}

/// Removes the sessions of earlier processes, some at a time, so that publishers do not wait long.
pub(super) struct Sweep {
    own: Incarnation,
    queue: Weak<Queue>,
    after: Option<String>,
    more: bool,
}

impl Sweep {
    const SESSIONS_A_TIME: usize = 1_000;

    pub(super) fn new(own: Incarnation, queue: Weak<Queue>) -> Self {
        Self { own, queue, after: None, more: false }
    }
}

impl Work for Sweep {
    fn write(&mut self, transaction: &WriteTransaction) -> Result<(), Fault> {
        let mut sessions = transaction.open_table(SESSIONS)?;
        let mut over = Vec::new();
        let mut looked_at = 0;
        for row in sessions.range(self.after.as_deref().unwrap_or("")..)?.take(Self::SESSIONS_A_TIME) {
            let (id, session) = row?;
            looked_at += 1;
            let id = id.value().to_owned();
            if OwnedSession::owner(session.value())? != self.own {
                over.push(id.clone());
            }
            self.after = Some(id);
        }
        // The last that was looked at may be looked at again: it costs less than a bound that leaves it out.
        self.more = looked_at == Self::SESSIONS_A_TIME;
        for id in over {
            sessions.remove(&*id)?;
        }
        Ok(())
    }

    fn done(self: Box<Self>, result: Result<(), Unavailable>) {
        // When the disk does not work they stay until the next start.
        if result.is_ok()
            && self.more
            && let Some(queue) = self.queue.upgrade()
        {
            queue.work(self);
        }
    }
}

pub(super) struct PutBase {
    id: BaseId,
    record: BaseRecord,
    forgotten: Forget,
    reply: Reply<()>,
}

impl PutBase {
    pub(super) fn new(id: BaseId, base: Base, put_ms: u64, forgotten: Forget, reply: Reply<()>) -> Self {
        Self { id, record: BaseRecord { put_ms, base }, forgotten, reply }
    }
}

impl Work for PutBase {
    fn write(&mut self, transaction: &WriteTransaction) -> Result<(), Fault> {
        transaction.open_table(BASES)?.insert(self.id.0, &*self.record.write())?;
        self.forgotten.write(transaction)
    }

    fn done(self: Box<Self>, result: Result<(), Unavailable>) {
        let _ = self.reply.send(result);
    }
}

/// Bases that there is no more room for. If they cannot be removed now, they are at the next start.
pub(super) struct Forget(pub(super) Vec<BaseId>);

impl Work for Forget {
    fn write(&mut self, transaction: &WriteTransaction) -> Result<(), Fault> {
        if !self.0.is_empty() {
            let mut bases = transaction.open_table(BASES)?;
            for id in &self.0 {
                bases.remove(id.0)?;
            }
        }
        Ok(())
    }

    fn done(self: Box<Self>, _: Result<(), Unavailable>) {}
}
