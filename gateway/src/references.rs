//! The bases that offsets are written against: drawn, kept in the cluster's store, and looked up for who returns.
//!
//! The store may lose the latest of what it has answered. The latest bases are remembered here, to be kept again.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use turnpike_cluster::{Base, BaseId, Sessions, Soon, Unavailable};

use crate::offset::Reference;

/// A lane's new epoch makes one, and a failover gives all lanes of a master a new epoch: those of several failovers.
const LATEST_MAX: usize = 64;

pub(crate) struct References {
    store: Arc<dyn Sessions>,
    /// The oldest goes when there are too many.
    latest: Mutex<VecDeque<Reference>>,
    /// Keyed at random by the standard library, which is random enough to tell one base from another.
    random: RandomState,
    drawn: AtomicU64,
}

impl References {
    pub(crate) fn new(store: Arc<dyn Sessions>) -> Self {
        let latest = Mutex::new(VecDeque::with_capacity(LATEST_MAX));
        Self { store, latest, random: RandomState::new(), drawn: AtomicU64::new(0) }
    }

    pub(crate) fn draw(&self, base: Base) -> Reference {
        Reference::draw(self.random.hash_one(self.drawn.fetch_add(1, Ordering::Relaxed)), base)
    }

    /// Whether it is kept.
    pub(crate) fn keep(&self, reference: &Reference) -> Soon<bool> {
        self.remember(reference);
        self.store.put_base(reference.id, &reference.base).map(|kept| kept.is_ok())
    }

    /// Tries until it is.
    pub(crate) async fn keep_for_sure(&self, reference: &Reference) {
        self.remember(reference);
        self.put(reference).await;
    }

    /// Puts the latest again.
    pub(crate) async fn keep_again(&self) {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for reference in latest {
            self.put(&reference).await;
        }
    }

    fn remember(&self, reference: &Reference) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.len() == LATEST_MAX {
            latest.pop_front();
        }
        latest.push_back(*reference);
    }

    async fn put(&self, reference: &Reference) {
        const PAUSE_MAX: Duration = Duration::from_millis(500);
        while let Err(Unavailable { retry_after_ms }) =
            self.store.put_base(reference.id, &reference.base).wait().await
        {
            tokio::time::sleep(Duration::from_millis(retry_after_ms).min(PAUSE_MAX)).await;
        }
    }

    pub(crate) fn find(&self, id: BaseId) -> Soon<Result<Option<Base>, Unavailable>> {
        self.store.base(id)
    }
}
