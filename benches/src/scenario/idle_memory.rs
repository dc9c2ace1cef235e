//! Resident memory an idle connection, authenticated and in one room; and whether a large broadcast leaves any behind.
//!
//! The figure is the growth from the first connections to all of them, so that what a server allocates once (and what
//! a just-in-time compiler has warmed up by then) is not put on the connections' account.

use std::time::{Duration, Instant};

use super::{Bench, Contender, Figure, Sample, Scenario, open};
use crate::{
    load::{
        command::{Command, Rooms},
        verify,
    },
    measure::memory,
    packets::Body,
    server::Setting,
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "idle-memory",
    figures: &[
        Figure {
            key: "kilobytes_per_connection",
            title: "resident memory an idle connection, authenticated, in one room (9,000)",
            unit: "kB",
            goal: Some(4.0),
        },
        Figure {
            key: "kilobytes_10_s_after_broadcast",
            title: "the same 10 s after a 64 KB broadcast to all",
            unit: "kB",
            goal: Some(4.0),
        },
    ],
    contenders: Contender::SERVERS,
    rounds: 3,
    turn_seconds: 19.0,
    measure,
};

const LOOK: Duration = Duration::from_millis(250);

fn measure(bench: &Bench<'_>) -> anyhow::Result<Sample> {
    let server = bench.serve(Setting::default())?;
    let mut driver = bench.driver(&server, 0)?;
    let all = bench.connections(9_000, 200);
    let first = all / 18;
    let settle = Command::Idle { seconds: bench.pick(3.0, 0.2) };

    driver.call(&open(first, Rooms::One(0)))?;
    driver.call(&settle)?;
    let resident_first = server.resident_bytes()?;
    let kernel_first = memory::kernel_bytes()?;
    driver.call(&open(all - first, Rooms::One(0)))?;
    driver.call(&settle)?;
    let resident_all = server.resident_bytes()?;
    let kernel_all = memory::kernel_bytes()?;

    let each = (resident_all - resident_first) / f64::from(all - first);
    let once = resident_first - each * f64::from(first);
    let kilobytes = |resident: f64| (resident - once) / f64::from(all) / 1024.0;

    let sent = driver.call(&Command::Broadcast { body: Body::Text(64 * 1024) })?;
    let mut peak = server.resident_bytes()?;
    let watch = Duration::from_secs(bench.pick(10, 1));
    driver.send(&Command::Idle { seconds: watch.as_secs_f64() })?;
    let begun = Instant::now();
    let mut returned = None;
    while begun.elapsed() + LOOK < watch {
        let resident = server.resident_bytes()?;
        peak = peak.max(resident);
        // Within five per cent of what it was.
        if returned.is_none() && kilobytes(resident) <= each / 1024.0 * 1.05 {
            returned = Some(begun.elapsed().as_secs_f64());
        }
        std::thread::sleep(LOOK);
    }
    driver.report()?;
    let resident_after = server.resident_bytes()?;
    verify(&mut [&mut driver], &[sent])?;

    let mut sample = Sample::new();
    sample.insert("kilobytes_per_connection", each / 1024.0);
    sample.insert("kilobytes_10_s_after_broadcast", kilobytes(resident_after));
    sample.insert("kilobytes_at_peak", kilobytes(peak));
    sample.insert("megabytes_once", once / 1024.0 / 1024.0);
    if let Some(seconds) = returned {
        sample.insert("seconds_to_return", seconds);
    }
    // Both ends are on this machine; each has half.
    sample.insert(
        "kernel_kilobytes_per_socket_end",
        (kernel_all - kernel_first) / f64::from(all - first) / 2.0 / 1024.0,
    );
    Ok(sample)
}
