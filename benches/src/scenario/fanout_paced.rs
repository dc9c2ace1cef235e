//! Many small rooms at an even pace: each delivery is a write of its own.

use super::{Bench, Contender, Cost, Figure, Sample, Scenario, account_for_order, open};
use crate::{
    load::{
        command::{Command, Rooms},
        verify,
    },
    packets::Body,
    server::Setting,
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "fanout-paced",
    figures: &[Figure {
        key: "cpu_seconds_per_million",
        title: "room fan-out, paced (2,000 users in rooms of 20, 1 message/s each, 128 B)",
        unit: "CPU s a million deliveries",
        goal: Some(4.8),
    }],
    contenders: Contender::SERVERS,
    rounds: 5,
    turn_seconds: 14.0,
    measure,
};

fn measure(bench: &Bench<'_>) -> anyhow::Result<Sample> {
    let server = bench.serve(Setting::default())?;
    let mut driver = bench.driver(&server, 0)?;
    driver.call(&open(bench.connections(2_000, 60), Rooms::OfSize(20)))?;
    let paced =
        |seconds| Command::Paced { seconds, interval_ms: bench.pick(1_000, 250), body: Body::Text(128) };
    driver.call(&paced(bench.pick(3.0, 0.2)))?;
    let cost = Cost::of(&server, &mut driver, &paced(bench.seconds(10.0, 1.0)))?;
    let mut sample = Sample::new();
    sample.insert("cpu_seconds_per_million", cost.cpu_seconds / cost.report.deliveries as f64 * 1e6);
    sample.insert("deliveries", cost.report.deliveries as f64);
    cost.explain(&mut sample);
    let disordered = verify(&mut [&mut driver], &[cost.report])?;
    account_for_order(bench, disordered, &mut sample)?;
    Ok(sample)
}
