//! Stock clients over TLS that are cut at random, by each transport: nothing is lost, nothing comes twice, and every return is a
//! recovery. And live video, asked for through the same door.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::edge::{Edge, House, Kind, Processes, said};
use crate::relays::peer::offer;
use crate::roaming::{Roamers, Roaming, seed};

fn must_be_exact(report: &Value, edge: &Edge) {
    println!("{report}");
    for kind in ["faults", "missing", "refused"] {
        assert_eq!(report[kind], json!([]), "{report}\n{}", edge.log());
    }
    assert_eq!(report["fresh"], 0, "every return is a recovery: {report}");
    assert!(report["recovered"].as_u64().unwrap() > 0, "{report}");
    // Each request of a poll is a connection of its own over TLS: on a busy machine there are few.
    assert!(report["messages"].as_u64().unwrap() > 30, "{report}");
}

/// Some seconds each: connections are cut every few of them.
fn roam(kind: Kind) {
    // Short, for those that go deaf in the middle of their change to a websocket: between nginx and a node that takes a while.
    let heartbeat = [("HEARTBEAT_INTERVAL", "3s"), ("TURNPIKE_HEARTBEAT_TIMEOUT", "5s")];
    let house = House::with(kind, Processes::One, &[], &heartbeat);
    for transports in ["polling", "polling,websocket", "websocket"] {
        let plan =
            Roaming { receivers: 6, seconds: 5, transports, offline_ms: 300, seed: seed(), record: None };
        let roamers = Roamers::over_tls(&house.pair, house.edge.tls, &house.edge.authority, &plan);
        must_be_exact(&roamers.report(), &house.edge);
    }
}

#[test]
fn stock_clients_through_nginx_and_routers() {
    roam(Kind::WithRouters);
}

#[test]
fn stock_clients_through_nginx_alone() {
    roam(Kind::Alone);
}

/// nginx would ask the other router for the answer that died with the first, and be given what comes behind it.
#[test]
fn a_router_dies_behind_nginx_while_everybody_polls() {
    let mut house = House::start(Kind::WithRouters);
    let plan = Roaming {
        receivers: 6,
        seconds: 8,
        transports: "polling",
        offline_ms: 300,
        seed: seed(),
        record: None,
    };
    let roamers = Roamers::uncut(&house.pair, house.edge.tls, &house.edge.authority, &plan);
    for index in [0, 1, 0, 1] {
        std::thread::sleep(Duration::from_secs(1));
        house.routers[index].kill();
        std::thread::sleep(Duration::from_millis(500));
        house.routers[index].restart().unwrap();
    }
    must_be_exact(&roamers.report(), &house.edge);
}

/// Requests of a session over a connection each: all of them reach its node, or nginx would have been no help.
#[test]
fn requests_find_their_session_without_a_detour() {
    let house = House::start(Kind::Alone);
    let nodes = &house.pair.nodes;
    for _ in 0..20 {
        let opened = house.edge.get("/socket.io/?EIO=4&transport=polling");
        let sid = opened.split("\"sid\":\"").nth(1).unwrap().split('"').next().unwrap();
        let posted = house.edge.curl(&[
            "--data-binary",
            "40",
            &house.edge.url(&format!("/socket.io/?EIO=4&transport=polling&sid={sid}")),
        ]);
        assert!(posted.starts_with("HTTP/2 200") && posted.ends_with("ok"), "{posted}");
    }
    for node in nodes {
        let detours = metric(node, "turnpike_gateway_forwarded_total");
        assert_eq!(detours, "0", "requests that another node passed on");
    }
}

fn metric(node: &turnpike_lab::Node, name: &str) -> String {
    let output = Command::new("curl")
        .args(["--silent", "--header", "host: localhost"])
        .arg(format!("http://{}/metrics", node.admin))
        .output()
        .unwrap();
    let metrics = said(&output);
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).to_owned()
}

/// The header of an answer of curl's.
fn header<'a>(answer: &'a str, name: &str) -> &'a str {
    let found = answer.lines().find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    });
    found.unwrap_or_else(|| panic!("no {name} in {answer}"))
}

/// The media goes past nginx, and is there.
fn publish_and_watch(kind: Kind) {
    let house = House::start(kind);
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let token = |user: &str, rights: &str| {
            let rights = format!("live:*={rights}");
            house.pair.nodes[0].token(&["--user", user, "--stream", &rights]).unwrap()
        };
        let ask = |method: &str, path: &str, token: &str, sdp: &str| {
            let bearer = format!("authorization: Bearer {token}");
            let url = house.edge.url(path);
            let mut arguments = vec!["--request", method, "--header", &bearer, &url];
            if !sdp.is_empty() {
                arguments.extend(["--header", "content-type: application/sdp", "--data-binary", sdp]);
            }
            house.edge.curl(&arguments)
        };
        let (publisher, viewer) = (token("publisher", "publish"), token("viewer", "subscribe"));
        let offered = offer(true).await;
        let published = ask("POST", "/whip/live:1", &publisher, &offered.sdp);
        assert!(published.starts_with("HTTP/2 201"), "{published}");
        let _publisher = offered.publish(body(&published));
        let picture = std::sync::Arc::<crate::relays::peer::Picture>::default();
        let offered = offer(false).await;
        let watched = ask("POST", "/whep/live:1", &viewer, &offered.sdp);
        assert!(watched.starts_with("HTTP/2 201"), "{watched}");
        let peer = offered.watch(body(&watched), picture);
        let begun = std::time::Instant::now();
        while !peer.has_media.load(std::sync::atomic::Ordering::Relaxed) {
            assert!(begun.elapsed() < super::edge::BROKEN, "no media");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // What was begun is found again: by the one who began it, at the relay that has it.
        for (answer, token) in [(&watched, &viewer), (&published, &publisher)] {
            let location = header(answer, "location");
            assert!(ask("GET", location, token, "").starts_with("HTTP/2 200"));
            assert!(ask("DELETE", location, token, "").starts_with("HTTP/2 200"));
            assert!(ask("DELETE", location, token, "").starts_with("HTTP/2 404"));
        }
    });
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("a head and a body").1
}

#[test]
fn live_video_through_nginx_and_routers() {
    publish_and_watch(Kind::WithRouters);
}

#[test]
fn live_video_through_nginx_alone() {
    publish_and_watch(Kind::Alone);
}
