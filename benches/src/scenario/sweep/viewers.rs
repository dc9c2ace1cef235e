//! CPU and memory of a relay over its viewers: one stream of 2.5 Mb/s that more and more watch.

use super::{Bench, Curve, Sample, Scenario, Sweep, ends_at};
use crate::{
    media::command::Command,
    scenario::{RELAYS, STREAM},
};

pub(crate) const SWEEP: Sweep = Sweep {
    scenario: Scenario {
        name: "by-viewers",
        figures: &[],
        contenders: RELAYS,
        rounds: 1,
        turn_seconds: 27.0,
        measure,
    },
    curves: &[
        Curve {
            key: "core_share",
            title: "CPU of a relay, one stream of 2.5 Mb/s",
            size: "viewers",
            unit: "cores",
            is_logarithmic: false,
            goal: None,
        },
        Curve {
            key: "cpu_us_per_packet",
            title: "CPU of a forwarded packet",
            size: "viewers",
            unit: "CPU us",
            is_logarithmic: true,
            goal: Some(2.0),
        },
        Curve {
            key: "resident_megabytes",
            title: "resident memory of a relay",
            size: "viewers",
            unit: "MB",
            is_logarithmic: false,
            goal: None,
        },
    ],
};

/// Opened at once, so that the handshakes of the load do not wait for each other.
const AT_ONCE: u32 = 16;
const SIZES: [u32; 6] = [25, 50, 100, 200, 400, 600];
const QUICK: [u32; 2] = [2, 4];
/// Of what it should have delivered; a server that lost more has no room for so many.
const DELIVERED_SHARE_MIN: f64 = 0.99;

fn measure(bench: &Bench<'_>) -> anyhow::Result<Sample> {
    let (server, mut driver) = bench.relay()?;
    driver.call(&Command::Publish { streams: 1 })?;
    let mut sample = Sample::new();
    let mut viewers = 0;
    for (carried, size) in bench.pick(&SIZES[..], &QUICK[..]).iter().copied().enumerate() {
        let play = |seconds| Command::Play { seconds, rate: STREAM };
        let warmed = driver
            .call(&Command::Watch { count: size - viewers, at_once: AT_ONCE })
            .and_then(|_| driver.call(&play(1.2)));
        if let Err(error) = warmed {
            ends_at(bench, error, carried, SIZES.len())?;
            break;
        }
        viewers = size;
        let before = server.cpu_seconds()?;
        let report = match driver.call(&play(bench.seconds(2.0, 0.5))) {
            Ok(report) => report,
            Err(error) => {
                ends_at(bench, error, carried, SIZES.len())?;
                break;
            }
        };
        let cpu = server.cpu_seconds()? - before;
        let delivered = report.deliveries as f64 / report.expected as f64;
        if delivered < DELIVERED_SHARE_MIN {
            let error = anyhow::anyhow!("{size} viewers: {delivered:.3} of all packets were delivered");
            ends_at(bench, error, carried, SIZES.len())?;
            break;
        }
        sample.insert_at("core_share", size, cpu / report.seconds);
        sample.insert_at("cpu_us_per_packet", size, cpu / report.deliveries as f64 * 1e6);
        sample.insert_at("resident_megabytes", size, server.resident_bytes()? / 1024.0 / 1024.0);
        sample.insert_at("delivered_share", size, delivered);
    }
    Ok(sample)
}
