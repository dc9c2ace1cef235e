//! CPU of a connection that does nothing but answer heartbeats.
//!
//! Connections are opened evenly over one heartbeat, so that the heartbeats come evenly too, and the measurement lasts
//! exactly one heartbeat: every connection is pinged once in it, wherever it begins. With another heartbeat than 25 s
//! the figure is scaled to 25 s as if all cost came from heartbeats; then it says so in its parameters.

use super::{Bench, Contender, Cost, Figure, Sample, Scenario};
use crate::{
    load::command::{Command, Rooms},
    server::Setting,
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "idle-cpu",
    figures: &[Figure {
        key: "cpu_us_per_second",
        title: "CPU an idle connection, heartbeat every 25 s (9,000)",
        unit: "CPU us a second",
        goal: Some(0.5),
    }],
    contenders: Contender::SERVERS,
    rounds: 3,
    turn_seconds: 54.0,
    measure,
};

const HEARTBEAT_SECONDS: f64 = 25.0;

fn measure(bench: &Bench<'_>) -> anyhow::Result<Sample> {
    let heartbeat = bench.size.heartbeat_seconds.unwrap_or(bench.pick(HEARTBEAT_SECONDS, 1.0));
    let setting = Setting { heartbeat: std::time::Duration::from_secs_f64(heartbeat), ..Setting::default() };
    let server = bench.serve(setting)?;
    let mut driver = bench.driver(&server, 0)?;
    let count = bench.connections(9_000, 200);
    driver.call(&Command::Open {
        count,
        rooms: Rooms::OfSize(20),
        concurrency: 128,
        per_second: Some(f64::from(count) / heartbeat),
        deflate: false,
    })?;
    driver.call(&Command::Idle { seconds: bench.pick(2.0, 0.1) })?;
    let cost = Cost::of(&server, &mut driver, &Command::Idle { seconds: heartbeat })?;
    // A server that pings less often does less; it is the same work for all or no comparison. The quick heartbeat is
    // so short that coarse timers and a busy machine show.
    let heartbeats = cost.report.operations as f64 / f64::from(count);
    let (least, most) = bench.pick((0.97, 1.03), (0.5, 1.5));
    anyhow::ensure!(
        (least..most).contains(&heartbeats),
        "{heartbeats:.2} heartbeats a connection instead of one"
    );
    let per_second = cost.cpu_seconds / f64::from(count) / cost.report.seconds * 1e6;
    let mut sample = Sample::new();
    sample.insert("cpu_us_per_second", per_second * heartbeat / HEARTBEAT_SECONDS);
    sample.insert("cpu_us_per_heartbeat", per_second * heartbeat);
    sample.insert("heartbeat_seconds", heartbeat);
    sample.insert("heartbeats_per_connection", heartbeats);
    cost.explain(&mut sample);
    Ok(sample)
}
