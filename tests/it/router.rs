//! A router in front of real nodes: where requests go, what becomes of them when nodes come, drain and die, and
//! stock clients that notice nothing but a reconnect.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use turnpike_lab::{Node, shared};

use crate::harness::http::{Response, ask};
use crate::roaming::{Pair, Roamers, Roaming, seed};

/// Nodes, and routers in front of them.
struct Entry {
    nodes: Pair,
    /// As clients see it: routers in place of nodes.
    front: Pair,
}

/// The router is a proxy to them.
const TRUSTING: [(&str, &str); 1] = [("TURNPIKE_TRUSTED_PROXIES", "127.0.0.1")];
/// Broken if it takes longer.
const SOON: Duration = Duration::from_secs(10);
/// Of what happens within a second, with as much again for a machine that does other things meanwhile.
const SECOND: Duration = Duration::from_secs(2);
/// Until clients of a node that died are back. A stock client waits for half a second to one and a half by itself.
const BACK_MAX: Duration = Duration::from_secs(8);
/// What a node that stands still may cost whoever begins. Less than its lease.
const FROZEN_MAX: Duration = Duration::from_millis(2_500);
/// Between two looks.
const BREATH: Duration = Duration::from_millis(100);

impl Entry {
    fn start(routers: usize, of_routers: &[(&str, &str)]) -> Self {
        let nodes = Pair::start(&TRUSTING);
        let seeds = shared().seeds_text();
        let own = [
            ("REDIS_NODES", &*seeds),
            ("TURNPIKE_REDIS_PREFIX", &*nodes.prefix),
            // All of a test come from one address, and look again and again.
            ("TURNPIKE_ROUTER_HANDSHAKES_PER_ADDRESS", "100000"),
        ];
        let environment: Vec<(&str, &str)> = own.into_iter().chain(of_routers.iter().copied()).collect();
        let routers = (0..routers).map(|_| Node::start_router(&environment).unwrap()).collect();
        let front = Pair { nodes: routers, prefix: nodes.prefix.clone() };
        let entry = Self { nodes, front };
        until_seen(&entry.front.nodes, entry.nodes.nodes.len());
        entry
    }

    fn router(&self) -> SocketAddr {
        self.front.nodes[0].gateway
    }

    /// Of the router.
    fn metric(&self, name: &str) -> u64 {
        metric(self.front.nodes[0].admin, name)
    }

    /// Clients that are in, at all nodes that live.
    fn sockets(&self) -> u64 {
        self.nodes.nodes.iter().map(|node| metric(node.admin, "turnpike_gateway_sockets")).sum()
    }

    /// Begins sessions and counts at which nodes they are. Each must be answered.
    fn begin(&self, count: usize) -> BTreeMap<String, usize> {
        let mut homes = BTreeMap::new();
        for _ in 0..count {
            let sid = begin(self.router());
            let node = sid.split('.').next().unwrap().to_owned();
            *homes.entry(node).or_default() += 1;
        }
        homes
    }

    /// Gives how long it took.
    fn until(&self, what: &str, holds: impl Fn(&BTreeMap<String, usize>) -> bool) -> Duration {
        let begun = Instant::now();
        loop {
            let homes = self.begin(20);
            if holds(&homes) {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < SOON, "{what}: {homes:?}");
            // Sessions that nobody enters stay for a while, and a node lets in so many.
            std::thread::sleep(BREATH);
        }
    }
}

/// Waits until each of these routers sees so many nodes: one that does not yet knows nothing of their sessions.
pub fn until_seen(routers: &[Node], nodes: usize) {
    let begun = Instant::now();
    for router in routers {
        while places(router.gateway).len() < nodes {
            assert!(begun.elapsed() < SOON, "a router does not see all nodes: {}", router.log());
            std::thread::sleep(BREATH);
        }
    }
}

/// The nodes that some users belong to, as a router sees it.
fn places(router: SocketAddr) -> BTreeSet<String> {
    let place = |number| {
        let answer = request(router, &format!("/v1/route?user=u{number}"), &[]);
        let place: Value = serde_json::from_str(answer.text()).unwrap();
        place["node"].as_str().map(ToOwned::to_owned)
    };
    (0..30).filter_map(place).collect()
}

fn request(to: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Response {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { ask(to, "GET", path, headers, b"").await.answer().await })
}

/// The sum over its labels; nothing of who is not there.
fn metric(admin: SocketAddr, name: &str) -> u64 {
    if std::net::TcpStream::connect(admin).is_err() {
        return 0;
    }
    let text = request(admin, "/metrics", &[]);
    let values = text.text().lines().filter(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{'))
    });
    values.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
}

