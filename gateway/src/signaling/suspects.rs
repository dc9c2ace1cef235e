//! Relays that another one has lost. Each is asked itself; one that does not answer is chosen no more, and nobody waits for it,
//! until it says something or the nodes agree that it is gone.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use turnpike_cluster::Incarnation;

#[derive(Default)]
pub(super) struct Suspects {
    /// Somebody looks after these. No more than there are relays.
    watched: Mutex<HashSet<Incarnation>>,
    silent: watch::Sender<HashSet<Incarnation>>,
}

/// Who looks after a relay that may be lost. The relay is no suspect any more when this goes.
pub(super) struct Watch<'a> {
    suspects: &'a Suspects,
    relay: Incarnation,
}

impl Suspects {
    /// None: somebody looks after it already.
    pub(super) fn watch(&self, relay: Incarnation) -> Option<Watch<'_>> {
        // Not made where it is not wanted: it strikes the relay off when it goes.
        let is_first = self.watched().insert(relay);
        is_first.then(|| Watch { suspects: self, relay })
    }

    pub(super) fn is_silent(&self, relay: Incarnation) -> bool {
        self.silent.borrow().contains(&relay)
    }

    /// Done when the relay does not answer any more.
    pub(super) async fn silence(&self, relay: Incarnation) {
        let mut silent = self.silent.subscribe();
        // The sender lives as long as this does.
        let _ = silent.wait_for(|silent| silent.contains(&relay)).await;
    }

    fn watched(&self) -> MutexGuard<'_, HashSet<Incarnation>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch<'_> {
    pub(super) fn fell_silent(&self) {
        self.suspects.silent.send_modify(|silent| {
            silent.insert(self.relay);
        });
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.suspects.silent.send_if_modified(|silent| silent.remove(&self.relay));
        self.suspects.watched().remove(&self.relay);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_looks_after_each_and_all_who_wait_are_told() {
        let (suspects, relay) = (Suspects::default(), Incarnation(7));
        let watch = suspects.watch(relay).unwrap();
        assert!(suspects.watch(relay).is_none() && suspects.watch(Incarnation(8)).is_some());
        assert!(!suspects.is_silent(relay), "it was not asked yet");
        let mut waits = Box::pin(suspects.silence(relay));
        assert!(futures_util::poll!(&mut waits).is_pending());
        watch.fell_silent();
        assert!(suspects.is_silent(relay));
        waits.await;
        drop(watch);
        assert!(!suspects.is_silent(relay) && suspects.watch(relay).is_some());
    }
}
