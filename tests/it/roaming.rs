//! Stock clients over two nodes: cut at random, offline for a while, a node killed under them. Nothing is lost, nothing
//! comes twice, and every return is a recovery.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use turnpike_lab::{Node, shared, unique_prefix};

use crate::harness::{home, require_packages};

/// Two nodes on one Redis Cluster.
pub struct Pair {
    pub nodes: Vec<Node>,
}

impl Pair {
    pub fn start(environment: &[(&str, &str)]) -> Self {
        let (seeds, prefix) = (shared().seeds_text(), unique_prefix());
        let nodes = ["n1", "n2"].map(|name| {
            let own = [("REDIS_NODES", &*seeds), ("TURNPIKE_REDIS_PREFIX", &*prefix), ("SERVER_ID", name)];
            let environment: Vec<(&str, &str)> = own.into_iter().chain(environment.iter().copied()).collect();
            Node::start(&environment).unwrap()
        });
        Self { nodes: nodes.into() }
    }

    fn ports(&self) -> String {
        let ports: Vec<String> = self.nodes.iter().map(|node| node.gateway.port().to_string()).collect();
        ports.join(",")
    }

    pub fn token(&self, user: &str) -> String {
        self.nodes[0].token(&["--user", user, "--room", "*=join,send,history,presence,typing"]).unwrap()
    }
}

struct Roaming<'a> {
    receivers: usize,
    seconds: u64,
    transports: &'a str,
    offline_ms: u64,
    /// Kill the first node with -9 after so long.
    kill_after: Option<Duration>,
}

fn roam(plan: &Roaming<'_>) -> Value {
    require_packages();
    let mut pair = Pair::start(&[]);
    let users: Vec<String> = (0..plan.receivers)
        .map(|number| format!("receiver-{number}"))
        .chain((0..2).map(|number| format!("sender-{number}")))
        .collect();
    let tokens: serde_json::Map<String, Value> =
        users.iter().map(|user| (user.clone(), pair.token(user).into())).collect();
    let seed = std::env::var("SEED").unwrap_or_else(|_| std::process::id().to_string());
    println!("SEED={seed}");
    let mut node = Command::new("node");
    node.current_dir(home().join("node")).arg("roaming.mjs");
    for (name, value) in [
        ("nodes", pair.ports()),
        ("tokens", Value::Object(tokens).to_string()),
        ("receivers", plan.receivers.to_string()),
        ("rooms", "4".to_owned()),
        ("seconds", plan.seconds.to_string()),
        ("rate", "20".to_owned()),
        ("offline", plan.offline_ms.to_string()),
        ("transports", plan.transports.to_owned()),
        ("seed", seed),
    ] {
        node.arg(format!("--{name}={value}"));
    }
    let mut roaming = node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(roaming.stdout.take().unwrap()).lines();
    let ready = lines.next().expect("it gets ready").unwrap();
    assert_eq!(serde_json::from_str::<Value>(&ready).unwrap(), json!({ "ready": plan.receivers }));
    if let Some(after) = plan.kill_after {
        std::thread::sleep(after);
        let port = pair.nodes[0].gateway.port();
        pair.nodes[0].kill();
        writeln!(roaming.stdin.as_mut().unwrap(), "drop {port}").unwrap();
    }
    let report = lines.next().expect("it reports").unwrap();
    let _ = roaming.wait();
    serde_json::from_str::<Value>(&report).unwrap()["report"].take()
}

fn must_be_exact(report: &Value) {
    println!("{report}");
    assert_eq!(report["faults"], json!([]), "{report}");
    assert_eq!(report["missing"], json!([]), "{report}");
    assert_eq!(report["refused"], json!([]), "{report}");
    assert_eq!(report["fresh"], 0, "every return is a recovery: {report}");
    assert!(report["recovered"].as_u64().unwrap() > 10, "{report}");
    assert!(report["messages"].as_u64().unwrap() > 500, "{report}");
}

#[test]
fn cut_at_random_and_away_for_a_while() {
    let plan =
        Roaming { receivers: 12, seconds: 15, transports: "websocket", offline_ms: 2_000, kill_after: None };
    must_be_exact(&roam(&plan));
}

#[test]
fn a_node_is_killed_under_load() {
    let kill_after = Some(Duration::from_secs(5));
    let plan = Roaming { receivers: 12, seconds: 15, transports: "websocket", offline_ms: 500, kill_after };
    must_be_exact(&roam(&plan));
}

/// Polls of one session land on either node.
#[test]
fn long_polling_behind_round_robin() {
    let plan = Roaming { receivers: 6, seconds: 10, transports: "polling", offline_ms: 500, kill_after: None };
    must_be_exact(&roam(&plan));
}

#[test]
fn upgrades_behind_round_robin() {
    let plan =
        Roaming { receivers: 6, seconds: 10, transports: "polling,websocket", offline_ms: 500, kill_after: None };
    must_be_exact(&roam(&plan));
}
