//! The Redis Cluster that all tests of a run share: a process of the lab, which ends when its standard input does.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

use crate::command::beside;
use crate::scratch::Scratch;

/// Where the tests look for it.
pub(crate) const VARIABLE: &str = "XTASK_REDIS";

pub(crate) struct Redis {
    lab: Child,
    nodes: String,
}

impl Redis {
    pub(crate) fn start(scratch: &Scratch) -> anyhow::Result<Self> {
        // Built with the rest of the workspace.
        let path = beside("turnpike-lab")?;
        let mut lab = Command::new(&path);
        scratch.offer(&mut lab);
        let mut lab = lab
            .arg("redis")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} does not start", path.display()))?;
        let mut line = String::new();
        BufReader::new(lab.stdout.take().expect("it was piped")).read_line(&mut line)?;
        let said: Option<serde_json::Value> = serde_json::from_str(&line).ok();
        let nodes = said.and_then(|said| Some(said["redis"].as_str()?.to_owned()));
        let nodes = nodes.with_context(|| format!("there is no Redis Cluster for the tests: {line}"))?;
        Ok(Self { lab, nodes })
    }

    pub(crate) fn nodes(&self) -> &str {
        &self.nodes
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.lab.stdin.take());
        let _ = self.lab.wait();
    }
}
