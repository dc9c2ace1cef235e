//! Who stands before one gate: those whose question is under way, and those who wait for a turn.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use turnpike_cluster::CircuitBreaker;

pub(super) struct Line {
    slots: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// When so many wait, who comes next is not asked about; that is counted.
    waiting_max: usize,
    breaker: Arc<Mutex<CircuitBreaker>>,
}

/// Whether somebody's question may be asked now. Turns come in the order of waiting.
pub(super) enum Slot {
    /// Until it is dropped.
    Taken(OwnedSemaphorePermit),
    Full,
    TooLate,
}

/// One who waits, for as long as this is held.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Line {
    pub(super) fn new(slots_max: usize, waiting_max: usize) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(slots_max.clamp(1, Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
            waiting_max,
            breaker: Arc::default(),
        }
    }

    /// `waits` gives something that is held meanwhile.
    pub(super) async fn slot<W>(&self, patience: Duration, waits: impl FnOnce() -> W) -> Slot {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Slot::Taken(slot);
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= self.waiting_max {
            return Slot::Full;
        }
        let _shown = waits();
        match tokio::time::timeout(patience, Arc::clone(&self.slots).acquire_owned()).await {
            Ok(Ok(slot)) => Slot::Taken(slot),
            Ok(Err(_)) | Err(_) => Slot::TooLate,
        }
    }

    pub(super) fn breaker(&self) -> MutexGuard<'_, CircuitBreaker> {
        lock(&self.breaker)
    }

    /// For whoever sees the answer.
    pub(super) fn breaker_handle(&self) -> Arc<Mutex<CircuitBreaker>> {
        Arc::clone(&self.breaker)
    }
}

/// Held for nanoseconds, and never while something is waited for.
pub(super) fn lock(breaker: &Mutex<CircuitBreaker>) -> MutexGuard<'_, CircuitBreaker> {
    breaker.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn turns_come_in_order_and_nobody_waits_beyond_the_limits() {
        let line = Arc::new(Line::new(1, 2));
        let Slot::Taken(first) = line.slot(LONG, || ()).await else { panic!("there is a slot") };
        let wait = |patience| {
            let line = Arc::clone(&line);
            tokio::spawn(async move { line.slot(patience, || ()).await })
        };
        let (second, third) = (wait(LONG), wait(Duration::from_secs(1)));
        tokio::task::yield_now().await;
        assert!(matches!(line.slot(LONG, || ()).await, Slot::Full), "two wait");
        assert!(matches!(third.await.unwrap(), Slot::TooLate));
        let fourth = wait(LONG);
        tokio::task::yield_now().await;
        drop(first);
        let Slot::Taken(second) = second.await.unwrap() else { panic!("it is the next") };
        assert!(!fourth.is_finished());
        drop(second);
        assert!(matches!(fourth.await.unwrap(), Slot::Taken(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_waits_no_more() {
        let line = Line::new(1, 1);
        let _held = line.slot(LONG, || ()).await;
        for _ in 0..5 {
            let waited = tokio::time::timeout(Duration::from_millis(1), line.slot(LONG, || ())).await;
            assert!(waited.is_err(), "it waited, so there was room");
        }
    }
}
