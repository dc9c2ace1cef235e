//! Stock clients over two nodes: cut at random, offline for a while, a node killed under them. Nothing is lost, nothing
//! comes twice, and every return is a recovery.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use turnpike_lab::{Directory, Node, shared, unique_prefix};

use crate::harness::{home, require_packages};

/// Two nodes on one Redis Cluster.
pub struct Pair {
    pub nodes: Vec<Node>,
    /// Of all their keys in Redis.
    pub prefix: String,
}

impl Pair {
    pub fn start(environment: &[(&str, &str)]) -> Self {
        Self::on(&shared().seeds_text(), environment)
    }

    pub fn on(seeds: &str, environment: &[(&str, &str)]) -> Self {
        let prefix = unique_prefix();
        let nodes = ["n1", "n2"].map(|name| {
            let own = [("REDIS_NODES", seeds), ("TURNPIKE_REDIS_PREFIX", &*prefix), ("SERVER_ID", name)];
            let environment: Vec<(&str, &str)> = own.into_iter().chain(environment.iter().copied()).collect();
            Node::start(&environment).unwrap()
        });
        Self { nodes: nodes.into(), prefix }
    }

    fn ports(&self) -> String {
        let ports: Vec<String> = self.nodes.iter().map(|node| node.gateway.port().to_string()).collect();
        ports.join(",")
    }

    pub fn token(&self, user: &str) -> String {
        self.nodes[0].token(&["--user", user, "--room", "*=join,send,history,presence,typing"]).unwrap()
    }
}

pub struct Roaming<'a> {
    pub receivers: usize,
    pub seconds: u64,
    pub transports: &'a str,
    pub offline_ms: u64,
    pub seed: u64,
    /// Where everything is written down.
    pub record: Option<&'a Path>,
}

