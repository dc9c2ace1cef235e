//! Who may return, and the bases that their offsets are written against. Without a disk sessions end with the process, so
//! only bases are kept.

mod works;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{oneshot, watch};

use self::works::{Forget, Put, PutBase, Remove, Sweep, Take};
use super::bounded::Bounded;
use super::clock::Clock;
use super::disk::{Disk, Earlier, Queue, UNAVAILABLE, Work};
use crate::{Base, BaseId, Incarnation, SessionId, SessionRecord, Sessions, Soon, Taken, Unavailable};

/// A busy node draws one every ten seconds, so these are those of three days. Whoever comes with an earlier one has not
/// been sent anything for as long.
const BASES_MAX: usize = 32_768;

pub(super) struct EmbeddedSessions {
    own: Incarnation,
    clock: Clock,
    bases: Mutex<Bounded<BaseId, Base>>,
    disk: Option<Arc<Disk>>,
    /// What one process has kept it does not lose while it lives.
    doubts: watch::Sender<u64>,
}

impl EmbeddedSessions {
    pub(super) fn new(
        own: Incarnation,
        clock: Clock,
        earlier: &mut Earlier,
        disk: Option<Arc<Disk>>,
    ) -> Self {
        let mut kept = Bounded::new(BASES_MAX);
        let mut forgotten = Vec::new();
        for (put_ms, (id, base)) in earlier.bases.drain(..) {
            kept.put(id, base, put_ms, |id| forgotten.push(id));
        }
        if let Some(disk) = disk.as_ref().filter(|_| !forgotten.is_empty()) {
            disk.queue.work(Box::new(Forget(forgotten)));
        }
        Self { own, clock, bases: Mutex::new(kept), disk, doubts: watch::Sender::new(0) }
    }

    fn bases(&self) -> MutexGuard<'_, Bounded<BaseId, Base>> {
        self.bases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The recovery window after this process' start is over: whoever has not come back to a session of an earlier one will
/// not.
pub(super) fn end_hold(own: Incarnation, queue: &Arc<Queue>) {
    queue.work(Box::new(Sweep::new(own, Arc::downgrade(queue))));
}

/// Has it written, and answered when it is.
pub(super) fn written<T: Send + 'static, W: Work + 'static>(
    disk: &Disk,
    work: impl FnOnce(oneshot::Sender<Result<T, Unavailable>>) -> W,
) -> Soon<Result<T, Unavailable>> {
    let (reply, answer) = oneshot::channel();
    disk.queue.work(Box::new(work(reply)));
    Soon::later(async move { answer.await.unwrap_or(Err(UNAVAILABLE)) })
}

impl Sessions for EmbeddedSessions {
    fn outlive_the_process(&self) -> bool {
        self.disk.is_some()
    }

    fn doubts(&self) -> watch::Receiver<u64> {
        self.doubts.subscribe()
    }

    fn put(&self, id: &SessionId, record: &SessionRecord) -> Soon<Result<bool, Unavailable>> {
        match &self.disk {
            None => Soon::Now(Ok(true)),
            Some(disk) => written(disk, |reply| Put::new(self.own, id, record, reply)),
        }
    }

    fn take(&self, id: &SessionId) -> Soon<Result<Option<Taken>, Unavailable>> {
        match &self.disk {
            None => Soon::Now(Ok(None)),
            Some(disk) => written(disk, |reply| Take::new(self.own, id, reply)),
        }
    }

    fn remove(&self, id: &SessionId) -> Soon<Result<(), Unavailable>> {
        match &self.disk {
            None => Soon::Now(Ok(())),
            Some(disk) => written(disk, |reply| Remove::new(self.own, id, reply)),
        }
    }

    fn put_base(&self, id: BaseId, base: &Base) -> Soon<Result<(), Unavailable>> {
        let now_ms = self.clock.steady_ms();
        let mut forgotten = Vec::new();
        self.bases().put(id, *base, now_ms, |id| forgotten.push(id));
        match &self.disk {
            None => Soon::Now(Ok(())),
            Some(disk) => written(disk, |reply| PutBase::new(id, *base, now_ms, Forget(forgotten), reply)),
        }
    }

    fn base(&self, id: BaseId) -> Soon<Result<Option<Base>, Unavailable>> {
        Soon::Now(Ok(self.bases().get(&id).copied()))
    }
}
