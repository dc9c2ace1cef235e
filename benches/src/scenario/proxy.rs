//! Websockets through a proxy in front of a gateway: what a message costs the proxy, in either direction, and what memory an
//! open websocket does. The gateway and everything else share the load's core; the proxy has one to itself.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::{Bench, Contender, Cost, Figure, Sample, Scenario, open};
use crate::{
    load::{
        Driver,
        command::{Command, Rooms},
        verify,
    },
    look,
    measure::memory,
    packets::Body,
    server::{SECRET, Server},
    system::System,
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "proxy",
    figures: &[
        Figure {
            key: "cpu_seconds_per_million",
            title: "proxy: a websocket message passed on, in either direction (1,000 users in rooms of 20, 1 message/s each, 128 B; goal: 1.5 times nginx)",
            unit: "CPU s a million",
            goal: None,
        },
        Figure {
            key: "cpu_seconds_per_million_saturated",
            title: "the same, saturated (100 connections, one echo on its way on each; goal: 1.5 times nginx)",
            unit: "CPU s a million",
            goal: None,
        },
        Figure {
            key: "kilobytes_per_connection",
            title: "proxy: resident memory a websocket through it (9,000), with what opening them left behind",
            unit: "kB",
            goal: None,
        },
        Figure {
            key: "kernel_kilobytes_per_connection",
            title: "the same: what the kernel holds for its two sockets",
            unit: "kB",
            goal: None,
        },
        Figure {
            key: "cpu_seconds_per_thousand_opened",
            title: "the same: opening them",
            unit: "CPU s a thousand",
            goal: None,
        },
    ],
    contenders: &[Contender::Turnpike, Contender::Nginx, Contender::Haproxy],
    rounds: 3,
    turn_seconds: 45.0,
    measure,
};

const ROOM_MEMBERS: u32 = 20;
const BODY: Body = Body::Text(128);
/// Clients say where they come from by the proxy's word.
const OF_NODES: [(&str, &str); 1] = [("TURNPIKE_TRUSTED_PROXIES", "127.0.0.1")];
/// A router looks for nodes four times a second.
const SETTLING: Duration = Duration::from_secs(20);
const BREATH: Duration = Duration::from_millis(50);

fn measure(bench: &Bench<'_>) -> anyhow::Result<Sample> {
    let ours = Contender::Turnpike;
    let system = System::start_with(ours, 1, 1, bench.places, bench.load_core, &OF_NODES)?;
    let upstream = system.servers[0].address;
    let start = || {
        let proxy = match bench.contender {
            Contender::Nginx => Server::nginx(bench.places, bench.server_core, upstream),
            Contender::Haproxy => Server::haproxy(bench.places, bench.server_core, upstream),
            _ => Server::router(bench.places, bench.server_core, &system.redis.seeds_text(), &[]),
        }?;
        until_served(proxy.address)?;
        anyhow::Ok(proxy)
    };
    let mut sample = Sample::new();
    let proxy = start()?;
    paced(bench, &proxy, &mut sample)?;
    saturated(bench, &proxy, &mut sample)?;
    drop(proxy);
    // A fresh one: memory that another load has left would be used again, and not be seen.
    memory_of(bench, &start()?, &mut sample)?;
    Ok(sample)
}

/// Until something behind it answers.
pub(super) fn until_served(proxy: SocketAddr) -> anyhow::Result<()> {
    let begun = Instant::now();
    while look::get(proxy, "/live")?.0 != 200 {
        anyhow::ensure!(begun.elapsed() < SETTLING, "the proxy sees no node");
        std::thread::sleep(BREATH);
    }
    Ok(())
}

/// Every message is alone: each is a wake-up, a read and a write.
fn paced(bench: &Bench<'_>, proxy: &Server, sample: &mut Sample) -> anyhow::Result<()> {
    let mut driver = bench.driver(proxy, 0)?;
    let users = bench.connections(1_000, 100).min(1_000);
    driver.call(&open(users, Rooms::OfSize(ROOM_MEMBERS)))?;
    let load = |seconds| Command::Paced { seconds, interval_ms: 1_000, body: BODY };
    driver.call(&load(bench.pick(2.0, 1.0)))?;
    let cost = Cost::of(proxy, &mut driver, &load(bench.seconds(8.0, 1.0)))?;
    // There and acknowledged, and to every member.
    let passed = cost.report.operations * 2 + cost.report.deliveries;
    sample.insert("cpu_seconds_per_million", cost.cpu_seconds / passed as f64 * 1e6);
    sample.insert("messages_passed", passed as f64);
    cost.explain(sample);
    verify(&mut [&mut driver], &[cost.report])?;
    Ok(())
}

fn saturated(bench: &Bench<'_>, proxy: &Server, sample: &mut Sample) -> anyhow::Result<()> {
    let mut driver = bench.driver(proxy, 1)?;
    driver.call(&open(bench.connections(100, 20).min(100), Rooms::OfSize(1)))?;
    driver.call(&Command::Echo { seconds: bench.pick(1.0, 0.1) })?;
    let cost = Cost::of(proxy, &mut driver, &Command::Echo { seconds: bench.seconds(5.0, 0.5) })?;
    let passed = cost.report.operations * 2;
    sample.insert("cpu_seconds_per_million_saturated", cost.cpu_seconds / passed as f64 * 1e6);
    sample.insert("server_core_share_saturated", cost.cpu_seconds / cost.wall_seconds);
    Ok(())
}

fn memory_of(bench: &Bench<'_>, proxy: &Server, sample: &mut Sample) -> anyhow::Result<()> {
    let mut driver = Driver::start(proxy.address, SECRET, 2, bench.load_core)?;
    let all = bench.connections(9_000, 200);
    let settle = Command::Idle { seconds: bench.pick(3.0, 0.2) };
    driver.call(&settle)?;
    let (resident, kernel) = (proxy.resident_bytes()?, memory::kernel_bytes()?);
    let cost = Cost::of(proxy, &mut driver, &open(all, Rooms::OfSize(1)))?;
    driver.call(&settle)?;
    let each = (proxy.resident_bytes()? - resident) / f64::from(all);
    let kernel = (memory::kernel_bytes()? - kernel) / f64::from(all);
    let opened = Some(cost.report.operations).filter(|opened| *opened > 0).context("none was opened")?;
    sample.insert("kilobytes_per_connection", each / 1024.0);
    sample.insert("megabytes_in_all", proxy.resident_bytes()? / 1024.0 / 1024.0);
    // Of four ends that are all on this machine two are the proxy's.
    sample.insert("kernel_kilobytes_per_connection", kernel / 2.0 / 1024.0);
    sample.insert("cpu_seconds_per_thousand_opened", cost.cpu_seconds / opened as f64 * 1e3);
    Ok(())
}