/// A handshake; the session's id.
fn begin(to: SocketAddr) -> String {
    let opened = request(to, "/socket.io/?EIO=4&transport=polling", &[]);
    assert_eq!(opened.status, 200, "{opened:?}");
    let fields: Value = serde_json::from_str(opened.text().strip_prefix('0').unwrap()).unwrap();
    fields["sid"].as_str().unwrap().to_owned()
}

fn plan(transports: &str, seconds: u64) -> Roaming<'_> {
    Roaming { receivers: 10, seconds, transports, offline_ms: 500, seed: seed(), record: None }
}

fn must_be_exact(report: &Value) {
    println!("{report}");
    for kind in ["faults", "missing", "refused"] {
        assert_eq!(report[kind], json!([]), "{report}");
    }
    assert_eq!(report["fresh"], 0, "every return is a recovery: {report}");
    // What a busy machine leaves of some thousand.
    assert!(report["messages"].as_u64().unwrap() > 100, "{report}");
}

#[test]
fn requests_find_their_session() {
    let entry = Entry::start(1, &[]);
    for _ in 0..20 {
        let sid = begin(entry.router());
        let probe = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let posted =
            runtime.block_on(async { ask(entry.router(), "POST", &probe, &[], b"40").await.answer().await });
        assert_eq!((posted.status, posted.text()), (200, "ok"));
    }
    let unknown =
        request(entry.router(), "/socket.io/?EIO=4&transport=polling&sid=n9.0.AAAAAAAAAAAAAAAAAAAAAA", &[]);
    assert_eq!((unknown.status, unknown.text()), (400, r#"{"code":1,"message":"Session ID unknown"}"#));
    let health = request(entry.router(), "/api/v1/info/health", &[]);
    assert_eq!(health.status, 200);
}

#[test]
fn it_says_where_things_are() {
    let entry = Entry::start(1, &[]);
    let place = |query: &str| {
        let answer = request(entry.router(), &format!("/v1/route?{query}"), &[]);
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_str::<Value>(answer.text()).unwrap()
    };
    let room = place("room=chat:1");
    assert_eq!(room["ok"], true);
    assert_eq!(place("room=chat:1"), room, "it is the same each time");
    let addresses: Vec<String> = entry.nodes.nodes.iter().map(|node| node.gateway.to_string()).collect();
    assert!(addresses.contains(&room["address"].as_str().unwrap().to_owned()), "{room}");
    assert_eq!(places(entry.router()).len(), 2, "both nodes have some users");
    assert!(place("stream=live:1")["node"].is_string());
    for bad in ["", "room=", "room=%20", "other=1"] {
        assert_eq!(request(entry.router(), &format!("/v1/route?{bad}"), &[]).status, 400, "{bad}");
    }
}

#[test]
fn those_of_one_room_are_at_one_node() {
    let entry = Entry::start(1, &[("TURNPIKE_ROUTER_STRATEGY", "rendezvous")]);
    let home = |room: &str| {
        let opened =
            request(entry.router(), &format!("/socket.io/?EIO=4&transport=polling&room={room}"), &[]);
        let sid = opened.text().split("\"sid\":\"").nth(1).unwrap().to_owned();
        sid.split('.').next().unwrap().to_owned()
    };
    let homes: Vec<String> = (0..16).map(|room| home(&format!("chat:{room}"))).collect();
    assert!((0..16).all(|room| home(&format!("chat:{room}")) == homes[room]), "{homes:?}");
    assert!(homes.iter().any(|node| *node != homes[0]), "{homes:?}");
}

#[test]
fn more_than_are_let_in_are_told_when_to_come() {
    let entry = Entry::start(1, &[("TURNPIKE_ROUTER_HANDSHAKES_PER_ADDRESS", "25")]);
    // Faster than they may, on a slow machine as well, if not at once.
    let answers = (0..1_000).map(|_| request(entry.router(), "/socket.io/?EIO=4&transport=polling", &[]));
    let refused: Vec<Response> = answers.filter(|answer| answer.status == 429).take(10).collect();
    assert_eq!(refused.len(), 10);
    for answer in &refused {
        let said: Value = serde_json::from_str(answer.text()).unwrap();
        assert_eq!((&said["error"]["code"], &said["ok"]), (&json!(108), &json!(false)), "{said}");
        assert!(said["error"]["retry_after_ms"].as_u64().unwrap() > 0);
        assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    }
    // Somebody else's word for where they come from is not taken.
    let forged =
        request(entry.router(), "/socket.io/?EIO=4&transport=polling", &[("X-Forwarded-For", "203.0.113.9")]);
    assert!([200, 429].contains(&forged.status));
}

/// Sessions that have begun, and are entered.
fn enter(entry: &Entry, count: usize) -> Vec<String> {
    let connect = format!("40{}", json!({ "token": entry.nodes.token("somebody") }));
    let sids: Vec<String> = (0..count).map(|_| begin(entry.router())).collect();
    for sid in &sids {
        assert!(is_where_it_was(entry.router(), sid, connect.as_bytes()), "{sid}");
    }
    sids
}

/// Whether its node takes a packet of this session.
fn is_where_it_was(router: SocketAddr, sid: &str, packet: &[u8]) -> bool {
    let path = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let posted = runtime.block_on(async { ask(router, "POST", &path, &[], packet).await.answer().await });
    posted.status == 200
}

#[test]
fn alone_nodes_come_drain_and_die() {
    let mut entry = Entry::start(1, &[]);
    let before = enter(&entry, 20);
    let seeds = shared().seeds_text();
    let own =
        [("REDIS_NODES", &*seeds), ("TURNPIKE_REDIS_PREFIX", &*entry.nodes.prefix), ("SERVER_ID", "n3")];
    let third = Node::start(&own).unwrap();
    let came = entry.until("a third node takes sessions", |homes| homes.contains_key("n3"));
    assert!(came < SECOND, "{came:?}");
    // Nothing else moves.
    for sid in &before {
        assert!(is_where_it_was(entry.router(), sid, b"42[\"ping\"]"), "{sid} was moved");
    }
    assert_eq!(entry.metric("turnpike_router_cut_total"), 0);

    entry.nodes.nodes[1].terminate().unwrap();
    let drained = entry.until("one that drains gets none", |homes| !homes.contains_key("n2"));
    assert!(drained < SECOND, "{drained:?}");

    entry.nodes.nodes[0].kill();
    // From the first on: whoever cannot be reached is passed by.
    let homes = entry.begin(20);
    assert!(!homes.contains_key("n1"), "{homes:?}");
    println!("came {came:?}, drained {drained:?}");
    drop(third);
}

#[test]
fn alone_a_node_that_stands_still_keeps_nobody() {
    let entry = Entry::start(1, &[]);
    entry.nodes.nodes[0].freeze().unwrap();
    let (frozen, mut longest) = (Instant::now(), Duration::ZERO);
    while frozen.elapsed() < Duration::from_secs(2) {
        let begun = Instant::now();
        let homes = entry.begin(1);
        longest = longest.max(begun.elapsed());
        assert!(!homes.contains_key("n1"), "{homes:?}");
    }
    println!("longest handshake while a node stood still: {longest:?}");
    assert!(longest < FROZEN_MAX, "{longest:?}");
    entry.nodes.nodes[0].thaw().unwrap();
    entry.until("a node that goes on takes sessions again", |homes| homes.contains_key("n1"));
}

#[test]
fn a_node_dies_behind_it_under_load() {
    for transports in ["websocket", "polling,websocket"] {
        let mut entry = Entry::start(1, &[]);
        let roamers = Roamers::start(&entry.front, &plan(transports, 12));
        std::thread::sleep(Duration::from_secs(4));
        let before = entry.sockets();
        let killed = Instant::now();
        entry.nodes.nodes[0].kill();
        // The one that is left has all of them: clients that wander by themselves come and go meanwhile.
        while entry.sockets() < before * 9 / 10 {
            assert!(killed.elapsed() < BACK_MAX, "{} of {before} are back", entry.sockets());
            std::thread::sleep(BREATH);
        }
        println!("{transports}: {before} were back after {:?}", killed.elapsed());
        std::thread::sleep(Duration::from_secs(3).saturating_sub(killed.elapsed()));
        entry.nodes.nodes[0].restart().unwrap();
        must_be_exact(&roamers.report());
    }
}

#[test]
fn a_router_dies_and_the_other_serves() {
    // Those who begin with polls are in the middle of their upgrades again and again.
    for transports in ["websocket", "polling,websocket"] {
        let mut entry = Entry::start(2, &[]);
        let mut roamers = Roamers::start(&entry.front, &plan(transports, 10));
        std::thread::sleep(Duration::from_secs(4));
        let port = entry.front.nodes[1].gateway.port();
        entry.front.nodes[1].kill();
        roamers.tell(&format!("drop {port}"));
        must_be_exact(&roamers.report());
    }
}

#[test]
fn it_leaves_in_order() {
    let mut entry = Entry::start(2, &[("TURNPIKE_DRAIN_WINDOW", "2s")]);
    let mut roamers = Roamers::start(&entry.front, &plan("polling,websocket", 10));
    std::thread::sleep(Duration::from_secs(3));
    let port = entry.front.nodes[1].gateway.port();
    entry.front.nodes[1].terminate().unwrap();
    roamers.tell(&format!("drop {port}"));
    let status = entry.front.nodes[1].wait(Duration::from_secs(20)).unwrap();
    assert!(status.success(), "{status}: {}", entry.front.nodes[1].log());
    must_be_exact(&roamers.report());
}
