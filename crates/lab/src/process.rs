//! A process that can be ended, frozen and thawed, and that ends with its value.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal};

use crate::until::until;

/// Reaching it means that something is broken.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
}

impl Process {
    pub fn spawn(name: &str, command: &mut Command) -> anyhow::Result<Self> {
        let child = command
            .spawn()
            .with_context(|| format!("{name} does not start ({})", command.get_program().display()))?;
        Ok(Self { name: name.to_owned(), child })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// To take its streams, if they were piped.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// What `find` makes of the first line on stdout of which it makes something. Everything behind is read and dropped, so
    /// that the process never waits for a reader. stdout must have been piped.
    pub fn await_line<T: Send + 'static>(
        &mut self,
        limit: Duration,
        find: impl Fn(&str) -> Option<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let stdout = self.child.stdout.take().context("its stdout was not piped, or was taken")?;
        let (found, awaited) = mpsc::channel();
        std::thread::spawn(move || {
            let mut found = Some(found);
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                let Some(sender) = &found else { continue };
                if let Some(value) = find(&String::from_utf8_lossy(&line)) {
                    let _ = sender.send(value);
                    found = None;
                }
            }
        });
        match awaited.recv_timeout(limit) {
            Ok(value) => Ok(value),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                bail!("{} said nothing of it within {limit:?}", self.name)
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let status = self.wait(limit)?;
                bail!("{} ended without it: {status}", self.name)
            }
        }
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Stops it where it stands: its connections stay open and nothing answers.
    /// Returns when none of its threads goes on: on a busy machine a signal may wait for its turn.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)?;
        until(STOPPED_WITHIN, || {
            ensure!(is_stopped(self.child.id()), "{} does not stand still", self.name);
            Ok(())
        })
    }

    pub fn thaw(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Asks it to end in order.
    pub fn terminate(&self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let id = id.with_context(|| format!("{} has no process id", self.name))?;
        rustix::process::kill_process(id, signal)
            .with_context(|| format!("{} takes no signal {signal:?}", self.name))
    }

    /// Ends it at once, frozen or not, and waits until it is gone.
    pub fn kill(&mut self) {
        // It may have ended by itself, which is no fault here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn wait(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        until(limit, || self.child.try_wait()?.with_context(|| format!("{} has not ended", self.name)))
    }

    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        resident_bytes(self.id()).with_context(|| self.name.clone())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What it has in memory now.
pub fn resident_bytes(id: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("it has ended")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
}

/// All its threads. The state stands behind the name, which is in parentheses and may have any letters in it.
pub(crate) fn is_stopped(id: u32) -> bool {
    let Ok(threads) = fs::read_dir(Path::new("/proc").join(id.to_string()).join("task")) else {
        return false;
    };
    let is_still = |thread: &fs::DirEntry| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['T', 't']))
    };
    threads.flatten().all(|thread| is_still(&thread))
}

/// The end of a log, for messages about why something failed.
pub(crate) fn last_lines(log: &str, count: usize) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
