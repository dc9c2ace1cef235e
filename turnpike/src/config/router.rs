//! The keys of the router.

use std::net::IpAddr;

use turnpike_cluster::placement::WEIGHT_MAX;
use turnpike_daemon::config::{List, Setting};
use turnpike_daemon::{choice, section};

use super::NodeId;

section! {
    /// The sticky entry in front of gateways: `turnpike router`.
    pub(crate) struct Router in "router" {
        /// Address to listen on.
        host: IpAddr = "127.0.0.1", "TURNPIKE_ROUTER_HOST";
        /// TCP port; 0 lets the system choose.
        port: u16 = "3000", "TURNPIKE_ROUTER_PORT", "0" to "65535";
        /// Which node a new session is given to: `least-connections`: of two drawn at random the one with fewer through this router; `rendezvous`: by the room or user in the query, else by address; `round-robin`; `weighted`: at random; `ip-hash`: by address.
        strategy: Strategy = "least-connections", "TURNPIKE_ROUTER_STRATEGY";
        /// How much nodes carry where it is not 1, such as `gateway-1=2`.
        weights: List<Weight> = "", "TURNPIKE_ROUTER_WEIGHTS";
        /// Sessions that begin in a second, of all clients together. The others are told when to come again, at different times.
        handshakes_per_second: u32 = "5000", "TURNPIKE_ROUTER_HANDSHAKES_PER_SECOND", "1" to "1000000";
        /// Sessions that begin in a second from one address (from one /64, for IPv6).
        handshakes_per_address: u32 = "200", "TURNPIKE_ROUTER_HANDSHAKES_PER_ADDRESS", "1" to "1000000";
        /// Threads that pass on. Not set: one for each processor.
        threads: Option<usize> = "", "TURNPIKE_ROUTER_THREADS", "1" to "64";
    }
}

choice! {
    pub(crate) enum Strategy {
        LeastConnections = "least-connections",
        Rendezvous = "rendezvous",
        RoundRobin = "round-robin",
        Weighted = "weighted",
        IpHash = "ip-hash",
    }
    expects "`least-connections`, `rendezvous`, `round-robin`, `weighted` or `ip-hash`"
}

/// `NODE=WEIGHT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Weight {
    pub(crate) node: NodeId,
    pub(crate) weight: usize,
}

impl Setting for Weight {
    const EXPECTS: &'static str = "a node and how much it carries, from 1 to 16, such as `gateway-1=2`";

    fn parse(text: &str) -> Result<Self, String> {
        let (node, weight) = text.split_once('=').ok_or("names no weight")?;
        let weight = weight.trim().parse().ok().filter(|weight| (1..=WEIGHT_MAX as usize).contains(weight));
        Ok(Self { node: NodeId::parse(node.trim())?, weight: weight.ok_or("has no weight from 1 to 16")? })
    }

    fn show(&self) -> String {
        format!("{}={}", self.node.show(), self.weight)
    }
}
