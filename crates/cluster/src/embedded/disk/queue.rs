//! What waits to be written, in its order.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redb::WriteTransaction;
use turnpike_wire::MessageId;

use super::store::Fault;
use crate::embedded::log::Previous;
use crate::{Lane, Message, Unavailable};

/// A message that has its place, and is kept when it is written.
pub(crate) struct Append {
    pub(crate) lane: Lane,
    pub(crate) message: Arc<Message>,
    pub(crate) kept_ms: u64,
    pub(crate) previous: Previous,
    /// If the sender gave it one.
    pub(crate) id: Option<MessageId>,
}

/// Anything else that is to be written.
pub(crate) trait Work: Send {
    /// May be called for something that is then not committed; nothing else may follow from it.
    fn write(&mut self, transaction: &WriteTransaction) -> Result<(), Fault>;

    /// It is on the disk, or is not.
    fn done(self: Box<Self>, result: Result<(), Unavailable>);
}

pub(crate) enum Item {
    /// With its turn.
    Append(u64, Append),
    Work(Box<dyn Work>),
}

/// There is no room, or the disk does not work.
pub(crate) struct Refused;

/// Bounded: whoever finds no room is refused, and tells its caller.
const ITEMS_MAX: usize = 65_536;
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// As much as is written at once. More would make the first wait for the last.
const BATCH_ITEMS_MAX: usize = 4_096;
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

pub(crate) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    failing: AtomicBool,
}

struct State {
    items: VecDeque<Item>,
    bytes: usize,
    next_turn: u64,
    nudged: bool,
    closed: bool,
}

/// What is next to be written.
pub(crate) enum Next {
    /// Possibly nothing new; then there may be something to tidy.
    Batch(Vec<Item>),
    /// Nobody will bring anything any more, and all of it was written.
    End,
}

impl Queue {
    pub(crate) fn new(next_turn: u64) -> Self {
        let state = State { items: VecDeque::new(), bytes: 0, next_turn, nudged: false, closed: false };
        Self { state: Mutex::new(state), wake: Condvar::new(), failing: AtomicBool::new(false) }
    }

    /// Gives its turn.
    pub(crate) fn append(&self, append: Append) -> Result<u64, Refused> {
        let mut state = self.state();
        if state.closed || state.items.len() >= ITEMS_MAX || state.bytes >= BYTES_MAX {
            return Err(Refused);
        }
        let turn = state.next_turn;
        state.next_turn += 1;
        state.bytes += append.message.bytes();
        state.items.push_back(Item::Append(turn, append));
        drop(state);
        self.wake.notify_one();
        Ok(turn)
    }

    /// If it is refused, `done` has been called.
    pub(crate) fn work(&self, work: Box<dyn Work>) {
        let mut state = self.state();
        if state.closed || self.is_failing() || state.items.len() >= ITEMS_MAX {
            drop(state);
            work.done(Err(UNAVAILABLE));
            return;
        }
        state.items.push_back(Item::Work(work));
        drop(state);
        self.wake.notify_one();
    }

    /// There may be something to tidy.
    pub(crate) fn nudge(&self) {
        self.state().nudged = true;
        self.wake.notify_one();
    }

    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.wake.notify_one();
    }

    /// Waits for something to do, at most so long.
    pub(crate) fn next(&self, at_most: Option<Duration>) -> Next {
        let mut state = self.state();
        while state.items.is_empty() && !state.nudged && !state.closed {
            if let Some(at_most) = at_most {
                let waited = self.wake.wait_timeout(state, at_most).unwrap_or_else(PoisonError::into_inner);
                state = waited.0;
                if waited.1.timed_out() {
                    break;
                }
            } else {
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
        if state.items.is_empty() && state.closed {
            return Next::End;
        }
        state.nudged = false;
        let mut batch = Vec::with_capacity(state.items.len().min(BATCH_ITEMS_MAX));
        let mut batch_bytes = 0;
        while batch.len() < BATCH_ITEMS_MAX && batch_bytes < BATCH_BYTES_MAX {
            let Some(item) = state.items.pop_front() else { break };
            if let Item::Append(_, append) = &item {
                batch_bytes += append.message.bytes();
            }
            batch.push(item);
        }
        state.bytes -= batch_bytes;
        Next::Batch(batch)
    }

    /// Empties the queue.
    pub(crate) fn clear(&self) -> VecDeque<Item> {
        let mut state = self.state();
        state.bytes = 0;
        std::mem::take(&mut state.items)
    }

    /// Nothing can be written at the moment.
    pub(crate) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Acquire)
    }

    pub(crate) fn set_failing(&self, failing: bool) {
        self.failing.store(failing, Ordering::Release);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When the disk does not work. It is tried again about this often.
pub(crate) const UNAVAILABLE: Unavailable = Unavailable { retry_after_ms: 1_000 };
