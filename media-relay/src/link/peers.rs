//! Which relays are linked with this one, and how that comes and goes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::ConnectionError;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::connection::Link;
use super::trust::{name_of, peer_of};
use super::{Inner, LinkTarget, lock};
use crate::audited;

const DIAL_DEADLINE: Duration = Duration::from_secs(2);
/// A watched relay that is not there is dialled again after this, and after twice as long each time.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(5);
/// A connection that lived so long was a good one.
const GOOD: Duration = Duration::from_secs(5);
/// Connections at once. A relay has a few neighbours and the homes of what is watched at it.
const LINKS_MAX: usize = 1_024;
/// Of one relay: one that each side dialled, and the same again while those are dying.
const LINKS_PER_PEER_MAX: usize = 4;

#[derive(Default)]
pub(super) struct Peers {
    by_incarnation: HashMap<u64, Peer>,
    links: usize,
}

#[derive(Default)]
struct Peer {
    /// Mostly one; two when both dialled at the same moment. Either serves both sides, and when one ends the other stays.
    links: Vec<Arc<Link>>,
    /// Held by who dials, so that only one does.
    dialling: Arc<tokio::sync::Mutex<()>>,
}

/// A relay that is to be told of when it dies.
pub(super) struct Watched {
    target: LinkTarget,
    task: AbortHandle,
}

impl Inner {
    /// The link with a relay, dialled if there is none. None: it is not there.
    pub(super) async fn link_to(self: &Arc<Self>, to: LinkTarget) -> Option<Arc<Link>> {
        if let Some(link) = self.link(to.incarnation) {
            return Some(link);
        }
        let dialling =
            Arc::clone(&lock(&self.peers).by_incarnation.entry(to.incarnation).or_default().dialling);
        let _dialling = dialling.lock().await;
        let link = match self.link(to.incarnation) {
            Some(link) => Some(link),
            None => self.dial(to).await,
        };
        self.forget(to.incarnation);
        link
    }

    pub(super) fn link(&self, peer: u64) -> Option<Arc<Link>> {
        let peers = lock(&self.peers);
        peers.by_incarnation.get(&peer)?.links.iter().find(|link| link.is_open()).cloned()
    }

    /// All that are open.
    pub(super) fn links(&self) -> Vec<Arc<Link>> {
        lock(&self.peers).by_incarnation.values().flat_map(|peer| peer.links.iter().cloned()).collect()
    }

    pub(super) fn is_full(&self) -> bool {
        lock(&self.peers).links >= LINKS_MAX
    }

    pub(super) fn has_room_for(&self, peer: u64) -> bool {
        lock(&self.peers).by_incarnation.get(&peer).is_none_or(|peer| peer.links.len() < LINKS_PER_PEER_MAX)
    }

    async fn dial(self: &Arc<Self>, to: LinkTarget) -> Option<Arc<Link>> {
        if self.is_full() {
            return None;
        }
        let name = name_of(to.incarnation);
        let connecting = self.endpoint.connect_with(self.client.clone(), to.address, &name);
        let error = match connecting {
            Ok(connecting) => match timeout(DIAL_DEADLINE, connecting).await {
                Ok(Ok(connection)) if peer_of(&connection) == Some(to.incarnation) => {
                    let link = Link::begin(self, connection, to.incarnation, true);
                    self.add(Arc::clone(&link));
                    return Some(link);
                }
                Ok(Ok(_)) => "it is another relay".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it did not answer".to_owned(),
            },
            Err(error) => error.to_string(),
        };
        tracing::debug!(peer = name, address = %to.address, error, "a relay cannot be linked");
        None
    }

    pub(super) fn add(&self, link: Arc<Link>) {
        tracing::info!(peer = name_of(link.peer), dialled = link.is_dialled, "a link is up");
        audited::link_up(&self.audit, link.peer);
        self.counters.connections.add(1);
        let mut peers = lock(&self.peers);
        peers.links += 1;
        peers.by_incarnation.entry(link.peer).or_default().links.push(link);
    }

    /// A connection is over. Whoever waits for that is told if it was the last and the other side did not say goodbye.
    pub(super) fn ended(&self, link: &Arc<Link>, reason: &ConnectionError) {
        let is_goodbye =
            matches!(reason, ConnectionError::ApplicationClosed(_) | ConnectionError::LocallyClosed);
        tracing::info!(peer = name_of(link.peer), goodbye = is_goodbye, %reason, "a link is down");
        audited::link_down(&self.audit, link.peer, is_goodbye);
        self.counters.connections.sub(1);
        self.counters.lost_packets.add(link.connection.stats().path.lost_packets);
        let is_last = {
            let mut peers = lock(&self.peers);
            peers.links -= 1;
            peers.by_incarnation.get_mut(&link.peer).is_none_or(|peer| {
                peer.links.retain(|other| !Arc::ptr_eq(other, link));
                peer.links.is_empty()
            })
        };
        self.forget(link.peer);
        if is_last && !is_goodbye {
            self.counters.lost.add(1);
            self.tell_lost(link.peer);
        }
    }

    /// Of a relay that nobody dials and that is not linked nothing is kept.
    fn forget(&self, peer: u64) {
        let mut peers = lock(&self.peers);
        // One is who asks for this; any more wait to dial, or dial.
        let is_idle = |peer: &Peer| peer.links.is_empty() && Arc::strong_count(&peer.dialling) <= 2;
        if peers.by_incarnation.get(&peer).is_some_and(is_idle) {
            peers.by_incarnation.remove(&peer);
        }
    }

    fn tell_lost(&self, peer: u64) {
        lock(&self.listeners).retain(|listener| match listener.try_send(peer) {
            Ok(()) => true,
            Err(error) => {
                let is_full = matches!(error, tokio::sync::mpsc::error::TrySendError::Full(_));
                if is_full {
                    tracing::warn!("nobody hears that relays are lost");
                }
                is_full
            }
        });
    }

    pub(super) fn watch(self: &Arc<Self>, targets: &[LinkTarget]) {
        let mut watched = lock(&self.watched);
        watched.retain(|_, Watched { target, task }| {
            let stays = targets.contains(target);
            if !stays {
                task.abort();
            }
            stays
        });
        for &target in targets.iter().take(LINKS_MAX) {
            if target.incarnation != self.own && !watched.contains_key(&target.incarnation) {
                let task = self.runtime.spawn(keep(Arc::clone(self), target)).abort_handle();
                watched.insert(target.incarnation, Watched { target, task });
            }
        }
    }

    pub(super) fn is_watched(&self, peer: u64) -> bool {
        lock(&self.watched).contains_key(&peer)
    }
}

async fn keep(inner: Arc<Inner>, target: LinkTarget) {
    let mut pause = AGAIN_AFTER;
    loop {
        if let Some(link) = inner.link_to(target).await {
            let since = Instant::now();
            link.connection.closed().await;
            if since.elapsed() >= GOOD {
                pause = AGAIN_AFTER;
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(AGAIN_AFTER_MAX);
    }
}
