//! `turnpike drain --pid`: has a process of this machine leave, by the signal that means it. A router has no other way: it holds none of
//! the secrets by which it could tell who may ask.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

use super::{LOOK_EVERY, progress};
use crate::announce::reachable;
use crate::config::Config;
use crate::{liveness, terminal};

/// As the kernel has it: the first letters of the program's name.
const NAME: &str = "turnpike";

/// A process that can be told to leave.
pub(super) struct Process {
    pid: Pid,
    /// Where it says how far it is, if it is the one of this configuration.
    admin: SocketAddr,
}

impl Process {
    pub(super) fn find(pid: i32, config: &Config) -> anyhow::Result<Self> {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).with_context(|| {
            format!("there is no process {pid} on this machine: `pidof turnpike` names those that there are")
        })?;
        let name = name.trim_end();
        anyhow::ensure!(name == NAME, "process {pid} is {name:?} and not {NAME}: nothing was done");
        let pid = Pid::from_raw(pid).context("that is not the number of a process")?;
        Ok(Self { pid, admin: reachable(config.admin.address()) })
    }

    /// Once: the second time it would end at once.
    pub(super) fn ask(&self) -> anyhow::Result<()> {
        kill_process(self.pid, Signal::TERM).context("it could not be told: run this as its user, or as root")
    }

    /// Whether it is gone by then.
    pub(super) async fn wait(&self, begun: Instant, deadline: Duration) -> bool {
        let bar = terminal::spinner("leaving");
        let gone = loop {
            // Of another user it is there as well.
            if test_kill_process(self.pid) == Err(Errno::SRCH) {
                break true;
            }
            if let Some(said) = self.says() {
                bar.set_message(said);
            }
            if begun.elapsed() >= deadline {
                break false;
            }
            tokio::time::sleep(LOOK_EVERY.min(deadline.saturating_sub(begun.elapsed()))).await;
        };
        bar.finish_and_clear();
        gone
    }

    fn says(&self) -> Option<String> {
        let (_, body) = liveness::answer(self.admin, "/ready").ok()?;
        let ready: Value = serde_json::from_str(&body).ok()?;
        ready["draining"].is_object().then(|| progress(&ready["draining"]))
    }
}
