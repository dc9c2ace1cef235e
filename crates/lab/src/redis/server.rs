//! One `redis-server`: its configuration, its process, its files.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use super::RedisOptions;
use crate::process::{Process, is_stopped, last_lines};

const LOG_LINES: usize = 10;

#[derive(Debug)]
pub(crate) struct Server {
    /// Where the others reach it: the relays, if there are any.
    pub(crate) port: u16,
    pub(crate) bus_port: u16,
    /// Where it listens.
    pub(crate) own_port: u16,
    pub(crate) own_bus_port: u16,
    directory: PathBuf,
    /// None after it was killed.
    process: Option<Process>,
}

impl Server {
    /// With ports of its own, and then those of the relays in front of it, if there are to be any.
    pub(crate) fn prepare(directory: PathBuf, ports: &[u16], options: &RedisOptions) -> anyhow::Result<Self> {
        let (own, announced) = (&ports[..2], &ports[ports.len() - 2..]);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("redis.conf"), configuration(own, announced, options))?;
        let (own_port, own_bus_port) = (own[0], own[1]);
        let (port, bus_port) = (announced[0], announced[1]);
        Ok(Self { port, bus_port, own_port, own_bus_port, directory, process: None })
    }

    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        self.kill();
        let log = File::options().create(true).append(true).open(self.directory.join("redis.log"))?;
        let mut command = Command::new("redis-server");
        command.arg("redis.conf").current_dir(&self.directory);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let process = Process::spawn("redis-server", &mut command)
            .context("the tests need redis-server 7.0 or later: `cargo xtask test --only install` gets it")?;
        // Written by us and not by Redis, which removes its own when it ends in order and writes it late.
        fs::write(self.directory.join("pid"), format!("{}\n", process.id()))?;
        self.process = Some(process);
        Ok(())
    }

    pub(crate) fn process(&self) -> anyhow::Result<&Process> {
        self.process.as_ref().context("the node does not run")
    }

    pub(crate) fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    /// Whether it runs and is not frozen.
    pub(crate) fn answers(&mut self) -> bool {
        self.is_running() && self.process_id().is_some_and(|id| !is_stopped(id))
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
        let _ = fs::remove_file(self.directory.join("pid"));
    }

    /// The end of its log, for messages about why something failed.
    pub(crate) fn last_words(&self) -> String {
        let log = fs::read_to_string(self.directory.join("redis.log")).unwrap_or_default();
        format!("redis-server on port {} says:\n{}", self.own_port, last_lines(&log, LOG_LINES))
    }
}

fn configuration(own: &[u16], announced: &[u16], options: &RedisOptions) -> String {
    let (port, bus_port) = (own[0], own[1]);
    let (announced_port, announced_bus_port) = (announced[0], announced[1]);
    let yes_no = |on: bool| if on { "yes" } else { "no" };
    let timeout = options.node_timeout.as_millis();
    let append_only = yes_no(options.append_only);
    let mut text = format!(
        "port {port}
cluster-port {bus_port}
cluster-announce-port {announced_port}
cluster-announce-bus-port {announced_bus_port}
bind 127.0.0.1
cluster-enabled yes
cluster-config-file nodes.conf
cluster-node-timeout {timeout}
cluster-require-full-coverage no
appendonly {append_only}
appendfsync everysec
save \"\"
repl-diskless-sync yes
repl-diskless-sync-delay 0
repl-ping-replica-period 1
repl-backlog-size 256kb
maxmemory-policy noeviction
enable-debug-command local
"
    );
    if let Some(password) = &options.password {
        text.extend(["requirepass ", password, "\nmasterauth ", password, "\n"]);
    }
    for line in &options.lines {
        text.push_str(line);
        text.push('\n');
    }
    text
}
