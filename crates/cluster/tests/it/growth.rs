//! What a system of so many connections needs, by what was measured: a calculation, and the table in `docs/scaling.md` that is held
//! against it.

use std::fmt::Write as _;

/// Measured, or said by a constant of the code. Where each comes from stands in `docs/scaling.md`.
mod measured {
    /// Redis, all processes of a shard together, for a message that is kept by both: microseconds.
    pub(super) const MESSAGE_US: f64 = 64.0;
    /// The same for each further node that hears it, doubled.
    pub(super) const HEARING_US: f64 = 1.0;
    /// Leases, probes, audits, presence checks and the bulletin of one node, each second.
    pub(super) const NODE_US: f64 = 2_700.0;
    pub(super) const NODE_COMMANDS: f64 = 80.0;
    pub(super) const NODE_BYTES_TO_REDIS: f64 = 4_500.0;
    pub(super) const NODE_BYTES_FROM_REDIS: f64 = 10_200.0;
    /// Of those, what lies in one slot and so on one master: a renewal, with two readings of the bulletin beside it.
    pub(super) const RENEWAL_US: f64 = 150.0;
    /// A message of 200 bytes on the bus.
    pub(super) const MESSAGE_BYTES: f64 = 330.0;
    /// Of one process to each master: questions, publications, the bus; and one to each process for the map.
    pub(super) const CONNECTIONS_A_MASTER: f64 = 4.0;
    pub(super) const LANES: f64 = 16.0;
}

/// A system, and what its users do.
#[derive(Clone, Copy)]
struct Load {
    connections: f64,
    connections_a_node: f64,
    /// Each connection sends so many messages a second.
    messages: f64,
    members_a_room: f64,
}

/// No process is to be busier than this, so that a failover is survived.
const BUSY_MAX: f64 = 0.5;

#[derive(Debug, Clone, Copy, PartialEq)]
struct Need {
    nodes: f64,
    messages: f64,
    /// How many nodes a message goes to.
    hearing: f64,
    masters: f64,
    /// Of what a master may do, what the one does that has all leases.
    leases_busy: f64,
    bus_bytes_a_node: f64,
    coordination_commands: f64,
    redis_connections: f64,
}

fn need(load: Load) -> Need {
    let nodes = (load.connections / load.connections_a_node).ceil().max(1.0);
    let messages = load.connections * load.messages;
    // Members are wherever chance has put them.
    let hearing = nodes * (1.0 - (1.0 - 1.0 / nodes).powf(load.members_a_room));
    let busy_us = messages * (measured::MESSAGE_US + (hearing - 1.0).max(0.0) * measured::HEARING_US)
        + nodes * measured::NODE_US;
    let masters = (busy_us / 1e6 / BUSY_MAX).ceil().max(3.0);
    Need {
        nodes,
        messages,
        hearing,
        masters,
        leases_busy: nodes * measured::RENEWAL_US / 1e6,
        bus_bytes_a_node: messages * hearing * measured::MESSAGE_BYTES / nodes
            + measured::NODE_BYTES_FROM_REDIS,
        coordination_commands: nodes * measured::NODE_COMMANDS,
        redis_connections: nodes * measured::CONNECTIONS_A_MASTER,
    }
}

fn load(connections: f64) -> Load {
    Load { connections, connections_a_node: 20_000.0, messages: 0.02, members_a_room: 20.0 }
}

fn table() -> String {
    let mut table = String::from(
        "| connections | nodes | messages a second | nodes that hear one | masters | the leases' master | bus to a node | commands for coordination | connections of a Redis process |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for connections in [10_000.0, 100_000.0, 1_000_000.0, 3_000_000.0, 10_000_000.0] {
        let Need {
            nodes,
            messages,
            hearing,
            masters,
            leases_busy,
            bus_bytes_a_node,
            coordination_commands,
            redis_connections,
        } = need(load(connections));
        let _ = writeln!(
            table,
            "| {connections} | {nodes} | {messages} | {hearing:.1} | {masters} | {:.1} % | {:.2} MB/s | {coordination_commands:.0}/s | {redis_connections} |",
            leases_busy * 100.0,
            bus_bytes_a_node / 1e6,
        );
    }
    table
}

#[test]
fn the_table_of_the_guide_is_what_the_calculation_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/scaling.md");
    let guide = std::fs::read_to_string(path).unwrap();
    let (before, rest) = guide.split_once("<!-- growth -->\n").expect("the guide says where the table is");
    let (there, after) = rest.split_once("<!-- /growth -->").expect("and where it ends");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let guide = format!("{before}<!-- growth -->\n{}<!-- /growth -->{after}", table());
        return std::fs::write(path, guide).unwrap();
    }
    assert_eq!(there, table(), "UPDATE_DOCS=1 writes it anew");
}

#[test]
fn a_million_needs_what_there_is_and_ten_million_do_not_fit_in_the_lanes() {
    assert!(need(load(1_000_000.0)).masters <= measured::LANES);
    assert!(
        need(load(10_000_000.0)).masters > measured::LANES,
        "more masters than lanes have no messages to keep"
    );
}

#[test]
fn what_a_node_hears_does_not_grow_with_the_nodes() {
    let few = need(load(1_000_000.0)).bus_bytes_a_node;
    let many = need(load(10_000_000.0)).bus_bytes_a_node;
    assert!(many < few * 1.25, "{few} and {many}");
}

#[test]
fn rooms_that_are_together_cost_less() {
    let apart = need(load(1_000_000.0));
    let together = need(Load { members_a_room: 1.0, ..load(1_000_000.0) });
    assert!(together.masters < apart.masters && together.bus_bytes_a_node < apart.bus_bytes_a_node / 5.0);
}

#[test]
fn everything_grows_with_what_asks_for_it() {
    let mut last = need(load(1_000.0));
    for connections in (1..200).map(|step| f64::from(step) * 50_000.0) {
        let next = need(load(connections));
        assert!(next.nodes >= last.nodes && next.masters >= last.masters && next.hearing >= last.hearing);
        assert!(next.hearing <= load(connections).members_a_room.min(next.nodes));
        last = next;
    }
    assert!(last.leases_busy < 0.2 && measured::NODE_BYTES_TO_REDIS < measured::NODE_BYTES_FROM_REDIS);
}
