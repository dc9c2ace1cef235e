//! The real binary as a server of these tests, and tokens for it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output, Stdio};

use turnpike_lab::{Node, SECRET};

use super::home;
use super::server::Server;

pub struct Turnpike {
    pub server: Server,
    /// Where the metrics are.
    pub admin: SocketAddr,
}

impl Turnpike {
    pub fn start(environment: &[(&str, &str)]) -> Self {
        let node = Node::start(environment).unwrap();
        Self { admin: node.admin, server: Server::of_node(node) }
    }

    /// Over all labels; none: nought.
    pub fn metric(&self, name: &str) -> u64 {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut metrics = String::new();
        stream.read_to_string(&mut metrics).unwrap();
        let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        let values =
            metrics.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum::<f64>() as u64
    }

    /// What `turnpike token` prints.
    pub fn token(&self, arguments: &[&str]) -> String {
        self.server.node().expect("it is a node").token(arguments).unwrap()
    }
}

/// A token with claims that `turnpike token` would not give.
pub fn signed(claims: &serde_json::Value) -> String {
    let program = format!("import {{ token }} from './lib/token.mjs'; console.log(token({claims}))");
    let mut node = Command::new("node");
    node.current_dir(home().join("node")).args(["--input-type=module", "--eval", &program]);
    succeeded(&node.env("SUITE_SECRET", SECRET).stdin(Stdio::null()).output().unwrap())
}

pub fn succeeded(output: &Output) -> String {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {stdout}{stderr}", output.status);
    stdout.trim().to_owned()
}
