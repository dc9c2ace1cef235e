//! The one node there is. Its lease is nobody's to take.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

use super::clock::unix_ms;
use crate::{Incarnation, Lease, Membership, Node, RelayOffer, Soon, Unavailable};

pub(super) struct EmbeddedMembership {
    own: Incarnation,
    nodes: watch::Sender<Arc<[Node]>>,
    lease: watch::Sender<Lease>,
}

impl EmbeddedMembership {
    pub(super) fn new(name: &str, address: Option<SocketAddr>, version: &str) -> Self {
        // The standard library's hash keys are random, and the time sees to the rest.
        let own = Incarnation(RandomState::new().hash_one(unix_ms()));
        let (name, version) = (name.to_owned(), version.to_owned());
        let node =
            Node { incarnation: own, name, address, version, draining: false, places: None, relay: None };
        Self { own, nodes: watch::Sender::new(Arc::new([node])), lease: watch::Sender::new(Lease::Held) }
    }
}

impl EmbeddedMembership {
    /// Nothing, if the node has left.
    fn say(&self, change: impl FnOnce(&mut Node)) {
        self.nodes.send_if_modified(|nodes| {
            let Some(before) = nodes.first() else { return false };
            let mut node = before.clone();
            change(&mut node);
            let changed = node != *before;
            if changed {
                *nodes = Arc::new([node]);
            }
            changed
        });
    }
}

impl Membership for EmbeddedMembership {
    fn own(&self) -> Incarnation {
        self.own
    }

    fn nodes(&self) -> watch::Receiver<Arc<[Node]>> {
        self.nodes.subscribe()
    }

    fn lease(&self) -> watch::Receiver<Lease> {
        self.lease.subscribe()
    }

    fn announce(&self, draining: bool) -> Soon<Result<(), Unavailable>> {
        self.say(|node| node.draining = draining);
        Soon::Now(Ok(()))
    }

    fn vacant(&self, places: u32) -> Soon<Result<(), Unavailable>> {
        self.say(|node| node.places = Some(places));
        Soon::Now(Ok(()))
    }

    fn offer(&self, relay: Option<RelayOffer>) -> Soon<Result<(), Unavailable>> {
        self.say(|node| node.relay = relay);
        Soon::Now(Ok(()))
    }

    fn leave(&self) -> Soon<Result<(), Unavailable>> {
        self.nodes.send_if_modified(|nodes| {
            let was_there = !nodes.is_empty();
            *nodes = Arc::new([]);
            was_there
        });
        Soon::Now(Ok(()))
    }
}
