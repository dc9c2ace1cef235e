//! CPU a delivery over the size of rooms, always with as many deliveries a second: larger rooms have fewer messages then.

use super::{Bench, Contender, Curve, Sample, Scenario, Sweep, ends_at, paced};
use crate::{load::command::Rooms, scenario::open, server::Setting};

pub(crate) const SWEEP: Sweep = Sweep {
    scenario: Scenario {
        name: "by-room-size",
        figures: &[],
        contenders: Contender::SERVERS,
        rounds: 1,
        turn_seconds: 27.0,
        measure,
    },
    curves: &[Curve {
        key: "cpu_us_per_delivery",
        title: "CPU of a delivery, 2,000 users, 20,000 deliveries a second, 128 B, sending and its ack included",
        size: "members of a room",
        unit: "CPU us",
        is_logarithmic: true,
        goal: None,
    }],
};

const USERS: u32 = 2_000;
const PER_SECOND: u32 = 20_000;
const SIZES: [u32; 5] = [2, 5, 20, 100, 500];
const QUICK: [u32; 2] = [5, 20];

fn measure(bench: &Bench<'_>) -> anyhow::Result<Sample> {
    let server = bench.serve(Setting::default())?;
    let users = bench.connections(USERS, 60);
    let per_second = bench.pick(PER_SECOND, 600);
    let mut sample = Sample::new();
    for (carried, size) in bench.pick(&SIZES[..], &QUICK[..]).iter().copied().enumerate() {
        // Another process: what it counts begins anew, and its users are others.
        let mut driver = bench.driver(&server, carried as u8)?;
        driver.call(&open(users, Rooms::OfSize(size)))?;
        let interval_ms = u64::from(users * size * 1_000 / per_second);
        let cost = match paced(bench, &server, &mut driver, interval_ms) {
            Ok(cost) => cost,
            Err(error) => {
                ends_at(bench, error, carried, SIZES.len())?;
                break;
            }
        };
        let deliveries = cost.report.deliveries as f64;
        sample.insert_at("cpu_us_per_delivery", size, cost.cpu_seconds / deliveries * 1e6);
        sample.insert_at("deliveries_per_second", size, deliveries / cost.report.seconds);
    }
    Ok(sample)
}
