//! Everything that a run starts, built and installed before it: a stale server must not be measured.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, process::Command};

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
    // What other proxies are put in front of is ours.
    if [Contender::Turnpike, Contender::Nginx, Contender::Haproxy].iter().any(|one| contenders.contains(one))
    {
        cargo(&["--package", "turnpike"])?;
    }
    if contenders.contains(&Contender::Socketioxide) || contenders.contains(&Contender::Floor) {
        let bins = ["bench-floor", "bench-relay-floor", "bench-socketioxide"];
        let bins = bins.iter().flat_map(|bin| ["--bin", bin]);
        // The Redis adapter of socketioxide is for these runs alone.
        let package = ["--package", "turnpike-benches", "--features", "cluster-peer"];
        cargo(&package.into_iter().chain(bins).collect::<Vec<_>>())?;
    }
    // It brings much that nothing else here needs.
    if contenders.contains(&Contender::Webrtc) {
        let package = ["--package", "turnpike-benches", "--features", "webrtc-peer"];
        cargo(&[&package[..], &["--bin", "bench-relay-webrtc"]].concat())?;
    }
    let is_node = |contender: &&Contender| matches!(contender, Contender::Node | Contender::NodeStreams);
    if contenders.iter().any(|contender| is_node(&contender)) && !is_installed(places) {
        run(Command::new("npm").current_dir(places.node_peer()).args(["ci", "--no-audit", "--no-fund"]))?;
    }
    Ok(())
}

/// The micro benches, and what counts instructions.
pub(crate) fn micro(places: &Places) -> anyhow::Result<()> {
    installed("valgrind", false)?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(&places.root);
    run(command.args(["bench", "--package", "turnpike-benches", "--bench", "micro", "--no-run"]))
}

/// Peers that are packages of Debian, by the program that each is.
const PACKAGES: [(Contender, &str); 3] =
    [(Contender::Janus, "janus"), (Contender::Nginx, "nginx"), (Contender::Haproxy, "haproxy")];

/// Leaves out those that are not there and cannot be installed, and says so.
pub(crate) fn packages(wanted: &mut Vec<Contender>, as_they_are: bool) {
    for (contender, package) in PACKAGES {
        if wanted.contains(&contender)
            && let Err(error) = installed(package, as_they_are)
        {
            println!("{package} is left out: {error:#}");
            wanted.retain(|other| *other != contender);
        }
    }
}

/// Installs Debian's package where it is missing.
fn installed(package: &str, as_it_is: bool) -> anyhow::Result<()> {
    // Debian has servers where not every user's path leads to.
    let is_there =
        || ["/usr/bin", "/usr/sbin", "/usr/local/bin"].iter().any(|at| Path::new(at).join(package).exists());
    if is_there() {
        return Ok(());
    }
    anyhow::ensure!(!as_it_is, "it is not installed");
    let apt = |arguments: &[&str]| {
        let mut command = privileged("apt-get");
        run(command
            .args(["-o", "DPkg::Lock::Timeout=300"])
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update"])?;
    apt(&["install", "--yes", "--no-install-recommends", package])?;
    // Debian starts what it installs. We start our own, and nobody asked for one on a port that all know.
    if Path::new("/run/systemd/system").exists() {
        run(privileged("systemctl").args(["disable", "--now", package]))?;
    }
    anyhow::ensure!(is_there(), "it was installed and is not there");
    Ok(())
}

/// By `sudo`, unless it is needless.
fn privileged(program: &str) -> Command {
    let root_already = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if root_already {
        return Command::new(program);
    }
    let mut sudo = Command::new("sudo");
    sudo.args(["--non-interactive", program]);
    sudo
}

/// Whether what npm has installed is what the lock file asks for now.
fn is_installed(places: &Places) -> bool {
    let written = |file: &str| fs::metadata(places.node_peer().join(file))?.modified();
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
