//! One connection with another relay, from its beginning to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use quinn::{Connection, ConnectionError, VarInt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::packets::{self, CHANGES_MAX, Change, OUTGOING_MAX};
use super::sink::Outgoing;
use super::{Inner, upper};

/// Goodbye: this relay leaves.
pub(super) const LEAVING: VarInt = VarInt::from_u32(0);
/// Goodbye: it is of no use to who dialled it.
const UNUSED: VarInt = VarInt::from_u32(1);

/// A connection without pipes that nobody wants watched is closed after so long by who dialled it.
const UNUSED_MAX: Duration = Duration::from_secs(30);
const UNUSED_LOOKS: u32 = 3;

pub(super) struct Link {
    pub(super) peer: u64,
    pub(super) connection: Connection,
    pub(super) is_dialled: bool,
    pub(super) packets: mpsc::Sender<Outgoing>,
    pub(super) changes: mpsc::Sender<Change>,
    pipes: AtomicUsize,
}

/// That a pipe goes through a link.
pub(super) struct InUse(Arc<Link>);

impl Link {
    /// Lets it work until it is closed. To be called within the links' runtime.
    pub(super) fn begin(
        inner: &Arc<Inner>,
        connection: Connection,
        peer: u64,
        is_dialled: bool,
    ) -> Arc<Self> {
        let (packets, outgoing) = mpsc::channel(OUTGOING_MAX);
        let (changes, changed) = mpsc::channel(CHANGES_MAX);
        let pipes = AtomicUsize::new(0);
        let link = Arc::new(Self { peer, connection, is_dialled, packets, changes, pipes });
        let (own, counters) = (|| link.connection.clone(), || Arc::clone(&inner.counters));
        let mut tasks = JoinSet::new();
        tasks.spawn(packets::send(own(), outgoing, counters()));
        tasks.spawn(packets::receive(own(), changed, Arc::clone(&inner.ends), counters()));
        tasks.spawn(packets::receive_large(own(), link.changes.clone(), counters()));
        tasks.spawn(accept_pipes(Arc::clone(inner), Arc::clone(&link)));
        tokio::spawn(keep(Arc::clone(inner), Arc::clone(&link), tasks));
        link
    }

    pub(super) fn is_open(&self) -> bool {
        self.connection.close_reason().is_none()
    }

    pub(super) fn use_it(self: &Arc<Self>) -> InUse {
        self.pipes.fetch_add(1, Ordering::Relaxed);
        InUse(Arc::clone(self))
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.pipes.fetch_sub(1, Ordering::Relaxed);
    }
}

/// QUIC lets no more than [`super::transport::PIPES_PER_PEER_MAX`] be open.
async fn accept_pipes(inner: Arc<Inner>, link: Arc<Link>) {
    while let Ok((send, receive)) = link.connection.accept_bi().await {
        // Not of the connection's tasks: it sees for itself that the connection is over, and clears up.
        tokio::spawn(upper::run(Arc::clone(&inner), Arc::clone(&link), send, receive));
    }
}

async fn keep(inner: Arc<Inner>, link: Arc<Link>, tasks: JoinSet<()>) {
    let reason = closed(&inner, &link).await;
    drop(tasks);
    inner.ended(&link, &reason);
}

async fn closed(inner: &Inner, link: &Link) -> ConnectionError {
    let mut unused = 0;
    let mut looks = tokio::time::interval(UNUSED_MAX / UNUSED_LOOKS);
    loop {
        tokio::select! {
            reason = link.connection.closed() => return reason,
            _ = looks.tick(), if link.is_dialled => {
                let is_used = link.pipes.load(Ordering::Relaxed) > 0 || inner.is_watched(link.peer);
                unused = if is_used { 0 } else { unused + 1 };
                if unused > UNUSED_LOOKS {
                    link.connection.close(UNUSED, b"not used");
                }
            }
        }
    }
}
