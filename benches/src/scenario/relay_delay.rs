//! Many small streams at about half of what one core can forward: how much later than it was sent a packet comes.

use super::{Bench, Contender, Figure, STREAM, Sample, Scenario};
use crate::media::command::Command;

/// Together a quarter of a million packets a second, at 2 us each half a core.
const STREAMS: u32 = 48;
const VIEWERS: u32 = 960;
/// Opened at once, so that the handshakes of the load do not wait for each other.
const AT_ONCE: u32 = 16;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "relay-delay",
    figures: &[
        Figure {
            key: "delay_millis_p50",
            title: "relay at half load (48 streams of 2.5 Mb/s, 20 viewers each): sent to received, median",
            unit: "ms",
            goal: Some(0.3),
        },
        Figure { key: "delay_millis_p99", title: "the same, 99th percentile", unit: "ms", goal: Some(2.0) },
        Figure {
            key: "server_core_share",
            title: "the same: how busy the relay's core was",
            unit: "of a core",
            goal: None,
        },
    ],
    contenders: &[Contender::Turnpike, Contender::Floor],
    rounds: 2,
    turn_seconds: 14.0,
    measure,
};

fn measure(bench: &Bench<'_>) -> anyhow::Result<Sample> {
    let (server, mut driver) = bench.relay()?;
    let viewers = bench.connections(VIEWERS, 8);
    driver.call(&Command::Publish { streams: bench.pick(STREAMS, 2) })?;
    driver.call(&Command::Watch { count: viewers, at_once: AT_ONCE })?;
    let play = |seconds| Command::Play { seconds, rate: STREAM };
    let warm = driver.call(&play(bench.seconds(2.0, 0.5)))?;
    let before = server.cpu_seconds()?;
    let report = driver.call(&play(bench.seconds(5.0, 0.5)))?;
    let cpu = server.cpu_seconds()? - before;
    let mut sample = Sample::new();
    if let Some(latency) = report.latency {
        sample.insert("delay_millis_p50", latency.p50 / 1e3);
        sample.insert("delay_millis_p99", latency.p99 / 1e3);
        sample.insert("delay_millis_max", latency.max / 1e3);
    }
    sample.insert("packets_per_second", report.deliveries as f64 / report.seconds);
    sample.insert("packets_missing", report.expected.saturating_sub(report.deliveries) as f64);
    sample.insert("server_core_share", cpu / report.seconds);
    sample.insert("load_core_share", (report.cpu_seconds - warm.cpu_seconds) / report.seconds);
    Ok(sample)
}
