//! One large room with as many messages as it takes: several always wait, so frames can share a write.

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
    name: "fanout-saturated",
    figures: &[Figure {
        key: "cpu_seconds_per_million",
        title: "room fan-out, saturated (1,000 members, 20 messages on their way)",
        unit: "CPU s a million deliveries",
        goal: Some(0.40),
    }],
    contenders: Contender::SERVERS,
    rounds: 5,
    turn_seconds: 9.0,
    measure,
};

fn measure(bench: &Bench<'_>) -> anyhow::Result<Sample> {
    let server = bench.serve(Setting::default())?;
    let mut driver = bench.driver(&server, 0)?;
    driver.call(&open(bench.connections(1_000, 50), Rooms::One(0)))?;
    let window = bench.size.window.unwrap_or(20);
    let saturated = |seconds| Command::Saturated { seconds, senders: window, window, body: Body::Text(128) };
    driver.call(&saturated(bench.pick(2.0, 0.1)))?;
    let cost = Cost::of(&server, &mut driver, &saturated(bench.seconds(5.0, 0.5)))?;
    let mut sample = Sample::new();
    sample.insert("cpu_seconds_per_million", cost.cpu_seconds / cost.report.deliveries as f64 * 1e6);
    sample.insert("deliveries", cost.report.deliveries as f64);
    cost.explain(&mut sample);
    let disordered = verify(&mut [&mut driver], &[cost.report])?;
    account_for_order(bench, disordered, &mut sample)?;
    Ok(sample)
}
