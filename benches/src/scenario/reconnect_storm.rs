//! A router ends without a word, and all its clients come back at the same moment through the next one, to two gateways that
//! are there all the while. Once at the pace that the nodes can take, once all at once.

use std::time::Duration;

use anyhow::Context as _;

use super::{Bench, Contender, Figure, Sample, Scenario, open, proxy::until_served};
use crate::{
    load::{
        command::{Command, Rooms, Sent},
        verify,
    },
    look::{self, Watch},
    server::Server,
    system::System,
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "reconnect-storm",
    figures: &[
        Figure {
            key: "all_back_seconds",
            title: "router killed with 9,000 clients: until all are back through the next one on two gateways, at the pace these can take (2,000/s)",
            unit: "s",
            goal: None,
        },
        Figure {
            key: "longest_silence_ms",
            title: "the same: longest time in which a gateway did not say that it lives",
            unit: "ms",
            goal: Some(300.0),
        },
        Figure {
            key: "fullest_share",
            title: "the same: connections of the fuller gateway",
            unit: "of its limit",
            goal: Some(1.0),
        },
        Figure {
            key: "sent_away_by_nodes",
            title: "the same: clients that a gateway refused or closed because it had too much to do",
            unit: "of 9,000",
            goal: None,
        },
        Figure {
            key: "all_back_seconds_unpaced",
            title: "the same, all let in at once: until all are back",
            unit: "s",
            goal: None,
        },
        Figure {
            key: "longest_silence_ms_unpaced",
            title: "the same: longest time in which a gateway did not say that it lives",
            unit: "ms",
            goal: None,
        },
        Figure {
            key: "sent_away_by_nodes_unpaced",
            title: "the same: clients that a gateway refused or closed because it had too much to do",
            unit: "of 9,000",
            goal: None,
        },
    ],
    contenders: &[Contender::Turnpike],
    rounds: 1,
    turn_seconds: 40.0,
    measure,
};

const ROOM_MEMBERS: u32 = 40;
const PACE: &str = "2000";
const LOOK: Duration = Duration::from_millis(20);

fn measure(bench: &Bench<'_>) -> anyhow::Result<Sample> {
    let mut sample = Sample::new();
    let paced = storm(bench, &[("TURNPIKE_ROUTER_HANDSHAKES_PER_SECOND", PACE)])?;
    sample.insert("all_back_seconds", paced.seconds);
    sample.insert("longest_silence_ms", paced.longest_silence_ms);
    sample.insert("fullest_share", paced.fullest_share);
    sample.insert("told_to_come_later", paced.refusals);
    sample.insert("refused_by_nodes", paced.refused_by_nodes);
    sample.insert("sent_away_by_nodes", paced.refused_by_nodes + paced.closed_by_nodes);
    anyhow::ensure!(paced.refused_by_nodes == 0.0, "a gateway was asked for more than it takes");
    let all = [("TURNPIKE_ROUTER_HANDSHAKES_PER_SECOND", "1000000")];
    let unpaced = storm(bench, &all)?;
    sample.insert("all_back_seconds_unpaced", unpaced.seconds);
    sample.insert("longest_silence_ms_unpaced", unpaced.longest_silence_ms);
    sample.insert("fullest_share_unpaced", unpaced.fullest_share);
    sample.insert("sent_away_by_nodes_unpaced", unpaced.refused_by_nodes + unpaced.closed_by_nodes);
    Ok(sample)
}

struct Storm {
    seconds: f64,
    longest_silence_ms: f64,
    fullest_share: f64,
    refusals: f64,
    refused_by_nodes: f64,
    closed_by_nodes: f64,
}

fn storm(bench: &Bench<'_>, of_router: &[(&str, &str)]) -> anyhow::Result<Storm> {
    let count = bench.connections(9_000, 600);
    // A twentieth more than each one's half.
    let limit = count / 2 + count / 40;
    let limit_text = limit.to_string();
    let of_nodes = [("TURNPIKE_TRUSTED_PROXIES", "127.0.0.1"), ("MAX_CONNECTIONS", &*limit_text)];
    let system = System::start_with(bench.contender, 2, 1, bench.places, bench.server_core, &of_nodes)?;
    let seeds = system.redis.seeds_text();
    let router = |own: &[(&str, &str)]| Server::router(bench.places, bench.server_core, &seeds, own);
    let mut first = router(&[])?;
    until_served(first.address)?;

    let mut members = bench.driver(&first, 0)?;
    members.call(&Command::Remember)?;
    members.call(&open(count, Rooms::OfSize(ROOM_MEMBERS)))?;
    members.call(&Command::Hold)?;
    first.kill();
    let port = first.address.port().to_string();
    let own: Vec<_> = of_router.iter().copied().chain([("TURNPIKE_ROUTER_PORT", &*port)]).collect();
    let second = router(&own)?;
    until_served(second.address)?;
    // The gateways have let go of who is gone.
    let admins: Vec<_> = system.servers.iter().filter_map(|server| server.admin).collect();
    let connections = || -> anyhow::Result<Vec<f64>> {
        admins.iter().map(|admin| look::metric(*admin, "turnpike_gateway_connections")).collect()
    };
    while connections()?.iter().sum::<f64>() > 0.0 {
        std::thread::sleep(LOOK);
    }

    let nodes: Vec<_> = system.servers.iter().map(|server| server.address).collect();
    let watch = Watch::over(&nodes, LOOK);
    let back = members.call(&Command::Recover { sent: Sent::new() })?;
    let longest = watch.longest()?;
    let fullest = connections()?.into_iter().max_by(f64::total_cmp).context("two gateways")?;
    let refused =
        admins.iter().map(|admin| look::metric(*admin, "turnpike_gateway_connections_refused_total"));
    let refused_by_nodes = refused.sum::<anyhow::Result<f64>>()?;
    verify(&mut [&mut members], &[])?;
    anyhow::ensure!(back.operations == u64::from(count), "{} of {count} are back", back.operations);
    Ok(Storm {
        seconds: back.seconds,
        longest_silence_ms: longest.as_secs_f64() * 1e3,
        fullest_share: fullest / f64::from(limit),
        refusals: back.refusals as f64,
        refused_by_nodes,
        closed_by_nodes: back.closes as f64,
    })
}
