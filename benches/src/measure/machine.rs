//! Which machine, which commit, which day.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, UdpSocket},
    path::Path,
    process::Command,
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) cpu: String,
    pub(crate) kernel: String,
}

impl Machine {
    pub(crate) fn here() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        // Virtual machines often hide the name; family, model and stepping still tell the generation.
        let cpu = format!(
            "{} (family {} model {} stepping {})",
            field("model name").unwrap_or_default(),
            field("cpu family").unwrap_or_default(),
            field("model\t").unwrap_or_default(),
            field("stepping").unwrap_or_default(),
        );
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
        Self { cores: std::thread::available_parallelism().map_or(1, usize::from), cpu, kernel }
    }
}

/// The machine's own address towards others.
pub(crate) fn address() -> anyhow::Result<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // Sends nothing; the kernel only looks for a way there. The address is for examples (RFC 5737).
    socket.connect((Ipv4Addr::new(198, 51, 100, 1), 9)).context("the machine has no address but its own")?;
    match socket.local_addr()?.ip() {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(address) => anyhow::bail!("{address} is not of IPv4"),
    }
}

/// The commit that is checked out, with a plus when files differ from it.
pub(crate) fn commit(root: &Path) -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=10", "HEAD"]).unwrap_or_else(|| "unknown".into());
    // The results themselves change with each run and change no server.
    let clean = git(&[
        "status",
        "--porcelain",
        "--",
        ".",
        ":!benches/results",
        ":!benches/README.md",
        ":!docs/performance.md",
        ":!docs/sizing.md",
        ":!docs/plots",
    ])
    .is_some_and(|changes| changes.is_empty());
    if clean { commit } else { format!("{commit}+") }
}

/// Now, as RFC 3339 in UTC.
pub(crate) fn date() -> String {
    let output = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output();
    output
        .map_or_else(|_| "unknown".into(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
