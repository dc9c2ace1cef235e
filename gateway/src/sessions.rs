//! All sessions of the node by their public id, and those whose client is away in the order in which they are given up.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smallvec::SmallVec;
use turnpike_engine::SocketId;
use turnpike_wire::UserId;

use crate::mirror::Mirror;
use crate::session::{Session, Whereabouts, leave_all};

/// Connecting and disconnecting take one of these locks, messages none.
const PARTS: usize = 16;

pub(crate) struct Sessions {
    parts: [Mutex<HashMap<SocketId, Arc<Session>>>; PARTS],
    /// Whose they are.
    users: [Mutex<HashMap<UserId, SmallVec<[SocketId; 1]>>>; PARTS],
    hasher: RandomState,
    /// Sessions that somebody is about to take up here: until that is done they are nowhere else. As often as somebody is.
    being_taken: Mutex<HashMap<SocketId, u32>>,
    /// Some of these have returned meanwhile. All wait equally long, so the first is always the next.
    away: Mutex<VecDeque<(u64, SocketId)>>,
    away_max: usize,
    crowded_out: AtomicU64,
}

/// See [`Sessions::taking`].
pub(crate) struct Taking<'a> {
    sessions: &'a Sessions,
    id: SocketId,
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        let mut being_taken = self.sessions.being_taken();
        let left = being_taken.get(&self.id).map_or(0, |count| count - 1);
        if left > 0 {
            being_taken.insert(self.id, left);
        } else {
            being_taken.remove(&self.id);
        }
    }
}

impl Sessions {
    pub(crate) fn new(away_max: usize) -> Self {
        Self {
            parts: std::array::from_fn(|_| Mutex::default()),
            users: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            being_taken: Mutex::default(),
            away: Mutex::default(),
            away_max,
            crowded_out: AtomicU64::new(0),
        }
    }

    pub(crate) fn insert(&self, id: SocketId, session: Arc<Session>) {
        let user = session.user.clone();
        let mut part = self.part(id);
        if part.insert(id, session).is_none() {
            self.user(&user).entry(user).or_default().push(id);
        }
    }

    /// All sessions of a user, also those whose client is away.
    pub(crate) fn of_user(&self, user: &str) -> Vec<(SocketId, Arc<Session>)> {
        let ids = self.user(user).get(user).cloned().unwrap_or_default();
        ids.into_iter().filter_map(|id| Some((id, self.get(id)?))).collect()
    }

    /// Of this moment, connected or away.
    pub(crate) fn ids(&self) -> Vec<SocketId> {
        (0..PARTS).flat_map(|part| self.lock_part(part).keys().copied().collect::<Vec<_>>()).collect()
    }

    /// Somebody takes the session up, for as long as this is held.
    pub(crate) fn taking(&self, id: SocketId) -> Taking<'_> {
        *self.being_taken().entry(id).or_default() += 1;
        Taking { sessions: self, id }
    }

    pub(crate) fn is_being_taken(&self, id: SocketId) -> bool {
        self.being_taken().contains_key(&id)
    }

    fn being_taken(&self) -> MutexGuard<'_, HashMap<SocketId, u32>> {
        self.being_taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, id: SocketId) -> Option<Arc<Session>> {
        self.part(id).get(&id).cloned()
    }

    /// Only this session: under the same id there may be another by now, which took it over.
    pub(crate) fn remove(&self, id: SocketId, session: &Arc<Session>) {
        let mut part = self.part(id);
        if part.get(&id).is_some_and(|found| Arc::ptr_eq(found, session)) {
            part.remove(&id);
            let mut user = self.user(&session.user);
            if let Some(ids) = user.get_mut(&session.user) {
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    user.remove(&session.user);
                }
            }
            drop(user);
            if part.capacity() > 256 && part.len() * 8 < part.capacity() {
                let len = part.len();
                part.shrink_to(len * 2);
            }
        }
    }

    /// The session's client is away until then. The caller has written that into the session. Gives the session that was
    /// given up for it, if there were too many.
    pub(crate) fn wait_for(&self, id: SocketId, until_ms: u64, mirror: &Mirror) -> Option<SocketId> {
        let crowded_out = {
            let mut away = self.away();
            away.push_back((until_ms, id));
            if away.len() > self.away_max { away.pop_front() } else { None }
        };
        let (until_ms, id) = crowded_out?;
        self.give_up(id, until_ms, mirror).then(|| {
            self.crowded_out.fetch_add(1, Ordering::Relaxed);
            id
        })
    }

    /// Gives up the sessions whose time is over, and says which.
    pub(crate) fn sweep(&self, steady_ms: u64, mirror: &Mirror) -> Vec<SocketId> {
        let mut given_up = Vec::new();
        loop {
            let due = {
                let mut away = self.away();
                match away.front() {
                    Some((until_ms, _)) if *until_ms <= steady_ms => away.pop_front(),
                    _ => None,
                }
            };
            let Some((until_ms, id)) = due else { return given_up };
            if self.give_up(id, until_ms, mirror) {
                given_up.push(id);
            }
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
    fn give_up(&self, id: SocketId, until_ms: u64, mirror: &Mirror) -> bool {
        let Some(session) = self.get(id) else { return false };
        let mut state = session.state();
        if state.at != (Whereabouts::Away { until_ms }) {
            return false;
        }
        state.at = Whereabouts::Gone;
        let rooms = std::mem::take(&mut state.rooms);
        drop(state);
        leave_all(mirror, rooms);
        self.remove(id, &session);
        true
    }

    fn part(&self, id: SocketId) -> MutexGuard<'_, HashMap<SocketId, Arc<Session>>> {
        self.lock_part(self.hasher.hash_one(id) as usize % PARTS)
    }

    fn user(&self, user: &str) -> MutexGuard<'_, HashMap<UserId, SmallVec<[SocketId; 1]>>> {
        self.users[self.hasher.hash_one(user) as usize % PARTS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_part(&self, index: usize) -> MutexGuard<'_, HashMap<SocketId, Arc<Session>>> {
        self.parts[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn away(&self) -> MutexGuard<'_, VecDeque<(u64, SocketId)>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_attempts_take_the_same_session() {
        let (sessions, id) = (Sessions::new(1), SocketId::random());
        let first = sessions.taking(id);
        let second = sessions.taking(id);
        drop(first);
        assert!(sessions.is_being_taken(id));
        drop(second);
        assert!(!sessions.is_being_taken(id));
    }
}
