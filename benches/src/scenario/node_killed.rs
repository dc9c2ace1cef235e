//! A node ends without a word under clients that can be taken up again. All return to the other node at the same moment;
//! meanwhile messages went on.

use std::time::Instant;

use super::{Bench, Contender, Figure, Sample, Scenario, open};
use crate::{
    load::{
        command::{Command, Report, Rooms, Sent},
        verify,
    },
    packets::Body,
    system::System,
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "node-killed",
    figures: &[
        Figure {
            key: "all_back_seconds",
            title: "node killed with 5,000 clients in rooms of 40, no jitter: until all are back on the other and have what they missed",
            unit: "s",
            goal: Some(5.0),
        },
        Figure {
            key: "redis_commands_per_session",
            title: "the same: commands that Redis is sent",
            unit: "a session",
            goal: Some(6.0),
        },
        Figure {
            key: "cpu_seconds_per_thousand",
            title: "the same: the surviving node",
            unit: "CPU s a thousand sessions",
            goal: None,
        },
    ],
    // The adapter of the others cannot take sessions up on another node.
    contenders: &[Contender::Turnpike],
    rounds: 3,
    turn_seconds: 14.0,
    measure,
};

const ROOM_MEMBERS: u32 = 40;

fn measure(bench: &Bench<'_>) -> anyhow::Result<Sample> {
    killed_under(bench, bench.connections(5_000, 80))
}

pub(super) fn killed_under(bench: &Bench<'_>, count: u32) -> anyhow::Result<Sample> {
    let mut system = System::start(bench.contender, 2, 1, bench.places, bench.server_core)?;
    let rooms = (count / ROOM_MEMBERS).max(1);

    let mut members = bench.driver(&system.servers[0], 0)?;
    members.call(&Command::Remember)?;
    members.call(&open(count, Rooms::OfSize(ROOM_MEMBERS)))?;
    let mut publishers = bench.driver(&system.servers[1], 1)?;
    publishers.call(&open(rooms, Rooms::OfSize(1)))?;
    // One message to each room takes half a second.
    let one_each =
        Command::Across { seconds: 0.5, publishers: rooms, per_second: rooms * 2, body: Body::Text(128) };
    let before = publishers.call(&one_each)?;
    verify(&mut [&mut members], &[before])?;

    members.call(&Command::Aim { target: system.servers[1].address })?;
    members.call(&Command::Hold)?;
    let killed = Instant::now();
    system.servers[0].kill();
    let missed = publishers.call(&one_each)?;
    let survivor = &system.servers[1];
    let (commands, cpu) = (system.commands(bench.contender)?, survivor.cpu_seconds()?);
    let back = members.call(&Command::Recover { sent: all_sent(&missed) })?;
    let all_back_since_kill = killed.elapsed().as_secs_f64();
    let cpu = survivor.cpu_seconds()? - cpu;
    let commands = system.commands(bench.contender)?.since(commands);
    verify(&mut [&mut members], &[missed])?;

    let sessions = f64::from(count);
    let mut sample = Sample::new();
    sample.insert("sessions", back.operations as f64);
    sample.insert("all_back_seconds", back.seconds);
    sample.insert("all_back_since_kill_seconds", all_back_since_kill);
    if let Some(latency) = back.latency {
        sample.insert("back_p50_seconds", latency.p50 / 1e6);
        sample.insert("back_p99_seconds", latency.p99 / 1e6);
    }
    sample.insert("redis_commands_per_session", (commands.from_clients + commands.spublish) / sessions);
    sample.insert("redis_commands_inside_too_per_session", commands.all / sessions);
    sample.insert("cpu_seconds_per_thousand", cpu / sessions * 1e3);
    Ok(sample)
}

/// Everything since the publishers' process began.
fn all_sent(report: &Report) -> Sent {
    report.sent.clone()
}
