//! A rolling restart under stock clients that never stop talking: every node, then every router, one after the other. No
//! message is lost or comes twice, nobody comes back more than once a restart, and those who are connected notice nothing.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use turnpike_lab::{Node, shared, unique_prefix};

use crate::harness::http::ask;
use crate::harness::{home, require_packages};
use crate::router::until_seen;

/// A window and a start; reaching it means that something is broken.
const RESTART_MAX: Duration = Duration::from_mins(1);
const RECEIVERS: usize = 24;
const ROOMS: usize = 4;

struct Plan {
    nodes: usize,
    transports: &'static str,
    /// In which a process closes its clients.
    window: &'static str,
    before: Duration,
    /// Messages a second of one sender in one room.
    rate: u32,
}

/// Nodes on one Redis Cluster, and two routers before them.
struct System {
    nodes: Vec<Node>,
    routers: Vec<Node>,
}

impl System {
    fn start(plan: &Plan) -> Self {
        let (seeds, prefix) = (shared().seeds_text(), unique_prefix());
        let common = [
            ("REDIS_NODES", &*seeds),
            ("TURNPIKE_REDIS_PREFIX", &*prefix),
            ("TURNPIKE_DRAIN_WINDOW", plan.window),
            ("TURNPIKE_TRUSTED_PROXIES", "127.0.0.1"),
            // They all come from one address.
            ("TURNPIKE_ROUTER_HANDSHAKES_PER_ADDRESS", "100000"),
        ];
        let nodes = (1..=plan.nodes).map(|number| {
            let name = format!("n{number}");
            let own = [("SERVER_ID", &*name)];
            Node::start(&common.into_iter().chain(own).collect::<Vec<_>>()).unwrap()
        });
        let nodes: Vec<Node> = nodes.collect();
        let routers = (0..2).map(|_| Node::start_router(&common).unwrap()).collect();
        let system = Self { nodes, routers };
        system.nodes.iter().chain(&system.routers).for_each(until_ready);
        until_seen(&system.routers, plan.nodes);
        system
    }
}

