//! Where a core writes its datagrams: the shard's batch.

use std::net::SocketAddr;

use crate::sfu::Outlet;

/// What a slot may be at most when the batch is full: more than any packet of media.
const SCRATCH_BYTES: usize = 2_048;

/// The batch of a round. When the kernel takes nothing and the batch is full, datagrams are written into the void; the
/// batch counts them.
pub(crate) struct Batch<'a> {
    outlet: turnpike_udp::Outlet<'a>,
    scratch: &'a mut Scratch,
}

/// Room for a datagram that goes nowhere.
pub(crate) struct Scratch(Vec<u8>);

impl Default for Scratch {
    fn default() -> Self {
        Self(vec![0; SCRATCH_BYTES])
    }
}

impl<'a> Batch<'a> {
    pub(crate) fn new(outlet: turnpike_udp::Outlet<'a>, scratch: &'a mut Scratch) -> Self {
        Self { outlet, scratch }
    }

    /// Sends what is left; what the whole round has sent.
    pub(crate) fn flush(self) -> turnpike_udp::Sent {
        self.outlet.flush()
    }
}

impl Outlet for Batch<'_> {
    fn slot(&mut self, to: SocketAddr, bytes_max: usize) -> &mut [u8] {
        if let Some(slot) = self.outlet.slot(None, to, bytes_max) {
            return slot;
        }
        if self.scratch.0.len() < bytes_max {
            self.scratch.0.resize(bytes_max, 0);
        }
        &mut self.scratch.0[..bytes_max]
    }

    fn commit(&mut self, bytes: usize) {
        // Without an open slot, this does nothing.
        self.outlet.commit(bytes);
    }
}
