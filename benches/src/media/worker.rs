//! The process: takes commands from stdin, one at a time, and answers each on stdout. Between two commands it goes on
//! answering the relay, so that no session is lost.

use std::{
    io::{BufRead as _, Write as _},
    net::SocketAddr,
    sync::mpsc::{self, TryRecvError},
    time::Instant,
};

use super::{
    command::{Command, Dialect, Report},
    studio::Studio,
};
use crate::measure::process;

/// Between two looks for a command.
const BREATH_SECONDS: f64 = 0.002;

/// Serves until stdin ends.
pub(crate) fn serve(target: SocketAddr, dialect: Dialect, secret: &str) -> anyhow::Result<()> {
    // The driver sends the next command only after the answer to the last.
    let (sender, commands) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let command: Command = serde_json::from_str(&line).expect("both ends are the same program");
            if sender.send(command).is_err() {
                break;
            }
        }
    });
    let mut studio = Studio::new(target, dialect, secret)?;
    loop {
        let command = match commands.try_recv() {
            Ok(command) => command,
            Err(TryRecvError::Empty) => {
                studio.idle(BREATH_SECONDS)?;
                continue;
            }
            Err(TryRecvError::Disconnected) => return Ok(()),
        };
        let begun = Instant::now();
        let mut report = Report::default();
        if let Err(error) = perform(&mut studio, &command, &mut report) {
            report.failed.push(format!("{error:#}"));
        }
        report.failed.extend(studio.failures());
        report.failures = report.failed.len() as u64;
        report.failed.truncate(5);
        report.seconds = begun.elapsed().as_secs_f64();
        report.cpu_seconds = process::cpu_seconds(std::process::id())?;
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, &report)?;
        out.write_all(b"\n")?;
        out.flush()?;
    }
}

fn perform(studio: &mut Studio, command: &Command, report: &mut Report) -> anyhow::Result<()> {
    match *command {
        Command::Publish { streams } => studio.publish(streams)?,
        Command::Look(look) => studio.look(look),
        Command::Watch { count, at_once } => report.join = studio.watch(count, at_once)?,
        Command::Burst { count, seconds, rate } => studio.burst(count, seconds, rate, report)?,
        Command::Play { seconds, rate } => studio.play(seconds, rate, report)?,
        Command::Idle { seconds } => studio.idle(seconds)?,
    }
    Ok(())
}
