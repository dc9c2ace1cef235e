//! All sessions of the node by their public id, and those whose client is away in the order in which they are given up.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use turnpike_engine::SocketId;

use crate::broker::Broker;
use crate::session::{Session, Whereabouts};

/// Connecting and disconnecting take one of these locks, messages none.
const PARTS: usize = 16;

pub(crate) struct Sessions {
    parts: [Mutex<HashMap<SocketId, Arc<Session>>>; PARTS],
    hasher: RandomState,
    /// Some of these have returned meanwhile. All wait equally long, so the first is always the next.
    away: Mutex<VecDeque<(u64, SocketId)>>,
    away_max: usize,
    crowded_out: AtomicU64,
}

impl Sessions {
    pub(crate) fn new(away_max: usize) -> Self {
        Self {
            parts: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            away: Mutex::default(),
            away_max,
            crowded_out: AtomicU64::new(0),
        }
    }

    pub(crate) fn insert(&self, id: SocketId, session: Arc<Session>) {
        self.part(id).insert(id, session);
    }

    pub(crate) fn get(&self, id: SocketId) -> Option<Arc<Session>> {
        self.part(id).get(&id).cloned()
    }

    /// Only this session: under the same id there may be another by now, which took it over.
    pub(crate) fn remove(&self, id: SocketId, session: &Arc<Session>) {
        let mut part = self.part(id);
        if part.get(&id).is_some_and(|found| Arc::ptr_eq(found, session)) {
            part.remove(&id);
            if part.capacity() > 256 && part.len() * 8 < part.capacity() {
                let len = part.len();
                part.shrink_to(len * 2);
            }
        }
    }

    /// The session's client is away until then. The caller has written that into the session.
    pub(crate) fn wait_for(&self, id: SocketId, until_ms: u64, broker: &Broker) {
        let crowded_out = {
            let mut away = self.away();
            away.push_back((until_ms, id));
            if away.len() > self.away_max { away.pop_front() } else { None }
        };
        if let Some((until_ms, id)) = crowded_out
            && self.give_up(id, until_ms, broker)
        {
            self.crowded_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Gives up the sessions whose time is over.
    pub(crate) fn sweep(&self, steady_ms: u64, broker: &Broker) {
        loop {
            let due = {
                let mut away = self.away();
                match away.front() {
                    Some((until_ms, _)) if *until_ms <= steady_ms => away.pop_front(),
                    _ => None,
                }
            };
            let Some((until_ms, id)) = due else { return };
            self.give_up(id, until_ms, broker);
        }
    }

    /// At least as many as wait: some of them have returned.
    pub(crate) fn away_now(&self) -> usize {
        self.away().len()
    }

    pub(crate) fn crowded_out(&self) -> u64 {
        self.crowded_out.load(Ordering::Relaxed)
    }

    /// True if it was still waiting for just that time.
    fn give_up(&self, id: SocketId, until_ms: u64, broker: &Broker) -> bool {
        let Some(session) = self.get(id) else { return false };
        let mut state = session.state();
        if state.at != (Whereabouts::Away { until_ms }) {
            return false;
        }
        state.give_up(broker);
        drop(state);
        self.remove(id, &session);
        true
    }

    fn part(&self, id: SocketId) -> MutexGuard<'_, HashMap<SocketId, Arc<Session>>> {
        self.lock_part(self.hasher.hash_one(id) as usize % PARTS)
    }

    fn lock_part(&self, index: usize) -> MutexGuard<'_, HashMap<SocketId, Arc<Session>>> {
        self.parts[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn away(&self) -> MutexGuard<'_, VecDeque<(u64, SocketId)>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
