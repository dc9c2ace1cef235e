//! Nine thousand connections from one load process, twice against the same server, without a single failure. Each
//! must enter, join and get an echo.

use super::{Bench, Contender, Cost, Figure, Sample, Scenario, open};
use crate::{
    load::command::{Command, Rooms},
    server::Setting,
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "connections-9000",
    figures: &[Figure {
        key: "cpu_seconds_per_thousand",
        title: "9,000 connections from one load process, twice, none failed: connect, authenticate, join",
        unit: "CPU s a thousand",
        goal: None,
    }],
    contenders: Contender::SERVERS,
    rounds: 1,
    turn_seconds: 16.0,
    measure,
};

fn measure(bench: &Bench<'_>) -> anyhow::Result<Sample> {
    let server = bench.serve(Setting::default())?;
    let mut driver = bench.driver(&server, 0)?;
    let count = bench.connections(9_000, 300);
    let mut cpu_seconds = 0.0;
    let mut seconds = 0.0;
    for time in ["first", "second"] {
        let cost = Cost::of(&server, &mut driver, &open(count, Rooms::OfSize(20)))?;
        anyhow::ensure!(
            cost.report.operations == u64::from(count),
            "the {time} time {}",
            cost.report.operations
        );
        let echoes = driver.call(&Command::Echo { seconds: 0.0 })?.operations;
        anyhow::ensure!(echoes == u64::from(count), "the {time} time only {echoes} echoes");
        driver.call(&Command::Close)?;
        cpu_seconds += cost.cpu_seconds;
        seconds += cost.wall_seconds;
    }
    let thousands = f64::from(count) * 2.0 / 1e3;
    let mut sample = Sample::new();
    sample.insert("cpu_seconds_per_thousand", cpu_seconds / thousands);
    sample.insert("connections_per_second", thousands * 1e3 / seconds);
    Ok(sample)
}
