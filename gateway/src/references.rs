//! The bases that offsets are written against: drawn, kept in the cluster's store, and looked up for who returns.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use turnpike_cluster::{Base, BaseId, Sessions, Soon, Unavailable};

use crate::offset::Reference;

pub(crate) struct References {
    store: Arc<dyn Sessions>,
    /// Keyed at random by the standard library, which is random enough to tell one base from another.
    random: RandomState,
    drawn: AtomicU64,
}

impl References {
    pub(crate) fn new(store: Arc<dyn Sessions>) -> Self {
        Self { store, random: RandomState::new(), drawn: AtomicU64::new(0) }
    }

    pub(crate) fn draw(&self, base: Base) -> Reference {
        Reference::draw(self.random.hash_one(self.drawn.fetch_add(1, Ordering::Relaxed)), base)
    }

    /// Whether it is kept.
    pub(crate) fn keep(&self, reference: &Reference) -> Soon<bool> {
        self.store.put_base(reference.id, &reference.base).map(|kept| kept.is_ok())
    }

    /// Tries until it is.
    pub(crate) async fn keep_for_sure(&self, reference: &Reference) {
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
