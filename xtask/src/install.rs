//! Gets what the tests need and the machine lacks: packages of Debian, npm and Python, by name.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::command::{root, run_quietly};
use crate::python::python;

/// A program that the tests start, and the Debian package that brings it.
const PROGRAMS: [(&str, &str); 15] = [
    ("cc", "build-essential"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("chromium", "chromium"),
    ("ffprobe", "ffmpeg"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("turnserver", COTURN),
    ("curl", "curl"),
    ("faketime", "faketime"),
    (NGINX, NGINX),
    ("openssl", "openssl"),
    ("valgrind", "valgrind"),
    (PROMETHEUS, PROMETHEUS),
    (REDIS, REDIS),
];

const COTURN: &str = "coturn";
const NGINX: &str = "nginx";
const PROMETHEUS: &str = "prometheus";
const REDIS: &str = "redis-server";
/// Packages that bring a service of their own name.
const SERVICES: [&str; 4] = [COTURN, NGINX, PROMETHEUS, REDIS];

/// Folders with a `package.json` and a `package-lock.json`.
const NODE_FOLDERS: [&str; 1] = ["tests/node"];

pub(crate) fn install() -> anyhow::Result<()> {
    let missing: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| find(program).is_none()).map(|(_, package)| *package).collect();
    if !missing.is_empty() {
        debian(&missing)?;
    }
    for folder in NODE_FOLDERS {
        npm(&root().join(folder))?;
    }
    python()
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // Not everybody has those of the administrator in their path.
    let administrator = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(administrator)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

pub(crate) fn debian(packages: &[&str]) -> anyhow::Result<()> {
    println!("    apt-get install {}", packages.join(" "));
    if find("apt-get").is_none() {
        bail!("this is no Debian machine: install {} by its own means", packages.join(", "));
    }
    apt(&["update"])?;
    let mut install = vec!["install", "--yes", "--no-install-recommends"];
    install.extend(packages);
    apt(&install)?;
    for service in SERVICES.into_iter().filter(|service| packages.contains(service)) {
        stop_service(service)?;
    }
    Ok(())
}

/// Debian starts what it installs. The tests start their own, and nobody asked for one on a port that all know.
fn stop_service(name: &str) -> anyhow::Result<()> {
    let mut command;
    if Path::new("/run/systemd/system").exists() {
        command = privileged("systemctl");
        command.args(["disable", "--now", name]);
    } else if find("service").is_some() {
        command = privileged("service");
        command.args([name, "stop"]);
    } else {
        // A container without either: nothing was started.
        return Ok(());
    }
    let finished = run_quietly(&mut command)?;
    if !finished.status.success() {
        println!("    {name} may run as a service now: {}", finished.output.join(" "));
    }
    Ok(())
}

/// By `sudo`, unless it is needless or not there.
fn privileged(program: &str) -> Command {
    let root_already =
        fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if root_already || find("sudo").is_none() {
        return Command::new(program);
    }
    let mut sudo = Command::new("sudo");
    sudo.args(["--non-interactive", program]);
    sudo
}

fn apt(arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = privileged("apt-get");
    command.args(["-o", "DPkg::Lock::Timeout=300"]).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    must_succeed(&mut command, &format!("apt-get {}", arguments.join(" ")))
}

/// Does nothing when what is installed is what the lock file says.
fn npm(folder: &Path) -> anyhow::Result<()> {
    // Two runs in one clone would otherwise write into each other's node_modules.
    let lock = File::create(folder.join(".install.lock"))?;
    lock.lock()?;
    let wanted = fs::read(folder.join("package-lock.json"))
        .with_context(|| format!("{} has no package-lock.json", folder.display()))?;
    let stamp = folder.join("node_modules/.installed-from");
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    println!("    npm ci in {}", folder.strip_prefix(root()).unwrap_or(folder).display());
    let mut command = Command::new("npm");
    command.current_dir(folder).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    must_succeed(&mut command, "npm ci")?;
    fs::write(stamp, wanted)?;
    Ok(())
}

pub(crate) fn must_succeed(command: &mut Command, what: &str) -> anyhow::Result<()> {
    let finished = run_quietly(command)?;
    if !finished.status.success() {
        bail!("{what} failed:\n{}", finished.output.join("\n"));
    }
    Ok(())
}
