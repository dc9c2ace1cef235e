//! A router, its nodes, and raw clients.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::Registry;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use turnpike_cluster::embedded;
use turnpike_guard::limit::Rate;
use turnpike_shard_router::{Handshakes, Router, RouterConfig, Rules, Strategy};

use crate::node::{BUFFER_BYTES, Mode, Node};

/// Reaching it means that something is broken.
pub(crate) const BROKEN: Duration = Duration::from_secs(20);
/// A moment, on a machine that may have other things to do for a while.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(4);
pub(crate) const BEGIN: &str = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: r\r\n\r\n";
pub(crate) const WEBSOCKET: &str = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: r\r\nconnection: Upgrade\r\n\
                             upgrade: websocket\r\nsec-websocket-key: x\r\nsec-websocket-version: 13\r\n\r\n";

pub(crate) struct Stand {
    pub(crate) router: SocketAddr,
    pub(crate) nodes: Vec<Node>,
    pub(crate) serving: Router,
    registry: Registry,
    members: watch::Sender<Arc<[turnpike_cluster::Node]>>,
}

fn count(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

pub(crate) fn rules(handshakes: u32, per_address: u32) -> Rules {
    Rules {
        strategy: Strategy::RoundRobin,
        weights: HashMap::new(),
        handshakes: Handshakes {
            in_sum: count(handshakes),
            per_address: Rate::per_second(count(per_address), count(per_address)),
        },
    }
}

fn config(handshakes: u32, per_address: u32) -> RouterConfig {
    RouterConfig {
        address: ([127, 0, 0, 1], 0).into(),
        threads: 1,
        rules: rules(handshakes, per_address),
        proxies: turnpike_guard::address::Proxies::default(),
        connections_max: 1_000,
    }
}

/// As the cluster knows it.
fn member(node: &Node, number: usize) -> turnpike_cluster::Node {
    let fields = json!({
        "incarnation": number + 1, "name": node.name, "address": node.address, "version": "0", "draining": false
    });
    serde_json::from_value(fields).unwrap()
}

impl Stand {
    pub(crate) fn start(nodes: usize) -> Self {
        Self::with(nodes, 100_000, 100_000)
    }

    /// With so many handshakes a second, and so many of one address.
    pub(crate) fn with(count: usize, handshakes: u32, per_address: u32) -> Self {
        let mut nodes = Vec::new();
        for number in 0..count {
            nodes.push(Node::start(&format!("n{number}")));
        }
        let (members, seen) =
            watch::channel(nodes.iter().enumerate().map(|(at, node)| member(node, at)).collect());
        let directory = embedded::start(&embedded::Config::new("router")).unwrap().directory;
        let bound = Router::bind(config(handshakes, per_address)).unwrap();
        let (router, registry) = (bound.local_addr(), Registry::new());
        let serving = bound.serve(seen, directory, &registry).unwrap();
        Self { router, nodes, serving, registry, members }
    }

    /// Only these are there from now on.
    pub(crate) fn keep(&self, keep: impl Fn(&Node) -> bool) {
        let kept = self.nodes.iter().enumerate().filter(|(_, node)| keep(node));
        self.members.send_replace(kept.map(|(at, node)| member(node, at)).collect());
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.nodes.iter().for_each(|node| node.set(mode));
    }

    /// The sum of a metric over its labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let value = |metric: &prometheus::proto::Metric| {
            metric.get_counter().get_value() + metric.get_gauge().get_value()
        };
        family.get_metric().iter().map(value).sum()
    }

    pub(crate) async fn client(&self) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(BUFFER_BYTES).unwrap();
        socket.set_recv_buffer_size(BUFFER_BYTES).unwrap();
        Client(socket.connect(self.router).await.unwrap())
    }

    /// Sends all of it and gives all that comes until the end, or until nothing more does for a while.
    pub(crate) async fn exchange(&self, request: impl AsRef<[u8]>) -> String {
        let mut client = self.client().await;
        client.send(request).await;
        client.rest().await
    }

    /// Until it holds.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn() -> bool) -> Duration {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < BROKEN, "{what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        begun.elapsed()
    }
}

pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // A router may have answered and closed before it has got everything.
        let _ = self.0.write_all(bytes.as_ref()).await;
    }

    /// Up to and with these bytes.
    pub(crate) async fn until(&mut self, end: &[u8]) -> Vec<u8> {
        let mut got = Vec::new();
        let read = async {
            while !got.ends_with(end) {
                got.push(self.0.read_u8().await.expect("more is to come"));
            }
        };
        let in_time = tokio::time::timeout(BROKEN, read).await.is_ok();
        assert!(in_time, "{:?} came", String::from_utf8_lossy(&got));
        got
    }

    /// Until the end, or until nothing more comes behind what has come.
    pub(crate) async fn rest(&mut self) -> String {
        const QUIET: Duration = Duration::from_millis(1_500);
        let (mut got, mut chunk, mut patience) = (Vec::new(), [0; 4_096], BROKEN);
        while let Ok(Ok(read @ 1..)) = tokio::time::timeout(patience, self.0.read(&mut chunk)).await {
            got.extend_from_slice(&chunk[..read]);
            patience = QUIET;
        }
        String::from_utf8_lossy(&got).into_owned()
    }

    /// Whether the router hangs up.
    pub(crate) async fn ends(&mut self) -> bool {
        let mut chunk = [0; 4_096];
        let end = async { while let Ok(1..) = self.0.read(&mut chunk).await {} };
        tokio::time::timeout(BROKEN, end).await.is_ok()
    }
}
