//! Very many in one room, over two nodes: ten thousand who see each other come and go, a thousand who type at once.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use turnpike_lab::{Node, RedisCluster, SECRET};

use crate::harness::{home, require_packages};
use crate::roaming::Pair;

const CROWD: usize = 10_000;
const MOVERS: usize = 100;
const TYPISTS: usize = 1_000;
/// Past it something is broken.
const PATIENCE: Duration = Duration::from_mins(3);
const AT_ONCE: usize = 200;

type Sink = SplitSink<WebSocketStream<TcpStream>, Message>;

/// What a member was told last, and how often.
#[derive(Default)]
struct Seen {
    count: AtomicU64,
    presences: AtomicUsize,
    typings: AtomicUsize,
    joined: AtomicBool,
    left: AtomicBool,
    /// When each message came, by its body.
    messages: std::sync::Mutex<HashMap<u64, Instant>>,
}

struct Member {
    sink: Arc<Mutex<Sink>>,
    seen: Arc<Seen>,
    task: tokio::task::JoinHandle<()>,
}

impl Member {
    async fn enter(node: &Node, token: &str, room: &str, presence: bool) -> Self {
        let stream = TcpStream::connect(node.gateway).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", node.gateway);
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        let (mut sink, stream) = socket.split();
        sink.send(Message::text(format!("40{}", json!({ "token": token })))).await.unwrap();
        let join = json!(["room:join", { "room": room, "presence": presence }]);
        sink.send(Message::text(format!("421{join}"))).await.unwrap();
        let (sink, seen) = (Arc::new(Mutex::new(sink)), Arc::new(Seen::default()));
        let task = tokio::spawn(read(stream, Arc::clone(&sink), Arc::clone(&seen)));
        Self { sink, seen, task }
    }

    async fn say(&self, event: &serde_json::Value) {
        // A member of a killed node says nothing.
        let _ = self.sink.lock().await.send(Message::text(format!("42{event}"))).await;
    }
}

/// Looks at heads and one field; whoever would parse all of it could not keep up for ten thousand.
async fn read(mut stream: SplitStream<WebSocketStream<TcpStream>>, sink: Arc<Mutex<Sink>>, seen: Arc<Seen>) {
    let number = |text: &str, field: &str| -> Option<u64> {
        let rest = &text[text.find(field)? + field.len()..];
        rest[..rest.find(|character: char| !character.is_ascii_digit())?].parse().ok()
    };
    while let Some(Ok(message)) = stream.next().await {
        let Message::Text(text) = message else { continue };
        let text = text.as_str();
        if text == "2" {
            let _ = sink.lock().await.send(Message::text("3")).await;
        } else if text.starts_with("42[\"presence\"") {
            seen.presences.fetch_add(1, Ordering::Relaxed);
            seen.count.store(number(text, "\"count\":").unwrap_or(0), Ordering::Relaxed);
        } else if text.starts_with("42[\"typing\"") {
            seen.typings.fetch_add(1, Ordering::Relaxed);
        } else if text.starts_with("42[\"message\"") {
            if let Some(body) = number(text, "\"body\":") {
                seen.messages.lock().unwrap().insert(body, Instant::now());
            }
        } else if text.starts_with("431[") {
            assert!(text.contains("\"ok\":true"), "{text}");
            if let Some(count) = number(text, "\"count\":") {
                seen.count.store(count, Ordering::Relaxed);
            }
            seen.joined.store(true, Ordering::Release);
        } else if text.starts_with("432[") {
            seen.left.store(true, Ordering::Release);
        }
    }
}

