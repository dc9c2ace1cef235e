//! What the rest of a process holds: where events go in, and how the log is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::event::{Event, Object, Value};
use crate::key::{PublicKey, Signer};
use crate::kind::{Kind, Outcome};
use crate::note::Note;
use crate::queue::{Order, Queue};

/// The log of this process. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    /// `None`: it goes nowhere.
    pub(crate) queue: Option<Arc<Queue>>,
    pub(crate) health: Arc<watch::Sender<Health>>,
    pub(crate) figures: Arc<Figures>,
    pub(crate) on_failure: OnFailure,
    pub(crate) before: Before,
    pub(crate) decide_wait_max: Duration,
}

/// What the log was like when it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// There was none.
    Nothing,
    /// It had ended as intended.
    Closed,
    /// It breaks off: whoever wrote it came to an end that was not intended.
    Broken,
}

/// The record is where it was promised to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// `None` where the log could not be written and the policy is to go on nevertheless.
    pub seq: Option<u64>,
}

/// There is no durable record, so what it is about must not take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotRecorded {
    #[error("too much waits to be written to the audit log")]
    Full,
    #[error("the audit log did not reach the disk in time")]
    Late,
    #[error("the audit log cannot be written")]
    Failing,
    #[error("the audit log is closed")]
    Closed,
}

/// What becomes of decisions while the log cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// They are refused.
    #[default]
    Deny,
    /// They take effect, and their records follow if they can. The log says that it was so.
    Degrade,
}

/// How the log is. Whatever is not `Well` is a reason not to be ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    Well,
    /// The disk is full and the reserve is being used.
    Reserve,
    /// Nothing can be written; why.
    Failing(String),
    Closed,
}

/// Counters for metrics.
#[derive(Debug, Default)]
pub struct Figures {
    pub records: AtomicU64,
    pub bytes: AtomicU64,
    pub batches: AtomicU64,
    pub checkpoints: AtomicU64,
    /// Checkpoints of other nodes, kept here.
    pub witnessed: AtomicU64,
    /// How long the disk took, in sum.
    pub sync_micros: AtomicU64,
    /// Events for which there was no room, or that waited for a disk that did not come back.
    pub dropped: AtomicU64,
    /// Decisions that were refused because their record could not be written.
    pub refused: AtomicU64,
    /// Decisions that took effect without a durable record.
    pub degraded: AtomicU64,
    /// The number of records in the log.
    pub size: AtomicU64,
}

impl Figures {
    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

/// Takes checkpoints to where whoever changes this log cannot change them: another node's log, Redis, a SIEM.
///
/// It is called by the thread that writes, after each checkpoint is on disk, so it must only hand on.
pub trait Anchor: Send + 'static {
    fn checkpoint(&mut self, note: &Note);
}

/// Nowhere.
impl Anchor for () {
    fn checkpoint(&mut self, _: &Note) {}
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_written() { "Audit" } else { "Audit(nowhere)" })
    }
}

impl Audit {
    /// A log that is written nowhere: for tests and benchmarks of something else, and where the configuration wants none. All decisions
    /// take effect.
    pub fn nowhere() -> Self {
        Self {
            queue: None,
            health: Arc::new(watch::Sender::new(Health::Well)),
            figures: Arc::default(),
            on_failure: OnFailure::Degrade,
            before: Before::Nothing,
            decide_wait_max: Duration::ZERO,
        }
    }

    /// Whether anything is written. Who has an event to put together may ask first.
    pub fn is_written(&self) -> bool {
        self.queue.is_some()
    }

    /// It is written soon. When too much waits it is dropped, counted, and the count written.
    pub fn note(&self, event: Event) {
        if let Some(queue) = &self.queue {
            queue.note(event);
        }
    }

    /// Returns once the record is on disk. Whatever the event is about must take effect after that, and not at all if this fails.
    pub async fn decide(&self, event: Event) -> Result<Recorded, NotRecorded> {
        let Some(queue) = &self.queue else { return Ok(Recorded { seq: None }) };
        let outcome = match queue.decide(event) {
            Err(error) => Err(error),
            Ok(answer) => match tokio::time::timeout(self.decide_wait_max, answer).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(NotRecorded::Closed),
                Err(_) => {
                    // The writer cannot say it: it waits for the disk. It takes it back with the next write that succeeds.
                    self.health.send_if_modified(|health| {
                        let was_well = *health == Health::Well;
                        if was_well {
                            *health = Health::Failing("the disk does not answer".into());
                        }
                        was_well
                    });
                    Err(NotRecorded::Late)
                }
            },
        };
        self.by_policy(outcome)
    }

    /// The same for a thread that may block. It waits for as long as the disk takes.
    pub fn decide_blocking(&self, event: Event) -> Result<Recorded, NotRecorded> {
        let Some(queue) = &self.queue else { return Ok(Recorded { seq: None }) };
        let outcome =
            queue.decide(event).and_then(|answer| answer.blocking_recv().unwrap_or(Err(NotRecorded::Closed)));
        self.by_policy(outcome)
    }

    fn by_policy(&self, outcome: Result<Recorded, NotRecorded>) -> Result<Recorded, NotRecorded> {
        match (outcome, self.on_failure) {
            (Err(_), OnFailure::Degrade) => {
                Figures::add(&self.figures.degraded, 1);
                Ok(Recorded { seq: None })
            }
            (Err(error), OnFailure::Deny) => {
                Figures::add(&self.figures.refused, 1);
                Err(error)
            }
            (Ok(recorded), _) => Ok(recorded),
        }
    }

    /// Keeps another node's checkpoint in this log, for whoever verifies that node's. Only if it is signed by that node's key: else anybody who
    /// can reach this node could fill the log.
    pub fn witness(&self, note: &Note, key: &PublicKey) -> bool {
        let signed = note.is_signed_by(key) && note.checkpoint.origin == key.name();
        if signed {
            let event = Event::new(Kind::Anchor, Outcome::Success)
                .on(Object::Node, note.checkpoint.origin.as_str())
                .detail("note", Value::Own(note.text().into()));
            Figures::add(&self.figures.witnessed, 1);
            self.note(event);
        }
        signed
    }

    /// How it was when it was opened.
    pub fn before(&self) -> Before {
        self.before
    }

    /// How it is, and when that changes.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Events that wait to be written.
    pub fn queued(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.len())
    }

    /// Signs with this key from now on; the key before signs for it once more.
    pub fn rotate_key(&self, signer: Signer) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.order(Order::Key(Box::new(signer))))
    }

    /// Begins another file, so that the one before can be packed or rewritten. Blocks for as long as the disk takes.
    pub fn rotate_blocking(&self) -> bool {
        let (done, wait) = oneshot::channel();
        self.queue.as_ref().is_some_and(|queue| queue.order(Order::Rotate(done)))
            && wait.blocking_recv().is_ok()
    }
}

/// Held by whoever opened the log.
pub struct Closing {
    pub(crate) queue: Arc<Queue>,
    pub(crate) writer: Option<JoinHandle<()>>,
}

impl Closing {
    /// Writes what waits, says that the log ends as intended, and signs. Blocks for as long as the disk takes.
    pub fn close(mut self) {
        self.join();
    }

    fn join(&mut self) {
        self.queue.order(Order::Close);
        if let Some(writer) = self.writer.take() {
            // A panic there has been said by the panic hook.
            let _ = writer.join();
        }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.join();
    }
}
