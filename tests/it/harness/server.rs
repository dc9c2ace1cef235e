//! A server under test, in a process of its own that ends when this value does.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::home;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Node's own `socket.io`.
    Node,
    Oxide,
    /// Ours: the engine under an application of its own.
    Engine,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Oxide => "oxide",
            Self::Engine => "engine",
        }
    }

    fn command(self) -> Command {
        match self {
            Self::Node => {
                let mut node = Command::new("node");
                node.current_dir(home().join("node")).arg("reference-server.mjs");
                node
            }
            Self::Oxide => Command::new(env!("CARGO_BIN_EXE_oxide_reference")),
            Self::Engine => Command::new(env!("CARGO_BIN_EXE_engine_reference")),
        }
    }
}

/// What differs from a server's defaults: the options of `turnpike_tests::Options`.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions(Vec<String>);

impl ServerOptions {
    pub fn flag(mut self, name: &str, on: bool) -> Self {
        self.0.extend(on.then(|| format!("--{name}")));
        self
    }

    pub fn value(mut self, name: &str, value: &(impl ToString + ?Sized)) -> Self {
        self.0.extend([format!("--{name}"), value.to_string()]);
        self
    }
}

pub struct Server {
    pub address: SocketAddr,
    child: Child,
    /// Held open: the server ends when it closes, even if this process is killed.
    _stdin: ChildStdin,
}

impl Server {
    pub fn start(kind: Kind, options: &ServerOptions) -> Self {
        let mut command = kind.command();
        command.args(&options.0);
        Self::from_command(kind.name(), command, |line| Some(listen_line(line)?.as_str()?.to_owned()))
    }

    /// `address` finds the address in the part of the line that says where the server listens.
    pub fn from_command(
        name: &str,
        mut command: Command,
        address: impl Fn(&str) -> Option<String> + Send + 'static,
    ) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("the {name} server does not start: {error}"));
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (found, address_found) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if let Some(address) = address(&line) {
                    let _ = found.send(address);
                }
            }
        });
        let address = address_found
            .recv_timeout(Duration::from_secs(30))
            .unwrap_or_else(|_| panic!("the {name} server did not say where it listens"));
        let address = address.strip_prefix("http://").and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("the {name} server named no address"));
        Self { address, child, _stdin: stdin }
    }

    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// What the process has in memory now.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() * 1024
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which is the test's business and not ours.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a line says about where its program listens, if it is that line.
pub fn listen_line(line: &str) -> Option<serde_json::Value> {
    let mut line: serde_json::Value = serde_json::from_str(line).ok()?;
    line.get_mut("listening").map(serde_json::Value::take)
}
