//! 2 KB of JSON to a room whose members all negotiated permessage-deflate, one broadcast at a time. Where the server
//! keeps no context, the driver inflates everything for one member in fifty and counts for the others; where it does
//! (Node), it has to inflate for all. socketioxide has no permessage-deflate.

use super::{Bench, Contender, Cost, Figure, Sample, Scenario, account_for_order};
use crate::{
    load::{
        command::{Command, Rooms},
        verify,
    },
    packets::Body,
    server::Setting,
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "deflate-broadcast",
    figures: &[Figure {
        key: "cpu_us_per_delivery",
        title: "2 KB JSON broadcast with permessage-deflate (1,000 members)",
        unit: "CPU us a delivery",
        goal: Some(7.0),
    }],
    contenders: &[Contender::Turnpike, Contender::Node, Contender::Floor],
    rounds: 5,
    turn_seconds: 9.0,
    measure,
};

fn measure(bench: &Bench<'_>) -> anyhow::Result<Sample> {
    let server = bench.serve(Setting { deflate: true, ..Setting::default() })?;
    let mut driver = bench.driver(&server, 0)?;
    driver.call(&Command::Open {
        count: bench.connections(1_000, 60),
        rooms: Rooms::One(0),
        concurrency: 128,
        per_second: None,
        deflate: true,
    })?;
    let broadcasts =
        |seconds| Command::Saturated { seconds, senders: 10, window: 1, body: Body::Json(2_048) };
    driver.call(&broadcasts(bench.pick(2.0, 0.1)))?;
    let cost = Cost::of(&server, &mut driver, &broadcasts(bench.seconds(5.0, 0.5)))?;
    let mut sample = Sample::new();
    sample.insert("cpu_us_per_delivery", cost.cpu_seconds / cost.report.deliveries as f64 * 1e6);
    sample.insert("deliveries", cost.report.deliveries as f64);
    cost.explain(&mut sample);
    let disordered = verify(&mut [&mut driver], &[cost.report])?;
    account_for_order(bench, disordered, &mut sample)?;
    Ok(sample)
}
