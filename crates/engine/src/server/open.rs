//! The count of sockets that speak HTTP or carry bytes for another node: a file descriptor is a file descriptor.

use std::sync::Arc;

use crate::counters::ShardCounters;

/// One such socket, counted until this is dropped. It stays on the shard's thread, though hyper wants it to be `Send`.
pub(super) struct Open(Arc<ShardCounters>);

impl Open {
    pub(super) fn count(counters: &Arc<ShardCounters>) -> Self {
        counters.http_sockets_now.add(1);
        Self(Arc::clone(counters))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.http_sockets_now.sub(1);
    }
}
