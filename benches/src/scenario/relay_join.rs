//! Viewers come while the publisher is silent: description, ICE and DTLS, and nothing else.

use super::{Bench, Figure, RELAYS, STREAM, Sample, Scenario};
use crate::media::command::Command;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "relay-join",
    figures: &[Figure {
        key: "cpu_millis_per_join",
        title: "relay: a viewer joins: WHEP, ICE, DTLS",
        unit: "CPU ms",
        goal: Some(0.8),
    }],
    contenders: RELAYS,
    rounds: 2,
    turn_seconds: 9.0,
    measure,
};

fn measure(bench: &Bench<'_>) -> anyhow::Result<Sample> {
    let (server, mut driver) = bench.relay()?;
    driver.call(&Command::Publish { streams: 1 })?;
    driver.call(&Command::Play { seconds: 0.2, rate: STREAM })?;
    driver.call(&Command::Watch { count: bench.pick(20, 2), at_once: 4 })?;
    // Three seconds of silence: what only happens with time is measured and taken off.
    let before = server.cpu_seconds()?;
    let idle = driver.call(&Command::Idle { seconds: bench.pick(3.0, 0.2) })?;
    let idle_share = (server.cpu_seconds()? - before) / idle.seconds;

    let count = bench.connections(300, 4);
    let before = server.cpu_seconds()?;
    let report = driver.call(&Command::Watch { count, at_once: 8 })?;
    let cpu = server.cpu_seconds()? - before - idle_share * report.seconds;
    let mut sample = Sample::new();
    sample.insert("cpu_millis_per_join", cpu / f64::from(count) * 1e3);
    sample.insert("joins_per_second", f64::from(count) / report.seconds);
    sample.insert("idle_core_share", idle_share);
    if let Some(join) = report.join {
        sample.insert("join_p50_us", join.p50);
        sample.insert("join_p99_us", join.p99);
    }
    Ok(sample)
}
