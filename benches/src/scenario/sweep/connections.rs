//! Memory and CPU over connections: one server that gets more and more of them.

use std::time::Duration;

use super::{Bench, Contender, Cost, Curve, Sample, Scenario, Sweep};
use crate::{
    load::{
        Driver,
        command::{Command, Rooms},
    },
    server::Setting,
};

pub(crate) const SWEEP: Sweep = Sweep {
    scenario: Scenario {
        name: "by-connections",
        figures: &[],
        contenders: Contender::SERVERS,
        rounds: 1,
        turn_seconds: 32.0,
        measure,
    },
    curves: &[
        Curve {
            key: "resident_megabytes",
            title: "resident memory of the server, connections authenticated and in rooms of 20",
            size: "connections",
            unit: "MB",
            is_logarithmic: false,
            goal: None,
        },
        Curve {
            key: "cpu_us_per_heartbeat",
            title: "CPU of an idle connection, for each heartbeat",
            size: "connections",
            unit: "CPU us",
            is_logarithmic: false,
            // 0.5 us a second with a heartbeat every 25 s.
            goal: Some(12.5),
        },
    ],
};

const SIZES: [u32; 4] = [1_000, 3_000, 9_000, 18_000];
const QUICK: [u32; 2] = [50, 100];
/// A process of the load takes no more.
const PROCESS_MAX: u32 = 9_000;

fn measure(bench: &Bench<'_>) -> anyhow::Result<Sample> {
    // Short, so that each size takes seconds; what counts is the cost of one.
    let heartbeat = Duration::from_secs_f64(bench.size.heartbeat_seconds.unwrap_or(bench.pick(3.0, 1.0)));
    let server = bench.serve(Setting { heartbeat, ..Setting::default() })?;
    let mut drivers: Vec<Driver> = Vec::new();
    let mut sample = Sample::new();
    let mut open = 0;
    for size in bench.pick(&SIZES[..], &QUICK[..]).iter().copied() {
        while open < size {
            let in_last = open % PROCESS_MAX;
            if in_last == 0 {
                drivers.push(bench.driver(&server, drivers.len() as u8)?);
            }
            let count = (size - open).min(PROCESS_MAX - in_last);
            let last = drivers.last_mut().expect("one was just started");
            last.call(&Command::Open {
                count,
                rooms: Rooms::OfSize(20),
                concurrency: 128,
                // Evenly over a heartbeat, or as fast as the server takes them.
                per_second: Some(f64::from(count) / heartbeat.as_secs_f64()),
                deflate: false,
            })?;
            open += count;
        }
        let (last, others) = drivers.split_last_mut().expect("there are connections");
        last.call(&Command::Idle { seconds: bench.pick(1.0, 0.1) })?;
        let idle = Command::Idle { seconds: heartbeat.as_secs_f64() };
        for other in &mut *others {
            other.send(&idle)?;
        }
        let cost = Cost::of(&server, last, &idle)?;
        let mut heartbeats = cost.report.operations;
        for other in others {
            heartbeats += other.report()?.operations;
        }
        sample.insert_at("resident_megabytes", size, server.resident_bytes()? / 1024.0 / 1024.0);
        sample.insert_at("cpu_us_per_heartbeat", size, cost.cpu_seconds / heartbeats as f64 * 1e6);
        sample.insert_at("heartbeats_per_connection", size, heartbeats as f64 / f64::from(size));
    }
    Ok(sample)
}
