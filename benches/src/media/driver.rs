//! The scenarios' end of a media load process.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use anyhow::Context as _;
use clap::ValueEnum as _;

use super::command::{Command, Dialect, Report};
use crate::{measure::pinning::Core, server::own_program};

pub(crate) struct Driver {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Driver {
    pub(crate) fn start(
        target: SocketAddr,
        dialect: Dialect,
        secret: &str,
        core: Core,
    ) -> anyhow::Result<Self> {
        let mut command = core.command(own_program()?);
        let dialect = dialect.to_possible_value().context("a dialect has a name")?;
        command.args(["media", &target.to_string(), dialect.get_name()]);
        command.env("JWT_SECRET", secret).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("the media load did not start")?;
        let input = child.stdin.take().context("stdin of the media load")?;
        let output = BufReader::new(child.stdout.take().context("stdout of the media load")?);
        Ok(Self { child, input, output })
    }

    /// What went wrong with anybody is an error.
    pub(crate) fn call(&mut self, command: &Command) -> anyhow::Result<Report> {
        let report = self.attempt(command)?;
        anyhow::ensure!(
            report.failures == 0,
            "the media load: {} failures: {}",
            report.failures,
            report.failed.join("; ")
        );
        Ok(report)
    }

    /// What went wrong is in the report.
    pub(crate) fn attempt(&mut self, command: &Command) -> anyhow::Result<Report> {
        let mut line = serde_json::to_vec(command)?;
        line.push(b'\n');
        self.input.write_all(&line).context("the media load has gone")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("the media load said {line:?}"))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
