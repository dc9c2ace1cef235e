//! Sessions of a process without a disk: they end with it, so only bases of offsets are kept.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::bounded::Bounded;
use super::clock::Clock;
use crate::{Base, BaseId, SessionId, SessionRecord, Sessions, Soon, Taken, Unavailable};

/// A busy node draws one every ten seconds, so these are those of three days. Whoever comes with an earlier one has not
/// been sent anything for as long.
pub(super) const BASES_MAX: usize = 32_768;

pub(super) struct MemorySessions {
    clock: Clock,
    bases: Mutex<Bounded<BaseId, Base>>,
}

impl MemorySessions {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, bases: Mutex::new(Bounded::new(BASES_MAX)) }
    }

    fn bases(&self) -> MutexGuard<'_, Bounded<BaseId, Base>> {
        self.bases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sessions for MemorySessions {
    fn outlive_the_process(&self) -> bool {
        false
    }

    fn put(&self, _: &SessionId, _: &SessionRecord) -> Soon<Result<bool, Unavailable>> {
        Soon::Now(Ok(true))
    }

    fn take(&self, _: &SessionId) -> Soon<Result<Option<Taken>, Unavailable>> {
        Soon::Now(Ok(None))
    }

    fn remove(&self, _: &SessionId) -> Soon<Result<(), Unavailable>> {
        Soon::Now(Ok(()))
    }

    fn put_base(&self, id: BaseId, base: &Base) -> Soon<Result<(), Unavailable>> {
        self.bases().put(id, *base, self.clock.steady_ms(), |_| {});
        Soon::Now(Ok(()))
    }

    fn base(&self, id: BaseId) -> Soon<Result<Option<Base>, Unavailable>> {
        Soon::Now(Ok(self.bases().get(&id).copied()))
    }
}
