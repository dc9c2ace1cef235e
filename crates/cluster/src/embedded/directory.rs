//! Who owns a name, when there is but one node to own it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::clock::{Clock, unix_ms};
use crate::{Claim, Claimed, Directory, Incarnation, Paged, Soon, Unavailable};

/// Streams and other names of one node; with this many the node is not small any more.
const NAMES_MAX: usize = 262_144;

pub(super) struct EmbeddedDirectory {
    own: Incarnation,
    clock: Clock,
    names: Mutex<Names>,
}

struct Names {
    claimed: BTreeMap<String, (Claimed, u64)>,
    fence: u64,
}

impl EmbeddedDirectory {
    pub(super) fn new(own: Incarnation, clock: Clock) -> Self {
        // Higher than what an earlier process gave out: it made fewer than one claim a millisecond.
        let names = Names { claimed: BTreeMap::new(), fence: unix_ms() };
        Self { own, clock, names: Mutex::new(names) }
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Directory for EmbeddedDirectory {
    fn claim(&self, claim: &Claim) -> Soon<Result<Claimed, Unavailable>> {
        let now_ms = self.clock.steady_ms();
        let until_ms = now_ms.saturating_add(claim.lease_ms);
        let mut names = self.names();
        let Names { claimed, fence } = &mut *names;
        if let Some((claimed, held_until_ms)) = claimed.get_mut(&claim.name)
            && *held_until_ms > now_ms
        {
            claimed.value.clone_from(&claim.value);
            *held_until_ms = until_ms;
            return Soon::Now(Ok(claimed.clone()));
        }
        if claimed.len() >= NAMES_MAX {
            claimed.retain(|_, (_, until_ms)| *until_ms > now_ms);
        }
        if claimed.len() >= NAMES_MAX {
            return Soon::Now(Err(Unavailable { retry_after_ms: 1_000 }));
        }
        *fence += 1;
        let own = Claimed { owner: self.own, fence: *fence, value: claim.value.clone() };
        claimed.insert(claim.name.clone(), (own.clone(), until_ms));
        Soon::Now(Ok(own))
    }

    fn release(&self, name: &str, fence: u64) -> Soon<Result<(), Unavailable>> {
        let mut names = self.names();
        if names.claimed.get(name).is_some_and(|(claimed, _)| claimed.fence == fence) {
            names.claimed.remove(name);
        }
        Soon::Now(Ok(()))
    }

    fn find(&self, name: &str) -> Soon<Result<Option<Claimed>, Unavailable>> {
        let now_ms = self.clock.steady_ms();
        let names = self.names();
        let found = names.claimed.get(name).filter(|(_, until_ms)| *until_ms > now_ms);
        Soon::Now(Ok(found.map(|(claimed, _)| claimed.clone())))
    }

    fn list(
        &self,
        prefix: &str,
        cursor: &str,
        max: usize,
    ) -> Soon<Result<Paged<(String, Claimed)>, Unavailable>> {
        let now_ms = self.clock.steady_ms();
        let max = max.max(1);
        let names = self.names();
        let start = if cursor > prefix { Bound::Excluded(cursor) } else { Bound::Included(prefix) };
        let page: Vec<_> = names
            .claimed
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(prefix))
            .filter(|(_, (_, until_ms))| *until_ms > now_ms)
            .take(max)
            .map(|(name, (claimed, _))| (name.clone(), claimed.clone()))
            .collect();
        let cursor = page.last().filter(|_| page.len() == max).map(|(name, _)| name.clone());
        Soon::Now(Ok((page, cursor)))
    }
}
