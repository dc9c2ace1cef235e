//! How many sessions go through this router to each node.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

#[derive(Default)]
pub(crate) struct Load {
    /// No more than there have been nodes; those that are gone and idle are taken out when others come.
    of: RwLock<HashMap<SocketAddr, Arc<AtomicUsize>>>,
}

/// A session that is counted until this is dropped.
pub(crate) struct Held(Arc<AtomicUsize>);

impl Load {
    pub(crate) fn of(&self, address: SocketAddr) -> usize {
        let of = self.of.read().unwrap_or_else(PoisonError::into_inner);
        of.get(&address).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    pub(crate) fn hold(&self, address: SocketAddr) -> Held {
        let known = self.of.read().unwrap_or_else(PoisonError::into_inner).get(&address).map(Arc::clone);
        let count = known.unwrap_or_else(|| {
            let mut of = self.of.write().unwrap_or_else(PoisonError::into_inner);
            // Others hold a clone of what is in use.
            of.retain(|_, count| Arc::strong_count(count) > 1);
            Arc::clone(of.entry(address).or_default())
        });
        count.fetch_add(1, Ordering::Relaxed);
        Held(count)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_while_held_and_forgets_who_is_gone() {
        let load = Load::default();
        let (one, other) = (SocketAddr::from(([127, 0, 0, 1], 1)), SocketAddr::from(([127, 0, 0, 1], 2)));
        let held = [load.hold(one), load.hold(one)];
        assert_eq!((load.of(one), load.of(other)), (2, 0));
        drop(held);
        assert_eq!(load.of(one), 0);
        let _held = load.hold(other);
        assert_eq!(load.of.read().unwrap().len(), 1);
    }
}
