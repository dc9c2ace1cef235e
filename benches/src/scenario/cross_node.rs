//! Two servers on one Redis Cluster: the clients of one publish, those of the other receive. An open loop, so that a
//! server that falls behind shows it. Then publishers that do not wait, in rooms with nobody on the other node: what a
//! message costs Redis when many are on their way.

use super::{Bench, Contender, Figure, Sample, Scenario, account_for_order, open};
use crate::{
    load::{
        Driver,
        command::{Command, Rooms},
        verify,
    },
    packets::Body,
    system::System,
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "cross-node",
    figures: &[
        Figure {
            key: "delivery_p50_ms",
            title: "from one node to another (50 rooms, 2 receivers each, 1,000 messages/s with ack): due to delivered, median",
            unit: "ms",
            goal: Some(2.0),
        },
        Figure { key: "delivery_p99_ms", title: "the same, 99th percentile", unit: "ms", goal: Some(8.0) },
        Figure { key: "ack_p50_ms", title: "the same: due to acknowledged, median", unit: "ms", goal: None },
        Figure {
            key: "ack_p99_ms",
            title: "the same: due to acknowledged, 99th percentile",
            unit: "ms",
            goal: None,
        },
        Figure {
            key: "cpu_seconds_per_million",
            title: "the same: both gateways, without Redis",
            unit: "CPU s a million deliveries on the other node",
            goal: None,
        },
        Figure {
            key: "cpu_seconds_per_million_wide",
            title: "from one node to another (50 rooms, 100 receivers each, 200 messages/s with ack): both gateways, without Redis",
            unit: "CPU s a million deliveries on the other node",
            goal: Some(4.5),
        },
        Figure {
            key: "redis_commands_per_message",
            title: "the same: commands that Redis is sent",
            unit: "a message",
            goal: None,
        },
        Figure {
            key: "redis_commands_per_message_saturated",
            title: "64 publishers with 16 messages on their way each, nobody on the other node: commands that Redis is sent",
            unit: "a message",
            goal: Some(1.1),
        },
    ],
    contenders: &[Contender::Turnpike, Contender::Node, Contender::NodeStreams, Contender::Socketioxide],
    rounds: 3,
    turn_seconds: 48.0,
    measure,
};

const BODY: Body = Body::Text(128);
const RECEIVERS_PER_ROOM: u32 = 2;
const RECEIVERS_PER_WIDE_ROOM: u32 = 100;
/// Node answers a join before its subscription is there, and says nothing when it is.
const SETTLING_SECONDS: f64 = 1.0;
const DRAIN_LOOK_SECONDS: f64 = 0.25;
const DRAIN_LOOKS_MAX: u32 = 120;
/// In a look.
const COMMANDS_AT_REST_MAX: f64 = 100.0;

fn measure(bench: &Bench<'_>) -> anyhow::Result<Sample> {
    let system = System::start(bench.contender, 2, 1, bench.places, bench.server_core)?;
    let [near, far] = &system.servers[..] else { anyhow::bail!("two servers were asked for") };
    let mut sample = Sample::new();

    let mut driver = bench.driver(near, 0)?;
    let rooms = bench.connections(50, 10);
    driver.call(&open(rooms, Rooms::OfSize(1)))?;
    driver.call(&Command::Aim { target: far.address })?;
    driver.call(&open(rooms * RECEIVERS_PER_ROOM, Rooms::OfSize(RECEIVERS_PER_ROOM)))?;
    driver.call(&Command::Idle { seconds: SETTLING_SECONDS })?;
    let across = |seconds| Command::Across {
        seconds,
        publishers: rooms,
        per_second: bench.pick(1_000, 100),
        body: BODY,
    };
    driver.call(&across(bench.pick(3.0, 0.2)))?;
    let (commands, cpu) = (system.commands(bench.contender)?, system.cpu_seconds()?);
    let (redis_cpu, waited) = (system.redis_cpu_seconds()?, waited_seconds(&system)?);
    let report = driver.call(&across(bench.seconds(10.0, 1.0)))?;
    let (cpu, redis_cpu) = (system.cpu_seconds()? - cpu, system.redis_cpu_seconds()? - redis_cpu);
    let waited = waited_seconds(&system)? - waited;
    let commands = system.commands(bench.contender)?.since(commands);
    let (messages, deliveries) = (report.operations as f64, report.deliveries as f64);
    anyhow::ensure!(
        report.deliveries == report.operations * u64::from(RECEIVERS_PER_ROOM),
        "{deliveries} deliveries of {messages} messages on the other node"
    );
    for (latency, keys) in [
        (report.latency, ["delivery_p50_ms", "delivery_p99_ms", "delivery_max_ms"]),
        (report.ack_latency, ["ack_p50_ms", "ack_p99_ms", "ack_max_ms"]),
    ] {
        if let Some(latency) = latency {
            for (key, value) in keys.into_iter().zip([latency.p50, latency.p99, latency.max]) {
                sample.insert(key, value / 1e3);
            }
        }
    }
    sample.insert("messages", messages);
    sample.insert("messages_per_second", messages / report.seconds);
    sample.insert("cpu_seconds_per_million", cpu / deliveries * 1e6);
    sample.insert("redis_cpu_seconds_per_million", redis_cpu / deliveries * 1e6);
    sample.insert("redis_commands_per_message", commands.from_clients / messages);
    sample.insert("redis_commands_inside_too_per_message", commands.all / messages);
    sample.insert("server_core_share", (cpu + redis_cpu) / report.seconds);
    sample.insert("servers_waited_share", waited / report.seconds);
    let disordered = verify(&mut [&mut driver], &[report])?;
    account_for_order(bench, disordered, &mut sample)?;
    drop(driver);

    wide(bench, &system, &mut sample)?;
    saturated(bench, &system, &mut sample)?;
    Ok(sample)
}

