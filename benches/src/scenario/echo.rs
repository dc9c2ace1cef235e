//! Ping with an ack, one on its way on each connection: a read, an answer, a write.

use super::{Bench, Contender, Cost, Figure, Sample, Scenario, open};
use crate::{
    load::command::{Command, Rooms},
    server::Setting,
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "echo",
    figures: &[Figure {
        key: "cpu_seconds_per_million",
        title: "echo with ack, saturated (100 connections, one on its way on each)",
        unit: "CPU s a million",
        goal: Some(4.6),
    }],
    contenders: Contender::SERVERS,
    rounds: 5,
    turn_seconds: 7.5,
    measure,
};

fn measure(bench: &Bench<'_>) -> anyhow::Result<Sample> {
    let server = bench.serve(Setting::default())?;
    let mut driver = bench.driver(&server, 0)?;
    driver.call(&open(bench.connections(100, 20), Rooms::OfSize(1)))?;
    driver.call(&Command::Echo { seconds: bench.pick(2.0, 0.1) })?;
    let cost = Cost::of(&server, &mut driver, &Command::Echo { seconds: bench.seconds(5.0, 0.5) })?;
    let mut sample = Sample::new();
    sample.insert("cpu_seconds_per_million", cost.cpu_seconds / cost.report.operations as f64 * 1e6);
    sample.insert("echoes", cost.report.operations as f64);
    cost.explain(&mut sample);
    Ok(sample)
}
