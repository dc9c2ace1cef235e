//! A tenth of what is sent to a viewer is lost on the way: how long its picture stands still.

use super::{Bench, Contender, Figure, STREAM, Sample, Scenario};
use crate::media::command::{Command, Look};

const VIEWERS: u32 = 50;
/// With the 10 ms that it takes some servers begin to keep packets for those who miss them; on a path without delay they
/// never do.
const BAD: Look = Look { lost_share: 0.1, delay_ms: 10, seed: 4_711 };
const AT_ONCE: u32 = 8;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "relay-loss",
    figures: &[
        Figure {
            key: "frozen_percent",
            title: "relay: a tenth of all packets to 50 viewers is lost at random: time in which the picture stood still",
            unit: "%",
            goal: Some(1.0),
        },
        Figure {
            key: "frames_lost_percent",
            title: "the same: frames that were never shown",
            unit: "%",
            goal: None,
        },
        Figure {
            key: "repairs_per_loss",
            title: "the same: requests for a packet",
            unit: "a lost packet",
            goal: None,
        },
    ],
    contenders: &[Contender::Turnpike, Contender::Webrtc, Contender::Janus],
    rounds: 1,
    turn_seconds: 24.0,
    measure,
};

fn measure(bench: &Bench<'_>) -> anyhow::Result<Sample> {
    let (server, mut driver) = bench.relay()?;
    let viewers = bench.connections(VIEWERS, 4);
    driver.call(&Command::Publish { streams: 1 })?;
    driver.call(&Command::Look(BAD))?;
    driver.call(&Command::Watch { count: viewers, at_once: AT_ONCE })?;
    let play = |seconds| Command::Play { seconds, rate: STREAM };
    // Until reports have gone to and fro, which tell the servers how long the path is.
    driver.call(&play(bench.pick(4.0, 2.5)))?;
    let seconds = bench.seconds(15.0, 1.0);
    let before = server.cpu_seconds()?;
    let report = driver.call(&play(seconds))?;
    let cpu = server.cpu_seconds()? - before;
    let sight = report.sight;
    anyhow::ensure!(sight.lost > 0 && sight.frames > 0, "nothing was lost, or nothing shown: {sight:?}");
    let mut sample = Sample::new();
    let shown = sight.frames as f64 / sight.frames_expected as f64;
    sample.insert("frozen_percent", sight.frozen_seconds / (seconds * f64::from(viewers)) * 100.0);
    sample.insert("frames_lost_percent", (1.0 - shown).max(0.0) * 100.0);
    sample.insert("repairs_per_loss", sight.requests as f64 / sight.lost as f64);
    sample.insert("freezes", sight.freezes as f64);
    sample.insert("pictures_lost", sight.restarts as f64);
    sample.insert("restored_per_loss", sight.restored as f64 / sight.lost as f64);
    sample.insert("keyframe_requests", report.keyframe_requests as f64);
    sample.insert("server_core_share", cpu / report.seconds);
    Ok(sample)
}
