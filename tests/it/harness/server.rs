//! A server under test, in a process of its own that ends when this value does.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use turnpike_lab::{Node, Process, listening};

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
    running: Running,
}

enum Running {
    /// One of the reference servers. They end when their stdin closes, even if this process is killed.
    Reference(Process),
    Node(Node),
}

impl Server {
    pub fn start(kind: Kind, options: &ServerOptions) -> Self {
        let mut command = kind.command();
        command.args(&options.0);
        Self::from_command(kind.name(), command, |line| Some(listening(line)?.as_str()?.to_owned()))
    }

    /// `address` finds the address in the line that says where the server listens.
    pub fn from_command(
        name: &str,
        mut command: Command,
        address: impl Fn(&str) -> Option<String> + Send + 'static,
    ) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::spawn(name, &mut command).unwrap();
        let address = process
            .await_line(START_MAX, move |line| address(line)?.strip_prefix("http://")?.parse().ok())
            .expect("it says where it listens");
        Self { address, running: Running::Reference(process) }
    }

    pub fn of_node(node: Node) -> Self {
        Self { address: node.gateway, running: Running::Node(node) }
    }

    /// The node that it is, if it is one.
    pub fn node(&self) -> Option<&Node> {
        match &self.running {
            Running::Reference(_) => None,
            Running::Node(node) => Some(node),
        }
    }

    pub fn process_id(&self) -> u32 {
        match &self.running {
            Running::Reference(process) => process.id(),
            Running::Node(node) => node.id(),
        }
    }

    /// What the process has in memory now.
    pub fn resident_bytes(&self) -> u64 {
        let bytes = match &self.running {
            Running::Reference(process) => process.resident_bytes(),
            Running::Node(node) => node.resident_bytes(),
        };
        bytes.unwrap()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Reaching it means that something is broken.
const START_MAX: Duration = Duration::from_secs(30);
