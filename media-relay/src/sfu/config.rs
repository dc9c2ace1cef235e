//! What a shard's core is told once.

use std::net::SocketAddr;
use std::sync::Arc;

use turnpike_congestion::estimator;
use turnpike_transport::TransportConfig;

#[derive(Clone)]
pub(crate) struct SfuConfig {
    pub(crate) transport: Arc<TransportConfig>,
    /// Where peers are told to send to.
    pub(crate) candidates: Vec<SocketAddr>,
    /// Where those come who cannot send datagrams.
    pub(crate) tcp_candidates: Vec<SocketAddr>,
    pub(crate) estimator: estimator::Config,
    pub(crate) limits: Limits,
}

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Publishers and viewers at the same time; of each shard.
    pub peers_max: usize,
    pub publishers_per_stream_max: usize,
    /// Of all tracks of a stream that a viewer is shown.
    pub tracks_per_viewer_max: usize,
    /// Shards and relays that are given one stream by one shard; others are sent on to these.
    pub branches_per_stream_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            peers_max: 10_000,
            publishers_per_stream_max: 16,
            tracks_per_viewer_max: 32,
            branches_per_stream_max: 16,
        }
    }
}