fn until_ready(node: &Node) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let begun = Instant::now();
    while runtime.block_on(async { ask(node.admin, "GET", "/ready", &[], b"").await.answer().await }).status
        != 200
    {
        assert!(begun.elapsed() < RESTART_MAX, "not ready: {}", node.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// As a supervisor does it: asked to leave, waited for, started again, and nothing else before it is ready.
fn restart(node: &mut Node) -> Duration {
    let begun = Instant::now();
    node.terminate().unwrap();
    let status = node.wait(RESTART_MAX).unwrap();
    assert!(status.success(), "{status}: {}", node.log());
    let log = node.log();
    assert!(!log.contains("cut off by its deadline") && !log.contains("\"level\":\"ERROR\""), "{log}");
    node.restart().unwrap();
    until_ready(node);
    begun.elapsed()
}

/// The clients' program while it runs.
struct Clients {
    program: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Clients {
    fn start(system: &System, plan: &Plan) -> Self {
        require_packages();
        let users = (0..RECEIVERS)
            .map(|number| format!("receiver-{number}"))
            .chain((0..2).map(|number| format!("sender-{number}")));
        let mint = |user: &str| {
            system.nodes[0].token(&["--user", user, "--room", "*=join,send,history,presence,typing"]).unwrap()
        };
        let tokens: serde_json::Map<String, Value> =
            users.map(|user| (user.clone(), mint(&user).into())).collect();
        let ports: Vec<String> =
            system.routers.iter().map(|router| router.gateway.port().to_string()).collect();
        let mut program = Command::new("node")
            .current_dir(home().join("node"))
            .arg("rolling.mjs")
            .arg(format!("--entries={}", ports.join(",")))
            .arg(format!("--tokens={}", Value::Object(tokens)))
            .arg(format!("--receivers={RECEIVERS}"))
            .arg(format!("--rooms={ROOMS}"))
            .arg(format!("--rate={}", plan.rate))
            .arg(format!("--transports={}", plan.transports))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(program.stdout.take().unwrap()).lines();
        let mut clients = Self { program, lines };
        assert_eq!(clients.read(), json!({ "ready": RECEIVERS }));
        clients
    }

    fn read(&mut self) -> Value {
        let line = self.lines.next().expect("the clients' program has ended").unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn tell(&mut self, words: &str) {
        writeln!(self.program.stdin.as_mut().unwrap(), "{words}").unwrap();
    }

    /// How often each has come back so far.
    fn returns(&mut self) -> BTreeMap<String, u64> {
        self.tell("count");
        let mut answer = self.read();
        serde_json::from_value::<Vec<(String, u64)>>(answer["count"].take()).unwrap().into_iter().collect()
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// Who has come back more often than once since then.
fn twice(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> Vec<String> {
    let more = after.iter().filter(|(user, returns)| **returns > before[*user] + 1);
    more.map(|(user, returns)| format!("{user}: {returns} after {}", before[user])).collect()
}

fn roll(plan: &Plan) -> Value {
    let mut system = System::start(plan);
    let mut clients = Clients::start(&system, plan);
    std::thread::sleep(plan.before);
    clients.tell("phase during");
    let mut known = clients.returns();
    assert!(
        known.values().all(|returns| *returns == 0),
        "nobody comes back before anything happens: {known:?}"
    );
    let mut took = Vec::new();
    for node in &mut system.nodes {
        took.push(restart(node));
        let now = clients.returns();
        assert_eq!(twice(&known, &now), Vec::<String>::new(), "more than once a restart of a node");
        known = now;
    }
    for router in &mut system.routers {
        let port = router.gateway.port();
        clients.tell(&format!("drop {port}"));
        took.push(restart(router));
        clients.tell(&format!("add {port}"));
        let now = clients.returns();
        assert_eq!(twice(&known, &now), Vec::<String>::new(), "more than once a restart of a router");
        known = now;
    }
    clients.tell("phase after");
    std::thread::sleep(Duration::from_secs(1));
    clients.tell("end");
    let mut answer = clients.read();
    let report = answer["report"].take();
    println!("restarts took {took:?}\n{report:#}");
    for kind in ["faults", "missing", "refused"] {
        assert_eq!(report[kind], json!([]), "{report:#}");
    }
    assert_eq!(report["fresh"], 0, "every return is a recovery: {report:#}");
    assert!(report["messages"].as_u64().unwrap() > 500, "{report:#}");
    let moved = report["returns"].as_object().unwrap().values().filter(|returns| **returns != 0).count();
    assert!(moved > RECEIVERS / 2, "clients had to move: {report:#}");
    report
}

fn p99_ms(report: &Value, phase: &str) -> f64 {
    report["phases"][phase]["p99_ms"]
        .as_f64()
        .unwrap_or_else(|| panic!("nothing was delivered {phase}: {report:#}"))
}

/// The bound is for a busy machine: 28 clients and seven processes share it.
#[test]
fn alone_nothing_is_lost_by_a_rolling_restart_over_websockets() {
    let before = Duration::from_secs(3);
    let plan = Plan { nodes: 2, transports: "websocket", window: "2s", before, rate: 10 };
    let report = roll(&plan);
    assert!(p99_ms(&report, "during") < 2.0 * p99_ms(&report, "before") + 750.0, "{report:#}");
}

#[test]
fn alone_nothing_is_lost_by_a_rolling_restart_over_polling_and_upgrades() {
    let before = Duration::from_secs(3);
    let plan = Plan { nodes: 2, transports: "polling,websocket", window: "2s", before, rate: 10 };
    let report = roll(&plan);
    assert!(p99_ms(&report, "during") < 2.0 * p99_ms(&report, "before") + 750.0, "{report:#}");
}

/// On a machine with nothing else to do: `cargo test -p turnpike-tests --release -- --ignored rolling`.
#[test]
#[ignore = "takes two minutes, and a quiet machine"]
fn those_who_are_connected_notice_nothing_of_a_rolling_restart() {
    let before = Duration::from_secs(20);
    let plan = Plan { nodes: 3, transports: "websocket", window: "10s", before, rate: 20 };
    let report = roll(&plan);
    let (before, during) = (p99_ms(&report, "before"), p99_ms(&report, "during"));
    println!("p99 {before} ms before, {during} ms during");
    assert!(during <= 2.0 * before.max(2.0), "{before} ms before, {during} ms during: {report:#}");
}
