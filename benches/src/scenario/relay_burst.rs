//! Hundreds come within two seconds: how long each waits for a picture, and what the publisher is asked for.

use super::{Bench, Contender, Figure, STREAM, Sample, Scenario};
use crate::media::command::{Command, Look};

const VIEWERS: u32 = 500;
const SECONDS: f64 = 2.0;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "relay-burst",
    figures: &[
        Figure {
            key: "keyframe_requests_in_a_second",
            title: "relay: 500 viewers come within 2 s: requests for a keyframe that reach the publisher",
            unit: "in the busiest second",
            goal: Some(1.0),
        },
        Figure {
            key: "first_frame_millis_p95",
            title: "the same: asked to first frame, 95th percentile",
            unit: "ms",
            goal: Some(300.0),
        },
        Figure { key: "first_frame_millis_p50", title: "the same, median", unit: "ms", goal: None },
        Figure {
            key: "without_a_picture",
            title: "the same: viewers who have no picture 10 s later, and are not in these times",
            unit: "of 500",
            goal: None,
        },
    ],
    contenders: &[Contender::Turnpike, Contender::Webrtc, Contender::Janus],
    rounds: 2,
    turn_seconds: 20.0,
    measure,
};

fn measure(bench: &Bench<'_>) -> anyhow::Result<Sample> {
    let (server, mut driver) = bench.relay()?;
    driver.call(&Command::Publish { streams: 1 })?;
    driver.call(&Command::Look(Look::default()))?;
    // The stream has run for a while, and its first keyframe is long past.
    driver.call(&Command::Play { seconds: bench.pick(3.0, 1.5), rate: STREAM })?;
    let before = server.cpu_seconds()?;
    let count = bench.connections(VIEWERS, 5);
    let burst = Command::Burst { count, seconds: bench.pick(SECONDS, 0.2), rate: STREAM };
    // A peer whose core is full leaves some without a picture, or without an answer.
    let report = if bench.contender.is_ours() { driver.call(&burst)? } else { driver.attempt(&burst)? };
    anyhow::ensure!(
        report.waiting == 0 || !bench.contender.is_ours(),
        "{} viewers have no picture",
        report.waiting
    );
    let cpu = server.cpu_seconds()? - before;
    let mut sample = Sample::new();
    if let Some(first) = report.first_frame {
        sample.insert("first_frame_millis_p50", first.p50 / 1e3);
        sample.insert("first_frame_millis_p95", first.p95 / 1e3);
        sample.insert("first_frame_millis_max", first.max / 1e3);
    }
    if let Some(join) = report.join {
        sample.insert("join_millis_p95", join.p95 / 1e3);
    }
    sample.insert("without_a_picture", report.waiting as f64);
    sample.insert("keyframe_requests", report.keyframe_requests as f64);
    sample.insert("keyframe_requests_in_a_second", report.keyframe_requests_in_a_second as f64);
    sample.insert("server_core_share", cpu / report.seconds);
    Ok(sample)
}
