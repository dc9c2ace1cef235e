//! What waits to be written. Callers put in, one writer takes out.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::event::Event;
use crate::handle::{NotRecorded, Recorded};
use crate::key::Signer;

/// What nobody waits for is written at the latest after this.
pub(crate) const SOON: Duration = Duration::from_millis(50);
/// So many are not left to wait any longer.
const MANY: usize = 4_096;
/// Of records that somebody waits for, those of so long are brought to disk together, once there have been several at a
/// time: in a crowd most of what a record costs is its part of the sync. Whoever comes alone is not kept waiting.
const GATHER: Duration = Duration::from_millis(3);
/// So many that are waited for are enough together.
const GATHERED_MAX: usize = 64;

pub(crate) type Reply = oneshot::Sender<Result<Recorded, NotRecorded>>;

pub(crate) struct Entry {
    pub event: Event,
    /// Whoever waits for the record to be durable.
    pub reply: Option<Reply>,
}

/// What is asked of the writer beside records.
pub(crate) enum Order {
    /// Begin another file.
    Rotate(oneshot::Sender<()>),
    /// Sign with another key.
    Key(Box<Signer>),
    Close,
}

/// What the writer takes at once.
#[derive(Default)]
pub(crate) struct Batch {
    pub entries: Vec<Entry>,
    pub orders: Vec<Order>,
    /// How many found no room, by class.
    pub dropped: BTreeMap<&'static str, u64>,
}

/// Bounded by `records_max`. When it is full, what nobody waits for is dropped and counted, and whoever would wait is told at once. The
/// last quarter is kept for those: a flood of notes refuses no login.
pub(crate) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    records_max: usize,
}

#[derive(Default)]
struct State {
    batch: Batch,
    /// When the oldest was put in that nobody waits for.
    since: Option<Instant>,
    /// Since when somebody waits, and how many do.
    waited_since: Option<Instant>,
    waited_for: usize,
    /// Last time several waited.
    gathers: bool,
    /// The writer has gone.
    closed: bool,
}

impl Queue {
    pub(crate) fn new(records_max: usize) -> Self {
        Self { state: Mutex::default(), wake: Condvar::new(), records_max }
    }

    /// Nothing that holds the lock can panic half-way through a change.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note(&self, event: Event) {
        let mut state = self.state();
        if state.closed || state.batch.entries.len() >= self.records_max / 4 * 3 {
            *state.batch.dropped.entry(event.kind().class()).or_default() += 1;
            return;
        }
        state.batch.entries.push(Entry { event, reply: None });
        state.since.get_or_insert_with(Instant::now);
        if matches!(state.batch.entries.len(), 1 | MANY) {
            self.wake.notify_one();
        }
    }

    pub(crate) fn decide(
        &self,
        event: Event,
    ) -> Result<oneshot::Receiver<Result<Recorded, NotRecorded>>, NotRecorded> {
        let mut state = self.state();
        if state.closed {
            return Err(NotRecorded::Closed);
        }
        if state.batch.entries.len() >= self.records_max {
            return Err(NotRecorded::Full);
        }
        let (reply, answer) = oneshot::channel();
        state.batch.entries.push(Entry { event, reply: Some(reply) });
        state.waited_since.get_or_insert_with(Instant::now);
        state.waited_for += 1;
        if matches!(state.waited_for, 1 | GATHERED_MAX) {
            self.wake.notify_one();
        }
        Ok(answer)
    }

    /// Whether there is still a writer to do it.
    pub(crate) fn order(&self, order: Order) -> bool {
        let mut state = self.state();
        if state.closed {
            return false;
        }
        state.batch.orders.push(order);
        self.wake.notify_one();
        true
    }

    /// What is there as soon as somebody waits for it, or a crowd has for a moment, it is much, it has waited, or the
    /// deadline is reached.
    pub(crate) fn take(&self, deadline: Instant) -> Batch {
        let mut state = self.state();
        loop {
            let gather = if state.gathers { GATHER } else { Duration::ZERO };
            let soon = state.since.map(|since| since + SOON);
            let waited = state.waited_since.map(|since| since + gather);
            let due = soon.into_iter().chain(waited).fold(deadline, Instant::min);
            let now = Instant::now();
            let many = state.batch.entries.len() >= MANY || state.waited_for >= GATHERED_MAX;
            if many || !state.batch.orders.is_empty() || now >= due {
                state.gathers = state.waited_for > 1;
                (state.since, state.waited_since, state.waited_for) = (None, None, 0);
                return std::mem::take(&mut state.batch);
            }
            state = self.wake.wait_timeout(state, due - now).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Nothing is taken any more. Gives what was left.
    pub(crate) fn close(&self) -> Batch {
        let mut state = self.state();
        state.closed = true;
        std::mem::take(&mut state.batch)
    }

    pub(crate) fn len(&self) -> usize {
        self.state().batch.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::{Kind, Outcome};

    #[test]
    fn a_crowd_is_gathered_and_whoever_comes_alone_is_not() {
        let queue = Queue::new(1_000);
        let decide = || queue.decide(Event::new(Kind::Login, Outcome::Success)).unwrap();
        let take = || queue.take(Instant::now() + Duration::from_mins(1)).entries.len();
        let began = Instant::now();
        let _first = decide();
        assert_eq!(take(), 1);
        assert!(!queue.state().gathers);
        let _crowd = [decide(), decide()];
        assert_eq!(take(), 2);
        let (taken, _third) = (Instant::now(), decide());
        assert_eq!(take(), 1);
        assert!(taken.elapsed() >= GATHER);
        assert!(!queue.state().gathers, "it was alone");
        let _many: Vec<_> = (0..GATHERED_MAX).map(|_| decide()).collect();
        assert_eq!(take(), GATHERED_MAX);
        assert!(began.elapsed() < Duration::from_mins(1), "none of this waited for the deadline");
    }
}
