//! How much is needed for a load. Pure: figures in, figures out. What is measured stands in `costs`; here is what is chosen.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::costs::{
    CONNECTION_BYTES, DELIVERED_CORE_SECONDS, FORWARDED_CORE_SECONDS, HEARD_CORE_SECONDS, IDLE_CORE_SECONDS,
    REDIS_CORE_SECONDS, RETURN_CORE_SECONDS, SENT_CORE_SECONDS, VIEWER_BYTES,
};

/// A process without connections, with its rings and history at their limits (`ring.bytes_max`, `history.bytes_max`), and room.
const NODE_BYTES: u64 = 512 * 1024 * 1024;
/// Of a packet of live video.
const PACKET_BITS: u64 = 1_200 * 8;
/// A message in Redis, with its place in the log and its id: its text of 128 bytes many times over.
const KEPT_BYTES: u64 = 700;
/// How long it is there (`history.age_max`).
const KEPT_SECONDS: u64 = 600;
/// Of each core so much is planned for; the rest is for peaks, and for the clients of a node that was lost.
const BUSY: f64 = 0.5;
/// Descriptors and timers have room for more, an operator's evening has not: what is lost with one node comes back to the others.
const CONNECTIONS_PER_GATEWAY_MAX: u64 = 250_000;
/// What a relay's machine sends, of ten gigabits.
const RELAY_BITS_MAX: u64 = 8_000_000_000;

#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) connections: u64,
    /// A second.
    pub(crate) messages: u64,
    pub(crate) members: u64,
    /// None: they are wherever their members happen to be.
    pub(crate) nodes_of_a_room: Option<u64>,
    pub(crate) viewers: u64,
    pub(crate) bitrate: u64,
    pub(crate) cores: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// One more than the load asks for, so that one may be away.
    pub(crate) gateways: u64,
    pub(crate) gateway_bytes: u64,
    /// Of all gateways, in cores that do nothing else.
    pub(crate) gateway_cores: f64,
    pub(crate) nodes_of_a_room: u64,
    pub(crate) redis_masters: u64,
    pub(crate) redis_bytes: u64,
    pub(crate) relays: u64,
    pub(crate) relay_bytes: u64,
    /// Until everybody of a lost gateway is back at the others.
    pub(crate) back_seconds: f64,
}

impl Plan {
    pub(crate) fn of(load: &Load) -> Self {
        let busy = load.cores as f64 * BUSY;
        let deliveries = load.messages as f64 * load.members as f64;
        let flat = load.connections as f64 * IDLE_CORE_SECONDS
            + load.messages as f64 * SENT_CORE_SECONDS
            + deliveries * DELIVERED_CORE_SECONDS;
        let cores = |nodes: u64| flat + load.messages as f64 * nodes as f64 * HEARD_CORE_SECONDS;
        // More gateways have members of more rooms, up to one for each member.
        let spread =
            |gateways: u64| load.nodes_of_a_room.unwrap_or(load.members).min(load.members).min(gateways);
        let by_connections = load.connections.div_ceil(CONNECTIONS_PER_GATEWAY_MAX).max(1);
        let mut needed = by_connections;
        while cores(spread(needed)) > needed as f64 * busy {
            let more = (cores(spread(needed)) / busy).ceil() as u64;
            needed = more.max(needed + 1);
        }
        let nodes_of_a_room = spread(needed);
        let per_gateway = load.connections.div_ceil(needed);
        let redis = load.messages as f64 * REDIS_CORE_SECONDS / BUSY;
        let by_bits = (load.viewers * load.bitrate).div_ceil(RELAY_BITS_MAX);
        let packets = load.viewers as f64 * (load.bitrate as f64 / PACKET_BITS as f64);
        let by_cores = (packets * FORWARDED_CORE_SECONDS / busy).ceil() as u64;
        let relays = by_bits.max(by_cores);
        let gateways = needed + 1;
        let left = (gateways - 1) as f64 * load.cores as f64 * (1.0 - BUSY);
        Self {
            gateways,
            gateway_bytes: NODE_BYTES + (per_gateway as f64 * CONNECTION_BYTES) as u64,
            gateway_cores: cores(nodes_of_a_room),
            nodes_of_a_room,
            redis_masters: (redis.ceil() as u64).max(3),
            redis_bytes: load.messages * KEPT_SECONDS * KEPT_BYTES,
            relays: if load.viewers == 0 { 0 } else { relays + 1 },
            relay_bytes: if load.viewers == 0 {
                0
            } else {
                NODE_BYTES + (load.viewers.div_ceil(relays.max(1)) as f64 * VIEWER_BYTES) as u64
            },
            back_seconds: per_gateway as f64 * RETURN_CORE_SECONDS / left.max(f64::MIN_POSITIVE),
        }
    }

