//! A process that goes on when this one ends.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal};

use super::Place;
use super::state::Started;
use crate::process::last_lines;
use crate::until::until;

pub(super) fn home(place: &Place, name: &str) -> PathBuf {
    place.state.join(name)
}

pub(super) fn log(place: &Place, name: &str) -> PathBuf {
    home(place, name).join("log")
}

pub(super) fn stdout(place: &Place, name: &str) -> PathBuf {
    home(place, name).join("stdout")
}

/// In a folder of its own, with its streams in files there. Nobody's signals but ours reach it.
pub(super) fn spawn(place: &Place, name: &str, command: &mut Command) -> anyhow::Result<u32> {
    let home = home(place, name);
    fs::create_dir_all(&home)?;
    let log = File::options().create(true).append(true).open(log(place, name))?;
    command.current_dir(&home).stdin(Stdio::null()).stdout(File::create(stdout(place, name))?).stderr(log);
    let child = command
        .process_group(0)
        .spawn()
        .with_context(|| format!("{} does not start", command.get_program().display()))?;
    Ok(child.id())
}

/// Whether it still is the process that was started.
pub(super) fn runs(place: &Place, started: &Started) -> bool {
    let Ok(home) = home(place, &started.name).canonicalize() else { return false };
    fs::read_link(format!("/proc/{}/cwd", started.id)).is_ok_and(|place| place == home)
}

/// Asks all to end, and ends those that do not in time.
pub(super) fn end<'a>(
    place: &Place,
    processes: &(impl Iterator<Item = &'a Started> + Clone),
    limit: Duration,
) -> anyhow::Result<()> {
    let send = |signal: Signal| {
        for process in processes.clone().filter(|process| runs(place, process)) {
            if let Some(id) = i32::try_from(process.id).ok().and_then(Pid::from_raw) {
                // It may have ended just now.
                let _ = rustix::process::kill_process(id, signal);
            }
        }
    };
    let ended = || match processes.clone().find(|process| runs(place, process)) {
        None => Ok(()),
        Some(process) => bail!("{} still runs as process {}", process.name, process.id),
    };
    send(Signal::TERM);
    // One that is frozen takes the signal when it goes on.
    send(Signal::CONT);
    if until(limit, ended).is_err() {
        send(Signal::KILL);
        until(Duration::from_secs(5), ended)?;
    }
    Ok(())
}

pub(super) fn last_words(place: &Place, name: &str) -> String {
    const LINES: usize = 15;
    let log = fs::read_to_string(log(place, name)).unwrap_or_default();
    let end = last_lines(&log, LINES);
    format!("{end}\n(all of it in {})", self::log(place, name).display())
}

pub(super) fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}
