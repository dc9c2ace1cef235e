//! What survives the process: one file, one thread that writes it. See `docs/adr/0011-embedded-store.md`.
//!
//! It is written for the next start only. While the process lives everything but sessions is read from memory, and when
//! the disk fails the process goes on with what it has, and refuses what it could not keep.

mod load;
mod queue;
mod record;
#[cfg(test)]
mod shaky;
mod store;
mod tables;
mod writer;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};

use tokio::sync::watch;

pub(crate) use self::load::Earlier;
pub(crate) use self::queue::{Append, Queue, UNAVAILABLE, Work};
pub(crate) use self::record::{BaseRecord, OwnedSession};
use self::store::Store;
pub(crate) use self::store::{Fault, Medium};
pub(crate) use self::tables::{BASES, CURSORS, LAST_SEEN, MARKS, NOTICES, SESSIONS};
use self::writer::{Debts, Writer};
use super::OpenError;
use super::broker::EmbeddedBroker;
use crate::{Condition, HistoryLimits};

/// The way to the disk. When the last is dropped, what was accepted has been written and the file is closed.
pub(crate) struct Disk {
    pub(crate) queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A file that was opened and read, and that nobody writes yet.
pub(crate) struct Opened {
    medium: Medium,
    store: Store,
    queue: Arc<Queue>,
    writer: WriterStart,
}

struct WriterStart {
    lanes: [record::LaneRecord; crate::LANES],
    last_turn: u64,
}

pub(crate) fn open(
    medium: Medium,
    limits: &HistoryLimits,
) -> Result<(Opened, load::Logs, Earlier), OpenError> {
    let store = medium.open()?;
    let (logs, earlier) =
        load::load(&store, limits).map_err(|fault| store::damaged(&medium.path(), &fault))?;
    let lanes = std::array::from_fn(|lane| {
        let past = logs[lane].past();
        record::LaneRecord { head: past.head, latest_ts: past.latest_ts, forgotten: past.forgotten }
    });
    let last_turn = earlier.last_turn;
    let queue = Arc::new(Queue::new(last_turn + 1));
    Ok((Opened { medium, store, queue, writer: WriterStart { lanes, last_turn } }, logs, earlier))
}

impl Opened {
    /// The way in; what comes is written once the writer was started.
    pub(crate) fn disk(&self) -> Arc<Disk> {
        Arc::new(Disk { queue: Arc::clone(&self.queue), thread: Mutex::default() })
    }

    pub(crate) fn start(
        self,
        disk: &Disk,
        broker: Weak<EmbeddedBroker>,
        condition: Arc<watch::Sender<Condition>>,
    ) -> Result<(), OpenError> {
        let Self { medium, store, queue, writer: WriterStart { lanes, last_turn } } = self;
        let store = Some(store);
        let debts = Debts::default();
        let writer = Writer { medium, store, queue, broker, condition, lanes, last_turn, debts };
        let thread = thread::Builder::new().name("cluster-disk".to_owned()).spawn(move || writer.run());
        let thread = thread.map_err(OpenError::Thread)?;
        *disk.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.queue.close();
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // The writer itself may be the last to let go of the broker.
        if let Some(thread) = thread.filter(|writer| writer.thread().id() != thread::current().id()) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
