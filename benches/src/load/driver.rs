//! The scenarios' end of the load processes: starts them, sends commands, collects reports, and turns whatever a load
//! process calls a failure into an error.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command as Process, Stdio},
};

use anyhow::Context as _;

use super::command::{Command, Report, Sent};
use crate::{measure::pinning::Core, server::own_program};

/// More than this in one process and a process is no longer cheap.
pub(crate) const CONNECTIONS_PER_PROCESS_MAX: u32 = 9_000;

pub(crate) struct Driver {
    number: u8,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Driver {
    pub(crate) fn start(target: SocketAddr, secret: &str, number: u8, core: Core) -> anyhow::Result<Self> {
        let mut command: Process = core.command(own_program()?);
        command.args(["load", &target.to_string(), &number.to_string()]);
        command.env("JWT_SECRET", secret).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("a load process did not start")?;
        let input = child.stdin.take().context("stdin of the load process")?;
        let output = BufReader::new(child.stdout.take().context("stdout of the load process")?);
        Ok(Self { number, child, input, output })
    }

    pub(crate) fn send(&mut self, command: &Command) -> anyhow::Result<()> {
        if let Command::Open { count, .. } = command {
            anyhow::ensure!(
                *count <= CONNECTIONS_PER_PROCESS_MAX,
                "{count} connections in one load process; at most {CONNECTIONS_PER_PROCESS_MAX}"
            );
        }
        let mut line = serde_json::to_vec(command)?;
        line.push(b'\n');
        self.input.write_all(&line).context("the load process has gone")?;
        Ok(())
    }

    pub(crate) fn report(&mut self) -> anyhow::Result<Report> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let report: Report =
            serde_json::from_str(&line).with_context(|| format!("the load process said {line:?}"))?;
        anyhow::ensure!(
            report.failures == 0,
            "load process {}: {} failures: {}",
            self.number,
            report.failures,
            report.failed.join("; ")
        );
        Ok(report)
    }

    pub(crate) fn call(&mut self, command: &Command) -> anyhow::Result<Report> {
        self.send(command)?;
        self.report()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Holds every member of every driver to what all of them have sent. Returns how many saw another order.
pub(crate) fn verify(drivers: &mut [&mut Driver], reports: &[Report]) -> anyhow::Result<u64> {
    let mut sent = Sent::new();
    for report in reports {
        for (room, account) in &report.sent {
            sent.entry(*room).or_default().merge(*account);
        }
    }
    let mut disordered = 0;
    for driver in drivers {
        disordered += driver.call(&Command::Verify { sent: sent.clone() })?.disordered;
    }
    Ok(disordered)
}
