//! The one node there is. Its lease is nobody's to take.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

use super::clock::unix_ms;
use crate::{Incarnation, Lease, Membership, Node, Soon, Unavailable};

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
        let node = Node { incarnation: own, name, address, version, draining: false };
        Self { own, nodes: watch::Sender::new(Arc::new([node])), lease: watch::Sender::new(Lease::Held) }
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
        self.nodes.send_if_modified(|nodes| {
            let changed = nodes.iter().any(|node| node.draining != draining);
            if changed {
                *nodes = nodes.iter().map(|node| Node { draining, ..node.clone() }).collect();
            }
            changed
        });
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
