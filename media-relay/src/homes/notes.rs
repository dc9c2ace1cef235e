//! What the backend is to be told: brought to a gateway, whichever takes it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use turnpike_cluster::{Cluster, Incarnation, Node, Post};
use turnpike_wire::media::relay::{FromRelay, Note, Noted, TO_GATEWAYS};
use turnpike_wire::{RoomId, UserId};

/// That no gateway has taken. Beyond it the oldest are dropped: nobody listens.
const NOTES_MAX: usize = 1_024;

/// Each time to the next gateway.
const TRIES_MAX: usize = 30;

pub(super) struct Notes {
    own: Incarnation,
    post: Arc<dyn Post>,
    nodes: watch::Receiver<Arc<[Node]>>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    drawn: u64,
    notes: VecDeque<(Note, usize)>,
}

impl Notes {
    pub(super) fn new(cluster: &Cluster) -> Self {
        Self {
            own: cluster.membership.own(),
            post: Arc::clone(&cluster.post),
            nodes: cluster.membership.nodes(),
            waiting: Mutex::default(),
        }
    }

    pub(super) fn put(&self, life: u64, stream: &RoomId, user: &UserId, what: Noted) {
        let mut waiting = self.waiting();
        waiting.drawn += 1;
        let note = Note { id: waiting.drawn, life, stream: stream.clone(), user: user.clone(), what };
        if waiting.notes.len() >= NOTES_MAX {
            waiting.notes.pop_front();
            tracing::warn!("no gateway takes notes of streams; the oldest are dropped");
        }
        self.write(&note, self.own);
        waiting.notes.push_back((note, 0));
    }

    pub(super) fn arrived(&self, id: u64) {
        self.waiting().notes.retain(|(note, _)| note.id != id);
    }

    /// Says again what nobody has taken, in order, to somebody else.
    pub(super) fn send(&self) {
        let nodes = Arc::clone(&self.nodes.borrow());
        let gateways: Vec<Incarnation> =
            nodes.iter().filter(|node| node.address.is_some()).map(|node| node.incarnation).collect();
        let mut waiting = self.waiting();
        waiting.notes.retain_mut(|(note, tries)| {
            *tries += 1;
            let others = gateways.get(*tries % gateways.len().max(1));
            self.write(note, others.copied().unwrap_or(self.own));
            *tries < TRIES_MAX
        });
    }

    fn write(&self, note: &Note, to: Incarnation) {
        let words = serde_json::to_vec(&[FromRelay::Note(note.clone())]);
        let words = words.expect("words are made of what JSON has");
        // It is said again.
        let _ = self.post.send(to, TO_GATEWAYS, words.into());
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
