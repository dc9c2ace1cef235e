//! Everything that a run starts, built and installed before it: a stale server must not be measured.

use std::process::Command;

use anyhow::Context as _;

use crate::server::{Contender, Places};

/// Builds with the profile this program itself was built with.
pub(crate) fn everything(places: &Places, contenders: &[Contender]) -> anyhow::Result<()> {
    let release = places.programs.file_name().is_some_and(|name| name == "release");
    let cargo = |arguments: &[&str]| {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&places.root).arg("build").args(arguments);
        if release {
            command.arg("--release");
        }
        run(&mut command)
    };
    // Each on its own: built together, the server would get features that only the benches ask for.
    if contenders.contains(&Contender::Turnpike) {
        cargo(&["--package", "turnpike"])?;
    }
    if contenders.contains(&Contender::Socketioxide) || contenders.contains(&Contender::Floor) {
        let bins = ["bench-floor", "bench-relay-floor", "bench-socketioxide"];
        let bins = bins.iter().flat_map(|bin| ["--bin", bin]);
        cargo(&["--package", "turnpike-benches"].into_iter().chain(bins).collect::<Vec<_>>())?;
    }
    if contenders.contains(&Contender::Node) && !is_installed(places) {
        run(Command::new("npm").current_dir(places.node_peer()).args(["ci", "--no-audit", "--no-fund"]))?;
    }
    Ok(())
}

/// Whether what npm has installed is what the lock file asks for now.
fn is_installed(places: &Places) -> bool {
    let written = |file: &str| std::fs::metadata(places.node_peer().join(file))?.modified();
    match (written("node_modules/.package-lock.json"), written("package-lock.json")) {
        (Ok(installed), Ok(asked_for)) => installed >= asked_for,
        _ => false,
    }
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let told = format!("{command:?}");
    let status = command.status().with_context(|| told.clone())?;
    anyhow::ensure!(status.success(), "{told}: {status}");
    Ok(())
}
