//! A whole short session: connect, authenticate, join, one message, leave, close.

use super::{Bench, Contender, Cost, Figure, Sample, Scenario};
use crate::{load::command::Command, server::Setting};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "session",
    figures: &[Figure {
        key: "cpu_seconds_per_thousand",
        title: "connect, authenticate, join, one message, leave, close",
        unit: "CPU s a thousand",
        goal: Some(0.06),
    }],
    contenders: Contender::SERVERS,
    rounds: 5,
    turn_seconds: 4.0,
    measure,
};

fn measure(bench: &Bench<'_>) -> anyhow::Result<Sample> {
    let server = bench.serve(Setting::default())?;
    let mut driver = bench.driver(&server, 0)?;
    let sessions = |count| Command::Sessions { count, concurrency: bench.pick(50, 10) };
    driver.call(&sessions(bench.pick(2_000, 20)))?;
    let cost = Cost::of(&server, &mut driver, &sessions(bench.connections(10_000, 200)))?;
    let mut sample = Sample::new();
    sample.insert("cpu_seconds_per_thousand", cost.cpu_seconds / cost.report.operations as f64 * 1e3);
    sample.insert("sessions", cost.report.operations as f64);
    sample.insert("sessions_per_second", cost.report.operations as f64 / cost.wall_seconds);
    cost.explain(&mut sample);
    Ok(sample)
}
