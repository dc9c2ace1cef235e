//! CPU a delivery and the latency of the slowest hundredth over the rate of messages, to where a core is full. An open loop:
//! what a server has no time for waits, and its wait counts.

use super::{Bench, Contender, Curve, Sample, Scenario, Sweep, ends_at, paced};
use crate::{load::command::Rooms, scenario::open, server::Setting};

pub(crate) const SWEEP: Sweep = Sweep {
    scenario: Scenario {
        name: "by-rate",
        figures: &[],
        contenders: Contender::SERVERS,
        rounds: 1,
        turn_seconds: 24.0,
        measure,
    },
    curves: &[
        Curve {
            key: "cpu_us_per_delivery",
            title: "CPU of a delivery over the rate, 2,000 users in rooms of 20, 128 B",
            size: "deliveries a second",
            unit: "CPU us",
            is_logarithmic: true,
            goal: None,
        },
        Curve {
            key: "latency_p99_ms",
            title: "due to delivered, 99th percentile, over the rate, one core",
            size: "deliveries a second",
            unit: "ms",
            is_logarithmic: true,
            goal: None,
        },
    ],
};

const USERS: u32 = 2_000;
const ROOM_MEMBERS: u32 = 20;
const RATES: [u32; 7] = [5_000, 10_000, 20_000, 40_000, 80_000, 120_000, 160_000];
const QUICK: [u32; 2] = [500, 1_000];
/// What ours has to carry on a core.
const CARRIED_MIN: usize = 5;

fn measure(bench: &Bench<'_>) -> anyhow::Result<Sample> {
    let server = bench.serve(Setting::default())?;
    let mut driver = bench.driver(&server, 0)?;
    let users = bench.connections(USERS, 60);
    driver.call(&open(users, Rooms::OfSize(ROOM_MEMBERS)))?;
    let mut sample = Sample::new();
    for (carried, rate) in bench.pick(&RATES[..], &QUICK[..]).iter().copied().enumerate() {
        let interval_ms = u64::from(users * ROOM_MEMBERS * 1_000 / rate);
        let cost = match paced(bench, &server, &mut driver, interval_ms) {
            Ok(cost) => cost,
            Err(error) => {
                ends_at(bench, error, carried, bench.pick(CARRIED_MIN, QUICK.len()))?;
                break;
            }
        };
        let deliveries = cost.report.deliveries as f64;
        sample.insert_at("cpu_us_per_delivery", rate, cost.cpu_seconds / deliveries * 1e6);
        sample.insert_at("server_core_share", rate, cost.cpu_seconds / cost.wall_seconds);
        if let Some(latency) = cost.report.latency {
            sample.insert_at("latency_p50_ms", rate, latency.p50 / 1e3);
            sample.insert_at("latency_p99_ms", rate, latency.p99 / 1e3);
        }
    }
    Ok(sample)
}