/// The program while it runs.
pub struct Roamers {
    program: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Roamers {
    /// Everybody is in their rooms when it returns.
    pub fn start(pair: &Pair, plan: &Roaming<'_>) -> Self {
        Self::launch(pair, &pair.ports(), &[], None, plan)
    }

    /// The same over TLS, by this port, where the certificate is one of that authority's.
    pub fn over_tls(pair: &Pair, port: u16, authority: &Path, plan: &Roaming<'_>) -> Self {
        Self::launch(pair, &port.to_string(), &[], Some(authority), plan)
    }

    /// Over TLS, and no connection is cut but by what the test does.
    pub fn uncut(pair: &Pair, port: u16, authority: &Path, plan: &Roaming<'_>) -> Self {
        Self::launch(pair, &port.to_string(), &["--cut=0"], Some(authority), plan)
    }

    fn launch(pair: &Pair, ports: &str, more: &[&str], authority: Option<&Path>, plan: &Roaming<'_>) -> Self {
        require_packages();
        let users = (0..plan.receivers)
            .map(|number| format!("receiver-{number}"))
            .chain((0..2).map(|number| format!("sender-{number}")));
        let tokens: serde_json::Map<String, Value> =
            users.map(|user| (user.clone(), pair.token(&user).into())).collect();
        println!("SEED={}", plan.seed);
        let mut node = Command::new("node");
        node.current_dir(home().join("node")).arg("roaming.mjs");
        for (name, value) in [
            ("nodes", ports.to_owned()),
            ("scheme", if authority.is_some() { "https" } else { "http" }.to_owned()),
            ("tokens", Value::Object(tokens).to_string()),
            ("receivers", plan.receivers.to_string()),
            ("rooms", "4".to_owned()),
            ("seconds", plan.seconds.to_string()),
            ("rate", "20".to_owned()),
            ("offline", plan.offline_ms.to_string()),
            ("transports", plan.transports.to_owned()),
            ("seed", plan.seed.to_string()),
        ] {
            node.arg(format!("--{name}={value}"));
        }
        if let Some(record) = plan.record {
            node.arg("--record").arg(record);
        }
        node.args(more);
        if let Some(authority) = authority {
            node.env("NODE_EXTRA_CA_CERTS", authority);
        }
        let mut program = node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
        let ready = lines.next().expect("it gets ready").unwrap();
        assert_eq!(serde_json::from_str::<Value>(&ready).unwrap(), json!({ "ready": plan.receivers }));
        Self { program, lines }
    }

    pub fn tell(&mut self, word: &str) {
        writeln!(self.program.stdin.as_mut().unwrap(), "{word}").unwrap();
    }

    pub fn report(mut self) -> Value {
        let report = self.lines.next().expect("it reports").unwrap();
        let _ = self.program.wait();
        serde_json::from_str::<Value>(&report).unwrap()["report"].take()
    }
}

impl Drop for Roamers {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// That of the environment, or another each time.
pub fn seed() -> u64 {
    let given = std::env::var("SEED").ok().map(|seed| seed.parse().expect("SEED is a number"));
    given.unwrap_or_else(|| u64::from(std::process::id()))
}

fn plan(transports: &str, seconds: u64, offline_ms: u64) -> Roaming<'_> {
    Roaming { receivers: 10, seconds, transports, offline_ms, seed: seed(), record: None }
}

fn must_be_exact(report: &Value) {
    println!("{report}");
    assert_eq!(report["faults"], json!([]), "{report}");
    assert_eq!(report["missing"], json!([]), "{report}");
    assert_eq!(report["refused"], json!([]), "{report}");
    assert_eq!(report["fresh"], 0, "every return is a recovery: {report}");
    // What a busy machine leaves of some twenty returns and a thousand messages.
    assert!(report["recovered"].as_u64().unwrap() > 3, "{report}");
    assert!(report["messages"].as_u64().unwrap() > 100, "{report}");
}

#[test]
fn cut_at_random_and_away_for_a_while() {
    let pair = Pair::start(&[]);
    must_be_exact(&Roamers::start(&pair, &plan("websocket", 15, 2_000)).report());
}

#[test]
fn a_node_is_killed_under_load() {
    let mut pair = Pair::start(&[]);
    let mut roamers = Roamers::start(&pair, &plan("websocket", 15, 500));
    std::thread::sleep(Duration::from_secs(5));
    let port = pair.nodes[0].gateway.port();
    pair.nodes[0].kill();
    roamers.tell(&format!("drop {port}"));
    must_be_exact(&roamers.report());
}

/// Polls of one session land on either node.
#[test]
fn long_polling_behind_round_robin() {
    let pair = Pair::start(&[]);
    must_be_exact(&Roamers::start(&pair, &plan("polling", 10, 500)).report());
}

/// The words by which a session ends come behind its messages, and are read before them if they stand in the same answer: who
/// is given the messages again then has them twice.
#[test]
fn a_node_leaves_while_everybody_polls() {
    let mut pair = Pair::start(&[("TURNPIKE_DRAIN_WINDOW", "2s")]);
    let mut roamers = Roamers::start(&pair, &plan("polling", 10, 500));
    std::thread::sleep(Duration::from_secs(3));
    pair.nodes[0].terminate().unwrap();
    let status = pair.nodes[0].wait(Duration::from_secs(30)).unwrap();
    assert!(status.success(), "{status}: {}", pair.nodes[0].log());
    roamers.tell(&format!("drop {}", pair.nodes[0].gateway.port()));
    must_be_exact(&roamers.report());
}

#[test]
fn upgrades_behind_round_robin() {
    let pair = Pair::start(&[]);
    must_be_exact(&Roamers::start(&pair, &plan("polling,websocket", 10, 500)).report());
}

/// For so long it takes itself for connected; nothing of that time is missing afterwards.
#[test]
fn a_client_that_goes_deaf_hears_it_all_later() {
    require_packages();
    let heartbeat = [("HEARTBEAT_INTERVAL", "2s"), ("TURNPIKE_HEARTBEAT_TIMEOUT", "3s")];
    let node = Node::start(&heartbeat).unwrap();
    let token = |user: &str| node.token(&["--user", user, "--room", "*=join,send"]).unwrap();
    let clients = Command::new("node")
        .current_dir(home().join("node"))
        .arg("deaf.mjs")
        .arg(format!("--node={}", node.gateway.port()))
        .arg(format!("--tokens={}", json!([token("alice"), token("bob")])))
        .arg("--count=20")
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&clients.stdout).unwrap();
    assert_eq!(report["deaf"], true, "{report}");
    assert_eq!((&report["heard"], &report["reason"]), (&json!(0), &json!("ping timeout")), "{report}");
    assert_eq!(report["recovered"], true, "{report}");
    assert_eq!(report["got"], json!((0..20).collect::<Vec<_>>()), "each of them once: {report}");
}

/// One process without Redis, its rooms and sessions on disk.
#[test]
fn a_single_process_on_disk_is_killed_under_load() {
    let directory = Directory::new("store").unwrap();
    let store = directory.path().join("rooms");
    let node = Node::start(&[("TURNPIKE_STORE", store.to_str().unwrap())]).unwrap();
    let mut pair = Pair { nodes: vec![node], prefix: String::new() };
    let mut roamers = Roamers::start(&pair, &plan("websocket", 15, 500));
    let port = pair.nodes[0].gateway.port();
    for _ in 0..3 {
        std::thread::sleep(Duration::from_secs(4));
        pair.nodes[0].kill();
        roamers.tell(&format!("drop {port}"));
        pair.nodes[0].restart().unwrap();
        assert_eq!(pair.nodes[0].gateway.port(), port, "it comes back where it was");
        roamers.tell(&format!("add {port}"));
    }
    must_be_exact(&roamers.report());
}