/// What a delivery costs where it is many that a message brings, not the message itself.
fn wide(bench: &Bench<'_>, system: &System, sample: &mut Sample) -> anyhow::Result<()> {
    let [near, far] = &system.servers[..] else { anyhow::bail!("two servers were asked for") };
    let mut driver = bench.driver(near, 2)?;
    let rooms = bench.connections(50, 5);
    driver.call(&open(rooms, Rooms::OfSize(1)))?;
    driver.call(&Command::Aim { target: far.address })?;
    driver.call(&open(rooms * RECEIVERS_PER_WIDE_ROOM, Rooms::OfSize(RECEIVERS_PER_WIDE_ROOM)))?;
    driver.call(&Command::Idle { seconds: SETTLING_SECONDS })?;
    let across =
        |seconds| Command::Across { seconds, publishers: rooms, per_second: bench.pick(200, 20), body: BODY };
    driver.call(&across(bench.pick(2.0, 0.2)))?;
    let cpu = system.cpu_seconds()?;
    let report = driver.call(&across(bench.seconds(10.0, 1.0)))?;
    let cpu = system.cpu_seconds()? - cpu;
    anyhow::ensure!(
        report.deliveries == report.operations * u64::from(RECEIVERS_PER_WIDE_ROOM),
        "{} deliveries of {} messages on the other node",
        report.deliveries,
        report.operations
    );
    sample.insert("cpu_seconds_per_million_wide", cpu / report.deliveries as f64 * 1e6);
    let disordered = verify(&mut [&mut driver], &[report])?;
    account_for_order(bench, disordered, sample)
}

fn saturated(bench: &Bench<'_>, system: &System, sample: &mut Sample) -> anyhow::Result<()> {
    // Another number: other users, and message ids that were not used before.
    let mut driver = bench.driver(&system.servers[0], 1)?;
    let publishers = bench.pick(64, 16);
    driver.call(&open(publishers, Rooms::OfSize(1)))?;
    driver.call(&Command::Idle { seconds: SETTLING_SECONDS })?;
    let window = bench.size.window.unwrap_or(16);
    let pipelined = |seconds| Command::Pipelined { seconds, window, body: BODY };
    driver.call(&pipelined(bench.pick(1.0, 0.1)))?;
    drained(bench, system, &mut driver)?;
    let (commands, cpu) = (system.commands(bench.contender)?, system.cpu_seconds()?);
    let redis_cpu = system.redis_cpu_seconds()?;
    let report = driver.call(&pipelined(bench.pick(5.0, 0.5)))?;
    drained(bench, system, &mut driver)?;
    let (cpu, redis_cpu) = (system.cpu_seconds()? - cpu, system.redis_cpu_seconds()? - redis_cpu);
    let commands = system.commands(bench.contender)?.since(commands);
    let messages = report.operations as f64;
    sample.insert("redis_commands_per_message_saturated", commands.from_clients / messages);
    sample.insert("redis_commands_inside_too_per_message_saturated", commands.all / messages);
    sample.insert("messages_per_second_saturated", messages / report.seconds);
    sample.insert("cpu_seconds_per_million_messages_saturated", cpu / messages * 1e6);
    sample.insert("redis_cpu_seconds_per_million_messages_saturated", redis_cpu / messages * 1e6);
    verify(&mut [&mut driver], &[report])?;
    Ok(())
}

/// Node acknowledges before it publishes, and sends Redis for many seconds what it has acknowledged in one. Until nothing
/// but the heartbeat of the servers comes any more.
fn drained(bench: &Bench<'_>, system: &System, driver: &mut Driver) -> anyhow::Result<()> {
    let mut before = system.commands(bench.contender)?;
    for _ in 0..DRAIN_LOOKS_MAX {
        driver.call(&Command::Idle { seconds: DRAIN_LOOK_SECONDS })?;
        let now = system.commands(bench.contender)?;
        if now.since(before).from_clients < COMMANDS_AT_REST_MAX {
            return Ok(());
        }
        before = now;
    }
    anyhow::bail!("the servers still send Redis commands long after the last message")
}

fn waited_seconds(system: &System) -> anyhow::Result<f64> {
    system.servers.iter().map(crate::server::Server::waited_seconds).sum()
}
