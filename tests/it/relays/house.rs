//! Nodes on one Redis Cluster, each with a gateway and a relay.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use turnpike_lab::{Node, shared, unique_prefix};

/// Reaching it means that something is broken.
const BROKEN: Duration = Duration::from_secs(30);

pub struct House {
    pub names: Vec<String>,
    pub nodes: Vec<Node>,
}

impl House {
    /// A node for each name, with what it is told besides.
    pub fn start(plan: &[(&str, &[(&str, &str)])]) -> Self {
        let (seeds, prefix) = (shared().seeds_text(), unique_prefix());
        let nodes = plan.iter().map(|(name, environment)| {
            let own = [("REDIS_NODES", &*seeds), ("TURNPIKE_REDIS_PREFIX", &*prefix), ("SERVER_ID", name)];
            let environment: Vec<(&str, &str)> = own.into_iter().chain(environment.iter().copied()).collect();
            Node::start(&environment).unwrap()
        });
        let house =
            Self { nodes: nodes.collect(), names: plan.iter().map(|(name, _)| (*name).to_owned()).collect() };
        // A relay is offered to the others a moment after its node is there.
        std::thread::sleep(Duration::from_secs(2));
        house
    }

    pub fn port(&self, node: usize) -> u16 {
        self.nodes[node].gateway.port()
    }

    pub fn token(&self, user: &str, rights: &str) -> String {
        self.nodes[0].token(&["--user", user, "--stream", &format!("live:*={rights}")]).unwrap()
    }

    /// One without labels, that counts something.
    pub fn metric(&self, node: usize, name: &str) -> u64 {
        let found = self
            .metrics(node)
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        found.unwrap_or_else(|| panic!("no {name} in the metrics"))
    }

    /// The sum over all labels.
    pub fn labelled(&self, node: usize, name: &str) -> u64 {
        let text = self.metrics(node);
        let of = |line: &str| {
            let rest = line.strip_prefix(name)?;
            rest.starts_with(['{', ' ']).then(|| rest.rsplit(' ').next()?.parse::<u64>().ok()).flatten()
        };
        text.lines().filter_map(of).sum()
    }

    pub fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = Instant::now() + BROKEN;
        while !holds(self) {
            assert!(Instant::now() < end, "waited in vain: {what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A backend ends a stream for everybody.
    pub fn end(&self, node: usize, stream: &str) {
        let token = self.nodes[0].token(&["--user", "backend", "--role", "service"]).unwrap();
        let node = self.nodes[node].gateway;
        let mut connection = TcpStream::connect(node).unwrap();
        let request = format!(
            "DELETE /api/v1/streams/{stream} HTTP/1.1\r\nHost: {node}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
    }

    fn metrics(&self, node: usize) -> String {
        let mut stream = TcpStream::connect(self.nodes[node].admin).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }
}
