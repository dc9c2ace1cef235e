//! The cluster of `deploy/compose/compose.yaml`, started as plain processes from the same file, with the configuration, the
//! users of Redis and the edge that it mounts and the secrets that its script makes: a system that works as it stands.

mod compose;
mod place;
mod processes;

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime::Runtime;

use self::processes::System;
use crate::harness::{home, require_packages};
use crate::relays::peer::{Picture, offer};

/// Reaching it means that something is broken.
const BROKEN: Duration = Duration::from_mins(1);

/// Some seconds: six Redis processes become a cluster with the timeouts of production, and a system comes up on it.
#[test]
fn the_sample_cluster_serves() {
    let mut system = System::start();
    chat(&system);
    watch(&system);
    watched_over(&system);
    let refused = system.refused_by_redis();
    assert!(refused.is_empty(), "Redis has refused what the system needs: {refused:?}");
    system.leave_in_order();
}

/// Stock clients at both gateways, in one room, through the edge.
fn chat(system: &System) {
    require_packages();
    let mut node = Command::new("node");
    node.current_dir(home().join("node")).arg("sample.mjs").stdin(Stdio::null()).stderr(Stdio::inherit());
    node.arg(format!("--url={}", system.url("")));
    node.arg(format!(
        "--tokens={}",
        serde_json::json!(system.tokens("--room", "chat:*=join,send,history", 8))
    ));
    let output = node.env("NODE_EXTRA_CA_CERTS", system.authority()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}\n{}", system.logs());
    let seen: Value = serde_json::from_str(&said).unwrap();
    println!("{seen}");
    assert_eq!(
        seen["gateways"],
        serde_json::json!(["gateway-1", "gateway-2"]),
        "users are at gateways alone"
    );
    assert_eq!(seen["delivered"], seen["expected"], "{}", system.logs());
}

/// Video over WHIP and WHEP: asked for through the edge, sent past it.
fn watch(system: &System) {
    let [publisher, viewer_token] =
        ["live:*=publish", "live:*=subscribe"].map(|rights| system.tokens("--stream", rights, 1).remove(0));
    let ask = |path: &str, token: &str, sdp: &str| {
        let answer = system.post(path, token, sdp);
        assert!(answer.starts_with("HTTP/2 201"), "{answer}\n{}", system.logs());
        answer
    };
    Runtime::new().unwrap().block_on(async {
        let offered = offer(true).await;
        let published = ask("/whip/live:1", &publisher, &offered.sdp);
        let _publisher = offered.publish(body(&published));
        let offered = offer(false).await;
        let watched = ask("/whep/live:1", &viewer_token, &offered.sdp);
        let viewer = offered.watch(body(&watched), Arc::<Picture>::default());
        let begun = Instant::now();
        while !viewer.has_media.load(Ordering::Relaxed) {
            assert!(begun.elapsed() < BROKEN, "no media\n{}", system.logs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // So that nobody is waited for later.
        for (answer, token) in [(&watched, &viewer_token), (&published, &publisher)] {
            assert!(system.delete(location(answer), token).starts_with("HTTP/2 200"));
        }
    });
}

fn location(answer: &str) -> &str {
    let line = answer.lines().find(|line| line.to_ascii_lowercase().starts_with("location:"));
    line.expect("it says where it is").split_once(':').expect("a header has a value").1.trim()
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("a head and a body").1
}

/// What an operator has in hand: metrics for the token that the script made and for nobody else, and a doctor that is content.
fn watched_over(system: &System) {
    let token = fs::read_to_string(system.secret("prometheus-token")).unwrap();
    for name in ["gateway-1", "gateway-2", "relay-1", "relay-2"] {
        assert_eq!(system.metrics(name, None).0, 401, "{name} shows its metrics to nobody in particular");
        let (status, text) = system.metrics(name, Some(token.trim()));
        assert!(status == 200 && text.contains("turnpike_gateway_connections "), "{name}: {status} {text}");
    }
    for name in ["gateway-1", "relay-1"] {
        let said = system.run(name, &["doctor"]);
        assert!(!said.contains("\nfail ") && said.contains("on every master"), "{name}: {said}");
    }
}
