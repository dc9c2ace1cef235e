//! A node of Turnpike: the real binary on ports of its own, in a folder of its own, with an environment of its own.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::directory::Directory;
use crate::guardian::Guardian;
use crate::process::{Process, last_lines};
use crate::until::until;

/// The secret that the tests sign tokens with.
pub const SECRET: &str = "0123456789-abcdefghij-ABCDEFGHIJ-of-the-tests";

/// Reaching it means that something is broken.
const START_MAX: Duration = Duration::from_secs(30);
/// Reaching it means that it will not be there.
const LOGGED_WITHIN: Duration = Duration::from_secs(10);
/// So much of its log is told of a node that does not do as it is asked.
const LOG_LINES: usize = 20;
const ROUTER_PORT: &str = "TURNPIKE_ROUTER_PORT";
/// What a node gets unless the test says otherwise.
const ENVIRONMENT: [(&str, &str); 6] = [
    ("JWT_SECRET", SECRET),
    ("PORT", "0"),
    (ROUTER_PORT, "0"),
    ("ADMIN_PORT", "0"),
    ("TURNPIKE_SHARDS", "2"),
    ("LOG_LEVEL", "warn"),
];

/// Gone with its value.
#[derive(Debug)]
pub struct Node {
    /// Where clients come in, at a router as well.
    pub gateway: SocketAddr,
    /// Where the metrics are.
    pub admin: SocketAddr,
    binary: PathBuf,
    /// Which part of the system it is: nothing for all of it.
    role: Option<&'static str>,
    environment: Vec<(String, String)>,
    process: Process,
    // Behind the process: it would kill it, and then the folder goes.
    _guardian: Guardian,
    directory: Directory,
}

impl Node {
    /// Of the binary that lies beside this test ([`turnpike`]), with `environment` over what all nodes of tests get. It
    /// listens when this returns.
    pub fn start(environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start_binary(&turnpike()?, environment)
    }

    /// A router in front of nodes, in place of one.
    pub fn start_router(environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start_as(Some("router"), &turnpike()?, environment)
    }

    pub fn start_binary(binary: &Path, environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start_as(None, binary, environment)
    }

    fn start_as(
        role: Option<&'static str>,
        binary: &Path,
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let directory = Directory::new("node")?;
        let guardian = Guardian::over(directory.path())?;
        std::fs::create_dir(home(&directory))?;
        let mut all: Vec<(String, String)> = Vec::new();
        for (key, value) in ENVIRONMENT.iter().chain(environment) {
            all.retain(|(known, _)| known != key);
            all.push(((*key).to_owned(), (*value).to_owned()));
        }
        let (process, gateway, admin) = launch(binary, role, &directory, &all)?;
        let binary = binary.to_owned();
        Ok(Self { gateway, admin, binary, role, environment: all, process, _guardian: guardian, directory })
    }

    /// A new process in the place of this one, which is killed if it still runs: same folder, environment and ports.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.process.kill();
        let port_key = if self.role.is_some() { ROUTER_PORT } else { "PORT" };
        for (key, port) in [(port_key, self.gateway.port()), ("ADMIN_PORT", self.admin.port())] {
            self.environment.retain(|(known, _)| known != key);
            self.environment.push((key.into(), port.to_string()));
        }
        let (process, gateway, admin) = launch(&self.binary, self.role, &self.directory, &self.environment)?;
        (self.process, self.gateway, self.admin) = (process, gateway, admin);
        Ok(())
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.gateway)
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Stops it where it stands.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.process.freeze()
    }

    pub fn thaw(&self) -> anyhow::Result<()> {
        self.process.thaw()
    }

    /// Asks it to leave in order, which takes its drain window: [`Self::wait`].
    pub fn terminate(&self) -> anyhow::Result<()> {
        self.process.terminate()
    }

    pub fn wait(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        self.process
            .wait(limit)
            .with_context(|| format!("the node says: {}", last_lines(&self.log(), LOG_LINES)))
    }

    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        self.process.resident_bytes()
    }

    /// What it wrote to stderr so far.
    pub fn log(&self) -> String {
        log(&self.directory)
    }

    /// Until it has written that; what a node logs is written a moment later. Gives whether it has.
    pub fn logs(&self, text: &str) -> bool {
        until(LOGGED_WITHIN, || self.log().contains(text).then_some(()).context("not yet")).is_ok()
    }

    /// What `turnpike token` prints.
    pub fn token(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = binary(&self.binary, &self.directory);
        let secret = self.environment.iter().find(|(key, _)| key == "JWT_SECRET");
        command.envs(secret.cloned()).arg("token").args(arguments);
        let output = command.output()?;
        if !output.status.success() {
            bail!("turnpike token: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}

/// What a line says about where its program listens, if it is that line.
pub fn listening(line: &str) -> Option<serde_json::Value> {
    let mut line: serde_json::Value = serde_json::from_str(line).ok()?;
    line.get_mut("listening").map(serde_json::Value::take)
}

/// A command of the binary in this folder. It sees nothing of the environment that the tests run in.
pub fn binary(path: &Path, directory: &Directory) -> Command {
    let mut command = Command::new(path);
    command.current_dir(directory.path()).env_clear().stdin(Stdio::null());
    command
}

/// The binary: that of `TURNPIKE_BIN`, or the one beside this program, which for a test is one folder up:
/// `target/<profile>/turnpike`.
pub fn turnpike() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("TURNPIKE_BIN").filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let own = std::env::current_exe()?;
    let found =
        own.ancestors().skip(1).take(2).map(|folder| folder.join("turnpike")).find(|path| path.is_file());
    found.with_context(|| {
        format!("there is no turnpike beside {}: `cargo build -p turnpike` makes it", own.display())
    })
}

fn home(directory: &Directory) -> PathBuf {
    directory.path().join("home")
}

fn log(directory: &Directory) -> String {
    let bytes = std::fs::read(home(directory).join("stderr")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn launch(
    path: &Path,
    role: Option<&str>,
    directory: &Directory,
    environment: &[(String, String)],
) -> anyhow::Result<(Process, SocketAddr, SocketAddr)> {
    let home = home(directory);
    let stderr = File::options().create(true).append(true).open(home.join("stderr"))?;
    let mut command = binary(path, directory);
    command
        .current_dir(&home)
        .args(role)
        .envs(environment.iter().cloned())
        .stdout(Stdio::piped())
        .stderr(stderr);
    let mut process = Process::spawn("turnpike", &mut command)?;
    writeln!(File::create(home.join("pid"))?, "{}", process.id())?;
    let address = |line: &serde_json::Value, name: &str| -> Option<SocketAddr> {
        line[name].as_str()?.strip_prefix("http://")?.parse().ok()
    };
    let (gateway, admin) = process
        .await_line(START_MAX, move |line| {
            let line = listening(line)?;
            let entry = address(&line, "gateway").or_else(|| address(&line, "router"))?;
            Some((entry, address(&line, "admin")?))
        })
        .with_context(|| format!("turnpike does not say where it listens; it logged:\n{}", log(directory)))?;
    Ok((process, gateway, admin))
}
