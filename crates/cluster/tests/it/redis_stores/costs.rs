//! What a node costs Redis, and its own machine, by how many there are: counted by the nodes and by Redis itself.

use std::time::Duration;

use futures_util::future::join_all;
use turnpike_cluster::Publication;
use turnpike_lab::RedisCluster;

use super::stage::{Node, config, node, nodes, room, until, user};

const FEW: usize = 3;
const MANY: usize = 16;
const LOOK: Duration = Duration::from_secs(10);

/// By chance, and because what nodes do at the beginning is not over everywhere.
const MORE_PERCENT_MAX: f64 = 10.0;

/// Commands, and bytes that Redis was sent and has sent, a node and second.
struct Cost {
    commands: f64,
    received: f64,
    sent: f64,
}

/// Of all processes together.
fn counted(cluster: &RedisCluster, what: &str) -> f64 {
    let each = cluster.nodes().map(|node| cluster.command(node, &["INFO", "everything"]).unwrap().text());
    let of_one = |text: String| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
        line.and_then(|number| number.trim().parse().ok()).unwrap_or(0.0)
    };
    each.map(of_one).sum()
}

/// Rates of all together.
async fn rates(cluster: &RedisCluster) -> [f64; 5] {
    let all = [
        "total_commands_processed",
        "total_net_input_bytes",
        "total_net_output_bytes",
        "used_cpu_user",
        "used_cpu_sys",
    ];
    let before = all.map(|what| counted(cluster, what));
    tokio::time::sleep(LOOK).await;
    let after = all.map(|what| counted(cluster, what));
    std::array::from_fn(|index| (after[index] - before[index]) / LOOK.as_secs_f64())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a minute on a cluster of its own; cargo xtask test --long"]
async fn a_node_costs_redis_the_same_among_few_and_among_many() {
    let cluster = RedisCluster::start().unwrap();
    let prefix = turnpike_lab::unique_prefix();
    let idle = rates(&cluster).await;
    let mut there: Vec<Node> = Vec::new();
    let mut costs = Vec::new();
    for count in [FEW, MANY] {
        while there.len() < count {
            there.push(node(config(cluster.seeds(), &prefix)).await);
        }
        for node in &there {
            let seen = async || (node.plane.membership.nodes().borrow().len() == count).then_some(());
            until("all to be seen", seen).await;
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        let busy = rates(&cluster).await;
        let [commands, received, sent, user, sys] =
            std::array::from_fn(|index| (busy[index] - idle[index]) / count as f64);
        eprintln!(
            "{count} nodes: {commands:.1} commands, {received:.0} B to Redis, {sent:.0} B from it, {:.0} us of its CPU, a node and second",
            (user + sys) * 1e6
        );
        costs.push(Cost { commands, received, sent });
    }
    let (few, many) = (&costs[0], &costs[1]);
    for (what, few, many) in [
        ("commands", few.commands, many.commands),
        ("bytes to Redis", few.received, many.received),
        ("bytes from Redis", few.sent, many.sent),
    ] {
        assert!(
            many <= few * (1.0 + MORE_PERCENT_MAX / 100.0),
            "{what}: {few:.0} among few, {many:.0} among many"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_goes_to_nodes_that_have_members_and_to_no_others() {
    const MESSAGES: usize = 200;
    let nodes = nodes(4).await;
    let (with, without) = nodes.split_at(2);
    let room = room("chat:costs");
    for node in with {
        node.plane.broker.open(&room).wait().await.unwrap();
    }
    let before: Vec<u64> = nodes.iter().map(Node::bus_bytes).collect();
    let body = serde_json::to_string(&"x".repeat(200)).unwrap();
    for _ in 0..MESSAGES {
        let publication = Publication {
            room: room.clone(),
            from: user("alice"),
            id: None,
            age_ms: 0,
            body: body.as_str().into(),
            attachments: Vec::new(),
        };
        without[0].plane.broker.publish(publication).wait().await.unwrap();
    }
    let least = (MESSAGES * 200) as u64;
    for (node, before) in with.iter().zip(&before) {
        until("all of them", async || (node.bus_bytes() - before >= least).then_some(())).await;
        eprintln!("{} B a message of 200", (node.bus_bytes() - before) / MESSAGES as u64);
    }
    for (node, before) in without.iter().zip(&before[2..]) {
        assert!(node.bus_bytes() - before < least / 10, "{} B for nobody", node.bus_bytes() - before);
    }
}

/// What it costs Redis that one more node has members of a room, and what a message costs at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "half a minute on a cluster of its own; it measures"]
async fn what_a_message_costs_redis_by_how_many_nodes_hear_it() {
    const MESSAGES: usize = 4_000;
    let cluster = RedisCluster::start().unwrap();
    let prefix = turnpike_lab::unique_prefix();
    let mut nodes = Vec::new();
    for _ in 0..MANY {
        nodes.push(node(config(cluster.seeds(), &prefix)).await);
    }
    let cpu = |cluster: &RedisCluster| counted(cluster, "used_cpu_user") + counted(cluster, "used_cpu_sys");
    let body = serde_json::to_string(&"x".repeat(200)).unwrap();
    for hearing in [1, MANY] {
        let rooms: Vec<_> = (0..16).map(|number| room(&format!("chat:{hearing}.{number}"))).collect();
        for (node, room) in
            nodes.iter().take(hearing).flat_map(|node| rooms.iter().map(move |room| (node, room)))
        {
            node.plane.broker.open(room).wait().await.unwrap();
        }
        let idle = rates(&cluster).await;
        let idle = idle[3] + idle[4];
        let (before, begun) = (cpu(&cluster), std::time::Instant::now());
        for chunk in (0..MESSAGES).collect::<Vec<_>>().chunks(200) {
            let all = chunk.iter().map(|number| {
                let publication = Publication {
                    room: rooms[number % rooms.len()].clone(),
                    from: user("alice"),
                    id: None,
                    age_ms: 0,
                    body: body.as_str().into(),
                    attachments: Vec::new(),
                };
                nodes[0].plane.broker.publish(publication).wait()
            });
            join_all(all.collect::<Vec<_>>()).await.into_iter().for_each(|receipt| drop(receipt.unwrap()));
        }
        let used = cpu(&cluster) - before - idle * begun.elapsed().as_secs_f64();
        eprintln!("{hearing} nodes hear it: {:.1} us of Redis a message", used * 1e6 / MESSAGES as f64);
    }
}
