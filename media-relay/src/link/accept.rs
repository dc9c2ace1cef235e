//! Other relays that come. Whoever floods with handshakes costs little: above a number of them each has to show first
//! that its address is its own, and above another it is refused.

use std::sync::Arc;
use std::time::Duration;

use quinn::{Endpoint, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Inner;
use super::connection::Link;
use super::counters::Refused;
use super::trust::peer_of;

/// Handshakes at once. Of a cluster's relays few start at the same moment.
const HANDSHAKES_MAX: usize = 64;
/// From here on addresses are shown first: a round trip more, and nobody is answered at an address that is not his.
const UNVALIDATED_MAX: usize = 8;
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(3);

pub(super) async fn run(inner: Arc<Inner>, endpoint: Endpoint) {
    let room = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    while let Some(incoming) = endpoint.accept().await {
        if inner.is_full() {
            inner.counters.refuse(Refused::Busy);
            incoming.refuse();
            continue;
        }
        let running = HANDSHAKES_MAX - room.available_permits();
        if running >= UNVALIDATED_MAX && incoming.may_retry() {
            inner.counters.retries.add(1);
            // Only what has been validated cannot be asked to do so again.
            let _ = incoming.retry();
            continue;
        }
        if let Ok(permit) = Arc::clone(&room).try_acquire_owned() {
            tokio::spawn(shake(Arc::clone(&inner), incoming, permit));
        } else {
            inner.counters.refuse(Refused::Busy);
            incoming.refuse();
        }
    }
}

async fn shake(inner: Arc<Inner>, incoming: Incoming, permit: OwnedSemaphorePermit) {
    let from = incoming.remote_address();
    let shaken = timeout(HANDSHAKE_DEADLINE, async { incoming.accept()?.await }).await;
    drop(permit);
    let error = match shaken {
        Ok(Ok(connection)) => {
            let peer = peer_of(&connection).filter(|peer| *peer != inner.own);
            if let Some(peer) = peer.filter(|peer| inner.has_room_for(*peer)) {
                inner.add(Link::begin(&inner, connection, peer, false));
                return;
            }
            "it is no other relay, or has connections enough".to_owned()
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it took too long".to_owned(),
    };
    inner.counters.refuse(Refused::Handshake);
    tracing::debug!(%from, error, "nobody that may link");
}
