//! What it costs a node to be one of so many, when nothing happens but what users do.

use std::collections::BTreeMap;

use super::network::Count;
use super::{Fleet, played};

/// Each size is looked at for so long, after it has come to rest.
const SECONDS: u64 = 12;

/// A node of a hundred may cost so much more than one of ten, in percent: chance has a part in it.
const MORE_PERCENT_MAX: f64 = 10.0;

/// And than one of three, who have not so much to tell each other of their loads as ten may.
const MORE_THAN_FEW_PERCENT_MAX: f64 = 50.0;

struct Cost {
    commands: f64,
    bytes_sent: f64,
    bytes_received: f64,
    brought: f64,
    kinds: BTreeMap<String, f64>,
}

/// A node and second, on average.
async fn cost(nodes: usize) -> Cost {
    let mut fleet = Fleet::of(nodes, 11).await;
    fleet.agreed().await;
    fleet.publish_all().await;
    for _ in 0..3 {
        fleet.second().await;
    }
    let counts = |fleet: &Fleet| -> Vec<Count> {
        fleet.members.keys().map(|number| fleet.network.count(*number)).collect()
    };
    let before = counts(&fleet);
    for _ in 0..SECONDS {
        fleet.second().await;
    }
    let after = counts(&fleet);
    let share = (nodes as u64 * SECONDS) as f64;
    let sum = |of: &dyn Fn(&Count) -> u64| {
        (after.iter().map(of).sum::<u64>() - before.iter().map(of).sum::<u64>()) as f64 / share
    };
    let kinds = after.iter().flat_map(|count| count.commands.keys().cloned());
    let of_kind = |kind: &str| sum(&|count| count.commands.get(kind).copied().unwrap_or_default());
    Cost {
        commands: sum(&Count::commands),
        bytes_sent: sum(&|count| count.bytes_sent),
        bytes_received: sum(&|count| count.bytes_received),
        brought: sum(&|count| count.brought),
        kinds: kinds
            .map(|kind| {
                let count = of_kind(&kind);
                (kind, count)
            })
            .collect(),
    }
}

/// Minutes of virtual time of a hundred nodes.
#[test]
fn a_node_costs_the_same_among_three_and_among_a_hundred() {
    let sizes = [3, 10, 30, 100];
    let costs = sizes.map(|nodes| played(cost(nodes)));
    println!("nodes  commands  B sent  B received  from the bus   a node and second");
    for (nodes, cost) in sizes.iter().zip(&costs) {
        let Cost { commands, bytes_sent, bytes_received, brought, .. } = cost;
        println!("{nodes:>5}  {commands:>8.1}  {bytes_sent:>6.0}  {bytes_received:>10.0}  {brought:>12.2}");
    }
    println!("{:#.1?}", costs[3].kinds);
    for (few, percent) in [(0, MORE_THAN_FEW_PERCENT_MAX), (1, MORE_PERCENT_MAX)] {
        let (nodes, few, many) = (sizes[few], &costs[few], &costs[3]);
        for (what, few, many) in [
            ("commands", few.commands, many.commands),
            ("bytes sent", few.bytes_sent, many.bytes_sent),
            ("bytes received", few.bytes_received, many.bytes_received),
        ] {
            let more = (many / few - 1.0) * 100.0;
            assert!(more <= percent, "{what}: {few:.1} among {nodes}, {many:.1} among a hundred");
        }
    }
}
