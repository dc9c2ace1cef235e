//! One publisher of 2.5 Mb/s, and viewers who all get everything: what a forwarded packet costs, and what a viewer holds.

use super::{Bench, Figure, RELAYS, STREAM, Sample, Scenario};
use crate::media::command::Command;

/// Opened at once, so that the handshakes of the load do not wait for each other.
const AT_ONCE: u32 = 16;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "relay-forward",
    figures: &[
        Figure {
            key: "cpu_micros_per_packet_200",
            title: "relay: a forwarded packet of 1,200 bytes, 200 viewers of 2.5 Mb/s",
            unit: "CPU us",
            goal: Some(2.0),
        },
        Figure {
            key: "cpu_micros_per_packet_400",
            title: "the same with 400 viewers",
            unit: "CPU us",
            goal: Some(2.0),
        },
        Figure {
            key: "resident_kilobytes_per_viewer",
            title: "relay: resident memory a viewer, connected and receiving",
            unit: "KB",
            goal: Some(64.0),
        },
    ],
    contenders: RELAYS,
    rounds: 3,
    turn_seconds: 22.0,
    measure,
};

fn measure(bench: &Bench<'_>) -> anyhow::Result<Sample> {
    let (server, mut driver) = bench.relay()?;
    let mut sample = Sample::new();
    driver.call(&Command::Publish { streams: 1 })?;

    let mut viewers = 0;
    let mut first = None;
    for (count, keys) in [
        (bench.pick(50, 2), None),
        (
            bench.pick(200, 4),
            Some([
                "cpu_micros_per_packet_200",
                "latency_200_p50_us",
                "latency_200_p99_us",
                "delivered_share_200",
                "server_core_share_200",
            ]),
        ),
        (
            bench.pick(400, 6),
            Some([
                "cpu_micros_per_packet_400",
                "latency_400_p50_us",
                "latency_400_p99_us",
                "delivered_share_400",
                "server_core_share_400",
            ]),
        ),
    ] {
        driver.call(&Command::Watch { count: count - viewers, at_once: AT_ONCE })?;
        viewers = count;
        let play = |seconds| Command::Play { seconds, rate: STREAM };
        // What a relay keeps of the stream itself is there before the first viewers are weighed.
        driver.call(&play(if keys.is_some() { bench.seconds(1.5, 1.2) } else { bench.seconds(4.0, 1.2) }))?;
        let Some([key, p50, p99, delivered, core_share]) = keys else {
            first = Some((count, server.resident_bytes()?));
            continue;
        };
        let before = server.cpu_seconds()?;
        let report = driver.call(&play(bench.seconds(3.0, 0.5)))?;
        let cpu = server.cpu_seconds()? - before;
        let is_complete = report.deliveries == report.expected && report.missing == 0;
        // A peer whose core is full loses some. What it did deliver has its cost all the same.
        anyhow::ensure!(
            is_complete || (!bench.contender.is_ours() && report.deliveries > 0),
            "{} of {} packets were delivered, {} are missing",
            report.deliveries,
            report.expected,
            report.missing
        );
        sample.insert(delivered, report.deliveries as f64 / report.expected as f64);
        sample.insert(key, cpu / report.deliveries as f64 * 1e6);
        sample.insert("repeated", report.repeated as f64);
        if let Some(latency) = report.latency {
            sample.insert(p50, latency.p50);
            sample.insert(p99, latency.p99);
        }
        // Where 400 are too many for a peer, what it holds for them is more than a viewer needs.
        if let Some((before, bytes)) = first.take() {
            let grown = server.resident_bytes()? - bytes;
            sample.insert("resident_kilobytes_per_viewer", grown / f64::from(count - before) / 1024.0);
        }
        sample.insert(core_share, cpu / report.seconds);
    }
    Ok(sample)
}
