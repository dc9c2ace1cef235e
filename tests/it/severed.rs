//! A node is cut off from Redis while a thousand messages are sent through another. Its members get all of them once it
//! is back, and meanwhile it says that it is not well.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use turnpike_lab::{End, Node, RedisCluster, RedisOptions};

use crate::harness::{home, require_packages};

const MESSAGES: usize = 1_000;
/// By then a node that is cut off must have said so.
const NOTICED_MAX: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(20);

fn health(node: &Node) -> u16 {
    let mut stream = TcpStream::connect(node.admin).unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"))
}

fn until(what: &str, limit: Duration, holds: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < limit, "{what} took longer than {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    begun.elapsed()
}

#[test]
fn what_was_sent_meanwhile_comes_when_it_is_back() {
    require_packages();
    let options = RedisOptions { cuttable: true, ..RedisOptions::default() };
    let redis = RedisCluster::start_with(options).unwrap();
    let seeds = redis.seeds_text();
    let [near, far] =
        ["n1", "n2"].map(|name| Node::start(&[("REDIS_NODES", &seeds), ("SERVER_ID", name)]).unwrap());
    let token = near.token(&["--user", "alice", "--room", "*=join,send,history"]).unwrap();
    let mut clients = Command::new("node")
        .current_dir(home().join("node"))
        .arg("severed.mjs")
        .arg(format!("--nodes={},{}", near.gateway.port(), far.gateway.port()))
        .arg(format!("--token={token}"))
        .arg(format!("--count={MESSAGES}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(clients.stdout.take().unwrap()).lines();
    let mut line = || serde_json::from_str::<Value>(&lines.next().expect("another line").unwrap()).unwrap();
    let mut commands = clients.stdin.take().unwrap();
    assert_eq!(line(), json!({ "ready": true }));
    until("healthy", PATIENCE, || health(&far) == 200);

    let everywhere: Vec<End> = redis.nodes().map(End::Redis).collect();
    redis.network().part(&[End::Process(far.id())], &everywhere);
    writeln!(commands, "send").unwrap();
    let noticed = until("being told", NOTICED_MAX, || health(&far) == 503);
    println!("/health was red after {noticed:?}");
    let sent = line();
    assert_eq!(sent["acknowledged"], MESSAGES, "{sent}");
    assert_eq!(sent["far_has"], 0, "it was really cut off: {sent}");
    assert_eq!((health(&near), health(&far)), (200, 503));

    redis.network().mend();
    let back = Instant::now();
    writeln!(commands, "report").unwrap();
    let report = line();
    println!("everything was there {:?} after it was back: {report}", back.elapsed());
    if report["far_has"] != MESSAGES {
        println!("{}", far.log());
    }
    assert_eq!(
        report,
        json!({ "far_has": MESSAGES, "whole": true, "in_order": true, "disconnects": [] }),
        "over the same connection"
    );
    until("healthy again", PATIENCE, || health(&far) == 200);
    let _ = clients.wait();
}