    pub(crate) fn render(&self, load: &Load) -> String {
        let Self { gateways, nodes_of_a_room, redis_masters, relays, .. } = self;
        let mut out = String::new();
        let memory = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
        let _ = writeln!(
            out,
            "gateways  {gateways} of {} cores and {}, one of them to spare: {:.1} cores are busy, a room is at {nodes_of_a_room} of them",
            load.cores,
            memory(self.gateway_bytes),
            self.gateway_cores,
        );
        let _ = writeln!(
            out,
            "redis     {redis_masters} masters, each with a replica, {} for each of them",
            memory(self.redis_bytes.div_ceil(*redis_masters) * 2 + NODE_BYTES),
        );
        if *relays > 0 {
            let _ = writeln!(
                out,
                "relays    {relays} of {} cores, {} and 10 Gb/s, one of them to spare",
                load.cores,
                memory(self.relay_bytes),
            );
        }
        let _ = writeln!(out, "routers   2");
        let _ = writeln!(
            out,
            "a gateway is lost: its clients cost the others {:.1} s of the cores that are left",
            self.back_seconds
        );
        out
    }

    pub(crate) fn as_json(&self) -> Value {
        json!({
            "gateways": self.gateways,
            "gateway_bytes": self.gateway_bytes,
            "gateway_cores_busy": self.gateway_cores,
            "nodes_of_a_room": self.nodes_of_a_room,
            "redis_masters": self.redis_masters,
            "redis_bytes": self.redis_bytes,
            "relays": self.relays,
            "relay_bytes": self.relay_bytes,
            "back_seconds": self.back_seconds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(connections: u64, messages: u64) -> Load {
        Load {
            connections,
            messages,
            members: 20,
            nodes_of_a_room: None,
            viewers: 0,
            bitrate: 2_500_000,
            cores: 4,
        }
    }

    #[test]
    fn a_small_system_is_two_gateways_and_three_masters() {
        let plan = Plan::of(&load(1_000, 10));
        assert_eq!((plan.gateways, plan.redis_masters, plan.relays), (2, 3, 0));
    }

    #[test]
    fn more_never_needs_less() {
        let mut before = Plan::of(&load(1, 0));
        for step in 0..60 {
            let connections = 1.4_f64.powi(step) as u64;
            let plan = Plan::of(&load(connections, connections / 50));
            assert!(
                plan.gateways >= before.gateways && plan.redis_masters >= before.redis_masters,
                "{plan:?}"
            );
            before = plan;
        }
    }

    /// What is planned carries what it was planned for with one gateway away.
    #[test]
    fn a_plan_is_enough() {
        for connections in [1_u64, 9_000, 250_000, 1_000_000, 100_000_000] {
            for messages in [0, 100, 10_000, 1_000_000] {
                for nodes_of_a_room in [None, Some(1), Some(3)] {
                    let load = Load { nodes_of_a_room, ..load(connections, messages) };
                    let plan = Plan::of(&load);
                    let cores = (plan.gateways - 1) as f64 * load.cores as f64 * BUSY;
                    assert!(plan.gateway_cores <= cores, "{load:?} {plan:?}");
                    assert!(
                        (plan.gateways - 1) * CONNECTIONS_PER_GATEWAY_MAX >= connections,
                        "{load:?} {plan:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn rooms_that_are_at_one_node_cost_less() {
        let spread = Plan::of(&load(1_000_000, 20_000));
        let together = Plan::of(&Load { nodes_of_a_room: Some(1), ..load(1_000_000, 20_000) });
        assert!(together.gateway_cores < spread.gateway_cores / 2.0, "{together:?} {spread:?}");
    }

    #[test]
    fn relays_are_bound_by_cores_or_by_the_line() {
        let of = |viewers, bitrate, cores| Plan::of(&Load { viewers, bitrate, cores, ..load(0, 0) }).relays;
        assert_eq!(of(100, 2_500_000, 4), 2);
        assert_eq!(of(10_000, 2_500_000, 64), 5, "25 Gb/s over lines of 8");
        assert!(of(10_000, 2_500_000, 1) > 5);
    }
}