fn tokens(count: usize) -> Vec<String> {
    let script = "import('./lib/token.mjs').then(({ token, seconds }) => { \
        for (let user = 0; user < Number(process.argv[1]); user++) \
        console.log(token({ sub: `member-${user}`, exp: seconds() + 3600, rooms: [{ match: '*', can: ['join', 'send', 'presence', 'typing'] }] })); })";
    let output = Command::new("node")
        .current_dir(home().join("node"))
        .env("SUITE_SECRET", SECRET)
        .args(["-e", script, &count.to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

async fn until(what: &str, holds: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    begun.elapsed()
}

async fn gathered(pair: &Pair, room: &str, count: usize, presence: bool) -> Vec<Member> {
    let tokens = tokens(count);
    assert_eq!(tokens.len(), count);
    let mut members = Vec::with_capacity(count);
    for (part, some) in tokens.chunks(AT_ONCE).enumerate() {
        let entering = some.iter().enumerate().map(async |(index, token)| {
            Member::enter(&pair.nodes[(part * AT_ONCE + index) % 2], token, room, presence).await
        });
        members.extend(futures_util::future::join_all(entering).await);
        let last = &members[part * AT_ONCE..];
        until("some to be in", || last.iter().all(|member| member.seen.joined.load(Ordering::Acquire))).await;
    }
    members
}

fn all_told(members: &[Member], count: usize) -> bool {
    members.iter().all(|member| member.seen.count.load(Ordering::Relaxed) == count as u64)
}

/// What both nodes' buses have brought, in bytes.
fn bus_bytes(pair: &Pair) -> u64 {
    let mut bytes = 0;
    for node in &pair.nodes {
        let mut stream = std::net::TcpStream::connect(node.admin).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut metrics = String::new();
        stream.read_to_string(&mut metrics).unwrap();
        let line = metrics.lines().filter(|line| line.starts_with("turnpike_cluster_bus_bytes_total"));
        bytes += line.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64;
    }
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes; cargo xtask test --long"]
async fn alone_ten_thousand_in_one_room() {
    require_packages();
    let redis = RedisCluster::start().unwrap();
    let mut pair = Pair::on(&redis.seeds_text(), &[("TURNPIKE_RECOVERY_WINDOW", "10s")]);
    let begun = Instant::now();
    let mut members = gathered(&pair, "crowd:all", CROWD, true).await;
    let (ramp, exact) = (begun.elapsed(), until("all to be told of all", || all_told(&members, CROWD)).await);
    let events = members.iter().map(|member| member.seen.presences.load(Ordering::Relaxed)).max().unwrap();
    println!(
        "{CROWD} joined in {ramp:?}; all exact {exact:?} after the last; at most {events} events a member"
    );
    assert!(events as u64 <= begun.elapsed().as_secs() + 2, "one a second");

    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = bus_bytes(&pair);
    let second = Instant::now();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let idle = (bus_bytes(&pair) - before) as f64 / second.elapsed().as_secs_f64();
    let (before, begun) = (bus_bytes(&pair), Instant::now());
    let leavers: Vec<Member> = members.drain(..MOVERS).collect();
    for member in &leavers {
        let leave = json!(["room:leave", { "room": "crowd:all" }]);
        let _ = member.sink.lock().await.send(Message::text(format!("422{leave}"))).await;
    }
    let exact = until("all to be told who left", || all_told(&members, CROWD - MOVERS)).await;
    let bytes = (bus_bytes(&pair) - before) as f64 - idle * begun.elapsed().as_secs_f64();
    let each = bytes / MOVERS as f64;
    println!(
        "{MOVERS} left: all exact after {exact:?}; {each:.0} bytes a change on the buses of both nodes, idle {idle:.0} a second"
    );
    assert!(each < 1_000.0, "bytes follow changes, not members");

    let ghosts = members.len() / 2;
    let (living, dead): (Vec<_>, Vec<_>) =
        members.into_iter().enumerate().partition(|(index, _)| index % 2 == 1);
    let living: Vec<Member> = living.into_iter().map(|(_, member)| member).collect();
    pair.nodes[0].kill();
    let left = living.len();
    let gone = until("the ghosts to be gone", || all_told(&living, left)).await;
    println!("{ghosts} of a killed node: gone for all {left} others after {gone:?}");
    assert!(gone < Duration::from_secs(8), "{gone:?}");
    for member in living.iter().chain(dead.iter().map(|(_, member)| member)).chain(&leavers) {
        member.task.abort();
    }
}

/// In microseconds, of messages from one member to another on the other node.
async fn latencies(members: &[Member], first: u64) -> Vec<u128> {
    const MESSAGES: u64 = 300;
    let (from, to) = (&members[0], &members[1]);
    let mut sent = HashMap::new();
    for number in first..first + MESSAGES {
        sent.insert(number, Instant::now());
        let body = json!({ "room": "crowd:typing", "body": number });
        from.say(&json!(["message:send", body])).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    until("the last message", || to.seen.messages.lock().unwrap().contains_key(&(first + MESSAGES - 1)))
        .await;
    let came = to.seen.messages.lock().unwrap();
    let mut took: Vec<u128> =
        sent.iter().map(|(number, at)| came[number].duration_since(*at).as_micros()).collect();
    took.sort_unstable();
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes; cargo xtask test --long"]
async fn alone_a_thousand_typists() {
    require_packages();
    let redis = RedisCluster::start().unwrap();
    let pair = Pair::on(&redis.seeds_text(), &[]);
    let members = gathered(&pair, "crowd:typing", TYPISTS, false).await;
    latencies(&members, 1_000_000).await;
    // Quiet and not by turns, so that whatever else the machine does meets both alike.
    let (mut quiet, mut typing) = (Vec::new(), Vec::new());
    let (mut events, mut seconds) = (0, 0.0);
    for turn in 0..3 {
        quiet.extend(latencies(&members, 2_000_000 + turn * 1_000).await);
        let over = AtomicBool::new(false);
        let told = || members.iter().map(|member| member.seen.typings.load(Ordering::Relaxed)).max().unwrap();
        let (before, begun) = (told(), Instant::now());
        let start = json!(["typing:start", { "room": "crowd:typing" }]);
        let typists = async {
            // Each once a second, evenly.
            for member in members[2..].iter().cycle() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                member.say(&start).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let measured = async {
            typing.extend(latencies(&members, 3_000_000 + turn * 1_000).await);
            over.store(true, Ordering::Relaxed);
        };
        tokio::join!(typists, measured);
        events += told() - before;
        seconds += begun.elapsed().as_secs_f64();
        tokio::time::sleep(Duration::from_secs(7)).await;
    }
    for all in [&mut quiet, &mut typing] {
        all.sort_unstable();
    }
    let at = |all: &[u128], share: usize| all[all.len() * share / 100];
    let rate = events as f64 / seconds;
    println!(
        "messages: p50 {} us quiet, {} us while {TYPISTS} type; p99 {} and {}; {rate:.2} typing events a second and member",
        at(&quiet, 50),
        at(&typing, 50),
        at(&quiet, 99),
        at(&typing, 99),
    );
    assert!(rate <= 2.1, "two a second: {rate}");
    for member in &members {
        member.task.abort();
    }
}
