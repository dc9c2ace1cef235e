//! Where a core writes its datagrams: the shard's batch, or the connection that is the way to a peer.

use std::net::SocketAddr;

use super::counters::TcpCounters;
use super::tcp::Tcp;
use turnpike_transport::Path;

use crate::sfu::Outlet;

/// What a slot may be at most when the batch is full: more than any packet of media.
const SCRATCH_BYTES: usize = 2_048;

/// The batch of a round. When the kernel takes nothing and the batch is full, datagrams are written into the void; the
/// batch counts them.
pub(crate) struct Batch<'a> {
    outlet: turnpike_udp::Outlet<'a>,
    tcp: Option<&'a mut Tcp>,
    tcp_counters: &'a TcpCounters,
    /// The open slot is for that connection.
    to_connection: Option<SocketAddr>,
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
    pub(super) fn new(
        outlet: turnpike_udp::Outlet<'a>,
        tcp: Option<&'a mut Tcp>,
        tcp_counters: &'a TcpCounters,
        scratch: &'a mut Scratch,
    ) -> Self {
        Self { outlet, tcp, tcp_counters, to_connection: None, scratch }
    }

    /// Sends what is left; what the whole round has sent in datagrams.
    pub(super) fn flush(self) -> turnpike_udp::Sent {
        if let Some(tcp) = self.tcp {
            tcp.flush(self.tcp_counters);
        }
        self.outlet.flush()
    }
}

impl Outlet for Batch<'_> {
    fn slot(&mut self, path: Path, bytes_max: usize) -> &mut [u8] {
        self.to_connection = None;
        if Tcp::is_path(path.remote)
            && let Some(tcp) = &mut self.tcp
        {
            self.to_connection = Some(path.remote);
            return tcp.slot(bytes_max);
        }
        // Who asked at one of several addresses is answered from that one.
        let from = Some(path.local.ip()).filter(|ip| !ip.is_unspecified());
        if let Some(slot) = self.outlet.slot(from, path.remote, bytes_max) {
            return slot;
        }
        if self.scratch.0.len() < bytes_max {
            self.scratch.0.resize(bytes_max, 0);
        }
        &mut self.scratch.0[..bytes_max]
    }

    fn commit(&mut self, bytes: usize) {
        match (self.to_connection.take(), &mut self.tcp) {
            (Some(to), Some(tcp)) => tcp.commit(to, bytes, self.tcp_counters),
            // Without an open slot, this does nothing.
            _ => self.outlet.commit(bytes),
        }
    }
}
