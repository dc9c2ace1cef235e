//! Publications on their way into the log, many at once.
//!
//! A lane's publications go to the master that has the lane, in their order: `[FCALL .., FCALL .., WAIT]` over one
//! connection, and the next group when that is answered. Whatever is not answered as it should be goes back to the front of
//! its lane's queue and is sent again, to the master that has the lane then. Each bears an id by which the log recognises
//! it, so it stands there once. When its time is over its publisher is told that nothing is known of it.
//!
//! WAIT speaks of what was written over its own connection before it. So an answer without its WAIT counts for nothing,
//! and the same goes for both when the connection ends in between.

mod queue;
mod worker;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::queue::{Entry, Queue};
use super::address::Address;
use super::client::Client;
use super::keys::Keys;
use super::slot::slot_of;
use crate::{LANES, Lane, PublishError, Unavailable};

/// Publications of this node that are not answered yet. Beyond it publishers are told that there is no room: at a
/// thousand a second it is more than is sent within the deadline.
const QUEUED_MAX: usize = 16_384;

/// And their bytes.
const QUEUED_BYTES_MAX: usize = 128 * 1024 * 1024;

/// A lane without a success for so long is not in a failover, which takes a few seconds, but away. Then publishers are
/// told at once, but for one, who tries it.
const AWAY: Duration = Duration::from_secs(4);

/// How often lanes are looked at that no master has.
const ORPHANS_PAUSE: Duration = Duration::from_millis(100);

/// What is to be published. The log recognises it by `id`.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) lane: Lane,
    pub(crate) room: Box<str>,
    pub(crate) log: String,
    pub(crate) channel: String,
    pub(crate) id: Bytes,
    /// Of this node alone, so that it recognises its own attempt.
    pub(crate) attempt: Bytes,
    pub(crate) payload: Bytes,
    pub(crate) deadline: Duration,
}

/// Where it stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    pub(crate) ts: u64,
    /// Another publication under the same id was there before.
    pub(crate) duplicate: bool,
}

pub(crate) struct Committer {
    shared: Arc<Shared>,
}

struct Shared {
    client: Arc<Client>,
    /// What every call of a lane names: meta, heads, and the buckets of ids.
    lanes: [LaneKeys; LANES],
    queues: [Mutex<Queue>; LANES],
    /// Of the master that has the lane, to be told of new work.
    bells: [Mutex<Option<Arc<Notify>>>; LANES],
    queued: AtomicUsize,
    queued_bytes: AtomicUsize,
    closed: AtomicBool,
    attempts: AtomicU64,
}

struct LaneKeys {
    slot: u16,
    meta: String,
    heads: String,
    ids: [String; 3],
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        for lane in Lane::all() {
            self.shared.ring(lane);
        }
    }
}

impl Committer {
    pub(crate) fn start(client: Arc<Client>, keys: &Keys) -> Self {
        let lane_keys = |index| {
            let lane = Lane::new(index).expect("it is below the number of lanes");
            LaneKeys {
                slot: slot_of(&keys.meta(lane)),
                meta: keys.meta(lane),
                heads: keys.heads(lane),
                ids: std::array::from_fn(|bucket| keys.ids(lane, bucket)),
            }
        };
        let shared = Arc::new(Shared {
            client,
            lanes: std::array::from_fn(lane_keys),
            queues: std::array::from_fn(|_| Mutex::default()),
            bells: std::array::from_fn(|_| Mutex::default()),
            queued: AtomicUsize::new(0),
            queued_bytes: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            attempts: AtomicU64::new(0),
        });
        tokio::spawn(appoint(Arc::clone(&shared)));
        Self { shared }
    }

    /// A name for an attempt, not used before by this node.
    pub(crate) fn attempt(&self) -> u64 {
        self.shared.attempts.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes its place in the lane's order at once.
    pub(crate) fn publish(
        &self,
        work: Work,
    ) -> Result<oneshot::Receiver<Result<Stored, PublishError>>, PublishError> {
        let shared = &self.shared;
        let (lane, bytes) = (work.lane, work.payload.len());
        if shared.queued.load(Ordering::Relaxed) >= QUEUED_MAX
            || shared.queued_bytes.load(Ordering::Relaxed) + bytes > QUEUED_BYTES_MAX
        {
            return Err(PublishError::Full);
        }
        let mut queue = shared.queue(lane);
        if queue.is_away(AWAY) {
            drop(queue);
            return Err(shared.unavailable(lane).into());
        }
        let (reply, answer) = oneshot::channel();
        shared.queued.fetch_add(1, Ordering::Relaxed);
        shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let now = Instant::now();
        queue.waiting.push_back(Entry { deadline: now + work.deadline, since: now, tries: 0, work, reply });
        drop(queue);
        shared.ring(lane);
        Ok(answer)
    }
}

impl Shared {
    fn queue(&self, lane: Lane) -> MutexGuard<'_, Queue> {
        // Nothing under the lock can panic halfway.
        self.queues[lane.index()].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self, lane: Lane) {
        let bell = self.bells[lane.index()].lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(bell) = bell {
            bell.notify_one();
        }
    }

    fn unavailable(&self, lane: Lane) -> Unavailable {
        self.client.unavailable(self.lanes[lane.index()].slot)
    }

    fn answer(&self, entry: Entry, answer: Result<Stored, PublishError>) {
        let metrics = &self.client.metrics;
        self.queued.fetch_sub(1, Ordering::Relaxed);
        self.queued_bytes.fetch_sub(entry.work.payload.len(), Ordering::Relaxed);
        match &answer {
            Ok(_) => metrics.publish_seconds.observe(entry.since.elapsed().as_secs_f64()),
            Err(_) => metrics.publish_failed.with_label_values(&["unavailable"]).inc(),
        }
        // Whoever published may not wait for the answer.
        let _ = entry.reply.send(answer);
    }

    /// Answers those whose time is over.
    fn expire(&self, lane: Lane) {
        let expired = self.queue(lane).take_expired(Instant::now());
        if !expired.is_empty() {
            let unavailable = self.unavailable(lane);
            for entry in expired {
                self.answer(entry, Err(unavailable.into()));
            }
        }
    }
}

/// A worker for each master; and lanes that no master has are looked at for what is out of time.
async fn appoint(shared: Arc<Shared>) {
    let mut workers: HashMap<Address, Arc<Notify>> = HashMap::new();
    let mut topology = shared.client.surveyor.watch();
    let mut orphans = interval(ORPHANS_PAUSE);
    orphans.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = topology.borrow_and_update().clone();
        workers.retain(|address, bell| {
            let stays = now.at(address).is_some();
            // It notices that it is not needed any more.
            bell.notify_one();
            stays
        });
        for master in now.masters() {
            workers.entry(master.address.clone()).or_insert_with(|| {
                let bell = Arc::new(Notify::new());
                tokio::spawn(worker::run(Arc::clone(&shared), master.address.clone(), Arc::clone(&bell)));
                bell
            });
        }
        for lane in Lane::all() {
            let master = now.master(shared.lanes[lane.index()].slot);
            let bell = master.and_then(|master| workers.get(&master.address)).cloned();
            *shared.bells[lane.index()].lock().unwrap_or_else(PoisonError::into_inner) = bell;
            shared.ring(lane);
        }
        loop {
            tokio::select! {
                changed = topology.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    break;
                }
                _ = orphans.tick() => {
                    if shared.closed.load(Ordering::Relaxed) {
                        return;
                    }
                    if shared.queued.load(Ordering::Relaxed) > 0 {
                        Lane::all().for_each(|lane| shared.expire(lane));
                    }
                }
            }
        }
    }
}
