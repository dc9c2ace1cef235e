//! The load process: takes commands from stdin, one at a time, and answers each on stdout.

use std::{
    io::{BufRead as _, Write as _},
    net::SocketAddr,
    sync::mpsc,
    time::{Duration, Instant},
};

use mio::{Poll, Waker};

use super::{
    command::{Command, Report},
    fleet::{Fleet, WAKE},
    job::{
        Across, Echo, Idle, Opening, Paced, Pipelined, Probe, Recovery, Saturated, Sessions, Unbroken, Verify,
    },
};
use crate::measure::process;

/// Serves until stdin ends.
pub(crate) fn serve(target: SocketAddr, secret: &str, number: u8) -> anyhow::Result<()> {
    let poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), WAKE)?;
    // The driver sends the next command only after the answer to the last, so this never holds more than one.
    let (sender, commands) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let command = serde_json::from_str(&line).expect("both ends are the same program");
            if sender.send(command).is_err() || waker.wake().is_err() {
                break;
            }
        }
        drop(sender);
        waker.wake().ok();
    });

    let mut fleet = Fleet::new(poll, target, secret, number, commands);
    let mut held = false;
    loop {
        let command = if held {
            match fleet.commands.recv() {
                Ok(command) => command,
                Err(_) => return Ok(()),
            }
        } else {
            let mut idle = Idle::until_command();
            fleet.drive(&mut idle)?;
            match idle.next {
                Some(command) => command,
                None => return Ok(()),
            }
        };
        held = matches!(command, Command::Hold);
        let report = perform(&mut fleet, command)?;
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, &report)?;
        out.write_all(b"\n")?;
        out.flush()?;
    }
}

fn perform(fleet: &mut Fleet, command: Command) -> anyhow::Result<Report> {
    let begun = Instant::now();
    let mut report = Report::default();
    match command {
        Command::Open { count, rooms, concurrency, per_second, deflate } => {
            let mut job = Opening::new(fleet, count, rooms, concurrency, per_second, deflate);
            fleet.drive(&mut job)?;
            report.operations = job.ready as u64;
        }
        Command::Paced { seconds, interval_ms, body } => {
            let mut job = Paced::new(fleet, seconds, interval_ms, body);
            fleet.drive(&mut job)?;
            report.operations = job.messages;
            report.deliveries = job.deliveries;
            report.latency = job.latency();
        }
        Command::Saturated { seconds, senders, window, body } => {
            let mut job = Saturated::new(fleet, seconds, senders, window, body);
            fleet.drive(&mut job)?;
            report.operations = job.messages;
            report.deliveries = job.deliveries;
        }
        Command::Broadcast { body } => {
            let mut job = Saturated::once(fleet, body);
            fleet.drive(&mut job)?;
            report.operations = job.messages;
            report.deliveries = job.deliveries;
        }
        Command::Echo { seconds } => {
            let mut job = Echo::new(fleet, seconds);
            fleet.drive(&mut job)?;
            report.operations = job.echoes;
        }
        Command::Sessions { count, concurrency } => {
            let mut job = Sessions::new(count, concurrency);
            fleet.drive(&mut job)?;
            report.operations = u64::from(job.ended);
        }
        Command::Probe { seconds, broadcast_after_ms, body } => {
            let mut job = Probe::new(seconds, broadcast_after_ms, body);
            fleet.drive(&mut job)?;
            report.operations = job.round_trips();
            report.latency = job.latency();
        }
        Command::Aim { target } => fleet.target = target,
        Command::Across { seconds, publishers, per_second, body } => {
            let mut job = Across::new(fleet, seconds, publishers, per_second, body);
            fleet.drive(&mut job)?;
            report.operations = job.messages;
            report.deliveries = job.deliveries_across();
            report.latency = job.latency();
            report.ack_latency = job.ack_latency();
        }
        Command::Pipelined { seconds, window, body } => {
            let mut job = Pipelined::new(fleet, seconds, window, body);
            fleet.drive(&mut job)?;
            report.operations = job.messages;
        }
        Command::Unbroken { seconds, pause_ms, body } => {
            let mut job = Unbroken::new(seconds, pause_ms, body);
            fleet.drive(&mut job)?;
            report.operations = job.acks;
            report.refusals = job.refusals;
            report.gap_seconds = job.longest_gap.as_secs_f64();
        }
        Command::Remember => fleet.remembers = true,
        Command::Recover { sent } => {
            let mut job = Recovery::new(fleet, sent);
            fleet.drive(&mut job)?;
            report.operations = job.ready;
            report.refusals = job.refusals;
            report.closes = job.closes;
            report.latency = job.latency();
        }
        Command::Idle { seconds } => {
            let before = fleet.heartbeats;
            fleet.drive(&mut Idle::until(begun + Duration::from_secs_f64(seconds)))?;
            report.operations = fleet.heartbeats - before;
        }
        Command::Hold => {}
        Command::Verify { sent } => {
            let mut job = Verify::new(fleet, sent);
            fleet.drive(&mut job)?;
            report.disordered = job.disordered;
        }
        Command::Close => {
            fleet.connections.clear();
            fleet.sent.clear();
        }
    }
    report.seconds = begun.elapsed().as_secs_f64();
    report.sent.clone_from(&fleet.sent);
    report.failures = std::mem::take(&mut fleet.failures);
    report.failed = std::mem::take(&mut fleet.failed);
    report.cpu_seconds = process::cpu_seconds(std::process::id())?;
    report.waited_seconds = process::waited_seconds(std::process::id())?;
    Ok(report)
}
