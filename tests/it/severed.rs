//! Nodes without Redis. One is cut off while a thousand messages are sent through another: its members get all of them once it
//! is back, and meanwhile it says that it is not well. All are without it for longer than they may be: they send everybody
//! away, and everybody is back with them.

use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use turnpike_lab::{End, Node, Process, RedisCluster, RedisOptions};

use crate::harness::{home, require_packages};

const MESSAGES: usize = 1_000;
/// By then a node that is cut off must have said so.
const NOTICED_MAX: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(20);

/// None: nobody answers.
fn health(node: &Node) -> Option<u16> {
    let mut stream = TcpStream::connect(node.admin).ok()?;
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

fn until(what: &str, limit: Duration, holds: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < limit, "{what} took longer than {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    begun.elapsed()
}

/// A client at each of two nodes.
struct Clients {
    process: Process,
    commands: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Clients {
    fn start(near: &Node, far: &Node) -> Self {
        let token = near.token(&["--user", "alice", "--room", "*=join,send,history"]).unwrap();
        let mut command = Command::new("node");
        command
            .current_dir(home().join("node"))
            .arg("severed.mjs")
            .arg(format!("--nodes={},{}", near.gateway.port(), far.gateway.port()))
            .arg(format!("--token={token}"))
            .arg(format!("--count={MESSAGES}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = Process::spawn("node", &mut command).unwrap();
        let commands = process.child().stdin.take().unwrap();
        let lines = BufReader::new(process.child().stdout.take().unwrap()).lines();
        let mut clients = Self { process, commands, lines };
        assert_eq!(clients.line(), json!({ "ready": true }));
        clients
    }

    fn tell(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
    }

    fn line(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().expect("another line").unwrap()).unwrap()
    }
}

fn two_nodes(redis: &RedisCluster) -> [Node; 2] {
    let seeds = redis.seeds_text();
    ["n1", "n2"].map(|name| Node::start(&[("REDIS_NODES", &seeds), ("SERVER_ID", name)]).unwrap())
}

#[test]
fn alone_what_was_sent_meanwhile_comes_when_it_is_back() {
    require_packages();
    let options = RedisOptions { cuttable: true, ..RedisOptions::default() };
    let redis = RedisCluster::start_with(options).unwrap();
    let [near, far] = two_nodes(&redis);
    let mut clients = Clients::start(&near, &far);
    until("healthy", PATIENCE, || health(&far) == Some(200));

    let everywhere: Vec<End> = redis.nodes().map(End::Redis).collect();
    redis.network().part(&[End::Process(far.id())], &everywhere);
    clients.tell("send");
    let noticed = until("being told", NOTICED_MAX, || health(&far) == Some(503));
    println!("/health was red after {noticed:?}");
    let sent = clients.line();
    assert_eq!(sent["acknowledged"], MESSAGES, "{sent}");
    assert_eq!(sent["far_has"], 0, "it was really cut off: {sent}");
    assert_eq!((health(&near), health(&far)), (Some(200), Some(503)));

    redis.network().mend();
    let back = Instant::now();
    clients.tell("report");
    let report = clients.line();
    println!("everything was there {:?} after it was back: {report}", back.elapsed());
    if report["far_has"] != MESSAGES {
        println!("{}", far.log());
    }
    assert_eq!(
        report,
        json!({ "far_has": MESSAGES, "whole": true, "in_order": true, "closings": [], "recovered": false }),
        "over the same connection"
    );
    until("healthy again", PATIENCE, || health(&far) == Some(200));
    clients.process.wait(PATIENCE).unwrap();
}

#[test]
fn everybody_is_back_after_all_of_redis_was_away() {
    require_packages();
    let redis = RedisCluster::start().unwrap();
    let nodes = two_nodes(&redis);
    let [near, far] = &nodes;
    let mut clients = Clients::start(near, far);
    until("healthy", PATIENCE, || nodes.iter().all(|node| health(node) == Some(200)));

    for process in redis.nodes() {
        redis.freeze(process).unwrap();
    }
    let waits = |node: &Node| node.log().contains("waiting for the Redis Cluster");
    let gone = until("starting over", PATIENCE, || nodes.iter().all(waits));
    println!("nobody was served any more after {gone:?}");
    for node in &nodes {
        assert!(TcpStream::connect(node.gateway).is_err(), "nobody is let in");
        assert_eq!(health(node), Some(503));
    }
    // What is sent now waits at the client.
    clients.tell("send");
    for process in redis.nodes() {
        redis.thaw(process).unwrap();
    }
    let back = until("healthy again", PATIENCE, || nodes.iter().all(|node| health(node) == Some(200)));
    let sent = clients.line();
    println!("nodes were back after {back:?}: {sent}");
    assert_eq!(sent["acknowledged"], MESSAGES, "{sent}");
    clients.tell("report");
    assert_eq!(
        clients.line(),
        json!({ "far_has": MESSAGES, "whole": true, "in_order": true, "closings": [3004], "recovered": true })
    );
    clients.process.wait(PATIENCE).unwrap();
}
