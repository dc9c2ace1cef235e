//! A new configuration is taken up under traffic: nobody loses a message, and nobody has to come back more than once.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;

use super::edge::{BROKEN, Edge, House, Kind, Processes};
use crate::roaming::{Roamers, Roaming, seed};

/// Between two reloads: long enough that the workers of before are gone.
const PAUSE: Duration = Duration::from_millis(1_500);

/// The workers, by their master's children.
fn workers(edge: &Edge) -> Vec<String> {
    let master = fs::read_to_string(edge.root().join("nginx.pid")).unwrap().trim().to_owned();
    let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap();
    children.split_whitespace().map(ToOwned::to_owned).collect()
}

/// Connections that stay are closed by nobody; those that poll come back for each request anyway.
fn reloads(kind: Kind, transports: &str) {
    let house = House::with(kind, Processes::MasterAndWorker, &[], &[]);
    let edge = &house.edge;
    let plan = Roaming { receivers: 6, seconds: 6, transports, offline_ms: 300, seed: seed(), record: None };
    let roamers = Roamers::uncut(&house.pair, edge.tls, &edge.authority, &plan);
    for _ in 0..3 {
        let before = workers(edge);
        edge.signal("HUP");
        let begun = Instant::now();
        while workers(edge).iter().all(|worker| before.contains(worker)) {
            assert!(begun.elapsed() < BROKEN, "no new worker: {}", edge.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(PAUSE);
    }
    let report = roamers.report();
    println!("{report}");
    for kind in ["faults", "missing", "refused"] {
        assert_eq!(report[kind], json!([]), "{report}\n{}", edge.log());
    }
    assert_eq!((&report["fresh"], &report["left"]), (&json!(0), &json!({})), "nobody noticed: {report}");
    assert!(report["messages"].as_u64().unwrap() > 30, "{report}");
}

#[test]
fn websockets_stay_over_a_reload() {
    reloads(Kind::WithRouters, "websocket");
}

#[test]
fn polls_go_on_over_a_reload() {
    reloads(Kind::Alone, "polling");
}

#[test]
fn upgrades_go_on_over_a_reload() {
    reloads(Kind::Alone, "polling,websocket");
}

/// What an old worker still has when its time is over is closed: each of those clients comes back once, and has everything.
#[test]
fn who_is_closed_behind_a_reload_comes_back_once() {
    let sooner = [("worker_shutdown_timeout 1h", "worker_shutdown_timeout 1s")];
    let house = House::with(Kind::WithRouters, Processes::MasterAndWorker, &sooner, &[]);
    let edge = &house.edge;
    let plan = Roaming {
        receivers: 6,
        seconds: 6,
        transports: "websocket",
        offline_ms: 300,
        seed: seed(),
        record: None,
    };
    let roamers = Roamers::uncut(&house.pair, edge.tls, &edge.authority, &plan);
    let before = workers(edge);
    edge.signal("HUP");
    let begun = Instant::now();
    while workers(edge).iter().any(|worker| before.contains(worker)) {
        assert!(begun.elapsed() < BROKEN, "the old worker is still there: {}", edge.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let report = roamers.report();
    println!("{report}");
    for kind in ["faults", "missing", "refused"] {
        assert_eq!(report[kind], json!([]), "{report}\n{}", edge.log());
    }
    assert_eq!((&report["fresh"], &report["most_left"]), (&json!(0), &json!(1)), "{report}");
    assert_eq!(report["recovered"], 8, "six who receive and two who send: {report}");
}
