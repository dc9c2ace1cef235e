//! How long one broadcast to a very large room holds up another connection of the same shard, which pings all the time.
//!
//! While a broadcast goes out, the members' load processes do not run at all (what they get waits in the kernel), so
//! that the pinging connection has its core to itself and a long round trip can only be the server's.

use anyhow::Context as _;

use super::{Bench, Contender, Figure, Sample, Scenario, open};
use crate::{
    load::{
        CONNECTIONS_PER_PROCESS_MAX, Driver,
        command::{Command, Rooms},
        verify,
    },
    packets::Body,
    server::Setting,
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "broadcast-stall",
    figures: &[Figure {
        key: "longest_stall_ms",
        title: "one broadcast to 10,000 members: longest stall for another connection of the shard",
        unit: "ms",
        goal: Some(3.0),
    }],
    contenders: Contender::SERVERS,
    rounds: 5,
    turn_seconds: 14.0,
    measure,
};

fn measure(bench: &Bench<'_>) -> anyhow::Result<Sample> {
    // The prober says more than any client may.
    let server = bench.serve_with(Setting::default(), &[("TURNPIKE_RATE_EVENTS", "1000000/1000000")])?;
    let count = bench.connections(10_000, 100);
    let processes = count.div_ceil(CONNECTIONS_PER_PROCESS_MAX);
    let mut members = Vec::new();
    for number in 0..processes {
        let mut driver = bench.driver(&server, 1 + number as u8)?;
        driver.call(&open(count / processes, Rooms::One(0)))?;
        members.push(driver);
    }
    let mut prober = bench.driver(&server, 0)?;
    prober.call(&open(2, Rooms::Prober))?;

    let probe = |broadcast_after_ms| Command::Probe {
        seconds: bench.pick(0.4, 0.2),
        broadcast_after_ms,
        body: Body::Text(128),
    };
    let mut stalls = Vec::new();
    let mut round_trip = 0.0;
    let mut last = None;
    for broadcast in 0..bench.pick(10, 2) {
        for driver in &mut members {
            driver.call(&Command::Hold)?;
        }
        let prober_waited = prober.call(&Command::Idle { seconds: 0.0 })?.waited_seconds;
        let server_waited = server.waited_seconds()?;
        let report = prober.call(&probe(100))?;
        let waited = server.waited_seconds()? - server_waited + report.waited_seconds - prober_waited;
        if let Some(latency) = report.latency {
            // The first broadcast also pays for caches and page faults; it counts too, a user would meet it.
            stalls.push(Stall { ms: latency.max / 1e3, waited_ms: waited * 1e3 });
            round_trip = latency.p50;
        }
        anyhow::ensure!(report.operations > 0, "broadcast {broadcast}: no round trip at all");
        last = Some(report);
        // Awake again, they take what is waiting.
        for driver in &mut members {
            driver.call(&Command::Idle { seconds: bench.pick(0.3, 0.1) })?;
        }
    }
    let disordered = {
        let mut drivers: Vec<&mut Driver> = members.iter_mut().chain([&mut prober]).collect();
        verify(&mut drivers, last.as_slice())?
    };
    let mut sample = Sample::new();
    stalls.sort_by(|one, other| one.ms.total_cmp(&other.ms));
    let longest = stalls.last().context("no broadcast")?;
    sample.insert("longest_stall_ms", longest.ms);
    sample.insert("longest_stall_waited_ms", longest.waited_ms);
    sample.insert("median_stall_ms", stalls[stalls.len() / 2].ms);
    sample.insert("round_trip_p50_us", round_trip);
    super::account_for_order(bench, disordered, &mut sample)?;
    Ok(sample)
}

struct Stall {
    ms: f64,
    /// Of the time around it, what server and prober spent waiting for their cores: with other processes on the
    /// machine this can be all of the stall, and then the figure says nothing.
    waited_ms: f64,
}
